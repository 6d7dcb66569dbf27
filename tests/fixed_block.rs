//! Tests of block pools, over one arena and over other page sources.
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
use core::iter;
use core::ptr::NonNull;

use common::{address, with_pages};
use hpalloc::{
    Arena, ArenaError, BlockSize, DEFAULT_BLOCK_SIZE, FixedBlock, Lazy, MAX_ARENA_SIZE, PAGE_SIZE, Page, PageSource,
    RawRegion,
};

const WORD: usize = size_of::<usize>();

/// Allocates all remaining blocks of a pool and returns their addresses.
fn drain<P: PageSource>(pool: &FixedBlock<P>) -> impl Iterator<Item = usize> {
    iter::from_fn(|| pool.allocate().map(|block| block.addr().get()))
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn blocks_are_carved_in_ascending_order_without_a_gap() {
    with_pages(2, |pages| {
        let base = address(&mut pages[0]);
        let arena = Arena::from_pages(pages).unwrap();
        // Blocks of 1360 bytes leave 16 bytes of each page unused.
        let pool = FixedBlock::new(&arena, 1360).unwrap();
        assert_eq!((pool.blocks_per_page(), arena.pages_allocated()), (3, 0));
        let offsets = [0, 1360, 2720, PAGE_SIZE, PAGE_SIZE + 1360, PAGE_SIZE + 2720];
        assert!(drain(&pool).map(|block| block - base).eq(offsets));
        assert!(pool.allocate().is_none());
        assert_eq!(pool.peak_blocks(), 6);
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn the_block_freed_last_is_the_next_and_keeps_its_place() {
    with_pages(1, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 1024).unwrap();
        let blocks = [(); 3].map(|()| pool.allocate().unwrap());
        for block in blocks {
            // SAFETY: the block is live and isn't used afterwards.
            unsafe { pool.deallocate(block) };
        }
        assert_eq!(pool.free_blocks(), 3);
        for block in blocks.into_iter().rev() {
            assert_eq!(pool.allocate(), Some(block));
        }
        assert_eq!((pool.free_blocks(), pool.peak_blocks()), (0, 3));
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn all_sizes_from_a_pointer_to_the_whole_arena() {
    with_pages(3, |pages| {
        let base = address(&mut pages[0]);
        let mut arena = Arena::from_pages(pages).unwrap();
        let sizes = (WORD..=256).step_by(WORD).chain((256..=3 * PAGE_SIZE).step_by(136)).chain([3 * PAGE_SIZE]);
        for size in sizes {
            let pool = FixedBlock::new(&arena, size).unwrap();
            let align = pool.block_align();
            assert!(align.is_power_of_two() && size % align == 0 && align <= PAGE_SIZE);
            assert!(align == PAGE_SIZE || size % (2 * align) != 0);
            let mut end = base;
            let mut count = 0;
            for block in drain(&pool) {
                assert!(block >= end && block % align == 0, "{size}");
                end = block + size;
                count += 1;
            }
            assert!(end <= base + 3 * PAGE_SIZE);
            let expected = if size > PAGE_SIZE { 3 / size.div_ceil(PAGE_SIZE) } else { 3 * (PAGE_SIZE / size) };
            assert_eq!((count, pool.peak_blocks()), (expected, expected), "{size}");
            assert_eq!(pool.blocks_per_page(), PAGE_SIZE / size);
            arena.reset();
        }
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_block_larger_than_the_arena_is_refused_and_consumes_nothing() {
    with_pages(2, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        for size in [2 * PAGE_SIZE + WORD, hpalloc::MAX_ARENA_SIZE] {
            let pool = FixedBlock::new(&arena, size).unwrap();
            for _ in 0..3 {
                assert!(pool.allocate().is_none());
                assert_eq!((arena.pages_allocated(), pool.peak_blocks()), (0, 0));
            }
        }
        assert_eq!(drain(&FixedBlock::new(&arena, 2 * PAGE_SIZE).unwrap()).count(), 1);
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn pools_share_an_arena_page_by_page() {
    with_pages(3, |pages| {
        let base = address(&mut pages[0]);
        let arena = Arena::from_pages(pages).unwrap();
        let (small, large) = (FixedBlock::new(&arena, 64).unwrap(), FixedBlock::new(&arena, 2048).unwrap());
        assert_eq!(small.allocate().map(|block| block.addr().get()), Some(base));
        assert_eq!(large.allocate().map(|block| block.addr().get()), Some(base + PAGE_SIZE));
        assert_eq!(arena.alloc_page().map(address), Some(base + 2 * PAGE_SIZE));
        // The arena is exhausted, but each pool still has the rest of its page.
        assert_eq!((drain(&small).count(), drain(&large).count()), (63, 1));
    });
}

#[test]
fn a_block_may_be_freed_to_another_pool_of_the_same_size_and_arena() {
    with_pages(1, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let [one, other] = [(); 2].map(|()| FixedBlock::new(&arena, 64).unwrap().in_family(1));
        let block = one.allocate().unwrap();
        // SAFETY: the pools have the same block size, arena and family.
        unsafe { other.deallocate(block) };
        assert_eq!(other.allocate(), Some(block));
        assert_eq!((one.peak_blocks(), other.peak_blocks()), (1, 0));
    });
}

#[test]
fn a_block_keeps_what_is_written_to_it_beside_busy_neighbours() {
    with_pages(1, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 64).unwrap();
        let blocks = [(); 3].map(|()| pool.allocate().unwrap());
        // SAFETY: the blocks are live. The first and the last are freed and not used
        // afterwards.
        unsafe {
            blocks[1].write_bytes(0x5A, 64);
            pool.deallocate(blocks[0]);
            pool.deallocate(blocks[2]);
            for _ in 0..100 {
                let neighbour = pool.allocate().unwrap();
                neighbour.write_bytes(0, 64);
                pool.deallocate(neighbour);
            }
            let bytes = core::slice::from_raw_parts(blocks[1].as_ptr(), 64);
            assert!(bytes.iter().all(|&byte| byte == 0x5A));
        }
    });
}

/// Blocks of one and of two words, so that a write past the link would hit another block
/// or the second word.
#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn freeing_and_allocating_touch_one_word_of_a_block() {
    for words in [1, 2] {
        with_pages(1, |pages| {
            let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), words * WORD).unwrap();
            let blocks = [(); 9].map(|()| pool.allocate().unwrap().cast::<usize>());
            // SAFETY: a block has `words` words.
            let word = |block: usize, word| unsafe { blocks[block].add(word) };
            // SAFETY: the blocks are live, and each has `words` words. The words after
            // the first are read even in blocks that were freed in between: nothing may
            // have written to them.
            unsafe {
                for (block, word_of_it) in (0..9).flat_map(|block| (0..words).map(move |word| (block, word))) {
                    word(block, word_of_it).write(block * 10 + word_of_it);
                }
                for block in [1, 3, 5, 7, 3, 1] {
                    pool.deallocate(blocks[block].cast());
                    assert_eq!(pool.allocate(), Some(blocks[block].cast()));
                }
                for (block, word_of_it) in (0..9).flat_map(|block| (0..words).map(move |word| (block, word))) {
                    if block % 2 == 0 || word_of_it > 0 {
                        assert_eq!(word(block, word_of_it).read(), block * 10 + word_of_it);
                    }
                }
            }
        });
    }
}

#[test]
#[cfg_attr(any(hpalloc_hardened, hpalloc_asan), ignore = "reads memory that was never handed out")]
fn memory_that_was_not_allocated_is_not_touched() {
    with_pages(2, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(&mut *pages).unwrap(), 64).unwrap();
        for _ in 0..65 {
            // SAFETY: the block is live and has 64 bytes.
            unsafe { pool.allocate().unwrap().write_bytes(0, 64) };
        }
        assert_eq!(pool.page_source().pages_allocated(), 2);
        let touched = |byte: &core::mem::MaybeUninit<u8>| {
            // SAFETY: all bytes of the pages were filled before the test.
            unsafe { byte.assume_init() != common::RUBBISH }
        };
        assert_eq!(common::bytes(pages).iter().filter(|byte| touched(byte)).count(), 65 * 64);
    });
}

#[test]
fn a_pool_that_owns_its_arena_can_be_moved() {
    with_pages(1, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 64).unwrap();
        let first = pool.allocate().unwrap();
        // SAFETY: the block is live.
        unsafe { first.write_bytes(1, 64) };
        let moved = pool;
        // SAFETY: the block is still live, and moving the pool doesn't move its blocks.
        unsafe {
            assert_eq!(first.read(), 1);
            moved.deallocate(first);
        }
        assert_eq!(moved.allocate(), Some(first));
        assert_eq!(moved.page_source().pages_remaining(), 0);
    });
}

