use core::cell::Cell;
use core::ptr::NonNull;

use super::filling::{PATTERN_WORD, fill, first_difference};
use super::runs::{Overwritten, Run, Runs};
use super::{Misuse, MisuseError, key, mix, next_number, report};
use crate::PAGE_SIZE;
use crate::block_size::GUARD_BYTES;
use crate::page_source::whole_block;
use crate::shared::Shared;

static_assertions::const_assert_eq!(size_of::<Words>(), GUARD_BYTES);

/// The bit that is set in the numbers of families, and clear in the numbers of other
/// pools.
const FAMILY: usize = 1 << (usize::BITS - 1);

/// The state by which a pool recognizes its blocks.
///
/// ```text
///   ┌──────────────────────┬───────┬──────────┬──────┐
///   │ block                │ check │ identity │ rest │ next block
///   └──────────────────────┴───────┴──────────┴──────┘
/// ```
///
/// Two words follow each block that was ever handed out. The *identity* encodes the pool,
/// the block size, the address, and whether the block is live or free. The *check*
/// encodes the same and, for a free block, its link. An overflow reaches the check first.
///
/// A pool reads these words only in its own runs, and there only after blocks that it has
/// carved. Any other memory may be borrowed, in use by another thread, or never written.
/// The exception is a member of a family: it must trust that a block that isn't its own
/// belongs to the family.
pub(crate) struct Guard {
    /// The runs that contain this pool's blocks.
    runs: Runs,
    /// The memory that came from no page source, and its size.
    memory: Cell<Option<Run>>,
    /// The number of this pool or its family; zero until it has memory.
    number: Cell<usize>,
    /// The number of the family; zero for a pool that is in no family.
    family: usize,
    live: Cell<usize>,
    /// The number of live blocks that were leaked on purpose. Shared, so that leaking one
    /// needs no lock.
    forgotten: Shared<usize>,
    /// The size of the blocks, for the report of leaks.
    block_size: Cell<usize>,
}

// SAFETY: the memory belongs to the pool alone, and is not tied to a thread.
unsafe impl Send for Guard {}

/// The layout of a pool's blocks within a run.
pub(crate) struct Shape<F: FnOnce(usize) -> bool> {
    /// The size of a block.
    pub(crate) bytes: usize,
    /// The length of a run from the page source.
    pub(crate) run_bytes: usize,
    /// The part of such a run that consists of blocks.
    pub(crate) blocks_bytes: usize,
    /// Returns `true` if a block begins at this offset from the start of a run that is
    /// long enough.
    pub(crate) is_start: F,
    /// The addresses of the part of the newest run that isn't carved yet.
    pub(crate) fresh: (usize, usize),
}

/// The guard after a block.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Words {
    check: usize,
    identity: usize,
}

impl Words {
    /// The words after a live block.
    ///
    /// Each argument changes both words. If two pools differ in one argument only, their
    /// words at an address differ; if they differ in two, the words are equal only by
    /// chance.
    fn of(key: usize, address: usize, number: usize, bytes: usize) -> Self {
        let start = mix(key, address);
        Self { check: mix(mix(start, bytes), !number), identity: mix(mix(start, number), bytes) }
    }
}

/// Distinguishes the words of a free block from those of a live one.
const FREE: usize = 0x0F0F_0F0F;

/// Damage that was detected in a free block.
pub(crate) struct Damage {
    pub(crate) error: MisuseError,
    /// `true` if the link is unchanged, so that the rest of the list can be used.
    pub(crate) link_is_intact: bool,
}

impl Guard {
    pub(crate) const fn new() -> Self {
        Self {
            runs: Runs::new(),
            memory: Cell::new(None),
            number: Cell::new(0),
            family: 0,
            live: Cell::new(0),
            forgotten: Shared::new(),
            block_size: Cell::new(0),
        }
    }

    /// Makes the pool a member of a family, whose blocks it accepts as its own. Has no
    /// effect once there is memory; see [`begin`](Self::begin).
    pub(crate) const fn in_family(&mut self, family: u16) {
        self.family = family as usize | FAMILY;
    }

