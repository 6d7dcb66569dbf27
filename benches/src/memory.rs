//! The memory that the programs need with each allocator.

use std::process::Command;

use tables::Table;

use crate::contestant::{Contestant, Workload};
use crate::rounds::argument;
use crate::{Result, global};

/// The allocators that get a region for their memory.
const REGIONS: [Contestant; 7] = [
    Contestant::HpallocHeap,
    Contestant::HpallocClasses,
    Contestant::Talc,
    Contestant::Rlsf,
    Contestant::LinkedList,
    Contestant::EmbeddedList,
    Contestant::EmbeddedTlsf,
];

/// Measures, and returns the table of the pages that each program needed over its peak
/// live bytes.
pub(crate) fn table() -> Result<String> {
    let titles = Workload::PROGRAMS.map(Workload::title);
    let mut table = Table::new("peak pages over peak live bytes", &titles);
    let mut digests = Vec::new();
    let mut peaks = Vec::new();
    for workload in Workload::PROGRAMS {
        let (digest, memory) = run(workload, global::COUNTED)?;
        digests.push(digest);
        peaks.push(*memory.first().ok_or("the program printed no peak of live bytes")?);
    }
    table.row("peak live bytes, MB", peaks.iter().map(|peak| format!("{:.2}", peak / 1e6)));

    // A row of ratios for each of the allocator's figures.
    let ratios = |name: &str| -> Result<Vec<Vec<String>>> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for ((workload, expected), peak) in Workload::PROGRAMS.into_iter().zip(&digests).zip(&peaks) {
            let (digest, memory) = run(workload, name)?;
            if digest != *expected {
                return Err(format!(
                    "the output of {workload:?} has the digest {digest} with {name}, but {expected} with the system's \
                     allocator"
                )
                .into());
            }
            rows.resize(memory.len(), Vec::new());
            rows.iter_mut().zip(memory).for_each(|(row, bytes)| row.push(format!("{:.2}", bytes / peak)));
        }
        Ok(rows)
    };
    let regions = REGIONS.map(|contestant| (contestant.title(), argument(&contestant)));
    for (title, name) in regions.into_iter().chain([(Contestant::Glibc.title(), global::GLIBC_HEAP.to_owned())]) {
        for (what, row) in ["", ", pages of the arena"].into_iter().zip(ratios(&name)?) {
            table.row(&format!("{title}{what}"), row);
        }
    }
    Ok(table.into_text())
}

/// Runs a program, and returns the digest of its output and its memory in bytes.
fn run(workload: Workload, allocator: &str) -> Result<(String, Vec<f64>)> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(["program", &argument(&workload)]).env(global::VARIABLE, allocator).output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{workload:?} with {allocator}: {}\n{error}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace();
    let digest = words.next().ok_or("the program printed no digest")?.to_owned();
    Ok((digest, words.map(str::parse).collect::<std::result::Result<_, _>>()?))
}