#[test]
fn a_constant_pool_takes_no_page_until_it_is_used() {
    const SIZE: BlockSize = BlockSize::of::<[u32; 5]>();
    with_pages(1, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::with_block_size(&arena, SIZE);
        assert_eq!((pool.peak_blocks(), pool.free_blocks(), arena.pages_allocated()), (0, 0, 0));
        assert_eq!(pool.block_size(), 20_usize.next_multiple_of(WORD));
        assert!(pool.allocate().is_some());
        assert_eq!((pool.peak_blocks(), arena.pages_allocated()), (1, 1));
    });
}

#[test]
fn the_block_size_of_a_type_holds_it_aligned() {
    #[repr(align(64))]
    #[allow(dead_code, reason = "only its size and alignment matter")]
    struct Line([u8; 65]);

    #[repr(align(64))]
    struct Marker;

    assert_eq!(BlockSize::of::<()>().bytes(), WORD);
    assert_eq!(BlockSize::of::<u8>().bytes(), WORD);
    assert_eq!(BlockSize::of::<[usize; 3]>().bytes(), 3 * WORD);
    assert_eq!((BlockSize::of::<Line>().bytes(), BlockSize::of::<Line>().align()), (128, 128));
    assert_eq!((BlockSize::of::<Marker>().bytes(), BlockSize::of::<Marker>().align()), (64, 64));
    assert_eq!((BlockSize::of::<Page>().bytes(), BlockSize::of::<Page>().align()), (PAGE_SIZE, PAGE_SIZE));
    assert_eq!(BlockSize::of::<[Page; 2]>().bytes(), 2 * PAGE_SIZE);
    assert_eq!(BlockSize::default().bytes(), DEFAULT_BLOCK_SIZE);
}

