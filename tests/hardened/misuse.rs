//! Tests of each kind of misuse: as a returned error, and as the panic that is the
//! default.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::common::{GUARD, MAX_PAGES, bytes, stride, with_pages};
use hpalloc::hardened::Misuse;
use hpalloc::{Arena, Borrowed, FixedBlock, MisuseError, PageSource, SizeClasses};

const SIZE: usize = 64;

type Blocks<'a> = FixedBlock<&'a Arena<Borrowed<'a>>>;

/// Creates two pools of 64-byte blocks over one arena.
fn with_pools(test: impl FnOnce(Blocks<'_>, Blocks<'_>)) {
    with_pages(MAX_PAGES, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        test(FixedBlock::new(&arena, SIZE).unwrap(), FixedBlock::new(&arena, SIZE).unwrap());
    });
}

/// Frees a pointer to a pool, and returns the misuse that the pool detects.
fn found<P: PageSource>(pool: &FixedBlock<P>, block: NonNull<u8>) -> Misuse {
    // SAFETY: `try_deallocate` returns an error for an invalid pointer.
    let error = unsafe { pool.try_deallocate(block) }.unwrap_err();
    assert_eq!((error.block, error.block_size), (block.addr().get(), pool.block_size()));
    error.misuse
}

/// Changes a byte.
///
/// # Safety
///
/// The byte can be read and written.
unsafe fn overwrite(byte: NonNull<u8>) {
    // SAFETY: guaranteed by the caller.
    unsafe { byte.write(byte.read() ^ 1) };
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 4).unwrap()
}

#[test]
fn what_is_in_order_is_no_misuse() {
    with_pools(|pool, other| {
        for round in 0..3 {
            let blocks = [(); 20].map(|()| pool.allocate().unwrap());
            for (index, block) in blocks.into_iter().enumerate() {
                // SAFETY: all of the block can be written, and it is freed once.
                unsafe {
                    block.write_bytes(0xFF, SIZE);
                    assert_eq!(pool.try_deallocate(block), Ok(()));
                }
                if index == round {
                    other.allocate().unwrap();
                }
            }
        }
        assert_eq!((pool.peak_blocks(), pool.free_blocks()), (20, 20));
    });
}

/// The table of block sizes in SECURITY.md.
#[test]
fn what_a_page_holds() {
    with_pages(2, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let per_page = |size| FixedBlock::new(&arena, size).unwrap().blocks_per_page();
        let expected = if size_of::<usize>() == 8 { [101, 32, 33, 4, 1, 0] } else { [127, 32, 36, 4, 1, 0] };
        assert_eq!([24, 64, 104, 1000, 2048, 4096].map(per_page), expected);
        let pool = FixedBlock::new(&arena, 4096).unwrap();
        assert!(pool.allocate().is_some() && pool.allocate().is_none());
    });
}

#[test]
fn a_block_that_is_freed_twice() {
    with_pools(|pool, _| {
        let blocks = [(); 3].map(|()| pool.allocate().unwrap());
        for block in blocks {
            // SAFETY: the block is live and isn't used afterwards.
            unsafe { pool.deallocate(block) };
        }
        // A double free is detected anywhere in the free list, and changes nothing.
        for block in blocks {
            assert_eq!(found(&pool, block), Misuse::DoubleFree);
        }
        assert_eq!(pool.free_blocks(), 3);
        // A block that is handed out again is live.
        assert_eq!(pool.allocate(), Some(blocks[2]));
        assert_eq!(found(&pool, blocks[1]), Misuse::DoubleFree);
        // SAFETY: the block is live and isn't used afterwards.
        assert_eq!(unsafe { pool.try_deallocate(blocks[2]) }, Ok(()));
    });
}

