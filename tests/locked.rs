//! Tests of pools and arenas behind locks, shared by threads.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;

use hpalloc::{
    Arena, BlockSize, Boxed, CriticalSection, FixedBlock, Lazy, Lock, Locked, LockedBox, LockedGuard, Pool, PoolBox,
    PoolFull, RawLock, Spin,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

/// The number of operations of all threads of a test together.
const OPERATIONS: u32 = if cfg!(miri) { 2000 } else { 2_000_000 };
/// The number of pages that the threads share.
const PAGES: usize = if cfg!(miri) { 2 } else { 64 };

/// A value that can be checked for damage: each half determines the other.
#[derive(Debug)]
struct Value([u32; 8]);

impl Value {
    fn new(seed: u32) -> Self {
        Self([seed, !seed, seed ^ 0x5A5A, !seed ^ 0x5A5A, seed, !seed, seed ^ 0x5A5A, !seed ^ 0x5A5A])
    }

    fn check(&self) {
        assert_eq!(self.0, Self::new(self.0[0]).0);
    }
}

type Memory = Lazy<Boxed>;

const fn pool<M: Lock>() -> Locked<Pool<Value, Memory>, M> {
    Locked::new(Pool::new(Lazy::new(|| Boxed::new(PAGES * 4096).and_then(Arena::from_region))))
}

/// Runs threads that allocate, check, keep, pass on and drop values, with less memory
/// than they request.
fn hammer<M: Lock + Sync>(threads: u32, pool: &'static Locked<Pool<Value, Memory>, M>) {
    let start = Barrier::new(threads as usize);
    thread::scope(|scope| {
        let (give, take): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| mpsc::channel::<LockedBox<'static, Value, Memory, M>>()).unzip();
        for (index, take) in (0_u32..).zip(take) {
            let (next, start) = (give[(index as usize + 1) % give.len()].clone(), &start);
            scope.spawn(move || {
                start.wait();
                let mut kept: Vec<LockedBox<'static, Value, Memory, M>> = Vec::new();
                let mut random = index.wrapping_mul(0x9E37_79B9) | 1;
                let mut refused = 0;
                for _ in 0..OPERATIONS / threads {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    match random % 4 {
                        0 | 1 => match pool.alloc(Value::new(random)) {
                            Ok(value) => kept.push(value),
                            Err(PoolFull(value)) => {
                                value.check();
                                refused += 1;
                                kept.truncate(kept.len() / 2);
                            }
                        },
                        2 => drop(kept.pop().inspect(|value| value.check())),
                        _ => {
                            if let Some(value) = kept.pop() {
                                let _ = next.send(value);
                            }
                            // Values from another thread are checked and dropped here.
                            for value in take.try_iter() {
                                value.check();
                            }
                        }
                    }
                }
                for value in &kept {
                    value.check();
                }
                refused
            });
        }
    });
    // All blocks have returned: the number of free blocks is the largest number that were
    // ever live at the same time, and all of them can be allocated again.
    pool.with(|pool| {
        let (free, peak) = (pool.blocks().free_blocks(), pool.blocks().peak_blocks());
        assert_eq!(free, peak);
        let capacity = PAGES * pool.blocks().blocks_per_page();
        assert!(peak <= capacity);
        let all: Vec<_> = (0..).map_while(|seed| pool.alloc(Value::new(seed)).ok()).collect();
        assert_eq!(all.len(), capacity);
        for value in &all {
            value.check();
        }
    });
}

#[test]
fn threads_share_a_pool_behind_a_spin_lock() {
    static POOLS: [Locked<Pool<Value, Memory>, Spin>; 3] = [const { pool() }; 3];
    for (threads, pool) in [2, 4, 8].into_iter().zip(&POOLS) {
        hammer(threads, pool);
    }
}

#[test]
fn threads_share_a_pool_behind_a_critical_section() {
    static POOL: Locked<Pool<Value, Memory>, CriticalSection> = pool();
    hammer(4, &POOL);
}

/// A user's lock with the interface of `lock_api`.
struct Own(AtomicBool);

// SAFETY: only one thread at a time can set the flag.
unsafe impl lock_api::RawMutex for Own {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        while !self.try_lock() {
            thread::yield_now();
        }
    }

    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

// The thread that acquired this lock must release it.
assert_not_impl_any!(LockedGuard<'static, u8, RawLock<Own>>: Send);
// Any thread may release this one.
assert_impl_all!(LockedGuard<'static, u8, Spin>: Send, Sync);
assert_not_impl_any!(LockedGuard<'static, Pool<Value, Memory>, Spin>: Send, Sync);

#[test]
fn threads_share_a_pool_behind_a_lock_of_their_own() {
    static POOL: Locked<Pool<Value, Memory>, RawLock<Own>> = pool();
    hammer(3, &POOL);
}

// SAFETY: as for `RawMutex`.
unsafe impl Lock for Own {
    const UNLOCKED: Self = <Self as lock_api::RawMutex>::INIT;

    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        lock_api::RawMutex::lock(self);
        let result = f();
        // SAFETY: the lock was acquired above.
        unsafe { lock_api::RawMutex::unlock(self) };
        result
    }

    fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        lock_api::RawMutex::try_lock(self).then(|| {
            let result = f();
            // SAFETY: the lock was acquired above.
            unsafe { lock_api::RawMutex::unlock(self) };
            result
        })
    }
}

/// A type can implement both `RawMutex` and `Lock`, with any features.
#[test]
fn a_raw_mutex_can_be_a_lock_of_its_own() {
    static POOL: Locked<Pool<Value, Memory>, Own> = pool();
    hammer(2, &POOL);
}

/// Freeing a block doesn't lock the source, so it doesn't wait for a thread that holds
/// that lock.
#[test]
fn a_box_can_be_dropped_while_the_arena_is_locked() {
    let arena: Locked<_, Spin> = Locked::new(Arena::from_region(Boxed::new(4 * 4096).unwrap()).unwrap());
    let pool = Pool::new(&arena);
    let (one, other) = (pool.alloc(String::from("one")).unwrap(), pool.alloc(String::from("other")).unwrap());
    let guard = arena.lock();
    drop(one);
    assert_eq!(PoolBox::into_inner(other), "other");
    assert!(pool.alloc(String::from("a free block")).is_ok());
    drop(guard);
    assert_eq!(pool.blocks().free_blocks(), 2);
}

/// Leaking a box doesn't lock the pool either.
#[test]
fn a_box_can_be_leaked_while_the_pool_is_locked() {
    let pool: Locked<_, Spin> = Locked::new(Pool::new(Arena::from_region(Boxed::new(4096).unwrap()).unwrap()));
    let number = pool.alloc(7).unwrap();
    let guard = pool.lock();
    assert_eq!(*PoolBox::leak(number), 7);
    drop(guard);
}

/// A user's lock that can be held only for the time of a call.
struct Calling(Mutex<()>);

// SAFETY: the mutex is held while `f` runs.
unsafe impl Lock for Calling {
    const UNLOCKED: Self = Self(Mutex::new(()));

    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        f()
    }

    fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let _guard = self.0.try_lock().ok()?;
        Some(f())
    }
}

