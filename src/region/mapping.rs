use core::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

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
    /// All of a mapping that this value alone knows of.
    pages: NonNull<[Page]>,
}

impl Mapping {
    /// Maps `size_in_bytes` of memory with the default [`MappingOptions`].
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
}

// SAFETY: the region owns its memory (Region: Exclusive), which has no tie to a thread.
unsafe impl Send for Mapping {}

// SAFETY: Exclusive and Fixed: the mapping was made for this value alone and lasts until it is dropped. Aligned: a
// mapping starts on a page of the machine, and none is smaller than 4 KiB. Zeroed: anonymous memory is, and prefaulting
// writes zeros.
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
        let (first, size) = (self.pages.as_ptr().cast(), self.pages.len() * PAGE_SIZE);
        // SAFETY: exactly what was mapped, and nothing uses it any more (Region: Exclusive).
        let unmapped = unsafe { munmap(first, size) };
        // Linux joins neighbouring mappings. To unmap one between two others makes one more of them, which it refuses
        // where a process has as many as it may. The addresses are lost then, but not the memory.
        #[cfg(target_os = "linux")]
        if unmapped.is_err() {
            // SAFETY: as above.
            let _ = unsafe { rustix::mm::madvise(first, size, rustix::mm::Advice::LinuxDontNeed) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = unmapped;
    }
}

/// How a [`Mapping`] is made.
///
/// ```
/// use hpalloc::{Arena, MappingOptions};
///
/// let region = MappingOptions::new().prefault(true).map(64 * 1024)?;
/// let arena = Arena::from_region(region)?;
/// assert_eq!(arena.total_pages(), 16);
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MappingOptions {
    prefault: bool,
}

impl MappingOptions {
    /// The defaults: every page is backed with memory when it is first written to.
    ///
    /// ```
    /// use hpalloc::MappingOptions;
    ///
    /// assert_eq!(MappingOptions::new(), MappingOptions::default());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { prefault: false }
    }

    /// Whether [`map`](Self::map) touches every page before it returns, so that none has to be backed with memory later.
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
    /// As [`Mapping::new`].
    ///
    /// # Time complexity
    ///
    /// One system call; with [`prefault`](Self::prefault) also a page fault for each page.
    ///
    /// ```
    /// use hpalloc::{ArenaError, MappingOptions};
    ///
    /// assert!(MappingOptions::new().map(4096).is_ok());
    /// assert_eq!(MappingOptions::new().map(0).unwrap_err(), ArenaError::InvalidSize { size: 0 });
    /// ```
    pub fn map(&self, size_in_bytes: usize) -> Result<Mapping, ArenaError> {
        let count = pages_in(size_in_bytes)?;
        let (access, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: with no address asked for, the mapping replaces no other.
        let mapped = unsafe { mmap_anonymous(null_mut(), size_in_bytes, access, kind) };
        let failed = |errno| ArenaError::MapFailed { size: size_in_bytes, errno };
        let first = mapped.map_err(|error| failed(error.raw_os_error()))?;
        // The operating system maps address 0 only where it is asked for; it would be no use as a region.
        let first = NonNull::new(first.cast::<Page>()).ok_or(failed(0))?;
        if self.prefault {
            for page in 0..count {
                // SAFETY: `page` is below the count of pages in the mapping, which nothing else knows of.
                unsafe { first.add(page).cast::<u8>().write_volatile(0) };
            }
        }
        Ok(Mapping { pages: NonNull::slice_from_raw_parts(first, count) })
    }
}
