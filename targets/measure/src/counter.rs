//! The machine's instruction counter, under QEMU's `-icount`.

/// Defines functions that return immediately, to measure the overhead of measuring.
macro_rules! function_of_one_instruction {
    ($(fn $name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {$(
        #[unsafe(naked)]
        unsafe extern "C" fn $name($(_: $argument),*) $(-> $result)? {
            #[cfg(target_arch = "arm")]
            core::arch::naked_asm!("bx lr");
            #[cfg(not(target_arch = "arm"))]
            core::arch::naked_asm!("ret");
        }
    )*};
}

/// A timer of the MPS2 boards, which counts down at 25 MHz. With `-icount shift=8` an
/// instruction lasts 256 ns.
#[cfg(target_arch = "arm")]
mod machine {
    const CONTROL: *mut u32 = core::ptr::without_provenance_mut(0x4000_0000);
    const VALUE: *mut u32 = core::ptr::without_provenance_mut(0x4000_0004);
    const RELOAD: *mut u32 = core::ptr::without_provenance_mut(0x4000_0008);

    pub(crate) fn start() {
        // SAFETY: these are the timer's registers, which nothing else uses.
        unsafe {
            RELOAD.write_volatile(u32::MAX);
            VALUE.write_volatile(u32::MAX);
            CONTROL.write_volatile(1);
        }
    }

    pub(crate) fn read() -> u32 {
        // SAFETY: reading the timer changes nothing.
        unsafe { VALUE.read_volatile() }
    }

    /// An instruction lasts 6.4 ticks.
    pub(crate) fn instructions(start: u32, end: u32) -> u32 {
        (start.wrapping_sub(end) * 10 + 32) / 64
    }
}

#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
mod machine {
    pub(crate) fn start() {}

    pub(crate) fn read() -> u32 {
        let count: usize;
        // SAFETY: reading the counter changes nothing.
        unsafe { core::arch::asm!("csrr {}, minstret", out(reg) count, options(nostack)) };
        count as u32
    }

    pub(crate) fn instructions(start: u32, end: u32) -> u32 {
        end.wrapping_sub(start)
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    /// Configures event counter 0 to count event 8: instructions.
    pub(crate) fn start() {
        // SAFETY: nothing else uses the counter.
        unsafe {
            core::arch::asm!(
                "msr PMEVTYPER0_EL0, {event}",
                "msr PMCNTENSET_EL0, {one}",
                "msr PMCR_EL0, {one}",
                "isb",
                event = in(reg) 8_u64,
                one = in(reg) 1_u64,
                options(nostack),
            );
        }
    }

    pub(crate) fn read() -> u32 {
        let count: u64;
        // SAFETY: reading the counter changes nothing.
        unsafe { core::arch::asm!("mrs {}, PMEVCNTR0_EL0", out(reg) count, options(nostack)) };
        count as u32
    }

    pub(crate) fn instructions(start: u32, end: u32) -> u32 {
        end.wrapping_sub(start)
    }
}

/// With `-icount shift=0` an instruction lasts one nanosecond, and the time stamp counter
/// counts nanoseconds.
#[cfg(target_arch = "x86_64")]
mod machine {
    pub(crate) fn start() {}

    pub(crate) fn read() -> u32 {
        // SAFETY: reading the counter changes nothing.
        unsafe { core::arch::x86_64::_rdtsc() as u32 }
    }

    pub(crate) fn instructions(start: u32, end: u32) -> u32 {
        end.wrapping_sub(start)
    }
}

pub(crate) use function_of_one_instruction;
pub(crate) use machine::{instructions, read, start};
