//! Heap efficiency, as talc defines it. Random actions are performed until one fails. The
//! efficiency is the number of live bytes at that point, divided by the size of the heap.

use std::alloc::Layout;

use fastrand::Rng;
use rayon::prelude::*;
use tables::Table;

use crate::progress::bar;
use crate::random::{below, between};
use crate::traces::{random_actions_align, random_actions_size};
use crate::{Configuration, Contestant, Memory};

/// The sizes of the heaps, in KiB.
const SIZES: [usize; 3] = [16, 64, 256];
/// The largest size that is allocated, in bytes.
const MOST: usize = 400;
/// The largest size that a block is reallocated to, in bytes.
const MOST_REALLOCATED: usize = 1200;

/// Runs one round in `bytes` bytes, including those outside of the heap's memory. Returns
/// the live bytes when an action fails.
fn round(random: &mut Rng, configuration: &Configuration, bytes: usize, memory: &mut Memory) -> usize {
    let bytes = bytes.saturating_sub(configuration.outside()) / configuration.step() * configuration.step();
    let Some(mut heap) = memory.heap(configuration, bytes) else { return 0 };
    let mut blocks = Vec::new();
    loop {
        match below(random, 10) {
            0..=4 => {
                let (size, align) = (random_actions_size(random, MOST), random_actions_align(random));
                let layout = Layout::from_size_align(size, align).expect("a layout");
                let Some(block) = heap.allocate(layout) else { break };
                blocks.push((block, layout));
            }
            5 if !blocks.is_empty() => {
                let (block, layout) = blocks.swap_remove(below(random, blocks.len()));
                // SAFETY: the block is live and has this layout.
                unsafe { heap.deallocate(block, layout) };
            }
            6..=9 if !blocks.is_empty() => {
                let index = below(random, blocks.len());
                let (block, layout) = blocks[index];
                let size = between(random, 1..=MOST_REALLOCATED);
                // SAFETY: as above.
                let Some(block) = (unsafe { heap.reallocate(block, layout, size) }) else { break };
                blocks[index] = (block, Layout::from_size_align(size, layout.align()).expect("a layout"));
            }
            _ => {}
        }
    }
    blocks.iter().map(|(_, layout)| layout.size()).sum()
}

/// Returns a table of the percentage of the heap that is live when an action fails. Each
/// figure is the average over this number of rounds, for the best configuration.
pub(crate) fn table(contestants: &[Contestant], rounds: usize) -> String {
    let titles = SIZES.map(|size| format!("{size} KiB"));
    let mut table = Table::new("live bytes when an action fails, %", &titles.each_ref().map(String::as_str));
    // A tuned contestant has no configuration here, because there is no trace.
    let contestants: Vec<_> = contestants.iter().filter(|contestant| !contestant.configurations().is_empty()).collect();
    let bar = bar(contestants.len(), "heap efficiency");
    let rows: Vec<_> = contestants
        .par_iter()
        .map_init(
            || Memory::new(1),
            |memory, contestant| {
                let cells = SIZES.map(|size| {
                    let best = contestant.configurations().iter().map(|configuration| {
                        let random = &mut Rng::with_seed(size as u64);
                        (0..rounds).map(|_| round(random, configuration, size << 10, memory)).sum::<usize>()
                    });
                    best.max()
                        .map_or("-".to_owned(), |live| (live as u64 * 100 / (rounds * (size << 10)) as u64).to_string())
                });
                bar.inc(1);
                cells
            },
        )
        .collect();
    bar.finish_and_clear();
    for (contestant, cells) in contestants.iter().zip(rows) {
        table.row(contestant.name(), cells);
    }
    table.into_text()
}
