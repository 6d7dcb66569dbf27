//! The tables of the README: the figures of RESULTS.md that a reader looks for first.

use tables::{Cells, Document, Table};

use crate::Result;
use crate::contestant::{Contestant, Workload};

/// hpalloc's pool beside what a program could use instead, in columns.
const PEERS: [(Contestant, &str); 6] = [
    (Contestant::Bumpalo, "bumpalo"),
    (Contestant::Slab, "slab"),
    (Contestant::Mimalloc, "mimalloc"),
    (Contestant::Snmalloc, "snmalloc"),
    (Contestant::Jemalloc, "jemalloc"),
    (Contestant::Glibc, "glibc malloc"),
];

/// The rows: a name that needs no explanation, the workload, and which hpalloc is
/// measured.
const BLOCKS: [(&str, Workload, Contestant); 9] = [
    ("one block, again and again", Workload::Pair, Contestant::Hpalloc),
    ("batch of 32", Workload::SmallBatch, Contestant::Hpalloc),
    ("batch of 1000, last freed first", Workload::BatchLifo, Contestant::Hpalloc),
    ("batch of 1000, freed in random order", Workload::BatchRandom, Contestant::Hpalloc),
    ("batches of 1000 on two threads", Workload::TwoThreads, Contestant::Hpalloc),
    ("random order, 100,000 live", Workload::Churn, Contestant::Hpalloc),
    ("list of a million nodes", Workload::List, Contestant::Hpalloc),
    ("first write to fresh memory", Workload::FirstTouch, Contestant::Hpalloc),
    ("the same, hpalloc in huge pages", Workload::FirstTouch, Contestant::HpallocHuge),
];

/// Allocators of any size, in columns.
const HEAPS: [(Contestant, &str); 7] = [
    (Contestant::HpallocHeap, "`Heap`"),
    (Contestant::HpallocClasses, "`SizeClasses`"),
    (Contestant::Talc, "talc"),
    (Contestant::Rlsf, "rlsf"),
    (Contestant::LinkedList, "linked_list_ allocator"),
    (Contestant::Mimalloc, "mimalloc"),
    (Contestant::Glibc, "glibc malloc"),
];

/// The rows, and the section of RESULTS.md that each is in.
const REQUESTS: [(&str, Workload, &str); 6] = [
    ("mixed sizes, random order, ns", Workload::Mixed, "heaps"),
    ("mixed sizes, batch of 100, ns", Workload::MixedSmallBatch, "heaps"),
    ("vectors that grow, ns a push", Workload::Vectors, "heaps"),
    ("JSON: parse and print, ms", Workload::Json, "programs"),
    ("B-tree of strings, ms", Workload::Btree, "programs"),
    ("Rust source: parse and print, ms", Workload::Source, "programs"),
];

/// Returns the contents of the README's section `speed`, with figures of RESULTS.md.
pub(crate) fn tables(results: &Document) -> Result<String> {
    let (times, heaps, programs) =
        (results.table("time", "ns")?, results.table("heaps", "ns")?, results.table("programs", "ms")?);

    let mut columns = vec!["hpalloc"];
    columns.extend(PEERS.map(|(_, title)| title));
    let mut blocks = Table::new("ns for each block", &columns);
    for (name, workload, ours) in BLOCKS {
        let contestants = [ours].into_iter().chain(PEERS.map(|(peer, _)| peer));
        blocks.row(name, row(&times, workload, contestants));
    }

    let mut requests = Table::new("requests of any size", &HEAPS.map(|(_, title)| title));
    for (name, workload, section) in REQUESTS {
        let table = if section == "heaps" { &heaps } else { &programs };
        requests.row(name, row(table, workload, HEAPS.map(|(contestant, _)| contestant)));
    }
    Ok(format!("{}\n{}", blocks.into_text(), requests.into_text()))
}

/// The cells of a row, with the lowest figure in bold.
fn row(table: &Cells<'_>, workload: Workload, of: impl IntoIterator<Item = Contestant>) -> Vec<String> {
    let figures: Vec<_> = of.into_iter().map(|contestant| table.figure(contestant.title(), workload.title())).collect();
    let value = |figure: &&str| figure.parse().unwrap_or(f64::INFINITY);
    let lowest = figures.iter().flatten().map(value).fold(f64::INFINITY, f64::min);
    let cell = |figure: Option<&str>| match figure {
        Some(figure) if value(&figure) <= lowest => format!("**{figure}**"),
        Some(figure) => figure.to_owned(),
        None => "-".to_owned(),
    };
    figures.into_iter().map(cell).collect()
}
