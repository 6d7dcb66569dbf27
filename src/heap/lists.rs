use core::cell::Cell;
use core::ptr::NonNull;

use super::hole::{Field, MOST_GRANULES, Memory, narrow};
use super::units::log2;

/// Classes that each octave of sizes is divided into, as a power of two.
const STEP_BITS: u32 = 2;

/// Sizes below this one have a class of their own.
pub(super) const EXACT: usize = 2 << STEP_BITS;

const WORD: usize = usize::BITS as usize;

/// How many words have a bit for each class.
const WORDS: usize = class_of(MOST_GRANULES) / WORD + 1;

/// The class that is returned if no class has a hole.
pub(super) const NO_CLASS: usize = usize::MAX;

/// All holes of at least one granule in about so many of the part are one class, which never has more than so many holes.
pub(super) const LAST_CLASS: usize = 8;

/// The class of a size: a floating-point number, rounded down, whose exponent and mantissa lie side by side.
#[inline]
const fn class_of(granules: usize) -> usize {
    let shift = log2(granules | 1 << STEP_BITS) - STEP_BITS;
    ((shift as usize) << STEP_BITS) + (granules >> shift)
}

/// Holes by size: a circle of holes for each class of sizes.
///
/// Source: M. Masmano, I. Ripoll, A. Crespo and J. Real, *TLSF: a New Dynamic Memory Allocator for Real-Time Systems*, ECRTS
/// 2004.
pub(super) struct Lists {
    memory: Memory,
    /// A bit for each class that has a hole.
    ///
    /// *Invariant (Circles):* each hole of two granules or more is in the circle of its class, and nothing else is.
    bits: [Cell<usize>; WORDS],
    /// A hole of each class that has one: half a word, or a whole one if positions need it.
    heads: NonNull<u16>,
    is_wide: bool,
    /// The last class.
    pub(super) last_class: usize,
}

impl Lists {
    /// The class of which all holes have an eighth of the granules or more.
    const fn last_of(total: usize) -> usize {
        let least = total / LAST_CLASS;
        if least == 0 { 0 } else { class_of(least - 1) + 1 }
    }

    const fn is_wide(total: usize) -> bool {
        total > u16::MAX as usize
    }

    /// How many bytes the heads for so many granules take.
    pub(super) const fn bytes(total: usize) -> usize {
        (Self::last_of(total) + 1) * if Self::is_wide(total) { size_of::<u32>() } else { size_of::<u16>() }
    }

    /// # Safety
    ///
    /// At `heads`, which is aligned to a word, there are `bytes(total)` bytes that nothing else uses while this is used.
    pub(super) const unsafe fn new(memory: Memory, heads: NonNull<u8>, total: usize) -> Self {
        Self {
            memory,
            bits: [const { Cell::new(0) }; WORDS],
            heads: heads.cast(),
            is_wide: Self::is_wide(total),
            last_class: Self::last_of(total),
        }
    }

    /// The class of a size.
    #[inline]
    pub(super) fn class_of(&self, granules: usize) -> usize {
        class_of(granules).min(self.last_class)
    }

    /// The first hole of a class that has one.
    #[inline]
    pub(super) fn head(&self, class: usize) -> usize {
        // SAFETY: there is room for each class, and the head of one with a hole is initialised.
        unsafe {
            if self.is_wide {
                self.heads.cast::<u32>().add(class).read() as usize
            } else {
                usize::from(self.heads.add(class).read())
            }
        }
    }

    #[inline]
    fn set_head(&self, class: usize, hole: usize) {
        // SAFETY: there is room for each class.
        unsafe {
            if self.is_wide {
                self.heads.cast::<u32>().add(class).write(narrow(hole));
            } else {
                #[allow(clippy::cast_possible_truncation, reason = "no position needs more")]
                self.heads.add(class).write(hole as u16);
            }
        }
    }

    /// The next hole of the circle. After the last one it is the first one again.
    #[inline]
    pub(super) fn after(&self, hole: usize) -> usize {
        // SAFETY: Circles.
        unsafe { self.memory.get(hole, Field::Next) as usize }
    }

    /// The word of a class, and its bit there.
    #[inline]
    fn bit(&self, class: usize) -> (&Cell<usize>, usize) {
        // The remainder is there for the compiler: no class has a word beyond the last.
        (&self.bits[class / WORD % WORDS], 1 << (class % WORD))
    }

