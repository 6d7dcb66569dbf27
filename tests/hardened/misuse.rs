//! Each kind of misuse, as a value and as the panic that it is by default.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::common::{GUARD, MAX_PAGES, bytes, stride, with_pages};
use hpalloc::hardened::Misuse;
use hpalloc::{Arena, Borrowed, FixedBlock, MisuseError, PageSource, SizeClasses};

const SIZE: usize = 64;

type Blocks<'a> = FixedBlock<&'a Arena<Borrowed<'a>>>;

/// Two pools of blocks of 64 bytes over one arena.
fn with_pools(test: impl FnOnce(Blocks<'_>, Blocks<'_>)) {
    with_pages(MAX_PAGES, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        test(FixedBlock::new(&arena, SIZE).unwrap(), FixedBlock::new(&arena, SIZE).unwrap());
    });
}

/// What is found when that is freed to the pool.
fn found<P: PageSource>(pool: &FixedBlock<P>, block: NonNull<u8>) -> Misuse {
    // SAFETY: what isn't in order is an error.
    let error = unsafe { pool.try_deallocate(block) }.unwrap_err();
    assert_eq!((error.block, error.block_size), (block.addr().get(), pool.block_size()));
    error.misuse
}

/// Writes another byte than the one that is there.
///
/// # Safety
///
/// It is there.
unsafe fn overwrite(byte: NonNull<u8>) {
    // SAFETY: as the caller promises.
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
                // SAFETY: all of the block can be written to, and it is freed once.
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

/// The table of SECURITY.md.
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
            // SAFETY: it is live, and not used after this.
            unsafe { pool.deallocate(block) };
        }
        // Each of them, wherever it is in the list; and a refusal changes nothing.
        for block in blocks {
            assert_eq!(found(&pool, block), Misuse::DoubleFree);
        }
        assert_eq!(pool.free_blocks(), 3);
        // One that is handed out again is live.
        assert_eq!(pool.allocate(), Some(blocks[2]));
        assert_eq!(found(&pool, blocks[1]), Misuse::DoubleFree);
        // SAFETY: it is live, and not used after this.
        assert_eq!(unsafe { pool.try_deallocate(blocks[2]) }, Ok(()));
    });
}

#[test]
fn what_never_came_from_the_pool() {
    with_pools(|pool, other| {
        let theirs = other.allocate().unwrap();
        // Before it has memory of its own, and after.
        assert_eq!(found(&pool, theirs), Misuse::Foreign);
        let ours = pool.allocate().unwrap();
        assert_eq!(found(&pool, theirs), Misuse::Foreign);
        assert_eq!(found(&other, ours), Misuse::Foreign);
        let mut value = [0_u64; 20];
        assert_eq!(found(&pool, NonNull::from(&mut value).cast()), Misuse::Foreign);
        assert_eq!(found(&pool, NonNull::dangling()), Misuse::Foreign);
        assert_eq!(value, [0; 20]);
        // A page of the arena that is somebody else's, with words in it that look like anything.
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
                // SAFETY: what isn't in order is an error; the one that is is not used after this.
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
            // SAFETY: there are so many bytes before the next block.
            let inside = unsafe { block.add(offset) };
            if inside != second {
                assert_eq!(found(&pool, inside), Misuse::NotABlock, "{offset}");
            }
        }
        // SAFETY: a page has more than three blocks.
        let (third, last) = unsafe { (block.add(2 * stride(SIZE)), block.add(4095)) };
        assert_eq!(found(&pool, third), Misuse::NeverAllocated);
        assert_eq!(
            found(&pool, last),
            if 4096 % stride(SIZE) == 0 { Misuse::NeverAllocated } else { Misuse::NotABlock }
        );
    });
}

/// What is left over of a page is a multiple of what a block takes away from its start, but no block.
#[test]
fn the_rest_of_a_page() {
    with_pages(1, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 1000).unwrap();
        let blocks = [(); 4].map(|()| pool.allocate().unwrap());
        // SAFETY: it is in the page.
        let rest = unsafe { blocks[0].add(4 * stride(1000)) };
        assert_eq!(found(&pool, rest), Misuse::NotABlock);
    });
}

