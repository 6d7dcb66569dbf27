use core::cell::Cell;
use core::ptr::NonNull;

use super::hole::{Field, MOST_GRANULES, Memory, narrow};
use super::units::log2;

/// The number of classes per power of two of sizes, as an exponent of two.
const STEP_BITS: u32 = 2;

/// Each size below this one, in granules, has its own class.
pub(super) const EXACT: usize = 2 << STEP_BITS;

const WORD: usize = usize::BITS as usize;

/// The number of words that hold one bit per class.
const WORDS: usize = class_of(MOST_GRANULES) / WORD + 1;

/// Returned instead of a class if no class has a hole.
pub(super) const NO_CLASS: usize = usize::MAX;

/// All holes of at least about `1 / LAST_CLASS` of the part share the last class, which
/// therefore never has more than `LAST_CLASS` holes.
pub(super) const LAST_CLASS: usize = 8;

/// Returns the class of a size: a floating-point number, rounded down, with the exponent
/// and the mantissa side by side.
#[inline]
const fn class_of(granules: usize) -> usize {
    let shift = log2(granules | 1 << STEP_BITS) - STEP_BITS;
    ((shift as usize) << STEP_BITS) + (granules >> shift)
}

/// The index of holes by size: a circular list of holes for each class of sizes.
///
/// Source: M. Masmano, I. Ripoll, A. Crespo and J. Real, *TLSF: a New Dynamic Memory
/// Allocator for Real-Time Systems*, ECRTS 2004.
pub(super) struct Lists {
    memory: Memory,
    /// One bit per class, which is set if the class has a hole.
    ///
    /// *Invariant (Circles):* the circular list of a class contains exactly the holes of
    /// that class that have at least two granules.
    bits: [Cell<usize>; WORDS],
    /// The first hole of each class that has one. An entry has 16 bits, or 32 bits if
    /// positions need them.
    heads: NonNull<u16>,
    is_wide: bool,
    /// The highest class.
    pub(super) last_class: usize,
}

impl Lists {
    /// Returns the lowest class whose holes all have at least an eighth of the granules.
    const fn last_of(total: usize) -> usize {
        let least = total / LAST_CLASS;
        if least == 0 { 0 } else { class_of(least - 1) + 1 }
    }

    const fn is_wide(total: usize) -> bool {
        total > u16::MAX as usize
    }

    /// Returns the size of the heads of a part with `total` granules, in bytes.
    pub(super) const fn bytes(total: usize) -> usize {
        (Self::last_of(total) + 1) * if Self::is_wide(total) { size_of::<u32>() } else { size_of::<u16>() }
    }

    /// # Safety
    ///
    /// `heads` is aligned to a word of 32 bits and points to `bytes(total)` bytes, which
    /// nothing else uses while the value is in use.
    pub(super) const unsafe fn new(memory: Memory, heads: NonNull<u8>, total: usize) -> Self {
        Self {
            memory,
            bits: [const { Cell::new(0) }; WORDS],
            heads: heads.cast(),
            is_wide: Self::is_wide(total),
            last_class: Self::last_of(total),
        }
    }

    /// Returns the class of a size.
    #[inline]
    pub(super) fn class_of(&self, granules: usize) -> usize {
        class_of(granules).min(self.last_class)
    }

    /// Returns the first hole of a class that has one.
    #[inline]
    pub(super) fn head(&self, class: usize) -> usize {
        // SAFETY: there is an entry for each class. The entry of a class with a hole is
        // initialized.
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
        // SAFETY: there is an entry for each class.
        unsafe {
            if self.is_wide {
                self.heads.cast::<u32>().add(class).write(narrow(hole));
            } else {
                #[allow(clippy::cast_possible_truncation, reason = "all positions fit unless `is_wide`")]
                self.heads.add(class).write(hole as u16);
            }
        }
    }

    /// Returns the next hole of the circular list. The first hole follows the last.
    #[inline]
    pub(super) fn after(&self, hole: usize) -> usize {
        // SAFETY: by Circles, a hole in a list has links.
        unsafe { self.memory.get(hole, Field::Next) as usize }
    }

    /// Returns the word that holds the bit of a class, and the bit.
    #[inline]
    fn bit(&self, class: usize) -> (&Cell<usize>, usize) {
        // The remainder only tells the compiler that the index is in bounds: no class is
        // beyond the last word.
        (&self.bits[class / WORD % WORDS], 1 << (class % WORD))
    }

    /// Returns the lowest class that has a hole and isn't below `class`, and the bits of
    /// its word for that class and all higher classes. Returns [`NO_CLASS`] if there is
    /// no such class.
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

    /// Returns the class with a hole that follows a result of [`from`](Lists::from), in
    /// the same form.
    #[inline]
    pub(super) fn next(&self, class: usize, bits: usize) -> (usize, usize) {
        let bits = bits & (bits - 1);
        if bits == 0 {
            return self.from((class | (WORD - 1)) + 1);
        }
        ((class & !(WORD - 1)) + bits.trailing_zeros() as usize, bits)
    }

    /// Returns the highest class that has a hole, or [`NO_CLASS`].
    pub(super) fn last(&self) -> usize {
        for word in (0..WORDS).rev() {
            let bits = self.bits[word].get();
            if bits != 0 {
                return word * WORD + log2(bits) as usize;
            }
        }
        NO_CLASS
    }

    /// Returns the lowest head of up to `classes` classes with a hole, beginning with
    /// `class`. Only classes whose bits are in the same word are considered.
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

    /// Adds a hole to the circular list of its class. It becomes the first hole if its
    /// address is below that of the current first, and the last hole otherwise. The first
    /// hole therefore tends to have a low address.
    ///
    /// # Safety
    ///
    /// It is a hole with this number of granules, and in no list.
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
            // SAFETY: by Circles, a hole in a list has links.
            prev = unsafe { memory.get(next, Field::Prev) as usize };
            if hole < next {
                self.set_head(class, hole);
            }
        }
        // SAFETY: all three are holes of the class, which have links.
        unsafe {
            memory.set(hole, Field::Next, narrow(next));
            memory.set(hole, Field::Prev, narrow(prev));
            memory.set(prev, Field::Next, narrow(hole));
            memory.set(next, Field::Prev, narrow(hole));
        }
    }

    /// Returns the next and the previous hole of the circular list.
    ///
    /// # Safety
    ///
    /// The hole is in a list.
    #[inline]
    pub(super) unsafe fn links(&self, hole: usize) -> (u32, u32) {
        // SAFETY: by Circles, a hole in a list has links.
        unsafe { (self.memory.get(hole, Field::Next), self.memory.get(hole, Field::Prev)) }
    }

    /// Removes a hole from the circular list of its class.
    ///
    /// # Safety
    ///
    /// It is a hole with this number of granules, and in a list.
    #[inline]
    pub(super) unsafe fn remove(&self, hole: usize, granules: usize) {
        let memory = self.memory;
        let class = self.class_of(granules);
        // SAFETY: by Circles, the hole and both of its neighbors in the list have links.
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
            // The smallest size of a class is at least four fifths of the largest one.
            assert!(granules * 4 < before.1 * 5, "{granules}");
            assert!(granules >= EXACT || class == granules);
        }
        assert!(before.0 < WORDS * WORD);
    }
}
