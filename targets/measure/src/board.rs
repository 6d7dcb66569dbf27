//! The memory of the board that the program doesn't lie in.

use core::mem::MaybeUninit;
use core::ptr;
use core::slice;

#[cfg(target_arch = "arm")]
const START: usize = 0x2100_0000;
#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
const START: usize = 0x8100_0000;
#[cfg(target_arch = "aarch64")]
const START: usize = 0x4100_0000;
#[cfg(target_arch = "x86_64")]
const START: usize = 0x0100_0000;

/// Where traces are loaded to.
const TRACES: usize = 8 << 20;
/// What the program notes of blocks.
const TABLES: usize = 4 << 20;
/// The largest heap. The MPS2 boards have 16 MiB there in all.
pub(crate) const MOST: usize = if cfg!(target_arch = "arm") { 4 << 20 } else { 257 << 20 };

pub(crate) struct Board {
    /// What the emulator has loaded there.
    #[allow(dead_code, reason = "not all programs load something")]
    pub(crate) traces: &'static [u32],
    pub(crate) tables: &'static mut [MaybeUninit<u64>],
    pub(crate) heap: &'static mut [MaybeUninit<u8>],
}

impl Board {
    /// # Safety
    ///
    /// It is called once.
    pub(crate) unsafe fn new() -> Self {
        let at = |offset| ptr::with_exposed_provenance_mut::<u8>(START + offset);
        // SAFETY: the board has memory there, which the linker script leaves out: nothing else uses it. It starts as zeros,
        // or as what was loaded.
        unsafe {
            Self {
                traces: slice::from_raw_parts(at(0).cast::<u32>(), TRACES / size_of::<u32>()),
                tables: slice::from_raw_parts_mut(at(TRACES).cast(), TABLES / size_of::<u64>()),
                heap: slice::from_raw_parts_mut(at(TRACES + TABLES).cast(), MOST),
            }
        }
    }
}
