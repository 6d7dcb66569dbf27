//! The environment of this repository's bare-metal programs: start code, a console, and a
//! runner for plain `#[test]` functions.
//!
//! Under the name `test`, this crate replaces the standard library's crate `test`, which
//! `#[test]` and `cargo test` refer to. So a test file needs only two items to run on a
//! target:
//!
//! ```ignore
//! #![cfg_attr(
//!     target_os = "none",
//!     no_std,
//!     no_main,
//!     feature(custom_test_frameworks),
//!     reexport_test_harness_main = "test_main"
//! )]
//! #[cfg(target_os = "none")]
//! test::entry!(test_main);
//! ```
//!
//! The types have only the fields that the compiler fills in.

#![cfg(target_os = "none")]
#![no_std]

mod console;
mod start;
mod test;

pub use console::{Console, exit};
#[cfg(target_arch = "x86_64")]
pub use start::pvh_start_info;
pub use test::*;

/// Defines the program's entry point, which calls the function and then exits with
/// success.
#[macro_export]
macro_rules! entry {
    ($function:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main() -> ! {
            $function();
            $crate::exit(0)
        }
    };
}

/// Prints to the host's standard output.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => {{
        let _ = ::core::fmt::Write::write_fmt(&mut $crate::Console, format_args!($($argument)*));
    }};
}

/// Prints a line to the host's standard output.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::print!("{}\n", format_args!($($argument)*)) };
}
