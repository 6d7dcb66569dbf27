//! Detection of misuse in hardened builds.
//!
//! With `--cfg hpalloc_hardened`, a double free, a foreign pointer, an overflow or a
//! write after free is detected when a block is freed or handed out again. By default the
//! program then panics. Blocks of pools and size classes need more memory, up to twice as
//! much (three times for blocks of a single word), and each operation takes time that is
//! linear in the block size: see [its costs](#what-it-costs).
//!
//! # How to turn it on
//!
//! It is a `--cfg`, not a Cargo feature, because it changes the whole program. So only
//! the builder of the program can turn it on. To do so permanently, edit
//! `.cargo/config.toml`:
//!
//! ```toml
//! [build]
//! rustflags = ["--cfg", "hpalloc_hardened"]
//! rustdocflags = ["--cfg", "hpalloc_hardened"] # for doctests
//! ```
//!
//! To turn it on for one command, use `RUSTFLAGS="--cfg hpalloc_hardened" cargo test`.
//! Cargo takes flags from one place only. If the file has `rustflags` in a section for
//! the target, as is usual for firmware, add the flag to that list: Cargo doesn't merge
//! it with `[build]` or `RUSTFLAGS`. The constant [`IS_HARDENED`](crate::IS_HARDENED)
//! tells whether the flag is in effect. Chips without compare-and-swap, such as a
//! Cortex-M0, also need the feature `critical-section`.
//!
//! This module exists only in a hardened build. Put `#[cfg(hpalloc_hardened)]` before
//! code that calls [`set_hook`] or [`set_key`], and declare the name in your
//! `Cargo.toml`:
//!
//! ```toml
//! [lints.rust]
//! unexpected_cfgs = { level = "warn", check-cfg = ["cfg(hpalloc_hardened)"] }
//! ```
//!
//! # What is detected
//!
//! | misuse | when it is detected |
//! |---|---|
//! | A block is freed twice ([`DoubleFree`](Misuse::DoubleFree)), or its box is dropped twice | at the second free, if the block is still free |
//! | A freed pointer did not come from the pool ([`Foreign`](Misuse::Foreign), [`NotABlock`](Misuse::NotABlock), [`NeverAllocated`](Misuse::NeverAllocated)) | immediately |
//! | A write past the end of a block ([`Overflow`](Misuse::Overflow), [`RecordOverwritten`](Misuse::RecordOverwritten)) | when that block is freed |
//! | A write to a freed block ([`WrittenAfterFree`](Misuse::WrittenAfterFree), [`LinkOverwritten`](Misuse::LinkOverwritten)) | when the block is handed out again |
//! | A pool is dropped while blocks are live, apart from those passed to [`PoolBox::leak`](crate::PoolBox::leak) ([`Leaked`](Misuse::Leaked)) | at the drop |
//!
//! A pool keeps a record of each run of pages that it took, two words after each block
//! that tell whether the block is live, and a pattern in each free block. To decide
//! whether a pointer is one of its blocks, it reads only its own memory.
//!
//! A [`Heap`](crate::Heap) keeps no records or guards, and detects only the misuse that
//! its free memory reveals. It does not detect:
//!
//! - overflows and leaks;
//! - a double free, or a write to a freed block, once the memory was handed out again;
//! - writes to the words that it keeps at the start and the end of free memory.
//!
//! `SECURITY.md` in the repository lists the limits of each detection.
//!
//! # What happens then
//!
//! Misuse is reported to the [hook](set_hook). The default hook panics, except for leaks:
//! dropping a pool with all of its blocks is the way to free an arena's memory in one
//! step. The panic's location is the line where the block was freed or requested. For
//! boxes and the global allocator, that line is in hpalloc.
//!
//! If a hook returns, the operation has no effect. The block isn't freed, or the damaged
//! block is skipped and another one is handed out. A block of a `Heap` that would grow
//! into damaged memory is unchanged. The exception is
//! [`PoolBox::into_inner`](crate::PoolBox::into_inner), which panics because it has no
//! value to return.
//!
//! ```should_panic
//! use hpalloc::{Arena, FixedBlock, Page};
//!
//! let mut memory = [const { Page::new() }; 1];
//! let pool = FixedBlock::new(Arena::from_pages(&mut memory).unwrap(), 64).unwrap();
//! let block = pool.allocate().unwrap();
//! // SAFETY: the block is from this pool and no longer used. The second call panics.
//! unsafe {
//!     pool.deallocate(block);
//!     pool.deallocate(block); // "the block at 0x.. was freed twice"
//! }
//! ```
//!
//! # What it costs
//!
//! Memory: each block needs two more words, rounded up to its alignment, so a block of 64
//! bytes occupies 128. Each run of pages needs four more words, and each pool a few more.
//!
//! Time: allocating is linear in the block size. So is freeing, which also searches for
//! the block's run: one step per bit of an address at most, typically log2 of the number
//! of runs. Dropping a box of a locked pool acquires the lock twice.
//!
//! `SECURITY.md` has the figures.
//!
//! # Pools that free each other's blocks
//!
//! Such pools are foreign to each other, unless they are members of one family; see
//! [`FixedBlock::in_family`](crate::FixedBlock::in_family).
//!
//! # The key
//!
//! Links and guards are encoded with a key. Without [`set_key`], the key is derived from
//! the address at which the program is loaded. On a host with address space layout
//! randomization, that address changes with each run. In firmware it is the same on every
//! device and after every reset: set a key at each start, from a random number generator
//! or from a counter in memory that survives the reset.

