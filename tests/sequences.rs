//! Long random sequences of steps over every kind of region, compared with a model.

mod common;

use core::ptr::NonNull;

use common::world::{Step, World};
use common::{MAX_PAGES, OwnRegion, address, with_pages};
use hpalloc::{Arena, PAGE_SIZE, Page, Region};
use proptest::prelude::*;

const POOLS: usize = 3;
const BLOCKS: usize = MAX_PAGES * PAGE_SIZE / MIN_BLOCK;
const MIN_BLOCK: usize = 64;

fn block_size() -> impl Strategy<Value = usize> {
    let any = (MIN_BLOCK / 8..=3 * PAGE_SIZE / 8).prop_map(|words| words * 8);
    prop_oneof![Just(64), Just(96), Just(1024), Just(PAGE_SIZE), any]
}

fn step() -> impl Strategy<Value = Step> {
    let (pool, live) = (0..POOLS, any::<u16>().prop_map(usize::from));
    prop_oneof![
        1 => block_size().prop_map(|block_size| Step::NewPool { block_size }),
        20 => pool.clone().prop_map(|pool| Step::Allocate { pool }),
        1 => pool.clone().prop_map(|pool| Step::Exhaust { pool }),
        16 => (pool, live).prop_map(|(pool, live)| Step::Deallocate { pool, live }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    (block_size(), prop::collection::vec(step(), 1..400)).prop_map(|(block_size, mut steps)| {
        steps.insert(0, Step::NewPool { block_size });
        steps
    })
}

/// Takes the steps, resets the arena, and takes them again.
fn run<R: Region>(mut arena: Arena<R>, steps: &[Step]) {
    let total = arena.total_pages();
    let base = address(arena.alloc_page().expect("an arena has a page"));
    for _ in 0..2 {
        arena.reset();
        let mut world = Box::new(World::<_, POOLS, BLOCKS>::new(&arena, base));
        for &step in steps {
            world.step(step);
        }
        world.check_contents();
        assert_eq!(arena.total_pages(), total);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn borrowed_pages(pages in 1..=MAX_PAGES, steps in steps()) {
        with_pages(pages, |pages| run(Arena::from_pages(pages).unwrap(), &steps));
    }

    #[test]
    fn borrowed_bytes_trimmed(pages in 2..=MAX_PAGES, skip in 1..PAGE_SIZE, steps in steps()) {
        with_pages(pages, |pages| {
            let bytes = pages.len() * PAGE_SIZE;
            let first = pages.as_mut_ptr().cast();
            // SAFETY: all bytes of the pages, which are borrowed mutably.
            let memory: &mut [core::mem::MaybeUninit<u8>] = unsafe { core::slice::from_raw_parts_mut(first, bytes) };
            let arena = Arena::from_uninit_trimmed(&mut memory[skip..]).unwrap();
            assert_eq!(arena.total_pages(), bytes / PAGE_SIZE - 1);
            run(arena, &steps);
        });
    }

    #[test]
    fn raw(pages in 1..=MAX_PAGES, steps in steps()) {
        with_pages(pages, |pages| {
            let memory = NonNull::slice_from_raw_parts(NonNull::from(&mut *pages).cast(), pages.len() * PAGE_SIZE);
            // SAFETY: the pages are borrowed mutably, and not used but through the arena.
            run(unsafe { Arena::from_raw(memory) }.unwrap(), &steps);
        });
    }

    #[test]
    fn a_users_own(pages in 1..=MAX_PAGES, steps in steps()) {
        with_pages(pages, |pages| {
            // SAFETY: the pages are borrowed mutably, and not used but through the arena.
            let region = unsafe { OwnRegion::new(NonNull::from(&mut *pages).cast::<Page>(), pages.len()) };
            run(Arena::from_region(region).unwrap(), &steps);
        });
    }

    #[cfg(feature = "static-buffer")]
    #[test]
    fn static_buffer(pages in 1..=MAX_PAGES, steps in steps()) {
        hpalloc::static_buffer! {
            static BUFFER: StaticBuffer<MAX_PAGES>;
        }
        let region = BUFFER.claim_bytes(pages * PAGE_SIZE).unwrap();
        run(Arena::from_region(region).unwrap(), &steps);
    }

    #[cfg(feature = "mmap")]
    #[test]
    fn mapping(pages in 1..=MAX_PAGES, prefault: bool, steps in steps()) {
        let region = hpalloc::MappingOptions::new().prefault(prefault).map(pages * PAGE_SIZE).unwrap();
        run(Arena::from_region(region).unwrap(), &steps);
    }

    #[cfg(feature = "std")]
    #[test]
    fn boxed(pages in 1..=MAX_PAGES, steps in steps()) {
        let mut boxed: Box<[Page]> = (0..pages).map(|_| Page::new()).collect();
        common::fill(&mut boxed);
        run(Arena::from_region(hpalloc::Boxed::from(boxed)).unwrap(), &steps);
    }

    #[cfg(any(feature = "mmap", feature = "static-buffer"))]
    #[test]
    fn the_region_that_the_features_choose(pages in 1..=MAX_PAGES, steps in steps()) {
        run(Arena::new(pages * PAGE_SIZE).unwrap(), &steps);
    }
}
