//! Tests with a fault in the user's code (a source, a lock, a constructor, a destructor)
//! at every point where one can happen. Afterwards no block is lost, none was handed out
//! twice, and everything still works.

mod common;

use std::alloc::Layout;
use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{bytes, with_pages};
use hpalloc::{
    Arena, ArenaError, BlockSize, Borrowed, Boxed, FixedBlock, Lazy, Locked, Page, PageSource, Pool, PoolBox,
    SizeClasses, Spin,
};

/// A source that counts its calls. One of them either fails or panics.
struct Faulty<'a> {
    pages: &'a Arena<Borrowed<'a>>,
    calls: Cell<usize>,
    /// The number of the faulty call.
    fault: usize,
    panics: bool,
}

impl<'a> Faulty<'a> {
    fn new(pages: &'a Arena<Borrowed<'a>>, fault: usize, panics: bool) -> Self {
        Self { pages, calls: Cell::new(0), fault, panics }
    }
}

// SAFETY: the pages are those of the arena.
unsafe impl PageSource for Faulty<'_> {
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() != self.fault {
            return self.pages.take_pages(count);
        }
        if self.panics { resume_unwind(Box::new("a fault")) } else { None }
    }
}

/// Marsaglia, *Xorshift RNGs*, 2003.
fn next(state: &mut u32) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    (*state >> 8) as usize
}

/// Live blocks, each filled with a stamp.
#[derive(Default)]
struct Live {
    blocks: Vec<(NonNull<u8>, usize, u8)>,
    stamp: u8,
}

impl Live {
    fn add(&mut self, block: NonNull<u8>, size: usize) {
        self.stamp = self.stamp.wrapping_add(1);
        // SAFETY: the block is large enough, and nothing else should use it. If something
        // does, the stamps reveal it.
        unsafe { block.write_bytes(self.stamp, size) };
        self.blocks.push((block, size, self.stamp));
    }

    fn take(&mut self, choice: usize) -> Option<(NonNull<u8>, usize)> {
        let index = choice.checked_rem(self.blocks.len())?;
        let (block, size, stamp) = self.blocks.swap_remove(index);
        // SAFETY: all bytes of the block were written.
        let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), size) };
        // Compare the block as a whole: for Miri, that is as fast as comparing a single
        // byte.
        assert!(bytes == vec![stamp; size], "a live block was overwritten");
        Some((block, size))
    }
}

/// The number of operations in a sequence.
const OPERATIONS: usize = if cfg!(miri) { 60 } else { 300 };

/// Runs the sequence with a fault at each call of the source in turn, for both kinds of
/// faults.
fn at_every_call(sequence: impl Fn(&Faulty<'_>)) {
    for panics in [false, true] {
        for fault in 1.. {
            let calls = with_pages(16, |pages| {
                let arena = Arena::from_pages(pages).unwrap();
                let source = Faulty::new(&arena, fault, panics);
                sequence(&source);
                source.calls.get()
            });
            if calls < fault {
                assert!(fault > 5, "the sequence calls the source too rarely");
                break;
            }
        }
    }
}

/// Returns the result of an operation, or `None` if it panicked.
fn survived<T>(operation: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(operation)).ok().flatten()
}

#[test]
fn a_pool_goes_on_after_a_fault_of_its_source_at_any_call() {
    at_every_call(|source| {
        let pool = FixedBlock::new(source, 1000).unwrap();
        let (mut live, mut random, mut failures) = (Live::default(), 7, 0);
        for _ in 0..OPERATIONS {
            if next(&mut random) % 3 > 0 && live.blocks.len() < 40 {
                match survived(|| pool.allocate()) {
                    Some(block) => live.add(block, 1000),
                    None => failures += 1,
                }
            } else if let Some((block, _)) = live.take(next(&mut random)) {
                // SAFETY: the block is live and isn't used afterwards.
                unsafe { pool.deallocate(block) };
            }
        }
        assert_eq!(failures, usize::from(source.calls.get() >= source.fault), "exactly one request must fail");
        while let Some((block, _)) = live.take(0) {
            // SAFETY: as above.
            unsafe { pool.deallocate(block) };
        }
        assert_eq!(pool.free_blocks(), pool.peak_blocks());
    });
}

