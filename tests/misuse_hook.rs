//! Tests that a program with its own hook continues after misuse. It is a single test,
//! because a program has a single hook.
#![cfg(hpalloc_hardened)]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;

use common::{GUARD, RECORD, address, with_pages};
use hpalloc::hardened::{self, Misuse};
use hpalloc::{Arena, Boxed, FixedBlock, Heap, Lazy, Locked, MisuseError, PAGE_SIZE, Pool, PoolBox, SizeClasses, Spin};

static HEAP: Locked<SizeClasses<Lazy<Boxed>>, Spin> =
    Locked::new(SizeClasses::new(Lazy::new(|| Boxed::new(1 << 16).and_then(Arena::from_region))));

static ANY_SIZE: Locked<Heap<Lazy<Boxed>>, Spin> =
    Locked::new(Heap::new(Lazy::new(|| Boxed::new(1 << 16).and_then(Arena::from_region))));

static FOUND: Mutex<Vec<MisuseError>> = Mutex::new(Vec::new());

fn take() -> Vec<Misuse> {
    let found = std::mem::take(&mut *FOUND.lock().unwrap());
    found.into_iter().map(|error| error.misuse).collect()
}

#[test]
#[allow(clippy::too_many_lines, reason = "a program has one hook, so this is one test")]
fn a_program_can_log_and_go_on() {
    assert!(!hardened::set_key(0), "zero is not a valid key");
    assert!(hardened::set_key(0x1357_9BDF));
    assert!(!hardened::set_key(0x2468_ACE0), "the key is already set");
    hardened::set_hook(|error| FOUND.lock().unwrap().push(*error));

    with_pages(16, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::new(&arena, 64).unwrap();
        let blocks: Vec<_> = (0..10).map(|_| pool.allocate().unwrap()).collect();
        // SAFETY: a hardened build reports misuse and otherwise ignores it.
        unsafe {
            for &block in &blocks {
                pool.deallocate(block);
            }
            pool.deallocate(blocks[3]);
            assert_eq!(take(), [Misuse::DoubleFree]);
            assert_eq!(pool.free_blocks(), 10);

            // The last freed block was written to, but its link is intact: the pool skips
            // the block and hands out the one before it.
            blocks[9].add(20).write(0);
            assert_eq!(pool.allocate(), Some(blocks[8]));
            assert_eq!((take(), pool.free_blocks()), (vec![Misuse::WrittenAfterFree], 8));

            // Now the link is overwritten: the pool drops its free list, and carves a
            // fresh block.
            blocks[7].cast::<usize>().write(blocks[2].addr().get());
            let fresh = pool.allocate().unwrap();
            assert!(!blocks.contains(&fresh));
            assert_eq!((take(), pool.free_blocks()), (vec![Misuse::LinkOverwritten], 0));

            // The guard is overwritten: the pool doesn't take the block back, so it is
            // never handed out again.
            fresh.add(64).write(!fresh.add(64).read());
            pool.deallocate(fresh);
            assert_eq!(take(), [Misuse::Overflow]);
            assert_ne!(pool.allocate(), Some(fresh));
        }
        // Three blocks are still live: the one from the free list, the one with the
        // overwritten guard, and the last one.
        drop(pool);
        assert_eq!(take(), [Misuse::Leaked { blocks: 3 }]);

        // The record at the end of a run is overwritten: the blocks of the run can't be
        // freed, and the pool continues with the next run.
        let pool = FixedBlock::new(&arena, 1000).unwrap();
        let first = pool.allocate().unwrap();
        let per_page = pool.blocks_per_page();
        assert!((1..per_page).all(|_| pool.allocate().is_some()));
        // SAFETY: a hardened build reports misuse and otherwise ignores it.
        unsafe {
            first.add(4095).write(!first.add(4095).read());
            pool.deallocate(first);
            assert_eq!((take(), pool.free_blocks()), (vec![Misuse::RecordOverwritten], 0));
            let next = pool.allocate().unwrap();
            assert_eq!(take(), [Misuse::RecordOverwritten]);
            pool.deallocate(next);
            assert_eq!((take(), pool.free_blocks()), (vec![], 1));
            // The pool has dropped the run, but the block isn't reported as foreign.
            pool.deallocate(first);
            assert_eq!(take(), [Misuse::RecordOverwritten]);
        }
        drop(pool);
        assert_eq!(take(), [Misuse::Leaked { blocks: per_page }]);

        // A box that is leaked on purpose isn't reported. A box that became a raw pointer
        // is reported.
        let pool = Pool::<u64, _>::new(&arena);
        let leaked: &mut u64 = PoolBox::leak(pool.alloc(7).unwrap());
        assert_eq!(*leaked, 7);
        drop(pool);
        assert_eq!(take(), []);
        let pool = Pool::<u64, _>::new(&arena);
        let _ = PoolBox::into_raw(pool.alloc(7).unwrap());
        drop(pool);
        assert_eq!(take(), [Misuse::Leaked { blocks: 1 }]);

        // The second of two boxes of one value doesn't drop the value again.
        let pool = Pool::<Rc<()>, _>::new(&arena);
        let value = Rc::new(());
        let raw = PoolBox::into_raw(pool.alloc(value.clone()).unwrap());
        // SAFETY: a hardened build reports misuse and otherwise ignores it.
        unsafe {
            drop(pool.from_raw(raw));
            drop(pool.from_raw(raw));
        }
        assert_eq!((take(), Rc::strong_count(&value)), (vec![Misuse::DoubleFree], 1));
        // A value whose guard was overwritten is still dropped, but its block doesn't
        // return to the pool.
        let pool = Pool::<[Rc<()>; 3], _>::new(&arena);
        let overflown = pool.alloc([(); 3].map(|()| value.clone())).unwrap();
        // SAFETY: the block is followed by its guard.
        unsafe { (&raw const *overflown).cast::<u8>().cast_mut().add(24).write(0) };
        drop(overflown);
        assert_eq!((take(), Rc::strong_count(&value)), (vec![Misuse::Overflow], 1));
        drop(pool);
        assert_eq!(take(), [Misuse::Leaked { blocks: 1 }]);
        let pool = Pool::<Rc<()>, _>::new(&arena);
        let raw = PoolBox::into_raw(pool.alloc(value.clone()).unwrap());
        // SAFETY: the pointer came from a box, and this is its only box.
        drop(unsafe { pool.from_raw(raw) });
        // `into_inner` of a second box has no value to return, so it panics.
        // SAFETY: as above.
        let nothing = catch_unwind(AssertUnwindSafe(|| PoolBox::into_inner(unsafe { pool.from_raw(raw) })));
        assert!(nothing.is_err());
        assert_eq!((take(), pool.blocks().free_blocks()), (vec![Misuse::DoubleFree], 1));

        // Correct use is not reported. Live blocks of a member of a family aren't
        // reported either, because another pool may have freed them.
        let pool = FixedBlock::new(&arena, 64).unwrap();
        let block = pool.allocate().unwrap();
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { pool.deallocate(block) };
        drop(pool);
        let pool = FixedBlock::new(&arena, 64).unwrap().in_family(1);
        pool.allocate().unwrap();
        drop(pool);
        assert_eq!(take(), []);
    });

    // The hook may use the heap that the report is about: the lock is already released.
    hardened::set_hook(|error| {
        assert!(HEAP.with(|heap| heap.peak_blocks().iter().sum::<usize>()) > 0);
        FOUND.lock().unwrap().push(*error);
    });
    let layout = Layout::new::<[u64; 4]>();
    // SAFETY: a hardened build reports misuse and otherwise ignores it.
    unsafe {
        let block = HEAP.alloc(layout);
        HEAP.dealloc(block, layout);
        HEAP.dealloc(block, layout);
        assert_eq!(take(), [Misuse::DoubleFree]);
        block.add(9).write(1);
        assert_ne!(HEAP.alloc(layout), block);
        assert_eq!(take(), [Misuse::WrittenAfterFree]);
    }
    a_heap_of_any_size();
    free_runs_that_were_written_to();
}

