//! A WebAssembly module whose global allocator is a heap that grows with `memory.grow`.
//! Its host is a few lines of JavaScript.
//!
//! Strings and maps use the heap for hundreds of rounds, while the host takes memory as
//! well. Freed memory is reused, so the module's memory doesn't grow after the first
//! rounds. Then the program exhausts all memory and continues.

#![no_std]
#![no_main]

extern crate alloc;

mod console;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::arch::wasm32;
use core::cell::Cell;
use core::ptr::{self, NonNull};

use console::print_line;
use hpalloc::{Heap, Locked, PAGE_SIZE, Page, PageSource, Spin};

/// A page source that grows the memory of the module.
struct Growth {
    /// The unused rest of the last growth: its first address and its end.
    rest: Cell<(usize, usize)>,
}

impl Growth {
    const fn new() -> Self {
        Self { rest: Cell::new((0, 0)) }
    }
}

// SAFETY: the memory that a growth adds is new and zero, and belongs to whoever caused
// the growth. It is part of one memory, which doesn't reach the last byte of the address
// space. Each page is handed out once, because `rest` begins after it from then on.
unsafe impl PageSource for Growth {
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.take_zeroed_pages(count).map(|(first, _)| first)
    }

    fn take_zeroed_pages(&self, count: usize) -> Option<(NonNull<Page>, bool)> {
        /// A page of WebAssembly.
        const STEP: usize = 64 * 1024;

        let size = count.checked_mul(PAGE_SIZE).filter(|&size| size > 0)?;
        let (mut start, mut end) = self.rest.get();
        if end - start < size {
            let steps = size.div_ceil(STEP);
            // The old size in steps. It is `usize::MAX` if the memory can't grow, and the
            // product then overflows.
            let grown = wasm32::memory_grow::<0>(steps).checked_mul(STEP)?;
            // If the host has grown the memory since, the new part doesn't follow the
            // rest, which then stays unused.
            if grown != end {
                start = grown;
            }
            end = grown.checked_add(steps * STEP)?;
        }
        self.rest.set((start + size, end));
        // The memory has no Rust object to which a pointer could belong, so the pointer
        // comes from its address.
        Some((NonNull::new(ptr::with_exposed_provenance_mut(start))?, true))
    }
}

#[global_allocator]
static HEAP: Locked<Heap<Growth>, Spin> = Locked::new(Heap::new(Growth::new()));

const ROUNDS: u32 = 200;
/// The number of words that a round counts.
const WORDS: u32 = 20_000;
/// The byte with which the host fills its pages.
const HOSTS: u8 = 0xEE;

/// Returns the size of the module's memory in steps of 64 KiB.
fn memory_size() -> usize {
    wasm32::memory_size::<0>()
}

/// Returns a page of memory that the host takes between two growths of the heap.
fn hosts_page() -> &'static [u8] {
    #[link(wasm_import_module = "host")]
    unsafe extern "C" {
        fn take_page(byte: u8) -> usize;
    }
    // SAFETY: the host grows the memory by a page that only it uses, fills the page, and
    // returns its address.
    unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(take_page(HOSTS)), 64 * 1024) }
}

/// Counts words, and checks how often each occurs.
fn round(number: u32) {
    let mut counts = BTreeMap::<String, u32>::new();
    for word in 0..WORDS {
        *counts.entry((word * 7919 % 5000 + number).to_string()).or_default() += 1;
    }
    assert_eq!(counts.len(), 5000);
    assert!(counts.iter().all(|(word, &count)| count == 4 && word.parse().is_ok_and(|word: u32| word - number < 5000)));
}

/// Allocates all memory in parts, checks them, and frees them. Returns the number of
/// parts.
fn exhaust() -> usize {
    const PART: usize = 100_000;
    let mut parts = Vec::with_capacity(256);
    for number in 0..=u8::MAX {
        let mut part = Vec::new();
        if part.try_reserve_exact(PART).is_err() {
            break;
        }
        part.resize(PART, number);
        parts.push(part);
    }
    assert!(Vec::<u8>::new().try_reserve_exact(isize::MAX as usize).is_err());
    for (number, part) in (0..).zip(&parts) {
        assert!(part.iter().all(|&byte| byte == number), "part {number} was overwritten");
    }
    parts.len()
}

/// The entry point, which the host calls.
#[unsafe(no_mangle)]
extern "C" fn run() {
    let at_first = memory_size();
    let fresh = vec![0_u8; 300_000];
    assert!(fresh.iter().all(|&byte| byte == 0), "fresh memory is not zero");
    let first_hosts = hosts_page();
    round(0);
    let second_hosts = hosts_page();
    round(1);
    drop(fresh);
    let after_first = memory_size();
    for number in 2..ROUNDS {
        round(number);
    }
    assert_eq!(memory_size(), after_first, "the memory grew, although enough of it was freed");
    print_line(format_args!("{ROUNDS} rounds, in {} steps of 64 KiB", after_first - at_first));

    let aligned = Layout::from_size_align(4096, 64 * 1024).expect("a power of two");
    let block = HEAP.with(|heap| heap.allocate(aligned)).expect("there is memory");
    assert_eq!(block.addr().get() % aligned.align(), 0);
    // SAFETY: the block came from this heap with this layout, and isn't used afterwards.
    HEAP.with(|heap| unsafe { heap.deallocate(block, aligned) });

    let parts = exhaust();
    assert_eq!(exhaust(), parts, "the second run got a different number of parts");
    round(ROUNDS);
    let zeroed = vec![0_u8; 300_000];
    assert!(zeroed.iter().all(|&byte| byte == 0), "reused memory was not zeroed");
    drop(zeroed);
    print_line(format_args!("exhausted after {parts} parts of 100000 bytes, at {} KiB", memory_size() * 64));

    assert!(first_hosts.iter().chain(second_hosts).all(|&byte| byte == HOSTS), "the host's memory was overwritten");
    assert_eq!(HEAP.with(|heap| heap.used()), 0);
    print_line(format_args!("{}", HEAP.with(|heap| heap.usage())));
}
