//! What several test files share. Each of them uses a part of it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this")]

use core::ptr::NonNull;

use hpalloc::{PAGE_SIZE, Page, Region};

pub mod world;

/// The most pages that `with_pages` can be asked for.
pub const MAX_PAGES: usize = 16;

/// Runs a test with `count` pages of memory that are full of rubbish.
pub fn with_pages<T>(count: usize, test: impl FnOnce(&mut [Page]) -> T) -> T {
    assert!(count <= MAX_PAGES);
    let mut pages: Vec<Page> = (0..count).map(|_| Page::new()).collect();
    fill(&mut pages);
    test(&mut pages)
}

/// Fills pages with rubbish.
pub fn fill(pages: &mut [Page]) {
    for page in pages {
        // SAFETY: the page is borrowed mutably.
        unsafe { page.as_mut_ptr().write_bytes(0xA5, PAGE_SIZE) };
    }
}

/// The address of a page.
pub fn address(page: &mut Page) -> usize {
    page.as_mut_ptr().addr()
}

/// A user's own region: the pages from `first` on, of memory that the test keeps.
pub struct OwnRegion(NonNull<[Page]>);

impl OwnRegion {
    /// # Safety
    ///
    /// The pages are there, and nothing else uses them, for as long as the region lives.
    pub unsafe fn new(first: NonNull<Page>, count: usize) -> Self {
        Self(NonNull::slice_from_raw_parts(first, count))
    }
}

// SAFETY: by the promise given to `new`; the pages are aligned by their type.
unsafe impl Region for OwnRegion {
    fn pages(&self) -> NonNull<[Page]> {
        self.0
    }
}

/// Bytes on a page boundary, and room to be off it.
#[repr(C, align(4096))]
pub struct Bytes<const N: usize>(pub [core::mem::MaybeUninit<u8>; N]);

impl<const N: usize> Bytes<N> {
    pub const fn new() -> Self {
        Self([core::mem::MaybeUninit::uninit(); N])
    }
}
