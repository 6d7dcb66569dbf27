use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::arena_error::pages_in;
use crate::{ArenaError, PAGE_SIZE, Page};

/// Implements `defmt::Format` for regions.
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

// Replaces the macro in `static_buffer.rs`, so that the compiler error names the missing
// feature.
#[cfg(not(feature = "static-buffer"))]
#[doc(hidden)]
#[macro_export]
macro_rules! static_buffer {
    ($($buffer:tt)*) => {
        compile_error!("`hpalloc::static_buffer!` needs hpalloc's feature `static-buffer`");
    };
}

/// The region of [`Arena::new`](crate::Arena::new), and of `Arena` without a type
/// parameter: a [`Mapping`] if the feature `mmap` is on, otherwise a `StaticRegion` if
/// `static-buffer` is.
///
/// Any crate in the program can turn `mmap` on, which changes this type. A library should
/// therefore name the region that it uses.
///
/// ```
/// use hpalloc::{Arena, ArenaError, DefaultRegion};
///
/// let arena: Result<Arena<DefaultRegion>, ArenaError> = Arena::new(4096);
/// # assert!(arena.is_ok());
/// ```
#[cfg(feature = "mmap")]
pub type DefaultRegion = Mapping;
/// The region of [`Arena::new`](crate::Arena::new), and of `Arena` without a type
/// parameter: a part of the built-in [`DEFAULT_BUFFER`], because the feature
/// `static-buffer` is on and `mmap` is not.
///
/// Any crate in the program can turn `mmap` on, which changes this type. A library should
/// therefore name the region that it uses.
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
// With neither feature there is no default, but `Arena<R = DefaultRegion>` must name a
// type. This one is not a region.
#[cfg(not(any(feature = "mmap", feature = "static-buffer")))]
#[allow(missing_debug_implementations, missing_docs, unreachable_pub, reason = "it has no values and can't be named")]
pub enum DefaultRegion {}

/// The owner of memory that an [`Arena`](crate::Arena) hands out page by page.
///
/// There are regions for slices borrowed from the caller ([`Borrowed`]), address ranges
/// of a kernel ([`RawRegion`]), static buffers, memory mappings and boxed pages.
/// Implement this trait for memory of another kind.
///
/// # Safety
///
/// An implementation must guarantee the following for as long as the region lives:
///
/// 1. **Same:** [`pages`](Self::pages) returns the same pointer every time.
/// 2. **Exclusive:** The memory is valid for reads and writes through that pointer and
///    through pointers derived from it. Nothing else reads or writes it or holds a
///    reference to it.
/// 3. **Aligned:** The memory starts on a boundary of [`PAGE_SIZE`].
/// 4. **Fixed:** Moving the region moves neither the memory nor the permission to use it.
///    The region must therefore hold a raw pointer, not a `&mut` or a `Box`. Moving one
///    of those asserts again that it is unique, which invalidates every pointer that was
///    handed out before (under both Stacked and Tree Borrows).
/// 5. **Zeroed:** If [`is_zeroed`](Self::is_zeroed) returns `true`, every byte is
///    initialized and zero when an arena takes ownership of the region.
///
/// If an implementation breaks these rules, safe code may hold two references to the same
/// memory, or a reference to memory that does not exist.
///
/// ```
/// use core::ptr::NonNull;
/// use hpalloc::{Arena, Page, Region};
///
/// /// Pages from the global allocator.
/// struct HostPages(NonNull<[Page]>);
///
/// impl HostPages {
///     fn new(count: usize) -> Self {
///         let pages: Box<[Page]> = (0..count).map(|_| Page::new()).collect();
///         Self(NonNull::from(Box::leak(pages)))
///     }
/// }
///
/// // SAFETY: the box gave up its memory, which stays in place until drop. This is the
/// // only pointer to it.
/// unsafe impl Region for HostPages {
///     fn pages(&self) -> NonNull<[Page]> {
///         self.0
///     }
/// }
///
/// impl Drop for HostPages {
///     fn drop(&mut self) {
///         // SAFETY: the memory was leaked by `new`, and is freed once.
///         drop(unsafe { Box::from_raw(self.0.as_ptr()) });
///     }
/// }
///
/// let arena = Arena::from_region(HostPages::new(3))?;
/// assert_eq!(arena.total_pages(), 3);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a region of memory for an arena",
    note = "`Arena` without a type parameter needs the feature `mmap` or `static-buffer`; otherwise name its region, for example \
            `Arena<Borrowed<'_>>` or `Arena<RawRegion>`"
)]
pub unsafe trait Region {
    /// Returns all pages of the region, from the lowest address to the highest.
    ///
    /// An arena calls this often. It should take constant time and not panic.
    ///
    /// See [`Region`] for an example.
    fn pages(&self) -> NonNull<[Page]>;

    /// Returns `true` if every byte is known to be zero when an arena takes ownership of
    /// the region.
    ///
    /// If so, [`alloc_zeroed_page`](crate::Arena::alloc_zeroed_page) need not write
    /// zeros. An arena calls this once. It should take constant time and not panic.
    fn is_zeroed(&self) -> bool {
        false
    }
}

/// Memory borrowed from the caller: the region of
/// [`Arena::from_pages`](crate::Arena::from_pages),
/// [`from_uninit`](crate::Arena::from_uninit) and
/// [`from_uninit_trimmed`](crate::Arena::from_uninit_trimmed).
///
/// The caller can use the memory again after the arena is dropped.
///
/// ```
/// use hpalloc::{Arena, Borrowed, FixedBlock, Page};
///
/// // A type that must name the region of its arena.
/// struct Packets<'memory> {
///     pool: FixedBlock<Arena<Borrowed<'memory>>>,
/// }
/// ```
#[derive(Debug)]
pub struct Borrowed<'r> {
    pages: NonNull<[Page]>,
    memory: PhantomData<&'r mut [Page]>,
}

// SAFETY: the region is the only way to access its memory (Region: Exclusive), and memory
// is not bound to a thread.
unsafe impl Send for Borrowed<'_> {}

// SAFETY: Exclusive and Fixed: `pages` is a raw pointer created from a `&'r mut`, which
// stays borrowed while the region lives and is not used again. Aligned: it points to
// `Page`s.
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

/// Memory that is known only by its address range: the region of
/// [`Arena::from_raw`](crate::Arena::from_raw), for kernels.
///
/// ```
/// use hpalloc::{Arena, FixedBlock, RawRegion};
///
/// // A kernel's pool over the memory that its boot loader reports as free.
/// type KernelPool = FixedBlock<Arena<RawRegion>>;
/// ```
#[derive(Debug)]
pub struct RawRegion {
    pages: NonNull<[Page]>,
}

// SAFETY: the region is the only way to access its memory (Region: Exclusive), and memory
// is not bound to a thread.
unsafe impl Send for RawRegion {}

// SAFETY: Exclusive: the caller of `new` promised it for as long as the region lives.
// Aligned: `whole_pages` checked it. Fixed: the region holds a raw pointer.
unsafe impl Region for RawRegion {
    fn pages(&self) -> NonNull<[Page]> {
        self.pages
    }
}

impl RawRegion {
    /// # Safety
    ///
    /// Until the region is dropped, `memory` must be valid for reads and writes, and
    /// nothing else may use it.
    pub(crate) unsafe fn new(memory: NonNull<[u8]>) -> Result<Self, ArenaError> {
        Ok(Self { pages: whole_pages(memory.cast(), memory.len())? })
    }
}

/// Returns the `size` bytes from `first` on as pages, if an arena can have that size,
/// they start on a page boundary, and they end before the last byte of the address space.
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