#[test]
fn threads_share_a_pool_behind_a_lock_that_calls() {
    static POOL: Locked<Pool<Value, Memory>, Calling> = pool();
    hammer(2, &POOL);
}

/// `try_with` doesn't wait for another thread. It releases the lock afterwards, even if
/// the closure panics.
#[test]
fn try_with_never_waits() {
    fn check<M: Lock + Sync>() {
        let seven: Locked<_, M> = Locked::new(7);
        let another_thread = || {
            let refused = || seven.try_with(|_| unreachable!("called while the lock is held"));
            thread::scope(|scope| scope.spawn(refused).join().unwrap())
        };
        assert_eq!(seven.with(|_| another_thread()), None::<()>);
        assert_eq!(seven.try_with(|_| another_thread()), Some(None));
        assert_eq!(seven.with(|seven| *seven), 7);
    }

    fn check_panic<M: Lock>() {
        let seven: Locked<_, M> = Locked::new(7);
        let panics = || seven.try_with(|_| -> u32 { resume_unwind(Box::new("a fault")) });
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(seven.try_with(|seven| *seven), Some(7));
    }

    check::<Spin>();
    check::<RawLock<Own>>();
    check::<Own>();
    check::<Calling>();
    check_panic::<Spin>();
    check_panic::<RawLock<Own>>();
    check_panic::<CriticalSection>();
    #[cfg(target_os = "linux")]
    {
        check::<hpalloc::OsLock>();
        check_panic::<hpalloc::OsLock>();
    }
}

#[test]
fn a_critical_section_is_never_refused() {
    let seven: Locked<_, CriticalSection> = Locked::new(7);
    assert_eq!(seven.with(|_| seven.try_with(|_| seven.try_with(|seven| *seven))), Some(Some(7)));
}

/// Tests of `OsLock`, on a target that has it.
#[cfg(target_os = "linux")]
mod os_lock {
    use std::mem;

    use hpalloc::{Acquire, OsLock};

    use super::*;

