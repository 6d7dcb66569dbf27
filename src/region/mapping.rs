use core::ptr::{NonNull, null_mut};

#[cfg(target_os = "linux")]
use rustix::mm::{Advice, madvise};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mlock, mmap_anonymous, mprotect, munmap};

use crate::arena_error::pages_in;
use crate::{ArenaError, PAGE_SIZE, Page, Region};

/// A private anonymous memory mapping, unmapped when it is dropped (feature
/// `mmap`).
///
/// The memory starts zeroed, and the operating system commits each page when it is first
/// written to. This is a page fault, which costs about a thousand times as much as the
/// rest of the allocation. [`MappingOptions::prefault`] takes all of the page faults in
/// advance.
///
/// ```
/// use hpalloc::{Arena, Mapping};
///
/// let arena = Arena::from_region(Mapping::new(1024 * 1024)?)?;
/// assert_eq!(arena.total_pages(), 256);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
#[derive(Debug)]
pub struct Mapping {
    /// Within `reserved`, and readable and writable.
    pages: NonNull<[Page]>,
    /// The addresses that were mapped for this value alone: the pages, the guards, and
    /// the padding that aligns the pages.
    reserved: NonNull<[u8]>,
    backing: Backing,
}

impl Mapping {
    /// Maps `size_in_bytes` bytes of memory with the default [`MappingOptions`].
    ///
    /// Costs the time of a system call. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) or [`TooLarge`](ArenaError::TooLarge) if
    /// an arena can't have that size; [`MapFailed`](ArenaError::MapFailed), with the
    /// error number, if the operating system refuses the mapping.
    ///
    /// ```
    /// use hpalloc::{ArenaError, Mapping};
    ///
    /// assert!(Mapping::new(8192).is_ok());
    /// assert_eq!(Mapping::new(100).unwrap_err(), ArenaError::InvalidSize { size: 100 });
    /// ```
    pub fn new(size_in_bytes: usize) -> Result<Self, ArenaError> {
        MappingOptions::new().map(size_in_bytes)
    }

    /// Returns the kind of pages that the operating system agreed to use for the mapping.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Backing, Mapping};
    ///
    /// assert_eq!(Mapping::new(8192)?.backing(), Backing::Ordinary);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn backing(&self) -> Backing {
        self.backing
    }
}

// SAFETY: the region owns its memory (Region: Exclusive), and memory is not bound to a
// thread.
unsafe impl Send for Mapping {}

// SAFETY: Exclusive and Fixed: the mapping was created for this value alone, and lasts
// until it is dropped. Aligned: see `reserve`. Zeroed: anonymous memory is zero, and
// prefaulting writes zeros.
unsafe impl Region for Mapping {
    fn pages(&self) -> NonNull<[Page]> {
        self.pages
    }

    fn is_zeroed(&self) -> bool {
        true
    }
}

format_region!(Mapping);

impl Drop for Mapping {
    fn drop(&mut self) {
        let (first, size) = (self.reserved.as_ptr().cast(), self.reserved.len());
        // SAFETY: this is exactly the range that was mapped, and nothing uses it any more
        // (Region: Exclusive).
        let unmapped = unsafe { munmap(first, size) };
        // Linux merges neighboring mappings. Unmapping the middle of a merged mapping
        // leaves one mapping more, which Linux refuses if the process has reached its
        // limit. The addresses are lost then, but `madvise` still frees the memory.
        #[cfg(target_os = "linux")]
        if unmapped.is_err() {
            // SAFETY: as above.
            let _ = unsafe { madvise(first, size, Advice::LinuxDontNeed) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = unmapped;
    }
}

/// The size of a huge page in bytes, on machines that have them.
const HUGE_PAGE_SIZE: usize = 2 * 1024 * 1024;

/// The size of a guard in bytes: a multiple of the page size of every machine.
const GUARD_SIZE: usize = 64 * 1024;

/// The kind of pages that a [`Mapping`] requests from the operating system.
///
/// A page fault commits one page, and each TLB entry covers one page. An ordinary page is
/// usually 4 KiB, a huge page 2 MiB.
///
/// ```
/// use hpalloc::{Backing, HugePages, MappingOptions};
///
/// let mapping = MappingOptions::new().huge_pages(HugePages::Best).map(4 << 20)?;
/// match mapping.backing() {
///     Backing::Explicit | Backing::Transparent => println!("huge pages"),
///     _ => println!("ordinary pages"),
/// }
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HugePages {
    /// Ordinary pages. If the system's setting for transparent huge pages is `always`,
    /// Linux may use those nevertheless.
    #[default]
    Off,
    /// Transparent huge pages, which Linux uses if it has any available; otherwise
    /// ordinary pages.
    Transparent,
    /// Huge pages from the pool that the administrator of the machine reserved. If the
    /// pool is too small, mapping fails with [`NoHugePages`](ArenaError::NoHugePages).
    Explicit,
    /// The best available: explicit huge pages, or else transparent ones, or else
    /// ordinary pages.
    Best,
}

/// The kind of pages that a [`Mapping`] got: see [`HugePages`].
///
/// ```
/// use hpalloc::{Backing, HugePages, MappingOptions};
///
/// let mapping = MappingOptions::new().huge_pages(HugePages::Off).map(4096)?;
/// assert_eq!(mapping.backing(), Backing::Ordinary);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Backing {
    /// The machine's ordinary pages, unless the system uses transparent huge pages for
    /// all memory.
    Ordinary,
    /// Transparent huge pages: the operating system accepted the advice to use them.
    /// Each page becomes huge, or doesn't, when it is first touched.
    Transparent,
    /// Explicit huge pages, reserved for this mapping.
    Explicit,
}

/// The options for creating a [`Mapping`].
///
/// ```
/// use hpalloc::{Arena, HugePages, MappingOptions};
///
/// let options = MappingOptions::new().huge_pages(HugePages::Best).prefault(true);
/// let arena = Arena::from_region(options.map(4 << 20)?)?;
/// assert_eq!(arena.total_pages(), 1024);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MappingOptions {
    huge_pages: HugePages,
    guards: bool,
    lock: bool,
    prefault: bool,
}