#[test]
fn what_never_came_from_the_pool() {
    with_pools(|pool, other| {
        let theirs = other.allocate().unwrap();
        // Before the pool has taken memory, and after.
        assert_eq!(found(&pool, theirs), Misuse::Foreign);
        let ours = pool.allocate().unwrap();
        assert_eq!(found(&pool, theirs), Misuse::Foreign);
        assert_eq!(found(&other, ours), Misuse::Foreign);
        let mut value = [0_u64; 20];
        assert_eq!(found(&pool, NonNull::from(&mut value).cast()), Misuse::Foreign);
        assert_eq!(found(&pool, NonNull::dangling()), Misuse::Foreign);
        assert_eq!(value, [0; 20]);
        // A page that was taken from the arena directly, filled with various bytes.
        if let Some(page) = pool.page_source().alloc_page() {
            for byte in [0, 0xFF, 0x5A, 0xDF] {
                // SAFETY: the page is borrowed mutably.
                unsafe { page.as_mut_ptr().write_bytes(byte, 4096) };
                assert_eq!(found(&pool, NonNull::from(&mut *page).cast()), Misuse::Foreign);
            }
        }
    });
}

#[test]
fn a_block_of_another_size_and_another_arena() {
    with_pages(3, |pages| {
        let (one, two) = pages.split_at_mut(1);
        let (one, two) = (Arena::from_pages(one).unwrap(), Arena::from_pages(two).unwrap());
        let small = FixedBlock::new(&one, 24).unwrap();
        let (large, larger) = (FixedBlock::new(&two, 64).unwrap(), FixedBlock::new(&two, 96).unwrap());
        let blocks = [small.allocate().unwrap(), large.allocate().unwrap(), larger.allocate().unwrap()];
        for (pool, own) in [(&large, blocks[1]), (&larger, blocks[2])] {
            for block in blocks {
                // SAFETY: `try_deallocate` returns an error for an invalid pointer. The
                // valid one isn't used afterwards.
                let misuse = unsafe { pool.try_deallocate(block) }.err().map(|error| error.misuse);
                assert_eq!(misuse, (block != own).then_some(Misuse::Foreign));
            }
        }
    });
}

#[test]
fn a_pointer_into_a_block_and_behind_the_last() {
    with_pools(|pool, _| {
        let block = pool.allocate().unwrap();
        let second = pool.allocate().unwrap();
        assert_eq!(second.addr().get() - block.addr().get(), stride(SIZE));
        for offset in [1, 4, 8, 16, SIZE - 1, SIZE, SIZE + GUARD] {
            // SAFETY: the next block starts after these bytes.
            let inside = unsafe { block.add(offset) };
            if inside != second {
                assert_eq!(found(&pool, inside), Misuse::NotABlock, "{offset}");
            }
        }
        // SAFETY: a page holds more than three blocks.
        let (third, last) = unsafe { (block.add(2 * stride(SIZE)), block.add(4095)) };
        assert_eq!(found(&pool, third), Misuse::NeverAllocated);
        assert_eq!(
            found(&pool, last),
            if 4096 % stride(SIZE) == 0 { Misuse::NeverAllocated } else { Misuse::NotABlock }
        );
    });
}

/// The unused rest of a page starts at a multiple of the stride, but isn't a block.
#[test]
fn the_rest_of_a_page() {
    with_pages(1, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 1000).unwrap();
        let blocks = [(); 4].map(|()| pool.allocate().unwrap());
        // SAFETY: the address is in the page.
        let rest = unsafe { blocks[0].add(4 * stride(1000)) };
        assert_eq!(found(&pool, rest), Misuse::NotABlock);
    });
}

/// An overflow over both guard words of a block is still reported as an overflow, because
/// the guards of the other blocks in the run show which pool the run belongs to.
#[test]
fn a_long_overflow() {
    with_pools(|pool, _| {
        let blocks = [(); 3].map(|()| pool.allocate().unwrap());
        for block in [blocks[0], blocks[2]] {
            // SAFETY: the next block starts after these bytes.
            unsafe { block.add(SIZE).write_bytes(0x41, GUARD) };
            assert_eq!(found(&pool, block), Misuse::Overflow);
        }
    });
    // The run has no other block.
    with_pages(2, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 4096).unwrap();
        let block = pool.allocate().unwrap();
        // SAFETY: the block is followed by that many bytes.
        unsafe { block.add(4096).write_bytes(0x41, GUARD) };
        assert_eq!(found(&pool, block), Misuse::Overflow);
    });
}

