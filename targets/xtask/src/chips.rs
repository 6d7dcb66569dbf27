use crate::Result;
use crate::target::{self, Target};

/// A target on which hpalloc isn't tested: what is built for it, and the sentence with which that is refused, if it is.
struct Chip {
    triple: &'static str,
    features: &'static str,
    hardened: bool,
    refusal: Option<&'static str>,
}

const fn chip(triple: &'static str, features: &'static str, refusal: Option<&'static str>) -> Chip {
    Chip { triple, features, hardened: false, refusal }
}

/// Chips without atomics, or that can't compare and swap; and targets that can't have a feature.
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
    chip("thumbv7em-none-eabihf", "mmap", Some("on bare metal use the feature `static-buffer`")),
    chip("x86_64-pc-windows-gnu", "mmap", Some("on Windows turn it off, and use `Boxed`")),
];

/// Builds hpalloc for chips that it isn't tested on, and sees that what can't be built is refused with a sentence.
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
            return Err(format!("{what}: {} was expected:\n{text}", refusal.unwrap_or("success")).into());
        }
        println!("ok  {what}: {}", if refusal.is_some() { "refused, and says why" } else { "builds" });
    }
    Ok(())
}
