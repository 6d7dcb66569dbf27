//! Searches for the maximum number of instructions that an operation of a `Heap` needs
//! (`-icount`), over all layouts and states.
//!
//! A state is described by segments of live and free memory. Families of states are built
//! to be bad, and a search climbs from the worst of them. Every operation that builds a
//! state, tries it or takes it down is measured, with all layouts that may differ in
//! cost.
//!
//! Each printed line has a family's maximum of each operation. The smaller of the two
//! sizes of `grow` and `shrink` is 64 bytes at most, so copying costs little.

#![no_std]
#![no_main]

mod board;
mod calls;
mod counter;
mod random;
mod worst_case {
    pub(crate) mod climb;
    pub(crate) mod exercise;
    pub(crate) mod families;
    pub(crate) mod state;
}

use hpalloc_target_harness::{print, println};

use board::Board;
use calls::OPERATIONS;
use worst_case::climb::Climb;
use worst_case::exercise::{Exercise, Most};
use worst_case::families::FAMILIES;

const MEMORIES: [(&str, usize); 4] =
    [("16 KiB", 16 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("256 MiB", 256 << 20)];
/// The number of states of each family.
const STATES: u32 = 12;
/// The number of states that the search tries for each operation.
const STEPS: u32 = 150;

fn run() {
    counter::start();
    // SAFETY: this is the only call.
    let mut board = unsafe { Board::new() };
    for (name, bytes) in MEMORIES {
        if bytes > board.heap.len() {
            continue;
        }
        let mut exercise = Exercise::new(&mut board, bytes);
        let room = *exercise.room();
        let mut climb = Climb::new();
        for (number, family) in (1..).zip(&FAMILIES) {
            let mut most = Most::default();
            for seed in 1..=STATES {
                let state = family.state(seed * 64 + number, &room);
                let costs = exercise.run(&state);
                climb.consider(&state, costs);
                most.include(costs);
            }
            print(name, family.name, most);
        }
        let mut most = Most::default();
        for operation in 0..OPERATIONS {
            for _ in 0..STEPS {
                let state = climb.neighbour(operation, &room);
                let costs = exercise.run(&state);
                climb.consider(&state, costs);
                most.include(costs);
            }
        }
        print(name, "found by the search", most);
    }
}

fn print(memory: &str, family: &str, Most(costs): Most) {
    print!("{memory} | {family}:");
    for cost in costs {
        print!(" {cost}");
    }
    println!("");
}

hpalloc_target_harness::entry!(run);
