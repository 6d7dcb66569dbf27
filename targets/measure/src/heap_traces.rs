//! Counts the instructions of each operation of a `Heap` (`-icount`) while it serves the
//! requests of programs. The emulator loads the traces in the format of `hpalloc-memory`.
//!
//! Each printed line has the size of the memory in bytes, and the median, the 99th
//! percentile and the maximum of each operation. These are zero if there was no such
//! operation.

#![no_std]
#![no_main]

#[cfg(feature = "peer")]
mod any_heap;
mod board;
mod calls;
mod counter;

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use hpalloc_target_harness::{print, println};

use board::Board;
use calls::{Calls, DEALLOCATE, Heap, OPERATIONS};

/// The fixed memories. Each trace runs in those that are large enough.
const MEMORIES: [(&str, usize); 4] =
    [("16 KiB", 16 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("256 MiB", 256 << 20)];
/// The memories in proportion to the live bytes, in eighths. A trace runs in the first in
/// which it succeeds.
const PROPORTIONS: [usize; 8] = [12, 14, 16, 20, 24, 32, 48, 64];
const PROPORTIONAL: &str = "1.5 times the live bytes";

/// The highest cost with a separate counter. Only the maximum of higher costs is
/// recorded.
const HIGHEST: usize = (1 << 16) - 1;

/// The number of operations for each cost.
struct Counts {
    counts: [[u32; HIGHEST + 1]; OPERATIONS],
    most: [u32; OPERATIONS],
}

/// The counts of one trace in one memory, and of all traces in this memory.
static mut COUNTS: [Counts; 2] =
    [const { Counts { counts: [[0; HIGHEST + 1]; OPERATIONS], most: [0; OPERATIONS] } }; 2];

impl Counts {
    fn record(&mut self, operation: usize, cost: u32) {
        self.counts[operation][(cost as usize).min(HIGHEST)] += 1;
        self.most[operation] = self.most[operation].max(cost);
    }

    fn clear(&mut self) {
        self.counts.as_flattened_mut().fill(0);
        self.most = [0; OPERATIONS];
    }

    fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.as_flattened_mut().iter_mut().zip(other.counts.as_flattened()) {
            *count += more;
        }
        for (most, other) in self.most.iter_mut().zip(other.most) {
            *most = (*most).max(other);
        }
    }

    /// Returns the cost that this percentage of the operations doesn't exceed.
    fn percentile(&self, operation: usize, percent: u64) -> usize {
        let counts = &self.counts[operation];
        let all: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let mut below = 0;
        let reaches = |&count: &u32| {
            below += u64::from(count);
            below * 100 >= all * percent
        };
        counts.iter().position(reaches).filter(|&cost| cost < HIGHEST).unwrap_or(self.most[operation] as usize)
    }

    fn print(&self, memory: &str, trace: &str, bytes: usize) {
        print!("{memory} | {trace}: {bytes}");
        for (operation, most) in self.most.iter().enumerate() {
            print!(" {} {} {most}", self.percentile(operation, 50), self.percentile(operation, 99));
        }
        println!("");
    }
}

/// A loaded trace.
struct Trace<'t> {
    name: &'t str,
    slots: usize,
    peak: usize,
    count: usize,
    operations: &'t [u32],
}

/// Removes the first number and returns it.
fn next(numbers: &mut &[u32]) -> usize {
    let (&first, rest) = numbers.split_first().expect("the loaded traces end too early");
    *numbers = rest;
    first as usize
}

impl<'t> Trace<'t> {
    /// Removes the first trace and returns it.
    fn next(numbers: &mut &'t [u32]) -> Self {
        let length = next(numbers);
        let (name, rest) = numbers.split_at(length.div_ceil(size_of::<u32>()));
        // SAFETY: the numbers have at least `length` bytes.
        let name = unsafe { core::slice::from_raw_parts(name.as_ptr().cast::<u8>(), length) };
        *numbers = rest;
        let (slots, peak, count) = (next(numbers), next(numbers), next(numbers));
        let operations = *numbers;
        for _ in 0..count {
            if next(numbers) >> 24 & 7 != 2 {
                next(numbers);
            }
        }
        Self { name: str::from_utf8(name).expect("a name"), slots, peak, count, operations }
    }

