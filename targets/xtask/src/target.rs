use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::Result;

/// A target, and the QEMU machine that runs its programs.
pub(crate) struct Target {
    pub(crate) triple: &'static str,
    /// A description of the machine on which the runner in `.cargo/config.toml` runs the
    /// tests.
    pub(crate) machine: &'static str,
    qemu: &'static str,
    /// The QEMU options of the machine on which instructions are counted.
    counting: &'static [&'static str],
    /// The address of memory on that machine that no program uses.
    memory: usize,
}

pub(crate) const TARGETS: [Target; 7] = [
    Target {
        triple: "thumbv6m-none-eabi",
        machine: "Cortex-M0, micro:bit, 16 KiB of RAM",
        qemu: "qemu-system-arm",
        counting: &["-M", "mps2-an385", "-icount", "shift=8,sleep=off"],
        memory: 0x2100_0000,
    },
    Target {
        triple: "thumbv7m-none-eabi",
        machine: "Cortex-M3, mps2-an385",
        qemu: "qemu-system-arm",
        counting: &["-M", "mps2-an385", "-icount", "shift=8,sleep=off"],
        memory: 0x2100_0000,
    },
    Target {
        triple: "thumbv7em-none-eabihf",
        machine: "Cortex-M4F, mps2-an386",
        qemu: "qemu-system-arm",
        counting: &["-M", "mps2-an386", "-icount", "shift=8,sleep=off"],
        memory: 0x2100_0000,
    },
    Target {
        triple: "riscv32imac-unknown-none-elf",
        machine: "RV32, virt",
        qemu: "qemu-system-riscv32",
        counting: &["-M", "virt", "-bios", "none", "-m", "320M", "-icount", "shift=0,sleep=off"],
        memory: 0x8100_0000,
    },
    Target {
        triple: "riscv64gc-unknown-none-elf",
        machine: "RV64, virt",
        qemu: "qemu-system-riscv64",
        counting: &["-M", "virt", "-bios", "none", "-m", "320M", "-icount", "shift=0,sleep=off"],
        memory: 0x8100_0000,
    },
    Target {
        triple: "aarch64-unknown-none",
        machine: "Cortex-A53, virt",
        qemu: "qemu-system-aarch64",
        counting: &["-M", "virt", "-cpu", "cortex-a53", "-m", "320M", "-icount", "shift=0,sleep=off"],
        memory: 0x4100_0000,
    },
    Target {
        triple: "x86_64-hpalloc-kernel",
        machine: "x86_64, PVH boot",
        qemu: "qemu-system-x86_64",
        counting: &["-m", "320M", "-icount", "shift=0,sleep=off"],
        memory: 0x0100_0000,
    },
];

const QEMU: &str = "apt-get install -y --no-install-recommends qemu-system-arm qemu-system-misc qemu-system-x86";

pub(crate) fn find(triple: &str) -> Result<&'static Target> {
    TARGETS.iter().find(|target| target.triple == triple).ok_or_else(|| {
        let known: Vec<_> = TARGETS.iter().map(|target| target.triple).collect();
        format!("unknown target {triple}: choose one of {}", known.join(", ")).into()
    })
}

impl Target {
    /// Creates a target for which hpalloc is built but not tested.
    pub(crate) const fn untested(triple: &'static str) -> Self {
        Self { triple, machine: "", qemu: "", counting: &[], memory: 0 }
    }

    fn is_x86(&self) -> bool {
        self.triple == "x86_64-hpalloc-kernel"
    }

    /// Returns a Cargo command for this target, with a toolchain that can build for it.
    /// `HPALLOC_STATIC_PAGES` is 1, for chips with little memory.
    ///
    /// # Errors
    ///
    /// If no toolchain can build for the target. The message names the packages to
    /// install.
    pub(crate) fn cargo(&self, subcommand: &str) -> Result<Command> {
        self.cargo_with("core", subcommand)
    }

    /// Like [`cargo`](Self::cargo), for a program that uses `alloc`.
    ///
    /// # Errors
    ///
    /// As for [`cargo`](Self::cargo).
    pub(crate) fn cargo_with_alloc(&self, subcommand: &str) -> Result<Command> {
        self.cargo_with("core,alloc", subcommand)
    }

    fn cargo_with(&self, libraries: &str, subcommand: &str) -> Result<Command> {
        let mut command = Toolchain::find(self)?.cargo(libraries);
        if self.is_x86() {
            command.arg("-Zjson-target-spec");
        }
        command.arg(subcommand).args(["--target-dir", "target", "--target", &self.spec()]);
        command.env("HPALLOC_STATIC_PAGES", "1");
        Ok(command)
    }

    /// Returns the name of the toolchain that builds for this target.
    pub(crate) fn toolchain(&self) -> Result<String> {
        let toolchain = Toolchain::find(self)?;
        let rustc = if matches!(toolchain, Toolchain::Debian) { "/usr/bin/rustc" } else { "rustc" };
        let version = succeed(Command::new(rustc).arg("--version"))?.stdout;
        let version = String::from_utf8(version)?;
        let core = if matches!(toolchain, Toolchain::Installed) { "" } else { ", core built from its source" };
        Ok(format!("{} ({rustc}{core})", version.trim()))
    }

    /// Returns the value of Cargo's option `--target`.
    fn spec(&self) -> String {
        if self.is_x86() { format!("targets/{}.json", self.triple) } else { self.triple.to_owned() }
    }

