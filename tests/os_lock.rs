//! Tests that `OsLock` never allocates, however many threads contend for it. Every
//! allocation of this program is counted.
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
    /// The number of allocations of this thread. It has no destructor, so accessing it
    /// doesn't allocate.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// The observations of the contending threads.
#[derive(Default)]
struct Seen {
    /// The number of attempts that failed because the lock was held.
    refused: usize,
    allocations: usize,
}

/// Runs threads that contend for a lock, in every way to acquire it. Each is preempted
/// while it holds the lock, so that the others must sleep.
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
                    // SAFETY: this thread acquired the lock.
                    unsafe { lock.release() };
                }
                2 => refused += usize::from(lock.try_with(thread::yield_now).is_none()),
                _ if lock.try_acquire() => {
                    thread::yield_now();
                    // SAFETY: as above.
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
    assert!(seen.refused > ROUNDS / 100, "the threads did not contend: only {} attempts were refused", seen.refused);
    assert_eq!(seen.allocations, 0);
}

/// While any thread panics, a mutex of the standard library checks whether its own thread
/// does. That must not allocate either.
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
                // This thread is panicking from the first wait to the second.
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

/// Checks the counter itself, with a lock that allocates a word in each call of `with`.
/// Some locks allocate for each waiting thread.
#[test]
fn a_lock_that_allocates_is_detected() {
    struct Allocating(OsLock);

    // SAFETY: each call is passed on to `OsLock`.
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

    // SAFETY: as above.
    unsafe impl Acquire for Allocating {
        type Marker = <OsLock as Acquire>::Marker;

        fn acquire(&self) {
            self.0.acquire();
        }

        fn try_acquire(&self) -> bool {
            self.0.try_acquire()
        }

        unsafe fn release(&self) {
            // SAFETY: the caller upholds the same contract.
            unsafe { self.0.release() };
        }
    }

    assert_eq!(contend::<Allocating>().allocations, THREADS * ROUNDS / 4);
}
