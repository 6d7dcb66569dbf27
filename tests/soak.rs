//! A billion operations, with the first and the last word of each block checked: `cargo test --release --test soak -- --ignored`.

mod common;

use std::alloc::Layout;
use std::ptr::NonNull;

use common::with_pages;
use hpalloc::{Arena, FixedBlock, PAGE_SIZE, SizeClasses};

/// How many operations each of the tests does: half of them allocate, half of them free, and so often.
const OPERATIONS: u64 = 500_000_000;
const PLACES: usize = 4096;

/// Takes any of the places, and allocates or frees there: so as not to know what comes next.
fn soak(
    size: impl Fn(usize) -> usize,
    allocate: impl Fn(usize) -> Option<NonNull<u8>>,
    free: impl Fn(usize, NonNull<u8>),
) {
    let mut places = vec![None; PLACES];
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let (mut allocated, mut refused) = (0_u64, 0_u64);
    for number in 0..OPERATIONS {
        // Marsaglia, *Xorshift RNGs*, 2003.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let place = usize::try_from(random >> 32).unwrap() % PLACES;
        match places[place].take() {
            None => {
                let block = allocate(place);
                allocated += u64::from(block.is_some());
                refused += u64::from(block.is_none());
                if let Some(block) = block {
                    let [first, last] = ends(block, size(place));
                    // SAFETY: a block has so many bytes, and this one is nobody else's.
                    unsafe {
                        first.write(number);
                        last.write(number ^ 1);
                    }
                    places[place] = Some((block, number));
                }
            }
            Some((block, number)) => {
                let [first, last] = ends(block, size(place));
                // SAFETY: this was written there.
                assert_eq!(unsafe { [first.read(), last.read()] }, [number, number ^ 1]);
                free(place, block);
            }
        }
    }
    assert!(allocated > OPERATIONS / 3 && refused > 0, "{allocated} were allocated, and {refused} were refused");
    for (place, live) in places.iter_mut().enumerate() {
        if let Some((block, _)) = live.take() {
            free(place, block);
        }
    }
}

/// The first and the last word of a block.
fn ends(block: NonNull<u8>, size: usize) -> [NonNull<u64>; 2] {
    // SAFETY: the block has so many bytes.
    [block.cast(), unsafe { block.add(size - size_of::<u64>()) }.cast()]
}

#[test]
#[ignore = "half a billion operations"]
fn a_pool() {
    // Fewer blocks than places that want one at the same time.
    with_pages(31, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 64).unwrap();
        // SAFETY: each block is live, and freed once.
        soak(|_| 64, |_| pool.allocate(), |_, block| unsafe { pool.deallocate(block) });
        assert_eq!(pool.free_blocks(), pool.peak_blocks());
    });
}

#[test]
#[ignore = "half a billion operations"]
fn a_heap() {
    let layout = |place: usize| Layout::from_size_align([16, 24, 60, 100, 200, 700, 3000, 3 * PAGE_SIZE][place % 8], 8);
    let layout = |place| layout(place).unwrap();
    with_pages(1000, |pages| {
        let heap = SizeClasses::new(Arena::from_pages(pages).unwrap());
        let size = |place| heap.usable_size(layout(place));
        // SAFETY: each block is live, has this layout, and is freed once.
        let free = |place, block| unsafe { heap.deallocate(block, layout(place)) };
        soak(size, |place| heap.allocate(layout(place)), free);
        let (taken, free) = heap.run_pages();
        assert_eq!((heap.free_blocks(), taken), (heap.peak_blocks(), free));
    });
}
