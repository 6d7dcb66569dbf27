use std::time::Instant;

use crate::Result;
use crate::target::{self, TARGETS, Target, succeed};

/// What is tested, with which features: all that needs no global allocator, and what brings one along.
const TESTS: [&[&str]; 2] = [
    &["--tests", "--features", "critical-section,static-buffer"],
    &["--test", "shared_pools", "--features", "critical-section,alloc"],
];
/// The target whose memory the tests with misuse detected don't fit.
const SMALLEST: &str = "thumbv6m-none-eabi";

/// Runs the tests on the targets of these names, or on all, and prints a line for each.
pub(crate) fn run(triples: &[String]) -> Result<()> {
    let targets: Vec<&Target> = if triples.is_empty() {
        TARGETS.iter().collect()
    } else {
        triples.iter().map(|triple| target::find(triple)).collect::<Result<_>>()?
    };
    let mut passed = 0;
    let mut toolchain = String::new();
    for target in targets {
        let its_toolchain = target.toolchain()?;
        if its_toolchain != toolchain {
            println!("toolchain: {its_toolchain}");
            toolchain = its_toolchain;
        }
        target.needs_qemu()?;
        for hardened in [false, true] {
            if hardened && target.triple == SMALLEST {
                continue;
            }
            let start = Instant::now();
            let mut count = 0;
            for tests in TESTS {
                count += test(target, tests, hardened)?;
            }
            let (triple, machine, seconds) = (target.triple, target.machine, start.elapsed().as_secs());
            let built = if hardened { ", hardened" } else { "" };
            println!("ok  {triple}{built}: {count} tests on {machine}  ({seconds} s)");
            passed += count;
        }
    }
    println!("test result: ok. {passed} passed; 0 failed");
    Ok(())
}

/// How many tests passed on the target. That none ran is an error, and that one was begun and its end not told.
fn test(target: &Target, tests: &[&str], hardened: bool) -> Result<usize> {
    let mut cargo = target.cargo_with_alloc("test")?;
    cargo.arg("--release").args(tests);
    if hardened {
        target::harden(&mut cargo, "release", &["hpalloc"]);
    }
    let output = succeed(&mut cargo)?;
    let text = String::from_utf8(output.stdout)?;
    let numbers = |line: &str| -> Vec<usize> { line.split(' ').filter_map(|word| word.parse().ok()).collect() };
    let (mut announced, mut ended, mut passed) = (0, 0, 0);
    for line in text.lines() {
        if let ("running ", [count]) = (line.get(..8).unwrap_or_default(), &*numbers(line)) {
            announced += count;
        } else if let Some(result) = line.strip_prefix("test result: ok. ") {
            // Passed, failed, ignored.
            let counts = numbers(result);
            passed += counts[0];
            ended += counts[..3].iter().sum::<usize>();
        }
    }
    if passed == 0 || ended != announced {
        return Err(format!(
            "on {}, {announced} tests were to run, {ended} ended and {passed} passed:\n{text}",
            target.triple
        )
        .into());
    }
    Ok(passed)
}
