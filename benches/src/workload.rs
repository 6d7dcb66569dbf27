//! The workloads with blocks of fixed sizes.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use hdrhistogram::Histogram;
use hpalloc::{HugePages, MAX_ARENA_SIZE, MappingOptions, PAGE_SIZE};

use crate::allocator::{Blocks, Heap, Shared, Size};
use crate::effort::Effort;

/// The words of a block in most workloads: 64 bytes.
pub(crate) const WORDS: usize = 8;
/// The number of operations in a repeated pass. The clock is read after each pass.
pub(crate) const OPERATIONS: usize = 10_000;
/// The average number of live blocks in the churn.
const CHURN: usize = 100_000;
/// The average number of live blocks in the mix of four sizes.
const MIX: usize = 10_000;
/// The number of nodes in the list.
const LIST: usize = 1_000_000;
/// The number of blocks that fill an arena of 256 MiB.
const FIRST_TOUCH: usize = 4 * 1024 * 1024;
/// The number of allocations whose latency is measured.
const LATENCIES: usize = 4_000_000;
/// The number of blocks that are used, while all others stay live and unused.
const HOT: usize = 1000;
/// The highest latency that is recorded: a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// The reported quantiles of latencies.
pub(crate) const QUANTILES: [f64; 7] = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0];

/// Returns the name of a quantile.
pub(crate) fn quantile_title(quantile: f64) -> String {
    if quantile < 1.0 { format!("p{}", (quantile * 100_000.0).round() / 1000.0) } else { "max".to_owned() }
}

/// The name of the row with the time to read the clock, which is part of every latency.
pub(crate) const CLOCK: &str = "reading the clock";

/// Returns the median time between two readings of the clock, in nanoseconds.
pub(crate) fn clock_ns() -> u128 {
    let mut times: Vec<_> = (0..10_001).map(|_| Instant::now().elapsed().as_nanos()).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// A latency of more nanoseconds is an outlier.
const OUTLIER_NS: u64 = 1000;

/// The order in which the blocks of a batch are freed.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    LastInFirstOut,
    FirstInFirstOut,
    Random,
}

/// Touches as much memory as the workload will need, and returns it to the system.
///
/// The host of a virtual machine may have reclaimed memory that was free for a while (by
/// a balloon, or because the guest reports free pages), and then provides it again page
/// by page when it is touched. For a huge page, that costs twenty times as much as the
/// page fault that the workload measures.
pub(crate) fn warm_machine(bytes: usize) {
    // The mappings use no explicit huge pages, which are a separate pool of memory.
    let options = MappingOptions::new().huge_pages(HugePages::Transparent).prefault(true);
    // Twice as much memory is touched, because an allocator needs more than the blocks.
    let mappings = [(); 2].map(|()| options.map(bytes.next_multiple_of(PAGE_SIZE).min(MAX_ARENA_SIZE)));
    assert!(mappings.iter().all(Result::is_ok), "can't map the memory to touch before the workload");
}

/// Allocates a block and frees it, repeatedly.
pub(crate) fn pair<B: Blocks<WORDS>>(effort: Effort) -> f64 {
    let mut blocks = B::new(1);
    black_box(&mut blocks);
    effort.time(OPERATIONS, || {
        for _ in 0..OPERATIONS {
            let block = black_box(blocks.allocate().expect("a free block"));
            // SAFETY: the block was allocated above.
            unsafe { blocks.deallocate(block) };
        }
    })
}

/// Allocates a batch of blocks, and frees them.
pub(crate) fn batch<B: Blocks<WORDS>>(effort: Effort, count: usize, order: Order) -> f64 {
    batch_of(B::new(count), effort, count, order)
}

/// Runs batches on two threads at the same time. The figure is the mean of the threads.
pub(crate) fn two_threads<B: Shared>(effort: Effort, count: usize) -> f64 {
    let start = &Barrier::new(2);
    thread::scope(|scope| {
        let threads = B::pair(count).map(|blocks| {
            scope.spawn(move || {
                start.wait();
                batch_of(blocks, effort, count, Order::LastInFirstOut)
            })
        });
        threads.map(|thread| thread.join().expect("a measurement")).iter().sum::<f64>() / 2.0
    })
}

