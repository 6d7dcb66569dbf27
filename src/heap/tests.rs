//! Tests of a part against a model that records the live blocks and their contents. All
//! invariants are checked at regular intervals.
#![allow(clippy::cast_possible_truncation, reason = "the contents are derived from the lower bits")]

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::iter;
use std::vec::Vec;

use super::part::Part;
use super::units::{GRANULE, granules};
use crate::{PAGE_SIZE, Page};

struct Live {
    block: NonNull<u8>,
    layout: Layout,
    /// The value from which the contents are derived.
    seed: u8,
}

impl Live {
    fn fill(&self, from: usize) {
        for index in from..self.layout.size() {
            // SAFETY: the block is live, and the index is below its size.
            unsafe { self.block.add(index).write(self.byte(index)) };
        }
    }

    fn verify(&self, bytes: usize) {
        for index in 0..bytes {
            // SAFETY: the block is live, and was filled up to at least this index.
            assert_eq!(unsafe { self.block.add(index).read() }, self.byte(index), "byte {index} of {bytes}");
        }
    }

    fn byte(&self, index: usize) -> u8 {
        self.seed.wrapping_add(index as u8) | 1
    }
}

struct Model {
    part: Part,
    live: Vec<Live>,
    /// The size of the largest possible block while no block is live.
    all: usize,
    seed: u8,
    /// Zeroed memory. It is used only through the pointer that was passed to the part.
    _memory: Vec<MaybeUninit<Page>>,
}

impl Model {
    /// Creates a model over `len` bytes that start `offset` bytes after the start of a
    /// page. A sequence therefore has the same effect in every run.
    fn new(offset: usize, len: usize) -> Option<Self> {
        let pages = (offset + len).div_ceil(PAGE_SIZE);
        let mut memory: Vec<_> = iter::repeat_with(MaybeUninit::zeroed).take(pages).collect();
        let start = NonNull::new(memory.as_mut_ptr())?.cast::<u8>();
        // SAFETY: the pages have at least `offset + len` bytes, which stay in place when
        // the vector is moved.
        let part = unsafe { Part::new(start.add(offset), len) }?;
        Some(Self { all: part.largest_free(), part, live: Vec::new(), seed: 0, _memory: memory })
    }

    fn check(&self) {
        let place = |live: &Live| (self.part.granule_of(live.block), granules(live.layout.size()));
        let mut blocks: Vec<_> = self.live.iter().map(place).collect();
        blocks.sort_unstable();
        self.part.check_all(&blocks);
        for live in &self.live {
            assert_eq!(live.block.addr().get() % live.layout.align(), 0);
            live.verify(live.layout.size());
        }
        if self.live.is_empty() {
            assert_eq!((self.part.largest_free(), self.part.holes.listed().len()), (self.all, 0));
        }
    }

    fn allocate(&mut self, layout: Layout, is_zeroed: bool) -> bool {
        let largest = self.part.largest_free();
        let block =
            if is_zeroed { self.part.allocate_zeroed(layout, true) } else { self.part.allocate(layout) }.unwrap();
        if layout.align() <= GRANULE {
            assert!(block.is_some() || layout.size() > largest, "{layout:?} of {largest}");
        }
        let Some(block) = block else { return false };
        if is_zeroed {
            // SAFETY: the block is live and initialized.
            assert!((0..layout.size()).all(|index| unsafe { block.add(index).read() } == 0), "not zeroed");
        }
        self.seed = self.seed.wrapping_add(37);
        let live = Live { block, layout, seed: self.seed };
        live.fill(0);
        self.live.push(live);
        true
    }

    fn free(&mut self, index: usize) {
        let Live { block, layout, .. } = self.live.swap_remove(index);
        // SAFETY: the block is live, and is no longer used after this.
        unsafe { self.part.deallocate(block, layout) }.unwrap();
    }

    fn resize(&mut self, index: usize, new: Layout) {
        let Live { block, layout: old, seed } = self.live[index];
        let largest = self.part.largest_free();
        // SAFETY: the block is live with the old layout.
        let moved = unsafe { self.part.resize(block, old, new) }.unwrap();
        let shrinks = new.size() <= old.size() && new.align() <= old.align();
        let has_room = new.size() <= largest && new.align() <= GRANULE;
        assert!(moved.is_some() || (!shrinks && !has_room), "{old:?} to {new:?} failed");
        if let Some(block) = moved {
            let kept = old.size().min(new.size());
            let live = Live { block, layout: new, seed };
            live.verify(kept);
            live.fill(kept);
            self.live[index] = live;
        }
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// A xorshift generator: Marsaglia, *Xorshift RNGs*, 2003.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % bound
    }

