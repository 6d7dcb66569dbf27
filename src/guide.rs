//! Complete programs for firmware, kernels and hosts, with explanations.
//!
//! | If you | read |
//! |---|---|
//! | write firmware: a heap and pools in static memory, interrupts, little RAM | [`firmware`] |
//! | write a kernel: memory by address, page frames, a pool on each core | [`kernels`] |
//! | write a low-latency or threaded program: mappings, page faults, collections | [`hosts`] |
//! | come from another allocator | [`migration`] |
//! | have an error message, or a program that hangs or is slow | [`troubleshooting`] |

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
        reason = "with fewer features, some of the items that the pages link to don't exist"
    )
)]

pub mod firmware {
    #![doc = include_str!("guide/firmware.md")]

    #[allow(unused_imports, reason = "the page links to these items")]
    use crate::*;
}

pub mod kernels {
    #![doc = include_str!("guide/kernels.md")]

    #[allow(unused_imports, reason = "the page links to these items")]
    use crate::*;
}

pub mod hosts {
    #![doc = include_str!("guide/hosts.md")]

    #[allow(unused_imports, reason = "the page links to these items")]
    use crate::*;
}

pub mod migration {
    #![doc = include_str!("guide/migration.md")]

    #[allow(unused_imports, reason = "the page links to these items")]
    use crate::*;
}

pub mod troubleshooting {
    #![doc = include_str!("guide/troubleshooting.md")]

    #[allow(unused_imports, reason = "the page links to these items")]
    use crate::*;
}