    /// The lowest class from this one on that has a hole, and a bit for each class of the same word from there on that has one.
    #[inline]
    pub(super) fn from(&self, class: usize) -> (usize, usize) {
        let mut mask = usize::MAX << (class % WORD);
        for word in class / WORD..WORDS {
            let bits = self.bits[word].get() & mask;
            if bits != 0 {
                return (word * WORD + bits.trailing_zeros() as usize, bits);
            }
            mask = usize::MAX;
        }
        (NO_CLASS, 0)
    }

    /// The class that follows one that [`from`](Lists::from) returned, in the same way.
    #[inline]
    pub(super) fn next(&self, class: usize, bits: usize) -> (usize, usize) {
        let bits = bits & (bits - 1);
        if bits == 0 {
            return self.from((class | (WORD - 1)) + 1);
        }
        ((class & !(WORD - 1)) + bits.trailing_zeros() as usize, bits)
    }

    /// The highest class that has a hole.
    pub(super) fn last(&self) -> usize {
        for word in (0..WORDS).rev() {
            let bits = self.bits[word].get();
            if bits != 0 {
                return word * WORD + log2(bits) as usize;
            }
        }
        NO_CLASS
    }

    /// The lowest of the heads of a class and of the next few that have a hole, of those in the same word.
    #[inline]
    pub(super) fn lowest_head(&self, class: usize, mut bits: usize, classes: usize) -> usize {
        let word = class & !(WORD - 1);
        let mut lowest = usize::MAX;
        for _ in 0..classes {
            lowest = lowest.min(self.head(word + bits.trailing_zeros() as usize));
            bits &= bits - 1;
            if bits == 0 {
                break;
            }
        }
        lowest
    }

    /// Adds a hole to the circle of its class: as the first if it lies below the first, otherwise as the last. So the first one
    /// lies low.
    ///
    /// # Safety
    ///
    /// It is a hole of so many granules, and in no circle.
    #[inline]
    pub(super) unsafe fn add(&self, hole: usize, granules: usize) {
        let memory = self.memory;
        let class = self.class_of(granules);
        let (word, bit) = self.bit(class);
        let (mut next, mut prev) = (hole, hole);
        if word.get() & bit == 0 {
            word.set(word.get() | bit);
            self.set_head(class, hole);
        } else {
            next = self.head(class);
            // SAFETY: Circles.
            prev = unsafe { memory.get(next, Field::Prev) as usize };
            if hole < next {
                self.set_head(class, hole);
            }
        }
        // SAFETY: all three are holes of the class.
        unsafe {
            memory.set(hole, Field::Next, narrow(next));
            memory.set(hole, Field::Prev, narrow(prev));
            memory.set(prev, Field::Next, narrow(hole));
            memory.set(next, Field::Prev, narrow(hole));
        }
    }

    /// The next hole of the circle, and the one before.
    ///
    /// # Safety
    ///
    /// The hole is in a circle.
    #[inline]
    pub(super) unsafe fn links(&self, hole: usize) -> (u32, u32) {
        // SAFETY: Circles.
        unsafe { (self.memory.get(hole, Field::Next), self.memory.get(hole, Field::Prev)) }
    }

    /// Removes a hole from the circle of its class.
    ///
    /// # Safety
    ///
    /// It is a hole of so many granules.
    #[inline]
    pub(super) unsafe fn remove(&self, hole: usize, granules: usize) {
        let memory = self.memory;
        let class = self.class_of(granules);
        // SAFETY: Circles.
        let next = unsafe {
            let (next, prev) = self.links(hole);
            memory.set(prev as usize, Field::Next, next);
            memory.set(next as usize, Field::Prev, prev);
            next as usize
        };
        if next == hole {
            let (word, bit) = self.bit(class);
            word.set(word.get() & !bit);
        } else if self.head(class) == hole {
            self.set_head(class, next);
        }
    }
}

#[cfg(all(test, not(target_os = "none")))]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_the_order_of_sizes() {
        let step = if cfg!(miri) { 9973 } else { 1 };
        let mut before = (0, 0);
        for granules in (1..1 << 18).step_by(step).chain([1 << 22, (1 << 24) + 12_345, MOST_GRANULES]) {
            let class = class_of(granules);
            assert!(class >= before.0, "{granules}");
            if class != before.0 {
                before = (class, granules);
            }
            // The smallest size of a class has at least four fifths of the largest one.
            assert!(granules * 4 < before.1 * 5, "{granules}");
            assert!(granules >= EXACT || class == granules);
        }
        assert!(before.0 < WORDS * WORD);
    }
}
