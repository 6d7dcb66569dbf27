//! Tests long random sequences of steps over every kind of region that the target has
//! memory for, against a model.
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

use core::ptr::NonNull;

use common::world::{Step, World};
use common::{OwnRegion, address, bytes, with_pages};
use hpalloc::{Arena, PAGE_SIZE, Page, Region};

/// The largest number of pages of an arena. It is small under Miri, where the search for
/// overlapping blocks is slow.
const MAX_PAGES: usize = if cfg!(miri) { 3 } else { common::MAX_PAGES };
/// The smallest block size, chosen so that the model of a pool fits the stack of a small
/// chip.
const MIN_BLOCK: usize = if cfg!(target_os = "none") { 512 } else { 64 };
const BLOCKS: usize = MAX_PAGES * PAGE_SIZE / MIN_BLOCK;
const POOLS: usize = 2;

/// Takes the steps, resets the arena, and takes the steps again.
fn run<R: Region>(mut arena: Arena<R>, steps: impl Iterator<Item = Step> + Clone) {
    let total = arena.total_pages();
    let base = address(arena.alloc_page().expect("an arena has at least one page"));
    for steps in [steps.clone(), steps] {
        arena.reset();
        let mut world = World::<_, POOLS, BLOCKS>::new(&arena, base);
        steps.for_each(|step| world.step(step));
        world.check_contents();
        assert_eq!(arena.total_pages(), total);
    }
}

fn run_borrowed(pages: usize, steps: impl Iterator<Item = Step> + Clone) {
    with_pages(pages, |pages| run(Arena::from_pages(pages).unwrap(), steps));
}

fn run_trimmed(pages: usize, skip: usize, steps: impl Iterator<Item = Step> + Clone) {
    with_pages(pages, |pages| {
        let arena = Arena::from_uninit_trimmed(&mut bytes(pages)[skip..]).unwrap();
        run(arena, steps);
    });
}

fn run_raw(pages: usize, steps: impl Iterator<Item = Step> + Clone) {
    with_pages(pages, |pages| {
        let memory = NonNull::slice_from_raw_parts(NonNull::from(&mut *pages).cast(), pages.len() * PAGE_SIZE);
        // SAFETY: the pages are borrowed mutably and only used through the arena.
        run(unsafe { Arena::from_raw(memory) }.unwrap(), steps);
    });
}

fn run_own(pages: usize, steps: impl Iterator<Item = Step> + Clone) {
    with_pages(pages, |pages| {
        // SAFETY: the pages are borrowed mutably and only used through the arena.
        let region = unsafe { OwnRegion::new(NonNull::from(&mut *pages).cast::<Page>(), pages.len()) };
        run(Arena::from_region(region).unwrap(), steps);
    });
}

/// Sequences that a property test generates, and shrinks if one fails.
#[cfg(not(target_os = "none"))]
mod on_a_host {
    use proptest::prelude::*;

    use super::*;

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

    /// The largest number of steps in a sequence.
    const STEPS: usize = if cfg!(miri) { 40 } else { 400 };

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        (block_size(), prop::collection::vec(step(), 1..STEPS)).prop_map(|(block_size, mut steps)| {
            steps.insert(0, Step::NewPool { block_size });
            steps
        })
    }

    /// Returns the configuration. Under Miri there are few sequences, and failures aren't
    /// saved to a file, because that would need the working directory.
    fn config() -> ProptestConfig {
        let config = ProptestConfig::with_cases(512);
        if cfg!(miri) { ProptestConfig { cases: 4, failure_persistence: None, ..config } } else { config }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn borrowed_pages(pages in 1..=MAX_PAGES, steps in steps()) {
            run_borrowed(pages, steps.into_iter());
        }

        #[test]
        fn borrowed_bytes_trimmed(pages in 2..=MAX_PAGES, skip in 1..PAGE_SIZE, steps in steps()) {
            run_trimmed(pages, skip, steps.into_iter());
        }

        #[test]
        fn raw(pages in 1..=MAX_PAGES, steps in steps()) {
            run_raw(pages, steps.into_iter());
        }

        #[test]
        fn a_users_own(pages in 1..=MAX_PAGES, steps in steps()) {
            run_own(pages, steps.into_iter());
        }

        #[cfg(feature = "static-buffer")]
        #[test]
        fn static_buffer(pages in 1..=MAX_PAGES, steps in steps()) {
            hpalloc::static_buffer! {
                static BUFFER: StaticBuffer<MAX_PAGES>;
            }
            let region = BUFFER.claim_bytes(pages * PAGE_SIZE).unwrap();
            run(Arena::from_region(region).unwrap(), steps.into_iter());
        }

        #[cfg(feature = "mmap")]
        #[test]
        fn mapping(pages in 1..=MAX_PAGES, prefault: bool, steps in steps()) {
            let region = hpalloc::MappingOptions::new().prefault(prefault).map(pages * PAGE_SIZE).unwrap();
            run(Arena::from_region(region).unwrap(), steps.into_iter());
        }

        #[cfg(feature = "std")]
        #[test]
        fn boxed(pages in 1..=MAX_PAGES, steps in steps()) {
            let mut boxed: Box<[Page]> = (0..pages).map(|_| Page::new()).collect();
            crate::common::fill(&mut boxed);
            run(Arena::from_region(hpalloc::Boxed::from(boxed)).unwrap(), steps.into_iter());
        }

        #[cfg(any(feature = "mmap", feature = "static-buffer"))]
        #[test]
        fn the_region_that_the_features_choose(pages in 1..=MAX_PAGES, steps in steps()) {
            // The built-in static buffer may be smaller.
            if let Ok(arena) = Arena::new(pages * PAGE_SIZE) {
                run(arena, steps.into_iter());
            }
        }
    }
}

/// Sequences that are generated from their numbers.
#[cfg(target_os = "none")]
mod on_a_target {
    use super::*;

    const SEQUENCES: u32 = 100;
    const STEPS: usize = 200;

    /// Marsaglia, *Xorshift RNGs*, 2003.
    fn next(state: &mut u32) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        (*state >> 8) as usize
    }

    /// Returns the steps of the sequence with this number.
    fn steps(number: u32) -> impl Iterator<Item = Step> + Clone {
        let mut state = 0x9E37_79B9 ^ number;
        core::iter::repeat_n((), STEPS).enumerate().map(move |(index, ())| {
            let (kind, pool, choice) = (next(&mut state) % 38, next(&mut state), next(&mut state));
            match kind {
                _ if index == 0 => new_pool(choice),
                0 => new_pool(choice),
                1 => Step::Exhaust { pool },
                2..22 => Step::Allocate { pool },
                _ => Step::Deallocate { pool, live: choice },
            }
        })
    }

    fn new_pool(choice: usize) -> Step {
        Step::NewPool { block_size: MIN_BLOCK + choice % (3 * PAGE_SIZE - MIN_BLOCK) / 8 * 8 }
    }

    fn each(mut sequence: impl FnMut(u32, usize)) {
        for number in 1..=SEQUENCES {
            sequence(number, number as usize % MAX_PAGES + 1);
        }
    }

    #[test]
    fn borrowed_pages() {
        each(|number, pages| run_borrowed(pages, steps(number)));
    }

    #[test]
    fn borrowed_bytes_trimmed() {
        each(|number, pages| run_trimmed(pages.max(2), number as usize % PAGE_SIZE + 1, steps(number)));
    }

    #[test]
    fn raw() {
        each(|number, pages| run_raw(pages, steps(number)));
    }

    #[test]
    fn a_users_own() {
        each(|number, pages| run_own(pages, steps(number)));
    }
}
