//! What several test files share. Each of them uses a part of it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this")]

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::slice;

use hpalloc::{ArenaError, MAX_ARENA_SIZE, PAGE_SIZE, Page, Region};

pub mod heap_world;
pub mod world;

/// The most pages that `with_pages` can be asked for. Three of them leave 4 of 16 KiB for everything else.
pub const MAX_PAGES: usize = if cfg!(target_os = "none") { 3 } else { 16 };

/// Runs a test with `count` pages of memory that are full of rubbish.
#[cfg(not(target_os = "none"))]
pub fn with_pages<T>(count: usize, test: impl FnOnce(&mut [Page]) -> T) -> T {
    let mut pages: Vec<Page> = (0..count).map(|_| Page::new()).collect();
    fill(&mut pages);
    test(&mut pages)
}

/// Runs a test with `count` pages of memory that are full of rubbish. No other test runs at the same time.
#[cfg(target_os = "none")]
pub fn with_pages<T>(count: usize, test: impl FnOnce(&mut [Page]) -> T) -> T {
    struct Memory(core::cell::UnsafeCell<[Page; MAX_PAGES]>);
    // SAFETY: tests run one after the other, and one that panics is left for good.
    unsafe impl Sync for Memory {}
    // Where the linker script of the small chips expects pages.
    #[unsafe(link_section = ".bss.__HPALLOC_PAGES")]
    static MEMORY: Memory = Memory(core::cell::UnsafeCell::new([const { Page::new() }; MAX_PAGES]));

    // SAFETY: no other test has it, and a test doesn't ask twice.
    let pages = unsafe { &mut (&mut *MEMORY.0.get())[..count] };
    fill(pages);
    test(pages)
}

/// How many bytes lie after each block, to guard it.
pub const GUARD: usize = if cfg!(hpalloc_hardened) { 2 * size_of::<usize>() } else { 0 };

/// How far apart blocks are.
pub fn stride(block_size: usize) -> usize {
    if GUARD == 0 {
        return block_size;
    }
    let align = (1 << block_size.trailing_zeros()).min(PAGE_SIZE);
    (block_size + GUARD).next_multiple_of(align)
}

/// How many bytes lie at the end of each run of pages that a pool took.
pub const RECORD: usize = if cfg!(hpalloc_hardened) { 4 * size_of::<usize>() } else { 0 };

/// How many blocks a page holds.
pub fn blocks_per_page(block_size: usize) -> usize {
    let one = block_size + GUARD + RECORD;
    if one > PAGE_SIZE { 0 } else { (PAGE_SIZE - one) / stride(block_size) + 1 }
}

/// How many pages a run of blocks of that size has.
pub fn pages_per_run(block_size: usize) -> usize {
    (block_size + GUARD + RECORD).div_ceil(PAGE_SIZE)
}

/// How many pages runs of a heap of size classes have: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20.. pages.
pub fn run_sizes() -> impl Iterator<Item = usize> {
    let quarters = |shift: usize| (5..=8).map(move |quarters: usize| quarters << shift);
    (1..=4).chain((0..14).flat_map(quarters))
}

/// What the rubbish consists of.
pub const RUBBISH: u8 = 0xA5;

/// Fills pages with rubbish.
pub fn fill(pages: &mut [Page]) {
    for page in pages {
        // SAFETY: the page is borrowed mutably.
        unsafe { page.as_mut_ptr().write_bytes(RUBBISH, PAGE_SIZE) };
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

/// The bytes of pages: memory for tests of byte slices, which is aligned by its type. Miri's symbolic check of alignment
/// refuses an array of bytes, whatever its address.
pub fn bytes(pages: &mut [Page]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the same memory, borrowed the same way.
    unsafe { slice::from_raw_parts_mut(pages.as_mut_ptr().cast(), pages.len() * PAGE_SIZE) }
}

/// Sizes that no arena may have, and what is said of each.
pub fn bad_sizes() -> impl Iterator<Item = (usize, ArenaError)> {
    let invalid = [0, 1, 4095, 4097, MAX_ARENA_SIZE - 1].map(|size| (size, ArenaError::InvalidSize { size }));
    let too_large = [MAX_ARENA_SIZE + 1, MAX_ARENA_SIZE + PAGE_SIZE, usize::MAX, usize::MAX & !4095]
        .map(|size| (size, ArenaError::TooLarge { size, max: MAX_ARENA_SIZE }));
    invalid.into_iter().chain(too_large)
}