use core::fmt;

use crate::shared::Shared;

mod filling;
mod guard;
mod runs;

pub(crate) use filling::{fill, first_difference};
pub(crate) use guard::{Damage, Guard, Shape};

/// Misuse that a pool or a heap detected.
///
/// ```
/// use hpalloc::{Arena, FixedBlock, Page};
/// use hpalloc::hardened::Misuse;
///
/// let mut memory = [const { Page::new() }; 1];
/// let pool = FixedBlock::new(Arena::from_pages(&mut memory).unwrap(), 64).unwrap();
/// let block = pool.allocate().unwrap();
/// // SAFETY: the block came from this pool; the second free is detected.
/// let error = unsafe {
///     pool.deallocate(block);
///     pool.try_deallocate(block).unwrap_err()
/// };
/// assert_eq!((error.block, error.misuse), (block.addr().get(), Misuse::DoubleFree));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct MisuseError {
    /// The kind of misuse.
    pub misuse: Misuse,
    /// The address of the block. For writes to free memory of a `Heap`, the address of
    /// the first byte that was written; for leaks, zero.
    pub block: usize,
    /// The block size of the pool, in bytes. For a `Heap`, the size of the layout that
    /// was freed or requested. For a run of pages, the size of the run; for leaked runs,
    /// that of the last one handed out.
    pub block_size: usize,
    /// The number of the pool that detected the misuse. Pools are numbered in the order
    /// in which they took their first pages; the number is zero before that, and for a
    /// `Heap`. For a member of a family, the number of the family.
    pub pool: usize,
}

/// A kind of misuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Misuse {
    /// The freed block was already free.
    DoubleFree,
    /// The freed pointer is not in memory of this pool or, for a heap, in memory that it
    /// uses for requests of that size.
    Foreign,
    /// The freed pointer is in memory of this pool, but is not the start of a block.
    NotABlock,
    /// The freed pointer is in memory of this pool that was never handed out.
    NeverAllocated,
    /// The guard after the block was overwritten while the block was live.
    Overflow,
    /// The block, or the guard after it, was written to while the block was free.
    WrittenAfterFree,
    /// The link in the block, or its check word, was written to while the block was free.
    /// All blocks that were freed before this one are lost.
    LinkOverwritten,
    /// The record that the pool keeps at the end of a run of pages was written to. The
    /// blocks in that run, and perhaps those in runs taken later, can no longer be freed.
    RecordOverwritten,
    /// The pool was dropped while blocks were live.
    Leaked {
        /// The number of live blocks.
        blocks: usize,
    },
}

impl fmt::Display for MisuseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { misuse, block, block_size, pool } = self;
        if let Misuse::Leaked { blocks } = misuse {
            return write!(
                f,
                "hpalloc: {blocks} blocks of {block_size} bytes were live when their pool (number {pool}) was dropped"
            );
        }
        if let (0, Misuse::WrittenAfterFree) = (*pool, misuse) {
            return write!(
                f,
                "hpalloc: the byte at {block:#x} was written to after it was freed (detected by a request of {block_size} bytes)"
            );
        }
        match pool {
            0 => write!(f, "hpalloc: the block of {block_size} bytes at {block:#x} ")?,
            _ => write!(f, "hpalloc: the block at {block:#x}, checked by pool {pool} of {block_size}-byte blocks, ")?,
        }
        f.write_str(match misuse {
            Misuse::DoubleFree => "was freed twice",
            Misuse::Foreign => {
                "is not from this pool or its family: free it to the pool that allocated it, or make the pools a family"
            }
            Misuse::NotABlock => "is not the start of a block: free the pointer that the allocation returned",
            Misuse::NeverAllocated => "was never allocated",
            Misuse::Overflow => "was written to past its end",
            Misuse::WrittenAfterFree => "was written to after it was freed",
            Misuse::LinkOverwritten => "was written to after it was freed: the link to the next free block, at its start, was overwritten",
            Misuse::RecordOverwritten => {
                "can't be looked up: the record that the pool keeps at the end of a run of pages was written to, probably \
                 past the end of the run's last block"
            }
            Misuse::Leaked { .. } => "was leaked",
        })
    }
}

impl core::error::Error for MisuseError {}

/// A function that is called when misuse is detected; see [`set_hook`].
pub type Hook = fn(&MisuseError);

static HOOK: Shared<Option<Hook>> = Shared::new();

