//! Counts the instructions of each operation of `SizeClasses`, from its entry to its
//! return. The counts are exact (`-icount`).
//!
//! There are two measurements. For a few layouts, the number of live blocks rises to the
//! capacity of the memory and falls to zero, to show whether it affects the cost. For all
//! layouts, the minimum and the maximum are measured.

#![no_std]
#![no_main]

mod costs;
mod counter;
mod random;

use core::alloc::Layout;
use core::ptr::NonNull;

use hpalloc::{Arena, Borrowed, PAGE_SIZE, Region, SizeClasses, SizeTable};
use hpalloc_target_harness::println;

use costs::Costs;
use random::random;

/// The number of pages, enough for more than a hundred of the largest blocks.
const PAGES: usize = 600;
/// The maximum number of live blocks.
const LIVE: usize = 4096;
const WORD: usize = size_of::<usize>();
/// The largest size of a small request, which is aligned to a word at most.
const SMALL: usize = 128 * WORD;
/// The size of the largest class.
const LAST: usize = 16_384;

hpalloc::static_buffer! {
    static MEMORY: StaticBuffer<PAGES>;
}

hpalloc::static_buffer! {
    static NOTHING: StaticBuffer<1>;
}

type Heap<'a> = SizeClasses<&'a Arena<Borrowed<'a>>>;

// The measured functions are not inlined. Functions that return immediately have the same
// signatures, to measure the overhead of measuring. A layout is passed in two registers,
// as it is to a Rust function.

#[inline(never)]
unsafe extern "C" fn allocate(heap: &Heap<'_>, align: usize, size: usize) -> Option<NonNull<u8>> {
    // SAFETY: `size` and `align` are those of a layout.
    heap.allocate(unsafe { Layout::from_size_align_unchecked(size, align) })
}

#[inline(never)]
unsafe extern "C" fn deallocate(heap: &Heap<'_>, block: NonNull<u8>, align: usize, size: usize) {
    // SAFETY: guaranteed by the caller; `size` and `align` are those of a layout.
    unsafe { heap.deallocate(block, Layout::from_size_align_unchecked(size, align)) }
}

