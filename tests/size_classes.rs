//! Tests of heaps of size classes: the choice of the class that serves a request, and the
//! guarantees for its blocks.
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
use core::iter;

use common::heap_world::HeapWorld;
use common::{GUARD, MAX_PAGES, RECORD, address, with_pages};
use hpalloc::{Arena, DEFAULT_SIZES, FixedBlock, MAX_ARENA_SIZE, PAGE_SIZE, SizeClasses, SizeTable};

/// The step between the sizes that are tried. On a host, all sizes are tried.
const STEP: usize = if cfg!(miri) {
    997
} else if cfg!(target_os = "none") {
    61
} else {
    1
};
/// The step between the sizes around classes and runs, which come in threes.
const STEP_AROUND: usize = if cfg!(miri) { 16 } else { 1 };

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Returns the largest power of two that divides the size, at most the page size.
fn alignment(size: usize) -> usize {
    1 << size.trailing_zeros().min(PAGE_SIZE.trailing_zeros())
}

/// Returns the sizes of runs, in bytes.
fn run_sizes() -> impl Iterator<Item = usize> {
    common::run_sizes().map(|pages| pages * PAGE_SIZE)
}

/// Computes the expected result of `usable_size` by a linear search.
fn usable_size(sizes: impl IntoIterator<Item = usize>, layout: Layout) -> usize {
    let mut classes = sizes.into_iter().filter(|&size| alignment(size) >= layout.align());
    match classes.find(|&size| size >= layout.size()) {
        Some(size) => size,
        None if layout.align() > PAGE_SIZE => 0,
        None => run_sizes().map(|size| size - GUARD - RECORD).find(|&size| size >= layout.size()).unwrap_or(0),
    }
}

fn each_request_gets_the_first_class_that_fits<const N: usize>(table: &'static SizeTable<N>) {
    with_pages(1, |pages| {
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), table);
        let sizes = || table.block_sizes().iter().map(|size| size.bytes());
        let around = |size: usize| [size - 1, size, size + 1];
        let sizes_to_try = (0..5 * PAGE_SIZE)
            .step_by(STEP)
            .chain(sizes().flat_map(around).chain(run_sizes().flat_map(around)).step_by(STEP_AROUND))
            .chain([MAX_ARENA_SIZE - 1, MAX_ARENA_SIZE, MAX_ARENA_SIZE + 1, isize::MAX as usize - 2 * PAGE_SIZE]);
        for size in sizes_to_try {
            for align in (0..=13).map(|shift| 1 << shift) {
                let layout = layout(size, align);
                assert_eq!(heap.usable_size(layout), usable_size(sizes(), layout), "{layout:?}");
            }
        }
    });
}

#[test]
fn default_sizes() {
    each_request_gets_the_first_class_that_fits(DEFAULT_SIZES);
}

#[test]
fn sizes_that_are_aligned_to_little() {
    // A word has 8 bytes on a 64-bit machine.
    each_request_gets_the_first_class_that_fits(hpalloc::size_table![
        8, 24, 40, 56, 72, 88, 104, 120, 136, 1000, 1016, 1024, 1032, 1048, 4104, 20_480, 20_488, 40_000,
    ]);
    each_request_gets_the_first_class_that_fits(hpalloc::size_table![16, 100_000]);
}

#[test]
fn no_sizes_at_all() {
    each_request_gets_the_first_class_that_fits(hpalloc::size_table![]);
}

#[test]
fn as_many_sizes_as_a_table_can_have() {
    static TABLE: SizeTable<255> = {
        let mut sizes = [0; 255];
        let mut class = 0;
        while class < 255 {
            sizes[class] = 8 * (class + 1);
            class += 1;
        }
        match SizeTable::new(sizes) {
            Ok(table) => table,
            Err(_) => panic!("the sizes must ascend"),
        }
    };
    each_request_gets_the_first_class_that_fits(&TABLE);
}

/// The table in the documentation of `DEFAULT_SIZES`. Each row has the smallest request
/// of a range, and the worst ratio in that range of the memory that a request needs to
/// its size, in hundredths, rounded up.
const WORST_CASES: [(usize, u64); 9] =
    [(17, 189), (33, 147), (129, 128), (513, 126), (1025, 134), (1361, 151), (2049, 200), (8193, 150), (16_385, 125)];

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn internal_fragmentation_is_what_is_said() {
    with_pages(1, |pages| {
        let heap = SizeClasses::new(Arena::from_pages(pages).unwrap());
        // A block needs its share of a page, or whole pages.
        let hundredths = |size: usize| {
            let usable = heap.usable_size(layout(size, 1));
            let (pages, blocks) = (usable.div_ceil(PAGE_SIZE), (PAGE_SIZE / usable).max(1));
            (100 * (pages * PAGE_SIZE) as u64).div_ceil((blocks * size) as u64)
        };
        let ends = WORST_CASES.iter().skip(1).map(|&(from, _)| from).chain([MAX_ARENA_SIZE + 1]);
        for (&(from, worst), end) in WORST_CASES.iter().zip(ends) {
            // The ratio is worst for the smallest request of each block size, so these
            // are all the requests that matter.
            let sizes = DEFAULT_SIZES.block_sizes().iter().map(|size| size.bytes()).chain(run_sizes());
            let requests =
                [from].into_iter().chain(sizes.map(|size| size + 1)).filter(|size| (from..end).contains(size));
            assert_eq!(requests.map(hundredths).max(), Some(worst), "from {from}");
        }
        // A request of up to 16 bytes needs 16.
        assert!((1..=16).all(|size| heap.usable_size(layout(size, 1)) == 16));
    });
}

