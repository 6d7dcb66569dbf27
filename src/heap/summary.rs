use core::cell::Cell;
use core::ptr::NonNull;

use super::hole::END;
use super::units::{Class, log2};

/// Children of a node, as a power of two.
const FAN: u32 = 4;
const CHILDREN: usize = 1 << FAN;

/// How many entries are compared at a time: those of a word.
const LANES: usize = size_of::<usize>() / size_of::<u16>();
/// A one in each lane.
const ONES: usize = usize::MAX / u16::MAX as usize;
/// The highest bit of each lane. No class has it.
const TOPS: usize = ONES << 15;
/// What the number of entries of a level is rounded up to. A compiler for a host takes a whole node at a time.
const PADDING: usize = if cfg!(target_pointer_width = "64") { CHILDREN } else { LANES };

/// Stands for a region where none was found.
pub(super) const NO_REGION: usize = usize::MAX;

/// The lanes of a word such that the first one in memory is the lowest.
#[inline]
const fn in_order(word: usize) -> usize {
    if cfg!(target_endian = "little") {
        return word;
    }
    let (mut rest, mut lanes, mut index) = (word, 0, 0);
    while index < LANES {
        lanes = (lanes << 15 << 1) | (rest & u16::MAX as usize);
        rest = rest >> 15 >> 1;
        index += 1;
    }
    lanes
}

/// Which region has the holes of which sizes: a tree of maxima.
///
/// ```text
///  level 1   [ 12 | 90 | 0 ]                                       the top: a node of 16 at most
///  level 0   [ 0 | 3 | 12 | 0 ... | 90 | 7 ... | ? ? ? ? ... ]     one entry for each region: its largest hole's class
///  first     [ ? | 4 | 31 | ? ... |  0 | 9 ... | ? ? ? ? ... ]     and where its first hole starts
/// ```
///
/// The levels lie one after the other, the top first, at the start of the part. An entry is the maximum of its children; the
/// entries below one that is zero are never read (`?`), so a new summary is made by writing the top.
pub(super) struct Summary {
    /// No hole has a higher class. It is raised at once, and lowered when a search has failed.
    bound: Cell<Class>,
    /// The top, and behind it the other levels. `bytes` bytes from here on belong to the summary alone.
    entries: NonNull<u16>,
    /// Level 0: one entry for each region.
    leaves: NonNull<u16>,
    /// Behind level 0: one byte for each region.
    firsts: NonNull<u8>,
    /// The last region. The part's end lies in it.
    last: usize,
    /// What the number of a region is shifted by on the top level: `last >> top` is less than `CHILDREN`.
    top: u32,
}

impl Summary {
    /// How many bytes the summary of so many regions takes.
    pub(super) const fn bytes(regions: usize) -> usize {
        let (above, _) = Self::shape(regions - 1);
        (above + Self::padded(regions - 1)) * size_of::<u16>() + regions
    }

    /// How many entries a level takes.
    #[inline]
    const fn padded(last: usize) -> usize {
        (last | (PADDING - 1)) + 1
    }

    /// How many entries are above level 0, and `top`.
    const fn shape(last: usize) -> (usize, u32) {
        let (mut above, mut top) = (0, 0);
        while last >> top >= CHILDREN {
            top += FAN;
            above += Self::padded(last >> top);
        }
        (above, top)
    }

    /// # Safety
    ///
    /// At `memory` there are `bytes(regions)` bytes that nothing else uses as long as the summary is used.
    pub(super) unsafe fn new(memory: NonNull<u8>, regions: usize) -> Self {
        let last = regions - 1;
        let (above, top) = Self::shape(last);
        let entries = memory.cast();
        // SAFETY: inside of the `bytes(regions)` bytes.
        let (leaves, firsts) = unsafe { (entries.add(above), entries.add(above + Self::padded(last)).cast()) };
        let summary = Self { bound: Cell::new(Class::NONE), entries, leaves, firsts, last, top };
        summary.clear(0, summary.len(top));
        summary
    }

    #[inline]
    fn get(&self, index: usize) -> Class {
        // SAFETY: the index is one of the summary's, and the entry was written, since its parent is more than zero.
        Class(unsafe { self.entries.add(index).read() })
    }

    #[inline]
    fn put(&self, index: usize, class: Class) {
        // SAFETY: the index is one of the summary's.
        unsafe { self.entries.add(index).write(class.0) }
    }

    /// How many entries the level has whose shift this is.
    #[inline]
    fn len(&self, shift: u32) -> usize {
        Self::padded(self.last >> shift)
    }