/// An overflow over both words of the first block's guard: the second block's says whose they are.
#[test]
fn a_long_overflow() {
    with_pools(|pool, _| {
        let blocks = [(); 3].map(|()| pool.allocate().unwrap());
        for block in [blocks[0], blocks[2]] {
            // SAFETY: there are so many bytes before the next block.
            unsafe { block.add(SIZE).write_bytes(0x41, GUARD) };
            assert_eq!(found(&pool, block), Misuse::Overflow);
        }
    });
    // There is no other block in its run.
    with_pages(2, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 4096).unwrap();
        let block = pool.allocate().unwrap();
        // SAFETY: there are so many bytes after the block.
        unsafe { block.add(4096).write_bytes(0x41, GUARD) };
        assert_eq!(found(&pool, block), Misuse::Overflow);
    });
}

/// What a pool keeps of its runs lies at their ends. Blocks of a run whose record was overwritten can't be freed; the pool
/// goes on with others.
#[test]
fn an_overflow_to_the_end_of_a_run() {
    with_pages(MAX_PAGES, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::new(&arena, 1000).unwrap();
        let per_page = pool.blocks_per_page();
        let first = pool.allocate().unwrap();
        // SAFETY: the page ends there.
        unsafe { first.add(4095).write_bytes(0x41, 1) };
        assert_eq!(found(&pool, first), Misuse::RecordOverwritten);
        assert!((1..per_page).all(|_| pool.allocate().is_some()));
    });
}

/// A block tells nothing of others when it is handed out again.
#[test]
fn no_link_is_handed_out() {
    with_pools(|pool, _| {
        let blocks = [(); 3].map(|()| pool.allocate().unwrap());
        for block in blocks {
            // SAFETY: it is live, and not used after this.
            unsafe { pool.deallocate(block) };
        }
        for _ in blocks {
            let block = pool.allocate().unwrap();
            // SAFETY: the pool filled all of the block.
            let words = unsafe { block.cast::<[usize; SIZE / size_of::<usize>()]>().read() };
            assert!(words.iter().all(|&word| word == words[0]), "{words:x?}");
        }
    });
    // Nor does a block that is handed out for the first time, of what an earlier pool left there.
    with_pages(1, |pages| {
        let mut arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::new(&arena, 24).unwrap();
        let blocks = [(); 20].map(|()| pool.allocate().unwrap());
        for block in blocks {
            // SAFETY: it is live, and not used after this.
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

/// A source that uses the pool that asks it: the pool goes on with the run that it has, whose blocks have guards.
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
                // SAFETY: the pool is there, since it asks.
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
        // SAFETY: there are more than three blocks.
        let (first, next) = unsafe { (block.sub(stride(SIZE)), block.add(stride(SIZE))) };
        assert_eq!(found(&pool, next), Misuse::NeverAllocated);
        // SAFETY: they are live, and not used after this.
        assert_eq!(unsafe { (pool.try_deallocate(first), pool.try_deallocate(block)) }, (Ok(()), Ok(())));
    });
}

/// Counting stops at the damage.
#[test]
fn counting_free_blocks_after_a_link_was_overwritten() {
    with_pools(|pool, _| {
        let blocks = [(); 5].map(|()| pool.allocate().unwrap());
        for block in blocks {
            // SAFETY: it is live, and not used after this.
            unsafe { pool.deallocate(block) };
        }
        // SAFETY: the block is there.
        unsafe { blocks[2].cast::<usize>().write(0x41) };
        assert_eq!(pool.free_blocks(), 2);
    });
    with_pages(3, |pages| {
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), hpalloc::size_table![64, 256]);
        let layouts = [40, 40, 200, 200, 200, 1000].map(layout);
        let blocks = layouts.map(|layout| heap.allocate(layout).unwrap());
        for (block, layout) in blocks.into_iter().zip(layouts) {
            // SAFETY: it is live, and not used after this.
            unsafe { heap.deallocate(block, layout) };
        }
        for damaged in [blocks[0], blocks[3], blocks[5]] {
            // SAFETY: the block is there.
            unsafe { damaged.cast::<usize>().write(0x41) };
        }
        let usage = heap.usage();
        assert_eq!((usage.free_blocks, usage.run_pages, usage.free_run_pages), ([1, 1], 1, 0));
        #[cfg(not(target_os = "none"))]
        assert!(heap.to_string().contains("run pages"));
    });
}

