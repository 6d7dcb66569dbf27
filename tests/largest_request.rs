//! Tests of the largest request that a heap of size classes serves, and of a table's
//! worst case, by trying all requests.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

mod common;

use core::alloc::Layout;

use common::with_pages;
use hpalloc::{Arena, DEFAULT_SIZES, PAGE_SIZE, PageSource, SizeClasses, SizeTable};

/// The largest number of pages of a heap.
const PAGES: usize = if cfg!(target_os = "none") {
    3
} else if cfg!(miri) {
    9
} else {
    64
};
/// The step between the sizes that are tried. On a host, all sizes are tried.
const STEP: usize = if cfg!(any(miri, target_os = "none")) { 509 } else { 1 };

static FEW: &SizeTable<3> = hpalloc::size_table![24, 104, 1000];
static LARGE: &SizeTable<4> = hpalloc::size_table![64, 4096, 32_800, 40_000];
static NONE: &SizeTable<0> = hpalloc::size_table![];

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

/// Checks that no request above `largest` succeeds, up to the size of the pages.
fn nothing_above<P: PageSource, const N: usize>(heap: &SizeClasses<P, N>, largest: usize, pages: usize, step: usize) {
    for size in (largest + 1..=pages * PAGE_SIZE + 1).step_by(step) {
        assert_eq!(heap.allocate(bytes(size)), None, "{size} of {pages} pages, above {largest}");
    }
}

fn in_a_new_heap<const N: usize>(table: &'static SizeTable<N>) {
    for count in 1..=PAGES {
        with_pages(count, |pages| {
            let largest = table.largest_request(count);
            let mut arena = Arena::from_pages(pages).unwrap();
            nothing_above(&SizeClasses::with_table(&arena, table), largest, count, STEP);
            // Pages that other users of the arena could take don't count.
            assert_eq!(SizeClasses::with_table(&arena, table).largest_free(), 0);
            assert!(SizeClasses::with_table(&arena, table).allocate(bytes(largest)).is_some());
            arena.reset();
            let heap = SizeClasses::with_table(arena, table);
            assert_eq!(heap.largest_free(), largest, "{count} pages");
            assert!(heap.allocate(bytes(largest)).is_some());
        });
    }
    assert_eq!(table.largest_request(0), 0);
    assert_eq!(table.largest_request(usize::MAX), table.largest_request(hpalloc::MAX_ARENA_SIZE / PAGE_SIZE));
}

#[test]
fn in_new_heaps() {
    in_a_new_heap(DEFAULT_SIZES);
    in_a_new_heap(FEW);
    in_a_new_heap(NONE);
    in_a_new_heap(LARGE);
}

/// As documented: most heaps refuse a request for all the bytes of their pages.
#[test]
#[cfg(not(any(target_os = "none", miri, hpalloc_hardened)))]
fn all_bytes_of_the_pages_are_refused_for_most_heaps() {
    let is_refused = |&count: &usize| DEFAULT_SIZES.largest_request(count) < count * PAGE_SIZE;
    assert_eq!((1..=64).filter(is_refused).count(), 44);
}

/// Marsaglia, *Xorshift RNGs*, 2003.
fn random(state: &mut u32) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    (*state >> 8) as usize
}

/// Checks `largest_free` of a heap in use, after each of many operations.
fn in_a_used_heap<P: PageSource, const N: usize>(heap: &SizeClasses<P, N>, pages: usize, mut state: u32) {
    const LIVE: usize = 24;
    let mut live = [None; LIVE];
    for _ in 0..if STEP == 1 { 60 } else { 20 } {
        let slot = &mut live[random(&mut state) % LIVE];
        if let Some((block, layout)) = slot.take() {
            // SAFETY: the block is live, has this layout, and isn't used afterwards.
            unsafe { heap.deallocate(block, layout) };
        } else {
            let most = [100, 1000, PAGE_SIZE, pages * PAGE_SIZE][random(&mut state) % 4];
            let layout = bytes(random(&mut state) % most);
            *slot = heap.allocate(layout).map(|block| (block, layout));
        }
        let largest = heap.largest_free();
        nothing_above(heap, largest, pages, STEP.max(101));
        if let Some(slot) = live.iter_mut().find(|slot| slot.is_none()).filter(|_| largest > 0) {
            let block = heap.allocate(bytes(largest));
            *slot = Some((block.expect("a request of `largest_free` bytes succeeds"), bytes(largest)));
            if random(&mut state) % 4 > 0 {
                let (block, layout) = slot.take().unwrap();
                // SAFETY: as above.
                unsafe { heap.deallocate(block, layout) };
            }
        }
    }
}