/// Sets the function that all pools and heaps call when they detect misuse.
///
/// The hook may panic, stop the program, or log and return. A panic aborts the program in
/// two cases: in the global allocator, which must not unwind, and in a drop during
/// another panic. The latter happens when a pool with leaks is dropped, or a box whose
/// block is damaged. A [`SizeClasses`](crate::SizeClasses) reports the leaks of each
/// class separately, so if a hook panics for the first report, the second one aborts.
///
/// Constant time. Never panics.
///
/// ```
/// use hpalloc::hardened::{self, MisuseError};
///
/// fn stop(error: &MisuseError) {
///     eprintln!("{error}");
///     std::process::abort();
/// }
///
/// hardened::set_hook(stop);
/// ```
pub fn set_hook(hook: Hook) {
    HOOK.set(Some(hook));
}

/// Returns `true` if the block is live, even though its guard was overwritten.
pub(crate) fn is_overflow(error: MisuseError) -> bool {
    error.misuse == Misuse::Overflow
}

/// Calls the hook, and panics if it returns, because the operation has no value to
/// return.
#[cold]
#[track_caller]
pub(crate) fn no_value(error: MisuseError) -> ! {
    report(error);
    panic!("{error}");
}

/// Calls the hook. Without one, panics unless the misuse is a leak.
#[cold]
#[track_caller]
pub(crate) fn report(error: MisuseError) {
    match HOOK.get() {
        Some(hook) => hook(&error),
        None => assert!(matches!(error.misuse, Misuse::Leaked { .. }), "{error}"),
    }
}

/// Repeats the operation until it succeeds, and reports the misuse that each attempt
/// detects.
#[track_caller]
pub(crate) fn reported<T>(mut operation: impl FnMut() -> Result<T, MisuseError>) -> T {
    loop {
        match operation() {
            Ok(value) => return value,
            Err(error) => report(error),
        }
    }
}

/// Zero until it is set or first used.
static KEY: Shared<usize> = Shared::new();

/// Sets the key that encodes links and guards.
///
/// Returns `false`, without effect, if `key` is zero or a key is already in use. So call
/// this once, before anything is allocated. Use a different key at each start of the
/// program; see [The key](self#the-key).
///
/// Constant time. Never panics.
///
/// ```
/// use hpalloc::hardened;
///
/// # let random_number = 0x1234_5678;
/// assert!(hardened::set_key(random_number));
/// assert!(!hardened::set_key(random_number + 1));
/// ```
#[must_use = "if this is `false`, the key was not set"]
pub fn set_key(key: usize) -> bool {
    key != 0 && KEY.update(|settled| (settled == 0).then_some(key)) == 0
}

fn key() -> usize {
    match KEY.get() {
        0 => settle((&raw const KEY).addr().wrapping_mul(SPREAD) | 1),
        key => key,
    }
}

/// Makes this the key unless there is one already, and returns the key in use.
fn settle(key: usize) -> usize {
    match KEY.update(|settled| (settled == 0).then_some(key)) {
        0 => key,
        settled => settled,
    }
}

/// Returns the mask that encodes the link of a block at this address.
pub(crate) fn mask(address: usize) -> usize {
    mask_with(key(), address)
}

fn mask_with(key: usize, address: usize) -> usize {
    key ^ address.rotate_left(usize::BITS / 2)
}

/// An odd number with well-mixed bits: 2^64 divided by the golden ratio (Knuth, *The Art
/// of Computer Programming*, volume 3, section 6.4).
#[allow(clippy::cast_possible_truncation, reason = "the lower half is also odd and well-mixed")]
const SPREAD: usize = 0x9E37_79B9_7F4A_7C15_u64 as usize;

/// Mixes two words. For a fixed value of either argument, it is a one-to-one function of
/// the other.
fn mix(a: usize, b: usize) -> usize {
    let mixed = (a ^ b).wrapping_mul(SPREAD);
    // Each bit of the product depends only on bits of the factor that are not above it.
    // So the upper bits are mixed best, and the shift spreads them over the lower bits.
    (mixed ^ (mixed >> (usize::BITS / 2 + 1))).wrapping_mul(SPREAD).rotate_left(usize::BITS / 2)
}

/// Returns the next number for a pool. Numbers repeat after half of the range of a word.
fn next_number() -> usize {
    static LAST: Shared<usize> = Shared::new();
    // Numbers stay below the highest bit, which marks the numbers of families.
    let next = |last: usize| last % (usize::MAX / 2) + 1;
    next(LAST.update(|last| Some(next(last))))
}

#[cfg(test)]
mod tests {
    /// A link that was copied to another address, or encoded with another key, decodes to
    /// another address.
    #[test]
    fn links_depend_on_the_key_and_the_address() {
        let mask = super::mask_with(1, 0x2000_0040);
        assert_ne!(super::mask_with(2, 0x2000_0040), mask);
        assert_ne!(super::mask_with(1, 0x2000_0080), mask);
        assert_eq!(super::mask(0x40), super::mask_with(super::key(), 0x40));
    }
}
