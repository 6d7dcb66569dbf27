//! A Linux program for `x86_64` without libc. It maps memory by raw system calls, divides
//! it into blocks, uses them, and exits.
//!
//! ```sh
//! cargo run --profile freestanding --manifest-path targets/freestanding/Cargo.toml
//! ```

#![no_std]
#![no_main]
// Otherwise the compiler would replace the loop in `memcpy` with a call to `memcpy`.
#![no_builtins]

mod memory;

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};

use hpalloc::{Arena, FixedBlock, MAX_ARENA_SIZE};

// The kernel starts a program with the stack aligned to 16 bytes and without a return
// address.
global_asm!(".global _start", "_start:", "xor ebp, ebp", "call {run}", "ud2", run = sym run);

/// Standard output.
struct Stdout;

impl Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut bytes = text.as_bytes();
        while !bytes.is_empty() {
            // SAFETY: nothing closes standard output.
            let stdout = unsafe { rustix::stdio::stdout() };
            let written = rustix::io::write(stdout, bytes).map_err(|_| fmt::Error)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }
}

fn exit(code: i32) -> ! {
    const EXIT_GROUP: i32 = 231;
    // SAFETY: the system call ends the process.
    unsafe { asm!("syscall", in("eax") EXIT_GROUP, in("edi") code, options(noreturn)) }
}

extern "C" fn run() -> ! {
    let arena = Arena::new(MAX_ARENA_SIZE).expect("256 MiB can be mapped");
    let pool = FixedBlock::new(arena, 64).expect("a block size");
    let mut sum = 0;
    let mut last = None;
    for value in 0..1_000_000_u64 {
        let block = pool.allocate().expect("256 MiB hold four million blocks").cast::<(u64, Option<_>)>();
        // SAFETY: the block has 64 bytes, is aligned to 64 bytes, and is used only here.
        unsafe { block.write((value, last)) };
        last = Some(block.cast::<u8>());
    }
    while let Some(block) = last {
        // SAFETY: the block was written in the loop above. It is read once and then freed
        // once.
        unsafe {
            let (value, next) = block.cast::<(u64, Option<_>)>().read();
            sum += value;
            last = next;
            pool.deallocate(block);
        }
    }
    assert_eq!(sum, (0..1_000_000).sum());
    let mapping_refused = Arena::new(1).unwrap_err();
    let printed = writeln!(Stdout, "{} blocks allocated and freed; {mapping_refused}", pool.peak_blocks());
    drop(pool);
    exit(i32::from(printed.is_err()))
}

#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Stdout, "{info}");
    exit(101)
}

/// The standard library's `core` is built with unwinding and refers to this function,
/// which is never called.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
