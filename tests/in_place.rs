//! Tests of values that are constructed in their blocks. They are far larger than the
//! stack, so the test aborts if one is ever on the stack. CI also runs it in a build
//! without optimization.

#![cfg(not(target_os = "none"))]

use std::thread;

use hpalloc::{Arena, Boxed, Pool, PoolBox, unsize};

/// A value of this many numbers is four times as large as the stack.
const LEN: usize = 256 << 10;
const STACK: usize = LEN * size_of::<u32>() / 4;

type Large = [u32; LEN];

/// Runs a test on a small stack, with a pool of two large values.
fn on_a_small_stack(test: impl FnOnce(&Pool<Large, Arena<Boxed>>) + Send + 'static) {
    let run = || {
        let pages = (2 * size_of::<Large>()).next_multiple_of(4096) + 2 * 4096;
        test(&Pool::new(Boxed::new(pages).and_then(Arena::from_region).unwrap()));
    };
    thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_value_is_written_piece_by_piece() {
    on_a_small_stack(|pool| {
        let mut boxed = pool.alloc_uninit().unwrap();
        let first = boxed.as_mut_ptr().cast::<u32>();
        for index in 0..LEN {
            // SAFETY: the value has that many numbers.
            unsafe { first.add(index).write(u32::try_from(index).unwrap()) };
        }
        // SAFETY: all numbers were written.
        let boxed = unsafe { PoolBox::assume_init(boxed) };
        assert!(boxed.iter().zip(0..).all(|(&number, index)| number == index));
        let boxed = unsize!(boxed => [u32]);
        assert_eq!(boxed.len(), LEN);
        drop(boxed);
        assert_eq!(pool.blocks().free_blocks(), 1);
    });
}

#[test]
fn zeros_are_written_over_what_was_there() {
    on_a_small_stack(|pool| {
        for round in 0..2 {
            let boxed = pool.alloc_zeroed().unwrap();
            // SAFETY: zeros are valid numbers.
            let mut boxed = unsafe { PoolBox::assume_init(boxed) };
            assert!(boxed.iter().all(|&number| number == 0), "round {round}");
            boxed.fill(7);
            let raw = PoolBox::into_raw(boxed);
            // SAFETY: the pointer came from a box of this pool.
            assert_eq!(unsafe { pool.from_raw(raw) }[LEN - 1], 7);
        }
    });
}

/// A value that is constructed in a block from `blocks()` can become a box.
#[test]
fn a_block_with_a_value_becomes_a_box() {
    on_a_small_stack(|pool| {
        let block = pool.blocks().allocate().unwrap().cast::<Large>();
        // SAFETY: the block is the pool's and has room for the value, and zeros are a
        // valid value.
        let boxed = unsafe {
            block.write_bytes(0, 1);
            pool.from_raw(block)
        };
        assert_eq!(boxed[LEN / 2], 0);
        drop(boxed);
        assert_eq!(pool.blocks().free_blocks(), 1);
    });
}

/// An uninitialized box returns its block and drops no value.
#[test]
fn a_box_that_was_not_filled_drops_nothing() {
    struct Never;

    impl Drop for Never {
        fn drop(&mut self) {
            panic!("dropped a value that was never initialized");
        }
    }

    let pool: Pool<(Never, u64), _> = Pool::new(Boxed::new(4096).and_then(Arena::from_region).unwrap());
    drop(pool.alloc_uninit().unwrap());
    drop(pool.alloc_zeroed().unwrap());
    assert_eq!((pool.blocks().free_blocks(), pool.blocks().peak_blocks()), (1, 1));
}