/// A pool's record of a run is at the end of the run. If the record is overwritten, the
/// blocks of that run can no longer be freed, but the pool can still allocate.
#[test]
fn an_overflow_to_the_end_of_a_run() {
    with_pages(MAX_PAGES, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::new(&arena, 1000).unwrap();
        let per_page = pool.blocks_per_page();
        let first = pool.allocate().unwrap();
        // SAFETY: this is the last byte of the page.
        unsafe { first.add(4095).write_bytes(0x41, 1) };
        assert_eq!(found(&pool, first), Misuse::RecordOverwritten);
        assert!((1..per_page).all(|_| pool.allocate().is_some()));
    });
}

/// A block that is handed out again must not contain a link to another block.
#[test]
fn no_link_is_handed_out() {
    with_pools(|pool, _| {
        let blocks = [(); 3].map(|()| pool.allocate().unwrap());
        for block in blocks {
            // SAFETY: the block is live and isn't used afterwards.
            unsafe { pool.deallocate(block) };
        }
        for _ in blocks {
            let block = pool.allocate().unwrap();
            // SAFETY: the pool filled all of the block.
            let words = unsafe { block.cast::<[usize; SIZE / size_of::<usize>()]>().read() };
            assert!(words.iter().all(|&word| word == words[0]), "{words:x?}");
        }
    });
    // A fresh block must not contain links that an earlier pool left in its memory.
    with_pages(1, |pages| {
        let mut arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::new(&arena, 24).unwrap();
        let blocks = [(); 20].map(|()| pool.allocate().unwrap());
        for block in blocks {
            // SAFETY: the block is live and isn't used afterwards.
            unsafe { pool.deallocate(block) };
        }
        drop(pool);
        arena.reset();
        let block = FixedBlock::new(&arena, 1024).unwrap().allocate().unwrap();
        // SAFETY: the pool filled all of the block.
        let words = unsafe { block.cast::<[usize; 1024 / size_of::<usize>()]>().read() };
        assert!(words.iter().all(|&word| word == words[0]));
    });
}

/// A source that allocates from the very pool that is calling it. The pool keeps the run
/// that the inner allocation took, and the blocks of that run have guards.
#[test]
fn a_source_that_uses_the_pool() {
    struct Reentrant<'a> {
        arena: Arena<Borrowed<'a>>,
        pool: core::cell::Cell<Option<NonNull<FixedBlock<Self>>>>,
    }

    // SAFETY: the pages come from an arena.
    unsafe impl PageSource for Reentrant<'_> {
        fn take_pages(&self, count: usize) -> Option<NonNull<hpalloc::Page>> {
            if let Some(pool) = self.pool.take() {
                // SAFETY: the pool exists, since it is making this call.
                assert!(unsafe { pool.as_ref() }.allocate().is_some());
            }
            self.arena.take_pages(count)
        }
    }

    with_pages(2, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let source = Reentrant { arena, pool: core::cell::Cell::new(None) };
        let pool = FixedBlock::new(source, SIZE).unwrap();
        pool.page_source().pool.set(Some(NonNull::from(&pool)));
        let block = pool.allocate().unwrap();
        // SAFETY: the run has more than three blocks.
        let (first, next) = unsafe { (block.sub(stride(SIZE)), block.add(stride(SIZE))) };
        assert_eq!(found(&pool, next), Misuse::NeverAllocated);
        // SAFETY: the blocks are live and aren't used afterwards.
        assert_eq!(unsafe { (pool.try_deallocate(first), pool.try_deallocate(block)) }, (Ok(()), Ok(())));
    });
}

