//! The usable size of blocks, and changing the size of a block.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::SizeClasses;
use crate::by_layout::{ByLayout, Zeroed, resize};
use crate::hardened::MisuseError;
use crate::page_source::whole_block;
use crate::run_size::RunSize;
use crate::{BlockSize, PageSource};

/// The class or the run size that serves a layout.
#[derive(PartialEq, Eq)]
enum Place {
    /// The class with this block size.
    Class(BlockSize),
    Run(RunSize),
}

impl<P: PageSource, const N: usize> SizeClasses<P, N> {
    /// Returns the number of bytes that a block for the layout has, or 0 if no heap with
    /// this table can serve the layout.
    ///
    /// [`SizeTable::usable_size`](crate::SizeTable::usable_size) is the same for
    /// constants.
    ///
    /// # Time complexity
    ///
    /// Constant, see [`SizeTable`](crate::SizeTable).
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// assert_eq!(heap.usable_size(Layout::from_size_align(129, 1)?), 160);
    /// assert_eq!(heap.usable_size(Layout::from_size_align(129, 64)?), 192);
    /// assert_eq!(heap.usable_size(Layout::from_size_align(129, 8192)?), 0);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn usable_size(&self, layout: Layout) -> usize {
        self.table.usable_size(layout)
    }

    /// Returns the class or run size for the layout, if it can be served.
    fn place(&self, layout: Layout) -> Option<Place> {
        match self.block_sizes().get(self.table.class_of(layout)) {
            Some(&size) => Some(Place::Class(size)),
            None => RunSize::of(layout).map(Place::Run),
        }
    }

    /// Grows a block: in place if the new layout has the same class, otherwise by moving
    /// it.
    ///
    /// Returns the block's new address. Returns `None` if no block is free for the new
    /// layout; the block is then unchanged.
    ///
    /// # Time complexity
    ///
    /// Constant in place. Otherwise the time to allocate, copy the old size, and
    /// deallocate.
    ///
    /// # Panics
    ///
    /// Only if the page source panics, or, with `--cfg hpalloc_hardened`, the misuse
    /// hook.
    ///
    /// # Safety
    ///
    /// That of [`deallocate`](Self::deallocate) for `block` and `old`; and the new size
    /// is at least the old. Unless `None` is returned, the block has the new layout from
    /// then on.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let [small, same, large] =
    ///     [100, 112, 113].map(|size| Layout::from_size_align(size, 1).unwrap());
    /// let block = heap.allocate(small).unwrap();
    /// // SAFETY: the block has the layouts that are passed with it.
    /// unsafe {
    ///     assert_eq!(heap.grow(block, small, same), Some(block));
    ///     assert_ne!(heap.grow(block, same, large), Some(block));
    /// }
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "the block may have moved; if this is `None`, it has its old layout"]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller upholds the same contract.
        unsafe { resize(self, block, old, new) }.map(NonNull::cast)
    }

    /// Shrinks a block: in place if the new layout has the same class, otherwise by
    /// moving it.
    ///
    /// Returns the block's new address. Returns `None` if no block is free for the new
    /// layout; the block is then unchanged. So shrinking can fail, if the smaller class
    /// has no block left.
    ///
    /// # Time complexity
    ///
    /// Constant in place. Otherwise the time to allocate, copy the new size, and
    /// deallocate.
    ///
    /// # Panics
    ///
    /// Only if the page source panics, or, with `--cfg hpalloc_hardened`, the misuse
    /// hook.
    ///
    /// # Safety
    ///
    /// That of [`deallocate`](Self::deallocate) for `block` and `old`; and the new size
    /// is at most the old. Unless `None` is returned, the block has the new layout from
    /// then on.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let [large, same, small] =
    ///     [112, 97, 96].map(|size| Layout::from_size_align(size, 1).unwrap());
    /// let block = heap.allocate(large).unwrap();
    /// // SAFETY: the block has the layouts that are passed with it.
    /// unsafe {
    ///     assert_eq!(heap.shrink(block, large, same), Some(block));
    ///     assert_ne!(heap.shrink(block, same, small), Some(block));
    /// }
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use = "the block may have moved; if this is `None`, it has its old layout"]
    #[cfg_attr(hpalloc_hardened, track_caller)]
    pub unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller upholds the same contract.
        unsafe { resize(self, block, old, new) }.map(NonNull::cast)
    }
}

impl<P: PageSource, const N: usize> ByLayout for SizeClasses<P, N> {
    #[inline]
    fn take(&self, layout: Layout) -> Result<Option<NonNull<[u8]>>, MisuseError> {
        let block = self.try_allocate(layout)?;
        Ok(block.map(|block| NonNull::slice_from_raw_parts(block, self.usable_size(layout))))
    }

    fn take_zeroed(&self, layout: Layout) -> Zeroed {
        let block = self.try_allocate_zeroed(layout)?;
        Ok(block.map(|(block, is_zeroed)| (NonNull::slice_from_raw_parts(block, layout.size()), is_zeroed)))
    }

    #[inline]
    unsafe fn give_back(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller upholds the same contract. Every run's pointer was exposed,
        // so `whole_block` returns one that is valid for all of the block.
        unsafe { self.give_back(whole_block(block), layout) }
    }

    #[inline]
    unsafe fn check(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        if let Some((carver, size)) = self.class(self.table.class_of(layout)) {
            // SAFETY: the caller upholds the same contract; and Size.
            return unsafe { carver.check(block, size) }.map(drop);
        }
        match RunSize::of(layout) {
            // SAFETY: the caller upholds the same contract.
            Some(size) => unsafe { self.runs.check(block, size) }.map(drop),
            None => self.runs.refuse(block, layout),
        }
    }

    #[inline]
    fn in_place(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<[u8]>> {
        let place = self.place(new);
        if place.is_none() || place != self.place(old) {
            return None;
        }
        Some(NonNull::slice_from_raw_parts(whole_block(block), self.usable_size(new)))
    }
}