impl MappingOptions {
    /// Creates the default options: ordinary pages, each committed when it is first
    /// written to.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::MappingOptions;
    ///
    /// assert_eq!(MappingOptions::new(), MappingOptions::default());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { huge_pages: HugePages::Off, guards: false, lock: false, prefault: false }
    }

    /// Sets the kind of pages to request. On operating systems other than Linux, only
    /// ordinary pages are available.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{HugePages, MappingOptions};
    ///
    /// let options = MappingOptions::new().huge_pages(HugePages::Transparent);
    /// assert!(options.map(4 << 20).is_ok());
    /// ```
    #[must_use]
    pub const fn huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.huge_pages = huge_pages;
        self
    }

    /// Sets whether the 64 KiB on each side of the memory are inaccessible, so that
    /// running past either end causes a fault.
    ///
    /// With huge pages, the guard after the memory starts where the last huge page ends,
    /// so an access before that doesn't fault. Guards use addresses but no memory, except
    /// with explicit huge pages: then the two guards use up two of the reserved huge
    /// pages. On a machine whose ordinary pages are larger than 4 KiB, the size must be a
    /// multiple of its page size, or the operating system refuses the mapping.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// assert!(hpalloc::MappingOptions::new().guards(true).map(8192).is_ok());
    /// ```
    #[must_use]
    pub const fn guards(mut self, guards: bool) -> Self {
        self.guards = guards;
        self
    }

    /// Sets whether the memory is locked: committed before [`map`](Self::map) returns,
    /// and never swapped out.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// let locked = hpalloc::MappingOptions::new().lock(true).map(8192);
    /// # let _ = locked;
    /// ```
    #[must_use]
    pub const fn lock(mut self, lock: bool) -> Self {
        self.lock = lock;
        self
    }

    /// Sets whether [`map`](Self::map) touches every page before it returns, so that no
    /// page is committed later.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// let options = hpalloc::MappingOptions::new().prefault(true);
    /// assert!(options.map(8192).is_ok());
    /// ```
    #[must_use]
    pub const fn prefault(mut self, prefault: bool) -> Self {
        self.prefault = prefault;
        self
    }

    /// Maps `size_in_bytes` bytes of memory.
    ///
    /// # Errors
    ///
    /// Those of [`Mapping::new`]; [`NoHugePages`](ArenaError::NoHugePages) for
    /// [`HugePages::Explicit`] if the pool of huge pages is too small;
    /// [`LockFailed`](ArenaError::LockFailed) if the operating system refuses to lock the
    /// memory. On error, nothing stays mapped.
    ///
    /// # Time complexity
    ///
    /// A few system calls. With [`prefault`](Self::prefault) or [`lock`](Self::lock),
    /// also a page fault for each page.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use hpalloc::{ArenaError, MappingOptions};
    ///
    /// assert!(MappingOptions::new().map(4096).is_ok());
    /// let error = MappingOptions::new().map(0).unwrap_err();
    /// assert_eq!(error, ArenaError::InvalidSize { size: 0 });
    /// ```
    pub fn map(&self, size_in_bytes: usize) -> Result<Mapping, ArenaError> {
        pages_in(size_in_bytes)?;
        let mapping = match self.huge_pages {
            HugePages::Off => self.reserve(size_in_bytes, Backing::Ordinary),
            HugePages::Transparent => self.advise(size_in_bytes),
            HugePages::Explicit => self.reserve(size_in_bytes, Backing::Explicit),
            HugePages::Best => self.reserve(size_in_bytes, Backing::Explicit).or_else(|_| self.advise(size_in_bytes)),
        }?;
        let pages: NonNull<Page> = mapping.pages.cast();
        if self.lock {
            // SAFETY: the pages are mapped, and nothing else uses them yet.
            let locked = unsafe { mlock(pages.as_ptr().cast(), size_in_bytes) };
            locked.map_err(|error| ArenaError::LockFailed { size: size_in_bytes, errno: error.raw_os_error() })?;
        }
        if self.prefault {
            for page in 0..mapping.pages.len() {
                // SAFETY: `page` is less than the number of pages, and nothing else uses
                // them yet.
                unsafe { pages.add(page).cast::<u8>().write_volatile(0) };
            }
        }
        Ok(mapping)
    }

    /// Maps pages of the given kind, suitably aligned, and between guards if these are
    /// requested.
    fn reserve(&self, size: usize, backing: Backing) -> Result<Mapping, ArenaError> {
        let failed = |errno| match backing {
            Backing::Explicit => ArenaError::NoHugePages { size, errno },
            _ => ArenaError::MapFailed { size, errno },
        };
        // The operating system aligns a mapping to the pages that it is made of, but not
        // to the huge pages that it may transparently use later.
        let (align, aligned_to, guard, kind) = match backing {
            Backing::Ordinary => (PAGE_SIZE, PAGE_SIZE, GUARD_SIZE, MapFlags::empty()),
            Backing::Transparent => (HUGE_PAGE_SIZE, PAGE_SIZE, GUARD_SIZE, MapFlags::empty()),
            Backing::Explicit => {
                (HUGE_PAGE_SIZE, HUGE_PAGE_SIZE, HUGE_PAGE_SIZE, EXPLICIT_HUGE_PAGES.ok_or(failed(0))?)
            }
        };
        let guard = if self.guards { guard } else { 0 };
        let usable = size.next_multiple_of(align);
        // The sum can't overflow: it is at most MAX_ARENA_SIZE and a few huge pages.
        let reserved_size = guard + (align - aligned_to) + usable + guard;

        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is requested, so the mapping replaces no other one.
        let mapped = unsafe { mmap_anonymous(null_mut(), reserved_size, access, MapFlags::PRIVATE | kind) };
        let first = mapped.map_err(|error| failed(error.raw_os_error()))?.cast::<u8>();
        // The operating system maps address 0 only on request, and a region can't start
        // there.
        let first = NonNull::new(first).ok_or(failed(0))?;
        let before = guard + first.addr().get().wrapping_add(guard).wrapping_neg() % align;
        // SAFETY: `before` is at most `guard` and the padding, so the pages are within
        // the mapped range.
        let pages = unsafe { first.add(before) }.cast::<Page>();
        let mapping = Mapping {
            pages: NonNull::slice_from_raw_parts(pages, size / PAGE_SIZE),
            reserved: NonNull::slice_from_raw_parts(first, reserved_size),
            backing,
        };
        if self.guards {
            // SAFETY: the guards are before and after the usable memory, within the
            // mapped range.
            let protected = unsafe {
                let (low, high) = (first.add(before - guard), first.add(before + usable));
                mprotect(low.as_ptr().cast(), guard, MprotectFlags::empty())
                    .and_then(|()| mprotect(high.as_ptr().cast(), guard, MprotectFlags::empty()))
            };
            protected.map_err(|error| failed(error.raw_os_error()))?;
        }
        Ok(mapping)
    }

    /// Maps transparent huge pages, or ordinary pages if the operating system rejects the
    /// advice.
    fn advise(&self, size: usize) -> Result<Mapping, ArenaError> {
        let mut mapping = self.reserve(size, Backing::Transparent)?;
        #[cfg(target_os = "linux")]
        // SAFETY: the pages are mapped up to the end of the last huge page, and nothing
        // else uses them yet.
        let advised = unsafe {
            madvise(mapping.pages.as_ptr().cast(), size.next_multiple_of(HUGE_PAGE_SIZE), Advice::LinuxHugepage)
        };
        #[cfg(not(target_os = "linux"))]
        let advised: Result<(), ()> = Err(());
        if advised.is_err() {
            mapping.backing = Backing::Ordinary;
        }
        Ok(mapping)
    }
}

/// The flags that request explicit huge pages, if the operating system has them.
#[cfg(target_os = "linux")]
const EXPLICIT_HUGE_PAGES: Option<MapFlags> = Some(MapFlags::HUGETLB.union(MapFlags::HUGE_2MB));
#[cfg(not(target_os = "linux"))]
const EXPLICIT_HUGE_PAGES: Option<MapFlags> = None;
