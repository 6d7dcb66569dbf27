//! What the feature `hardened` adds: misuse is found when a block is freed, or handed out again.
//!
//! Blocks carry a guard behind their end, free ones are filled with a pattern, and links are stored encoded. So a pool or a
//! heap finds, when a block is given back or handed out,
//!
//! | misuse | found |
//! |---|---|
//! | a block is freed twice ([`DoubleFree`](Misuse::DoubleFree)) | at the second time, whatever happened in between |
//! | what is freed never came from there ([`Foreign`](Misuse::Foreign), [`NotABlock`](Misuse::NotABlock), [`NeverAllocated`](Misuse::NeverAllocated)) | at once |
//! | a program wrote past the end of a block ([`Overflow`](Misuse::Overflow)) | when that block is freed |
//! | a program wrote to a block that it had freed ([`WrittenAfterFree`](Misuse::WrittenAfterFree), [`LinkOverwritten`](Misuse::LinkOverwritten)) | when the block is handed out again |
//! | blocks are live when their pool goes ([`Leaked`](Misuse::Leaked)) | then |
//!
//! and calls the [hook](set_hook). Unless another is set, that panics (at the line where the block was freed or asked for; for boxes and the
//! global allocator at one in hpalloc), but for leaks: to drop a pool with all of its blocks
//! is how memory of an arena is freed at once. Where a hook returns, the operation has had no effect: the block isn't freed,
//! or the damaged block is left out and another is handed out.
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
//! A block takes two words more, rounded up so that the next one is aligned as before: one of 64 bytes takes 128. To allocate and to free take time that
//! is linear in the block size. The rest of a pool takes some words more. The figures are in the repository, in `SECURITY.md`.
//!
//! # Pools that free each other's blocks
//!
//! are foreign to each other, unless they are of one family: see [`FixedBlock::in_family`](crate::FixedBlock::in_family).

use core::fmt;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

mod guard;

pub(crate) use guard::{Damage, Guard};

/// What a pool or a heap found.
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
    /// What was found.
    pub misuse: Misuse,
    /// The address of the block; zero for leaks.
    pub block: usize,
    /// The size of the pool's blocks, in bytes. For a run of pages that of the run, and for leaked ones of the last of them.
    pub block_size: usize,
    /// Which pool found it: they are numbered in the order in which they took their first block. Zero before. Of one in a
    /// family, the family's number.
    pub pool: usize,
}

/// A kind of misuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Misuse {
    /// The block was freed, and is free.
    DoubleFree,
    /// What was freed is not in memory of this pool. (Or nothing shows any more that it is, because it is the only block of its
    /// run, and was written to by more than a word past its end.)
    Foreign,
    /// What was freed is in memory of this pool, but no block begins there.
    NotABlock,
    /// What was freed is in memory of this pool, but was never handed out.
    NeverAllocated,
    /// The guard behind the block was overwritten while it was live.
    Overflow,
    /// The block, or the guard behind it, was written to while it was free.
    WrittenAfterFree,
    /// The link in the block, or its check word, was written to while it was free. All blocks that were freed before it are
    /// lost.
    LinkOverwritten,
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
                "{blocks} blocks of {block_size} bytes were live when their pool (number {pool}) was dropped"
            );
        }
        write!(f, "hpalloc: the block at {block:#x}, for a pool of blocks of {block_size} bytes (number {pool}), ")?;
        f.write_str(match misuse {
            Misuse::DoubleFree => "was freed twice",
            Misuse::Foreign => {
                "is not from this pool or its family (or was written to far past its end): free it where it was allocated, \
                 or make these pools a family"
            }
            Misuse::NotABlock => "is not the start of a block: free the pointer that was allocated",
            Misuse::NeverAllocated => "was never allocated",
            Misuse::Overflow => "was written to past its end",
            Misuse::WrittenAfterFree => "was written to after it was freed",
            Misuse::LinkOverwritten => "was written to after it was freed, at its start, where a link was",
            Misuse::Leaked { .. } => "was leaked",
        })
    }
}

impl core::error::Error for MisuseError {}

/// What is called with each misuse.
pub type Hook = fn(&MisuseError);

static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Sets what is called with each misuse from now on, by all pools and heaps.
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
    HOOK.store(hook as *mut (), Ordering::Release);
}

/// Calls the hook.
#[cold]
#[track_caller]
pub(crate) fn report(error: MisuseError) {
    let hook = HOOK.load(Ordering::Acquire);
    if hook.is_null() {
        assert!(matches!(error.misuse, Misuse::Leaked { .. }), "{error}");
    } else {
        // SAFETY: what isn't null was a `Hook`.
        let hook = unsafe { core::mem::transmute::<*mut (), Hook>(hook) };
        hook(&error);
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
static KEY: AtomicUsize = AtomicUsize::new(0);

/// Sets the key with which links and guards are encoded. `false`, and without effect, if it is zero or one is in use already:
/// set it before anything is allocated.
///
/// Without it, the key is made from the address at which the program lies: which is drawn anew for each run on a host with
/// address space layout randomisation, but is always the same in firmware.
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
    key != 0 && settle(key) == Ok(())
}

fn key() -> usize {
    let key = KEY.load(Ordering::Relaxed);
    if key != 0 {
        return key;
    }
    let key = (&raw const KEY).addr().wrapping_mul(SPREAD) | 1;
    settle(key).map_or_else(|settled| settled, |()| key)
}

/// Makes this the key, unless there is one.
#[cfg(target_has_atomic = "ptr")]
fn settle(key: usize) -> Result<(), usize> {
    KEY.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed).map(drop)
}

/// The same on a chip without compare-and-swap: there, no interrupt may come between that allocates first.
#[cfg(not(target_has_atomic = "ptr"))]
fn settle(key: usize) -> Result<(), usize> {
    match KEY.load(Ordering::Relaxed) {
        0 => Ok(KEY.store(key, Ordering::Relaxed)),
        settled => Err(settled),
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

/// A number for a pool: each is given out once.
fn next_number() -> usize {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    #[cfg(target_has_atomic = "ptr")]
    let last = LAST.fetch_add(1, Ordering::Relaxed);
    // Of a chip without that, two pools that take their first block at the same moment, one of them in an interrupt, may get
    // the same number.
    #[cfg(not(target_has_atomic = "ptr"))]
    let last = {
        let last = LAST.load(Ordering::Relaxed);
        LAST.store(last + 1, Ordering::Relaxed);
        last
    };
    last + 1
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