    #[inline]
    fn clear(&self, start: usize, end: usize) {
        for index in start..end {
            self.put(index, Class::NONE);
        }
    }

    /// The last region.
    #[cfg(all(test, not(target_os = "none")))]
    pub(super) fn last(&self) -> usize {
        self.last
    }

    /// The class of the largest hole of all.
    pub(super) fn largest(&self) -> Class {
        let mut largest = Class::NONE;
        for index in 0..self.len(self.top) {
            largest = largest.max(self.get(index));
        }
        largest
    }

    /// The class of the largest hole that starts in a region.
    #[inline]
    pub(super) fn class(&self, region: usize) -> Class {
        let (mut level, mut shift) = (0, self.top);
        loop {
            let class = self.get(level + (region >> shift));
            if shift == 0 || class == Class::NONE {
                return class;
            }
            level += self.len(shift);
            shift -= FAN;
        }
    }

    /// The class of the largest hole that starts in a region that has been reached.
    #[inline]
    pub(super) fn class_of_reached(&self, region: usize) -> Class {
        debug_assert!(region <= self.last);
        // SAFETY: the region's entry.
        Class(unsafe { self.leaves.add(region).read() })
    }

    /// Where the first hole of a region starts that has one.
    #[inline]
    pub(super) fn first(&self, region: usize) -> usize {
        debug_assert!(region <= self.last);
        // SAFETY: a region with a hole has had its byte written.
        usize::from(unsafe { self.firsts.add(region).read() })
    }

    #[inline]
    pub(super) fn set_first(&self, region: usize, offset: usize) {
        debug_assert!(offset <= END && region <= self.last);
        #[allow(clippy::cast_possible_truncation, reason = "END is the largest, and fits")]
        let offset = offset as u8;
        // SAFETY: the byte is the region's.
        unsafe { self.firsts.add(region).write(offset) }
    }

    /// The lowest region with a hole of this class or more, or the highest one; [`NO_REGION`] if there is none.
    #[inline]
    pub(super) fn find(&self, class: Class, highest: bool) -> usize {
        if self.bound.get() < class {
            return NO_REGION;
        }
        let last = self.last >> self.top;
        let (mut node, step) = if highest { (last, usize::MAX) } else { (0, 1) };
        while self.get(node) < class {
            node = node.wrapping_add(step);
            if node > last {
                self.bound.set(Class(class.0 - 1));
                return NO_REGION;
            }
        }
        self.descend(0, self.top, node, class, highest)
    }

    /// As [`Summary::find`], below the entry `node` of the level that starts at `level`, which is of that class or more.
    fn descend(&self, mut level: usize, mut shift: u32, mut node: usize, class: Class, highest: bool) -> usize {
        while shift != 0 {
            level += self.len(shift);
            shift -= FAN;
            let first = node << FAN;
            let last = (first | (CHILDREN - 1)).min(self.last >> shift);
            // One of the children is of the class, since their parent is.
            node = if PADDING == CHILDREN {
                self.search_words(level, if highest { last } else { first }, class, highest)
            } else {
                self.search(level, if highest { last } else { first }, class, highest)
            };
        }
        node
    }

    /// The next entry of a level that is of a class or more, from one entry on, upwards or downwards. There is one.
    #[inline]
    fn search(&self, level: usize, mut node: usize, class: Class, downwards: bool) -> usize {
        let step = if downwards { usize::MAX } else { 1 };
        while self.get(level + node) < class {
            node = node.wrapping_add(step);
        }
        node
    }

    /// As [`Summary::search`], a word at a time, for processors that find a bit in one step and guess branches.
    #[inline]
    fn search_words(&self, level: usize, node: usize, class: Class, downwards: bool) -> usize {
        let step = if downwards { LANES.wrapping_neg() } else { LANES };
        let mut node = node & !(LANES - 1);
        loop {
            // SAFETY: a word of the node, of which no part is used by anything else, since levels are padded, and all of
            // which was cleared when it was reached.
            let word = in_order(unsafe { self.entries.add(level + node).cast().read() });
            let fits = ((word | TOPS) - ONES * class.0 as usize) & TOPS;
            if fits != 0 {
                let bit = if downwards { log2(fits) } else { fits.trailing_zeros() };
                return node + bit as usize / 16;
            }
            node = node.wrapping_add(step);
        }
    }

