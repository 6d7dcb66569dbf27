//! `OsLock` never allocates, however many threads contend for it: every allocation of this program is counted.
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Barrier;
use std::thread;

use hpalloc::{Acquire, Lock, OsLock};

const THREADS: usize = 8;
const ROUNDS: usize = 5_000;

thread_local! {
    /// What this thread has allocated. It has no destructor, so it allocates nothing itself.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: it is the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: likewise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// What the contending threads have seen.
#[derive(Default)]
struct Seen {
    /// How often the lock was held when one asked for it.
    refused: usize,
    allocations: usize,
}

/// Threads that contend for a lock, in every way to acquire it. Each is preempted while it holds the lock, so that the
/// others have to sleep.
fn contend<M: Acquire + Sync>() -> Seen {
    let lock = M::UNLOCKED;
    let start = Barrier::new(THREADS);
    let run = &|thread: usize| {
        start.wait();
        let before = ALLOCATIONS.get();
        let mut refused = 0;
        for round in 0..ROUNDS {
            match (thread + round) % 4 {
                0 => lock.with(thread::yield_now),
                1 => {
                    lock.acquire();
                    thread::yield_now();
                    // SAFETY: it was acquired on this thread.
                    unsafe { lock.release() };
                }
                2 => refused += usize::from(lock.try_with(thread::yield_now).is_none()),
                _ if lock.try_acquire() => {
                    thread::yield_now();
                    // SAFETY: likewise.
                    unsafe { lock.release() };
                }
                _ => refused += 1,
            }
        }
        Seen { refused, allocations: ALLOCATIONS.get() - before }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(Seen::default(), |sum, seen| Seen {
            refused: sum.refused + seen.refused,
            allocations: sum.allocations + seen.allocations,
        })
    })
}

#[test]
fn threads_that_contend_do_not_allocate() {
    let seen = contend::<OsLock>();
    assert!(seen.refused > ROUNDS / 100, "they did not contend: {} refused", seen.refused);
    assert_eq!(seen.allocations, 0);
}

/// While one thread panics, a mutex looks whether another one does, too. That must not allocate either.
#[test]
fn nor_do_they_while_a_thread_panics() {
    struct Waits<'b>(&'b Barrier);

    impl Drop for Waits<'_> {
        fn drop(&mut self) {
            self.0.wait();
            self.0.wait();
        }
    }

    let panicking = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let unwound = catch_unwind(|| {
                // It panics from one of the waits to the other.
                let _waits = Waits(&panicking);
                resume_unwind(Box::new("a fault"))
            });
            assert!(unwound.is_err());
        });
        panicking.wait();
        let seen = contend::<OsLock>();
        panicking.wait();
        assert_eq!(seen.allocations, 0);
    });
}

/// That the count counts: a lock that allocates a word each time it is acquired, as some do for a thread that waits.
#[test]
fn a_lock_that_allocates_is_detected() {
    struct Allocating(OsLock);

    // SAFETY: it is the other lock.
    unsafe impl Lock for Allocating {
        const UNLOCKED: Self = Self(OsLock::UNLOCKED);

        fn with<R>(&self, f: impl FnOnce() -> R) -> R {
            self.0.with(|| {
                drop(std::hint::black_box(Box::new(7)));
                f()
            })
        }

        fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
            self.0.try_with(f)
        }
    }

    // SAFETY: likewise.
    unsafe impl Acquire for Allocating {
        type Marker = <OsLock as Acquire>::Marker;

        fn acquire(&self) {
            self.0.acquire();
        }

        fn try_acquire(&self) -> bool {
            self.0.try_acquire()
        }

        unsafe fn release(&self) {
            // SAFETY: the caller's promise is the one that is asked for.
            unsafe { self.0.release() };
        }
    }

    assert_eq!(contend::<Allocating>().allocations, THREADS * ROUNDS / 4);
}
