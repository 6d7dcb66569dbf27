//! Tests of boxed pages.

mod common;

use hpalloc::{Arena, ArenaError, Boxed, FixedBlock, PAGE_SIZE, Page};

#[test]
fn a_size_that_no_arena_may_have_is_an_error() {
    for (size, error) in common::bad_sizes() {
        assert_eq!(Boxed::new(size).unwrap_err(), error);
    }
    let none: Box<[Page]> = Box::new([]);
    assert_eq!(Arena::from_region(Boxed::from(none)).unwrap_err(), ArenaError::InvalidSize { size: 0 });
}

#[test]
fn pages_of_a_box_are_not_taken_for_zero_and_new_ones_are_zero() {
    let mut rubbish: Box<[Page]> = (0..3).map(|_| Page::new()).collect();
    common::fill(&mut rubbish);
    for region in [Boxed::from(rubbish), Boxed::new(3 * PAGE_SIZE).unwrap()] {
        let arena = Arena::from_region(region).unwrap();
        for _ in 0..3 {
            assert!(arena.alloc_zeroed_page().unwrap().iter().all(|&byte| byte == 0));
        }
        assert!(arena.alloc_zeroed_page().is_none());
    }
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_pool_that_owns_its_arena_can_move_to_another_thread() {
    let pool = FixedBlock::new(Arena::from_region(Boxed::new(PAGE_SIZE).unwrap()).unwrap(), 64).unwrap();
    let here = pool.allocate().unwrap().addr();
    let (there, pool) = std::thread::spawn(move || (pool.allocate().unwrap().addr(), pool)).join().unwrap();
    assert_eq!(there.get(), here.get() + 64);
    assert_eq!(pool.peak_blocks(), 2);
}
