use core::cell::Cell;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use core::slice;

use super::{Misuse, MisuseError, SPREAD, key, next_number, report};
use crate::block_size::GUARD_BYTES;
use crate::{PAGE_SIZE, PageSource};

static_assertions::const_assert_eq!(size_of::<Words>(), GUARD_BYTES);

/// What the bytes of free blocks are, behind the link.
const PATTERN: u8 = 0xDF;
/// A word of them.
const PATTERN_WORD: usize = usize::from_ne_bytes([PATTERN; size_of::<usize>()]);
/// What numbers of families have set, and those that pools get by themselves have not.
const FAMILY: usize = 1 << (usize::BITS - 1);

/// What a pool knows its blocks again by.
///
/// ```text
///   ┌──────────────────────┬───────┬──────────┬──────┐
///   │ block                │ check │ identity │ rest │ next block
///   └──────────────────────┴───────┴──────────┴──────┘
/// ```
///
/// Behind each block that was handed out once are two words. The *identity* says whose block it is, of what size, where, and
/// whether it is live or free. The *check* depends on the same, and for a free block on its link too. An overflow comes upon
/// the check first.
pub(crate) struct Guard {
    /// Of this pool, or of its family; zero until it has memory.
    number: Cell<usize>,
    live: Cell<usize>,
    /// The size of the blocks, to report leaks.
    block_size: Cell<usize>,
    /// From where to where the memory lies that comes from no source.
    memory: Cell<(usize, usize)>,
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

/// One to one in each of the arguments.
fn mix(a: usize, b: usize) -> usize {
    let mixed = (a ^ b).wrapping_mul(SPREAD);
    // The product's upper bits depend on all bits, its lower ones on the lower ones.
    (mixed ^ (mixed >> (usize::BITS / 2 + 1))).wrapping_mul(SPREAD).rotate_left(usize::BITS / 2)
}

/// What is different where a block is free.
const FREE: usize = 0x0F0F_0F0F;

/// What is wrong with a free block.
pub(crate) struct Damage {
    pub(crate) error: MisuseError,
    /// Whether its link is what it was.
    pub(crate) link_is_intact: bool,
}

impl Guard {
    pub(crate) const fn new() -> Self {
        Self { number: Cell::new(0), live: Cell::new(0), block_size: Cell::new(0), memory: Cell::new((0, 0)) }
    }

    pub(crate) const fn in_family(&mut self, family: u16) {
        self.number = Cell::new(family as usize | FAMILY);
    }

    /// There is memory now.
    pub(crate) fn begin(&self) {
        if self.number.get() == 0 {
            self.number.set(next_number());
        }
    }

    /// There is memory now, which comes from no source.
    pub(crate) fn begin_with(&self, start: usize, end: usize) {
        self.memory.set((start, end));
        self.begin();
    }

    /// What is behind a live block.
    fn live(&self, block: NonNull<u8>, bytes: usize) -> Words {
        Words::of(key(), block.addr().get(), self.number.get(), bytes)
    }

    /// What is behind a free block with that link.
    fn free(&self, block: NonNull<u8>, bytes: usize, link: usize) -> Words {
        let Words { check, identity } = self.live(block, bytes);
        Words { check: check ^ mix(FREE, link), identity: identity ^ FREE }
    }

    fn error(&self, block: NonNull<u8>, block_size: usize, misuse: Misuse) -> MisuseError {
        MisuseError { misuse, block: block.addr().get(), block_size, pool: self.number.get() & !FAMILY }
    }

    /// The block becomes live.
    ///
    /// # Safety
    ///
    /// It is a block of this pool with so many bytes, and the guard behind, that nothing uses.
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
    /// It is a block of this pool with so many bytes, and the guard behind, that nothing else uses, and starts with a link.
    pub(crate) unsafe fn take_back(&self, block: NonNull<u8>, bytes: usize) {
        // One of another pool of the family may come back here.
        self.live.set(self.live.get().saturating_sub(1));
        // SAFETY: as the caller promises.
        unsafe {
            let link = link(block);
            block.add(size_of::<usize>()).write_bytes(PATTERN, bytes - size_of::<usize>());
            words(block, bytes).write(self.free(block, bytes, link));
        }
    }

