//! Searches for the most instructions that an operation of a `Heap` takes (`-icount`), over all layouts and states.
//!
//! A state is described by segments of live and of free memory. There are families of states that are made to be bad, and
//! from the worst ones of these a search climbs further. Each operation counts with which a state is built, tried and taken
//! down, of all layouts that may make a difference.
//!
//! A line has a family's maximum for each operation. What `grow` starts from and `shrink` leads to is 64 bytes at most, so
//! that it is not the copying that counts.

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
/// How many states of each family are tried.
const STATES: u32 = 12;
/// How many states the search tries for each operation.
const STEPS: u32 = 150;

fn run() {
    counter::start();
    // SAFETY: once.
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
        print(name, "what the search finds from there", most);
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
