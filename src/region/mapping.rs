use core::ptr::{NonNull, null_mut};

#[cfg(target_os = "linux")]
use rustix::mm::{Advice, madvise};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mlock, mmap_anonymous, mprotect, munmap};

use crate::arena_error::pages_in;
use crate::{ArenaError, PAGE_SIZE, Page, Region};

/// A private anonymous memory mapping, unmapped when the region is dropped (feature `mmap`).
///
/// The operating system hands it over zeroed, and backs a page with memory when it is first written to: that page fault
/// is by far the most expensive thing that can happen on an allocation. [`MappingOptions::prefault`] takes all of them
/// at once, ahead of time.
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
    /// Within `reserved`, readable and writable.
    pages: NonNull<[Page]>,
    /// Addresses that were mapped for this value alone: the pages, and guards or what aligns them.
    reserved: NonNull<[u8]>,
    backing: Backing,
}

impl Mapping {
    /// Maps `size_in_bytes` of memory with the default [`MappingOptions`].
    ///
    /// The time of a system call. Never panics.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](ArenaError::InvalidSize) or [`TooLarge`](ArenaError::TooLarge) where an arena can't have that
    /// size; [`MapFailed`](ArenaError::MapFailed), with the error number, where the operating system refuses.
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

    /// What kind of pages the operating system was made to back the mapping with.
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

// SAFETY: the region owns its memory (Region: Exclusive), which has no tie to a thread.
unsafe impl Send for Mapping {}

// SAFETY: Exclusive and Fixed: the mapping was made for this value alone and lasts until it is dropped. Aligned: see
// `reserve`. Zeroed: anonymous memory is, and prefaulting writes zeros.
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
        // SAFETY: exactly what was mapped, and nothing uses it any more (Region: Exclusive).
        let unmapped = unsafe { munmap(first, size) };
        // Linux joins neighbouring mappings. To unmap one between two others makes one more of them, which it refuses
        // where a process has as many as it may. The addresses are lost then, but not the memory.
        #[cfg(target_os = "linux")]
        if unmapped.is_err() {
            // SAFETY: as above.
            let _ = unsafe { madvise(first, size, Advice::LinuxDontNeed) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = unmapped;
    }
}

/// The size of a huge page in bytes, on the machines that have them.
const HUGE_PAGE_SIZE: usize = 2 * 1024 * 1024;

/// The size of a guard in bytes: a multiple of every machine's page size.
const GUARD_SIZE: usize = 64 * 1024;

/// Which pages a [`Mapping`] asks the operating system for.
///
/// A page fault, and an entry of the processor's address translation, is for one page: of 4 KiB, or of 2 MiB.
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
    /// Ordinary pages.
    #[default]
    Off,
    /// Transparent huge pages, which Linux uses where it has them at hand; otherwise ordinary ones.
    Transparent,
    /// Huge pages from the pool that the machine's administrator set up; without it,
    /// [`NoHugePages`](ArenaError::NoHugePages).
    Explicit,
    /// The best to be had: explicit, or else transparent, or else ordinary ones.
    Best,
}

/// What a [`Mapping`] got: see [`HugePages`].
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
    /// The machine's ordinary pages.
    Ordinary,
    /// The operating system accepted the advice to use huge pages. Whether it does is known only when memory is touched.
    Transparent,
    /// Huge pages, reserved for this mapping.
    Explicit,
}