/// Counting free blocks stops at an overwritten link.
#[test]
fn counting_free_blocks_after_a_link_was_overwritten() {
    with_pools(|pool, _| {
        let blocks = [(); 5].map(|()| pool.allocate().unwrap());
        for block in blocks {
            // SAFETY: the block is live and isn't used afterwards.
            unsafe { pool.deallocate(block) };
        }
        // SAFETY: the block is in the pool's memory and has a word.
        unsafe { blocks[2].cast::<usize>().write(0x41) };
        assert_eq!(pool.free_blocks(), 2);
    });
    with_pages(3, |pages| {
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), hpalloc::size_table![64, 256]);
        let layouts = [40, 40, 200, 200, 200, 1000].map(layout);
        let blocks = layouts.map(|layout| heap.allocate(layout).unwrap());
        for (block, layout) in blocks.into_iter().zip(layouts) {
            // SAFETY: the block is live and isn't used afterwards.
            unsafe { heap.deallocate(block, layout) };
        }
        for damaged in [blocks[0], blocks[3], blocks[5]] {
            // SAFETY: the block is in the pool's memory and has a word.
            unsafe { damaged.cast::<usize>().write(0x41) };
        }
        let usage = heap.usage();
        assert_eq!((usage.free_blocks, usage.run_pages, usage.free_run_pages), ([1, 1], 1, 0));
        #[cfg(not(target_os = "none"))]
        assert!(heap.to_string().contains("run pages"));
    });
}

/// A page that another user has borrowed isn't read, so that the borrow stays valid.
#[test]
fn a_page_that_is_lent_is_not_touched() {
    with_pools(|pool, _| {
        let ours = pool.allocate().unwrap();
        let lent = pool.page_source().alloc_page().unwrap().zero();
        let pointer = NonNull::from(&mut *lent).cast::<u8>();
        for offset in [0, 8, 64, stride(SIZE), 4096 - 8] {
            // SAFETY: the address is in the page.
            assert_eq!(found(&pool, unsafe { pointer.add(offset) }), Misuse::Foreign);
        }
        lent[64] = 1;
        assert_eq!(lent.iter().map(|&byte| usize::from(byte)).sum::<usize>(), 1);
        // SAFETY: the block is live and isn't used afterwards.
        assert_eq!(unsafe { pool.try_deallocate(ours) }, Ok(()));
    });
}

/// A pool joins a family when it is created. One that has already allocated doesn't join,
/// and keeps recognizing its blocks.
#[test]
fn a_used_pool_joins_no_family() {
    with_pools(|pool, other| {
        let block = pool.allocate().unwrap();
        let (pool, other) = (pool.in_family(1), other.in_family(1));
        let theirs = other.allocate().unwrap();
        assert_eq!(found(&pool, theirs), Misuse::Foreign);
        // SAFETY: the blocks are live and aren't used afterwards.
        assert_eq!(unsafe { (pool.try_deallocate(block), other.try_deallocate(theirs)) }, (Ok(()), Ok(())));
    });
}

/// A foreign block is detected, whatever the source: an array or a pair of arenas, a
/// slice of memory, or a locked arena.
#[test]
fn foreign_blocks_of_all_kinds_of_sources() {
    fn check<P: PageSource>(pool: &FixedBlock<P>, foreign: NonNull<u8>) {
        let block = pool.allocate().unwrap();
        for pointer in [foreign, NonNull::dangling()] {
            assert_eq!(found(pool, pointer), Misuse::Foreign);
        }
        // SAFETY: the block is live and isn't used afterwards.
        assert_eq!(unsafe { pool.try_deallocate(block) }, Ok(()));
        assert_eq!(found(pool, block), Misuse::DoubleFree);
    }

    let mut value = [0_u64; 20];
    let elsewhere = NonNull::from(&mut value).cast();
    with_pages(2, |pages| {
        let (one, two) = pages.split_at_mut(1);
        let arenas = [one, two].map(|pages| Arena::from_pages(pages).unwrap());
        check(&FixedBlock::new(&arenas, 56).unwrap(), elsewhere);
        check(&FixedBlock::new((&arenas[0], &arenas[1]), 56).unwrap(), elsewhere);
    });
    with_pages(1, |pages| check(&FixedBlock::from_uninit(&mut bytes(pages)[..600], 24).unwrap(), elsewhere));
    #[cfg(feature = "critical-section")]
    with_pages(1, |pages| {
        let arena: hpalloc::Locked<_, hpalloc::CriticalSection> =
            hpalloc::Locked::new(Arena::from_pages(pages).unwrap());
        check(&FixedBlock::new(&arena, 56).unwrap(), elsewhere);
    });
}

