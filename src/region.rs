use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::arena_error::pages_in;
use crate::{ArenaError, PAGE_SIZE, Page};

/// Implements `defmt::Format` for a region.
macro_rules! format_region {
    ($($region:ty)*) => {$(
        #[cfg(feature = "defmt")]
        impl defmt::Format for $region {
            fn format(&self, f: defmt::Formatter<'_>) {
                let pages = $crate::Region::pages(self);
                defmt::write!(
                    f,
                    "{=str} {{ {=usize} pages at {=usize:#x} }}",
                    stringify!($region),
                    pages.len(),
                    pages.cast::<u8>().addr().get()
                );
            }
        }
    )*};
}

#[cfg(feature = "std")]
mod boxed;
#[cfg(feature = "mmap")]
mod mapping;
#[cfg(feature = "static-buffer")]
mod static_buffer;

#[cfg(feature = "std")]
pub use boxed::Boxed;
#[cfg(feature = "mmap")]
pub use mapping::{Backing, HugePages, Mapping, MappingOptions};
#[cfg(feature = "static-buffer")]
pub use static_buffer::{DEFAULT_BUFFER, StaticBuffer, StaticPages, StaticRegion};

// In place of the one in `static_buffer.rs`, so that a forgotten feature is named.
#[cfg(not(feature = "static-buffer"))]
#[doc(hidden)]
#[macro_export]
macro_rules! static_buffer {
    ($($buffer:tt)*) => {
        compile_error!("`hpalloc::static_buffer!` needs hpalloc's feature `static-buffer`");
    };
}

/// The region of [`Arena::new`](crate::Arena::new), and of `Arena` where none is named: a [`Mapping`] where the feature
/// `mmap` is on, otherwise a `StaticRegion` where `static-buffer` is.
///
/// So it is another type when somebody else in the program turns `mmap` on: a library names the region that it means.
///
/// ```
/// use hpalloc::{Arena, ArenaError, DefaultRegion};
///
/// let arena: Result<Arena<DefaultRegion>, ArenaError> = Arena::new(4096);
/// # assert!(arena.is_ok());
/// ```
#[cfg(feature = "mmap")]
pub type DefaultRegion = Mapping;
/// The region of [`Arena::new`](crate::Arena::new), and of `Arena` where none is named: a part of the built-in
/// [`DEFAULT_BUFFER`] where the feature `static-buffer` is on, but `mmap` isn't.
///
/// So it is another type when somebody else in the program turns `mmap` on: a library names the region that it means.
///
/// ```
/// use hpalloc::{Arena, ArenaError, DefaultRegion, StaticRegion};
///
/// let arena: Result<Arena<DefaultRegion>, ArenaError> = Arena::new(4096);
/// let the_same: Result<Arena<StaticRegion>, ArenaError> = arena;
/// # assert!(the_same.is_ok());
/// ```
#[cfg(all(feature = "static-buffer", not(feature = "mmap")))]
pub type DefaultRegion = StaticRegion;
// With neither feature there is no default to offer, but `Arena<R = DefaultRegion>` has to name a type: one that is no
// region.
#[cfg(not(any(feature = "mmap", feature = "static-buffer")))]
#[allow(
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "there is no value, and no way to name it"
)]
pub enum DefaultRegion {}

/// Memory that an [`Arena`](crate::Arena) hands out page by page: the owner of that memory.
///
/// hpalloc has a region for caller-supplied slices ([`Borrowed`]), for address ranges of a kernel ([`RawRegion`]), for
/// static buffers, for memory mappings and for boxed pages. Implement the trait for memory of another kind.
///
/// # Safety
///
/// For as long as the region lives:
///
/// 1. **Same:** [`pages`](Self::pages) returns the same pointer every time.
/// 2. **Exclusive:** that memory is valid for reads and writes through the pointer and through pointers derived from
///    it, and nothing else reads or writes it or holds a reference to it.
/// 3. **Aligned:** it starts on a boundary of [`PAGE_SIZE`].
/// 4. **Fixed:** moving the region moves neither the memory nor the permission to use it. So an implementor holds a raw
///    pointer, not a `&mut` or a `Box`: moving one of those asserts uniqueness again, and invalidates every pointer
///    that was handed out before (under Stacked as under Tree Borrows).
/// 5. **Zeroed:** if [`is_zeroed`](Self::is_zeroed) returns `true`, every byte is initialised and zero when the region
///    is given to an arena.
///
/// Whoever breaks these lets safe code have two references to the same memory, or to memory that isn't there.
///
/// ```
/// use core::ptr::NonNull;
/// use hpalloc::{Arena, Page, Region};
///
/// /// Pages of the global allocator.
/// struct Heap(NonNull<[Page]>);
///
/// impl Heap {
///     fn new(count: usize) -> Self {
///         let pages: Box<[Page]> = (0..count).map(|_| Page::new()).collect();
///         Self(NonNull::from(Box::leak(pages)))
///     }
/// }
///
/// // SAFETY: the box gave its memory up, so it stays where it is until drop, and the only pointer to it is in here.
/// unsafe impl Region for Heap {
///     fn pages(&self) -> NonNull<[Page]> {
///         self.0
///     }
/// }
///
/// impl Drop for Heap {
///     fn drop(&mut self) {
///         // SAFETY: it was leaked by `new` and is given back once.
///         drop(unsafe { Box::from_raw(self.0.as_ptr()) });
///     }
/// }
///
/// let arena = Arena::from_region(Heap::new(3))?;
/// assert_eq!(arena.total_pages(), 3);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no region of memory for an arena",
    note = "an `Arena` without a parameter is there with the feature `mmap` or `static-buffer`; otherwise name its region, such \
            as `Arena<Borrowed<'_>>` or `Arena<RawRegion>`"
)]
pub unsafe trait Region {
    /// All of the region's pages, from the lowest address to the highest. Constant time; an arena calls it often. It
    /// should not panic.
    ///
    /// See [`Region`] for an example.
    fn pages(&self) -> NonNull<[Page]>;

