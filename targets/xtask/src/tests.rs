use std::time::Instant;

use crate::Result;
use crate::target::{self, TARGETS, Target, succeed};

/// The options of each build. The first has all tests that need no global allocator.
/// `shared_pools` needs one and provides it.
const TESTS: [&[&str]; 2] = [
    &["--tests", "--features", "critical-section,static-buffer"],
    &["--test", "shared_pools", "--features", "critical-section,alloc"],
];
/// The tests of a hardened build do not fit in the memory of this target.
const SMALLEST: &str = "thumbv6m-none-eabi";

/// Runs the tests on the targets with these names, or on all without a name, and prints a
/// line per target.
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

/// Returns the number of tests that passed on the target.
///
/// # Errors
///
/// If a test fails, if no test ran, or if a test started and did not report its end.
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
            // The numbers of passed, failed and ignored tests come first.
            let counts = numbers(result);
            passed += counts[0];
            ended += counts[..3].iter().sum::<usize>();
        }
    }
    if passed == 0 || ended != announced {
        return Err(format!(
            "on {}, {announced} tests were announced, {ended} ended and {passed} passed:\n{text}",
            target.triple
        )
        .into());
    }
    Ok(passed)
}