#[test]
fn a_heap_goes_on_after_a_fault_of_its_source_at_any_call() {
    let sizes = hpalloc::size_table![64, 256, 1000];
    let layout = |size| Layout::from_size_align(size, 8).unwrap();
    at_every_call(|source| {
        let heap = SizeClasses::with_table(source, sizes);
        let (mut live, mut random, mut failures, mut expected) = (Live::default(), 7, 0, 0);
        for _ in 0..OPERATIONS {
            // Each request needs at most one page. If the source has none, a free run
            // serves the request.
            let (has_run, had_fault) = (heap.free_run_pages() > 0, source.calls.get() >= source.fault);
            let size = [64, 200, 1000, 3000][next(&mut random) % 4];
            if next(&mut random) % 3 > 0 && live.blocks.len() < 12 {
                match survived(|| heap.allocate(layout(size))) {
                    Some(block) => live.add(block, size),
                    None => failures += 1,
                }
            } else if let Some((block, old)) = live.take(next(&mut random)) {
                // SAFETY: the block is live and has this layout.
                let grown = survived(|| unsafe { heap.grow(block, layout(old), layout(old.max(size))) });
                failures += usize::from(grown.is_none());
                live.add(grown.unwrap_or(block), if grown.is_some() { old.max(size) } else { old });
                if let Some((block, size)) = live.take(next(&mut random)) {
                    // SAFETY: the block is live and isn't used afterwards.
                    unsafe { heap.deallocate(block, layout(size)) };
                }
            }
            let is_first = !had_fault && source.calls.get() >= source.fault;
            expected += usize::from(is_first && (source.panics || !has_run));
            assert_eq!(failures, expected, "exactly one request must fail");
        }
        while let Some((block, size)) = live.take(0) {
            // SAFETY: as above.
            unsafe { heap.deallocate(block, layout(size)) };
        }
        assert_eq!(heap.free_blocks(), heap.peak_blocks());
        assert_eq!(heap.run_pages(), heap.free_run_pages());
    });
}

/// A pool whose values panic when they are created or dropped.
#[test]
fn a_pool_of_values_goes_on_after_a_panic_in_any_of_them() {
    struct Value {
        number: usize,
        panics: bool,
    }

    impl Drop for Value {
        fn drop(&mut self) {
            if self.panics {
                resume_unwind(Box::new("a fault"));
            }
        }
    }

    for fault in 0..20 {
        let mut pages = [const { Page::new() }; 1];
        let pool = Pool::<Value, _>::new(Arena::from_pages(&mut pages).unwrap());
        let mut boxes = Vec::new();
        for number in 0..10 {
            let made = survived(|| {
                pool.alloc_with(|| {
                    if number == fault {
                        resume_unwind(Box::new("a fault"));
                    }
                    Value { number, panics: number + 10 == fault }
                })
            });
            assert_eq!(made.is_none(), number == fault);
            boxes.extend(made);
        }
        let numbers: HashSet<usize> = boxes.iter().map(|value| value.number).collect();
        assert_eq!(numbers.len(), boxes.len());
        for value in boxes {
            let panics = value.panics;
            let dropped = survived(|| {
                drop(value);
                Some(())
            });
            assert_eq!(dropped.is_none(), panics);
        }
        assert_eq!(pool.blocks().free_blocks(), pool.blocks().peak_blocks());
        // `into_inner` moves the value out and frees its block before the caller drops
        // the value, which panics here.
        let value = pool.alloc(Value { number: 0, panics: true }).ok().unwrap();
        let taken = survived(|| {
            drop(PoolBox::into_inner(value));
            Some(())
        });
        assert!(taken.is_none());
        assert_eq!(pool.blocks().free_blocks(), pool.blocks().peak_blocks());
    }
}

#[test]
fn a_lazy_arena_whose_maker_panics_is_made_at_the_next_call() {
    static PANICS: AtomicBool = AtomicBool::new(true);
    let pool = FixedBlock::new(
        Lazy::new(|| {
            if PANICS.swap(false, Ordering::Relaxed) {
                resume_unwind(Box::new("a fault"));
            }
            Boxed::new(4096).and_then(Arena::from_region)
        }),
        64,
    )
    .unwrap();
    assert!(survived(|| pool.allocate()).is_none());
    assert!(survived(|| pool.allocate()).is_some());
    assert_eq!(pool.peak_blocks(), 1);
}

/// A thread that panics while it holds the lock releases it. It loses at most the blocks
/// that it leaked.
#[test]
fn threads_that_die_with_the_lock_leave_it_open() {
    const ROUNDS: usize = if cfg!(miri) { 20 } else { 500 };
    let pool: Locked<_, Spin> =
        Locked::new(Pool::<[usize; 8], _>::new(Arena::from_region(Boxed::new(16 * 4096).unwrap()).unwrap()));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0.. {
                        let value = pool.alloc([number; 8]).unwrap();
                        assert_eq!(*value, [number; 8]);
                        if round < ROUNDS {
                            continue;
                        }
                        if number % 2 == 0 {
                            std::mem::forget(value);
                            let _guard = pool.lock();
                            resume_unwind(Box::new("a fault"));
                        }
                        // The box returns its block while the thread unwinds.
                        resume_unwind(Box::new("a fault"));
                    }
                })
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().is_err()));
    });
    assert!(survived(|| pool.with(|_| -> Option<()> { resume_unwind(Box::new("a fault")) })).is_none());
    pool.with(|pool| {
        let live = pool.blocks().peak_blocks() - pool.blocks().free_blocks();
        assert_eq!(live, 4, "only the leaked blocks may be live");
    });
    assert!(pool.alloc([9; 8]).is_ok());
}

