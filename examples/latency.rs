//! What an allocation and the first write to it cost, as a distribution: hpalloc beside the system's `malloc`.
//!
//! ```sh
//! cargo run --release --features mmap --example latency
//! ```
//!
//! Each allocator goes through the same passes over `--count` blocks: a warm-up, one pass that is timed as a whole
//! (total and mean), and one in which each allocation is timed by itself (the percentiles, which include reading the
//! clock). In every pass all blocks are allocated and written to, then checked and freed.

#![allow(clippy::cast_precision_loss, reason = "what is counted here is far below 2^52")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use hpalloc::{Arena, BlockSize, FixedBlock, HugePages, MAX_ARENA_SIZE, Mapping, MappingOptions, PAGE_SIZE};
use indicatif::{ProgressBar, ProgressStyle};

/// Blocks between two updates of the progress bar.
const CHUNK: usize = 1 << 16;
const PASSES: usize = 3;
/// No latency is recorded as longer than a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// Measures the latency of allocating fixed-size blocks.
#[derive(Parser)]
struct Options {
    /// How many blocks are live at the peak [default: 4000000, or as many as an arena of 256 MiB holds]
    #[arg(long, value_parser = count)]
    count: Option<usize>,
    /// The size of a block in bytes
    #[arg(long, default_value = "64", value_parser = block_size)]
    block_size: BlockSize,
    /// Measure this one only
    #[arg(long)]
    allocator: Option<Allocator>,
}

fn count(text: &str) -> Result<usize, String> {
    const MAX: usize = 1 << 28;
    match text.parse() {
        Ok(count) if (1..=MAX).contains(&count) => Ok(count),
        _ => Err(format!("pass a number of blocks from 1 to {MAX}")),
    }
}

fn block_size(text: &str) -> Result<BlockSize, Box<dyn Error + Send + Sync>> {
    let bytes = text.parse().map_err(|_| "pass a number of bytes, such as 64")?;
    Ok(BlockSize::new(bytes)?)
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Allocator {
    /// hpalloc over a plain memory mapping
    Hpalloc,
    /// hpalloc over a mapping whose pages were all touched before
    HpallocPrefaulted,
    /// hpalloc over the best huge pages to be had
    HpallocHugePages,
    /// The system's malloc
    Malloc,
}

/// What is measured of an allocator.
trait Blocks {
    fn allocate(&self) -> Option<NonNull<u8>>;

    /// # Safety
    ///
    /// As [`FixedBlock::deallocate`].
    unsafe fn deallocate(&self, block: NonNull<u8>);
}

impl Blocks for FixedBlock<Arena<Mapping>> {
    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        FixedBlock::allocate(self)
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>) {
        // SAFETY: as the caller promises.
        unsafe { FixedBlock::deallocate(self, block) }
    }
}

struct Malloc(Layout);

impl Blocks for Malloc {
    #[inline]
    fn allocate(&self) -> Option<NonNull<u8>> {
        // SAFETY: a block size is never zero.
        NonNull::new(unsafe { System.alloc(self.0) })
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>) {
        // SAFETY: the block was allocated with this layout, as the caller promises.
        unsafe { System.dealloc(block.as_ptr(), self.0) }
    }
}

