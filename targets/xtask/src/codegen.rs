use capstone::arch::{BuildsCapstone, arm, x86};
use capstone::{Capstone, Insn};

use crate::Result;
use crate::report::{SIZE_CLASSES, build, build_footprint};
use crate::target::{self, TARGETS, Target};

/// A function, and the highest number of instructions of each path through it, including
/// the return.
struct Limits {
    function: &'static str,
    /// The limits of the paths that return, in ascending order.
    paths: &'static [usize],
}

/// The hot path of one of hpalloc's allocators in the program `footprint`.
struct HotPath {
    /// The feature of `footprint` that selects the allocator.
    allocator: &'static str,
    /// The functions, besides the refill, to which the hot path jumps at its end.
    out_of_line: &'static [&'static str],
    functions: [Limits; 3],
}

/// The functions for requests that are not small, or for which the page source has no
/// page. A symbol contains the length of the name, which excludes longer names with the
/// same ending.
const OTHER: [&str; 3] = ["14allocate_other", "15give_back_other", "take_from_free_run"];

// `allocate` has two paths: a block from the free list, and a fresh block. It jumps to
// the refill, which is another function with two paths: without a page and with one. The
// refill of `SizeClasses` has no path that returns without a page, because it jumps to
// another function.

const X86_64: [HotPath; 2] = [
    HotPath {
        allocator: "hpalloc",
        out_of_line: &[],
        functions: [
            Limits { function: "footprint_allocate", paths: &[6, 10] },
            Limits { function: "refill", paths: &[12, 22] },
            Limits { function: "footprint_deallocate", paths: &[4] },
        ],
    },
    HotPath {
        allocator: "size_classes",
        out_of_line: &OTHER,
        functions: [
            Limits { function: "footprint_allocate", paths: &[20, 24] },
            Limits { function: "refill", paths: &[24] },
            Limits { function: "footprint_deallocate", paths: &[15] },
        ],
    },
];

const THUMBV7M: [HotPath; 2] = [
    HotPath {
        allocator: "hpalloc",
        out_of_line: &[],
        functions: [
            Limits { function: "footprint_allocate", paths: &[9, 16] },
            Limits { function: "refill", paths: &[13, 26] },
            Limits { function: "footprint_deallocate", paths: &[6] },
        ],
    },
    HotPath {
        allocator: "size_classes",
        out_of_line: &OTHER,
        functions: [
            Limits { function: "footprint_allocate", paths: &[21, 25] },
            Limits { function: "refill", paths: &[28] },
            Limits { function: "footprint_deallocate", paths: &[18] },
        ],
    },
];

/// Checks the machine code of `allocate`, its refill from an arena, and `deallocate`, for
/// a `FixedBlock` and for small requests of `SizeClasses`.
///
/// They must have no backward branch, no atomic operation, no division, and no more
/// instructions than the limits above. They must not call functions. They may only jump
/// to the refill, or to the functions that serve other requests.
pub(crate) fn run() -> Result<()> {
    let x86 = Capstone::new().x86().mode(x86::ArchMode::Mode64).build()?;
    let thumb = Capstone::new().arm().mode(arm::ArchMode::Thumb).build()?;
    for path in &X86_64 {
        check("x86_64-hpalloc-kernel", &x86, path)?;
    }
    for path in &THUMBV7M {
        check("thumbv7m-none-eabi", &thumb, path)?;
    }
    for target in &TARGETS {
        no_panic(target)?;
    }
    Ok(())
}

/// Checks that a program that calls every function contains no panic, in a release build
/// and in the smallest build.
fn no_panic(target: &Target) -> Result<()> {
    const PROGRAM: &str = "every_function";
    for profile in ["release", "footprint"] {
        let program = build(target, PROGRAM, "silent", profile, false)?;
        let panics = |name: &str| name.contains("panic") || name.contains("unwrap") || name.contains("expect");
        if let Some(function) = program.functions.iter().find(|function| panics(&function.name)) {
            return Err(format!("{}: {PROGRAM}, profile {profile}, contains {}", target.triple, function.name).into());
        }
        println!("ok  {}: {PROGRAM}, profile {profile}, cannot panic", target.triple);
    }
    Ok(())
}

