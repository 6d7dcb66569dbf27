//! Counts the instructions of each operation of a `FixedBlock`, from its entry to its
//! return, over a hundred thousand mixed operations. QEMU counts exactly (`-icount`), so
//! the same program prints the same numbers every time.

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
/// The number of blocks that the arena holds.
const FULL: usize = PAGES * PER_PAGE;
/// A number of blocks between none and all.
const SOME: usize = if FULL > 100 { 100 } else { FULL / 2 };

hpalloc::static_buffer! {
    static MEMORY: StaticBuffer<PAGES>;
}

type Pool<'a> = FixedBlock<&'a Arena<StaticRegion>>;

// The measured functions are not inlined. Functions that return immediately have the same
// signatures, to measure the overhead of measuring.

#[inline(never)]
extern "C" fn allocate(pool: &Pool<'_>) -> Option<NonNull<u8>> {
    pool.allocate()
}

#[inline(never)]
unsafe extern "C" fn deallocate(pool: &Pool<'_>, block: NonNull<u8>) {
    // SAFETY: guaranteed by the caller.
    unsafe { pool.deallocate(block) }
}

counter::function_of_one_instruction! {
    fn allocate_nothing(&Pool<'_>) -> Option<NonNull<u8>>;
    fn deallocate_nothing(&Pool<'_>, NonNull<u8>);
}

/// Returns the block, and the instructions of the call including the overhead of
/// measuring.
#[inline(never)]
fn measure_allocate(
    function: unsafe extern "C" fn(&Pool<'_>) -> Option<NonNull<u8>>,
    pool: &Pool<'_>,
) -> (Option<NonNull<u8>>, u32) {
    let start = counter::read();
    // SAFETY: both functions are safe to call.
    let block = unsafe { function(pool) };
    let end = counter::read();
    (block, counter::instructions(start, end))
}

/// Returns the instructions of the call, including the overhead of measuring.
#[inline(never)]
unsafe fn measure_deallocate(
    function: unsafe extern "C" fn(&Pool<'_>, NonNull<u8>),
    pool: &Pool<'_>,
    block: NonNull<u8>,
) -> u32 {
    let start = counter::read();
    // SAFETY: guaranteed by the caller.
    unsafe { function(pool, block) };
    let end = counter::read();
    counter::instructions(start, end)
}

fn run() {
    counter::start();
    // Otherwise the first operation would create a key.
    #[cfg(hpalloc_hardened)]
    assert!(hpalloc::hardened::set_key(0x1357_9BDF));
    let mut arena = MEMORY.claim().and_then(Arena::from_region).expect("the buffer is claimed only here");
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
        // The pool mostly goes from empty to full and back.
        arena.reset();
        // With a family, because a hardened pool without one gets one with its first
        // page.
        let pool = FixedBlock::with_block_size(&arena, BLOCK_SIZE).in_family(1);
        // SAFETY: the functions return immediately.
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
                // SAFETY: the block is live, and isn't used afterwards.
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
