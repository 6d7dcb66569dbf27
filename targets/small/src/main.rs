//! Firmware for a chip with 16 KiB of RAM: strings, a map and vectors, in a heap of 8 KiB, for a million operations.
//!
//! The heap is the lines below, as they are in the README. Everything that the device stores follows from the number of the
//! operation that stored it. So each operation checks what it finds without a second copy, and a failed allocation ends the program.

#![no_std]
#![no_main]

extern crate alloc;

mod device;

use hpalloc::{Arena, CriticalSection, Heap, Lazy, Locked, StaticRegion};
use hpalloc_target_harness::println;

use device::Device;

hpalloc::static_buffer! { static MEMORY: StaticBuffer<2>; } // two pages of 4 KiB

#[global_allocator]
static HEAP: Locked<Heap<Lazy<StaticRegion>>, CriticalSection> =
    Locked::new(Heap::new(Lazy::new(|| MEMORY.claim().and_then(Arena::from_region))));

const OPERATIONS: u32 = 1_000_000;
/// After so many operations, all that the device stores is checked, and not only what an operation touches.
const BETWEEN_CHECKS: u32 = 10_000;

/// Live bytes, and the largest request that succeeds now.
fn used_and_largest() -> (usize, usize) {
    HEAP.with(|heap| (heap.used(), heap.largest_free()))
}

fn run() {
    // The heap takes its memory at the first request.
    drop(alloc::boxed::Box::new(1));
    let at_first = used_and_largest();
    assert_eq!(at_first.0, 0);

    let mut device = Device::new();
    let mut most = 0;
    for number in 1..=OPERATIONS {
        device.operate(number);
        most = most.max(used_and_largest().0);
        if number % BETWEEN_CHECKS == 0 {
            device.check();
        }
    }
    println!("{OPERATIONS} operations, with up to {most} bytes live between them");
    println!("{}", HEAP.with(|heap| heap.usage()));

    drop(device);
    assert_eq!(used_and_largest(), at_first, "what is freed is merged, to the last byte");
    println!("all free again: {} bytes in one piece", at_first.1);
}

hpalloc_target_harness::entry!(run);
