//! Counts the instructions of operations with Valgrind's Callgrind. The counts are exact,
//! and the same on a busy machine.

use std::alloc::Layout;
use std::hint::black_box;
use std::process::Command;
use std::ptr::NonNull;

use clap::ValueEnum;
use hpalloc::{Arena, BlockSize, FixedBlock, Heap, Mapping, PAGE_SIZE, Page, SizeClasses};
use tables::{Document, Table};

use crate::{RESULTS, Result, report};

/// The number of calls of each operation.
const CALLS: usize = 1000;
/// The bytes of a `Heap`.
const HEAP: usize = 1 << 20;

/// An operation whose instructions are counted.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Operation {
    AllocateFree,
    AllocateFresh,
    AllocateRefill,
    Deallocate,
    Pair,
    HeapAllocate,
    HeapAllocateFresh,
    HeapDeallocate,
    HeapDeallocateMerge,
    HeapGrow,
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
            Self::HeapAllocate => "`Heap::allocate`, 100 bytes in a hole of that size",
            Self::HeapAllocateFresh => "`Heap::allocate`, 100 bytes of an empty heap",
            Self::HeapDeallocate => "`Heap::deallocate`, 100 bytes between live blocks",
            Self::HeapDeallocateMerge => "`Heap::deallocate`, 100 bytes between free blocks",
            Self::HeapGrow => "`Heap::grow`, from 100 to 200 bytes in place",
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
            Self::HeapAllocate | Self::HeapAllocateFresh => "counted_heap_allocate",
            Self::HeapDeallocate | Self::HeapDeallocateMerge => "counted_heap_deallocate",
            Self::HeapGrow => "counted_heap_grow",
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
    // SAFETY: the caller keeps the same contract.
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

type AnySize = Heap<Arena<Mapping>>;

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn counted_heap_allocate(heap: &AnySize, layout: Layout) -> Option<NonNull<u8>> {
    heap.allocate(layout)
}

#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "Rust" fn counted_heap_deallocate(heap: &AnySize, block: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller keeps the same contract.
    unsafe { heap.deallocate(block, layout) }
}

