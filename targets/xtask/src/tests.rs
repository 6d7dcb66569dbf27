use std::time::Instant;

use crate::Result;
use crate::target::{self, TARGETS, Target, succeed};

/// The target that shows what the feature `mmap` does on bare metal.
const REFUSES_MMAP: &str = "thumbv7em-none-eabihf";

/// What is tested.
const FEATURES: [&str; 2] = ["critical-section,static-buffer", "critical-section,static-buffer,hardened"];
/// The target whose memory the tests with `hardened` don't fit.
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
        let features = if target.triple == SMALLEST { &FEATURES[..1] } else { &FEATURES };
        for features in features {
            let start = Instant::now();
            let count = test(target, features)?;
            let (triple, machine, seconds) = (target.triple, target.machine, start.elapsed().as_secs());
            println!("ok  {triple}, {features}: {count} tests on {machine}  ({seconds} s)");
            passed += count;
        }
        if target.triple == REFUSES_MMAP {
            refuses_mmap(target)?;
        }
    }
    println!("test result: ok. {passed} passed; 0 failed");
    Ok(())
}

/// How many tests passed on the target. That none ran is an error, and that one was begun and its end not told.
fn test(target: &Target, features: &str) -> Result<usize> {
    let mut cargo = target.cargo("test")?;
    cargo.args(["--release", "--tests", "--features", features]);
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

/// On bare metal the feature `mmap` is a compile error that names the right feature.
fn refuses_mmap(target: &Target) -> Result<()> {
    let output = target.cargo("check")?.args(["--features", "mmap"]).output()?;
    let text = String::from_utf8(output.stderr)?;
    if output.status.success() || !text.contains("on bare metal use the feature `static-buffer`") {
        return Err(
            format!("the feature `mmap` built for {}, or failed for another reason:\n{text}", target.triple).into()
        );
    }
    println!("ok  {}: the feature `mmap` is refused", target.triple);
    Ok(())
}