fn batch_of<B: Blocks<WORDS>>(mut blocks: B, effort: Effort, count: usize, order: Order) -> f64 {
    let mut live: Vec<MaybeUninit<B::Block>> = Vec::new();
    live.resize_with(count, MaybeUninit::uninit);
    let mut places: Vec<usize> = (0..count).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut places);

    let batches = OPERATIONS / count;
    effort.time(batches * count, || {
        for _ in 0..batches {
            black_box(&mut blocks);
            blocks.allocate_many(&mut live);
            black_box((&mut blocks, &mut live));
            // SAFETY: each place was written, and is read once before it is written
            // again.
            let read = |place: &MaybeUninit<B::Block>| unsafe { place.assume_init_read() };
            // SAFETY: the blocks were allocated above.
            unsafe {
                match order {
                    Order::FirstInFirstOut => blocks.deallocate_many(live.iter().map(read)),
                    Order::LastInFirstOut => blocks.deallocate_many(live.iter().rev().map(read)),
                    Order::Random => blocks.deallocate_many(places.iter().map(|&place| read(&live[place]))),
                }
            }
            blocks.all_freed();
        }
    })
}

/// The churn: draws one of `2 * CHURN` places, and frees the block there, or allocates
/// one if the place is empty. About half of the places have a live block, and the free
/// blocks are scattered. An operation is one allocation and one free.
pub(crate) fn churn<B: Blocks<WORDS>>(effort: Effort) -> f64 {
    churn_beside::<B>(effort, 0, CHURN)
}

/// The churn with few blocks, while other blocks stay live and unused. In all, `live`
/// blocks are live.
pub(crate) fn among<B: Blocks<WORDS>>(effort: Effort, live: usize) -> f64 {
    churn_beside::<B>(effort, live - HOT, HOT)
}

fn churn_beside<B: Blocks<WORDS>>(effort: Effort, cold: usize, hot: usize) -> f64 {
    warm_machine((cold + 2 * hot) * 8 * WORDS);
    let mut blocks = B::new(cold + 2 * hot);
    black_box(&mut blocks);
    for _ in 0..cold {
        let mut block = blocks.allocate().expect("a free block");
        write(blocks.memory(&mut block), 0);
        // The block stays live until the process ends.
        std::mem::forget(block);
    }
    let mut random = fastrand::Rng::with_seed(1);
    let mut places: Vec<Option<B::Block>> = Vec::new();
    places.resize_with(2 * hot, || None);
    let mut turn = |place: usize| {
        if let Some(block) = places[place].take() {
            // SAFETY: the block was live until now.
            unsafe { blocks.deallocate(block) };
        } else {
            let mut block = blocks.allocate().expect("a free block");
            write(blocks.memory(&mut block), 1);
            places[place] = Some(block);
        }
    };
    for place in random.choose_multiple(0..2 * hot, hot) {
        turn(place);
    }
    2.0 * effort.time(OPERATIONS, || {
        for _ in 0..OPERATIONS {
            turn(random.usize(..2 * hot));
        }
    })
}

/// The churn with blocks of four sizes.
pub(crate) fn mix<H: Heap>(effort: Effort) -> f64 {
    const SIZES: [Size; 4] = [Size::B32, Size::B64, Size::B128, Size::B256];
    warm_machine(2 * MIX * 256);
    let mut heap: H = Heap::new(2 * MIX * 256);
    black_box(&mut heap);
    let mut random = fastrand::Rng::with_seed(1);
    let mut places = vec![None; 2 * MIX];
    let mut turn = |place: usize| {
        let size = SIZES[place % SIZES.len()];
        if let Some(block) = places[place].take() {
            // SAFETY: the block was live, with this size, until now.
            unsafe { heap.deallocate(block, size) };
        } else {
            let block = heap.allocate(size).expect("a free block");
            write(block.cast::<[u64; 4]>(), 1);
            places[place] = Some(block);
        }
    };
    for place in random.choose_multiple(0..2 * MIX, MIX) {
        turn(place);
    }
    2.0 * effort.time(OPERATIONS, || {
        for _ in 0..OPERATIONS {
            turn(random.usize(..2 * MIX));
        }
    })
}