counter::function_of_one_instruction! {
    fn allocate_nothing(&Heap<'_>, usize, usize) -> Option<NonNull<u8>>;
    fn deallocate_nothing(&Heap<'_>, NonNull<u8>, usize, usize);
}

/// Returns the block, and the instructions of the call including the overhead of
/// measuring.
#[inline(never)]
fn measure_allocate(
    function: unsafe extern "C" fn(&Heap<'_>, usize, usize) -> Option<NonNull<u8>>,
    heap: &Heap<'_>,
    layout: Layout,
) -> (Option<NonNull<u8>>, u32) {
    let (align, size) = (layout.align(), layout.size());
    let start = counter::read();
    // SAFETY: `size` and `align` are those of a layout.
    let block = unsafe { function(heap, align, size) };
    let end = counter::read();
    (block, counter::instructions(start, end))
}

/// Returns the instructions of the call, including the overhead of measuring.
#[inline(never)]
unsafe fn measure_deallocate(
    function: unsafe extern "C" fn(&Heap<'_>, NonNull<u8>, usize, usize),
    heap: &Heap<'_>,
    block: NonNull<u8>,
    layout: Layout,
) -> u32 {
    let (align, size) = (layout.align(), layout.size());
    let start = counter::read();
    // SAFETY: guaranteed by the caller.
    unsafe { function(heap, block, align, size) };
    let end = counter::read();
    counter::instructions(start, end)
}

/// The overhead of measuring, in instructions.
struct Overhead {
    allocate: u32,
    deallocate: u32,
}

impl Overhead {
    fn measure(heap: &Heap<'_>) -> Self {
        let layout = Layout::new::<u8>();
        // SAFETY: the function returns immediately.
        let deallocate = unsafe { measure_deallocate(deallocate_nothing, heap, NonNull::dangling(), layout) };
        Self { allocate: measure_allocate(allocate_nothing, heap, layout).1 - 1, deallocate: deallocate - 1 }
    }

    fn allocate(&self, heap: &Heap<'_>, layout: Layout) -> (Option<NonNull<u8>>, u32) {
        let (block, cost) = measure_allocate(allocate, heap, layout);
        (block, cost - self.allocate)
    }

    /// The block must come from the heap, have the layout, and not be used afterwards.
    unsafe fn deallocate(&self, heap: &Heap<'_>, block: NonNull<u8>, layout: Layout) -> u32 {
        // SAFETY: guaranteed by the caller.
        let cost = unsafe { measure_deallocate(deallocate, heap, block, layout) };
        cost - self.deallocate
    }
}

// The state that an operation meets, as an index of a row of `OPERATIONS`.
const FREE: usize = 0;
const FRESH: usize = 1;
const REFILL: usize = 2;
const NONE: usize = 3;
const FREEING: usize = 4;

/// The names of the operations: for small requests, for other requests that a class
/// serves, and for runs of pages.
const OPERATIONS: [[&str; 5]; 3] = [
    [
        "small: allocate, from the free list",
        "small: allocate, a fresh block",
        "small: allocate, with a refill",
        "small: allocate, none left",
        "small: deallocate",
    ],
    [
        "not small: allocate, from the free list",
        "not small: allocate, a fresh block",
        "not small: allocate, with a refill",
        "not small: allocate, none left",
        "not small: deallocate",
    ],
    [
        "run of pages: allocate, from its list",
        "",
        "run of pages: allocate, from the source",
        "run of pages: allocate, none left",
        "run of pages: deallocate",
    ],
];

/// Returns the row of `OPERATIONS` for a layout.
fn kind(heap: &Heap<'_>, layout: Layout) -> usize {
    if layout.size() <= SMALL && layout.align() <= WORD {
        0
    } else if (1..=LAST).contains(&heap.usable_size(layout)) {
        1
    } else {
        2
    }
}

/// Allocates and frees at random, mostly up to the capacity of the memory and back, until
/// each operation was measured with few, a hundred and all blocks live.
fn with_many_live(arena: &mut Arena<impl Region>, layout: Layout) {
    arena.reset();
    let usable = SizeClasses::new(&*arena).usable_size(layout);
    let (per_run, pages) = if usable <= PAGE_SIZE { (PAGE_SIZE / usable, 1) } else { (1, usable / PAGE_SIZE) };
    let full = (PAGES / pages * per_run).min(LIVE / per_run * per_run);
    let memory = arena.alloc_pages(full / per_run * pages).expect("the arena has this number of pages");
    let mut part = Arena::from_pages(memory).expect("the memory isn't empty");

    // Every `per_run` blocks a new run is needed.
    let hundred = 100_usize.next_multiple_of(per_run);
    let names = OPERATIONS[kind(&Heap::new(&part), layout)];
    let mut costs = [
        Costs::new(names[FREE], [1, 100, full]),
        Costs::new(names[FRESH], [2, hundred, full]),
        Costs::new(names[REFILL], [1, hundred + 1, full - per_run + 1]),
        Costs::new(names[NONE], [full; 3]),
        Costs::new(names[FREEING], [1, 100, full]),
    ];
    let occurs = |operation: usize| per_run > 1 || operation != FRESH;
    let mut state = 1;
    while (0..).zip(&costs).any(|(operation, costs)| occurs(operation) && costs.is_incomplete()) {
        part.reset();
        let heap = Heap::new(&part);
        let overhead = Overhead::measure(&heap);
        let mut live = [NonNull::<u8>::dangling(); LIVE];
        let (mut count, mut carved, mut rising) = (0, 0, true);
        while rising || count > 0 {
            if rising == (random(&mut state) % 4 > 0) {
                let operation = match carved {
                    _ if count < carved => FREE,
                    _ if carved == full => NONE,
                    _ if carved % per_run == 0 => REFILL,
                    _ => FRESH,
                };
                let (block, cost) = overhead.allocate(&heap, layout);
                if let Some(block) = block {
                    live[count] = block;
                    count += 1;
                    carved = carved.max(count);
                } else {
                    assert_eq!(count, full);
                    rising = false;
                }
                costs[operation].record(cost, count);
            } else if count > 0 {
                let chosen = random(&mut state) as usize % count;
                live[..count].swap(chosen, count - 1);
                // SAFETY: the block is live, and isn't used afterwards.
                let cost = unsafe { overhead.deallocate(&heap, live[count - 1], layout) };
                costs[FREEING].record(cost, count);
                count -= 1;
            }
        }
    }
    for (operation, costs) in (0..).zip(&costs) {
        if occurs(operation) {
            println!("{costs}");
        }
    }
}

/// Returns the layouts that can differ in cost. Block sizes are even multiples of a word.
fn layouts() -> impl Iterator<Item = Layout> {
    let in_classes = (0..=LAST).step_by(8).flat_map(|size| [size, size + 1]);
    let with_pages = (LAST..PAGES * PAGE_SIZE).step_by(PAGE_SIZE).flat_map(|size| [size + 1, size + PAGE_SIZE]);
    in_classes.chain(with_pages).flat_map(|size| {
        (0..=PAGE_SIZE.ilog2()).filter_map(move |shift| Layout::from_size_align(size, 1 << shift).ok())
    })
}

/// Prints the minimum and the maximum of each operation over all layouts.
fn over_all_layouts(arena: &mut Arena<impl Region>) {
    let nothing = NOTHING.claim().and_then(Arena::from_region).expect("the buffer is claimed only here");
    let empty =
        Arena::from_pages(nothing.alloc_pages(1).expect("the arena has one page")).expect("the memory isn't empty");
    assert!(empty.alloc_page().is_some());
    let empty = Heap::new(&empty);
    let mut costs = OPERATIONS.map(|names| names.map(|name| Costs::new(name, [usize::MAX; 3])));

    let memory = arena.alloc_pages(PAGES).expect("the arena has this number of pages");
    let mut part = Arena::from_pages(memory).expect("the memory isn't empty");
    for layout in layouts() {
        part.reset();
        let heap = Heap::new(&part);
        let overhead = Overhead::measure(&heap);
        let costs = &mut costs[kind(&heap, layout)];
        let (first, cost) = overhead.allocate(&heap, layout);
        let Some(first) = first else { continue };
        costs[REFILL].record(cost, 1);
        if heap.usable_size(layout) < PAGE_SIZE {
            let (second, cost) = overhead.allocate(&heap, layout);
            assert!(second.is_some());
            costs[FRESH].record(cost, 2);
        }
        // SAFETY: the block came from the heap, and isn't used afterwards.
        costs[FREEING].record(unsafe { overhead.deallocate(&heap, first, layout) }, 1);
        let (again, cost) = overhead.allocate(&heap, layout);
        assert_eq!(again, Some(first));
        costs[FREE].record(cost, 1);
        let (none, cost) = overhead.allocate(&empty, layout);
        assert!(none.is_none());
        costs[NONE].record(cost, 0);
    }
    // Request all sizes up to the maximum of an arena, and an alignment above a page. The
    // empty heap can't serve any of them.
    let too_large = (0..=hpalloc::MAX_ARENA_SIZE).step_by(PAGE_SIZE);
    let overhead = Overhead::measure(&empty);
    for layout in too_large.flat_map(|size| [Layout::from_size_align(size + 1, 1), Layout::from_size_align(size, 8192)])
    {
        let layout = layout.expect("the size is far below the maximum");
        let (none, cost) = overhead.allocate(&empty, layout);
        assert!(none.is_none());
        costs[kind(&empty, layout)][NONE].record(cost, 0);
    }
    for Costs { name, min, max, .. } in costs.as_flattened() {
        if !name.is_empty() {
            println!("{name}: {min} {max}");
        }
    }
}

fn run() {
    counter::start();
    println!("bytes of a SizeClasses: {}", size_of::<Heap<'_>>());
    println!("bytes of a table: {}", size_of::<SizeTable>());

    let mut arena = MEMORY.claim().and_then(Arena::from_region).expect("the buffer is claimed only here");
    over_all_layouts(&mut arena);
    let small = [(1, 1), (64, WORD), (SMALL, WORD)];
    let other = [(64, 64), (600, 128), (1100, 8), (2048, 8), (4096, 4096), (LAST, 8)];
    for (size, align) in small.into_iter().chain(other).chain([(17_000, 8), (20_000, 4096)]) {
        with_many_live(&mut arena, Layout::from_size_align(size, align).expect("a layout"));
    }
}

hpalloc_target_harness::entry!(run);