    /// The next region with a hole of this class or more after one that has a hole; [`NO_REGION`] if there is none.
    pub(super) fn next(&self, region: usize, class: Class) -> usize {
        let (mut level, mut shift, mut node) = (self.above(), 0, region);
        loop {
            let last = (node | (CHILDREN - 1)).min(self.last >> shift);
            while node < last {
                node += 1;
                if self.get(level + node) >= class {
                    return self.descend(level, shift, node, class, false);
                }
            }
            if shift == self.top {
                return NO_REGION;
            }
            shift += FAN;
            node >>= FAN;
            level -= self.len(shift);
        }
    }

    /// How many entries are above level 0.
    #[inline]
    fn above(&self) -> usize {
        (self.leaves.addr().get() - self.entries.addr().get()) / size_of::<u16>()
    }

    /// The closest region before this one that has a hole; [`NO_REGION`] if there is none.
    pub(super) fn before(&self, region: usize) -> usize {
        let (mut level, mut shift) = (0, self.top);
        let mut found = (0, 0, NO_REGION);
        loop {
            let node = region >> shift;
            let mut sibling = node;
            while sibling & (CHILDREN - 1) != 0 {
                sibling -= 1;
                if self.get(level + sibling) != Class::NONE {
                    found = (level, shift, sibling);
                    break;
                }
            }
            if shift == 0 || self.get(level + node) == Class::NONE {
                break;
            }
            level += self.len(shift);
            shift -= FAN;
        }
        let (level, shift, node) = found;
        if node == NO_REGION { NO_REGION } else { self.descend(level, shift, node, Class::ANY, true) }
    }

    /// Prepares the entries on the way to a region without holes, which is about to have one.
    pub(super) fn reach(&self, region: usize) {
        let (mut level, mut shift) = (0, self.top);
        while shift != 0 {
            let node = region >> shift;
            let is_empty = self.get(level + node) == Class::NONE;
            level += self.len(shift);
            shift -= FAN;
            if is_empty {
                let first = level + (node << FAN);
                self.clear(first, (first + CHILDREN).min(level + self.len(shift)));
            }
        }
    }

    /// Changes a region's class, which has been reached.
    #[inline(never)]
    pub(super) fn set(&self, region: usize, mut class: Class) {
        let (mut entries, mut shift, mut node) = (self.leaves, 0, region);
        // SAFETY: `entries` is the start of a level, and `node` an entry of it; the level above it lies before it.
        unsafe {
            loop {
                let old = entries.add(node).replace(class.0);
                if shift == self.top {
                    if self.bound.get() < class {
                        self.bound.set(class);
                    }
                    return;
                }
                let mut siblings = entries.add(node & !(CHILDREN - 1));
                let end = entries.add(((node | (CHILDREN - 1)) + 1).min(self.len(shift)));
                shift += FAN;
                node >>= FAN;
                entries = entries.sub(self.len(shift));
                let parent = entries.add(node).read();
                if class.0 < parent {
                    if old < parent {
                        return;
                    }
                    if PADDING == CHILDREN {
                        let node = siblings.cast::<[u16; CHILDREN]>().read();
                        class.0 = node.into_iter().fold(0, u16::max);
                    } else {
                        while siblings != end {
                            class.0 = class.0.max(siblings.read());
                            siblings = siblings.add(1);
                        }
                    }
                }
                if class.0 == parent {
                    return;
                }
            }
        }
    }

    #[cfg(all(test, not(target_os = "none")))]
    pub(super) fn check(&self, class_of: &dyn Fn(usize) -> u16) {
        // Level by level from the root, only below entries that are more than zero.
        let max = (0..=self.last).map(class_of).max().unwrap_or(0);
        assert!(self.bound.get().0 >= max, "the bound");
        let mut level = 0;
        let mut shift = self.top;
        let mut visible: std::vec::Vec<usize> = (0..=self.last >> shift).collect();
        loop {
            let mut next = std::vec::Vec::new();
            for &node in &visible {
                let from = node << shift;
                let to = ((node + 1) << shift).min(self.last + 1);
                let max = (from..to).map(class_of).max().unwrap_or(0);
                assert_eq!(self.get(level + node).0, max, "level {}, node {node}", shift / FAN);
                if max != 0 && shift != 0 {
                    let last = self.last >> (shift - FAN);
                    next.extend((node << FAN..(node << FAN) + CHILDREN).filter(|&child| child <= last));
                }
            }
            if shift == 0 {
                return;
            }
            level += self.len(shift);
            shift -= FAN;
            visible = next;
        }
    }
}
