//! Tests of pools of values and their boxes, over an arena and in a slice.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

mod common;

use core::cell::Cell;
use core::mem::MaybeUninit;

use common::{bytes, with_pages};
use hpalloc::{Arena, BlockSize, BlockSizeError, Borrowed, FixedBlock, PAGE_SIZE, Pool, PoolBox, PoolFull};

/// Counts its live instances.
struct Counted<'c> {
    there: &'c Cell<i32>,
    value: u64,
}

impl<'c> Counted<'c> {
    fn new(there: &'c Cell<i32>, value: u64) -> Self {
        there.set(there.get() + 1);
        Self { there, value }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.there.set(self.there.get() - 1);
    }
}

#[test]
fn a_box_drops_its_value_once_and_gives_its_block_back() {
    with_pages(1, |pages| {
        let there = Cell::new(0);
        let arena = Arena::from_pages(pages).unwrap();
        let pool = Pool::new(&arena);
        let mut first = pool.alloc(Counted::new(&there, 1)).ok().unwrap();
        let second = pool.alloc(Counted::new(&there, 2)).ok().unwrap();
        first.value += 10;
        assert_eq!((first.value, second.value, there.get()), (11, 2, 2));
        drop(first);
        assert_eq!((there.get(), pool.blocks().free_blocks()), (1, 1));
        let third = pool.alloc_with(|| Counted::new(&there, 3)).unwrap();
        assert_eq!((second.value, third.value), (2, 3));
        drop((second, third));
        assert_eq!((there.get(), pool.blocks().free_blocks(), pool.blocks().peak_blocks()), (0, 2, 2));
    });
}

#[test]
fn a_full_pool_gives_the_value_back_and_does_not_call() {
    with_pages(1, |pages| {
        let there = Cell::new(0);
        let pool = Pool::new(Arena::from_pages(pages).unwrap());
        // A page holds eight or nine of these.
        let make = |value| (Counted::new(&there, value), [0_u8; 448]);
        let mut all: [_; 10] = core::array::from_fn(|_| None);
        let count =
            (0..10).map_while(|value| pool.alloc(make(value)).ok()).zip(&mut all).fold(0, |count, (boxed, place)| {
                *place = Some(boxed);
                count + 1
            });
        assert_eq!(count, i32::try_from(pool.blocks().blocks_per_page()).unwrap());
        // The value that didn't fit was returned and then dropped.
        assert_eq!(there.get(), count);
        let PoolFull((refused, _)) = pool.alloc(make(70)).err().unwrap();
        assert_eq!((refused.value, there.get()), (70, count + 1));
        drop(refused);
        assert!(pool.alloc_with(|| unreachable!("called although no block is free")).is_none());
        drop(all);
        assert_eq!(there.get(), 0);
        assert!(pool.alloc_with(|| make(0)).is_some());
    });
}

