//! Blocks that are zero, which aren't written if they come so.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::SizeClasses;
use crate::PageSource;
use crate::by_layout::allocate_zeroed;
use crate::hardened::MisuseError;
use crate::run_size::RunSize;

impl<P: PageSource, const N: usize> SizeClasses<P, N> {
    /// A block as from [`allocate`](Self::allocate), whose bytes are zero as far as the
    /// layout goes.
    ///
    /// Memory that came zeroed from the source, as that of a fresh mapping does, is not
    /// written if it is a run of pages that was never handed out before, or the first block
    /// of a page or of several. So that holds for all fresh blocks of more than half a page.
    /// (For smaller ones, which lie together in a page, a class would have to remember
    /// whether its page came zeroed.)
    ///
    /// # Time complexity
    ///
    /// That of `allocate`, plus the time to write the zeros.
    ///
    /// # Panics
    ///
    /// As `allocate`.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let block = heap.allocate_zeroed(Layout::new::<[u32; 10]>()).unwrap();
    /// // SAFETY: the block has room for the numbers, which are initialised.
    /// assert_eq!(unsafe { block.cast::<[u32; 10]>().read() }, [0; 10]);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "an ignored block is leaked"]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        allocate_zeroed(self, layout).map(NonNull::cast)
    }

    /// A block, and whether all of it is known to be zero.
    ///
    /// # Errors
    ///
    /// As [`try_allocate`](Self::try_allocate).
    pub(crate) fn try_allocate_zeroed(&self, layout: Layout) -> Result<Option<(NonNull<u8>, bool)>, MisuseError> {
        let Some((carver, size)) = self.class(self.table.class_of(layout)) else {
            return RunSize::of(layout).map_or(Ok(None), |size| self.runs.take(size, &self.pages));
        };
        // SAFETY: Size.
        if let Some(block) = unsafe { carver.take(size) }? {
            return Ok(Some((block, false)));
        }
        let Some((first, is_zeroed)) = self.pages.take_zeroed_pages(size.pages_per_run()) else {
            return Ok(self.take_from_free_run(carver, size)?.map(|block| (block, false)));
        };
        // SAFETY: Size; by PageSource, the run has these pages, and nobody else knows of it.
        let block = unsafe { carver.begin_run(size, first.cast()) }?;
        // In a hardened program it is filled.
        Ok(block.map(|block| (block, is_zeroed && !cfg!(hpalloc_hardened))))
    }
}
