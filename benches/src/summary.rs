//! The tables of the README: the figures of RESULTS.md that a reader looks for first.

use tables::{Cells, Document, Table};

use crate::Result;
use crate::contestant::{Contestant, Workload};

/// The columns beside hpalloc's pool: the allocators that a program could use instead.
const PEERS: [(Contestant, &str); 6] = [
    (Contestant::Bumpalo, "bumpalo"),
    (Contestant::Slab, "slab"),
    (Contestant::Mimalloc, "mimalloc"),
    (Contestant::Snmalloc, "snmalloc"),
    (Contestant::Jemalloc, "jemalloc"),
    (Contestant::Glibc, "glibc"),
];

/// The rows: a name that needs no explanation, the workload, and the variant of hpalloc
/// that is measured.
const BLOCKS: [(&str, Workload, Contestant); 9] = [
    ("one block, repeatedly", Workload::Pair, Contestant::Hpalloc),
    ("batch of 32", Workload::SmallBatch, Contestant::Hpalloc),
    ("batch of 1000, last freed first", Workload::BatchLifo, Contestant::Hpalloc),
    ("batch of 1000, random order", Workload::BatchRandom, Contestant::Hpalloc),
    ("batch of 1000, two threads (hpalloc: a pool each)", Workload::TwoThreads, Contestant::Hpalloc),
    ("100,000 live, random order", Workload::Churn, Contestant::Hpalloc),
    ("a million list nodes of 24 bytes", Workload::List, Contestant::Hpalloc),
    ("first write, fresh memory", Workload::FirstTouch, Contestant::Hpalloc),
    ("the same, hpalloc in huge pages", Workload::FirstTouch, Contestant::HpallocHuge),
];

/// The columns: allocators that serve any size.
const HEAPS: [(Contestant, &str); 6] = [
    (Contestant::HpallocHeap, "`Heap`"),
    (Contestant::HpallocClasses, "`SizeClasses`"),
    (Contestant::Talc, "talc"),
    (Contestant::Rlsf, "rlsf"),
    (Contestant::Mimalloc, "mimalloc"),
    (Contestant::Glibc, "glibc"),
];

/// The rows, each with the section of RESULTS.md that contains it.
const REQUESTS: [(&str, Workload, &str); 7] = [
    ("10,000 live, random order, ns", Workload::Mixed, "heaps"),
    ("batch of 100, random order, ns", Workload::MixedSmallBatch, "heaps"),
    ("growing vectors, ns per push", Workload::Vectors, "heaps"),
    ("64 bytes, two threads (heaps: behind a spin lock), ns", Workload::TwoThreads, "time"),
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
    let mut blocks = Table::new("64-byte blocks, ns", &columns);
    for (name, workload, ours) in BLOCKS {
        let contestants = [ours].into_iter().chain(PEERS.map(|(peer, _)| peer));
        blocks.row(name, row(&times, workload, contestants));
    }

    let mut requests = Table::new("mixed sizes", &HEAPS.map(|(_, title)| title));
    for (name, workload, section) in REQUESTS {
        let table = match section {
            "time" => &times,
            "heaps" => &heaps,
            _ => &programs,
        };
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
