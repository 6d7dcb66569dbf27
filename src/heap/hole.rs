use core::ptr::NonNull;

use static_assertions::const_assert;

use super::units::{GRANULE, REGION, log2};
use crate::MAX_ARENA_SIZE;

/// The link of the last hole of a region. It is larger than every offset.
pub(super) const END: usize = REGION;

const LINK_BITS: u32 = log2(REGION) + 1;

/// The most granules that a part can have, summary included.
pub(super) const MOST_GRANULES: usize = MAX_ARENA_SIZE / GRANULE;

// A hole is smaller than the part, and its size fits its word.
const_assert!(MOST_GRANULES - 1 <= usize::MAX >> LINK_BITS);

/// The one word that lies in a hole, at its start: its size, and where in the same region the next hole starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Hole(usize);

impl Hole {
    /// Of no granules, the last one of its region.
    pub(super) const NONE: Self = Self(END);

    /// `next` is an offset in the region, or [`END`].
    pub(super) fn new(granules: usize, next: usize) -> Self {
        debug_assert!(granules <= MOST_GRANULES && next <= END);
        Self(granules << LINK_BITS | next)
    }

    pub(super) fn granules(self) -> usize {
        self.0 >> LINK_BITS
    }

    pub(super) fn next(self) -> usize {
        self.0 & ((1 << LINK_BITS) - 1)
    }

    pub(super) fn with_next(self, next: usize) -> Self {
        Self(self.0 & !((1 << LINK_BITS) - 1) | next)
    }
}

/// The memory of a part, as far as it is free: where holes are read and written.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// The part's first granule. Every pointer that the part reads, writes or hands out is derived from this one.
    base: NonNull<u8>,
}

impl Memory {
    pub(super) const fn new(base: NonNull<u8>) -> Self {
        Self { base }
    }

    pub(super) const fn base(self) -> NonNull<u8> {
        self.base
    }

    /// # Safety
    ///
    /// The granule belongs to the part, or is the one past its end.
    #[inline]
    pub(super) unsafe fn at(self, granule: usize) -> NonNull<u8> {
        // SAFETY: inside of the part's memory or at its end, as the caller promises.
        unsafe { self.base.add(granule * GRANULE) }
    }

    /// # Safety
    ///
    /// A hole starts at this granule.
    #[inline]
    pub(super) unsafe fn hole(self, granule: usize) -> Hole {
        // SAFETY: a hole's word is initialised, aligned since granules are, and nobody else's.
        Hole(unsafe { self.at(granule).cast::<usize>().read() })
    }

    /// # Safety
    ///
    /// The granule is free, and not in the wilderness.
    #[inline]
    pub(super) unsafe fn set_hole(self, granule: usize, hole: Hole) {
        // SAFETY: free memory is the part's own.
        unsafe { self.at(granule).cast::<usize>().write(hole.0) }
    }
}
