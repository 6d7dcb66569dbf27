//! A table that compares one contestant with a few others, for work on that contestant.

use tables::Table;

use crate::Result;
use crate::contestant::{Contestant, Workload};
use crate::effort::Effort;
use crate::rounds::{self, number};

/// Prints the median of each contestant, and the time of the first one relative to each
/// of the others.
pub(crate) fn run(contestants: &[Contestant], mut workloads: Vec<Workload>, rounds: usize) -> Result<()> {
    let (first, others) = contestants.split_first().ok_or("name at least one contestant")?;
    if workloads.is_empty() {
        workloads = Workload::GENERAL.into_iter().chain(Workload::PROGRAMS).collect();
    }
    let measured = rounds::run(rounds, Effort::Busy, &workloads, contestants)?;
    let ratios = others.iter().map(|other| format!("{} ÷ {}", first.title(), other.title()));
    let titles: Vec<_> = contestants.iter().map(|contestant| contestant.title().to_owned()).chain(ratios).collect();
    let titles: Vec<_> = titles.iter().map(String::as_str).collect();
    let mut table = Table::new("ns (programs: ms)", &titles);
    for workload in workloads {
        let medians = contestants.iter().map(|&contestant| measured.median(workload, contestant, 0).map(number));
        let ratios = others.iter().map(|&other| {
            let ratio = measured.ratio((workload, *first, 0), (workload, other, 0))?;
            Some(format!("{ratio:.2}"))
        });
        table.row(workload.title(), medians.chain(ratios).map(|cell| cell.unwrap_or_else(|| "-".to_owned())));
    }
    println!("{}", table.into_text());
    Ok(())
}
