//! Tests that a program whose global allocator has little memory ends with a message
//! after a double free. The panic and its backtrace allocate as well, and those
//! allocations may fail.
#![cfg(hpalloc_hardened)]

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use hpalloc::{Arena, Lazy, Locked, Mapping, SizeClasses, Spin};

const SIGABRT: i32 = 6;

#[global_allocator]
static HEAP: Locked<SizeClasses<Lazy<Mapping>>, Spin> =
    Locked::new(SizeClasses::new(Lazy::new(|| Arena::new(1 << 20))));

#[test]
fn misuse_of_a_small_heap_ends_the_program() {
    let mut this = Command::new(std::env::current_exe().unwrap());
    this.args(["--exact", "--ignored", "--nocapture", "double_free"]).env("RUST_BACKTRACE", "0");
    let mut child = this.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    // The program ends immediately, except on a busy machine.
    for _ in 0..600 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    // Kill the program in case it waits forever.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("was freed twice"), "{text}");
    assert_eq!(output.status.signal(), Some(SIGABRT), "{text}");
}

#[test]
#[ignore = "dies on purpose; another test runs it in a separate process"]
fn double_free() {
    // SAFETY: not upheld. This is the misuse under test, and it ends the process.
    unsafe {
        // Without `black_box`, an optimizing compiler may remove all three calls.
        let block = black_box(alloc(Layout::new::<u64>()));
        dealloc(block, Layout::new::<u64>());
        dealloc(block, Layout::new::<u64>());
    }
}
