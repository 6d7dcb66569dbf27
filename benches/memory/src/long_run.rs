//! Long runs: a mix of sizes that changes over time, in little more memory than is live.

use std::alloc::Layout;

use fastrand::Rng;
use rayon::prelude::*;
use tables::Table;

use crate::progress::bar;
use crate::random::{below, between, one_in, spread, take_any};
use crate::{Configuration, Contestant, Memory};

/// The maximum number of live bytes, in KiB.
const LIVE: [usize; 3] = [8, 40, 160];
/// The size of the heap, in tenths of the live bytes.
const TENTHS: [usize; 2] = [15, 20];

/// Returns the number of operations before a request fails, or `None` if none fails.
fn failure(
    seed: u64,
    configuration: &Configuration,
    live: usize,
    tenths: usize,
    operations: usize,
    memory: &mut Memory,
) -> Option<usize> {
    let random = &mut Rng::with_seed(seed);
    let bytes =
        (live * tenths / 10).saturating_sub(configuration.outside()) / configuration.step() * configuration.step();
    let Some(mut heap) = memory.heap(configuration, bytes) else { return Some(0) };
    let (mut blocks, mut used) = (Vec::new(), 0);
    let (mut shift, mut low, mut high) = (0, 0, 0);
    for operation in 0..operations {
        if operation == shift {
            shift += between(random, 20_000..=80_000);
            low = spread(random, 8..=live / 256);
            high = spread(random, 2 * low..=live / 32);
        }
        let size = spread(random, low..=high);
        if used + size > live || one_in(random, 3) {
            if let Some((block, layout)) = take_any(random, &mut blocks) {
                let layout: Layout = layout;
                used -= layout.size();
                // SAFETY: the block is live and has this layout.
                unsafe { heap.deallocate(block, layout) };
            }
        } else if !blocks.is_empty() && one_in(random, 8) {
            let index = below(random, blocks.len());
            let (block, layout) = blocks[index];
            if used - layout.size() + size > live {
                continue;
            }
            // SAFETY: as above.
            let Some(block) = (unsafe { heap.reallocate(block, layout, size) }) else { return Some(operation) };
            blocks[index] = (block, Layout::from_size_align(size, layout.align()).expect("a layout"));
            used = used - layout.size() + size;
        } else {
            let layout = Layout::from_size_align(size, 4 << below(random, 2)).expect("a layout");
            let Some(block) = heap.allocate(layout) else { return Some(operation) };
            blocks.push((block, layout));
            used += size;
        }
    }
    None
}

/// Formats the results of the runs with all seeds.
fn cell(failures: &[Option<usize>]) -> String {
    match failures.iter().flatten().min() {
        None => "lasts".to_owned(),
        Some(first) => {
            let lasted = failures.iter().filter(|failure| failure.is_none()).count();
            format!("{first} ({lasted} of {})", failures.len())
        }
    }
}

/// Returns a table with, for each contestant, the fewest operations before a request
/// fails, and the number of seeds with which none fails. Only the first configuration of
/// a contestant is measured.
pub(crate) fn table(contestants: &[Contestant], operations: usize, seeds: u64) -> String {
    let cases: Vec<_> = LIVE.iter().flat_map(|&live| TENTHS.map(|tenths| (live, tenths))).collect();
    let title = |&(live, tenths): &(usize, usize)| format!("{live} KiB live, times {}.{}", tenths / 10, tenths % 10);
    let titles: Vec<_> = cases.iter().map(title).collect();
    let titles: Vec<_> = titles.iter().map(String::as_str).collect();
    let mut table = Table::new("operations until one fails", &titles);
    // A tuned contestant has no configuration here, because there is no trace.
    let contestants: Vec<_> = contestants.iter().filter(|contestant| !contestant.configurations().is_empty()).collect();
    let bar = bar(contestants.len(), "long runs");
    let rows: Vec<_> = contestants
        .par_iter()
        .map_init(
            || Memory::new(2),
            |memory, contestant| {
                let configuration = contestant.configurations().first();
                let cells: Vec<_> = cases
                    .iter()
                    .map(|&(live, tenths)| {
                        let Some(configuration) = configuration else { return "-".to_owned() };
                        let fails = |seed| failure(seed, configuration, live << 10, tenths, operations, memory);
                        cell(&(1..=seeds).map(fails).collect::<Vec<_>>())
                    })
                    .collect();
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
