//! Firmware that uses `alloc`, with hpalloc as the global allocator: a gateway that parses what sensors send, and reports.
//!
//! The heap is the three statements below, with nothing unsafe in them and nothing to set up. It runs for thousands of
//! rounds, in which everything that was allocated is checked, and takes no page more in the last than in the first ones:
//! each round asks for as many blocks of each size as the one before, and what was freed serves the next.

#![no_std]
#![no_main]

extern crate alloc;

mod readings;
mod report;

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

use hpalloc::{Arena, CriticalSection, Lazy, Locked, PAGE_SIZE, SizeClasses, StaticRegion};
use hpalloc_target_harness::println;

use readings::{Readings, SENSORS};
use report::Report;

/// How many pages there are.
const PAGES: usize = 32;

hpalloc::static_buffer! {
    static MEMORY: StaticBuffer<PAGES>;
}

#[global_allocator]
static HEAP: Locked<SizeClasses<Lazy<StaticRegion>>, CriticalSection> =
    Locked::new(SizeClasses::new(Lazy::new(|| MEMORY.claim().and_then(Arena::from_region))));

const ROUNDS: u32 = 2_000;
/// After so many rounds as many reports are kept as ever will be, and no more pages are needed.
const FIRST_ROUNDS: u32 = 50;
/// How many reports are kept. They outlive the rounds that they are made in.
const KEPT: usize = 12;

fn pages_taken() -> usize {
    HEAP.with(|heap| heap.page_source().arena().map_or(0, Arena::pages_allocated))
}

/// Reports on the readings of a round, checks the report, and keeps it in place of the oldest.
fn round(number: u32, kept: &mut VecDeque<Rc<Report>>) {
    let readings = Readings::of_round(number);
    let report = Rc::new(Report::new(number, &readings.text()));
    report.check(&readings);
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(Rc::clone(&report));
    // Some are checked again, long after they were made.
    for report in kept.iter().step_by(7) {
        report.check(&Readings::of_round(report.round()));
    }
}

/// Aligned to more than a page is.
#[repr(align(8192))]
struct Overaligned(#[allow(dead_code, reason = "so that it takes memory")] u8);

/// More than there is is an error, and so is all that there is in small parts; nothing else comes to harm.
fn exhaust() {
    assert!(Vec::<u8>::new().try_reserve_exact(PAGES * PAGE_SIZE + 1).is_err());
    assert!(Vec::<u8>::new().try_reserve_exact(isize::MAX as usize).is_err());
    assert!(Vec::<Overaligned>::new().try_reserve_exact(1).is_err());

    let mut parts: Vec<Vec<u8>> = Vec::with_capacity(PAGES * 4);
    for number in 0_u8..=255 {
        let mut part = Vec::new();
        if part.try_reserve_exact(1000).is_err() {
            break;
        }
        part.resize(1000, number);
        parts.push(part);
    }
    assert_eq!(pages_taken(), PAGES, "the last page was taken");
    for (number, part) in (0..).zip(&parts) {
        assert!(part.iter().all(|&byte| byte == number), "part {number} was written to");
    }
    println!("exhausted after {} more parts of 1000 bytes", parts.len());
}

fn run() {
    assert_eq!(pages_taken(), 0);
    let mut kept = VecDeque::new();
    let mut pages = 0;
    for number in 0..ROUNDS {
        round(number, &mut kept);
        if number < FIRST_ROUNDS {
            pages = pages_taken();
        }
        assert_eq!(pages_taken(), pages, "round {number} took a page more");
    }
    println!("{ROUNDS} rounds, {} sensors, in {pages} pages", SENSORS.len());
    if let Some(report) = kept.back() {
        println!("{report}");
    }

    exhaust();
    for number in ROUNDS..ROUNDS + FIRST_ROUNDS {
        round(number, &mut kept);
    }
    drop(kept);
    // Zeroed, though reports were in there.
    assert!(vec![0_u8; 1000].iter().all(|&byte| byte == 0));
    println!("{FIRST_ROUNDS} rounds after it was exhausted");
    HEAP.with(|heap| println!("{heap}"));
}

hpalloc_target_harness::entry!(run);
