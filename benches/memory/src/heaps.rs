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

/// Less memory than this is too small for any heap: some panic there.
const LEAST: usize = 256;

/// All of them: first those of hpalloc, then the peers.
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
