//! The memory of the board that the linker script leaves unused.

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

/// The size of the memory to which the emulator loads traces.
const TRACES: usize = 8 << 20;
/// The size of the tables in which the programs store data about blocks.
const TABLES: usize = 4 << 20;
/// The size of the largest heap. The MPS2 boards have 16 MiB there in total.
pub(crate) const MOST: usize = if cfg!(target_arch = "arm") { 4 << 20 } else { 257 << 20 };

pub(crate) struct Board {
    /// The data that the emulator loaded, if any.
    #[allow(dead_code, reason = "not all programs load traces")]
    pub(crate) traces: &'static [u32],
    pub(crate) tables: &'static mut [MaybeUninit<u64>],
    pub(crate) heap: &'static mut [MaybeUninit<u8>],
}

impl Board {
    /// # Safety
    ///
    /// It is called at most once.
    pub(crate) unsafe fn new() -> Self {
        let at = |offset| ptr::with_exposed_provenance_mut::<u8>(START + offset);
        // SAFETY: the board has memory there that the linker script leaves unused, so
        // nothing else uses it. It initially contains zeros or the loaded data.
        unsafe {
            Self {
                traces: slice::from_raw_parts(at(0).cast::<u32>(), TRACES / size_of::<u32>()),
                tables: slice::from_raw_parts_mut(at(TRACES).cast(), TABLES / size_of::<u64>()),
                heap: slice::from_raw_parts_mut(at(TRACES + TABLES).cast(), MOST),
            }
        }
    }
}
