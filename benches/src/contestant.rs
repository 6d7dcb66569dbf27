//! The contestants, the workloads, and which contestant takes part in which workload.

use std::mem::MaybeUninit;

use bumpalo::Bump;
use clap::ValueEnum;
use slab::Slab;

use crate::allocator::{Blocks, General, Heap, Shared};
use crate::effort::Effort;
use crate::floor::{BulkList, PointerStack, Successive};
use crate::general;
use crate::heaps::{Behind, Buddy, LinkedList, Rlsf, Talc};
use crate::mallocs::{Glibc, Jemalloc, Mimalloc, Snmalloc, Warm};
use crate::ours::{AnySize, Classes, Hpalloc, HpallocShared, Huge, HugePrefaulted, Plain, Prefaulted};
use crate::peers::Heapless;
use crate::programs::{self, Prepared};
use crate::seed::Seed;
use crate::workload::{self, Order, WORDS};

/// A workload: a way to use an allocator, or a program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub(crate) enum Workload {
    Pair,
    SmallBatch,
    BatchLifo,
    BatchFifo,
    BatchRandom,
    TwoThreads,
    Churn,
    Mix,
    List,
    FirstTouch,
    Mixed,
    MixedSmallBatch,
    MixedBatch,
    Vectors,
    Strings,
    Json,
    Regex,
    Btree,
    HashMap,
    Source,
    #[value(name = "live-1000")]
    Live1Thousand,
    #[value(name = "live-10000")]
    Live10Thousand,
    #[value(name = "live-100000")]
    Live100Thousand,
    #[value(name = "live-1000000")]
    Live1Million,
    #[value(name = "live-4000000")]
    Live4Million,
    Latency,
}

impl Workload {
    /// The workloads with blocks of fixed sizes. Each has one figure: nanoseconds for
    /// allocating and freeing a block, or for the workload's own operation on one.
    pub(crate) const TIMED: [Self; 10] = [
        Self::Pair,
        Self::SmallBatch,
        Self::BatchLifo,
        Self::BatchFifo,
        Self::BatchRandom,
        Self::TwoThreads,
        Self::Churn,
        Self::Mix,
        Self::List,
        Self::FirstTouch,
    ];

    /// The workloads with requests of any size. Each has one figure in nanoseconds.
    pub(crate) const GENERAL: [Self; 5] =
        [Self::Mixed, Self::MixedSmallBatch, Self::MixedBatch, Self::Vectors, Self::Strings];

    /// The programs, which use the global allocator. Each has two figures: milliseconds,
    /// and a digest of the output.
    pub(crate) const PROGRAMS: [Self; 5] = [Self::Json, Self::Regex, Self::Btree, Self::HashMap, Self::Source];

    /// The churn with more and more live blocks.
    pub(crate) const LIVE: [Self; 5] =
        [Self::Live1Thousand, Self::Live10Thousand, Self::Live100Thousand, Self::Live1Million, Self::Live4Million];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Pair => "hot pair",
            Self::SmallBatch => "batch of 32",
            Self::BatchLifo => "batch of 1000, LIFO",
            Self::BatchFifo => "batch of 1000, FIFO",
            Self::BatchRandom => "batch of 1000, random",
            Self::TwoThreads => "two threads",
            Self::Churn => "churn",
            Self::Mix => "four sizes",
            Self::List => "list",
            Self::FirstTouch => "first touch",
            Self::Mixed => "mixed small sizes",
            Self::MixedSmallBatch => "batch of 100, mixed",
            Self::MixedBatch => "batch of 1000, mixed",
            Self::Vectors => "growing vectors",
            Self::Strings => "strings",
            Self::Json => "JSON",
            Self::Regex => "regular expressions",
            Self::Btree => "B-tree of strings",
            Self::HashMap => "hash table",
            Self::Source => "Rust source",
            Self::Live1Thousand => "1,000",
            Self::Live10Thousand => "10,000",
            Self::Live100Thousand => "100,000",
            Self::Live1Million => "1,000,000",
            Self::Live4Million => "4,000,000",
            Self::Latency => "latency",
        }
    }

    /// Returns the program, if this workload is one.
    pub(crate) fn prepare(self) -> Option<fn() -> Prepared> {
        Some(match self {
            Self::Json => programs::json,
            Self::Regex => programs::regex,
            Self::Btree => programs::btree,
            Self::HashMap => programs::hash_map,
            Self::Source => programs::source,
            _ => return None,
        })
    }
}

