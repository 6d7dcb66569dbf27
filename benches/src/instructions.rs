//! How many instructions an operation takes, counted by Valgrind's Callgrind: exact, and the same on a busy machine.

use std::alloc::Layout;
use std::hint::black_box;
use std::process::Command;
use std::ptr::NonNull;

use clap::ValueEnum;
use hpalloc::{Arena, BlockSize, FixedBlock, Mapping, PAGE_SIZE, Page, SizeClasses};
use tables::{Document, Table};

use crate::{RESULTS, Result, report};

/// How often an operation is counted.
const CALLS: usize = 1000;

/// What is counted.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Operation {
    AllocateFree,
    AllocateFresh,
    AllocateRefill,
    Deallocate,
    Pair,
    ClassesAllocate,
    ClassesDeallocate,
    ClassesAllocateAligned,
    AllocPage,
    AllocPages,
    AllocZeroedPage,
}

impl Operation {
    const fn title(self) -> &'static str {
        match self {
            Self::AllocateFree => "`FixedBlock::allocate`, a free block",
            Self::AllocateFresh => "`FixedBlock::allocate`, a fresh block",
            Self::AllocateRefill => "`FixedBlock::allocate`, with a new page",
            Self::Deallocate => "`FixedBlock::deallocate`",
            Self::Pair => "both, inlined into one function",
            Self::ClassesAllocate => "`SizeClasses::allocate`, a free block of a small size",
            Self::ClassesDeallocate => "`SizeClasses::deallocate`, of a small size",
            Self::ClassesAllocateAligned => "`SizeClasses::allocate`, 100 bytes aligned to 64",
            Self::AllocPage => "`Arena::alloc_page`",
            Self::AllocPages => "`Arena::alloc_pages`",
            Self::AllocZeroedPage => "`Arena::alloc_zeroed_page`, of a fresh mapping",
        }
    }

    const fn function(self) -> &'static str {
        match self {
            Self::AllocateFree | Self::AllocateFresh | Self::AllocateRefill => "counted_allocate",
            Self::Deallocate => "counted_deallocate",
            Self::Pair => "counted_pair",
            Self::ClassesAllocate | Self::ClassesAllocateAligned => "counted_classes_allocate",
            Self::ClassesDeallocate => "counted_classes_deallocate",
            Self::AllocPage => "counted_alloc_page",
            Self::AllocPages => "counted_alloc_pages",
            Self::AllocZeroedPage => "counted_alloc_zeroed_page",
        }
    }
}

type Pool<'a> = FixedBlock<&'a Arena<Mapping>>;

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn counted_allocate(pool: &Pool<'_>) -> Option<NonNull<u8>> {
    pool.allocate()
}

#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "Rust" fn counted_deallocate(pool: &Pool<'_>, block: NonNull<u8>) {
    // SAFETY: as the caller promises.
    unsafe { pool.deallocate(block) }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn counted_pair(pool: &Pool<'_>) {
    if let Some(block) = pool.allocate() {
        // SAFETY: the block was allocated just now.
        unsafe { pool.deallocate(block) };
    }
}

type Classes<'a> = SizeClasses<&'a Arena<Mapping>>;

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn counted_classes_allocate(heap: &Classes<'_>, layout: Layout) -> Option<NonNull<u8>> {
    heap.allocate(layout)
}