    /// Fixes the number when the pool gets its first memory. It never changes after that,
    /// so the pool always recognizes its own blocks.
    fn begin(&self) {
        if self.number.get() == 0 {
            self.number.set(if self.family == 0 { next_number() } else { self.family });
        }
    }

    /// Sets the memory of a pool that has no page source.
    pub(crate) fn begin_with(&self, start: *mut u8, bytes: usize) {
        self.memory.set(NonNull::new(start).map(|start| Run { start, bytes }));
        self.begin();
    }

    /// Adds a run.
    ///
    /// # Errors
    ///
    /// The record of another run was overwritten. The new run is added all the same.
    ///
    /// # Safety
    ///
    /// The pool took the run from its page source, permanently, and doesn't use its last
    /// `RECORD_BYTES` bytes.
    pub(crate) unsafe fn add_run(&self, start: NonNull<u8>, bytes: usize) -> Result<(), MisuseError> {
        self.begin();
        // SAFETY: the caller upholds the same contract.
        unsafe { self.runs.add(start, bytes) }
            .map_err(|Overwritten| self.error(start, self.block_size.get(), Misuse::RecordOverwritten))
    }

    /// Removes a run that is a single live block, so that its pages can be used for
    /// another purpose.
    ///
    /// # Errors
    ///
    /// A record that the search read was overwritten. The run may still be found by a
    /// search, but its block no longer counts as live.
    ///
    /// # Safety
    ///
    /// The run was added to this guard, and nothing uses it.
    pub(crate) unsafe fn remove_run(&self, start: NonNull<u8>) -> Result<(), MisuseError> {
        self.live.set(self.live.get().saturating_sub(1));
        self.runs
            .remove(start.addr().get())
            .map_err(|Overwritten| self.error(start, self.block_size.get(), Misuse::RecordOverwritten))
    }

    /// Returns the number that marks the pool's blocks, or zero if it has none yet.
    fn number(&self) -> usize {
        if self.number.get() == 0 { self.family } else { self.number.get() }
    }

    /// Returns `true` if blocks of other pools may be freed here.
    pub(crate) fn is_of_family(&self) -> bool {
        self.number() & FAMILY != 0
    }

    /// The words after a live block.
    fn live(&self, block: NonNull<u8>, bytes: usize) -> Words {
        Words::of(key(), block.addr().get(), self.number(), bytes)
    }

    /// The words after a free block with this link.
    fn free(&self, block: NonNull<u8>, bytes: usize, link: usize) -> Words {
        let Words { check, identity } = self.live(block, bytes);
        Words { check: check ^ mix(FREE, link), identity: identity ^ FREE }
    }

    fn error(&self, block: NonNull<u8>, block_size: usize, misuse: Misuse) -> MisuseError {
        MisuseError { misuse, block: block.addr().get(), block_size, pool: self.number() & !FAMILY }
    }

    /// Marks a fresh block as live, and overwrites the remains of an earlier pool: a link
    /// or a guard would reveal the key.
    ///
    /// # Safety
    ///
    /// That of [`hand_out`](Self::hand_out).
    pub(crate) unsafe fn hand_out_fresh(&self, block: NonNull<u8>, bytes: usize) {
        // SAFETY: the caller upholds the same contract.
        unsafe {
            fill(block, bytes);
            self.hand_out(block, bytes);
        }
    }

    /// Marks a block as live.
    ///
    /// # Safety
    ///
    /// It is a block of this pool, with `bytes` bytes and room for a guard, and nothing
    /// uses it.
    pub(crate) unsafe fn hand_out(&self, block: NonNull<u8>, bytes: usize) {
        self.block_size.set(bytes);
        self.live.set(self.live.get() + 1);
        // SAFETY: the caller upholds the contract.
        unsafe { words(block, bytes).write(self.live(block, bytes)) };
    }

