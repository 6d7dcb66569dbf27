//! Tests of freed runs of pages in a heap of size classes. They serve later requests, and
//! their memory is zeroed for requests that need zeros.
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
use core::ptr::NonNull;

use common::{GUARD, RECORD, with_pages};
use hpalloc::{Arena, PAGE_SIZE, PageSource, SizeClasses, SizeTable};

static SMALL: &SizeTable<2> = hpalloc::size_table![64, 256];

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

/// Returns a layout that needs a run of this many pages.
fn run(pages: usize) -> Layout {
    bytes(pages * PAGE_SIZE - GUARD - RECORD)
}

/// Allocates a run, fills it and frees it.
fn free_run<P: PageSource, const N: usize>(heap: &SizeClasses<P, N>, pages: usize) -> NonNull<u8> {
    let block = heap.allocate(run(pages)).unwrap();
    // SAFETY: the block is live, has this size, and isn't used afterwards.
    unsafe {
        block.write_bytes(0xFF, run(pages).size());
        heap.deallocate(block, run(pages));
    }
    block
}

/// Returns a pointer to the page that is `pages` pages after a block.
fn after(block: NonNull<u8>, pages: usize) -> NonNull<u8> {
    // SAFETY: both addresses are in the same run.
    unsafe { block.add(pages * PAGE_SIZE) }
}

#[test]
fn a_free_run_serves_smaller_ones() {
    with_pages(3, |pages| {
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), SMALL);
        let free = free_run(&heap, 3);
        assert_eq!(heap.allocate(run(1)), Some(free));
        assert_eq!((heap.run_pages(), heap.free_run_pages()), (3, 2));
        // The rest is a run of two pages.
        assert_eq!(heap.allocate(run(3)), None);
        assert_eq!(heap.allocate(run(2)), Some(after(free, 1)));
        assert_eq!((heap.allocate(run(1)), heap.free_run_pages()), (None, 0));
        // SAFETY: the blocks are live and aren't used afterwards.
        unsafe {
            heap.deallocate(free, run(1));
            heap.deallocate(after(free, 1), run(2));
        }
        // The two runs aren't merged.
        assert_eq!((heap.allocate(run(3)), heap.free_run_pages()), (None, 3));
    });
}

#[test]
fn a_free_run_gives_classes_their_pages() {
    with_pages(3, |pages| {
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), SMALL);
        let free = free_run(&heap, 3);
        let (first, second) = (heap.allocate(bytes(64)), heap.allocate(bytes(256)));
        assert_eq!((first, second), (Some(free), Some(after(free, 1))));
        assert_eq!((heap.run_pages(), heap.free_run_pages()), (1, 1));
        assert_eq!(heap.peak_blocks(), [1, 1]);
        // Each block of the class's page is handed out before the class takes the last
        // page.
        let per_page = common::blocks_per_page(64);
        assert!((1..per_page).all(|_| heap.allocate(bytes(64)).is_some()));
        assert_eq!(heap.free_run_pages(), 1);
        assert_eq!(heap.allocate(bytes(64)), Some(after(free, 2)));
        assert_eq!((heap.run_pages(), heap.allocate(run(1))), (0, None));
    });
}

/// A class whose blocks need nine pages. No run has exactly that many.
#[cfg(not(target_os = "none"))]
#[test]
fn a_free_run_gives_a_class_of_nine_pages_its_pages() {
    with_pages(20, |pages| {
        let table = hpalloc::size_table![32_800];
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), table);
        let free = free_run(&heap, 20);
        // The rest has eleven pages. Ten of them form a run, which serves the second
        // block.
        assert_eq!(heap.allocate(bytes(32_800)), Some(free));
        assert_eq!(heap.allocate(bytes(32_800)), Some(after(free, 9)));
        assert_eq!((heap.run_pages(), heap.free_run_pages(), heap.peak_blocks()), (2, 2, [2]));
        assert_eq!(heap.allocate(bytes(32_800)), None);
    });
}