#[test]
fn values_of_size_zero_take_no_block() {
    use core::sync::atomic::{AtomicU32, Ordering};

    static DROPS: AtomicU32 = AtomicU32::new(0);

    #[repr(align(256))]
    struct Nothing;

    impl Drop for Nothing {
        fn drop(&mut self) {
            // A load and a store, because not all chips have a compare-and-swap. No other
            // thread counts.
            DROPS.store(DROPS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    with_pages(1, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pool = Pool::new(&arena);
        for _ in 0..1000 {
            let nothing = pool.alloc(Nothing).ok().unwrap();
            assert_eq!(core::ptr::from_ref(&*nothing).addr() % 256, 0);
        }
        let inner = PoolBox::into_inner(pool.alloc_with(|| Nothing).unwrap());
        assert_eq!(DROPS.load(Ordering::Relaxed), 1000);
        drop(inner);
        let raw = PoolBox::into_raw(pool.alloc(Nothing).ok().unwrap());
        assert_eq!(DROPS.load(Ordering::Relaxed), 1001);
        // SAFETY: the pointer came from a box of this pool.
        drop(unsafe { pool.from_raw(raw) });
        assert_eq!(DROPS.load(Ordering::Relaxed), 1002);
        assert_eq!((pool.blocks().peak_blocks(), arena.pages_allocated()), (0, 0));
    });
}

#[test]
fn small_and_aligned_values_have_their_place() {
    #[derive(Debug, PartialEq)]
    #[repr(align(64))]
    struct Line(u8);

    with_pages(2, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let (bytes, lines) = (Pool::new(&arena), Pool::new(&arena));
        let all: [_; 100] = core::array::from_fn(|index| bytes.alloc(u8::try_from(index).unwrap()).unwrap());
        let first = lines.alloc(Line(1)).unwrap();
        let second = lines.alloc(Line(2)).unwrap();
        assert!(all.iter().zip(0..).all(|(byte, expected)| **byte == expected));
        assert_eq!((&*first, &*second), (&Line(1), &Line(2)));
        assert_eq!(core::ptr::from_ref(&*second).addr() % 64, 0);
        assert_eq!((bytes.blocks().block_size(), lines.blocks().block_size()), (size_of::<usize>(), 64));
        drop(all);
        // The freed blocks held links in the meantime.
        assert_eq!(*bytes.alloc(7).unwrap(), 7);
    });
}

#[test]
fn a_value_moves_out_or_stays() {
    with_pages(1, |pages| {
        let there = Cell::new(0);
        let arena = Arena::from_pages(pages).unwrap();
        let pool = Pool::new(&arena);

        let inner = PoolBox::into_inner(pool.alloc(Counted::new(&there, 1)).ok().unwrap());
        assert_eq!((inner.value, there.get(), pool.blocks().free_blocks()), (1, 1, 1));
        drop(inner);

        let raw = PoolBox::into_raw(pool.alloc(Counted::new(&there, 2)).ok().unwrap());
        assert_eq!((there.get(), pool.blocks().free_blocks()), (1, 0));
        // SAFETY: the pointer came from a box of this pool, and becomes a box again only
        // once.
        let again = unsafe { pool.from_raw(raw) };
        assert_eq!(again.value, 2);
        drop(again);
        assert_eq!((there.get(), pool.blocks().free_blocks()), (0, 1));

        let leaked: &mut Counted<'_> = PoolBox::leak(pool.alloc(Counted::new(&there, 3)).ok().unwrap());
        leaked.value += 1;
        assert_eq!((leaked.value, there.get(), pool.blocks().free_blocks()), (4, 1, 0));
        assert_eq!(pool.blocks().peak_blocks(), 1);
    });
}

#[test]
fn values_are_constructed_in_their_blocks() {
    with_pages(1, |pages| {
        // On a small chip, a value is larger than the rest of the stack.
        let pool: Pool<[u16; 1500], _> = Pool::new(Arena::from_pages(pages).unwrap());
        for round in 0..3 {
            let mut boxed = pool.alloc_uninit().unwrap();
            let first = boxed.as_mut_ptr().cast::<u16>();
            for index in 0..1500 {
                // SAFETY: the value has that many numbers.
                unsafe { first.add(usize::from(index)).write(index ^ round) };
            }
            // SAFETY: all numbers were written.
            let boxed = unsafe { PoolBox::assume_init(boxed) };
            assert!(boxed.iter().zip(0..).all(|(&number, index)| number == index ^ round));
            drop(boxed);
            // SAFETY: zeros are valid numbers.
            let zeroed = unsafe { PoolBox::assume_init(pool.alloc_zeroed().unwrap()) };
            assert!(zeroed.iter().all(|&number| number == 0));
        }
        assert_eq!((pool.blocks().peak_blocks(), pool.blocks().free_blocks()), (1, 1));
    });
}

#[test]
fn values_can_own_others_of_the_same_pool() {
    struct Node<'p> {
        value: u32,
        next: Option<PoolBox<Node<'p>, &'p Pool<Node<'p>, Arena<Borrowed<'p>>>>>,
    }

    with_pages(1, |pages| {
        let pool = Pool::new(Arena::from_pages(pages).unwrap());
        let mut first = None;
        for value in 0..50 {
            first = Some(pool.alloc(Node { value, next: first }).ok().unwrap());
        }
        let mut sum = 0;
        let mut node = first.as_deref();
        while let Some(Node { value, next }) = node {
            sum += value;
            node = next.as_deref();
        }
        assert_eq!((sum, pool.blocks().free_blocks()), (49 * 50 / 2, 0));
        drop(first);
        assert_eq!(pool.blocks().free_blocks(), 50);
    });
}

