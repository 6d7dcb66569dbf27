//! A hook of the program's own, and what goes on after it returns. In one test, because there is one hook.
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
#[allow(clippy::too_many_lines, reason = "the hook is set once, for one test")]
fn a_program_can_log_and_go_on() {
    assert!(!hardened::set_key(0), "no key");
    assert!(hardened::set_key(0x1357_9BDF));
    assert!(!hardened::set_key(0x2468_ACE0), "there is one");
    hardened::set_hook(|error| FOUND.lock().unwrap().push(*error));

    with_pages(16, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::new(&arena, 64).unwrap();
        let blocks: Vec<_> = (0..10).map(|_| pool.allocate().unwrap()).collect();
        // SAFETY: what isn't in order is reported, and without effect.
        unsafe {
            for &block in &blocks {
                pool.deallocate(block);
            }
            pool.deallocate(blocks[3]);
            assert_eq!(take(), [Misuse::DoubleFree]);
            assert_eq!(pool.free_blocks(), 10);

            // The last one freed is damaged, but not its link: it is left out, and those before it are there still.
            blocks[9].add(20).write(0);
            assert_eq!(pool.allocate(), Some(blocks[8]));
            assert_eq!((take(), pool.free_blocks()), (vec![Misuse::WrittenAfterFree], 8));

            // Now the link: the list can't be trusted, and fresh blocks take its place.
            blocks[7].cast::<usize>().write(blocks[2].addr().get());
            let fresh = pool.allocate().unwrap();
            assert!(!blocks.contains(&fresh));
            assert_eq!((take(), pool.free_blocks()), (vec![Misuse::LinkOverwritten], 0));

            // A damaged end: the block isn't taken back, so nobody gets it.
            fresh.add(64).write(!fresh.add(64).read());
            pool.deallocate(fresh);
            assert_eq!(take(), [Misuse::Overflow]);
            assert_ne!(pool.allocate(), Some(fresh));
        }
        // Live are the one of the list, the damaged one, and the last.
        drop(pool);
        assert_eq!(take(), [Misuse::Leaked { blocks: 3 }]);

        // The record at the end of a run is overwritten: what is in the run can't be freed, and the next run is found again.
        let pool = FixedBlock::new(&arena, 1000).unwrap();
        let first = pool.allocate().unwrap();
        let per_page = pool.blocks_per_page();
        assert!((1..per_page).all(|_| pool.allocate().is_some()));
        // SAFETY: what isn't in order is reported, and without effect.
        unsafe {
            first.add(4095).write(!first.add(4095).read());
            pool.deallocate(first);
            assert_eq!((take(), pool.free_blocks()), (vec![Misuse::RecordOverwritten], 0));
            let next = pool.allocate().unwrap();
            assert_eq!(take(), [Misuse::RecordOverwritten]);
            pool.deallocate(next);
            assert_eq!((take(), pool.free_blocks()), (vec![], 1));
            // Its run was forgotten, and it isn't said to be somebody else's.
            pool.deallocate(first);
            assert_eq!(take(), [Misuse::RecordOverwritten]);
        }
        drop(pool);
        assert_eq!(take(), [Misuse::Leaked { blocks: per_page }]);

        // A box that is leaked on purpose isn't missed; one that was given out as a pointer is.
        let pool = Pool::<u64, _>::new(&arena);
        let leaked: &mut u64 = PoolBox::leak(pool.alloc(7).unwrap());
        assert_eq!(*leaked, 7);
        drop(pool);
        assert_eq!(take(), []);
        let pool = Pool::<u64, _>::new(&arena);
        let _ = PoolBox::into_raw(pool.alloc(7).unwrap());
        drop(pool);
        assert_eq!(take(), [Misuse::Leaked { blocks: 1 }]);

        // The second of two boxes of one value: its value isn't dropped again.
        let pool = Pool::<Rc<()>, _>::new(&arena);
        let value = Rc::new(());
        let raw = PoolBox::into_raw(pool.alloc(value.clone()).unwrap());
        // SAFETY: what isn't in order is reported, and without effect.
        unsafe {
            drop(pool.from_raw(raw));
            drop(pool.from_raw(raw));
        }
        assert_eq!((take(), Rc::strong_count(&value)), (vec![Misuse::DoubleFree], 1));
        // A value that was written to past its end is there, and is dropped; its block isn't taken back.
        let pool = Pool::<[Rc<()>; 3], _>::new(&arena);
        let overflown = pool.alloc([(); 3].map(|()| value.clone())).unwrap();
        // SAFETY: the guard is there.
        unsafe { (&raw const *overflown).cast::<u8>().cast_mut().add(24).write(0) };
        drop(overflown);
        assert_eq!((take(), Rc::strong_count(&value)), (vec![Misuse::Overflow], 1));
        drop(pool);
        assert_eq!(take(), [Misuse::Leaked { blocks: 1 }]);
        let pool = Pool::<Rc<()>, _>::new(&arena);
        let raw = PoolBox::into_raw(pool.alloc(value.clone()).unwrap());
        // SAFETY: it came from a box, of which this is the only one.
        drop(unsafe { pool.from_raw(raw) });
        // And there is none that could be returned.
        // SAFETY: likewise.
        let nothing = catch_unwind(AssertUnwindSafe(|| PoolBox::into_inner(unsafe { pool.from_raw(raw) })));
        assert!(nothing.is_err());
        assert_eq!((take(), pool.blocks().free_blocks()), (vec![Misuse::DoubleFree], 1));

        // In order, nothing is said; not of a family either, whose blocks may be elsewhere.
        let pool = FixedBlock::new(&arena, 64).unwrap();
        let block = pool.allocate().unwrap();
        // SAFETY: it is live, and not used after this.
        unsafe { pool.deallocate(block) };
        drop(pool);
        let pool = FixedBlock::new(&arena, 64).unwrap().in_family(1);
        pool.allocate().unwrap();
        drop(pool);
        assert_eq!(take(), []);
    });

    // The hook may use the heap that it is told of: the lock is open again.
    hardened::set_hook(|error| {
        assert!(HEAP.with(|heap| heap.peak_blocks().iter().sum::<usize>()) > 0);
        FOUND.lock().unwrap().push(*error);
    });
    let layout = Layout::new::<[u64; 4]>();
    // SAFETY: what isn't in order is reported, and without effect.
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

