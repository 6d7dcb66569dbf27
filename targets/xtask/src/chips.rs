use crate::Result;
use crate::target::{self, Target};

/// A build for a target on which hpalloc is not tested.
struct Chip {
    triple: &'static str,
    features: &'static str,
    hardened: bool,
    /// A part of the error message, if the build must fail.
    refusal: Option<&'static str>,
}

const fn chip(triple: &'static str, features: &'static str, refusal: Option<&'static str>) -> Chip {
    Chip { triple, features, hardened: false, refusal }
}

/// Chips without atomics or without compare-and-swap, and targets that cannot have a
/// feature.
const CHIPS: [Chip; 12] = [
    chip("armv4t-none-eabi", "static-buffer,critical-section", None),
    chip("armv4t-none-eabi", "static-buffer", Some("also needs the feature `critical-section`")),
    Chip { hardened: true, ..chip("armv4t-none-eabi", "critical-section", None) },
    Chip { hardened: true, ..chip("armv4t-none-eabi", "", Some("also needs the feature `critical-section`")) },
    chip("armv5te-none-eabi", "static-buffer,critical-section", None),
    Chip { hardened: true, ..chip("armv5te-none-eabi", "critical-section", None) },
    chip("bpfel-unknown-none", "static-buffer,critical-section", None),
    chip("thumbv6m-none-eabi", "spin", Some("`CriticalSection` instead of the feature `spin`")),
    chip("thumbv6m-none-eabi", "static-buffer", Some("also needs the feature `critical-section`")),
    chip("msp430-none-elf", "", Some("hpalloc needs 32 or 64 bits")),
    chip("thumbv7em-none-eabihf", "mmap", Some("on bare metal, use the feature `static-buffer`")),
    chip("x86_64-pc-windows-gnu", "mmap", Some("on Windows, turn it off and use `Boxed`")),
];

/// Builds hpalloc for chips on which it is not tested, and checks the error message of
/// each build that must fail.
pub(crate) fn run() -> Result<()> {
    for Chip { triple, features, hardened, refusal } in CHIPS {
        let mut cargo = Target::untested(triple).cargo("check")?;
        cargo.args(["--lib", "--features", features]);
        if hardened {
            target::harden(&mut cargo, "dev", &["hpalloc"]);
        }
        let output = cargo.output()?;
        let text = String::from_utf8(output.stderr)?;
        let is_right = match refusal {
            None => output.status.success(),
            Some(sentence) => !output.status.success() && text.contains(sentence),
        };
        let what = format!("{triple}, features \"{features}\"{}", if hardened { ", hardened" } else { "" });
        if !is_right {
            return Err(format!("{what}: expected {}:\n{text}", refusal.unwrap_or("success")).into());
        }
        println!("ok  {what}: {}", if refusal.is_some() { "refused, with a message that says why" } else { "builds" });
    }
    Ok(())
}
