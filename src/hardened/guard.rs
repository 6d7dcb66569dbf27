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

/// Set in the numbers of families, and not in those that pools get by themselves.
const FAMILY: usize = 1 << (usize::BITS - 1);

/// How a pool recognises its blocks.
///
/// ```text
///   ┌──────────────────────┬───────┬──────────┬──────┐
///   │ block                │ check │ identity │ rest │ next block
///   └──────────────────────┴───────┴──────────┴──────┘
/// ```
///
/// After each block that was handed out once lie two words. The *identity* says whose block it is, of what size, where, and
/// whether it is live or free. The *check* depends on the same, and for a free block on its link too. An overflow reaches the
/// check first.
///
/// A pool looks at these words only in its own runs, and there only after blocks that it has carved: any other memory may be
/// borrowed, in use by another thread, or never written. The exception is a pool of a family, which is asked to believe that
/// a block that isn't its own is of the family.
pub(crate) struct Guard {
    /// Where this pool's blocks lie.
    runs: Runs,
    /// The memory that comes from no source, and how many bytes it has.
    memory: Cell<Option<Run>>,
    /// This pool's, or its family's; zero until it has memory.
    number: Cell<usize>,
    /// The number of the family, zero without one.
    family: usize,
    live: Cell<usize>,
    /// How many of the live blocks were given up for good. Shared, so that to give one up takes no lock.
    forgotten: Shared<usize>,
    /// The size of the blocks, to report leaks.
    block_size: Cell<usize>,
}

// SAFETY: the memory is the pool's alone, and has no tie to a thread.
unsafe impl Send for Guard {}

/// How the blocks of a pool lie in a run.
pub(crate) struct Shape<F: FnOnce(usize) -> bool> {
    /// The size of a block.
    pub(crate) bytes: usize,
    /// The length of a run from the source.
    pub(crate) run_bytes: usize,
    /// How much of a run from the source is blocks.
    pub(crate) blocks_bytes: usize,
    /// Whether a block begins so many bytes from the start of a run, if the run is long enough.
    pub(crate) is_start: F,
    /// The part of the newest run that isn't carved yet.
    pub(crate) fresh: (usize, usize),
}

/// What a guard behind a block consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Words {
    check: usize,
    identity: usize,
}

impl Words {
    /// Of a live block. Each of the arguments makes a difference to each of the words, and no two pools have the same words at
    /// an address, but by chance where they differ in two arguments.
    fn of(key: usize, address: usize, number: usize, bytes: usize) -> Self {
        let start = mix(key, address);
        Self { check: mix(mix(start, bytes), !number), identity: mix(mix(start, number), bytes) }
    }
}

/// The difference between a free block's words and a live one's.
const FREE: usize = 0x0F0F_0F0F;

/// What was detected about a free block.
pub(crate) struct Damage {
    pub(crate) error: MisuseError,
    /// Whether its link is what it was.
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

    /// Blocks of others in the family are as its own. Of no effect once there is memory, see [`begin`](Self::begin).
    pub(crate) const fn in_family(&mut self, family: u16) {
        self.family = family as usize | FAMILY;
    }

    /// There is memory now. The number is settled for good, so that a pool always recognises its own blocks.
    fn begin(&self) {
        if self.number.get() == 0 {
            self.number.set(if self.family == 0 { next_number() } else { self.family });
        }
    }

    /// There is memory now, which comes from no source.
    pub(crate) fn begin_with(&self, start: *mut u8, bytes: usize) {
        self.memory.set(NonNull::new(start).map(|start| Run { start, bytes }));
        self.begin();
    }

