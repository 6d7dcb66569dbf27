//! A program with a global allocator of little memory, which frees a block twice: it ends, with a message. (A panic and its
//! backtrace allocate too, and may not find the memory for it.)
#![cfg(hpalloc_hardened)]

use std::alloc::{Layout, alloc, dealloc};
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
    // It takes no time, but for a machine that is busy.
    for _ in 0..600 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    // Where it waits forever.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("was freed twice"), "{text}");
    assert_eq!(output.status.signal(), Some(SIGABRT), "{text}");
}

#[test]
#[ignore = "dies; another test runs it in a process of its own"]
fn double_free() {
    // SAFETY: this is what must not be done. It is done in a process that it ends.
    unsafe {
        let block = alloc(Layout::new::<u64>());
        dealloc(block, Layout::new::<u64>());
        dealloc(block, Layout::new::<u64>());
    }
}
