//! Tests of the misuse that `--cfg hpalloc_hardened` detects. Without it, this file has
//! no tests.
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