    // The thread that acquired a mutex of the standard library must release it.
    assert_impl_all!(OsLock: Send, Sync);
    assert_impl_all!(LockedGuard<'static, u8, OsLock>: Sync);
    assert_not_impl_any!(LockedGuard<'static, u8, OsLock>: Send);

    #[test]
    fn threads_share_a_pool_behind_an_os_lock() {
        static POOLS: [Locked<Pool<Value, Memory>, OsLock>; 2] = [const { pool() }; 2];
        for (threads, pool) in [2, 8].into_iter().zip(&POOLS) {
            hammer(threads, pool);
        }
    }

    /// Guards and calls exclude each other, so incrementing a count that isn't atomic
    /// loses nothing.
    #[test]
    fn guards_exclude_calls() {
        const ROUNDS: u32 = OPERATIONS / 1000;
        static COUNT: Locked<Cell<u32>, OsLock> = Locked::new(Cell::new(0));

        let add = |count: &Cell<u32>| {
            let before = count.get();
            thread::yield_now();
            count.set(before + 1);
        };
        thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        match (thread + round) % 4 {
                            0 => COUNT.with(add),
                            1 => {
                                while COUNT.try_with(add).is_none() {
                                    thread::yield_now();
                                }
                            }
                            2 => add(&COUNT.lock()),
                            _ => loop {
                                if let Some(count) = COUNT.try_lock() {
                                    break add(&count);
                                }
                                thread::yield_now();
                            },
                        }
                    }
                });
            }
        });
        assert_eq!(COUNT.with(Cell::get), 8 * ROUNDS);
    }

    #[test]
    fn a_holder_is_refused_instead_of_waiting_for_itself() {
        let seven: Locked<_, OsLock> = Locked::new(7);
        let guard = seven.lock();
        assert_eq!(seven.try_with(|seven| *seven), None);
        assert!(seven.try_lock().is_none());
        drop(guard);
        assert!(seven.with(|_| seven.try_lock().is_none()));
        assert_eq!(seven.try_lock().as_deref(), Some(&7));
    }

    /// A panic under the lock doesn't poison it, however it was acquired.
    #[test]
    fn a_panic_does_not_poison() {
        let seven: Locked<_, OsLock> = Locked::new(7);
        let fault = || -> u32 { resume_unwind(Box::new("a fault")) };
        let with = || seven.with(|_| fault());
        let guard = || {
            let _guard = seven.lock();
            fault()
        };
        let try_guard = || {
            let _guard = seven.try_lock().unwrap();
            fault()
        };
        let holders: [&dyn Fn() -> u32; 3] = [&with, &guard, &try_guard];
        for holder in holders {
            assert!(catch_unwind(AssertUnwindSafe(holder)).is_err());
            assert_eq!(seven.with(|seven| *seven), 7);
            assert_eq!(seven.try_with(|seven| *seven), Some(7));
            assert_eq!(*seven.lock(), 7);
            assert_eq!(seven.try_lock().as_deref(), Some(&7));
        }
    }

    /// The lock of a forgotten guard stays held, even if it is moved and its old memory
    /// is used for another lock.
    #[test]
    fn a_lock_whose_guard_was_forgotten_can_be_moved() {
        let mut seven = Box::new(Locked::<_, OsLock>::new(7));
        mem::forget(seven.lock());
        let moved = mem::replace(&mut *seven, Locked::new(8));
        assert_eq!(moved.try_with(|seven| *seven), None);
        assert!(moved.try_lock().is_none());
        let moved = thread::spawn(move || moved).join().unwrap();
        assert_eq!(*seven.lock(), 8);
        assert_eq!(moved.into_inner(), 7);
        assert_eq!(*seven.lock(), 8);
    }

    /// Uses the functions of the trait, without a `Locked`.
    #[test]
    fn it_is_acquired_and_released() {
        let lock = OsLock::UNLOCKED;
        for _ in 0..3 {
            lock.acquire();
            assert!(!lock.try_acquire());
            assert_eq!(lock.try_with(|| ()), None);
            // SAFETY: this thread acquired the lock.
            unsafe { lock.release() };
            assert!(lock.try_acquire());
            // SAFETY: as above.
            unsafe { lock.release() };
            assert_eq!(lock.with(|| 7), 7);
        }
    }
}