#[test]
fn in_used_heaps() {
    for count in 1..=PAGES.min(12) {
        for seed in 1..=if cfg!(any(miri, target_os = "none")) { 2 } else { 8 } {
            let state = 0x9E37_79B9_u32.wrapping_mul(seed);
            with_pages(count, |pages| {
                let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), FEW);
                in_a_used_heap(&heap, count, state);
            });
            with_pages(count, |pages| {
                let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), LARGE);
                in_a_used_heap(&heap, count, state);
            });
            #[cfg(not(target_os = "none"))]
            with_pages(count, |pages| {
                in_a_used_heap(&SizeClasses::new(Arena::from_pages(pages).unwrap()), count, state);
            });
        }
    }
}

/// The source with the most pages determines the largest request.
#[test]
fn over_several_sources() {
    with_pages(3, |pages| {
        let (one, two) = pages.split_at_mut(1);
        let sources = (Arena::from_pages(one).unwrap(), Arena::from_pages(two).unwrap());
        let heap = SizeClasses::with_table(sources, FEW);
        assert_eq!(heap.largest_free(), FEW.largest_request(2));
        assert!(heap.allocate(bytes(heap.largest_free())).is_some());
        assert_eq!(heap.largest_free(), FEW.largest_request(1));
        in_a_used_heap(&heap, 3, 1);
    });
}

/// A source that returns a wrong number of pages is asked a limited number of times.
#[test]
fn a_source_that_says_nonsense() {
    struct Nonsense<'a>(Arena<hpalloc::Borrowed<'a>>);

    // SAFETY: the pages are those of the arena.
    unsafe impl PageSource for Nonsense<'_> {
        fn take_pages(&self, count: usize) -> Option<core::ptr::NonNull<hpalloc::Page>> {
            self.0.take_pages(count)
        }

        fn exclusive_pages(&self, _: usize) -> usize {
            2
        }
    }

    with_pages(3, |pages| {
        let heap = SizeClasses::with_table(Nonsense(Arena::from_pages(pages).unwrap()), FEW);
        assert_eq!(heap.largest_free(), FEW.largest_request(2));
    });
}

/// Checks that `worst_for` is the maximum over all sizes, for each alignment.
fn the_worst_of_all<const N: usize>(table: &'static SizeTable<N>) {
    let largest = table.block_sizes().last().map_or(0, |size| size.bytes());
    for align in (0..=12).map(|shift| 1_usize << shift) {
        let times = |size: usize| table.usable_size(Layout::from_size_align(size, align).unwrap()).div_ceil(size);
        let values = (align..=largest.max(align)).step_by(align);
        assert_eq!(Some(table.worst_for(align)), values.map(times).max(), "aligned to {align}");
    }
    for align in [0, 3, 24, 2 * PAGE_SIZE, 1 << (usize::BITS - 1)] {
        assert_eq!(table.worst_for(align), usize::MAX);
    }
}

#[test]
fn the_worst_cases() {
    #[cfg(not(any(target_os = "none", miri)))]
    the_worst_of_all(DEFAULT_SIZES);
    the_worst_of_all(FEW);
    the_worst_of_all(NONE);
    #[cfg(not(any(target_os = "none", miri)))]
    the_worst_of_all(LARGE);
    the_worst_of_all(hpalloc::size_table![32, 48, 112, 1008]);
}
