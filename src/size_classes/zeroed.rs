//! Allocating zeroed blocks, without writing zeros to memory that is known to be zero.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::SizeClasses;
use crate::PageSource;
use crate::by_layout::allocate_zeroed;
use crate::hardened::MisuseError;
use crate::run_size::RunSize;

impl<P: PageSource, const N: usize> SizeClasses<P, N> {
    /// Allocates a block like [`allocate`](Self::allocate) and zeroes as many bytes as
    /// the layout has.
    ///
    /// Memory that comes zeroed from the source, such as a fresh mapping, is not written
    /// again if it is a run of pages that was never handed out, or the first block of the
    /// pages that refill a class. So no zeros are written to fresh blocks of more than
    /// half a page. For smaller blocks, several of which share a page, a class would have
    /// to remember whether its page came zeroed.
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
    /// // SAFETY: the block has room for the array, and its bytes are zero.
    /// assert_eq!(unsafe { block.cast::<[u32; 10]>().read() }, [0; 10]);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "an ignored block is leaked"]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        allocate_zeroed(self, layout).map(NonNull::cast)
    }

    /// Allocates a block. The flag is `true` if all of the block is known to be zero.
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
        // SAFETY: Size; and by PageSource, the run has these pages, and nothing else
        // knows of it.
        let block = unsafe { carver.begin_run(size, first.cast()) }?;
        // A hardened build fills the block, so it isn't zero any more.
        Ok(block.map(|block| (block, is_zeroed && !cfg!(hpalloc_hardened))))
    }
}
