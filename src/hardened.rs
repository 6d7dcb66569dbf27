//! Misuse of blocks is detected in a program that is built with `--cfg hpalloc_hardened`: when a block is freed, or handed out
//! again.
//!
//! It is a `--cfg` and not a Cargo feature because it changes the whole program: blocks take more memory, and freeing one takes
//! longer. Only whoever builds the program can turn it on, for example in its `.cargo/config.toml`:
//!
//! ```toml
//! [build]
//! rustflags = ["--cfg", "hpalloc_hardened"]
//! rustdocflags = ["--cfg", "hpalloc_hardened"] # for doctests
//! ```
//!
//! or for one command: `RUSTFLAGS="--cfg hpalloc_hardened" cargo test`. Cargo takes flags from one place only: if the file has
//! `rustflags` in a section for the target, as firmware has, add the flag to that list, since `[build]` and `RUSTFLAGS` would not be
//! joined with it. [`IS_HARDENED`](crate::IS_HARDENED) says whether it worked. On a chip without compare-and-swap (a Cortex-M0, say)
//! the feature `critical-section` is needed as well.
//!
//! What this module has is there only in such a program. Code that calls [`set_hook`] or [`set_key`] asks for it by
//! `#[cfg(hpalloc_hardened)]`, and its `Cargo.toml` tells the compiler of the name:
//!
//! ```toml
//! [lints.rust]
//! unexpected_cfgs = { level = "warn", check-cfg = ["cfg(hpalloc_hardened)"] }
//! ```
//!
//! | misuse | detected |
//! |---|---|
//! | a block is freed twice ([`DoubleFree`](Misuse::DoubleFree)), or its box is dropped twice | at the second time, while the block is free |
//! | a pointer is freed that did not come from the pool ([`Foreign`](Misuse::Foreign), [`NotABlock`](Misuse::NotABlock), [`NeverAllocated`](Misuse::NeverAllocated)) | at once |
//! | the program wrote past the end of a block ([`Overflow`](Misuse::Overflow), [`RecordOverwritten`](Misuse::RecordOverwritten)) | when that block is freed |
//! | the program wrote to a block that it had freed ([`WrittenAfterFree`](Misuse::WrittenAfterFree), [`LinkOverwritten`](Misuse::LinkOverwritten)) | when the block is handed out again |
//! | blocks are live when their pool is dropped ([`Leaked`](Misuse::Leaked)), other than by [`PoolBox::leak`](crate::PoolBox::leak) | then |
//!
//! A [`Heap`](crate::Heap) detects these without keeping anything: overflows, leaks, and a double free or a write after the memory was
//! handed out again are not detected. A write to the words that it keeps at the start and the end of free memory isn't either.
//!
//! A pool keeps a record of each run of pages that it took, two words after each block that tell whether the block is live, and
//! a pattern in each free block. It looks at no memory but its own to decide whether a pointer is one of its blocks. What each of
//! these can't detect is listed in the repository, in `SECURITY.md`.
//!
//! Misuse is reported to the [hook](set_hook). By default it panics, except for leaks: to drop a pool with all of its blocks
//! is how the memory of an arena is freed at once. The panic names the line where the block was freed or requested; for boxes and
//! the global allocator, that line is in hpalloc. If a hook returns, the operation has no effect: the block isn't freed, or the
//! damaged block is left out and another one is handed out. A block of a `Heap` that would grow into damaged memory stays as it was. The exception is [`PoolBox::into_inner`](crate::PoolBox::into_inner),
//! which panics because it has no value to return.
//!
//! ```should_panic
//! use hpalloc::{Arena, FixedBlock, Page};
//!
//! let mut memory = [const { Page::new() }; 1];
//! let pool = FixedBlock::new(Arena::from_pages(&mut memory).unwrap(), 64).unwrap();
//! let block = pool.allocate().unwrap();
//! // SAFETY: the first time, it came from this pool and isn't used any more. The second time panics.
//! unsafe {
//!     pool.deallocate(block);
//!     pool.deallocate(block); // the block at 0x.. of a pool of blocks of 64 bytes was freed twice
//! }
//! ```
//!
//! # What it costs
//!
//! A block takes two words more, rounded up to its alignment: one of 64 bytes takes 128. A run of pages takes four words more. To
//! allocate takes time that is linear in the block size; to free takes that, and a search for the block's run: one step for each
//! bit of an address at most, typically log2 of the number of runs. To drop a box of a pool behind a lock takes the lock twice. A
//! pool takes some words more. The figures are in `SECURITY.md`.
//!
//! # Pools that free each other's blocks
//!
//! These are foreign to each other, unless they are of one family: see [`FixedBlock::in_family`](crate::FixedBlock::in_family).
//!
//! # The key
//!
//! Links and guards depend on a key. Without [`set_key`] it is made from the address at which the program lies. That is drawn anew
//! for each run on a host with address space layout randomisation, but in firmware it is the same on every device and after
//! every reset. There, set a key at each start, from a random number generator or from a counter in memory that survives.

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
/// // SAFETY: what isn't safe about the second call is what it reports.
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
    /// What was detected.
    pub misuse: Misuse,
    /// The address of the block; zero for leaks. If free memory of a `Heap` was written to, the address of the first byte that was.
    pub block: usize,
    /// The size of the pool's blocks, in bytes. In a `Heap` that of the layout that was freed or requested; for a run of pages that of the run, and for
    /// leaked ones of the last of them.
    pub block_size: usize,
    /// The number of the pool that detected it: pools are numbered in the order in which they took their first pages. Zero
    /// before that, and for a `Heap`. For a pool of a family, the family's number.
    pub pool: usize,
}

