//! The heaps that are compared.

mod buddy;
mod dlmalloc;
mod embedded_list;
mod embedded_tlsf;
mod heap;
mod linked_list;
mod rlsf;
mod size_classes;
mod table;
mod talc4;
mod talc5;

use crate::Contestant;

/// The smallest memory, in bytes, that is passed to a heap that would panic in less.
const LEAST: usize = 256;

/// Returns all built-in heaps: those of hpalloc, then the peers.
#[must_use]
pub fn all() -> Vec<Contestant> {
    vec![
        heap::contestant(),
        size_classes::default(),
        size_classes::tuned(),
        linked_list::contestant(),
        rlsf::contestant(),
        embedded_list::contestant(),
        embedded_tlsf::contestant(),
        talc4::contestant(),
        talc5::contestant(),
        dlmalloc::contestant(),
        buddy::contestant(),
    ]
}