/// Addresses after the last block are outside the arena, and aren't read.
#[test]
fn the_inside_of_a_block_of_pages() {
    with_pages(2, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 4096).unwrap();
        let block = pool.allocate().unwrap();
        for offset in [8, 4000, 4096, 4096 + 8, 8191] {
            // SAFETY: the block with the guard after it has two pages.
            let inside = unsafe { block.add(offset) };
            assert!(matches!(found(&pool, inside), Misuse::NotABlock | Misuse::Foreign), "{offset}");
        }
        // SAFETY: the block is live and isn't used afterwards.
        assert_eq!(unsafe { pool.try_deallocate(block) }, Ok(()));
    });
}

#[test]
fn a_page_that_nobody_has_yet() {
    with_pages(2, |pages| {
        let second = NonNull::from(&mut pages[1]).cast::<u8>();
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), SIZE).unwrap();
        pool.allocate().unwrap();
        assert_eq!(found(&pool, second), Misuse::Foreign);
    });
}

/// Guards that an earlier pool left in memory don't count for a later pool.
#[test]
fn blocks_from_before_the_arena_was_reset() {
    with_pages(2, |pages| {
        let mut arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::new(&arena, SIZE).unwrap();
        let old: [NonNull<u8>; 40] = core::array::from_fn(|_| pool.allocate().unwrap());
        drop(pool);
        arena.reset();
        let pool = FixedBlock::new(&arena, SIZE).unwrap();
        let first = pool.allocate().unwrap();
        assert_eq!(first, old[0]);
        for block in &old[1..] {
            assert!(matches!(found(&pool, *block), Misuse::NeverAllocated | Misuse::Foreign));
        }
    });
}

#[test]
fn every_byte_of_the_guard_counts() {
    with_pools(|pool, _| {
        for offset in SIZE..SIZE + GUARD {
            let block = pool.allocate().unwrap();
            // SAFETY: the next block starts after these bytes.
            let byte = unsafe { block.add(offset) };
            // SAFETY: as above; the byte is restored.
            unsafe {
                let before = byte.read();
                byte.write(before ^ 0x10);
                assert_eq!(found(&pool, block), Misuse::Overflow, "{offset}");
                byte.write(before);
                assert_eq!(pool.try_deallocate(block), Ok(()));
            }
            // Leak a block in every other round, so that the test doesn't always use the
            // first block of the page.
            if offset % 2 == 0 {
                pool.allocate().unwrap();
            }
        }
    });
}

#[test]
fn a_slice_and_boxes_and_a_family() {
    with_pages(1, |pages| {
        let pool = FixedBlock::from_uninit(&mut bytes(pages)[..600], 40).unwrap();
        let [one, two] = [(); 2].map(|()| pool.allocate().unwrap());
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { pool.deallocate(one) };
        assert_eq!(found(&pool, one), Misuse::DoubleFree);
        // SAFETY: the block has that many bytes.
        assert_eq!(found(&pool, unsafe { two.add(8) }), Misuse::NotABlock);
        // SAFETY: as above.
        assert_eq!(found(&pool, unsafe { two.add(stride(40)) }), Misuse::NeverAllocated);
    });
    with_pages(2, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let family = [(); 2].map(|()| FixedBlock::new(&arena, 64).unwrap().in_family(3));
        let other = FixedBlock::new(&arena, 64).unwrap().in_family(4);
        let block = family[0].allocate().unwrap();
        assert_eq!(found(&other, block), Misuse::Foreign);
        // SAFETY: the block is live, from a pool of the same family, and isn't used
        // afterwards.
        assert_eq!(unsafe { family[1].try_deallocate(block) }, Ok(()));
        assert_eq!(found(&family[0], block), Misuse::DoubleFree);
        assert_eq!(family[1].allocate(), Some(block));
    });
}

