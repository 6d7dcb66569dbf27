//! Tests with a global allocator behind an `OsLock`, in a program that has many threads
//! and forks. Tests that could wait forever run in separate processes, which are killed
//! after a time.
#![cfg(target_os = "linux")]

use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::panic::{catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use hpalloc::{Arena, Heap, Lazy, Locked, LockedGuard, Mapping, OsLock};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

type Memory = Heap<Lazy<Mapping>>;

#[global_allocator]
static HEAP: Locked<Memory, OsLock> = Locked::new(Heap::new(Lazy::new(|| Arena::new(64 << 20))));

// Functions of the C library, which the standard library links.
unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(status: i32) -> !;
    fn pthread_atfork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> i32;
}

/// Runs an ignored test in a separate process, and asserts that it passes within a
/// minute.
fn passes_alone(test: &str) {
    let mut this = Command::new(std::env::current_exe().unwrap());
    this.args(["--exact", "--ignored", "--nocapture", test]);
    let mut child = this.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        sleep(Duration::from_millis(10));
    }
    let waits = child.try_wait().unwrap().is_none();
    if waits {
        child.kill().unwrap();
    }
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(!waits, "{test} did not end within a minute");
    assert!(output.contains("1 passed"), "{output}");
}

#[test]
fn threads_contend_for_the_heap() {
    passes_alone("alone_with_threads");
}

#[test]
fn a_child_allocates_if_the_lock_is_held_over_the_fork() {
    passes_alone("alone_with_forks");
}

#[test]
fn a_child_allocates_if_handlers_hold_the_lock() {
    passes_alone("alone_with_handlers");
}

/// Runs eight threads that allocate all the time, and sometimes panic. Each thread frees
/// the memory that the previous one allocated. The heap writes zeros and moves blocks
/// under the lock, so a thread is often preempted while it holds the lock.
#[test]
#[ignore = "may wait forever; another test runs it in a separate process"]
fn alone_with_threads() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 20_000;

    let (give, take): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel::<Vec<usize>>()).unzip();
    let start = &Barrier::new(THREADS);
    thread::scope(|scope| {
        for (thread, take) in take.into_iter().enumerate() {
            let next = give[(thread + 1) % THREADS].clone();
            scope.spawn(move || {
                let mut texts = BTreeMap::new();
                start.wait();
                for round in 0..ROUNDS {
                    let zeros = black_box(vec![0_u8; round % 5000]);
                    assert!(zeros.iter().all(|&byte| byte == 0));
                    texts.insert(round % 64, format!("{thread}: {round}"));
                    if round % 16 == 0 {
                        // The vector grows and is moved. Sending fails if the next thread
                        // has already ended.
                        let _ = next.send((0..=round % 300).chain([round]).filter(|_| true).collect());
                    }
                    if round % 1000 == 0 {
                        let fault = catch_unwind(|| resume_unwind(Box::new(vec![round; 100]))).unwrap_err();
                        assert_eq!(*fault.downcast::<Vec<usize>>().unwrap(), [round; 100]);
                    }
                    for numbers in take.try_iter() {
                        let (&last, others) = numbers.split_last().unwrap();
                        assert!(others.iter().copied().eq(0..=last % 300));
                    }
                }
                assert!(texts.iter().all(|(&key, text)| {
                    let (of, round) = text.split_once(": ").unwrap();
                    of == thread.to_string() && round.parse::<usize>().unwrap() % 64 == key
                }));
            });
        }
    });
}

/// Forks a hundred times while other threads allocate. Each child allocates.
fn fork_among_threads(mut fork: impl FnMut() -> i32) {
    let done = AtomicBool::new(false);
    let ended = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(black_box(vec![1_u8; 100]));
                }
            });
        }
        let ended = (0..100).all(|_| match fork() {
            // SAFETY: the child ends here. `_exit` runs none of the exit handlers, which
            // are for a process with all of its threads.
            0 => unsafe { _exit(i32::from(allocates())) },
            child => exits_with_one(child),
        });
        done.store(true, Ordering::Relaxed);
        ended
    });
    assert!(ended, "a child waited for the lock forever");
}

fn allocates() -> bool {
    let numbers: Vec<u64> = (0..1000).map(black_box).collect();
    Box::new(numbers.iter().sum::<u64>()) == Box::new(499_500)
}

/// Waits for a child for a few seconds, and then kills it. Returns `true` if it exited
/// with status 1.
fn exits_with_one(child: i32) -> bool {
    let child = Pid::from_raw(child).expect("a process");
    for _ in 0..5_000 {
        if let Some((_, status)) = waitpid(Some(child), WaitOptions::NOHANG).unwrap() {
            return status.exit_status() == Some(1);
        }
        sleep(Duration::from_millis(1));
    }
    kill_process(child, Signal::KILL).unwrap();
    waitpid(Some(child), WaitOptions::empty()).unwrap();
    false
}

#[test]
#[ignore = "may wait forever; another test runs it in a separate process"]
fn alone_with_forks() {
    // SAFETY: the child only allocates, and the thread that continues in it holds the
    // heap's lock during the fork.
    fork_among_threads(|| HEAP.with(|_| unsafe { fork() }));
}

/// A program whose libraries fork: its fork handlers acquire and release the lock.
#[test]
#[ignore = "may wait forever; another test runs it in a separate process"]
fn alone_with_handlers() {
    /// The guard of the heap while the process forks.
    struct Held(UnsafeCell<Option<LockedGuard<'static, Memory, OsLock>>>);

    // SAFETY: only the thread that forks uses it, and it holds the lock.
    unsafe impl Sync for Held {}

    static HELD: Held = Held(UnsafeCell::new(None));

    extern "C" fn prepare() {
        let guard = HEAP.lock();
        // SAFETY: this thread holds the lock.
        unsafe { *HELD.0.get() = Some(guard) };
    }

    extern "C" fn release() {
        // SAFETY: this thread holds the lock until the guard is dropped.
        let guard = unsafe { (*HELD.0.get()).take() };
        drop(guard);
    }

    // SAFETY: the handlers don't allocate, and don't wait except for the lock.
    assert_eq!(unsafe { pthread_atfork(prepare, release, release) }, 0);
    // SAFETY: the child only allocates, and the thread that continues in it holds the
    // heap's lock during the fork.
    fork_among_threads(|| unsafe { fork() });
}