/// Checks that a free run is skipped if it, or the record at its end, was written to,
/// when a smaller request needs pages.
fn free_runs_that_were_written_to() {
    hardened::set_hook(|error| FOUND.lock().unwrap().push(*error));
    let run = |pages: usize| Layout::from_size_align(pages * PAGE_SIZE - GUARD - RECORD, 1).unwrap();
    with_pages(13 + 16, |pages| {
        // The page numbers determine through which neighbor a run is found, so fix the
        // position of the arena.
        let skipped = (address(&mut pages[0]) / PAGE_SIZE + 2).wrapping_neg() % 16;
        let arena = Arena::from_pages(&mut pages[skipped..skipped + 13]).unwrap();
        let heap = SizeClasses::with_table(arena, hpalloc::size_table![64]);
        let [two, three, four, last] = [2, 3, 4, 4].map(|pages| heap.allocate(run(pages)).unwrap());
        // SAFETY: a hardened build reports misuse and otherwise ignores it.
        unsafe {
            for (block, pages) in [(two, 2), (three, 3), (four, 4), (last, 4)] {
                heap.deallocate(block, run(pages));
            }
            // The run that would be cut was written to, so the next larger one is cut.
            two.add(100).write(0);
            assert_eq!((heap.allocate(run(1)), take()), (Some(three), vec![Misuse::WrittenAfterFree]));
            assert_eq!(heap.free_run_pages(), 2 + 4 + 4);
            // The record of the run that would be cut is overwritten. The run can't be
            // taken off its list, so another one is cut. The rest of that one becomes a
            // free run.
            assert_eq!((heap.allocate(run(2)), take()), (Some(three.add(PAGE_SIZE)), vec![]));
            let record = last.add(4 * PAGE_SIZE - RECORD);
            record.write(!record.read());
            assert_eq!((heap.allocate(run(3)), take()), (Some(four), vec![Misuse::RecordOverwritten; 2]));
            assert_eq!(heap.free_run_pages(), 1);
            // A class takes the page that is left, and the heap still recognizes the
            // pieces.
            let block = heap.allocate(Layout::new::<u64>());
            assert_eq!((block, take()), (Some(four.add(3 * PAGE_SIZE)), vec![]));
            for (block, pages) in [(three, 1), (three.add(PAGE_SIZE), 2), (four, 3)] {
                heap.deallocate(block, run(pages));
            }
            heap.deallocate(block.unwrap(), Layout::new::<u64>());
            assert_eq!((heap.free_run_pages(), heap.free_blocks(), take()), (6, [1], vec![]));
            // A run that was cut isn't a run any longer.
            heap.deallocate(four, run(4));
            assert_eq!(take(), [Misuse::Foreign]);
        }
    });
    // The two skipped runs were free, so they aren't reported as leaked.
    assert_eq!(take(), []);
}