/// A source that allocates from the very pool that is calling it.
#[test]
fn a_source_that_uses_its_pool_hands_out_nothing_twice() {
    thread_local! {
        static POOL: FixedBlock<Reentrant> = const {
            FixedBlock::with_block_size(Reentrant(Cell::new(false)), BlockSize::of::<[u64; 64]>())
        };
        static ARENA: Arena<Boxed> = Arena::from_region(Boxed::new(64 * 4096).unwrap()).unwrap();
        static SEEN: Cell<Vec<NonNull<u8>>> = const { Cell::new(Vec::new()) };
    }

    struct Reentrant(Cell<bool>);

    // SAFETY: the pages are those of the arena, which exists as long as the thread.
    unsafe impl PageSource for Reentrant {
        fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
            if !self.0.replace(true) {
                let block = POOL.with(FixedBlock::allocate);
                SEEN.with(|seen| seen.set(seen.take().into_iter().chain(block).collect()));
                self.0.set(false);
            }
            ARENA.with(|arena| arena.take_pages(count))
        }
    }

    let mut seen: Vec<_> = (0..100).filter_map(|_| POOL.with(FixedBlock::allocate)).collect();
    seen.extend(SEEN.with(Cell::take));
    let distinct: HashSet<_> = seen.iter().collect();
    assert_eq!((distinct.len(), seen.len() > 100), (seen.len(), true));
}

/// If the creation of an arena or a pool fails, the memory is untouched and the borrow
/// ends.
#[test]
fn what_is_refused_was_not_touched() {
    with_pages(2, |pages| {
        let memory = bytes(pages);
        assert!(matches!(Arena::from_uninit(&mut memory[1..]), Err(ArenaError::InvalidSize { .. })));
        assert!(FixedBlock::from_uninit(&mut memory[..63], 64).is_err());
        assert!(Pool::<[u64; 2000], _>::from_uninit(memory).is_err());
        // SAFETY: the pages were filled before the test.
        assert!(memory.iter().all(|byte| unsafe { byte.assume_init() } == common::RUBBISH));
    });
}

/// A lock that panics instead of acquiring.
#[test]
fn a_lock_that_panics_leaves_all_as_it_was() {
    static FAULT: AtomicBool = AtomicBool::new(false);

    struct Faulty;

    // SAFETY: only one thread uses the lock.
    unsafe impl hpalloc::Lock for Faulty {
        const UNLOCKED: Self = Self;

        fn with<R>(&self, f: impl FnOnce() -> R) -> R {
            if FAULT.swap(false, Ordering::Relaxed) {
                resume_unwind(Box::new("a fault"));
            }
            f()
        }

        fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
            Some(self.with(f))
        }
    }

    let fails = |operation: &dyn Fn()| {
        FAULT.store(true, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(operation)).is_err());
    };
    let pool: Locked<_, Faulty> =
        Locked::new(Pool::<[u8; 64], _>::new(Arena::from_region(Boxed::new(4096).unwrap()).unwrap()));
    fails(&|| drop(pool.alloc([0; 64])));
    let first = pool.alloc([1; 64]).unwrap();
    // A box that can't return its block loses that block, and nothing else.
    fails(&|| {
        FAULT.store(false, Ordering::Relaxed);
        let lost = pool.alloc([2; 64]);
        FAULT.store(true, Ordering::Relaxed);
        drop(lost);
    });
    drop(pool.alloc([3; 64]).unwrap());
    assert_eq!(*first, [1; 64]);
    assert_eq!(pool.with(|pool| (pool.blocks().peak_blocks(), pool.blocks().free_blocks())), (3, 1));
}

/// Misuse in a hardened build, which panics unless the program has set a hook.
#[cfg(hpalloc_hardened)]
#[test]
fn misuse_that_panics_leaves_all_as_it_was() {
    with_pages(2, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 64).unwrap();
        let [one, other] = [(); 2].map(|()| pool.allocate().unwrap());
        // SAFETY: a hardened pool panics on misuse and otherwise ignores it.
        unsafe {
            pool.deallocate(one);
            for wrong in [one, other.add(8)] {
                assert!(catch_unwind(AssertUnwindSafe(|| pool.deallocate(wrong))).is_err());
            }
            one.add(20).write(0);
        }
        assert!(survived(|| pool.allocate()).is_none(), "the block that was written to must not be handed out");
        assert_ne!(pool.allocate(), Some(one));
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { pool.deallocate(other) };
        assert_eq!(pool.allocate(), Some(other));
    });
}

/// A static buffer that is claimed a second time before the arena over it exists.
#[cfg(feature = "static-buffer")]
#[test]
fn a_static_buffer_that_is_claimed_during_its_claim() {
    hpalloc::static_buffer! { static BUFFER: StaticBuffer<1>; }
    let pool = FixedBlock::new(
        Lazy::new(|| {
            let region = BUFFER.claim()?;
            assert_eq!(BUFFER.claim().unwrap_err(), ArenaError::AlreadyClaimed { available: 4096 });
            Arena::from_region(region)
        }),
        64,
    )
    .unwrap();
    assert!(pool.allocate().is_some() && BUFFER.claim().is_err());
    drop(pool);
    assert!(BUFFER.claim().is_ok());
}
