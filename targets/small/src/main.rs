//! Firmware for a chip with 16 KiB of RAM: strings, a map and vectors in a heap of 8 KiB,
//! for a million operations.
//!
//! The lines that declare the heap are those of the firmware guide. All data that the
//! device stores is derived from the number of the operation that stored it. So each
//! operation can check the data that it touches without a second copy. A failed
//! allocation ends the program.

#![no_std]
#![no_main]

extern crate alloc;

mod device;

use hpalloc_target_harness::println;

use device::Device;

hpalloc::static_heap! {
    #[global_allocator]
    static HEAP: Heap<{ 8 * 1024 }>;
}

const OPERATIONS: u32 = 1_000_000;
/// The number of operations between two checks of all stored data. Each operation checks
/// only the data that it touches.
const BETWEEN_CHECKS: u32 = 10_000;

fn run() {
    let at_first = HEAP.largest_free();
    assert_eq!((HEAP.used(), HEAP.free()), (0, at_first));

    let mut device = Device::new();
    let mut most = 0;
    for number in 1..=OPERATIONS {
        device.operate(number);
        most = most.max(HEAP.used());
        if number % BETWEEN_CHECKS == 0 {
            device.check();
        }
    }
    println!("{OPERATIONS} operations, with up to {most} bytes live between them");
    println!("{}", HEAP.usage());

    drop(device);
    assert_eq!((HEAP.used(), HEAP.largest_free()), (0, at_first), "not all freed memory was merged");
    println!("all free again: {at_first} bytes in one piece");
}

hpalloc_target_harness::entry!(run);
