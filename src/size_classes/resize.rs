//! How large a block is, and how it gets another layout.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::SizeClasses;
use crate::by_layout::{ByLayout, Zeroed, resize};
use crate::hardened::MisuseError;
use crate::page_source::whole_block;
use crate::run_size::RunSize;
use crate::{BlockSize, PageSource};

/// Where blocks come from.
#[derive(PartialEq, Eq)]
enum Place {
    /// The class with that block size.
    Class(BlockSize),
    Run(RunSize),
}

impl<P: PageSource, const N: usize> SizeClasses<P, N> {
    /// How many bytes a block for the layout has; 0 where it can't be served, whatever memory there is.
    ///
    /// As [`SizeTable::usable_size`](crate::SizeTable::usable_size), which is for constants.
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

    /// Where blocks for the layout come from, if it can be served.
    fn place(&self, layout: Layout) -> Option<Place> {
        match self.block_sizes().get(self.table.class_of(layout)) {
            Some(&size) => Some(Place::Class(size)),
            None => RunSize::of(layout).map(Place::Run),
        }
    }

    /// Makes a block larger: in place where the new layout has the same class, otherwise by moving it.
    ///
    /// Returns where the block is now. `None` where there is none for the new layout; then it stays as it was.
    ///
    /// # Time complexity
    ///
    /// Constant in place; otherwise as allocating, copying the old size, and deallocating.
    ///
    /// # Panics
    ///
    /// Only if the source of pages does, or, with `--cfg hpalloc_hardened`, the hook for misuse.
    ///
    /// # Safety
    ///
    /// That of [`deallocate`](Self::deallocate) for `block` and `old`, and the new size is not below the old. Unless it
    /// returns `None`, the block has the new layout from then on.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let [small, same, large] = [100, 112, 113].map(|size| Layout::from_size_align(size, 1).unwrap());
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
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { resize(self, block, old, new) }.map(NonNull::cast)
    }

    /// Makes a block smaller: in place where the new layout has the same class, otherwise by moving it.
    ///
    /// Returns where the block is now. `None` where there is none for the new layout; then it stays as it was. (So shrinking
    /// can fail, if the smaller class has no block left.)
    ///
    /// # Time complexity
    ///
    /// Constant in place; otherwise as allocating, copying the new size, and deallocating.
    ///
    /// # Panics
    ///
    /// Only if the source of pages does, or, with `--cfg hpalloc_hardened`, the hook for misuse.
    ///
    /// # Safety
    ///
    /// That of [`deallocate`](Self::deallocate) for `block` and `old`, and the new size is not above the old. Unless it
    /// returns `None`, the block has the new layout from then on.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 2];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let [large, same, small] = [112, 97, 96].map(|size| Layout::from_size_align(size, 1).unwrap());
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
        // SAFETY: the caller's promise is the one that is asked for.
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
        // SAFETY: by the caller's promise; every run was exposed, so the pointer is valid for all of the block.
        unsafe { self.give_back(whole_block(block), layout) }
    }

    #[inline]
    unsafe fn check(&self, block: NonNull<u8>, layout: Layout) -> Result<(), MisuseError> {
        if let Some((carver, size)) = self.class(self.table.class_of(layout)) {
            // SAFETY: the caller's promise is the one that is asked for, and Size.
            return unsafe { carver.check(block, size) }.map(drop);
        }
        match RunSize::of(layout) {
            // SAFETY: likewise.
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