#[test]
fn a_heap_finds_the_same() {
    with_pages(3, |pages| {
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), hpalloc::size_table![64, 256]);
        // SAFETY: `try_deallocate` returns an error for an invalid pointer.
        let found =
            |block, layout| unsafe { heap.try_deallocate(block, layout) }.err().map(|error: MisuseError| error.misuse);
        let [small, large, run] = [40, 200, 1000].map(|size| heap.allocate(layout(size)).unwrap());
        assert_eq!(found(small, layout(200)), Some(Misuse::Foreign));
        assert_eq!(found(large, layout(40)), Some(Misuse::Foreign));
        assert_eq!(found(small, layout(1000)), Some(Misuse::Foreign));
        assert_eq!(found(run, layout(40)), Some(Misuse::Foreign));
        // Layouts that the heap can't serve, or for which only memory outside the arena
        // would have room.
        for (size, align) in [(64, 8192), (200 << 20, 4), (300 << 20, 4), (8000, 4096)] {
            assert_eq!(found(small, Layout::from_size_align(size, align).unwrap()), Some(Misuse::Foreign), "{size}");
        }
        // Another size of the same class is accepted: the heap can't tell the difference.
        assert_eq!(found(small, layout(50)), None);
        assert_eq!(found(small, layout(40)), Some(Misuse::DoubleFree));
        // SAFETY: the byte after the usable part of the run is still in the run.
        unsafe { overwrite(run.add(heap.usable_size(layout(1000)))) };
        assert_eq!(found(run, layout(1000)), Some(Misuse::Overflow));
        assert_eq!(found(large, layout(200)), None);
    });
}

/// Misuse panics, unless the program has set a hook.
mod panics {
    use hpalloc::{Pool, PoolBox};

    use super::*;

    #[test]
    #[should_panic(expected = "was freed twice")]
    fn double_free_panics() {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            // SAFETY: not upheld. This is the misuse under test.
            unsafe {
                pool.deallocate(block);
                pool.deallocate(block);
            }
        });
    }

    #[test]
    #[should_panic(expected = "is not from this pool")]
    fn a_foreign_block_panics() {
        with_pools(|pool, other| {
            pool.allocate().unwrap();
            // SAFETY: not upheld. This is the misuse under test.
            unsafe { pool.deallocate(other.allocate().unwrap()) };
        });
    }

    #[test]
    #[should_panic(expected = "is not the start of a block")]
    fn a_pointer_into_a_block_panics() {
        // SAFETY: not upheld. This is the misuse under test.
        with_pools(|pool, _| unsafe { pool.deallocate(pool.allocate().unwrap().add(8)) });
    }

    #[test]
    #[should_panic(expected = "was never allocated")]
    fn a_fresh_block_panics() {
        // SAFETY: not upheld. This is the misuse under test.
        with_pools(|pool, _| unsafe { pool.deallocate(pool.allocate().unwrap().add(stride(SIZE))) });
    }

    #[test]
    #[should_panic(expected = "was written to past its end")]
    fn an_overflow_panics() {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            // SAFETY: not upheld. This is the misuse under test.
            unsafe {
                overwrite(block.add(SIZE));
                pool.deallocate(block);
            }
        });
    }

    #[test]
    #[should_panic(expected = "was written to after it was freed")]
    fn a_write_after_free_panics() {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            // SAFETY: not upheld. This is the misuse under test.
            unsafe {
                pool.deallocate(block);
                block.add(SIZE - 1).write(1);
            }
            let _ = pool.allocate();
        });
    }

    #[test]
    #[should_panic(expected = "the link to the next free block")]
    fn an_overwritten_link_panics() {
        with_pools(|pool, _| {
            let [one, other] = [(); 2].map(|()| pool.allocate().unwrap());
            // SAFETY: not upheld. This is the misuse under test.
            unsafe {
                pool.deallocate(one);
                pool.deallocate(other);
                // An attacker who doesn't know the key would write a plain address as the
                // link.
                other.cast::<NonNull<u8>>().write(one);
            }
            let _ = pool.allocate();
        });
    }

    #[test]
    #[should_panic(expected = "was freed twice")]
    fn a_box_that_is_made_twice_panics() {
        with_pages(1, |pages| {
            let pool = Pool::<[u32; 4], _>::new(Arena::from_pages(pages).unwrap());
            let raw = PoolBox::into_raw(pool.alloc([7; 4]).unwrap());
            // SAFETY: not upheld. This is the misuse under test.
            unsafe {
                drop(pool.from_raw(raw));
                drop(pool.from_raw(raw));
            }
        });
    }
}