/// A kind of misuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Misuse {
    /// The block was freed, and is free.
    DoubleFree,
    /// What was freed is not in memory of this pool; or of this heap, for requests of that size.
    Foreign,
    /// What was freed is in memory of this pool, but no block begins there.
    NotABlock,
    /// What was freed is in memory of this pool, but was never handed out.
    NeverAllocated,
    /// The guard after the block was overwritten while it was live.
    Overflow,
    /// The block, or the guard after it, was written to while it was free.
    WrittenAfterFree,
    /// The link in the block, or its check word, was written to while it was free. All blocks that were freed before it are
    /// lost.
    LinkOverwritten,
    /// The record that the pool keeps at the end of a run of pages was written to. The blocks in that run, and perhaps those
    /// of runs taken later, can't be freed any more.
    RecordOverwritten,
    /// The pool was dropped while blocks were live.
    Leaked {
        /// How many.
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
                "hpalloc: the byte at {block:#x} was written to after it was freed, which a request of {block_size} bytes detected"
            );
        }
        match pool {
            0 => write!(f, "hpalloc: the block of {block_size} bytes at {block:#x} ")?,
            _ => write!(
                f,
                "hpalloc: the block at {block:#x}, for a pool of blocks of {block_size} bytes (number {pool}), "
            )?,
        }
        f.write_str(match misuse {
            Misuse::DoubleFree => "was freed twice",
            Misuse::Foreign => {
                "is not from this pool or its family: free it where it was allocated, or make these pools a family"
            }
            Misuse::NotABlock => "is not the start of a block: free the pointer that was allocated",
            Misuse::NeverAllocated => "was never allocated",
            Misuse::Overflow => "was written to past its end",
            Misuse::WrittenAfterFree => "was written to after it was freed",
            Misuse::LinkOverwritten => "was written to after it was freed, at its start, where a link was",
            Misuse::RecordOverwritten => {
                "can't be looked up: what the pool keeps at the end of a run of pages was written to, past the end of the \
                 last block of the run"
            }
            Misuse::Leaked { .. } => "was leaked",
        })
    }
}

impl core::error::Error for MisuseError {}

/// The function that is called when misuse is detected.
pub type Hook = fn(&MisuseError);

static HOOK: Shared<Option<Hook>> = Shared::new();