impl Drop for Malloc {
    /// Gives what was freed back to the system, as dropping an arena does, so that each pass begins on memory that
    /// wasn't touched yet. Elsewhere than with glibc, malloc's passes after the first may find it resident.
    fn drop(&mut self) {
        #[cfg(target_env = "gnu")]
        {
            unsafe extern "C" {
                fn malloc_trim(pad: usize) -> std::ffi::c_int;
            }
            // SAFETY: it touches free memory alone.
            unsafe { malloc_trim(0) };
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let (size, count) = (options.block_size, options.count.unwrap_or_else(|| default_count(options.block_size)));
    // Where each block went. Filled, so that its own memory is resident before any allocator is measured.
    let mut blocks = Vec::new();
    if blocks.try_reserve_exact(count).is_err() {
        eprintln!("error: there is no memory to keep account of {count} blocks: lower --count");
        return ExitCode::FAILURE;
    }
    blocks.resize(count, NonNull::dangling());

    println!(
        "{count} blocks of {} bytes. Latency in ns of allocating a block and writing to it first; reading the clock takes \
         {} ns, which the percentiles include.\n",
        size.bytes(),
        clock_cost().as_nanos(),
    );
    println!(
        "{:<20} {:>9} {:>7} {:>7} {:>7} {:>7} {:>9} {:>13}",
        "allocator", "total ms", "mean", "p50", "p99", "p99.9", "max", "peak resident"
    );
    let style = ProgressStyle::with_template("{msg:20} {wide_bar} {percent:>3}%").expect("a template of known fields");
    for &allocator in Allocator::value_variants() {
        if options.allocator.is_some_and(|only| only != allocator) {
            continue;
        }
        let name = allocator.to_possible_value().expect("none is hidden").get_name().to_owned();
        let progress = ProgressBar::new((PASSES * count) as u64).with_style(style.clone());
        progress.set_message(name.clone());
        let measured = measure_allocator(allocator, size, &mut blocks, &progress);
        progress.finish_and_clear();
        match measured {
            Ok(row) => println!("{name:<20} {row}"),
            Err(error) => {
                eprintln!("error: {name}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Four million, if an arena holds so many.
fn default_count(size: BlockSize) -> usize {
    let pages = MAX_ARENA_SIZE / PAGE_SIZE;
    let most = match size.blocks_per_page() {
        0 => pages / size.bytes().div_ceil(PAGE_SIZE),
        per_page => pages * per_page,
    };
    most.min(4_000_000)
}

/// The median time between two readings of the clock.
fn clock_cost() -> Duration {
    let mut costs: Vec<_> = (0..10_001).map(|_| Instant::now().elapsed()).collect();
    costs.sort_unstable();
    costs[costs.len() / 2]
}

fn measure_allocator(
    allocator: Allocator,
    size: BlockSize,
    blocks: &mut [NonNull<u8>],
    progress: &ProgressBar,
) -> Result<String, Box<dyn Error>> {
    let count = blocks.len();
    let pool = |mapping: MappingOptions| {
        let region = mapping.map(arena_size(count, size))?;
        Ok(FixedBlock::with_block_size(Arena::from_region(region)?, size))
    };
    match allocator {
        Allocator::Hpalloc => measure(|| pool(MappingOptions::new()), blocks, progress),
        Allocator::HpallocPrefaulted => measure(|| pool(MappingOptions::new().prefault(true)), blocks, progress),
        Allocator::HpallocHugePages => {
            measure(|| pool(MappingOptions::new().huge_pages(HugePages::Best)), blocks, progress)
        }
        Allocator::Malloc => {
            // What malloc promises without being asked: asking for more would take another path in it.
            let layout = Layout::from_size_align(size.bytes(), size.align().min(16))?;
            measure(|| Ok(Malloc(layout)), blocks, progress)
        }
    }
}

/// The size of an arena for this many blocks, or of the largest there is.
fn arena_size(count: usize, block_size: BlockSize) -> usize {
    let pages = match block_size.blocks_per_page() {
        0 => count.saturating_mul(block_size.bytes().div_ceil(PAGE_SIZE)),
        per_page => count.div_ceil(per_page),
    };
    pages.saturating_mul(PAGE_SIZE).min(MAX_ARENA_SIZE)
}

/// The row of the table for the allocator that `make` makes, anew for each pass.
fn measure<A: Blocks>(
    make: impl Fn() -> Result<A, Box<dyn Error>>,
    blocks: &mut [NonNull<u8>],
    progress: &ProgressBar,
) -> Result<String, Box<dyn Error>> {
    let resident_before = resident_bytes();

    let warm_up = make()?;
    pass(&warm_up, blocks, progress, |index| allocate_and_write(&warm_up, index))?;
    drop(warm_up);

    let whole = make()?;
    let totals = pass(&whole, blocks, progress, |index| allocate_and_write(&whole, index))?;
    drop(whole);

    let single = make()?;
    let mut latencies = Histogram::<u64>::new_with_bounds(1, LONGEST_NS, 3)?;
    pass(&single, blocks, progress, |index| {
        let start = Instant::now();
        let block = allocate_and_write(&single, index);
        latencies.saturating_record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(LONGEST_NS));
        block
    })?;

    let peak = match (resident_before, totals.resident) {
        (Some(before), Some(peak)) => format!("{:.1} MiB", peak.saturating_sub(before) as f64 / f64::from(1 << 20)),
        _ => "unknown".to_owned(),
    };
    Ok(format!(
        "{:>9.1} {:>7.1} {:>7} {:>7} {:>7} {:>9} {:>13}",
        (totals.allocating + totals.freeing).as_secs_f64() * 1e3,
        totals.allocating.as_secs_f64() * 1e9 / blocks.len() as f64,
        latencies.value_at_quantile(0.5),
        latencies.value_at_quantile(0.99),
        latencies.value_at_quantile(0.999),
        latencies.max(),
        peak,
    ))
}

/// What a pass took.
struct Totals {
    allocating: Duration,
    freeing: Duration,
    /// Resident bytes of the process while all blocks were live.
    resident: Option<usize>,
}

/// Allocates a block for each place in `blocks`, checks that each still holds what was written, and frees them.
fn pass<A: Blocks>(
    allocator: &A,
    blocks: &mut [NonNull<u8>],
    progress: &ProgressBar,
    mut allocate: impl FnMut(usize) -> Option<NonNull<u8>>,
) -> Result<Totals, Box<dyn Error>> {
    let count = blocks.len();
    let mut live = 0;
    let mut allocating = Duration::ZERO;
    for chunk in (0..count).step_by(CHUNK).map(|first| first..count.min(first + CHUNK)) {
        progress.inc(chunk.len() as u64);
        let start = Instant::now();
        for _ in chunk {
            if let Some(block) = allocate(live) {
                blocks[live] = block;
                live += 1;
            }
        }
        allocating += start.elapsed();
    }
    let resident = resident_bytes();
    let start = Instant::now();
    let mut damaged = 0;
    for (index, &block) in blocks[..live].iter().enumerate() {
        // SAFETY: the block is live and holds what was written to it; it is freed once and not used again.
        unsafe {
            damaged += usize::from(block.cast::<usize>().read_volatile() != index);
            allocator.deallocate(block);
        }
    }
    let freeing = start.elapsed();
    if live < count {
        return Err(format!(
            "{} of {count} allocations failed: the memory holds {live} blocks of that size",
            count - live
        )
        .into());
    }
    if damaged > 0 {
        return Err(format!("{damaged} of {count} blocks did not hold what was written to them").into());
    }
    Ok(Totals { allocating, freeing, resident })
}

#[inline]
fn allocate_and_write<A: Blocks>(allocator: &A, value: usize) -> Option<NonNull<u8>> {
    let block = allocator.allocate()?;
    // SAFETY: a block is at least as large and as aligned as a pointer.
    unsafe { block.cast::<usize>().write_volatile(value) };
    Some(block)
}

/// The process's resident memory, explicit huge pages included, where the system tells it.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |field| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix(" kB")?.parse::<usize>().ok().map(|kib| kib * 1024)
    };
    Some(bytes("VmRSS:")? + bytes("HugetlbPages:").unwrap_or(0))
}