/// The largest number of live blocks in a sequence.
const LIVE: usize = if cfg!(target_os = "none") { 24 } else { 400 };
/// The largest number of classes and sizes of runs that a sequence uses.
const CLASSES: usize = if cfg!(target_os = "none") { 12 } else { 64 };
/// The number of sequences, and of steps in each.
const SEQUENCES: (u32, u32) = if cfg!(miri) {
    (3, 100)
} else if cfg!(target_os = "none") {
    (30, 300)
} else {
    (300, 5000)
};

/// Marsaglia, *Xorshift RNGs*, 2003.
struct Random(u32);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) as usize
    }

    /// Returns a layout, more often a small one.
    fn layout(&mut self, pages: usize) -> Layout {
        let most = [16, 64, 256, 1024, PAGE_SIZE, pages * PAGE_SIZE][self.next() % 6];
        let align = [1, 1, 1, 4, 8, 16, 64, PAGE_SIZE, 2 * PAGE_SIZE][self.next() % 9];
        layout(self.next() % (most + 1), align)
    }
}

fn random_sequences<const N: usize>(table: &'static SizeTable<N>) {
    random_sequences_of(table, MAX_PAGES, SEQUENCES);
}

fn random_sequences_of<const N: usize>(table: &'static SizeTable<N>, count: usize, sequences: (u32, u32)) {
    for number in 1..=sequences.0 {
        with_pages(count, |pages| {
            let base = address(&mut pages[0]);
            let arena = Arena::from_pages(pages).unwrap();
            let mut world = HeapWorld::<_, N, LIVE, CLASSES>::new(&arena, base, table);
            let mut random = Random(0x9E37_79B9 ^ number);
            for step in 0..sequences.1 {
                world.step(random.next(), random.layout(count), random.next() % 4 == 0);
                if step % 16 == 0 {
                    world.check_counts();
                }
            }
            world.check_counts();
            world.clear();
            world.check_counts();
        });
    }
}

#[test]
fn random_sequences_with_few_sizes() {
    random_sequences(hpalloc::size_table![16, 64, 256, 1024]);
}

#[cfg(not(target_os = "none"))]
#[test]
fn random_sequences_with_the_default_sizes() {
    random_sequences(DEFAULT_SIZES);
}

/// Many pages, so that there are large runs to cut into several.
#[cfg(not(any(target_os = "none", miri)))]
#[test]
fn random_sequences_with_many_pages() {
    random_sequences_of(hpalloc::size_table![16, 64, 1024, 36_000], 333, (20, 1500));
    random_sequences_of(DEFAULT_SIZES, 333, (20, 1500));
}

#[cfg(not(target_os = "none"))]
#[test]
fn random_sequences_without_sizes() {
    random_sequences(hpalloc::size_table![]);
}

#[test]
fn the_block_freed_last_is_the_next_of_its_class() {
    with_pages(2, |pages| {
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), hpalloc::size_table![64, 256]);
        let (small, large) = (layout(60, 4), layout(200, 4));
        let [a, b] = [(); 2].map(|()| heap.allocate(small).unwrap());
        let c = heap.allocate(large).unwrap();
        // SAFETY: the blocks are live and aren't used afterwards.
        unsafe {
            heap.deallocate(a, small);
            heap.deallocate(c, large);
            heap.deallocate(b, small);
        }
        assert_eq!([(); 2].map(|()| heap.allocate(small).unwrap()), [b, a]);
        assert_eq!(heap.allocate(large), Some(c));
        assert_eq!((heap.peak_blocks(), heap.free_blocks()), ([2, 1], [0, 0]));
    });
}