    /// Returns the path at which a binary with this name is built in a profile.
    pub(crate) fn binary(&self, profile: &str, name: &str) -> PathBuf {
        ["target", self.triple, profile, name].iter().collect()
    }

    /// Checks that the QEMU of this target is installed.
    ///
    /// # Errors
    ///
    /// If it is missing. The message names the packages to install.
    pub(crate) fn needs_qemu(&self) -> Result<()> {
        if Command::new(self.qemu).arg("--version").output().is_ok_and(|output| output.status.success()) {
            return Ok(());
        }
        Err(format!("{} is missing. On Debian: {QEMU}", self.qemu).into())
    }

    /// Runs a program on the machine that counts instructions. The counts are exact, and
    /// equal in every run.
    pub(crate) fn run(&self, program: &Path) -> Result<Output> {
        self.run_with(program, None)
    }

    /// Like [`run`](Self::run), with a file loaded into memory that no program uses.
    pub(crate) fn run_with(&self, program: &Path, file: Option<&Path>) -> Result<Output> {
        self.needs_qemu()?;
        let mut options: Vec<String> = self.counting.iter().map(|&option| option.to_owned()).collect();
        if let Some(file) = file {
            let device = format!("loader,file={},addr={:#x},force-raw=on", file.display(), self.memory);
            options.extend(["-device".to_owned(), device]);
        }
        let mut command = timeout(if self.is_x86() { "targets/qemu-x86_64" } else { self.qemu });
        if self.is_x86() {
            command.env("QEMU_OPTIONS", options.join(" ")).arg(program);
        } else {
            command.args(options).args(["-nographic", "-monitor", "none"]);
            command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(program);
        }
        Ok(command.output()?)
    }
}

/// A way to build code for a target.
#[derive(Clone, Copy)]
enum Toolchain {
    /// The compiler on the path, with the target's precompiled `core` from `rustup target
    /// add`.
    Installed,
    /// The compiler on the path, which builds `core` from the source that
    /// `rustup component add rust-src` installs.
    FromSource,
    /// Debian's compiler, which builds `core` from Debian's source.
    Debian,
}

impl Toolchain {
    fn find(target: &Target) -> Result<Self> {
        let has = |rustc: &str, option: &[&str], path: &str| {
            let output = Command::new(rustc).arg("--print").args(option).output();
            output.is_ok_and(|output| {
                output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).join(path).exists()
            })
        };
        let source = "lib/rustlib/src/rust/library/Cargo.toml";
        if !target.is_x86() && has("rustc", &["target-libdir", "--target", target.triple], "") {
            Ok(Self::Installed)
        } else if has("rustc", &["sysroot"], source) {
            Ok(Self::FromSource)
        } else if has("/usr/bin/rustc", &["sysroot"], source)
            && ["/usr/bin/cargo", "/usr/bin/rust-lld"].iter().all(|path| Path::new(path).exists())
        {
            Ok(Self::Debian)
        } else {
            Err(format!(
                "no toolchain can build for {0}. With rustup: {1}. On Debian: apt-get install -y \
                 --no-install-recommends rustc-web cargo-web rust-web-src rust-web-llvm, then the same for $(readlink \
                 /usr/bin/rust-lld)",
                target.triple,
                if target.is_x86() {
                    "rustup component add rust-src".to_owned()
                } else {
                    format!("rustup target add {}", target.triple)
                }
            )
            .into())
        }
    }

    /// Returns a Cargo command that builds these libraries if they are not installed.
    fn cargo(self, libraries: &str) -> Command {
        let mut command = timeout(if matches!(self, Self::Debian) { "/usr/bin/cargo" } else { "cargo" });
        // `custom_test_frameworks` and `build-std` are unstable.
        command.env("RUSTC_BOOTSTRAP", "1");
        // `RUSTFLAGS` would replace the link arguments in `.cargo/config.toml`.
        command.env_remove("RUSTFLAGS");
        if matches!(self, Self::Debian) {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("/usr/bin:{path}")).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        }
        if !matches!(self, Self::Installed) {
            command.env("CARGO_UNSTABLE_BUILD_STD", libraries);
            command.env("CARGO_UNSTABLE_BUILD_STD_FEATURES", "compiler-builtins-mem");
        }
        command
    }
}

/// Makes the command a hardened build of these packages.
///
/// An unstable option of Cargo sets the flag for these packages only. A flag for all
/// packages would build `core` again for each target.
pub(crate) fn harden(command: &mut Command, profile: &str, packages: &[&str]) {
    command.env("CARGO_UNSTABLE_PROFILE_RUSTFLAGS", "true");
    for package in packages {
        let flags = format!("profile.{profile}.package.{package}.rustflags=['--cfg=hpalloc_hardened']");
        command.args(["--config", &flags]);
    }
}

/// Returns a command that is killed after ten minutes, in case an emulated machine hangs.
fn timeout(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.arg("600").arg(program);
    command
}

/// Runs a command and returns its output.
///
/// # Errors
///
/// If the command fails. The message contains everything that it printed.
pub(crate) fn succeed(command: &mut Command) -> Result<Output> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    if output.status.code() == Some(124) {
        return Err(format!("{command:?} took more than ten minutes and was killed").into());
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{command:?} failed with {}:\n{out}{err}", output.status).into())
}
