//! Misuse that `--cfg hpalloc_hardened` detects. Without it there are no tests here.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

#[cfg(hpalloc_hardened)]
#[path = "../common/mod.rs"]
mod common;
#[cfg(hpalloc_hardened)]
mod misuse;