/// An allocator, or a floor: a program that does less than an allocator must.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub(crate) enum Contestant {
    Hpalloc,
    HpallocHeap,
    HpallocClasses,
    HpallocHuge,
    HpallocPrefaulted,
    HpallocHugePrefaulted,
    Seed,
    Glibc,
    GlibcWarm,
    Mimalloc,
    MimallocWarm,
    Jemalloc,
    Snmalloc,
    Bumpalo,
    Heapless,
    Slab,
    Talc,
    Rlsf,
    LinkedList,
    EmbeddedList,
    EmbeddedTlsf,
    Buddy,
    FloorPointers,
    FloorBulk,
    FloorWrite,
    FloorWritePrefaulted,
}

impl Contestant {
    /// The general allocators that programs on a host use.
    pub(crate) const MALLOCS: [Self; 4] = [Self::Glibc, Self::Mimalloc, Self::Jemalloc, Self::Snmalloc];

    /// The fastest heaps for firmware and kernels.
    pub(crate) const HEAPS: [Self; 2] = [Self::Talc, Self::Rlsf];

    /// The contestants that can be a program's global allocator.
    const GLOBAL: [Self; 11] = [
        Self::HpallocHeap,
        Self::HpallocClasses,
        Self::Glibc,
        Self::Mimalloc,
        Self::Jemalloc,
        Self::Snmalloc,
        Self::Talc,
        Self::Rlsf,
        Self::LinkedList,
        Self::EmbeddedList,
        Self::EmbeddedTlsf,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Hpalloc => "hpalloc",
            Self::HpallocHeap => "hpalloc heap",
            Self::HpallocClasses => "hpalloc size classes",
            Self::HpallocHuge => "hpalloc, huge pages",
            Self::HpallocPrefaulted => "hpalloc, prefaulted",
            Self::HpallocHugePrefaulted => "hpalloc, huge pages, prefaulted",
            Self::Seed => "baseline: eager carving",
            Self::Glibc => "glibc malloc",
            Self::GlibcWarm => "glibc malloc, warm",
            Self::Mimalloc => "mimalloc",
            Self::MimallocWarm => "mimalloc, warm",
            Self::Jemalloc => "jemalloc",
            Self::Snmalloc => "snmalloc",
            Self::Bumpalo => "bumpalo",
            Self::Heapless => "heapless box_pool",
            Self::Slab => "slab",
            Self::Talc => "talc",
            Self::Rlsf => "rlsf",
            Self::LinkedList => "linked_list_allocator",
            Self::EmbeddedList => "embedded-alloc, linked list",
            Self::EmbeddedTlsf => "embedded-alloc, TLSF",
            Self::Buddy => "buddy_system_allocator",
            Self::FloorPointers => "floor: array of pointers",
            Self::FloorBulk => "floor: list, many at a time",
            Self::FloorWrite => "floor: the write alone",
            Self::FloorWritePrefaulted => "floor: the write alone, prefaulted",
        }
    }

    /// Returns the measurement, or `None` if this contestant doesn't take part in the
    /// workload.
    pub(crate) fn program(self, workload: Workload) -> Option<Program> {
        use Workload::{BatchFifo, BatchLifo, BatchRandom, FirstTouch, Latency, List, Pair, SmallBatch, TwoThreads};

        let batch = matches!(workload, SmallBatch | BatchLifo | BatchFifo | BatchRandom);
        let first_touch = matches!(workload, FirstTouch | Latency);
        if let Some(prepare) = workload.prepare() {
            return Self::GLOBAL
                .contains(&self)
                .then(|| -> Program { Box::new(move |effort| programs::time(prepare, effort)) });
        }
        if workload == TwoThreads {
            return Some(match self {
                Self::Hpalloc => of_threads::<HpallocShared>(),
                Self::HpallocHeap => of_threads::<Behind<AnySize>>(),
                Self::Glibc => of_threads::<Glibc>(),
                Self::Mimalloc => of_threads::<Mimalloc>(),
                Self::Jemalloc => of_threads::<Jemalloc>(),
                Self::Snmalloc => of_threads::<Snmalloc>(),
                Self::Heapless => of_threads::<Heapless>(),
                Self::Talc => of_threads::<Behind<Talc>>(),
                Self::Rlsf => of_threads::<Behind<Rlsf>>(),
                Self::LinkedList => of_threads::<Behind<LinkedList>>(),
                Self::Buddy => of_threads::<Behind<Buddy>>(),
                _ => return None,
            });
        }
        match self {
            Self::Hpalloc => of_heap::<Hpalloc<Plain>>(workload),
            Self::HpallocHeap => of_general::<AnySize>(workload),
            // In the workloads that are left out here, size classes behave like pools.
            Self::HpallocClasses if !first_touch && !Workload::LIVE.contains(&workload) => {
                of_general::<Classes>(workload)
            }
            // In memory that was touched before, these three are the same as the pools
            // above.
            Self::HpallocHuge if first_touch => of_heap::<Hpalloc<Huge>>(workload),
            Self::HpallocPrefaulted if first_touch => of_heap::<Hpalloc<Prefaulted>>(workload),
            Self::HpallocHugePrefaulted if first_touch => of_heap::<Hpalloc<HugePrefaulted>>(workload),
            Self::Seed => of_heap::<Seed>(workload),
            Self::Glibc => of_general::<Glibc>(workload),
            // The repeated workloads are warm with each contestant.
            Self::GlibcWarm if workload == Latency => of_general::<Warm<Glibc>>(workload),
            Self::Mimalloc => of_general::<Mimalloc>(workload),
            Self::MimallocWarm if workload == Latency => of_general::<Warm<Mimalloc>>(workload),
            Self::Jemalloc => of_general::<Jemalloc>(workload),
            Self::Snmalloc => of_general::<Snmalloc>(workload),
            // bumpalo frees all blocks together, so it can't run workloads that free
            // single blocks.
            Self::Bumpalo if batch || first_touch || workload == List => of_heap::<Bump>(workload),
            Self::Talc => of_general::<Talc>(workload),
            Self::Rlsf => of_general::<Rlsf>(workload),
            Self::LinkedList => of_general::<LinkedList>(workload),
            Self::Buddy => of_general::<Buddy>(workload),
            Self::Slab if workload == List => Some(one(workload::list::<Slab<MaybeUninit<[u64; 3]>>>)),
            Self::Slab => of_blocks::<Slab<MaybeUninit<[u64; WORDS]>>>(workload),
            Self::Heapless => of_blocks::<Heapless>(workload),
            // With a single block, the compiler would remove everything except the
            // writes.
            Self::FloorPointers if !first_touch && workload != Pair => of_blocks::<PointerStack>(workload),
            Self::FloorBulk if batch => of_blocks::<BulkList>(workload),
            Self::FloorWrite if first_touch => of_blocks::<Successive<false>>(workload),
            Self::FloorWritePrefaulted if first_touch => of_blocks::<Successive<true>>(workload),
            _ => None,
        }
    }
}

