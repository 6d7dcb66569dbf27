use core::ptr::NonNull;

use super::units::REGION;

/// The number of bits in a word, as an exponent of two.
const FAN: u32 = 5;

/// The set of regions that have a hole of one granule, as a tree of bits. Such a hole has
/// no room for links.
///
/// The levels follow each other in memory. The top level comes first and is one word. A
/// bit is set if the word below it isn't zero. The word below a bit that is zero isn't
/// initialized.
pub(super) struct Ones {
    top: NonNull<u32>,
    /// The level with one bit per region.
    leaves: NonNull<u32>,
    /// The last region.
    last: usize,
    /// The number of bits by which the number of a region is shifted on the top level.
    shift: u32,
}

impl Ones {
    /// Returns the number of words of a level.
    #[inline]
    const fn words(last: usize, shift: u32) -> usize {
        (last >> shift >> FAN) + 1
    }

    /// Returns the number of words before the leaves, and the shift of the top level.
    const fn shape(total: usize) -> (usize, u32) {
        let last = total / REGION;
        let (mut above, mut shift) = (0, 0);
        while last >> shift >> FAN != 0 {
            shift += FAN;
            above += Self::words(last, shift);
        }
        (above, shift)
    }

    /// Returns the size of the tree for `total` granules, in bytes.
    pub(super) const fn bytes(total: usize) -> usize {
        (Self::shape(total).0 + Self::words(total / REGION, 0)) * size_of::<u32>()
    }

    /// # Safety
    ///
    /// `top` is aligned to a word of 32 bits and points to `bytes(total)` bytes, which
    /// nothing else uses while the value is in use.
    pub(super) unsafe fn new(top: NonNull<u8>, total: usize) -> Self {
        let top = top.cast::<u32>();
        let (above, shift) = Self::shape(total);
        // SAFETY: both addresses are within the `bytes(total)` bytes.
        let leaves = unsafe {
            top.write(0);
            top.add(above)
        };
        Self { top, leaves, last: total / REGION, shift }
    }

    /// Adds a region.
    pub(super) fn add(&self, region: usize) {
        let (mut level, mut shift, mut is_zero) = (self.top, self.shift, false);
        loop {
            // SAFETY: this is the word of the region on this level. It is read only if it
            // is the top, or if the bit above it was set.
            unsafe {
                let word = level.add(region >> shift >> FAN);
                let bit = 1 << ((region >> shift) % 32);
                let old = if is_zero { 0 } else { word.read() };
                word.write(old | bit);
                is_zero = old & bit == 0;
                if shift == 0 {
                    return;
                }
                level = level.add(Self::words(self.last, shift));
            }
            shift -= FAN;
        }
    }

    /// Removes a region, which is in the set.
    pub(super) fn remove(&self, region: usize) {
        let (mut level, mut shift) = (self.leaves, 0);
        loop {
            // SAFETY: this is the word of the region on this level. It is initialized,
            // because the region is in the set.
            unsafe {
                let word = level.add(region >> shift >> FAN);
                let bits = word.read() & !(1 << ((region >> shift) % 32));
                word.write(bits);
                if bits != 0 || shift == self.shift {
                    return;
                }
                shift += FAN;
                level = level.sub(Self::words(self.last, shift));
            }
        }
    }

    /// Returns the lowest region of the set.
    pub(super) fn lowest(&self) -> Option<usize> {
        let (mut level, mut shift, mut index) = (self.top, self.shift, 0);
        loop {
            // SAFETY: this is the top, or the word below a bit that is set.
            let bits = unsafe { level.add(index).read() };
            if bits == 0 {
                return None;
            }
            index = index * 32 + bits.trailing_zeros() as usize;
            if shift == 0 {
                return Some(index);
            }
            // SAFETY: this is not the lowest level, so another one follows.
            level = unsafe { level.add(Self::words(self.last, shift)) };
            shift -= FAN;
        }
    }

    /// Calls the function with each region of the set.
    pub(super) fn each(&self, mut f: impl FnMut(usize)) {
        self.each_below(self.top, self.shift, 0, &mut f);
    }

    fn each_below(&self, level: NonNull<u32>, shift: u32, index: usize, f: &mut impl FnMut(usize)) {
        // SAFETY: this is the top, or the word below a bit that is set.
        let mut bits = unsafe { level.add(index).read() };
        while bits != 0 {
            let below = index * 32 + bits.trailing_zeros() as usize;
            if shift == 0 {
                f(below);
            } else {
                // SAFETY: this is not the lowest level, so another one follows.
                let level = unsafe { level.add(Self::words(self.last, shift)) };
                self.each_below(level, shift - FAN, below, f);
            }
            bits &= bits - 1;
        }
    }
}

#[cfg(all(test, not(target_os = "none")))]
mod tests {
    use std::collections::BTreeSet;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn as_an_ordered_set() {
        // These have one to four levels.
        for regions in [1, 20, 33, 1000, 40_000, 1 << 20] {
            let total = regions * REGION - 1;
            // The words that aren't initialized must not matter.
            let mut memory = vec![u32::MAX; Ones::bytes(total) / size_of::<u32>()];
            let start = NonNull::new(memory.as_mut_ptr()).unwrap();
            // SAFETY: the vector has this many bytes, and outlives the tree.
            let ones = unsafe { Ones::new(start.cast(), total) };
            let mut model = BTreeSet::new();
            let mut random = 1;
            for step in 0..if cfg!(miri) { 100 } else { 3000_u64 } {
                random = (random ^ step).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                // There are at most 50 different regions, so some are in the set already,
                // and some words become zero again.
                let region = usize::try_from(random >> 40).unwrap() % 50 * 997 % regions;
                if model.remove(&region) {
                    ones.remove(region);
                } else {
                    model.insert(region);
                    ones.add(region);
                }
                assert_eq!(ones.lowest(), model.first().copied());
            }
            let mut all = Vec::new();
            ones.each(|region| all.push(region));
            assert!(all.iter().eq(&model), "{all:?}");
            assert!(regions == 1 || !all.is_empty());
        }
    }
}