#[test]
fn runs_are_reused_for_their_size_and_not_merged() {
    with_pages(3, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let heap = SizeClasses::with_table(&arena, hpalloc::size_table![64]);
        let (one, two) = (layout(1000, 1), layout(5000, 1));
        let a = heap.allocate(one).unwrap();
        let b = heap.allocate(two).unwrap();
        assert_eq!(heap.allocate(one), None);
        // SAFETY: the blocks are live and aren't used afterwards.
        unsafe {
            heap.deallocate(a, one);
            heap.deallocate(b, two);
        }
        assert_eq!((heap.run_pages(), heap.free_run_pages(), arena.pages_remaining()), (3, 3, 0));
        // Three contiguous pages are free, but they aren't one run.
        assert_eq!(heap.allocate(layout(3 * PAGE_SIZE, 1)), None);
        assert_eq!((heap.allocate(two), heap.allocate(one)), (Some(b), Some(a)));
        assert_eq!((heap.run_pages(), heap.free_run_pages(), heap.allocate(one)), (3, 0, None));
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn what_cannot_be_served_consumes_nothing() {
    with_pages(2, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let heap = SizeClasses::with_table(&arena, hpalloc::size_table![64, 1024]);
        let impossible = [
            layout(2 * PAGE_SIZE + 1, 1),
            layout(MAX_ARENA_SIZE, 1),
            layout(MAX_ARENA_SIZE + 1, 1),
            layout(isize::MAX as usize, 1),
            layout(1, 2 * PAGE_SIZE),
            layout(0, 1 << (usize::BITS - 2)),
        ];
        for layout in impossible {
            assert_eq!(heap.allocate(layout), None, "{layout:?}");
        }
        assert_eq!(arena.pages_allocated(), 0);
        // One class takes all of the pages, so there are none left for the other.
        let blocks = iter::from_fn(|| heap.allocate(layout(1024, 1024))).count();
        assert_eq!((blocks, heap.allocate(layout(64, 1))), (8, None));
        assert_eq!(heap.peak_blocks(), [0, 8]);
    });
}

#[test]
fn nothing_and_everything_has_an_address_of_its_own() {
    with_pages(1, |pages| {
        let heap = SizeClasses::new(Arena::from_pages(pages).unwrap());
        let empty = layout(0, 1);
        let [a, b] = [(); 2].map(|()| heap.allocate(empty).unwrap());
        assert_ne!(a, b);
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { heap.deallocate(a, empty) };
        assert_eq!(heap.allocate(empty), Some(a));
    });
}

#[test]
fn a_resize_that_fails_leaves_the_block_as_it_was() {
    with_pages(1, |pages| {
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), hpalloc::size_table![64, 2048]);
        let (small, large) = (layout(64, 1), layout(2048, 1));
        let block = heap.allocate(small).unwrap();
        // SAFETY: the block is live, has this size and this layout.
        unsafe {
            block.write_bytes(7, 64);
            assert_eq!(heap.grow(block, small, large), None);
            assert_eq!(heap.grow(block, small, layout(64, PAGE_SIZE)), None);
            assert!(core::slice::from_raw_parts(block.as_ptr(), 64).iter().all(|&byte| byte == 7));
            assert_eq!(heap.free_blocks(), [0, 0]);
            heap.deallocate(block, small);
        }
    });
}

#[test]
fn heaps_with_the_same_table_free_each_others_blocks() {
    with_pages(2, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let [one, other] = [(); 2].map(|()| SizeClasses::new(&arena).in_family(1));
        let block = one.allocate(layout(100, 1)).unwrap();
        // SAFETY: the heaps have the same table, arena and family, and the block isn't
        // used afterwards.
        unsafe { other.deallocate(block, layout(100, 1)) };
        assert_eq!(other.allocate(layout(100, 1)), Some(block));
        assert_eq!(arena.pages_allocated(), 1);
    });
}

#[test]
fn a_heap_and_pools_share_an_arena() {
    with_pages(3, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let (heap, pool) = (SizeClasses::new(&arena), FixedBlock::new(&arena, 64).unwrap());
        let (a, b) = (heap.allocate(layout(64, 1)).unwrap(), pool.allocate().unwrap());
        assert!(a.addr().get().abs_diff(b.addr().get()) >= PAGE_SIZE);
        assert!(arena.alloc_page().is_some());
        assert_eq!(heap.page_source().pages_remaining(), 0);
    });
}

/// The table in the documentation of `SizeClasses`, to within one percent. Each of 100
/// runs allocates 1 to 700 bytes at a time until a request fails.
#[test]
#[cfg(target_pointer_width = "64")]
#[cfg(not(any(target_os = "none", miri, hpalloc_hardened)))]
fn the_share_of_a_small_heap_that_can_be_live() {
    const RUNS: usize = 100;
    let mut random = 1_u64;
    let shares = [8, 16, 32, 64, 128, 256].map(|kib| {
        let mut pages: Vec<_> = (0..kib / 4).map(|_| hpalloc::Page::new()).collect();
        let live: usize = (0..RUNS)
            .map(|_| {
                let heap = SizeClasses::new(Arena::from_pages(&mut pages).unwrap());
                let served = iter::repeat_with(|| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    layout(usize::try_from(random % 700).unwrap() + 1, 1)
                });
                served.take_while(|&layout| heap.allocate(layout).is_some()).map(|layout| layout.size()).sum::<usize>()
            })
            .sum();
        (live * 100 + RUNS * kib * 512) / (RUNS * kib * 1024)
    });
    for (share, documented) in shares.into_iter().zip([10, 11, 13, 23, 56, 75]) {
        assert!(share.abs_diff(documented) <= 1, "{shares:?}");
    }
}