/// Each thread has a pool over one arena, and frees blocks of the other threads to its
/// own pool.
#[test]
fn pools_of_threads_share_an_arena_and_free_each_others_blocks() {
    const THREADS: u32 = 4;
    static ARENA: Locked<Lazy<Boxed>, Spin> =
        Locked::new(Lazy::new(|| Boxed::new(PAGES * 4096).and_then(Arena::from_region)));
    const SIZE: BlockSize = BlockSize::of::<Value>();

    /// The only owner of a block.
    struct Owner(core::ptr::NonNull<Value>);
    // SAFETY: the block is reachable only through this value.
    unsafe impl Send for Owner {}

    // This must be a lock that ThreadSanitizer understands.
    let (on_the_way, start) = (spin::Mutex::new(Vec::new()), Barrier::new(THREADS as usize));
    let counts: Vec<(usize, usize)> = thread::scope(|scope| {
        let (on_the_way, start) = (&on_the_way, &start);
        let run = move |index: u32| {
            let pool = FixedBlock::with_block_size(&ARENA, SIZE).in_family(1);
            start.wait();
            for seed in 0..OPERATIONS / THREADS {
                if let Some(block) = pool.allocate() {
                    let block = block.cast::<Value>();
                    // SAFETY: the block is new, and has the size and alignment of a
                    // `Value`.
                    unsafe { block.write(Value::new(seed.rotate_left(8) ^ index)) };
                    on_the_way.lock().push(Owner(block));
                }
                // Free a block of any thread, but leave some to pile up.
                let taken = if seed % 5 == 0 { None } else { on_the_way.lock().pop() };
                if let Some(Owner(block)) = taken {
                    // SAFETY: the block holds a value and came from a pool of the same
                    // family, with the same block size and arena. It isn't used
                    // afterwards.
                    unsafe {
                        block.read().check();
                        pool.deallocate(block.cast());
                    }
                }
            }
            (pool.peak_blocks(), pool.free_blocks())
        };
        let threads: Vec<_> = (0..THREADS).map(|index| scope.spawn(move || run(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // Each carved block is either in a free list or still in `on_the_way`.
    let carved: usize = counts.iter().map(|counts| counts.0).sum();
    let found: usize = counts.iter().map(|counts| counts.1).sum();
    assert_eq!(carved, found + on_the_way.into_inner().len(), "{counts:?}");
    // No block is counted twice, and the threads allocated until the arena was exhausted.
    assert!(carved <= PAGES * SIZE.blocks_per_page(), "{counts:?}");
    assert_eq!(ARENA.with(|lazy| lazy.arena().unwrap().pages_remaining()), 0);
}

#[test]
fn a_box_outlives_the_thread_that_made_it() {
    static POOL: Locked<Pool<Value, Memory>, Spin> = pool();
    let value = thread::spawn(|| POOL.alloc(Value::new(7)).unwrap()).join().unwrap();
    value.check();
    let pinned = PoolBox::into_pin(value);
    assert_eq!(pinned.0[0], 7);
    drop(pinned);
    assert_eq!(POOL.with(|pool| pool.blocks().free_blocks()), 1);
}

#[test]
fn a_panic_under_the_lock_gives_it_back() {
    static POOL: Locked<Pool<Value, Memory>, Spin> = pool();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    assert!(thread::spawn(|| POOL.with(|_| panic!("under the lock"))).join().is_err());
    assert!(thread::spawn(|| POOL.alloc_with(|| panic!("in a constructor")).map(drop)).join().is_err());
    std::panic::set_hook(hook);
    assert_eq!(POOL.with(|pool| (pool.blocks().free_blocks(), pool.blocks().peak_blocks())), (1, 1));
}

#[test]
fn a_guard_has_the_lock_until_it_is_dropped() {
    let pool: Locked<_, Spin> = Locked::new(Pool::new(Arena::from_region(Boxed::new(4096).unwrap()).unwrap()));
    let guard = pool.lock();
    let one = guard.alloc(1).unwrap();
    assert!(pool.try_lock().is_none());
    drop(one);
    drop(guard);
    assert_eq!(pool.try_lock().unwrap().blocks().free_blocks(), 1);
}

#[test]
fn critical_sections_can_be_nested() {
    static POOL: Locked<Pool<Value, Memory>, CriticalSection> = pool();
    let sum = POOL.with(|pool| {
        let value = POOL.alloc(Value::new(1)).unwrap();
        pool.alloc(Value::new(2)).unwrap().0[0] + value.0[0]
    });
    assert_eq!(sum, 3);
    assert_eq!(POOL.with(|pool| pool.blocks().free_blocks()), 2);
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn whoever_has_it_alone_can_reset_the_arena() {
    let mut arena: Locked<_, Spin> = Locked::new(Arena::from_region(Boxed::new(2 * 4096).unwrap()).unwrap());
    let pool = FixedBlock::new(&arena, 4096).unwrap();
    assert!(pool.allocate().is_some() && pool.allocate().is_some() && pool.allocate().is_none());
    arena.get_mut().reset();
    assert_eq!(arena.into_inner().pages_remaining(), 2);
}