    /// Whether a block of the free list is as it was put there.
    ///
    /// # Safety
    ///
    /// It is in the free list of this pool, with so many bytes.
    pub(crate) unsafe fn check_free(&self, block: NonNull<u8>, bytes: usize) -> Result<(), Damage> {
        // SAFETY: by the caller's promise, the block is there, initialised, and not used otherwise. It is a whole number of
        // words, of which the link is one.
        let (link, found, rest) = unsafe {
            let rest = slice::from_raw_parts(block.cast::<usize>().as_ptr().add(1), bytes / size_of::<usize>() - 1);
            (link(block), words(block, bytes).read(), rest)
        };
        let expected = self.free(block, bytes, link);
        let link_is_intact = found.check == expected.check;
        if found == expected && rest.iter().all(|&word| word == PATTERN_WORD) {
            return Ok(());
        }
        let misuse = if link_is_intact { Misuse::WrittenAfterFree } else { Misuse::LinkOverwritten };
        Err(Damage { error: self.error(block, bytes, misuse), link_is_intact })
    }

    /// What is to be freed with a size that nothing here has.
    pub(crate) fn refuse(&self, block: NonNull<u8>, bytes: usize) -> Result<(), MisuseError> {
        Err(self.error(block, bytes, Misuse::Foreign))
    }

    /// Whether what is to be freed is a live block of this pool.
    ///
    /// # Safety
    ///
    /// `bytes` is the block size, `stride` how far apart blocks are, and `is_start` says whether one begins so many bytes from
    /// the start of a run. `fresh` is the part of the newest run that isn't carved yet. The pointer is good for what it
    /// claims to be, if it is a block of this pool.
    pub(crate) unsafe fn check_live(
        &self,
        block: NonNull<u8>,
        bytes: usize,
        stride: usize,
        is_start: impl FnOnce(usize) -> bool,
        fresh: (usize, usize),
        source: &impl PageSource,
    ) -> Result<(), MisuseError> {
        let address = block.addr().get();
        let (start, end) = self.memory.get();
        let inside = |place: NonNull<u8>| (start..end).contains(&place.addr().get()) || source.holds(place);
        let error = |misuse| Err(self.error(block, bytes, misuse));
        if self.number.get() == 0 || !inside(block) {
            return error(Misuse::Foreign);
        }
        if (fresh.0..fresh.1).contains(&address) {
            return error(Misuse::NeverAllocated);
        }
        // Blocks of a page or less lie one after the other from the start of a page, or of the memory.
        let offset = if (start..end).contains(&address) { address - start } else { address % PAGE_SIZE };
        let end_of_run = if (start..end).contains(&address) { end - start } else { stride.max(PAGE_SIZE) };
        let is_start = is_start(offset) && offset + stride <= end_of_run;
        // What is behind a block that begins there, if that is memory of the source, or of this pool.
        let guard = |block: NonNull<u8>| {
            let is_there = inside(after(block, bytes)) && inside(after(block, bytes + GUARD_BYTES - 1));
            // SAFETY: it is there, and aligned, as a block would be.
            is_there.then(|| unsafe { words(block, bytes).read_volatile() })
        };
        let live = |block| self.live(block, bytes);
        let freed = |block| self.free(block, bytes, 0);
        if let Some(found) = is_start.then(|| guard(block)).flatten() {
            if found == live(block) {
                return Ok(());
            }
            if found.identity == live(block).identity {
                return error(Misuse::Overflow);
            }
            if found.identity == freed(block).identity {
                return error(Misuse::DoubleFree);
            }
        }
        // The first block of a run was handed out, so its guard says whose run it is; or that of the second, if there is one
        // and the first was damaged.
        let first = block.map_addr(|address| NonZeroUsize::new(address.get() - offset).unwrap_or(address));
        let second = (2 * stride <= end_of_run).then(|| after(first, stride));
        let is_ours = [Some(first), second].into_iter().flatten().any(|block| {
            let is_one_of_ours =
                |found: Words| [live(block), freed(block)].iter().any(|it| it.identity == found.identity);
            guard(block).is_some_and(is_one_of_ours)
        });
        error(match (is_ours, is_start) {
            (false, _) => Misuse::Foreign,
            (true, false) => Misuse::NotABlock,
            (true, true) => Misuse::Overflow,
        })
    }
}

/// So many bytes behind a block, or the end of the address space.
fn after(block: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    block.map_addr(|address| address.saturating_add(bytes))
}

/// The guard behind a block.
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
        let blocks = self.live.get();
        // A block of a family may have been freed to another pool.
        if blocks > 0 && self.number.get() & FAMILY == 0 {
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