/// How a [`Mapping`] is made.
///
/// ```
/// use hpalloc::{Arena, HugePages, MappingOptions};
///
/// let options = MappingOptions::new().huge_pages(HugePages::Best).guards(true).prefault(true);
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
    /// The defaults: ordinary pages, each backed with memory when it is first written to.
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

    /// Which pages to ask for. Other than on Linux there are ordinary ones only.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{HugePages, MappingOptions};
    ///
    /// assert!(MappingOptions::new().huge_pages(HugePages::Transparent).map(4 << 20).is_ok());
    /// ```
    #[must_use]
    pub const fn huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.huge_pages = huge_pages;
        self
    }

    /// Whether 64 KiB before the memory and behind it can't be accessed, so that running over either end is a fault at
    /// once. With huge pages, the memory ends where the last of them does. Guards take addresses, but no memory; with
    /// explicit huge pages they are one each, of the pool. On a machine whose ordinary pages are larger than 4 KiB, the
    /// size has to be whole ones, or the operating system refuses.
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

    /// Whether the memory is locked: backed before [`map`](Self::map) returns, and never swapped out.
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

    /// Whether [`map`](Self::map) touches every page before it returns, so that none has to be backed with memory later.
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

    /// Maps `size_in_bytes` of memory.
    ///
    /// # Errors
    ///
    /// As [`Mapping::new`]; [`NoHugePages`](ArenaError::NoHugePages) for [`HugePages::Explicit`] without a pool that is
    /// large enough; [`LockFailed`](ArenaError::LockFailed) where the operating system refuses to lock so much. Nothing
    /// stays mapped then.
    ///
    /// # Time complexity
    ///
    /// A few system calls; with [`prefault`](Self::prefault) or [`lock`](Self::lock) also a page fault for each page.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use hpalloc::{ArenaError, MappingOptions};
    ///
    /// assert!(MappingOptions::new().map(4096).is_ok());
    /// assert_eq!(MappingOptions::new().map(0).unwrap_err(), ArenaError::InvalidSize { size: 0 });
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
            // SAFETY: the pages are mapped, and nothing else knows of them.
            let locked = unsafe { mlock(pages.as_ptr().cast(), size_in_bytes) };
            locked.map_err(|error| ArenaError::LockFailed { size: size_in_bytes, errno: error.raw_os_error() })?;
        }
        if self.prefault {
            for page in 0..mapping.pages.len() {
                // SAFETY: `page` is below the count of the pages, which nothing else knows of.
                unsafe { pages.add(page).cast::<u8>().write_volatile(0) };
            }
        }
        Ok(mapping)
    }

    /// Pages of that kind, at an address that suits them, between guards if they are wanted.
    fn reserve(&self, size: usize, backing: Backing) -> Result<Mapping, ArenaError> {
        let failed = |errno| match backing {
            Backing::Explicit => ArenaError::NoHugePages { size, errno },
            _ => ArenaError::MapFailed { size, errno },
        };
        // The operating system aligns a mapping to the pages that it is made of, but not to what may become a transparent
        // huge page later.
        let (align, aligned_to, guard, kind) = match backing {
            Backing::Ordinary => (PAGE_SIZE, PAGE_SIZE, GUARD_SIZE, MapFlags::empty()),
            Backing::Transparent => (HUGE_PAGE_SIZE, PAGE_SIZE, GUARD_SIZE, MapFlags::empty()),
            Backing::Explicit => {
                (HUGE_PAGE_SIZE, HUGE_PAGE_SIZE, HUGE_PAGE_SIZE, EXPLICIT_HUGE_PAGES.ok_or(failed(0))?)
            }
        };
        let guard = if self.guards { guard } else { 0 };
        let usable = size.next_multiple_of(align);
        // No more than MAX_ARENA_SIZE and a few huge pages.
        let reserved_size = guard + (align - aligned_to) + usable + guard;

        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: with no address asked for, the mapping replaces no other.
        let mapped = unsafe { mmap_anonymous(null_mut(), reserved_size, access, MapFlags::PRIVATE | kind) };
        let first = mapped.map_err(|error| failed(error.raw_os_error()))?.cast::<u8>();
        // The operating system maps address 0 only where it is asked for; it would be no use as a region.
        let first = NonNull::new(first).ok_or(failed(0))?;
        let before = guard + first.addr().get().wrapping_add(guard).wrapping_neg() % align;
        // SAFETY: at most `guard` and what aligning may take, so the pages lie within what was mapped.
        let pages = unsafe { first.add(before) }.cast::<Page>();
        let mapping = Mapping {
            pages: NonNull::slice_from_raw_parts(pages, size / PAGE_SIZE),
            reserved: NonNull::slice_from_raw_parts(first, reserved_size),
            backing,
        };
        if self.guards {
            // SAFETY: the guards lie before and behind what is usable, within what was mapped.
            let protected = unsafe {
                let (low, high) = (first.add(before - guard), first.add(before + usable));
                mprotect(low.as_ptr().cast(), guard, MprotectFlags::empty())
                    .and_then(|()| mprotect(high.as_ptr().cast(), guard, MprotectFlags::empty()))
            };
            protected.map_err(|error| failed(error.raw_os_error()))?;
        }
        Ok(mapping)
    }

    /// Transparent huge pages, or ordinary ones where the operating system doesn't take the advice.
    fn advise(&self, size: usize) -> Result<Mapping, ArenaError> {
        let mut mapping = self.reserve(size, Backing::Transparent)?;
        #[cfg(target_os = "linux")]
        // SAFETY: the pages, in whole huge pages, are mapped, and nothing else knows of them.
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

/// What asks the operating system for explicit huge pages, where there are any.
#[cfg(target_os = "linux")]
const EXPLICIT_HUGE_PAGES: Option<MapFlags> = Some(MapFlags::HUGETLB.union(MapFlags::HUGE_2MB));
#[cfg(not(target_os = "linux"))]
const EXPLICIT_HUGE_PAGES: Option<MapFlags> = None;