/// A free run, or the record at its end, that was written to is left out when a smaller request needs it.
fn free_runs_that_were_written_to() {
    hardened::set_hook(|error| FOUND.lock().unwrap().push(*error));
    let run = |pages: usize| Layout::from_size_align(pages * PAGE_SIZE - GUARD - RECORD, 1).unwrap();
    with_pages(13 + 16, |pages| {
        // Which run is found by way of which other depends on the numbers of their pages.
        let skipped = (address(&mut pages[0]) / PAGE_SIZE + 2).wrapping_neg() % 16;
        let arena = Arena::from_pages(&mut pages[skipped..skipped + 13]).unwrap();
        let heap = SizeClasses::with_table(arena, hpalloc::size_table![64]);
        let [two, three, four, last] = [2, 3, 4, 4].map(|pages| heap.allocate(run(pages)).unwrap());
        // SAFETY: what isn't in order is reported, and without effect.
        unsafe {
            for (block, pages) in [(two, 2), (three, 3), (four, 4), (last, 4)] {
                heap.deallocate(block, run(pages));
            }
            // The run that would be cut isn't as it was freed: the next larger one is.
            two.add(100).write(0);
            assert_eq!((heap.allocate(run(1)), take()), (Some(three), vec![Misuse::WrittenAfterFree]));
            assert_eq!(heap.free_run_pages(), 2 + 4 + 4);
            // The record of the next one that is cut: it can't be taken out of the runs, and another one is cut. What is cut off
            // from that takes its place among the runs.
            assert_eq!((heap.allocate(run(2)), take()), (Some(three.add(PAGE_SIZE)), vec![]));
            let record = last.add(4 * PAGE_SIZE - RECORD);
            record.write(!record.read());
            assert_eq!((heap.allocate(run(3)), take()), (Some(four), vec![Misuse::RecordOverwritten; 2]));
            assert_eq!(heap.free_run_pages(), 1);
            // A class gets the page that is left, and what is cut off is known.
            let block = heap.allocate(Layout::new::<u64>());
            assert_eq!((block, take()), (Some(four.add(3 * PAGE_SIZE)), vec![]));
            for (block, pages) in [(three, 1), (three.add(PAGE_SIZE), 2), (four, 3)] {
                heap.deallocate(block, run(pages));
            }
            heap.deallocate(block.unwrap(), Layout::new::<u64>());
            assert_eq!((heap.free_run_pages(), heap.free_blocks(), take()), (6, [1], vec![]));
            // A run that was cut isn't one any more.
            heap.deallocate(four, run(4));
            assert_eq!(take(), [Misuse::Foreign]);
        }
    });
    // The two that were left out were free, and nobody misses them.
    assert_eq!(take(), []);
}

/// The same for a heap of blocks of any size: what is misused stays as it was.
fn a_heap_of_any_size() {
    let layout = Layout::new::<[u64; 4]>();
    hardened::set_hook(|error| {
        assert!(ANY_SIZE.with(Heap::used) > 0);
        FOUND.lock().unwrap().push(*error);
    });
    // SAFETY: what isn't in order is reported, and without effect.
    unsafe {
        let blocks = [(); 4].map(|()| ANY_SIZE.alloc(layout));
        ANY_SIZE.dealloc(blocks[2], layout);
        let before = ANY_SIZE.with(Heap::usage);
        ANY_SIZE.dealloc(blocks[2], layout);
        assert!(ANY_SIZE.realloc(blocks[2], layout, 100).is_null() && ANY_SIZE.realloc(blocks[2], layout, 9).is_null());
        assert_eq!((take(), ANY_SIZE.with(Heap::usage)), (vec![Misuse::DoubleFree; 3], before));
        // A block doesn't grow into memory that was written to, and stays as it was.
        blocks[2].add(20).write(1);
        blocks[1].write_bytes(7, layout.size());
        assert!(ANY_SIZE.realloc(blocks[1], layout, 2 * layout.size()).is_null());
        assert_eq!((take(), ANY_SIZE.with(Heap::usage)), (vec![Misuse::WrittenAfterFree], before));
        assert!((0..layout.size()).all(|index| blocks[1].add(index).read() == 7));
        // A new block is elsewhere, also one of zeros. The memory that was written to isn't free any more.
        let elsewhere = [ANY_SIZE.alloc_zeroed(layout), ANY_SIZE.alloc(layout)];
        assert_eq!(take(), [Misuse::WrittenAfterFree]);
        assert!(elsewhere.iter().all(|block| !block.is_null() && !blocks.contains(block)));
        assert_eq!(ANY_SIZE.with(Heap::used), before.used + 3 * layout.size());
    }
}