/// A measurement, which returns its figures.
pub(crate) type Program = Box<dyn Fn(Effort) -> Vec<f64>>;

fn one(program: impl Fn(Effort) -> f64 + 'static) -> Program {
    Box::new(move |effort| vec![program(effort)])
}

fn of_threads<B: Shared + 'static>() -> Program {
    one(|effort| workload::two_threads::<B>(effort, 1000))
}

fn of_general<G: General + 'static>(workload: Workload) -> Option<Program> {
    let batch = |count| Some(one(move |effort| general::batch::<G>(effort, count)));
    match workload {
        Workload::Mixed => Some(one(general::churn::<G>)),
        Workload::MixedSmallBatch => batch(100),
        Workload::MixedBatch => batch(1000),
        Workload::Vectors => Some(one(general::vectors::<G>)),
        Workload::Strings => Some(one(general::strings::<G>)),
        _ => of_heap::<G>(workload),
    }
}

fn of_heap<H: Heap + 'static>(workload: Workload) -> Option<Program> {
    match workload {
        Workload::Mix => Some(one(workload::mix::<H>)),
        Workload::List => Some(one(workload::list::<H>)),
        _ => of_blocks::<H>(workload),
    }
}

fn of_blocks<B: Blocks<WORDS> + 'static>(workload: Workload) -> Option<Program> {
    let batch = |count, order| Some(one(move |effort| workload::batch::<B>(effort, count, order)));
    let among = |live| Some(one(move |effort| workload::among::<B>(effort, live)));
    match workload {
        Workload::Pair => Some(one(workload::pair::<B>)),
        Workload::SmallBatch => batch(32, Order::LastInFirstOut),
        Workload::BatchLifo => batch(1000, Order::LastInFirstOut),
        Workload::BatchFifo => batch(1000, Order::FirstInFirstOut),
        Workload::BatchRandom => batch(1000, Order::Random),
        Workload::Churn => Some(one(workload::churn::<B>)),
        Workload::FirstTouch => Some(one(workload::first_touch::<B>)),
        Workload::Live1Thousand => among(1_000),
        Workload::Live10Thousand => among(10_000),
        Workload::Live100Thousand => among(100_000),
        Workload::Live1Million => among(1_000_000),
        Workload::Live4Million => among(4_000_000),
        Workload::Latency => Some(Box::new(workload::latency::<B>)),
        // The other workloads need more than blocks of one size.
        _ => None,
    }
}