    /// There is another run.
    ///
    /// # Errors
    ///
    /// The record of another one was overwritten. The new one is added all the same.
    ///
    /// # Safety
    ///
    /// The pool took it from its source, for good, and leaves its last `RECORD_BYTES` alone.
    pub(crate) unsafe fn add_run(&self, start: NonNull<u8>, bytes: usize) -> Result<(), MisuseError> {
        self.begin();
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.runs.add(start, bytes) }
            .map_err(|Overwritten| self.error(start, self.block_size.get(), Misuse::RecordOverwritten))
    }

    /// A run, which is one live block, isn't the pool's any more: its pages are used in
    /// another way.
    ///
    /// # Errors
    ///
    /// A record on the way was overwritten. The run is still found where it isn't its own,
    /// but counts as live no more.
    ///
    /// # Safety
    ///
    /// It was added to this guard, and nothing uses it.
    pub(crate) unsafe fn remove_run(&self, start: NonNull<u8>) -> Result<(), MisuseError> {
        self.live.set(self.live.get().saturating_sub(1));
        self.runs
            .remove(start.addr().get())
            .map_err(|Overwritten| self.error(start, self.block_size.get(), Misuse::RecordOverwritten))
    }

    /// The number that the pool's blocks are marked with; zero if it has none yet.
    fn number(&self) -> usize {
        if self.number.get() == 0 { self.family } else { self.number.get() }
    }

    /// Whether blocks of other pools come here.
    pub(crate) fn is_of_family(&self) -> bool {
        self.number() & FAMILY != 0
    }

    /// The words after a live block.
    fn live(&self, block: NonNull<u8>, bytes: usize) -> Words {
        Words::of(key(), block.addr().get(), self.number(), bytes)
    }

    /// The words after a free block with that link.
    fn free(&self, block: NonNull<u8>, bytes: usize, link: usize) -> Words {
        let Words { check, identity } = self.live(block, bytes);
        Words { check: check ^ mix(FREE, link), identity: identity ^ FREE }
    }

    fn error(&self, block: NonNull<u8>, block_size: usize, misuse: Misuse) -> MisuseError {
        MisuseError { misuse, block: block.addr().get(), block_size, pool: self.number() & !FAMILY }
    }

    /// A block that wasn't handed out before becomes live. What an earlier pool left in it is overwritten: a link or a guard
    /// would tell the key.
    ///
    /// # Safety
    ///
    /// That of [`hand_out`](Self::hand_out).
    pub(crate) unsafe fn hand_out_fresh(&self, block: NonNull<u8>, bytes: usize) {
        // SAFETY: as the caller promises.
        unsafe {
            fill(block, bytes);
            self.hand_out(block, bytes);
        }
    }

    /// The block becomes live.
    ///
    /// # Safety
    ///
    /// It is a block of this pool with so many bytes and room for a guard, that nothing uses.
    pub(crate) unsafe fn hand_out(&self, block: NonNull<u8>, bytes: usize) {
        self.block_size.set(bytes);
        self.live.set(self.live.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { words(block, bytes).write(self.live(block, bytes)) };
    }

    /// The block is in the free list now.
    ///
    /// # Safety
    ///
    /// It is a block of this pool with so many bytes, and a guard after it, that nothing else uses, and starts with a link.
    pub(crate) unsafe fn take_back(&self, block: NonNull<u8>, bytes: usize) {
        // One of another pool of the family may come back here.
        self.live.set(self.live.get().saturating_sub(1));
        // SAFETY: as the caller promises.
        unsafe {
            let link = link(block);
            fill(block.add(size_of::<usize>()), bytes - size_of::<usize>());
            words(block, bytes).write(self.free(block, bytes, link));
        }
    }

    /// Overwrites the link of a block that leaves the free list: encoded or not, it would tell where another block lies, and
    /// with that the key.
    ///
    /// # Safety
    ///
    /// It starts with a link, and nothing else uses it.
    #[allow(clippy::unused_self, reason = "as the guard's other methods are called")]
    pub(crate) unsafe fn hide_link(&self, block: NonNull<u8>) {
        // SAFETY: as the caller promises.
        unsafe { block.cast::<usize>().write(PATTERN_WORD) };
    }

    /// Whether a block of the free list is as it was put there.
    ///
    /// # Safety
    ///
    /// It is in the free list of this pool, with so many bytes.
    pub(crate) unsafe fn check_free(&self, block: NonNull<u8>, bytes: usize) -> Result<(), Damage> {
        // SAFETY: by the caller's promise, the block is there, initialised, and not used otherwise. It is a whole number of
        // words, of which the link is one.
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

    /// The block was given up for good: it isn't missed when the pool is dropped.
    pub(crate) fn forget(&self) {
        self.forgotten.update(|forgotten| Some(forgotten + 1));
    }

    /// The error for a block that is to be freed with a size that no block here has.
    pub(crate) fn refuse(&self, block: NonNull<u8>, bytes: usize) -> Result<(), MisuseError> {
        Err(self.error(block, bytes, Misuse::Foreign))
    }

    /// Whether what is to be freed is a live block of this pool: the pointer to it that is valid for all of it and its guard.
    ///
    /// # Safety
    ///
    /// The shape is that of this pool. If the pool is of a family and the block in none of its own runs, the block is one of
    /// the family, or there are at least so many bytes that nothing else writes to meanwhile.
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
                    // SAFETY: as the caller promises.
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
        // SAFETY: it is within the run.
        let block = unsafe { run.start.add(offset) };
        // SAFETY: the block is this pool's own, and was carved: its guard was written when it was handed out first.
        match unsafe { self.compare(block, bytes) } {
            Ok(()) => Ok(block),
            Err(misuse) => error(misuse.unwrap_or(Misuse::Overflow)),
        }
    }

    /// Whether the words after a block are those of a live one; if not, what happened, as far as they say.
    ///
    /// # Safety
    ///
    /// So many bytes and a guard are there, initialised.
    unsafe fn compare(&self, block: NonNull<u8>, bytes: usize) -> Result<(), Option<Misuse>> {
        // SAFETY: as the caller promises. (They may be misaligned only in a family.)
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

/// The guard after a block.
fn words(block: NonNull<u8>, bytes: usize) -> *mut Words {
    block.as_ptr().wrapping_add(bytes).cast()
}

/// The link at the start of a free block, as it is stored.
///
/// # Safety
///
/// The block starts with one.
unsafe fn link(block: NonNull<u8>) -> usize {
    // SAFETY: as the caller promises.
    unsafe { block.cast::<*mut u8>().read() }.addr()
}

impl Drop for Guard {
    fn drop(&mut self) {
        let blocks = self.live.get().saturating_sub(self.forgotten.get());
        // A block of a family may have been freed to another pool.
        if blocks > 0 && !self.is_of_family() {
            let misuse = Misuse::Leaked { blocks };
            report(MisuseError { misuse, block: 0, block_size: self.block_size.get(), pool: self.number.get() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    /// A guard that was copied, or is another pool's, or was made with another key, is wrong in both of its words.
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

    /// Nor do pools of different sizes have the same words at an address.
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