#[test]
fn a_value_can_be_made_of_others() {
    with_pages(1, |pages| {
        let pool = Pool::new(Arena::from_pages(pages).unwrap());
        let sum = pool.alloc_with(|| *pool.alloc(3_u64).unwrap() + *pool.alloc(4).unwrap()).unwrap();
        assert_eq!((*sum, pool.blocks().free_blocks(), pool.blocks().peak_blocks()), (7, 2, 3));
    });
}

#[test]
fn a_box_is_like_its_value() {
    with_pages(1, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pool = Pool::new(&arena);
        let (one, other, two) = (pool.alloc(1).unwrap(), pool.alloc(1).unwrap(), pool.alloc(2).unwrap());
        assert!(one == other && one < two && one.cmp(&two).is_lt() && one.partial_cmp(&two).unwrap().is_lt());
        assert_eq!((one.as_ref(), core::borrow::Borrow::<i32>::borrow(&two)), (&1, &2));
        #[cfg(not(target_os = "none"))]
        {
            use std::collections::HashSet;

            assert_eq!(format!("{one} {two:?} {two:03}"), "1 2 002");
            assert_eq!(format!("{one:p}"), format!("{:p}", &raw const *one));
            #[allow(clippy::mutable_key_type, reason = "a box hashes like its value, which is not mutated")]
            let set = HashSet::from([one, two]);
            assert!(set.contains(&other) && set.contains(&2));
        }
    });
}

/// Panics in constructors and destructors, after which no block is lost and none is
/// handed out twice.
#[cfg(panic = "unwind")]
mod panics {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::{Arena, Cell, Counted, Pool, PoolBox, with_pages};

    fn panics(f: impl FnOnce()) {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let result = catch_unwind(AssertUnwindSafe(f));
        std::panic::set_hook(hook);
        assert!(result.is_err());
    }