#[test]
fn a_block_size_is_a_number() {
    let sizes = [WORD, 2 * WORD, 3 * WORD, 1000, PAGE_SIZE, MAX_ARENA_SIZE];
    for (index, bytes) in sizes.into_iter().enumerate() {
        let size = BlockSize::try_from(bytes).unwrap();
        assert_eq!((usize::from(size), BlockSize::new(bytes)), (bytes, Ok(size)));
        for (other_index, other) in sizes.into_iter().enumerate() {
            let other = BlockSize::new(other).unwrap();
            assert_eq!(
                (size.cmp(&other), size.partial_cmp(&other)),
                (index.cmp(&other_index), Some(index.cmp(&other_index)))
            );
        }
        #[cfg(not(target_os = "none"))]
        assert_eq!((format!("{size}"), format!("{size:>10}")), (format!("{bytes}"), format!("{bytes:>10}")));
    }
    for bytes in [0, 1, WORD + 1, MAX_ARENA_SIZE + WORD] {
        assert_eq!(BlockSize::try_from(bytes), Err(BlockSize::new(bytes).unwrap_err()));
    }
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn disjoint_regions_are_used_in_order() {
    with_pages(3, |pages| {
        let base = address(&mut pages[0]);
        // The first arena is at the higher address: the array determines the order, not
        // the addresses.
        let (low, high) = pages.split_at_mut(2);
        let pool = FixedBlock::new([Arena::from_pages(high).unwrap(), Arena::from_pages(low).unwrap()], 4096).unwrap();
        assert!(drain(&pool).map(|block| (block - base) / PAGE_SIZE).eq([2, 0, 1]));
        assert_eq!(pool.peak_blocks(), 3);
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_pair_of_sources_is_used_in_order() {
    with_pages(3, |pages| {
        let base = address(&mut pages[0]);
        let (low, high) = pages.split_at_mut(2);
        let pool = FixedBlock::new((Arena::from_pages(high).unwrap(), Arena::from_pages(low).unwrap()), 4096).unwrap();
        assert!(drain(&pool).map(|block| (block - base) / PAGE_SIZE).eq([2, 0, 1]));
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_run_comes_from_the_first_region_that_has_it() {
    with_pages(3, |pages| {
        let base = address(&mut pages[0]);
        let (low, high) = pages.split_at_mut(1);
        let low = Arena::from_pages(low).unwrap();
        let sources = (&low, Arena::from_pages(high).unwrap());
        let pool = FixedBlock::new(&sources, 2 * PAGE_SIZE).unwrap();
        assert!(drain(&pool).map(|block| (block - base) / PAGE_SIZE).eq([1]));
        // The page that was too small for a run is left for other users.
        assert_eq!(low.pages_remaining(), 1);
        assert_eq!(drain(&FixedBlock::new(&sources, PAGE_SIZE).unwrap()).count(), 1);
        assert!(sources.take_pages(1).is_none());
    });
}

/// A page source that counts the calls to the source that it wraps.
struct Counting<'a, P>(&'a P, Cell<usize>);

// SAFETY: the pages are those of `P`.
unsafe impl<P: PageSource> PageSource for Counting<'_, P> {
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.1.set(self.1.get() + 1);
        self.0.take_pages(count)
    }
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_users_source_is_asked_once_a_run() {
    with_pages(2, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::new(Counting(&arena, Cell::new(0)), 1024).unwrap();
        for (allocated, asked) in [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (8, 2)] {
            while pool.peak_blocks() < allocated {
                pool.allocate().unwrap();
            }
            assert_eq!(pool.page_source().1.get(), asked);
        }
        assert!(pool.allocate().is_none());
        assert_eq!(pool.page_source().1.get(), 3);
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn an_exhausted_pool_goes_on_when_its_source_has_pages_again() {
    /// A source that has pages only while it is open.
    struct Gate<P>(P, Cell<bool>);
    // SAFETY: the pages are those of `P`.
    unsafe impl<P: PageSource> PageSource for Gate<P> {
        fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
            if self.1.get() { self.0.take_pages(count) } else { None }
        }
    }

    with_pages(1, |pages| {
        let pool = FixedBlock::new(Gate(Arena::from_pages(pages).unwrap(), Cell::new(false)), 2048).unwrap();
        assert!(pool.allocate().is_none());
        pool.page_source().1.set(true);
        let block = pool.allocate().unwrap();
        assert!(pool.allocate().is_some() && pool.allocate().is_none());
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { pool.deallocate(block) };
        assert_eq!(pool.allocate(), Some(block));
        assert_eq!(pool.peak_blocks(), 2);
    });
}

#[test]
fn a_lazy_arena_that_cannot_be_made_says_why_and_is_not_tried_again() {
    use core::sync::atomic::{AtomicUsize, Ordering};
    static MADE: AtomicUsize = AtomicUsize::new(0);

    let pool = FixedBlock::new(
        Lazy::<RawRegion>::new(|| {
            MADE.store(MADE.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            Err(ArenaError::InvalidSize { size: 5 })
        }),
        64,
    )
    .unwrap();
    assert_eq!(MADE.load(Ordering::Relaxed), 0);
    assert!(pool.allocate().is_none());
    assert!(pool.allocate().is_none());
    assert_eq!(pool.page_source().arena().unwrap_err(), &ArenaError::InvalidSize { size: 5 });
    assert_eq!(MADE.load(Ordering::Relaxed), 1);
}

#[cfg(feature = "std")]
#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_lazy_arena_whose_maker_uses_the_pool_is_made_once() {
    use hpalloc::Boxed;

    std::thread_local! {
        static POOL: FixedBlock<Lazy<Boxed>> =
            const { FixedBlock::with_block_size(Lazy::new(make), BlockSize::of::<[u64; 8]>()) };
        static CALLS: Cell<usize> = const { Cell::new(0) };
    }
    fn make() -> Result<Arena<Boxed>, ArenaError> {
        CALLS.set(CALLS.get() + 1);
        if CALLS.get() == 1 {
            POOL.with(|pool| assert!(pool.allocate().is_some()));
        }
        Boxed::new(2 * PAGE_SIZE).and_then(Arena::from_region)
    }

    POOL.with(|pool| {
        let first = pool.allocate().unwrap();
        let second = pool.allocate().unwrap();
        assert_eq!(second.addr().get() - first.addr().get(), 64);
        // Both runs are from the one arena that was kept.
        assert_eq!(pool.page_source().arena().unwrap().pages_allocated(), 2);
        assert_eq!(CALLS.get(), 2);
    });
}