#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "Rust" fn counted_classes_deallocate(heap: &Classes<'_>, block: NonNull<u8>, layout: Layout) {
    // SAFETY: as the caller promises.
    unsafe { heap.deallocate(block, layout) }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn counted_alloc_page(arena: &Arena<Mapping>) -> Option<&mut Page> {
    arena.alloc_page()
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn counted_alloc_pages(arena: &Arena<Mapping>, count: usize) -> Option<&mut [Page]> {
    arena.alloc_pages(count)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn counted_alloc_zeroed_page(arena: &Arena<Mapping>) -> Option<&mut [u8; PAGE_SIZE]> {
    arena.alloc_zeroed_page()
}

/// Does the operation so many times. Nothing else calls its function.
pub(crate) fn perform(operation: Operation) -> Result<()> {
    let arena = Arena::new(2 * CALLS * PAGE_SIZE)?;
    let small = FixedBlock::with_block_size(&arena, const { BlockSize::of::<[u64; 8]>() });
    let classes = Classes::new(&arena);
    let (plain, aligned) = (Layout::new::<[u8; 100]>(), Layout::from_size_align(100, 64)?);
    let whole_page = FixedBlock::with_block_size(&arena, const { BlockSize::of::<Page>() });
    // The first allocation takes a page, and the next of a page's blocks are fresh.
    let fresh = |index| {
        if index % (small.blocks_per_page() - 1) == 0 {
            small.allocate();
            while small.peak_blocks() % small.blocks_per_page() != 1 {
                small.allocate();
            }
        }
    };
    for index in 0..CALLS {
        let done = match operation {
            Operation::AllocateFree => {
                let block = small.allocate().ok_or("no block is left")?;
                // SAFETY: the block was allocated just now.
                unsafe { small.deallocate(block) };
                counted_allocate(&small).is_some()
            }
            Operation::AllocateFresh => {
                fresh(index);
                counted_allocate(&small).is_some()
            }
            Operation::AllocateRefill => counted_allocate(&whole_page).is_some(),
            Operation::Deallocate => {
                let block = small.allocate().ok_or("no block is left")?;
                // SAFETY: the block was allocated just now.
                unsafe { counted_deallocate(&small, block) };
                true
            }
            Operation::Pair => {
                let block = small.allocate().ok_or("no block is left")?;
                // SAFETY: the block was allocated just now.
                unsafe { small.deallocate(block) };
                counted_pair(&small);
                true
            }
            Operation::ClassesAllocate | Operation::ClassesAllocateAligned => {
                let layout = black_box(if matches!(operation, Operation::ClassesAllocate) { plain } else { aligned });
                let block = classes.allocate(layout).ok_or("no block is left")?;
                // SAFETY: the block was allocated just now.
                unsafe { classes.deallocate(block, layout) };
                counted_classes_allocate(&classes, layout).is_some()
            }
            Operation::ClassesDeallocate => {
                let block = classes.allocate(black_box(plain)).ok_or("no block is left")?;
                // SAFETY: the block was allocated just now.
                unsafe { counted_classes_deallocate(&classes, block, black_box(plain)) };
                true
            }
            Operation::AllocPage => counted_alloc_page(&arena).is_some(),
            Operation::AllocPages => counted_alloc_pages(&arena, black_box(2)).is_some(),
            Operation::AllocZeroedPage => counted_alloc_zeroed_page(&arena).is_some(),
        };
        if !black_box(done) {
            return Err("no memory is left".into());
        }
    }
    Ok(())
}

/// Counts, and writes the table of the results, or checks that no figure has grown.
pub(crate) fn run(check: bool) -> Result<()> {
    let mut results = Document::read(RESULTS)?;
    results.section("instructions")?;
    let compiler = format!("x86_64, {}", report::output("rustc", &["--version"])?);
    let mut table = Table::new("instructions, the return included", &[&compiler]);
    for &operation in Operation::value_variants() {
        table.row(operation.title(), [count(operation)?.to_string()]);
    }
    let table = table.into_text();
    println!("{table}");
    if !check {
        results.replace("instructions", &table)?;
        return results.write();
    }
    results.no_growth("instructions", &table)?;
    if results.section("instructions")?.trim() != table.trim() {
        println!(
            "some figures, or the compiler, are not those of {RESULTS}: `cargo speed instructions` writes them down"
        );
    }
    Ok(())
}

/// The instructions of one call of the operation.
fn count(operation: Operation) -> Result<usize> {
    let name = operation.to_possible_value().expect("none is hidden");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={}", operation.function()))
        .arg(std::env::current_exe()?)
        .args(["perform", name.get_name()])
        .output()
        .map_err(|error| format!("valgrind, which counts instructions, can't be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("counting {} failed with {}:\n{text}", name.get_name(), output.status).into());
    }
    let total: usize = text
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .ok_or_else(|| format!("valgrind did not say what it collected:\n{text}"))?
        .1
        .trim()
        .parse()?;
    if total == 0 || !total.is_multiple_of(CALLS) {
        return Err(format!("{}: {total} instructions in {CALLS} calls, so not all are alike", name.get_name()).into());
    }
    Ok(total / CALLS)
}
