//! The command `report`, which runs this program and the same program built for 32 bits.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tables::Document;

use crate::Result;

/// The target of the 32-bit program.
const TARGET: &str = "i686-unknown-linux-gnu";
/// The environment with which Debian's compiler builds the standard library from source.
/// It is used if rustup doesn't have the target.
const DEBIAN: [(&str, &str); 3] =
    [("RUSTC", "/usr/bin/rustc"), ("RUSTC_BOOTSTRAP", "1"), ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")];

/// The files of Debian's packages that this build needs.
const DEBIAN_NEEDS: [&str; 3] = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/src"];

/// Measures with both programs and these arguments. Writes the tables to RESULTS.md of
/// the package that runs, or prints them if it has no RESULTS.md.
///
/// # Errors
///
/// Fails if the 32-bit program can't be built, or if either program fails, for example
/// because a bound is exceeded. The tables are written nevertheless.
pub(crate) fn report(arguments: &[String], features: Option<&str>) -> Result<()> {
    let package = PathBuf::from(
        env::var_os("CARGO_MANIFEST_DIR")
            .ok_or("`CARGO_MANIFEST_DIR` is not set; run the report with cargo: `cargo memory report`")?,
    );
    let this = env::current_exe()?;
    let narrow = build(&package, &this, features)?;
    let results = package.join("RESULTS.md");
    let mut failed = Vec::new();
    let mut document = if results.exists() {
        let path = results.to_str().ok_or("the path of RESULTS.md is not valid UTF-8")?;
        Some(Document::read(path.to_owned().leak())?)
    } else {
        None
    };
    for (section, program) in [("memory-64", &this), ("memory-32", &narrow)] {
        let mut command = Command::new(program);
        let output = command.arg("tables").args(arguments).stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8(output.stdout)?;
        match &mut document {
            Some(document) => document.replace(section, &text)?,
            None => println!("{text}"),
        }
        if !output.status.success() {
            failed.push(section);
        }
    }
    if let Some(document) = document {
        document.write()?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("the measurements failed for: {}", failed.join(", ")).into()) }
}

/// Builds the running program for 32 bits and returns the path of the result.
fn build(package: &Path, this: &Path, features: Option<&str>) -> Result<PathBuf> {
    let name = this.file_name().ok_or("the path of the program has no file name")?;
    let directory =
        this.parent().and_then(Path::parent).ok_or("the program isn't in a target directory")?.join("memory32");
    let rustup = Command::new("rustc").args(["--print=target-libdir", "--target", TARGET]).output()?;
    let has_target = Path::new(String::from_utf8(rustup.stdout)?.trim()).exists();
    let mut command = if has_target {
        Command::new("cargo")
    } else {
        if !DEBIAN_NEEDS.iter().all(|path| Path::new(path).exists()) {
            return Err(MISSING.into());
        }
        let mut command = Command::new("/usr/bin/cargo");
        command.envs(DEBIAN).env_remove("LD_LIBRARY_PATH");
        command
    };
    command.args(["build", "--release", "--target", TARGET, "--manifest-path"]).arg(package.join("Cargo.toml"));
    command.arg("--target-dir").arg(&directory).arg("--bin").arg(name);
    command.args(features.iter().flat_map(|features| ["--features", features]));
    if !command.status()?.success() {
        return Err(MISSING.into());
    }
    Ok(directory.join(TARGET).join("release").join(name))
}

/// The error if the 32-bit program can't be built.
const MISSING: &str = "the program can't be built for 32 bits; on Debian, run \
    `apt-get install --no-install-recommends rustc-web cargo-web rust-web-src gcc-multilib libc6-dev-i386`; \
    with rustup, run `rustup target add i686-unknown-linux-gnu` and install a 32-bit C library";