/// A page that somebody else has borrowed isn't looked at, so that the borrow is what it was.
#[test]
fn a_page_that_is_lent_is_not_touched() {
    with_pools(|pool, _| {
        let ours = pool.allocate().unwrap();
        let lent = pool.page_source().alloc_page().unwrap().zero();
        let pointer = NonNull::from(&mut *lent).cast::<u8>();
        for offset in [0, 8, 64, stride(SIZE), 4096 - 8] {
            // SAFETY: it is in the page.
            assert_eq!(found(&pool, unsafe { pointer.add(offset) }), Misuse::Foreign);
        }
        lent[64] = 1;
        assert_eq!(lent.iter().map(|&byte| usize::from(byte)).sum::<usize>(), 1);
        // SAFETY: it is live, and not used after this.
        assert_eq!(unsafe { pool.try_deallocate(ours) }, Ok(()));
    });
}

/// To join a family is part of making a pool: one that has allocated keeps recognising its blocks.
#[test]
fn a_used_pool_joins_no_family() {
    with_pools(|pool, other| {
        let block = pool.allocate().unwrap();
        let (pool, other) = (pool.in_family(1), other.in_family(1));
        let theirs = other.allocate().unwrap();
        assert_eq!(found(&pool, theirs), Misuse::Foreign);
        // SAFETY: they are live, and not used after this.
        assert_eq!(unsafe { (pool.try_deallocate(block), other.try_deallocate(theirs)) }, (Ok(()), Ok(())));
    });
}

/// Sources that are nested, lazy, several, or behind a lock, and one that can't tell.
#[test]
fn foreign_blocks_of_all_kinds_of_sources() {
    fn check<P: PageSource>(pool: &FixedBlock<P>, foreign: NonNull<u8>) {
        let block = pool.allocate().unwrap();
        for pointer in [foreign, NonNull::dangling()] {
            assert_eq!(found(pool, pointer), Misuse::Foreign);
        }
        // SAFETY: it is live, and not used after this.
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

/// Where what would be behind a block lies outside of the arena, it isn't looked at.
#[test]
fn the_inside_of_a_block_of_pages() {
    with_pages(2, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 4096).unwrap();
        let block = pool.allocate().unwrap();
        for offset in [8, 4000, 4096, 4096 + 8, 8191] {
            // SAFETY: the block, with what is behind it, has two pages.
            let inside = unsafe { block.add(offset) };
            assert!(matches!(found(&pool, inside), Misuse::NotABlock | Misuse::Foreign), "{offset}");
        }
        // SAFETY: it is live, and not used after this.
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

/// What an earlier pool left in memory does not count for a later one.
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
            // SAFETY: there are so many bytes before the next block.
            let byte = unsafe { block.add(offset) };
            // SAFETY: likewise; it is put back as it was.
            unsafe {
                let before = byte.read();
                byte.write(before ^ 0x10);
                assert_eq!(found(&pool, block), Misuse::Overflow, "{offset}");
                byte.write(before);
                assert_eq!(pool.try_deallocate(block), Ok(()));
            }
            // So that it isn't always the first one of the page.
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
        // SAFETY: it is live, and not used after this.
        unsafe { pool.deallocate(one) };
        assert_eq!(found(&pool, one), Misuse::DoubleFree);
        // SAFETY: there are so many bytes.
        assert_eq!(found(&pool, unsafe { two.add(8) }), Misuse::NotABlock);
        // SAFETY: likewise.
        assert_eq!(found(&pool, unsafe { two.add(stride(40)) }), Misuse::NeverAllocated);
    });
    with_pages(2, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let family = [(); 2].map(|()| FixedBlock::new(&arena, 64).unwrap().in_family(3));
        let other = FixedBlock::new(&arena, 64).unwrap().in_family(4);
        let block = family[0].allocate().unwrap();
        assert_eq!(found(&other, block), Misuse::Foreign);
        // SAFETY: it is of the family, live, and not used after this.
        assert_eq!(unsafe { family[1].try_deallocate(block) }, Ok(()));
        assert_eq!(found(&family[0], block), Misuse::DoubleFree);
        assert_eq!(family[1].allocate(), Some(block));
    });
}

