//! Firmware with hpalloc as its global allocator: a gateway that parses the readings of
//! sensors and reports on them.
//!
//! The single statement below creates the heap, and no setup is needed. The program runs
//! for thousands of rounds and checks everything that it allocated. The high-water mark
//! hardly rises after the first rounds. Then the program exhausts the memory and
//! continues. After everything is freed, all memory is in one piece again.

#![no_std]
#![no_main]

extern crate alloc;

mod readings;
mod report;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::ptr;

use hpalloc_target_harness::println;

use readings::{Readings, SENSORS};
use report::Report;

const BYTES: usize = 128 * 1024;

hpalloc::static_heap! {
    #[global_allocator]
    static HEAP: Heap<BYTES>;
}

const ROUNDS: u32 = 2_000;
/// The number of rounds after which the maximum number of reports is kept. From then on,
/// the high-water mark rises by a tenth at most.
const FIRST_ROUNDS: u32 = 50;
/// The number of reports that are kept. They outlive the rounds in which they are
/// created.
const KEPT: usize = 12;

/// Creates a report on the readings of a round, checks it, and keeps it in place of the
/// oldest.
fn round(number: u32, kept: &mut VecDeque<Rc<Report>>) {
    let readings = Readings::of_round(number);
    let report = Rc::new(Report::new(number, &readings.text()));
    report.check(&readings);
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(Rc::clone(&report));
    // Some reports are checked again, long after they were created.
    for report in kept.iter().step_by(7) {
        report.check(&Readings::of_round(report.round()));
    }
}

/// A value with an alignment above a page.
#[repr(align(8192))]
struct Overaligned(u8);

/// Exhausts the memory. Requests that are too large fail, and so does the last of many
/// small ones. No other block is damaged.
fn exhaust() {
    assert!(Vec::<u8>::new().try_reserve_exact(BYTES + 1).is_err());
    assert!(Vec::<u8>::new().try_reserve_exact(isize::MAX as usize).is_err());
    let aligned = Box::new(Overaligned(1));
    assert!(ptr::from_ref(&*aligned).is_aligned());

    let mut parts: Vec<Vec<u8>> = Vec::with_capacity(BYTES / 1000);
    for number in 0_u8..=255 {
        let mut part = Vec::new();
        if part.try_reserve_exact(1000).is_err() {
            break;
        }
        part.resize(1000, number);
        parts.push(part);
    }
    assert!(HEAP.usage().largest_free < 1000, "{}", HEAP.usage());
    for (number, part) in (0..).zip(&parts) {
        assert!(part.iter().all(|&byte| byte == number), "part {number} was overwritten");
    }
    assert_eq!(aligned.0, 1);
    println!("exhausted after {} more parts of 1000 bytes", parts.len());
}

fn run() {
    let at_first = HEAP.usage();
    let mut kept = VecDeque::new();
    let mut first_rounds = at_first;
    for number in 0..ROUNDS {
        round(number, &mut kept);
        if number < FIRST_ROUNDS {
            first_rounds = HEAP.usage();
        }
        assert_eq!(HEAP.usage().used, first_rounds.used, "round {number} leaked memory");
    }
    assert!(HEAP.usage().peak <= first_rounds.peak * 11 / 10, "{} bytes at first, {}", first_rounds.peak, HEAP.usage());
    println!("{ROUNDS} rounds, {} sensors, in {} bytes", SENSORS.len(), HEAP.usage().peak);
    if let Some(report) = kept.back() {
        println!("{report}");
    }

    exhaust();
    for number in ROUNDS..ROUNDS + FIRST_ROUNDS {
        round(number, &mut kept);
    }
    drop(kept);
    // The memory is zeroed, although it contained reports.
    assert!(vec![0_u8; 1000].iter().all(|&byte| byte == 0));
    println!("{FIRST_ROUNDS} rounds after it was exhausted");
    let at_last = HEAP.usage();
    assert_eq!(
        (at_last.used, at_last.largest_free),
        (0, at_first.largest_free),
        "not all memory is in one piece again"
    );
    println!("{at_last}");
}

hpalloc_target_harness::entry!(run);