    struct PanicsOnDrop<'c>(Counted<'c>);

    impl Drop for PanicsOnDrop<'_> {
        fn drop(&mut self) {
            panic!("in the drop of {}", self.0.value);
        }
    }

    #[test]
    fn in_a_constructor() {
        with_pages(1, |pages| {
            let there = Cell::new(0);
            let pool = Pool::new(Arena::from_pages(pages).unwrap());
            let live = pool.alloc(Counted::new(&there, 1)).ok().unwrap();
            panics(|| {
                let _ = pool.alloc_with(|| {
                    let _made = Counted::new(&there, 2);
                    panic!("in the constructor")
                });
            });
            assert_eq!((there.get(), pool.blocks().free_blocks(), pool.blocks().peak_blocks()), (1, 1, 2));
            assert_eq!(live.value, 1);
        });
    }

    #[test]
    fn in_a_drop() {
        with_pages(1, |pages| {
            let there = Cell::new(0);
            let pool = Pool::new(Arena::from_pages(pages).unwrap());
            let value = pool.alloc(PanicsOnDrop(Counted::new(&there, 1))).ok().unwrap();
            panics(|| drop(value));
            // The fields were dropped, and the block returned to the pool exactly once.
            assert_eq!((there.get(), pool.blocks().free_blocks()), (0, 1));
            let again = pool.alloc(PanicsOnDrop(Counted::new(&there, 2))).ok().unwrap();
            assert_eq!((pool.blocks().free_blocks(), pool.blocks().peak_blocks()), (0, 1));
            std::mem::forget(PoolBox::into_inner(again));
        });
    }
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_slice_holds_as_many_blocks_as_fit() {
    with_pages(1, |pages| {
        let memory = bytes(pages);
        for words in [1, 2, 3, 5, 8, 37] {
            let size = words * size_of::<usize>();
            let block_size = BlockSize::new(size).unwrap();
            for count in 1..20 {
                let exact = block_size.bytes_for(count).unwrap();
                assert_eq!(exact, count * size);
                for (len, blocks) in [(exact, count), (exact - 1, count - 1), (exact + size - 1, count)] {
                    let Some(memory) = memory.get_mut(..len) else { continue };
                    let range = memory.as_ptr_range();
                    match FixedBlock::from_uninit(memory, size) {
                        Ok(pool) => {
                            let mut next = range.start.addr();
                            for _ in 0..blocks {
                                assert_eq!(pool.allocate().unwrap().addr().get(), next);
                                next += size;
                            }
                            assert!(next <= range.end.addr());
                            assert_eq!((pool.allocate(), pool.peak_blocks()), (None, blocks));
                        }
                        Err(BlockSizeError::NoRoom { bytes, .. }) => assert_eq!((bytes, blocks), (size, 0)),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn the_blocks_of_a_slice_are_aligned_wherever_it_starts() {
    with_pages(1, |pages| {
        let memory = bytes(pages);
        for start in 0..65 {
            let pool = FixedBlock::from_uninit(&mut memory[start..], 64).unwrap();
            assert_eq!((pool.block_align(), pool.block_size()), (64, 64));
            let blocks = core::iter::from_fn(|| pool.allocate());
            let count = blocks.inspect(|block| assert_eq!(block.addr().get() % 64, 0)).count();
            assert_eq!(count, (PAGE_SIZE - start) / 64);
        }
        // From an odd address on, there is room for one block less.
        assert!(FixedBlock::from_uninit(&mut memory[1..65], 64).is_err());
        assert!(FixedBlock::from_uninit(&mut memory[1..128], 64).is_ok());
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn blocks_of_a_slice_are_used_again() {
    with_pages(1, |pages| {
        let memory = &mut bytes(pages)[..1024];
        let pool: Pool<[u32; 6], _> = Pool::from_uninit(memory).unwrap();
        for round in 0..3 {
            let mut live: [_; 42] = core::array::from_fn(|_| None);
            for (index, place) in (0..).zip(&mut live) {
                *place = Some(pool.alloc([index + round; 6]).unwrap());
            }
            assert_eq!(pool.alloc([0; 6]).unwrap_err(), PoolFull([0; 6]));
            for (index, place) in (0..).zip(&live) {
                assert_eq!(**place.as_ref().unwrap(), [index + round; 6]);
            }
        }
        assert_eq!((pool.blocks().peak_blocks(), pool.blocks().free_blocks()), (42, 42));
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_slice_without_room_is_refused() {
    let mut memory = [MaybeUninit::uninit(); 15];
    let error = FixedBlock::from_uninit(&mut memory, 16).unwrap_err();
    assert!(matches!(error, BlockSizeError::NoRoom { bytes: 16, len: 15, .. }));
    // Values of no bytes need no block, and so no memory.
    assert!(Pool::from_uninit(&mut []).unwrap().alloc(()).is_ok());
    let error = FixedBlock::from_uninit(&mut [], 16).unwrap_err();
    assert!(matches!(error, BlockSizeError::NoRoom { bytes: 16, len: 0, .. }));
    let error = FixedBlock::from_uninit(&mut memory, 1).unwrap_err();
    assert!(matches!(error, BlockSizeError::TooSmall { bytes: 1, .. }));
    #[cfg(not(target_os = "none"))]
    {
        use hpalloc::{MAX_ARENA_SIZE, Page};

        // This memory is reserved, and never touched.
        let mut memory: Vec<Page> = Vec::with_capacity(MAX_ARENA_SIZE / PAGE_SIZE + 1);
        // SAFETY: the pages are reserved, and pages may be uninitialized.
        let all = bytes(unsafe { core::slice::from_raw_parts_mut(memory.as_mut_ptr(), memory.capacity()) });
        let error = FixedBlock::from_uninit(all, 16).unwrap_err();
        assert_eq!(error, BlockSizeError::MemoryTooLarge { len: all.len(), max: MAX_ARENA_SIZE });
        assert!(error.to_string().contains("pass at most 268435456"));
        assert!(FixedBlock::from_uninit(&mut all[..MAX_ARENA_SIZE], 16).unwrap().allocate().is_some());
        let error = FixedBlock::from_uninit(&mut all[..15], 16).unwrap_err();
        assert!(error.to_string().contains("15 bytes at 0x"), "{error}");
    }
}
