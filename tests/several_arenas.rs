//! Tests of an array of arenas as one page source, and of the time at which each arena is
//! created.

use std::alloc::Layout;
use std::sync::atomic::{AtomicUsize, Ordering};

use hpalloc::{Arena, ArenaError, BlockSize, Boxed, FixedBlock, Heap, Lazy, PAGE_SIZE, PageSource, SizeClasses};

const ARENAS: usize = 4;
/// The size of each arena, in bytes.
const SIZE: usize = 16 * PAGE_SIZE;
const TESTS: usize = 5;

type Source = [Lazy<Boxed>; ARENAS];

/// The number of arenas that each test has created.
static MADE: [AtomicUsize; TESTS] = [const { AtomicUsize::new(0) }; TESTS];

fn make<const TEST: usize>() -> Result<Arena<Boxed>, ArenaError> {
    MADE[TEST].fetch_add(1, Ordering::Relaxed);
    Boxed::new(SIZE).and_then(Arena::from_region)
}

fn source<const TEST: usize>() -> Source {
    [const { Lazy::new(make::<TEST>) }; ARENAS]
}

fn made<const TEST: usize>() -> usize {
    MADE[TEST].load(Ordering::Relaxed)
}

/// Creates all arenas, as a program would do when it starts.
fn make_all(source: &Source) {
    assert!(source.iter().all(|part| part.arena().is_ok()));
}

/// Allocates blocks until there are none left, and returns their total size in bytes.
fn exhaust(mut allocate: impl FnMut(Layout) -> bool) -> usize {
    let layout = Layout::new::<[u64; 100]>();
    let mut bytes = 0;
    while allocate(layout) {
        bytes += layout.size();
    }
    bytes
}

#[test]
fn an_arena_is_made_when_the_ones_before_it_are_full() {
    let heap = Heap::new(source::<0>());
    assert_eq!(made::<0>(), 0);
    let layout = Layout::new::<[u8; SIZE / 2]>();
    for count in 1..=ARENAS {
        assert!(heap.allocate(layout).is_some());
        assert_eq!(made::<0>(), count);
    }
    assert!(heap.allocate(layout).is_none());
    assert_eq!(made::<0>(), ARENAS);
}

#[test]
fn a_heap_makes_none_after_a_start_that_made_all() {
    let heap = Heap::new(source::<1>());
    make_all(heap.page_source());
    assert_eq!(made::<1>(), ARENAS);
    for _ in 0..2 {
        let mut blocks = Vec::new();
        let bytes = exhaust(|layout| {
            let block = heap.allocate(layout);
            blocks.extend(block.map(|block| (block, layout)));
            block.is_some()
        });
        assert!(bytes > ARENAS * (SIZE - SIZE / 16) && bytes < ARENAS * SIZE, "{bytes}");
        for (block, layout) in blocks {
            // SAFETY: the block came from this heap with this layout and isn't used
            // afterwards.
            unsafe { heap.deallocate(block, layout) };
        }
        assert_eq!(heap.used(), 0);
    }
    assert_eq!(made::<1>(), ARENAS);
}

#[test]
fn a_pool_makes_none_after_a_start_that_made_all() {
    let pool = FixedBlock::with_block_size(source::<2>(), BlockSize::of::<[u64; 100]>());
    make_all(pool.page_source());
    let bytes = exhaust(|_| pool.allocate().is_some());
    assert!(bytes > ARENAS * SIZE / 2, "{bytes}");
    assert_eq!(made::<2>(), ARENAS);
}

#[test]
fn size_classes_make_none_after_a_start_that_made_all() {
    let heap = SizeClasses::new(source::<3>());
    make_all(heap.page_source());
    let bytes = exhaust(|layout| heap.allocate(layout).is_some());
    assert!(bytes > ARENAS * SIZE / 2, "{bytes}");
    assert_eq!(made::<3>(), ARENAS);
}

/// A run of pages is within one arena. If an arena can't be created, the others still
/// serve.
#[test]
fn each_arena_is_a_memory_of_its_own() {
    let refused = ArenaError::InvalidSize { size: 0 };
    let heap = Heap::new([
        Lazy::<Boxed>::new(|| Err(ArenaError::InvalidSize { size: 0 })),
        Lazy::new(make::<4>),
        Lazy::new(make::<4>),
    ]);
    let errors = heap.page_source().iter().filter_map(|part| part.arena().err());
    assert_eq!(errors.collect::<Vec<_>>(), [&refused]);
    assert_eq!(heap.page_source().exclusive_pages(1), SIZE / PAGE_SIZE);
    assert!(heap.allocate(Layout::new::<[u8; SIZE + 1]>()).is_none());
    assert!(heap.allocate(Layout::new::<[u8; SIZE - PAGE_SIZE]>()).is_some());
    assert!(heap.allocate(Layout::new::<[u8; SIZE - PAGE_SIZE]>()).is_some());
    assert_eq!(made::<4>(), 2);
}