/// Allocates blocks in untouched memory, and writes to each.
pub(crate) fn first_touch<B: Blocks<WORDS>>(effort: Effort) -> f64 {
    let count = FIRST_TOUCH / effort.part();
    warm_machine(count * 8 * WORDS);
    let mut blocks = B::new(count);
    black_box(&mut blocks);
    effort.time_once(count, || {
        for value in 0..count {
            let mut block = blocks.allocate().expect("a free block");
            write(blocks.memory(&mut block), value as u64);
            std::mem::forget(block);
        }
    })
}

/// A node of a list, of 24 bytes.
struct Node<Block> {
    next: MaybeUninit<Block>,
    value: [u64; 2],
}

/// Builds a linked list, walks it and drops it.
pub(crate) fn list<B: Blocks<3, Block: Copy>>(effort: Effort) -> f64 {
    const { assert!(size_of::<Node<B::Block>>() == 24) };
    let count = LIST / effort.part();
    warm_machine(count * 8 * 3);
    let mut blocks = B::new(count);
    black_box(&mut blocks);
    effort.time(count, || {
        let mut first = MaybeUninit::uninit();
        for value in 0..count as u64 {
            let mut block = blocks.allocate().expect("a free block");
            let node = Node { next: first, value: [value, 0] };
            // SAFETY: a block has the size of a node and the alignment of a word.
            unsafe { blocks.memory(&mut block).cast().write(node) };
            first = MaybeUninit::new(block);
        }
        let mut sum = 0;
        let mut next = first;
        for _ in 0..count {
            // SAFETY: the list has `count` nodes, so this one exists.
            let node: &Node<B::Block> = unsafe { blocks.memory(next.assume_init_mut()).cast().as_ref() };
            sum += node.value[0];
            next = node.next;
        }
        black_box(sum);
        for _ in 0..count {
            // SAFETY: as above. The node is read before it is freed.
            unsafe {
                let node: Node<B::Block> = blocks.memory(first.assume_init_mut()).cast().read();
                blocks.deallocate(first.assume_init());
                first = node.next;
            }
        }
        blocks.all_freed();
    })
}

/// Measures the latency of each allocation with the first write. Returns the quantiles,
/// and the number of outliers.
pub(crate) fn latency<B: Blocks<WORDS>>(effort: Effort) -> Vec<f64> {
    let count = LATENCIES / effort.part();
    warm_machine(count * 8 * WORDS);
    let mut blocks = B::new(count);
    black_box(&mut blocks);
    let mut latencies = Histogram::<u64>::new_with_bounds(1, LONGEST_NS, 3).expect("bounds of a histogram");
    // Touch the histogram, so that its memory is committed and in the caches.
    for latency in 0..OUTLIER_NS {
        latencies.saturating_record(latency);
    }
    latencies.saturating_record(LONGEST_NS);
    latencies.clear();
    for value in 0..count {
        let start = Instant::now();
        let mut block = blocks.allocate().expect("a free block");
        write(blocks.memory(&mut block), value as u64);
        let latency = start.elapsed().as_nanos();
        latencies.saturating_record(u64::try_from(latency).unwrap_or(LONGEST_NS));
        std::mem::forget(block);
    }
    let outliers = latencies.len() - latencies.count_between(0, OUTLIER_NS);
    let quantiles = QUANTILES.map(|quantile| latencies.value_at_quantile(quantile));
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    quantiles.into_iter().chain([outliers]).map(|value| value as f64).collect()
}

/// Writes the first word of a block.
#[inline]
fn write<const WORDS: usize>(memory: std::ptr::NonNull<[u64; WORDS]>, value: u64) {
    // SAFETY: the callers pass the memory of a live block.
    unsafe { memory.cast::<u64>().write_volatile(value) };
}
