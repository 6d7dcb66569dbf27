//! Tests of arenas over memory that the caller supplies.
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

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use common::{OwnRegion, address, bytes, with_pages};
use hpalloc::{Arena, PAGE_SIZE, Page, PageSource};

#[test]
fn pages_come_in_ascending_order_and_then_none() {
    with_pages(3, |pages| {
        let base = address(&mut pages[0]);
        let arena = Arena::from_pages(pages).unwrap();
        assert_eq!((arena.total_pages(), arena.page_size()), (3, PAGE_SIZE));
        for index in 0..3 {
            assert_eq!((arena.pages_allocated(), arena.pages_remaining()), (index, 3 - index));
            assert_eq!(arena.alloc_page().map(address), Some(base + index * PAGE_SIZE));
        }
        for _ in 0..3 {
            assert!(arena.alloc_page().is_none());
            assert!(arena.alloc_zeroed_page().is_none());
            assert!(arena.alloc_pages(1).is_none());
            assert!(arena.take_pages(1).is_none());
            assert_eq!((arena.pages_allocated(), arena.pages_remaining()), (3, 0));
        }
    });
}

#[test]
fn pages_are_distinct_memory_and_usable_side_by_side() {
    with_pages(3, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let first = arena.alloc_page().unwrap();
        let run = arena.alloc_pages(2).unwrap();
        first.as_uninit_mut().fill(MaybeUninit::new(1));
        for page in &mut *run {
            page.as_uninit_mut().fill(MaybeUninit::new(2));
        }
        // SAFETY: all bytes were written just now.
        let read = |page: &mut Page, at: usize| unsafe { page.as_uninit_mut()[at].assume_init() };
        assert_eq!([read(first, 0), read(first, 4095)], [1, 1]);
        assert_eq!([read(&mut run[0], 0), read(&mut run[1], 4095)], [2, 2]);
    });
}

#[test]
fn a_run_of_pages_is_contiguous_and_all_or_nothing() {
    with_pages(3, |pages| {
        let base = address(&mut pages[0]);
        let arena = Arena::from_pages(pages).unwrap();
        for count in [0, 4, usize::MAX / PAGE_SIZE, usize::MAX / PAGE_SIZE + 1, usize::MAX] {
            assert!(arena.alloc_pages(count).is_none(), "{count}");
            assert!(arena.take_pages(count).is_none(), "{count}");
            assert_eq!(arena.pages_allocated(), 0);
        }
        assert_eq!(arena.alloc_page().map(address), Some(base));
        for count in [0, 3, usize::MAX] {
            assert!(arena.alloc_pages(count).is_none(), "{count}");
        }
        let run = arena.alloc_pages(2).unwrap();
        assert_eq!(run.len(), 2);
        assert_eq!(address(&mut run[0]), base + PAGE_SIZE);
        assert_eq!(address(&mut run[1]), base + 2 * PAGE_SIZE);
        assert_eq!(arena.pages_remaining(), 0);
    });
}

#[test]
fn a_zeroed_page_is_zero_whatever_was_in_it() {
    with_pages(2, |pages| {
        let mut arena = Arena::from_pages(pages).unwrap();
        for _ in 0..2 {
            for _ in 0..2 {
                let page = arena.alloc_zeroed_page().unwrap();
                assert!(page.iter().all(|&byte| byte == 0));
                page.fill(0xFF);
            }
            assert!(arena.alloc_zeroed_page().is_none());
            arena.reset();
        }
    });
}

#[test]
fn a_reset_arena_starts_again() {
    with_pages(2, |pages| {
        let base = address(&mut pages[0]);
        let mut arena = Arena::from_pages(pages).unwrap();
        arena.reset();
        assert_eq!(arena.alloc_pages(2).map(|run| address(&mut run[0])), Some(base));
        arena.reset();
        assert_eq!((arena.pages_allocated(), arena.pages_remaining(), arena.total_pages()), (0, 2, 2));
        assert_eq!(arena.alloc_page().map(address), Some(base));
    });
}

#[test]
fn an_arena_can_be_moved_while_nobody_borrows_it() {
    with_pages(2, |pages| {
        let base = address(&mut pages[0]);
        let arena = Arena::from_pages(pages).unwrap();
        let first = arena.take_pages(1).unwrap();
        // SAFETY: the page belongs to the test once it has been handed out.
        unsafe { first.cast::<u64>().write(7) };
        let moved = arena;
        assert_eq!(moved.alloc_page().map(address), Some(base + PAGE_SIZE));
        // SAFETY: the page was written before the arena moved, and moving the arena
        // doesn't move its pages.
        assert_eq!(unsafe { first.cast::<u64>().read() }, 7);
    });
}

#[test]
fn the_memory_is_the_callers_again_when_the_arena_is_gone() {
    with_pages(2, |pages| {
        for _ in 0..2 {
            {
                let arena = Arena::from_pages(&mut *pages).unwrap();
                arena.alloc_page().unwrap().zero();
            }
            assert!(pages[0].zero().iter().all(|&byte| byte == 0));
        }
    });
}

#[test]
fn bytes_that_are_whole_pages_are_used_whole() {
    with_pages(2, |pages| {
        let base = address(&mut pages[0]);
        let arena = Arena::from_uninit(bytes(pages)).unwrap();
        assert_eq!(arena.total_pages(), 2);
        assert_eq!(arena.alloc_page().map(address), Some(base));
    });
}

#[test]
fn trimmed_bytes_give_the_whole_pages_inside() {
    with_pages(3, |pages| {
        let base = address(&mut pages[0]);
        for (start, end, first_page, count) in [
            (0, 2 * PAGE_SIZE, 0, 2),
            (0, 2 * PAGE_SIZE + 1, 0, 2),
            (0, 2 * PAGE_SIZE - 1, 0, 1),
            (0, PAGE_SIZE, 0, 1),
            (1, 2 * PAGE_SIZE, 1, 1),
            (1, 2 * PAGE_SIZE + 1, 1, 1),
            (PAGE_SIZE - 1, 2 * PAGE_SIZE, 1, 1),
            (PAGE_SIZE, 2 * PAGE_SIZE, 1, 1),
        ] {
            let arena = Arena::from_uninit_trimmed(&mut bytes(pages)[start..end]).unwrap();
            assert_eq!(arena.total_pages(), count, "{start}..{end}");
            assert_eq!(arena.alloc_page().map(address), Some(base + first_page * PAGE_SIZE), "{start}..{end}");
        }
    });
}

#[test]
fn raw_memory_and_a_users_region_serve_too() {
    with_pages(2, |pages| {
        let base = address(&mut pages[0]);
        let memory = NonNull::slice_from_raw_parts(NonNull::from(&mut *pages).cast::<u8>(), 2 * PAGE_SIZE);
        // SAFETY: the pages are borrowed mutably and only used through the arena.
        let arena = unsafe { Arena::from_raw(memory) }.unwrap();
        assert_eq!(arena.alloc_pages(2).map(|run| address(&mut run[0])), Some(base));

        // SAFETY: as above; the first arena isn't used any longer.
        let arena = Arena::from_region(unsafe { OwnRegion::new(memory.cast(), 2) }).unwrap();
        assert_eq!(arena.alloc_pages(2).map(|run| address(&mut run[0])), Some(base));
    });
}
