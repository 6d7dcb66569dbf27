use std::path::Path;
use std::process::Command;

use defmt_decoder::{DecodeError, Table};

use crate::target::{self, Target, succeed};
use crate::{Result, elf};

/// Builds and runs the programs, and checks their output.
pub(crate) fn run() -> Result<()> {
    firmware()?;
    small()?;
    for triple in ["thumbv7em-none-eabihf", "riscv32imac-unknown-none-elf"] {
        heap(triple)?;
    }
    kernel()?;
    wasm()?;
    freestanding()
}

/// Prints the output of a program, in which a line must start with each of `expected`.
fn check(name: &str, lines: &[String], expected: &[&str]) -> Result<()> {
    for line in lines {
        println!("    {line}");
    }
    for start in expected {
        if !lines.iter().any(|line| line.starts_with(start)) {
            return Err(format!("{name} did not print a line that starts with {start:?}").into());
        }
    }
    println!("ok  {name}");
    Ok(())
}

/// Runs the firmware on an emulated Cortex-M4F. It logs through `defmt`.
fn firmware() -> Result<()> {
    let target = target::find("thumbv7em-none-eabihf")?;
    let mut cargo = target.cargo("build")?;
    succeed(cargo.args(["--release", "--manifest-path", "targets/firmware/Cargo.toml"]).env("DEFMT_LOG", "info"))?;
    let program = target.binary("release", "firmware");
    let output = target.run(&program)?;
    let lines = decode(&std::fs::read(program)?, &output.stdout)?;
    if !output.status.success() {
        return Err(format!("firmware failed with {}, after it logged: {lines:#?}", output.status).into());
    }
    check(
        "firmware",
        &lines,
        &[
            "1000000 packets consumed, none lost, 0 put off",
            "peak_blocks: ",
            "FixedBlock { blocks of 64 bytes, ",
            "128 blocks are available",
            "Some(TooSmall { bytes: 1, min: 4 })",
            "the pool is full: no block is free for a value of 64 bytes",
        ],
    )?;
    let peak = lines.iter().find_map(|line| line.strip_prefix("peak_blocks: ")).unwrap_or_default();
    if !(1..128).contains(&peak.parse::<u32>()?) {
        return Err(format!("peak_blocks is {peak}: bursts of 16 packets should not take all 128").into());
    }
    Ok(())
}

/// Decodes a `defmt` log. The texts of its messages are in the program that wrote it.
fn decode(program: &[u8], log: &[u8]) -> Result<Vec<String>> {
    let table = Table::parse(program)?.ok_or("the program has no `defmt` section")?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(log);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(frame.display_message().to_string()),
            // If the program panicked, the message follows as plain text.
            Err(DecodeError::UnexpectedEof | DecodeError::Malformed) => return Ok(lines),
        }
    }
}

/// Checks that a page quotes the lines of a program from `start` to `end` verbatim.
fn quotes(page: &str, program: &str, start: &str, end: &str) -> Result<()> {
    let source = std::fs::read_to_string(program)?;
    let quoted = source.find(start).and_then(|from| Some(&source[from..from + source[from..].find(end)? + end.len()]));
    if quoted.is_some_and(|quoted| std::fs::read_to_string(page).is_ok_and(|page| page.contains(quoted))) {
        return Ok(());
    }
    Err(format!("{page} must quote {program} verbatim: {quoted:?}").into())
}

/// Runs the program `small` on an emulated Cortex-M0 with 16 KiB of RAM. The guide
/// quotes the declaration of its heap verbatim.
fn small() -> Result<()> {
    quotes("src/guide/firmware.md", "targets/small/src/main.rs", "hpalloc::static_heap!", "\n}\n")?;
    let target = target::find("thumbv6m-none-eabi")?;
    target.needs_qemu()?;
    let mut cargo = target.cargo_with_alloc("run")?;
    let output = succeed(cargo.args(["--release", "--manifest-path", "targets/small/Cargo.toml"]))?;
    check("small", &lines(output.stdout)?, &["1000000 operations, with up to ", "all free again: "])
}

/// Runs the program `heap` on an emulated microcontroller, with hpalloc as the global
/// allocator.
fn heap(triple: &str) -> Result<()> {
    let target = target::find(triple)?;
    let mut cargo = target.cargo_with_alloc("build")?;
    succeed(cargo.args(["--release", "--manifest-path", "targets/heap/Cargo.toml"]))?;
    let output = target.run(&target.binary("release", "heap"))?;
    let lines = lines(output.stdout)?;
    if !output.status.success() {
        return Err(format!("heap failed on {triple} with {}, after it printed: {lines:#?}", output.status).into());
    }
    check(
        &format!("heap on {triple}"),
        &lines,
        &[
            "2000 rounds, 12 sensors, in ",
            "round 1999",
            "exhausted after ",
            "50 rounds after it was exhausted",
            "0 bytes used, ",
        ],
    )
}

/// Boots the kernel on an emulated PC.
fn kernel() -> Result<()> {
    let target = target::find("x86_64-hpalloc-kernel")?;
    target.needs_qemu()?;
    let mut cargo = target.cargo_with_alloc("run")?;
    let output = succeed(cargo.args(["--release", "--manifest-path", "targets/kernel/Cargo.toml"]))?;
    check(
        "kernel",
        &lines(output.stdout)?,
        &[
            "free memory: ",
            "64 pages mapped, written, read back and freed, with ",
            "2 cores with 5000 tasks each, in 40 pages of 4096 bytes",
            "3053 processes, 23648 messages, none damaged",
        ],
    )
}

/// Runs the WebAssembly module in Node.js. The guide quotes its page source verbatim.
fn wasm() -> Result<()> {
    quotes(
        "src/guide/hosts.md",
        "targets/wasm/src/main.rs",
        "/// A page source that grows the memory of the module.",
        "Growth::new()));\n",
    )?;
    if !Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Err("node is missing. On Debian: apt-get install -y --no-install-recommends nodejs".into());
    }
    let mut cargo = Target::untested("wasm32-unknown-unknown").cargo_with_alloc("run")?;
    let output = succeed(cargo.args(["--release", "--manifest-path", "targets/wasm/Cargo.toml"]))?;
    check(
        "wasm",
        &lines(output.stdout)?,
        &["200 rounds, in ", "exhausted after 147 parts of 100000 bytes, at ", "0 bytes used, "],
    )
}

/// Runs the freestanding program on this machine, without a C library.
fn freestanding() -> Result<()> {
    let profile = ["--profile", "freestanding", "--manifest-path", "targets/freestanding/Cargo.toml"];
    succeed(Command::new("cargo").args(["build", "--target-dir", "target"]).args(profile))?;
    let path = Path::new("target/freestanding/freestanding");
    let program = elf::read(path)?;
    if program.is_dynamic || !program.undefined.is_empty() {
        return Err(format!(
            "{} must be static without undefined symbols, but is dynamic or needs {:?}",
            path.display(),
            program.undefined
        )
        .into());
    }
    let output = succeed(&mut Command::new(path))?;
    check("freestanding: static, no undefined symbol", &lines(output.stdout)?, &["1000000 blocks allocated and freed"])
}

fn lines(output: Vec<u8>) -> Result<Vec<String>> {
    Ok(String::from_utf8(output)?.lines().map(str::to_owned).collect())
}
