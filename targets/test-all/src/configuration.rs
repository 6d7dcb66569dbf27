use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Result;

/// A way to build hpalloc, and the tests that run in that build.
pub(crate) struct Configuration {
    pub(crate) name: &'static str,
    features: &'static [&'static str],
    is_hardened: bool,
    /// The options of `cargo test` that select the test programs.
    programs: &'static [&'static str],
    /// The options of the test harness that select among the examples in the
    /// documentation.
    documentation: &'static [&'static str],
}

/// All configurations. They share the dependencies, which are built only once. A flag for
/// all packages, such as that of `cargo hardened`, would build the dependencies again.
pub(crate) const CONFIGURATIONS: [Configuration; 3] = [
    Configuration {
        name: "all features",
        features: &["--all-features"],
        is_hardened: false,
        // The examples in `examples` are not tests. Clippy checks them, and CI runs them.
        programs: &["--lib", "--tests"],
        documentation: &[],
    },
    Configuration {
        name: "all features, hardened",
        features: &["--all-features"],
        is_hardened: true,
        programs: &["--lib", "--tests"],
        // The skipped examples must not compile, because of lifetimes, `Send` or `Sync`.
        // Signatures are the same in a hardened build. `tests/contract.rs`, which runs in
        // all configurations, asserts `Send` and `Sync`.
        documentation: &["--skip=fail"],
    },
    Configuration {
        name: "without `mmap`",
        features: &["--features", "static-buffer,std"],
        is_hardened: false,
        // `mmap` only determines the type `DefaultRegion`, and with it the arena that
        // `Arena::new` creates. The feature occurs in `src/region.rs`,
        // `src/region/static_buffer.rs` and `src/arena/make.rs`. The selected programs
        // use one of the two items, or have tests that exist only without `mmap`.
        // Everything else is generic over the region.
        programs: &["--lib", "--test=contract", "--test=sequences", "--test=static_buffer"],
        documentation: &["region", "arena"],
    },
];

impl Configuration {
    fn cargo_test(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.arg("test").args(self.features).stdin(Stdio::null());
        if self.is_hardened {
            cargo.env("RUSTC_WORKSPACE_WRAPPER", concat!(env!("CARGO_MANIFEST_DIR"), "/hardened-rustc"));
            cargo.arg("--config=build.rustdocflags=['--cfg=hpalloc_hardened']");
        }
        cargo
    }

    /// Builds the test programs and returns their paths.
    ///
    /// # Errors
    ///
    /// Fails if Cargo fails, with everything that it printed.
    pub(crate) fn build(&self) -> Result<Vec<PathBuf>> {
        let output = self.cargo_test().args(["--no-run", "--color=never"]).args(self.programs).output()?;
        let text = String::from_utf8(output.stderr)?;
        // A line is `Executable tests/pool.rs (target/debug/deps/pool-0123456789abcdef)`.
        let path = |line: &str| {
            let (_, path) = line.trim_start().strip_prefix("Executable ")?.rsplit_once(" (")?;
            Some(PathBuf::from(path.strip_suffix(')')?))
        };
        let programs: Vec<_> = text.lines().filter_map(path).collect();
        if output.status.success() && !programs.is_empty() { Ok(programs) } else { Err(text.into()) }
    }

    /// Returns the command that runs the examples in the documentation.
    pub(crate) fn documentation(&self) -> Command {
        let mut cargo = self.cargo_test();
        cargo.args(["--doc", "--"]).args(self.documentation);
        cargo
    }
}