#[cfg(not(target_os = "none"))]
#[test]
fn the_source_comes_first_and_then_the_smallest_run() {
    with_pages(16, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let heap = SizeClasses::with_table(&arena, SMALL);
        let large = heap.allocate(run(6)).unwrap();
        let small = heap.allocate(run(4)).unwrap();
        // SAFETY: the blocks are live and aren't used afterwards.
        unsafe {
            heap.deallocate(large, run(6));
            heap.deallocate(small, run(4));
        }
        // The source still has six pages, which come before the larger free runs.
        assert_eq!(heap.allocate(run(3)), Some(after(small, 4)));
        assert_eq!(heap.allocate(bytes(64)), Some(after(small, 7)));
        assert_eq!((arena.pages_remaining(), heap.free_run_pages()), (2, 10));
        // The source has only two pages left, so the smallest free run is cut.
        assert_eq!(heap.allocate(run(3)), Some(small));
        assert_eq!((arena.pages_remaining(), heap.free_run_pages()), (2, 7));
        // The request takes the last pages of the source. The class then takes the last
        // page of the smaller run.
        assert_eq!(heap.allocate(run(2)), Some(after(small, 8)));
        assert_eq!(heap.allocate(bytes(256)), Some(after(small, 3)));
        // A free run of exactly the right size comes before the source.
        assert_eq!(heap.allocate(run(6)), Some(large));
        assert_eq!((arena.pages_remaining(), heap.free_run_pages()), (0, 0));
    });
}

/// In a hardened build, a heap does not cut a free run that another heap of the family
/// took, because the record of the run holds its length.
#[test]
fn heaps_of_a_family() {
    with_pages(3, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let [one, other] = [(); 2].map(|()| SizeClasses::with_table(&arena, SMALL).in_family(1));
        let block = one.allocate(run(3)).unwrap();
        // SAFETY: the block is live and isn't used afterwards. The heaps have the same
        // table, arena and family.
        unsafe { other.deallocate(block, run(3)) };
        assert_eq!((one.allocate(run(1)), one.run_pages(), other.free_run_pages()), (None, 3, 3));
        let cut = other.allocate(run(1));
        let in_class = other.allocate(bytes(64));
        if cfg!(hpalloc_hardened) {
            assert_eq!((cut, in_class), (None, None));
            assert_eq!(other.allocate(run(3)), Some(block));
        } else {
            assert_eq!((cut, in_class), (Some(block), Some(after(block, 1))));
            // This heap has taken no page itself, so it counts none.
            assert_eq!((other.run_pages(), other.free_run_pages()), (0, 1));
        }
    });
}

#[test]
fn zeroed_blocks_of_any_origin_are_zero() {
    with_pages(3, |pages| {
        // Fresh memory is full of rubbish here, and freed memory is full of 0xFF.
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), SMALL);
        let is_zeroed = |layout: Layout| {
            let block = heap.allocate_zeroed(layout).unwrap();
            // SAFETY: the block is live and has this size.
            let zeroed =
                unsafe { core::slice::from_raw_parts(block.as_ptr(), layout.size()) }.iter().all(|&byte| byte == 0);
            // SAFETY: as above; the block isn't used afterwards.
            unsafe {
                block.write_bytes(0xFF, layout.size());
                heap.deallocate(block, layout);
            }
            zeroed
        };
        // The first run has fresh pages from the source. The second one was freed.
        for layout in [run(3), run(3)] {
            assert!(is_zeroed(layout), "{layout:?}");
        }
        // The first block is a piece cut from a run. The others are from the page of a
        // class: a fresh block, and the same block after it was freed.
        for layout in [run(1), bytes(64), bytes(64)] {
            assert!(is_zeroed(layout), "{layout:?}");
        }
        let (first, second) = (heap.allocate(bytes(64)), heap.allocate_zeroed(bytes(64)).unwrap());
        assert!(first.is_some());
        // SAFETY: the block is live and has this size.
        assert_eq!(unsafe { second.cast::<[u8; 64]>().read() }, [0; 64]);
        assert_eq!(heap.allocate_zeroed(run(3)), None);
    });
}