fn check(triple: &str, disassembler: &Capstone, path: &HotPath) -> Result<()> {
    let target = target::find(triple)?;
    let allocator = path.allocator;
    let program = build_footprint(target, &format!("{allocator},silent"), "release", false)?;
    let refill = program.function("refill")?.address;
    let mut ends = vec![refill];
    for name in path.out_of_line {
        ends.push(program.function(name)?.address);
    }
    for limit in &path.functions {
        let function = program.function(limit.function)?;
        let code = disassembler.disasm_all(&function.code, function.address)?;
        let wrong = |what: &str| format!("{triple}: {allocator}: {} {what}:\n{code}", limit.function);

        let mut lengths = Vec::new();
        follow(&code, &ends, 0, 0, &mut lengths).map_err(|what| wrong(&what))?;
        lengths.sort_unstable();
        if lengths.len() != limit.paths.len() || lengths.iter().zip(limit.paths).any(|(length, most)| length > most) {
            return Err(
                wrong(&format!("has paths of {lengths:?} instructions; the limits are {:?}", limit.paths)).into()
            );
        }
        println!("ok  {triple}: {allocator}: {} takes {lengths:?} instructions", limit.function);
    }
    // The rest of the allocator, which is not on the hot path.
    let belongs = |name: &str| name.contains("refill") || SIZE_CLASSES.iter().any(|part| name.contains(part));
    for function in program.functions.iter().filter(|function| belongs(&function.name)) {
        let code = disassembler.disasm_all(&function.code, function.address)?;
        let wrong = |what: &str| format!("{triple}: {allocator}: {} {what}:\n{code}", function.name);
        if code.iter().map(|instruction| instruction.bytes().len()).sum::<usize>() < function.code.len() {
            return Err(wrong("contains code that cannot be disassembled").into());
        }
        for instruction in code.iter() {
            let mnemonic = instruction.mnemonic().unwrap_or_default();
            if is_atomic(mnemonic, instruction) || mnemonic.contains("div") {
                return Err(wrong(&format!("has a {mnemonic}")).into());
            }
        }
    }
    Ok(())
}

fn is_atomic(mnemonic: &str, instruction: &Insn<'_>) -> bool {
    let memory = instruction.op_str().is_some_and(|operands| operands.contains('['));
    ["lock", "cmpxchg", "ldrex", "strex", "dmb", "mfence"].iter().any(|atomic| mnemonic.starts_with(atomic))
        || (mnemonic == "xchg" && memory)
}

/// Follows all paths from the instruction at `index` to a return or to one of `ends`, and
/// adds the length of each path that returns. `taken` is the number of instructions
/// before `index`.
///
/// # Errors
///
/// If a path calls, branches backward or leaves the function.
fn follow(
    code: &[Insn<'_>],
    ends: &[u64],
    mut index: usize,
    mut taken: usize,
    lengths: &mut Vec<usize>,
) -> std::result::Result<(), String> {
    loop {
        let Some(instruction) = code.get(index) else { return Err("runs past its end".to_owned()) };
        let (mnemonic, operands) =
            (instruction.mnemonic().unwrap_or_default(), instruction.op_str().unwrap_or_default());
        taken += 1;
        index += 1;
        match flow(mnemonic, operands) {
            Flow::On => {}
            Flow::Return { always } => {
                lengths.push(taken);
                if always {
                    return Ok(());
                }
            }
            Flow::Call => return Err(format!("calls: {mnemonic} {operands}")),
            Flow::Jump { to, always } => {
                if ends.contains(&to) {
                    if always {
                        return Ok(());
                    }
                } else if to <= instruction.address() {
                    return Err(format!("has a backward branch: {mnemonic} {operands}"));
                } else {
                    let Some(there) = code.iter().position(|instruction| instruction.address() == to) else {
                        return Err(format!("jumps out of itself: {mnemonic} {operands}"));
                    };
                    if always {
                        index = there;
                    } else {
                        follow(code, ends, there, taken, lengths)?;
                    }
                }
            }
        }
    }
}

/// The conditions of an Arm branch.
const CONDITIONS: [&str; 16] =
    ["eq", "ne", "hs", "cs", "lo", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"];

/// The flow of control after an instruction.
enum Flow {
    On,
    Return { always: bool },
    Call,
    Jump { to: u64, always: bool },
}

fn flow(mnemonic: &str, operands: &str) -> Flow {
    // The last operand of a branch is its target.
    let to =
        operands.rsplit([' ', '#']).next().and_then(|to| u64::from_str_radix(to.trim_start_matches("0x"), 16).ok());
    let (base, _) = mnemonic.split_once('.').unwrap_or((mnemonic, ""));
    match (base, to) {
        ("ret", _) => Flow::Return { always: true },
        ("call" | "bl" | "blx" | "svc" | "syscall", _) => Flow::Call,
        ("jmp" | "b", Some(to)) => Flow::Jump { to, always: true },
        ("cbz" | "cbnz", Some(to)) => Flow::Jump { to, always: false },
        (jump, Some(to))
            if jump.starts_with('j') || jump.strip_prefix('b').is_some_and(|on| CONDITIONS.contains(&on)) =>
        {
            Flow::Jump { to, always: false }
        }
        (jump, _) if jump.starts_with('j') => Flow::Call,
        (pop, _) if pop.starts_with("pop") && operands.contains("pc") => Flow::Return { always: pop == "pop" },
        ("bx", _) if operands == "lr" => Flow::Return { always: true },
        ("bx" | "tbb" | "tbh", _) => Flow::Call,
        (branch, _) if branch.starts_with("bx") && operands == "lr" => Flow::Return { always: false },
        _ => Flow::On,
    }
}