#[test]
fn a_heap_finds_the_same() {
    with_pages(3, |pages| {
        let heap = SizeClasses::with_table(Arena::from_pages(pages).unwrap(), hpalloc::size_table![64, 256]);
        // SAFETY: what isn't in order is an error.
        let found =
            |block, layout| unsafe { heap.try_deallocate(block, layout) }.err().map(|error: MisuseError| error.misuse);
        let [small, large, run] = [40, 200, 1000].map(|size| heap.allocate(layout(size)).unwrap());
        assert_eq!(found(small, layout(200)), Some(Misuse::Foreign));
        assert_eq!(found(large, layout(40)), Some(Misuse::Foreign));
        assert_eq!(found(small, layout(1000)), Some(Misuse::Foreign));
        assert_eq!(found(run, layout(40)), Some(Misuse::Foreign));
        // Layouts that nothing has, or that only memory beyond the arena could have.
        for (size, align) in [(64, 8192), (200 << 20, 4), (300 << 20, 4), (8000, 4096)] {
            assert_eq!(found(small, Layout::from_size_align(size, align).unwrap()), Some(Misuse::Foreign), "{size}");
        }
        // Another size of the same class is the same to it.
        assert_eq!(found(small, layout(50)), None);
        assert_eq!(found(small, layout(40)), Some(Misuse::DoubleFree));
        // SAFETY: the byte behind the run's last is there.
        unsafe { overwrite(run.add(heap.usable_size(layout(1000)))) };
        assert_eq!(found(run, layout(1000)), Some(Misuse::Overflow));
        assert_eq!(found(large, layout(200)), None);
    });
}

/// What is found is a panic, unless the program has another hook.
mod panics {
    use hpalloc::{Pool, PoolBox};

    use super::*;

    #[test]
    #[should_panic(expected = "was freed twice")]
    fn double_free_panics() {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            // SAFETY: it isn't: this is what must not be done.
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
            // SAFETY: it isn't: this is what must not be done.
            unsafe { pool.deallocate(other.allocate().unwrap()) };
        });
    }

    #[test]
    #[should_panic(expected = "is not the start of a block")]
    fn a_pointer_into_a_block_panics() {
        // SAFETY: it isn't: this is what must not be done.
        with_pools(|pool, _| unsafe { pool.deallocate(pool.allocate().unwrap().add(8)) });
    }

    #[test]
    #[should_panic(expected = "was never allocated")]
    fn a_fresh_block_panics() {
        // SAFETY: it isn't: this is what must not be done.
        with_pools(|pool, _| unsafe { pool.deallocate(pool.allocate().unwrap().add(stride(SIZE))) });
    }

    #[test]
    #[should_panic(expected = "was written to past its end")]
    fn an_overflow_panics() {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            // SAFETY: it isn't: this is what must not be done.
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
            // SAFETY: it isn't: this is what must not be done.
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
            // SAFETY: it isn't: this is what must not be done.
            unsafe {
                pool.deallocate(one);
                pool.deallocate(other);
                // As an attacker would who doesn't know the key: the address where the next block is to be.
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
            // SAFETY: it isn't: this is what must not be done.
            unsafe {
                drop(pool.from_raw(raw));
                drop(pool.from_raw(raw));
            }
        });
    }
}
