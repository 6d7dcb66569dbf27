//! Tests every sequence of steps up to a certain length, over tiny arenas, against a
//! model.
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

use common::with_pages;
use common::world::{Step, World};
use hpalloc::Arena;

const DEPTH: usize = if cfg!(miri) {
    5
} else if cfg!(target_os = "none") {
    6
} else {
    9
};
/// The largest number of blocks of a pool in the configurations below.
const BLOCKS: usize = 12;

/// The block sizes of the first and of the second pool.
struct Sizes(usize, usize);

/// Runs every sequence of `DEPTH` steps over an arena of `pages` pages, and returns the
/// number of sequences.
///
/// A step creates a pool while there are fewer than two, or lets a pool allocate a block,
/// allocate until it is exhausted, or free one of its live blocks. `choices` counts
/// through all sequences like an odometer: the wheel for each step has as many digits as
/// there are options for that step.
fn every_sequence(pages: usize, sizes: &Sizes) -> u64 {
    let mut choices = [0; DEPTH];
    let mut sequences = 0;
    loop {
        let mut options = [0; DEPTH];
        with_pages(pages, |pages| {
            let base = common::address(&mut pages[0]);
            let arena = Arena::from_pages(pages).unwrap();
            let mut world = World::<_, 2, BLOCKS>::new(&arena, base);
            for (choice, options) in choices.iter().zip(&mut options) {
                *options = take(&mut world, *choice, sizes);
            }
            world.check_contents();
        });
        sequences += 1;
        let Some(last) = (0..DEPTH).rev().find(|&step| choices[step] + 1 < options[step]) else {
            return sequences;
        };
        choices[last] += 1;
        choices[last + 1..].fill(0);
    }
}

/// Takes the step with this number, and returns how many options there were.
fn take<R: hpalloc::Region>(world: &mut World<'_, R, 2, BLOCKS>, choice: usize, sizes: &Sizes) -> usize {
    let mut options = 0;
    let mut chosen = None;
    let mut offer = |step| {
        if options == choice {
            chosen = Some(step);
        }
        options += 1;
    };
    match world.pools() {
        0 => offer(Step::NewPool { block_size: sizes.0 }),
        1 => offer(Step::NewPool { block_size: sizes.1 }),
        _ => {}
    }
    for pool in 0..world.pools() {
        offer(Step::Allocate { pool });
        offer(Step::Exhaust { pool });
        for live in 0..world.live(pool) {
            offer(Step::Deallocate { pool, live });
        }
    }
    world.step(chosen.expect("the odometer stays within the number of options"));
    options
}

/// Defines one test for each configuration, so that they run in parallel.
macro_rules! configurations {
    ($($name:ident: $pages:literal pages, blocks of $first:literal and $second:literal;)*) => {$(
        #[test]
        fn $name() {
            let sequences = every_sequence($pages, &Sizes($first, $second));
            assert!(sequences > 100, "{sequences} sequences");
        }
    )*};
}

configurations! {
    one_page: 1 pages, blocks of 2048 and 4096;
    one_page_in_three: 1 pages, blocks of 1360 and 2048;
    two_pages: 2 pages, blocks of 2048 and 1360;
    two_pages_and_runs: 2 pages, blocks of 4096 and 8192;
    three_pages: 3 pages, blocks of 2048 and 4096;
    three_pages_and_runs: 3 pages, blocks of 8192 and 2048;
    three_pages_in_unequal_runs: 3 pages, blocks of 4104 and 12288;
}
