//! A billion operations, with the contents checked: `cargo test --release --test soak -- --ignored`.

mod common;

use std::alloc::Layout;
use std::ptr::NonNull;

use common::with_pages;
use hpalloc::{Arena, FixedBlock, PAGE_SIZE, SizeClasses};

/// How many operations each of the tests does: half of them allocate, half of them free, and so often.
const OPERATIONS: u64 = 500_000_000;
const PLACES: usize = 4096;

/// Takes any of the places, and allocates or frees there: so as not to know what comes next.
fn soak(allocate: impl Fn(usize) -> Option<NonNull<u8>>, free: impl Fn(usize, NonNull<u8>)) {
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
                    // SAFETY: a block has at least 16 bytes, and this one is nobody else's.
                    unsafe { block.cast::<[u64; 2]>().write([number, !number]) };
                    places[place] = Some((block, number));
                }
            }
            Some((block, number)) => {
                // SAFETY: this was written there.
                assert_eq!(unsafe { block.cast::<[u64; 2]>().read() }, [number, !number]);
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

#[test]
#[ignore = "half a billion operations"]
fn a_pool() {
    // Fewer blocks than places that want one at the same time.
    with_pages(31, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 64).unwrap();
        // SAFETY: each block is live, and freed once.
        soak(|_| pool.allocate(), |_, block| unsafe { pool.deallocate(block) });
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
        // SAFETY: each block is live, has this layout, and is freed once.
        soak(|place| heap.allocate(layout(place)), |place, block| unsafe { heap.deallocate(block, layout(place)) });
        assert_eq!(heap.free_blocks(), heap.peak_blocks());
    });
}
