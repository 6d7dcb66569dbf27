//! Counts the instructions of each operation, from its entry to its return, over a hundred thousand mixed ones. QEMU
//! counts them exactly (`-icount`): the same program prints the same numbers every time.

#![no_std]
#![no_main]

mod costs;
mod counter;
mod random;

use core::ptr::NonNull;

use hpalloc::{Arena, BlockSize, FixedBlock, PAGE_SIZE, StaticRegion};
use hpalloc_target_harness::println;

use costs::Costs;
use random::random;

const OPERATIONS: u32 = 100_000;
const PAGES: usize = if cfg!(target_arch = "arm") { 3 } else { 64 };
const BLOCK_SIZE: BlockSize = BlockSize::of::<[u8; 64]>();
const PER_PAGE: usize = BLOCK_SIZE.blocks_per_page();
/// How many blocks the arena holds.
const FULL: usize = PAGES * PER_PAGE;
/// How many are some.
const SOME: usize = if FULL > 100 { 100 } else { FULL / 2 };

hpalloc::static_buffer! {
    static MEMORY: StaticBuffer<PAGES>;
}

type Pool<'a> = FixedBlock<&'a Arena<StaticRegion>>;

// What is measured: functions that aren't inlined, and one that returns at once, to know what measuring takes.

#[inline(never)]
extern "C" fn allocate(pool: &Pool<'_>) -> Option<NonNull<u8>> {
    pool.allocate()
}

#[inline(never)]
unsafe extern "C" fn deallocate(pool: &Pool<'_>, block: NonNull<u8>) {
    // SAFETY: as the caller promises.
    unsafe { pool.deallocate(block) }
}

counter::function_of_one_instruction! {
    fn allocate_nothing(&Pool<'_>) -> Option<NonNull<u8>>;
    fn deallocate_nothing(&Pool<'_>, NonNull<u8>);
}

/// The block, and the instructions that the call took with what measuring takes.
#[inline(never)]
fn measure_allocate(
    function: unsafe extern "C" fn(&Pool<'_>) -> Option<NonNull<u8>>,
    pool: &Pool<'_>,
) -> (Option<NonNull<u8>>, u32) {
    let start = counter::read();
    // SAFETY: allocating is safe, and returning at once too.
    let block = unsafe { function(pool) };
    let end = counter::read();
    (block, counter::instructions(start, end))
}

/// The instructions that the call took with what measuring takes.
#[inline(never)]
unsafe fn measure_deallocate(
    function: unsafe extern "C" fn(&Pool<'_>, NonNull<u8>),
    pool: &Pool<'_>,
    block: NonNull<u8>,
) -> u32 {
    let start = counter::read();
    // SAFETY: as the caller promises.
    unsafe { function(pool, block) };
    let end = counter::read();
    counter::instructions(start, end)
}

fn run() {
    counter::start();
    // So that the first operation doesn't make one.
    #[cfg(hpalloc_hardened)]
    assert!(hpalloc::hardened::set_key(0x1357_9BDF));
    let mut arena = MEMORY.claim().and_then(Arena::from_region).expect("claimed once");
    println!("bytes of an Arena: {}", size_of_val(&arena));
    println!("bytes of a FixedBlock: {}", size_of::<Pool<'_>>());

    let mut costs = [
        Costs::new("allocate, from the free list", [1, SOME, FULL]),
        Costs::new("allocate, a fresh block", [2, SOME, FULL]),
        Costs::new("allocate, with a refill", [1, 2 * PER_PAGE + 1, FULL - PER_PAGE + 1]),
        Costs::new("allocate, none left", [FULL; 3]),
        Costs::new("deallocate", [1, SOME, FULL]),
    ];
    let mut state = 1;
    let mut metadata = 0;
    let mut operations = 0;
    while operations < OPERATIONS || costs.iter().any(Costs::is_incomplete) {
        // From empty to full, mostly, and back.
        arena.reset();
        // With a number of its own, so that a hardened one doesn't get one with its first page.
        let pool = FixedBlock::with_block_size(&arena, BLOCK_SIZE).in_family(1);
        // SAFETY: they do nothing.
        let (nothing_allocated, nothing_freed) = unsafe {
            let (_, cost) = measure_allocate(allocate_nothing, &pool);
            (cost - 1, measure_deallocate(deallocate_nothing, &pool, NonNull::dangling()) - 1)
        };
        let mut live = [NonNull::<u8>::dangling(); FULL];
        let (mut count, mut carved, mut rising) = (0, 0, true);
        while rising || count > 0 {
            operations += 1;
            if rising == (random(&mut state) % 4 > 0) {
                let operation = match carved {
                    _ if count < carved => 0,
                    FULL => 3,
                    _ if carved % PER_PAGE == 0 => 2,
                    _ => 1,
                };
                let (block, cost) = measure_allocate(allocate, &pool);
                if let Some(block) = block {
                    live[count] = block;
                    count += 1;
                    carved = carved.max(count);
                } else {
                    assert_eq!(count, FULL);
                    rising = false;
                }
                costs[operation].record(cost - nothing_allocated, count);
            } else if count > 0 {
                let chosen = random(&mut state) as usize % count;
                live[..count].swap(chosen, count - 1);
                let block = live[count - 1];
                // SAFETY: the block is live, and forgotten.
                let cost = unsafe { measure_deallocate(deallocate, &pool, block) };
                costs[4].record(cost - nothing_freed, count);
                count -= 1;
            }
        }
        assert_eq!((pool.peak_blocks(), pool.free_blocks()), (FULL, FULL));
        metadata = (PAGES * PAGE_SIZE - pool.peak_blocks() * BLOCK_SIZE.bytes()).div_ceil(FULL);
    }
    println!("bytes of metadata per block: {metadata}");
    for cost in &costs {
        println!("{cost}");
    }
}

hpalloc_target_harness::entry!(run);