    /// Marks a block as free, and fills it except for its link.
    ///
    /// # Safety
    ///
    /// It is a block of this pool, with `bytes` bytes and a guard after them. It starts
    /// with a link, and nothing else uses it.
    pub(crate) unsafe fn take_back(&self, block: NonNull<u8>, bytes: usize) {
        // Saturates because a block of another pool of the family may be freed here.
        self.live.set(self.live.get().saturating_sub(1));
        // SAFETY: the caller upholds the contract.
        unsafe {
            let link = link(block);
            fill(block.add(size_of::<usize>()), bytes - size_of::<usize>());
            words(block, bytes).write(self.free(block, bytes, link));
        }
    }

    /// Overwrites the link of a block that leaves the free list. Even encoded, the link
    /// would reveal the address of another block, and with it the key.
    ///
    /// # Safety
    ///
    /// The block starts with a link, and nothing else uses it.
    #[allow(clippy::unused_self, reason = "the call looks like those of the guard's other methods")]
    pub(crate) unsafe fn hide_link(&self, block: NonNull<u8>) {
        // SAFETY: the caller upholds the contract.
        unsafe { block.cast::<usize>().write(PATTERN_WORD) };
    }

    /// Checks that a block of the free list is unchanged since it was freed.
    ///
    /// # Safety
    ///
    /// The block is in the free list of this pool, and has `bytes` bytes.
    pub(crate) unsafe fn check_free(&self, block: NonNull<u8>, bytes: usize) -> Result<(), Damage> {
        // SAFETY: by the caller's promise, the block is initialized and not in use. It is
        // a whole number of words, the first of which is the link.
        let (link, found, difference) = unsafe {
            let difference = first_difference(block.add(size_of::<usize>()), bytes - size_of::<usize>());
            (link(block), words(block, bytes).read(), difference)
        };
        let expected = self.free(block, bytes, link);
        let link_is_intact = found.check == expected.check;
        if found == expected && difference.is_none() {
            return Ok(());
        }
        let misuse = if link_is_intact { Misuse::WrittenAfterFree } else { Misuse::LinkOverwritten };
        Err(Damage { error: self.error(block, bytes, misuse), link_is_intact })
    }

    /// Counts a block that was leaked on purpose, so that it isn't reported when the pool
    /// is dropped.
    pub(crate) fn forget(&self) {
        self.forgotten.update(|forgotten| Some(forgotten + 1));
    }

    /// Returns the error for freeing a block with a size that no block here has.
    pub(crate) fn refuse(&self, block: NonNull<u8>, bytes: usize) -> Result<(), MisuseError> {
        Err(self.error(block, bytes, Misuse::Foreign))
    }

    /// Checks that a pointer to be freed is a live block of this pool. Returns a pointer
    /// that is valid for all of the block and its guard.
    ///
    /// # Safety
    ///
    /// The shape is that of this pool. If the pool is a member of a family and the
    /// pointer is in none of its own runs, then it points to a block of the family, or to
    /// at least `bytes` bytes and an initialized guard that nothing else writes to
    /// meanwhile.
    pub(crate) unsafe fn check_live(
        &self,
        block: NonNull<u8>,
        Shape { bytes, run_bytes, blocks_bytes, is_start, fresh }: Shape<impl FnOnce(usize) -> bool>,
    ) -> Result<NonNull<u8>, MisuseError> {
        let address = block.addr().get();
        let error = |misuse| Err(self.error(block, bytes, misuse));
        let in_memory = |memory: &Run| {
            (memory.start.addr().get()..).contains(&address) && address - memory.start.addr().get() < memory.bytes
        };
        let (run, end) = if let Some(memory) = self.memory.get().filter(in_memory) {
            (memory, memory.bytes)
        } else {
            match self.runs.find(address & !(PAGE_SIZE - 1)) {
                Ok(Some(run)) if run.bytes == run_bytes => (run, blocks_bytes),
                Ok(None) if self.is_of_family() => {
                    let block = whole_block(block);
                    // SAFETY: the caller upholds the contract.
                    return match unsafe { self.compare(block, bytes) } {
                        Ok(()) => Ok(block),
                        Err(misuse) => error(misuse.unwrap_or(Misuse::Foreign)),
                    };
                }
                Ok(None) if self.runs.are_incomplete() => return error(Misuse::RecordOverwritten),
                Ok(_) => return error(Misuse::Foreign),
                Err(Overwritten) => return error(Misuse::RecordOverwritten),
            }
        };
        if (fresh.0..fresh.1).contains(&address) {
            return error(Misuse::NeverAllocated);
        }
        let offset = address - run.start.addr().get();
        if !is_start(offset) || offset >= end {
            return error(Misuse::NotABlock);
        }
        // SAFETY: the offset is within the run.
        let block = unsafe { run.start.add(offset) };
        // SAFETY: the block is this pool's own and was carved, so its guard was written
        // when it was first handed out.
        match unsafe { self.compare(block, bytes) } {
            Ok(()) => Ok(block),
            Err(misuse) => error(misuse.unwrap_or(Misuse::Overflow)),
        }
    }