    /// Returns a size of at most `1 << bits` bytes. Small sizes are more frequent than
    /// large ones.
    fn size(&mut self, bits: usize) -> usize {
        let bits = self.below(bits) + 1;
        self.below(1 << bits) + 1
    }

    fn align(&mut self) -> usize {
        if self.below(4) == 0 { 1 << self.below(9) } else { 1 << self.below(4) }
    }
}

/// Runs a random sequence of `steps` steps over `len` bytes, with sizes of up to `bits`
/// bits. Checks the invariants every `every` steps.
fn run(seed: usize, offset: usize, len: usize, steps: usize, bits: usize, every: usize) {
    let Some(mut model) = Model::new(offset, len) else { return };
    let mut random = Random(seed as u64 * 0x9E37_79B9 + 1);
    // In this many of eight cases, a step that could free a block allocates one instead.
    let mut busy = 1;
    for step in 0..steps {
        if step % 64 == 0 {
            busy = random.below(7) + 1;
        }
        let index = random.below(model.live.len().max(1));
        match random.below(9) {
            0..3 => {
                let layout = layout(random.size(bits), random.align());
                model.allocate(layout, random.below(3) == 0);
            }
            3..7 if !model.live.is_empty() && random.below(8) >= busy => model.free(index),
            3..7 => {
                model.allocate(layout(random.size(bits), 1), false);
            }
            _ => {
                if let Some(live) = model.live.get(index) {
                    let align = if random.below(4) == 0 { random.align() } else { live.layout.align() };
                    model.resize(index, layout(random.size(bits), align));
                }
            }
        }
        if step % every == 0 {
            model.check();
        }
    }
    while !model.live.is_empty() {
        model.free(random.below(model.live.len()));
        model.check();
    }
}

#[test]
fn random_sequences_in_small_parts() {
    for seed in 0..if cfg!(miri) { 4 } else { 6000 } {
        // The offset in a page advances by 3 bytes with each seed, so that every offset
        // occurs.
        run(seed, seed * 3 % PAGE_SIZE, 60 + seed % 600 * 3, if cfg!(miri) { 30 } else { 250 }, 8, 1 + seed % 10);
    }
}

#[test]
fn random_sequences_in_large_parts() {
    for seed in 0..if cfg!(miri) { 1 } else { 12 } {
        run(seed, 0, 64 << 10, if cfg!(miri) { 60 } else { 6000 }, 9 + seed % 5, 13);
    }
}

/// Runs every possible sequence of a given number of steps.
#[test]
fn every_short_sequence() {
    const SIZES: [usize; 4] = [1, 2, 3, 7];

    /// Takes a step. Returns `None` if the step isn't possible.
    fn step(model: &mut Model, step: usize) -> Option<()> {
        match step {
            0..4 => model.allocate(layout(SIZES[step] * GRANULE - 1, 1), false).then_some(()),
            4 => model.allocate(layout(GRANULE, GRANULE * 4), false).then_some(()),
            _ => {
                let (index, what) = ((step - 5) / 5, (step - 5) % 5);
                let old = model.live.get(index)?.layout;
                match SIZES.get(what).map(|granules| granules * GRANULE - 1) {
                    None => model.free(index),
                    Some(size) if size == old.size() => return None,
                    Some(size) => model.resize(index, layout(size, old.align())),
                }
                Some(())
            }
        }
    }

    /// Runs all sequences that begin with these steps and have `depth` more, and returns
    /// their number.
    fn explore(steps: &mut Vec<usize>, depth: usize, granules: usize) -> usize {
        let Some(mut model) = Model::new(0, granules * GRANULE) else { return 0 };
        if !steps.iter().all(|&next| step(&mut model, next).is_some()) {
            return 0;
        }
        model.check();
        if depth == 0 {
            return 1;
        }
        let next = 0..5 + model.live.len() * 5;
        let count = next.map(|next| {
            steps.push(next);
            let count = explore(steps, depth - 1, granules);
            steps.pop();
            count
        });
        count.sum()
    }

    // The records of such small parts need three or four granules.
    let depth = if cfg!(miri) { 2 } else { 5 };
    let count: usize = [8, 12, 16, 21].map(|granules| explore(&mut Vec::new(), depth, granules)).iter().sum();
    assert!(count > if cfg!(miri) { 10 } else { 10_000 }, "{count} sequences");
}

