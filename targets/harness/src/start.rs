//! The code from reset to `main`. Each architecture's start code calls the `main` that
//! `entry!` defines.

#[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
use {riscv as _, riscv_rt as _};

/// Handles a fault, such as an access to memory that doesn't exist.
#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    if cfg!(not(feature = "silent")) {
        crate::println!("hard fault: {frame:?}");
    }
    crate::exit(101)
}
#[cfg(target_arch = "arm")]
use {cortex_m as _, cortex_m_rt as _};

/// These machines have one core and never enable interrupts, so all code is a critical
/// section.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod without_interrupts {
    struct Always;

    critical_section::set_impl!(Always);

    // SAFETY: nothing can interrupt the code.
    unsafe impl critical_section::Impl for Always {
        unsafe fn acquire() {}
        unsafe fn release((): ()) {}
    }
}

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".section .text.start, \"ax\"",
    ".global _start",
    "_start:",
    "adrp x0, _stack_top",
    "add x0, x0, :lo12:_stack_top",
    "mov sp, x0",
    // Enables floating point and SIMD, which the compiler uses for copies:
    // CPACR_EL1.FPEN.
    "mov x0, #(3 << 20)",
    "msr CPACR_EL1, x0",
    "isb",
    "bl main",
);

/// The address of the PVH start info, which the loader passes in `ebx`.
#[cfg(target_arch = "x86_64")]
static PVH_START_INFO: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// Returns the address of the boot loader's data for the kernel: `hvm_start_info` of the
/// PVH boot protocol.
#[cfg(target_arch = "x86_64")]
pub fn pvh_start_info() -> usize {
    PVH_START_INFO.load(core::sync::atomic::Ordering::Relaxed) as usize
}

// The PVH boot protocol starts the kernel in 32-bit protected mode, without paging. This
// code maps the first GiB one to one with 2 MiB pages.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    // An ELF note with the address of the 32-bit entry, for the loader:
    // XEN_ELFNOTE_PHYS32_ENTRY.
    ".section .note.pvh, \"a\"",
    ".align 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long _start",
    ".section .text.start, \"ax\"",
    ".code32",
    ".global _start",
    "_start:",
    "mov esp, offset _stack_top",
    "mov [{start_info}], ebx",
    // PML4[0] -> PDPT, PDPT[0] -> PD, PD[i] -> the i-th 2 MiB: present, writable, huge.
    "mov eax, offset boot_pdpt",
    "or eax, 3",
    "mov [boot_pml4], eax",
    "mov eax, offset boot_pd",
    "or eax, 3",
    "mov [boot_pdpt], eax",
    "xor ecx, ecx",
    "2:",
    "mov eax, ecx",
    "shl eax, 21",
    "or eax, 0x83",
    "mov [boot_pd + ecx * 8], eax",
    "inc ecx",
    "cmp ecx, 512",
    "jne 2b",
    "mov eax, offset boot_pml4",
    "mov cr3, eax",
    // CR4.PAE, EFER.LME, CR0.PG.
    "mov eax, cr4",
    "or eax, 1 << 5",
    "mov cr4, eax",
    "mov ecx, 0xC0000080",
    "rdmsr",
    "or eax, 1 << 8",
    "wrmsr",
    "mov eax, cr0",
    "or eax, 1 << 31",
    "mov cr0, eax",
    "lgdt [boot_gdt_pointer]",
    // The jump to 64-bit code must be far. In this syntax the assembler has only the far
    // return.
    "push 8",
    "mov eax, offset start_64",
    "push eax",
    "retf",
    ".code64",
    "start_64:",
    "xor eax, eax",
    "mov ss, ax",
    "mov ds, ax",
    "mov es, ax",
    "call main",
    ".section .rodata.boot, \"a\"",
    ".align 8",
    "boot_gdt:",
    ".quad 0, 0x00AF9A000000FFFF",
    "boot_gdt_pointer:",
    ".word 15",
    ".long boot_gdt",
    ".section .bss.boot, \"aw\", @nobits",
    ".align 4096",
    "boot_pml4: .skip 4096",
    "boot_pdpt: .skip 4096",
    "boot_pd: .skip 4096",
    ".text",
    start_info = sym PVH_START_INFO,
);