    /// Whether every byte is known to be zero when the region is given to an arena; `false` where it isn't known.
    ///
    /// It spares [`alloc_zeroed_page`](crate::Arena::alloc_zeroed_page) the writing of zeros. It is asked once, and
    /// should take constant time and not panic.
    fn is_zeroed(&self) -> bool {
        false
    }
}

/// Memory that the caller lends to an arena: the region of [`Arena::from_pages`](crate::Arena::from_pages) and its
/// siblings.
///
/// The memory is the caller's again when the arena is gone.
///
/// ```
/// use hpalloc::{Arena, Borrowed, FixedBlock, Page};
///
/// // A type that has to name its arena's region names this one.
/// struct Packets<'memory> {
///     pool: FixedBlock<Arena<Borrowed<'memory>>>,
/// }
/// ```
#[derive(Debug)]
pub struct Borrowed<'r> {
    pages: NonNull<[Page]>,
    memory: PhantomData<&'r mut [Page]>,
}

// SAFETY: the region is the only way to its memory (Region: Exclusive), which has no tie to a thread.
unsafe impl Send for Borrowed<'_> {}

// SAFETY: Exclusive and Fixed: `pages` is a raw pointer made from a `&'r mut`, which stays borrowed while the region
// lives and is not used again. Aligned: it points to `Page`s.
unsafe impl Region for Borrowed<'_> {
    fn pages(&self) -> NonNull<[Page]> {
        self.pages
    }
}

impl<'r> Borrowed<'r> {
    pub(crate) fn from_pages(pages: &'r mut [Page]) -> Self {
        Self { pages: NonNull::from(pages), memory: PhantomData }
    }

    pub(crate) fn from_uninit(memory: &'r mut [MaybeUninit<u8>]) -> Result<Self, ArenaError> {
        let size = memory.len();
        Ok(Self { pages: whole_pages(NonNull::from(memory).cast(), size)?, memory: PhantomData })
    }

    pub(crate) fn from_uninit_trimmed(memory: &'r mut [MaybeUninit<u8>]) -> Result<Self, ArenaError> {
        let (address, len) = (memory.as_ptr().addr(), memory.len());
        let before = address.wrapping_neg() % PAGE_SIZE;
        let size = len.saturating_sub(before) / PAGE_SIZE * PAGE_SIZE;
        match memory.get_mut(before..before + size) {
            Some(whole) if size > 0 => Self::from_uninit(whole),
            _ => Err(ArenaError::NoWholePage { address, len }),
        }
    }
}

/// Memory known by its address range alone: the region of [`Arena::from_raw`](crate::Arena::from_raw), for kernels.
///
/// ```
/// use hpalloc::{Arena, FixedBlock, RawRegion};
///
/// // The type of a kernel's pool over the memory that its boot loader reported free.
/// type KernelPool = FixedBlock<Arena<RawRegion>>;
/// ```
#[derive(Debug)]
pub struct RawRegion {
    pages: NonNull<[Page]>,
}

// SAFETY: the region is the only way to its memory (Region: Exclusive), which has no tie to a thread.
unsafe impl Send for RawRegion {}

// SAFETY: the maker of a `RawRegion` promised Exclusive for as long as it lives; Aligned was checked by `whole_pages`;
// Fixed: it holds a raw pointer.
unsafe impl Region for RawRegion {
    fn pages(&self) -> NonNull<[Page]> {
        self.pages
    }
}

impl RawRegion {
    /// # Safety
    ///
    /// Until the region is dropped, `memory` is valid for reads and writes, and nothing else uses it.
    pub(crate) unsafe fn new(memory: NonNull<[u8]>) -> Result<Self, ArenaError> {
        Ok(Self { pages: whole_pages(memory.cast(), memory.len())? })
    }
}

/// The pages that the `size` bytes from `first` on consist of, where an arena may have that size and they start on a
/// page boundary.
pub(crate) fn whole_pages(first: NonNull<u8>, size: usize) -> Result<NonNull<[Page]>, ArenaError> {
    let count = pages_in(size)?;
    let first = first.cast::<Page>();
    if !first.is_aligned() {
        return Err(ArenaError::Misaligned { address: first.addr().get(), align: PAGE_SIZE });
    }
    let address = first.addr().get();
    if address.checked_add(size).is_none() {
        return Err(ArenaError::EndOfAddressSpace { address, len: size });
    }
    Ok(NonNull::slice_from_raw_parts(first, count))
}

format_region!(Borrowed<'_> RawRegion);