    /// Checks that the words after a block are those of a live one. If not, returns the
    /// misuse that they reveal, if any.
    ///
    /// # Safety
    ///
    /// There are `bytes` bytes and a guard, and the guard is initialized.
    unsafe fn compare(&self, block: NonNull<u8>, bytes: usize) -> Result<(), Option<Misuse>> {
        // SAFETY: the caller upholds the contract. Only in a family may the guard be
        // misaligned.
        let found = unsafe { words(block, bytes).read_unaligned() };
        let live = self.live(block, bytes);
        if found == live {
            return Ok(());
        }
        Err(if found.identity == live.identity {
            Some(Misuse::Overflow)
        } else if found.identity == self.free(block, bytes, 0).identity {
            Some(Misuse::DoubleFree)
        } else {
            None
        })
    }
}

/// Returns the address of the guard after a block.
fn words(block: NonNull<u8>, bytes: usize) -> *mut Words {
    block.as_ptr().wrapping_add(bytes).cast()
}

/// Reads the link at the start of a free block, as it is stored.
///
/// # Safety
///
/// The block starts with a link.
unsafe fn link(block: NonNull<u8>) -> usize {
    // SAFETY: the caller upholds the contract.
    unsafe { block.cast::<*mut u8>().read() }.addr()
}

impl Drop for Guard {
    fn drop(&mut self) {
        let blocks = self.live.get().saturating_sub(self.forgotten.get());
        // In a family, a live block may have been freed to another pool.
        if blocks > 0 && !self.is_of_family() {
            let misuse = Misuse::Leaked { blocks };
            report(MisuseError { misuse, block: 0, block_size: self.block_size.get(), pool: self.number.get() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    /// A guard that was copied, belongs to another pool, or was made with another key
    /// differs in both words.
    #[test]
    fn everything_makes_a_difference() {
        let [key, address, number, bytes] = [0x1234_5678, 0x2000_0040, 3, 64];
        let words = Words::of(key, address, number, bytes);
        for bit in 0..usize::BITS {
            let flip = 1_usize << bit;
            for other in [
                Words::of(key ^ flip, address, number, bytes),
                Words::of(key, address ^ flip, number, bytes),
                Words::of(key, address, number ^ flip, bytes),
                Words::of(key, address, number, bytes ^ flip),
            ] {
                assert!(other.check != words.check && other.identity != words.identity, "bit {bit}");
            }
        }
    }

    /// Pools of different block sizes don't have equal words at an address either.
    #[test]
    fn pools_do_not_collide() {
        let steps = if cfg!(any(target_os = "none", miri)) { 40 } else { 1 };
        for (address, bytes) in [(0x2000_0000, 64), (0x2000_1040, 1040)] {
            let ours = Words::of(1, address, 1, bytes);
            for number in 2..400 {
                for size in (8..2000).step_by(8 * steps).chain([bytes, bytes + (2 << 20)]) {
                    assert!(Words::of(1, address, number, size) != ours, "{number}, {size}");
                }
            }
        }
    }
}