#[cfg(hpalloc_hardened)]
#[test]
fn misuse_is_detected() {
    use crate::hardened::{Misuse, MisuseError};

    fn found(misuse: impl FnOnce(&mut Model) -> Result<(), MisuseError>) -> Option<Misuse> {
        let mut model = Model::new(0, 64 << 10).unwrap();
        for index in 0..200 {
            model.allocate(layout(8 + index % 150, 1), false);
        }
        misuse(&mut model).err().map(|error| error.misuse)
    }
    let free_at = |model: &mut Model, index: usize, offset: usize, layout: Layout| {
        let block = model.live[index].block;
        // SAFETY: the address is in the part. Misuse is returned as an error.
        unsafe { model.part.deallocate(block.add(offset), layout) }
    };
    let free = |model: &mut Model, index: usize| free_at(model, index, 0, model.live[index].layout);
    assert_eq!(found(|model| free(model, 30)), None);
    // A double free is detected regardless of which neighbors are free.
    for neighbours in 0..4 {
        let misuse = found(|model| {
            for (bit, index) in [(1, 29), (2, 31)] {
                if neighbours & bit != 0 {
                    free(model, index)?;
                }
            }
            iter::repeat_n((), 2).try_for_each(|()| free(model, 30))
        });
        assert_eq!(misuse, Some(Misuse::DoubleFree));
    }
    let over_a_hole = found(|model| free(model, 31).and_then(|()| free_at(model, 30, 0, layout(2000, 1))));
    assert_eq!(over_a_hole, Some(Misuse::DoubleFree));
    for (index, offset, layout, expected) in [
        (199, 0, layout(8000, 1), Misuse::DoubleFree),
        (199, 0, layout(1 << 20, 1), Misuse::NotABlock),
        (3, 4, layout(8, 1), Misuse::NotABlock),
        (199, 4096, layout(8, 1), Misuse::NeverAllocated),
    ] {
        assert_eq!(
            found(|model| free_at(model, index, offset, layout)),
            Some(expected),
            "{index}, {offset}, {layout:?}"
        );
    }
}

/// A write to a byte of free memory is detected when the byte is about to be handed out,
/// to a new block or to a block that grows, but not earlier. After that, new blocks use
/// other memory, and a block that couldn't grow is unchanged.
#[cfg(hpalloc_hardened)]
#[test]
fn writes_after_free_are_detected() {
    use crate::hardened::{Misuse, MisuseError};

    fn writes_are_detected(offset: usize, middle: usize, size: usize, grows: bool) {
        let mut model = Model::new(0, 16 << 10).unwrap();
        for size in [64, 64, middle, 40, 64] {
            assert!(model.allocate(layout(size, 1), false));
        }
        let hole = model.live[1].block;
        // The middle block is freed last, so that it merges with both of its neighbors.
        for index in [1, 3, 2] {
            model.free(index);
        }
        model.check();
        // SAFETY: the byte is in the part's memory. The heap must detect the write.
        unsafe { hole.add(offset).write(!hole.add(offset).read()) };
        let error = if grows {
            let Live { block, layout: old, .. } = model.live[0];
            // SAFETY: the block is live and has this layout.
            unsafe { model.part.resize(block, old, layout(64 + size, 1)) }.err()
        } else {
            model.part.allocate(layout(size, 1)).err()
        };
        let written = MisuseError {
            misuse: Misuse::WrittenAfterFree,
            block: hole.addr().get() + offset,
            block_size: if grows { 64 + size } else { size },
            pool: 0,
        };
        assert_eq!(
            error,
            (offset < size.next_multiple_of(GRANULE)).then_some(written),
            "{offset}, {middle}, {size}, {grows}"
        );
        model.live.iter().for_each(|live| live.verify(live.layout.size()));
        if error.is_some() && !grows {
            let block = model.part.allocate(layout(8, 1)).unwrap().unwrap();
            assert!(!(hole..hole.map_addr(|address| address.saturating_add(size))).contains(&block));
        }
    }

    // The smaller hole is smaller than a region, so it has no tail. The larger hole has a
    // tail, wherever it starts.
    for (middle, tail) in [(64, 0), (600, GRANULE)] {
        let freed = 64 + middle + 40;
        // The words of the hole are excluded.
        for offset in 2 * GRANULE..freed - tail {
            for size in [8, 100, freed] {
                writes_are_detected(offset, middle, size, true);
                writes_are_detected(offset, middle, size, false);
            }
        }
    }
}