#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "Rust" fn counted_heap_grow(
    heap: &AnySize,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Option<NonNull<u8>> {
    // SAFETY: the caller keeps the same contract.
    unsafe { heap.grow(block, old, new) }
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
    // SAFETY: the caller keeps the same contract.
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

/// Performs an operation [`CALLS`] times. Nothing else in the process calls the counted
/// function.
pub(crate) fn perform(operation: Operation) -> Result<()> {
    let arena = Arena::new(2 * CALLS * PAGE_SIZE)?;
    let small = FixedBlock::with_block_size(&arena, const { BlockSize::of::<[u64; 8]>() });
    let heap = AnySize::new(Arena::new(HEAP)?);
    let classes = Classes::new(&arena);
    let (plain, aligned) = (Layout::new::<[u8; 100]>(), Layout::from_size_align(100, 64)?);
    let whole_page = FixedBlock::with_block_size(&arena, const { BlockSize::of::<Page>() });
    // Makes the next block a fresh one of the current page, not the first of a new page.
    let fresh = |index| {
        if index % (small.blocks_per_page() - 1) == 0 {
            let _ = small.allocate();
            while small.peak_blocks() % small.blocks_per_page() != 1 {
                let _ = small.allocate();
            }
        }
    };
    for index in 0..CALLS {
        let done = match operation {
            Operation::AllocateFree => {
                let block = small.allocate().ok_or("the pool is out of blocks")?;
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
                let block = small.allocate().ok_or("the pool is out of blocks")?;
                // SAFETY: the block was allocated just now.
                unsafe { counted_deallocate(&small, block) };
                true
            }
            Operation::Pair => {
                let block = small.allocate().ok_or("the pool is out of blocks")?;
                // SAFETY: the block was allocated just now.
                unsafe { small.deallocate(block) };
                counted_pair(&small);
                true
            }
            Operation::HeapAllocate
            | Operation::HeapAllocateFresh
            | Operation::HeapDeallocate
            | Operation::HeapDeallocateMerge
            | Operation::HeapGrow => perform_in_heap(operation, &heap).is_some(),
            Operation::ClassesAllocate | Operation::ClassesAllocateAligned => {
                let layout = black_box(if matches!(operation, Operation::ClassesAllocate) { plain } else { aligned });
                let block = classes.allocate(layout).ok_or("the pool is out of blocks")?;
                // SAFETY: the block was allocated just now.
                unsafe { classes.deallocate(block, layout) };
                counted_classes_allocate(&classes, layout).is_some()
            }
            Operation::ClassesDeallocate => {
                let block = classes.allocate(black_box(plain)).ok_or("the pool is out of blocks")?;
                // SAFETY: the block was allocated just now.
                unsafe { counted_classes_deallocate(&classes, block, black_box(plain)) };
                true
            }
            Operation::AllocPage => counted_alloc_page(&arena).is_some(),
            Operation::AllocPages => counted_alloc_pages(&arena, black_box(2)).is_some(),
            Operation::AllocZeroedPage => counted_alloc_zeroed_page(&arena).is_some(),
        };
        if !black_box(done) {
            return Err("the arena or heap is out of memory".into());
        }
    }
    Ok(())
}

/// Performs an operation of a `Heap`, which is empty before and after. Returns `None` if
/// the heap is out of memory.
fn perform_in_heap(operation: Operation, heap: &AnySize) -> Option<()> {
    let (layout, larger) = black_box((Layout::new::<[u8; 100]>(), Layout::new::<[u8; 200]>()));
    let mut blocks = [NonNull::dangling(); 5];
    for block in &mut blocks {
        *block = heap.allocate(layout)?;
    }
    blocks.sort_unstable();
    let [first, before, middle, after, last] = blocks;
    let free = |blocks: &[NonNull<u8>]| {
        // SAFETY: each block was allocated here with this layout, and is freed once.
        blocks.iter().for_each(|&block| unsafe { heap.deallocate(block, layout) });
    };
    match operation {
        Operation::HeapAllocate => {
            free(&[middle]);
            let block = counted_heap_allocate(heap, layout)?;
            free(&[first, before, block, after, last]);
        }
        Operation::HeapAllocateFresh => {
            free(&blocks);
            let block = counted_heap_allocate(heap, layout)?;
            free(&[block]);
        }
        Operation::HeapDeallocate => {
            // SAFETY: the block is live.
            unsafe { counted_heap_deallocate(heap, middle, layout) };
            free(&[first, before, after, last]);
        }
        Operation::HeapDeallocateMerge => {
            free(&[before, after]);
            // SAFETY: the block is live.
            unsafe { counted_heap_deallocate(heap, middle, layout) };
            free(&[first, last]);
        }
        Operation::HeapGrow => {
            free(&[after]);
            // SAFETY: the block is live, and the new size is larger.
            let grown = unsafe { counted_heap_grow(heap, middle, layout, larger) };
            assert_eq!(grown, Some(middle), "the block has room to grow in place");
            // SAFETY: the block is live, and the larger layout is now its own.
            unsafe { heap.deallocate(middle, larger) };
            free(&[first, before, last]);
        }
        _ => unreachable!("the other operations are not those of a `Heap`"),
    }
    Some(())
}

/// Counts all operations, and writes the table of RESULTS.md, or checks that no figure
/// has grown.
pub(crate) fn run(check: bool) -> Result<()> {
    let mut results = Document::read(RESULTS)?;
    results.section("instructions")?;
    let compiler = format!("x86_64, {}", report::output("rustc", &["--version"])?);
    let mut table = Table::new("instructions, including the return", &[&compiler]);
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
        println!("some figures, or the compiler, differ from {RESULTS}: run `cargo speed instructions` to update it");
    }
    Ok(())
}

/// Returns the instructions of one call of an operation.
fn count(operation: Operation) -> Result<usize> {
    let name = operation.to_possible_value().expect("no operation is hidden");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={}", operation.function()))
        .arg(std::env::current_exe()?)
        .args(["perform", name.get_name()])
        .output()
        .map_err(|error| format!("can't run valgrind, which counts the instructions: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("counting {} failed with {}:\n{text}", name.get_name(), output.status).into());
    }
    let total: usize = text
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .ok_or_else(|| format!("valgrind printed no line `Collected`:\n{text}"))?
        .1
        .trim()
        .parse()?;
    if total == 0 || !total.is_multiple_of(CALLS) {
        return Err(format!("{}: {total} instructions in {CALLS} calls, so the calls differ", name.get_name()).into());
    }
    Ok(total / CALLS)
}