/// Sets the function that all pools and heaps call when they detect misuse.
///
/// It may panic, stop, or log and return. The global allocator must not unwind, so there a panic aborts; and so does one where
/// something is dropped because of another panic: a pool with leaks, of which a heap reports those of each class, or a box whose
/// block is damaged.
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

/// Whether the block is live, though its guard was overwritten.
pub(crate) fn is_overflow(error: MisuseError) -> bool {
    error.misuse == Misuse::Overflow
}

/// Calls the hook; and panics if it returns, since there is nothing that could be returned.
#[cold]
#[track_caller]
pub(crate) fn no_value(error: MisuseError) -> ! {
    report(error);
    panic!("{error}");
}

/// Calls the hook.
#[cold]
#[track_caller]
pub(crate) fn report(error: MisuseError) {
    match HOOK.get() {
        Some(hook) => hook(&error),
        None => assert!(matches!(error.misuse, Misuse::Leaked { .. }), "{error}"),
    }
}

/// What the operation returns in the end, each misuse that it finds on the way being reported.
#[track_caller]
pub(crate) fn reported<T>(mut operation: impl FnMut() -> Result<T, MisuseError>) -> T {
    loop {
        match operation() {
            Ok(value) => return value,
            Err(error) => report(error),
        }
    }
}

/// Zero until it is set or used.
static KEY: Shared<usize> = Shared::new();

/// Sets the key with which links and guards are encoded. Returns `false`, without effect, if the key is zero or there is one
/// already: set it once, before anything is allocated.
///
/// Use another key for each start of the program, see [The key](self#the-key).
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
#[must_use = "another key may be in use"]
pub fn set_key(key: usize) -> bool {
    key != 0 && KEY.update(|settled| (settled == 0).then_some(key)) == 0
}

fn key() -> usize {
    match KEY.get() {
        0 => settle((&raw const KEY).addr().wrapping_mul(SPREAD) | 1),
        key => key,
    }
}

/// Makes this the key unless there is one already, and returns the key.
fn settle(key: usize) -> usize {
    match KEY.update(|settled| (settled == 0).then_some(key)) {
        0 => key,
        settled => settled,
    }
}

/// What a link in a block at that address is encoded with.
pub(crate) fn mask(address: usize) -> usize {
    mask_with(key(), address)
}

fn mask_with(key: usize, address: usize) -> usize {
    key ^ address.rotate_left(usize::BITS / 2)
}

/// An odd number whose bits are mixed: 2^64 over the golden ratio (Knuth, *The Art of Computer Programming*, volume 3, section
/// 6.4).
#[allow(clippy::cast_possible_truncation, reason = "the lower half of it is as good, and odd")]
const SPREAD: usize = 0x9E37_79B9_7F4A_7C15_u64 as usize;

/// One to one in each of the arguments.
fn mix(a: usize, b: usize) -> usize {
    let mixed = (a ^ b).wrapping_mul(SPREAD);
    // The product's upper bits depend on all bits, its lower ones on the lower ones.
    (mixed ^ (mixed >> (usize::BITS / 2 + 1))).wrapping_mul(SPREAD).rotate_left(usize::BITS / 2)
}

/// A number for a pool. Each is returned once in half of what a word counts.
fn next_number() -> usize {
    static LAST: Shared<usize> = Shared::new();
    // From 1 to half of what a word counts: the upper bit is set in numbers of families.
    let next = |last: usize| last % (usize::MAX / 2) + 1;
    next(LAST.update(|last| Some(next(last))))
}

#[cfg(test)]
mod tests {
    /// A link that was copied, or encoded with another key, leads elsewhere.
    #[test]
    fn links_depend_on_the_key_and_the_address() {
        let mask = super::mask_with(1, 0x2000_0040);
        assert_ne!(super::mask_with(2, 0x2000_0040), mask);
        assert_ne!(super::mask_with(1, 0x2000_0080), mask);
        assert_eq!(super::mask(0x40), super::mask_with(super::key(), 0x40));
    }
}
