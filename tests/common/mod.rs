//! Code that several test files share. Each of them uses only a part of it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this")]

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::slice;

use hpalloc::{ArenaError, MAX_ARENA_SIZE, PAGE_SIZE, Page, Region};

pub mod heap_world;
pub mod world;

/// The largest number of pages that `with_pages` provides. On a chip with 16 KiB of RAM,
/// three pages leave 4 KiB for everything else.
pub const MAX_PAGES: usize = if cfg!(target_os = "none") { 3 } else { 16 };

/// Runs a test with `count` pages of memory, filled with `RUBBISH`.
#[cfg(not(target_os = "none"))]
pub fn with_pages<T>(count: usize, test: impl FnOnce(&mut [Page]) -> T) -> T {
    let mut pages: Vec<Page> = (0..count).map(|_| Page::new()).collect();
    fill(&mut pages);
    test(&mut pages)
}

/// Runs a test with `count` pages of memory, filled with `RUBBISH`. No other test runs at
/// the same time.
#[cfg(target_os = "none")]
pub fn with_pages<T>(count: usize, test: impl FnOnce(&mut [Page]) -> T) -> T {
    struct Memory(core::cell::UnsafeCell<[Page; MAX_PAGES]>);
    // SAFETY: tests run one at a time, and a test that panics never resumes.
    unsafe impl Sync for Memory {}
    // The linker scripts of the small chips expect pages in this section.
    #[unsafe(link_section = ".bss.__HPALLOC_PAGES")]
    static MEMORY: Memory = Memory(core::cell::UnsafeCell::new([const { Page::new() }; MAX_PAGES]));

    // SAFETY: no other test uses the memory, and a test doesn't nest calls.
    let pages = unsafe { &mut (&mut *MEMORY.0.get())[..count] };
    fill(pages);
    test(pages)
}

/// The number of bytes that guard the end of each block.
pub const GUARD: usize = if cfg!(hpalloc_hardened) { 2 * size_of::<usize>() } else { 0 };

/// Returns the distance between the starts of neighboring blocks, in bytes.
pub fn stride(block_size: usize) -> usize {
    if GUARD == 0 {
        return block_size;
    }
    let align = (1 << block_size.trailing_zeros()).min(PAGE_SIZE);
    (block_size + GUARD).next_multiple_of(align)
}

/// The number of bytes at the end of each run of pages that hold the pool's record of it.
pub const RECORD: usize = if cfg!(hpalloc_hardened) { 4 * size_of::<usize>() } else { 0 };

/// Returns how many blocks a page holds.
pub fn blocks_per_page(block_size: usize) -> usize {
    let one = block_size + GUARD + RECORD;
    if one > PAGE_SIZE { 0 } else { (PAGE_SIZE - one) / stride(block_size) + 1 }
}

/// Returns how many pages a run for blocks of this size has.
pub fn pages_per_run(block_size: usize) -> usize {
    (block_size + GUARD + RECORD).div_ceil(PAGE_SIZE)
}

/// Returns how many pages the runs of a heap of size classes can have: 1, 2, 3, 4, 5, 6,
/// 7, 8, 10, 12, 14, 16, 20 and so on.
pub fn run_sizes() -> impl Iterator<Item = usize> {
    let quarters = |shift: usize| (5..=8).map(move |quarters: usize| quarters << shift);
    (1..=4).chain((0..14).flat_map(quarters))
}

/// The byte that the memory of a test is filled with.
pub const RUBBISH: u8 = 0xA5;

/// Fills pages with `RUBBISH`.
pub fn fill(pages: &mut [Page]) {
    for page in pages {
        // SAFETY: the page is borrowed mutably.
        unsafe { page.as_mut_ptr().write_bytes(RUBBISH, PAGE_SIZE) };
    }
}

/// Returns the address of a page.
pub fn address(page: &mut Page) -> usize {
    page.as_mut_ptr().addr()
}

/// A region that a user of the crate could write: `count` pages from `first` on, in
/// memory that belongs to the test.
pub struct OwnRegion(NonNull<[Page]>);

impl OwnRegion {
    /// # Safety
    ///
    /// For as long as the region exists, the pages exist, and nothing else uses them.
    pub unsafe fn new(first: NonNull<Page>, count: usize) -> Self {
        Self(NonNull::slice_from_raw_parts(first, count))
    }
}

// SAFETY: guaranteed by the caller of `new`. The type of the pages aligns them.
unsafe impl Region for OwnRegion {
    fn pages(&self) -> NonNull<[Page]> {
        self.0
    }
}

/// Returns the bytes of pages, for tests of byte slices. Their type aligns them: Miri's
/// symbolic alignment check rejects an array of bytes at any address.
pub fn bytes(pages: &mut [Page]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the memory and the borrow are the same.
    unsafe { slice::from_raw_parts_mut(pages.as_mut_ptr().cast(), pages.len() * PAGE_SIZE) }
}

/// Returns sizes that no arena may have, each with its error.
pub fn bad_sizes() -> impl Iterator<Item = (usize, ArenaError)> {
    let invalid = [0, 1, 4095, 4097, MAX_ARENA_SIZE - 1].map(|size| (size, ArenaError::InvalidSize { size }));
    let too_large = [MAX_ARENA_SIZE + 1, MAX_ARENA_SIZE + PAGE_SIZE, usize::MAX, usize::MAX & !4095]
        .map(|size| (size, ArenaError::TooLarge { size, max: MAX_ARENA_SIZE }));
    invalid.into_iter().chain(too_large)
}