/// Does the same with a heap for any size. Misuse leaves the block as it was.
fn a_heap_of_any_size() {
    let layout = Layout::new::<[u64; 4]>();
    hardened::set_hook(|error| {
        assert!(ANY_SIZE.with(Heap::used) > 0);
        FOUND.lock().unwrap().push(*error);
    });
    // SAFETY: a hardened build reports misuse and otherwise ignores it.
    unsafe {
        let blocks = [(); 4].map(|()| ANY_SIZE.alloc(layout));
        ANY_SIZE.dealloc(blocks[2], layout);
        let before = ANY_SIZE.with(Heap::usage);
        ANY_SIZE.dealloc(blocks[2], layout);
        assert!(ANY_SIZE.realloc(blocks[2], layout, 100).is_null() && ANY_SIZE.realloc(blocks[2], layout, 9).is_null());
        assert_eq!((take(), ANY_SIZE.with(Heap::usage)), (vec![Misuse::DoubleFree; 3], before));
        // A block doesn't grow into memory that was written to. It stays as it was.
        blocks[2].add(20).write(1);
        blocks[1].write_bytes(7, layout.size());
        assert!(ANY_SIZE.realloc(blocks[1], layout, 2 * layout.size()).is_null());
        assert_eq!((take(), ANY_SIZE.with(Heap::usage)), (vec![Misuse::WrittenAfterFree], before));
        assert!((0..layout.size()).all(|index| blocks[1].add(index).read() == 7));
        // A new block, zeroed or not, is somewhere else. The memory that was written to
        // isn't free any longer.
        let elsewhere = [ANY_SIZE.alloc_zeroed(layout), ANY_SIZE.alloc(layout)];
        assert_eq!(take(), [Misuse::WrittenAfterFree]);
        assert!(elsewhere.iter().all(|block| !block.is_null() && !blocks.contains(block)));
        assert_eq!(ANY_SIZE.with(Heap::used), before.used + 3 * layout.size());
    }
}
