//! Tests of a heap in a `static`, through `GlobalAlloc`, on all machines.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use hpalloc::{Arena, ArenaError, CriticalSection, Lazy, Locked, PAGE_SIZE, SizeClasses, StaticRegion};

type Heap<const N: usize> = Locked<SizeClasses<Lazy<StaticRegion>, N>, CriticalSection>;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Allocates a block from the heap.
fn allocate(heap: &impl GlobalAlloc, layout: Layout) -> Option<NonNull<u8>> {
    assert_ne!(layout.size(), 0);
    // SAFETY: the size isn't zero.
    NonNull::new(unsafe { heap.alloc(layout) })
}

/// Returns the first `count` bytes of a block.
///
/// # Safety
///
/// The block has `count` initialized bytes, and nothing writes to them while the slice is
/// used.
unsafe fn bytes<'a>(block: *mut u8, count: usize) -> &'a [u8] {
    // SAFETY: guaranteed by the caller.
    unsafe { core::slice::from_raw_parts(block, count) }
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_heap_as_a_global_allocator_uses_it() {
    hpalloc::static_buffer! { static MEMORY: StaticBuffer<2>; }
    static HEAP: Heap<3> = Locked::new(SizeClasses::with_table(
        Lazy::new(|| MEMORY.claim().and_then(Arena::from_region)),
        hpalloc::size_table![64, 264, 1024],
    ));

    // A request that can't be served returns null and takes no memory.
    for layout in [layout(1, 2 * PAGE_SIZE), layout(3 * PAGE_SIZE, 1), layout(isize::MAX as usize, 1)] {
        assert_eq!(allocate(&HEAP, layout), None, "{layout:?}");
    }
    assert_eq!(HEAP.with(|heap| heap.page_source().arena().unwrap().pages_allocated()), 0);

    let small = layout(50, 2);
    let block = allocate(&HEAP, small).unwrap().as_ptr();
    // SAFETY: the block is live, is passed with its current layout, and only bytes that
    // were written are read.
    unsafe {
        block.write_bytes(0xA5, 50);
        // Grow in place, and shrink back.
        assert_eq!(HEAP.realloc(block, small, 64), block);
        assert_eq!(HEAP.realloc(block, layout(64, 2), 50), block);
        // Grow to another class.
        let moved = HEAP.realloc(block, small, 300);
        assert!(!moved.is_null() && moved != block);
        assert_eq!(bytes(moved, 50), [0xA5; 50]);
        assert_eq!(HEAP.with(SizeClasses::free_blocks), [1, 0, 0]);
        // There is no page left for the class of 264 bytes, so the block stays as it is.
        assert!(HEAP.realloc(moved, layout(300, 2), 200).is_null());
        // No block can have these sizes either.
        assert!(HEAP.realloc(moved, layout(300, 2), isize::MAX as usize).is_null());
        assert!(HEAP.realloc(moved, layout(300, 2), usize::MAX).is_null());
        assert_eq!(bytes(moved, 50), [0xA5; 50]);
        // This moves back to the first block, which has been freed since and isn't zero.
        let back = HEAP.realloc(moved, layout(300, 2), 20);
        assert_eq!((back, bytes(back, 20)), (block, &[0xA5; 20][..]));
        HEAP.dealloc(back, layout(20, 2));
        let zeroed = HEAP.alloc_zeroed(layout(60, 1));
        assert_eq!((zeroed, bytes(zeroed, 60)), (block, &[0; 60][..]));
        HEAP.dealloc(zeroed, layout(60, 1));
    }

    // An aligned block keeps its alignment when it moves, and returns to the class that
    // it came from.
    let line = layout(50, 64);
    let block = allocate(&HEAP, line).unwrap().as_ptr();
    // SAFETY: the block is live and is passed with its current layout.
    unsafe {
        assert_eq!(HEAP.realloc(block, line, 64), block);
        // Blocks of 264 bytes would be large enough, but they aren't aligned to 64 bytes.
        let moved = HEAP.realloc(block, layout(64, 64), 100);
        assert_eq!(moved.addr() % 1024, 0);
        assert_eq!(HEAP.realloc(moved, layout(100, 64), 1000), moved);
        let small = HEAP.realloc(moved, layout(1000, 64), 10);
        assert_eq!((small.addr() % 64, HEAP.with(SizeClasses::free_blocks)), (0, [0, 0, 1]));
        HEAP.dealloc(small, layout(10, 64));
        assert_eq!(HEAP.with(SizeClasses::free_blocks), [1, 0, 1]);
    }

    // Requests fail, repeatedly, once the memory is exhausted. Freed blocks can be
    // allocated again.
    let block = layout(1000, 8);
    let mut all: [Option<NonNull<u8>>; 5] = [(); 5].map(|()| allocate(&HEAP, block));
    assert_eq!(all.iter().flatten().count(), 4);
    assert_eq!((allocate(&HEAP, block), allocate(&HEAP, layout(100, 1))), (None, None));
    for first in all.iter_mut().filter_map(Option::take) {
        // SAFETY: the block is live, has this layout, and isn't used afterwards.
        unsafe { HEAP.dealloc(first.as_ptr(), block) };
    }
    assert_eq!([(); 5].map(|()| allocate(&HEAP, block)).iter().flatten().count(), 4);
}

#[test]
fn without_memory_everything_is_null() {
    static HEAP: Heap<27> =
        Locked::new(SizeClasses::new(Lazy::new(|| Err(ArenaError::AlreadyClaimed { available: 0 }))));

    for layout in [layout(1, 1), layout(64, 64), layout(PAGE_SIZE, PAGE_SIZE), layout(20_000, 1)] {
        assert_eq!(allocate(&HEAP, layout), None);
        // SAFETY: the size isn't zero.
        assert!(unsafe { HEAP.alloc_zeroed(layout) }.is_null());
    }
    HEAP.with(|heap| {
        assert_eq!(heap.page_source().arena().unwrap_err(), &ArenaError::AlreadyClaimed { available: 0 });
        assert_eq!((heap.peak_blocks(), heap.run_pages()), ([0; 27], 0));
    });
}
