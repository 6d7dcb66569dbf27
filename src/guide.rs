//! How to use hpalloc, by what one builds with it: pages to read, and nothing to call.
//!
//! - [`firmware`]: a heap and pools in static memory, interrupts, chips with little RAM, and a first program in an emulator.
//! - [`kernels`]: a heap over memory by address, page frames, several parts of memory, a pool on each core.
//! - [`hosts`]: memory mappings and page faults, collections, threads, a global allocator, tests.
//! - [`migration`]: what the calls of other allocators become.
//! - [`troubleshooting`]: what compilers, linkers and programs say when it doesn't work, and what helps.

#![cfg_attr(
    not(all(
        feature = "allocator-api2",
        feature = "critical-section",
        hpalloc_hardened,
        feature = "lock-api",
        feature = "mmap",
        feature = "spin",
        feature = "stable-deref",
        feature = "static-buffer",
        feature = "std"
    )),
    allow(
        rustdoc::broken_intra_doc_links,
        rustdoc::private_intra_doc_links,
        reason = "with fewer features, what the pages refer to may not be there"
    )
)]

pub mod firmware {
    #![doc = include_str!("guide/firmware.md")]

    #[allow(unused_imports, reason = "for the links")]
    use crate::*;
}

pub mod kernels {
    #![doc = include_str!("guide/kernels.md")]

    #[allow(unused_imports, reason = "for the links")]
    use crate::*;
}

pub mod hosts {
    #![doc = include_str!("guide/hosts.md")]

    #[allow(unused_imports, reason = "for the links")]
    use crate::*;
}

pub mod migration {
    #![doc = include_str!("guide/migration.md")]

    #[allow(unused_imports, reason = "for the links")]
    use crate::*;
}

pub mod troubleshooting {
    #![doc = include_str!("guide/troubleshooting.md")]

    #[allow(unused_imports, reason = "for the links")]
    use crate::*;
}
