use std::time::Instant;

use crate::Result;
use crate::target::{self, TARGETS, Target, succeed};

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
        let start = Instant::now();
        let count = test(target)?;
        println!("ok  {}: {count} tests on {}  ({} s)", target.triple, target.machine, start.elapsed().as_secs());
        passed += count;
    }
    refuses_mmap()?;
    println!("test result: ok. {passed} passed; 0 failed");
    Ok(())
}

/// How many tests passed on the target. That none ran is an error.
fn test(target: &Target) -> Result<usize> {
    let mut cargo = target.cargo("test")?;
    cargo.args(["--release", "--tests", "--features", "static-buffer"]);
    let output = succeed(&mut cargo)?;
    let text = String::from_utf8(output.stdout)?;
    let passed = text.lines().filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next());
    let passed: usize = passed.map(str::parse::<usize>).sum::<std::result::Result<_, _>>()?;
    if passed == 0 {
        return Err(format!("no test ran on {}:\n{text}", target.triple).into());
    }
    Ok(passed)
}

/// On bare metal the feature `mmap` is a compile error that names the right feature.
fn refuses_mmap() -> Result<()> {
    let target = target::find("thumbv7em-none-eabihf")?;
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