    /// Runs the trace in this memory. Returns `false` if a request fails.
    fn run(&self, memory: &mut [MaybeUninit<u8>], blocks: &mut [MaybeUninit<u64>], counts: &mut Counts) -> bool {
        counts.clear();
        let Ok(heap) = Heap::from_uninit(memory) else { return false };
        let calls = Calls::new(&heap);
        // A slot has two numbers: the address of its block, and the size of the block
        // with the logarithm of its alignment above it.
        let blocks = &mut blocks[..2 * self.slots];
        let mut numbers = self.operations;
        for _ in 0..self.count {
            let word = next(&mut numbers);
            let (slot, what, shift) = (word & 0xFF_FFFF, word >> 24 & 7, word >> 27);
            let [place, noted] = &mut blocks[2 * slot..2 * slot + 2] else { return false };
            if what == 0 {
                let size = next(&mut numbers);
                let layout = Layout::from_size_align(size, 1 << shift).expect("a layout");
                let (block, operation, cost) = calls.allocate(&heap, layout);
                let Some(block) = block else { return false };
                counts.record(operation, cost);
                place.write(block.as_ptr().expose_provenance() as u64);
                noted.write(size as u64 | (shift as u64) << 32);
                continue;
            }
            // SAFETY: a trace refers only to slots of live blocks, whose numbers were
            // written.
            let (at, noted_before) = unsafe { (place.assume_init_read(), noted.assume_init_read()) };
            let block = NonNull::new(core::ptr::with_exposed_provenance_mut(at as usize)).expect("a block");
            let layout = Layout::from_size_align(noted_before as u32 as usize, 1 << (noted_before >> 32));
            let layout = layout.expect("a layout");
            if what == 1 {
                let size = next(&mut numbers);
                // SAFETY: the block is live, and was stored with its layout.
                let (moved, operation, cost) = unsafe { calls.resize(&heap, block, layout, size) };
                let Some(moved) = moved else { return false };
                counts.record(operation, cost);
                place.write(moved.as_ptr().expose_provenance() as u64);
                noted.write(size as u64 | noted_before >> 32 << 32);
            } else {
                // SAFETY: as above, and the trace doesn't use the block any more.
                counts.record(DEALLOCATE, unsafe { calls.deallocate(&heap, block, layout) });
            }
        }
        true
    }
}

fn run() {
    counter::start();
    // SAFETY: this is the only call.
    let board = unsafe { Board::new() };
    // SAFETY: this is the only reference to the counts.
    let [one, all] = unsafe { &mut *(&raw mut COUNTS) };
    for (name, bytes) in [(PROPORTIONAL, 0)].into_iter().chain(MEMORIES) {
        // Peers are measured only in proportional memory.
        if bytes > board.heap.len() || cfg!(feature = "peer") && name != PROPORTIONAL {
            continue;
        }
        let mut numbers = board.traces;
        all.clear();
        for _ in 0..next(&mut numbers) {
            let trace = Trace::next(&mut numbers);
            let mut runs = |bytes| trace.run(&mut board.heap[16..][..bytes], board.tables, one).then_some(bytes);
            let enough = if bytes > 0 {
                Some(bytes).filter(|&bytes| bytes > trace.peak).and_then(runs)
            } else {
                PROPORTIONS.into_iter().map(|eighths| trace.peak * eighths / 8).find_map(|bytes| runs(bytes))
            };
            if let Some(enough) = enough {
                all.add(one);
                one.print(name, trace.name, enough);
            }
        }
        all.print(name, "all", bytes);
    }
}

hpalloc_target_harness::entry!(run);
