use core::ptr::NonNull;

use static_assertions::const_assert;

use super::units::GRANULE;
use crate::MAX_ARENA_SIZE;
use crate::poison::{poison, unpoison};

/// The most granules that a part can have, its own records included.
pub(super) const MOST_GRANULES: usize = MAX_ARENA_SIZE / GRANULE;

// Positions and sizes fit half a granule.
const_assert!(MOST_GRANULES < u32::MAX as usize && GRANULE == 2 * size_of::<u32>());

/// What lies in a hole, each in half a granule.
///
/// ```text
///  first granule     second granule                         last granule
///  ┌──────────┬─────┬──────┬──────┬─   ─   ─   ─   ─   ─   ─┬───────┬────┐
///  │ granules │ map │ next │ prev │                         │ start │    │
///  └──────────┴─────┴──────┴──────┴─   ─   ─   ─   ─   ─   ─┴───────┴────┘
/// ```
///
/// All but the size is there only if it is needed: the map in the first hole of a region, the links if there are two granules or
/// more, and the start if the hole covers a region as a whole.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Field {
    /// How many granules the hole has.
    Granules = 0,
    /// A bit for each granule of the region at which a hole starts.
    Map = 1,
    /// The next hole of the circle of its class.
    Next = 2,
    /// The hole before it in that circle.
    Prev = 3,
}

/// The memory of a part, as far as it is free: where holes are read and written.
///
/// *Invariant (Poisoned):* `AddressSanitizer` is told that all free memory is unused, holes' words included. Their granules are
/// unpoisoned only while they are read or written here.
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
    /// The hole has this field.
    #[inline]
    pub(super) unsafe fn get(self, hole: usize, field: Field) -> u32 {
        // SAFETY: a field that is there is initialised, and aligned since granules are. Free memory is the part's alone.
        unsafe {
            let granule = self.at(hole + field as usize / 2).as_ptr();
            unpoison(granule, GRANULE);
            let value = self.at(hole).cast::<u32>().add(field as usize).read();
            poison(granule, GRANULE);
            value
        }
    }

    /// # Safety
    ///
    /// The memory is a hole with room for this field, or is about to be one.
    #[inline]
    pub(super) unsafe fn set(self, hole: usize, field: Field, value: u32) {
        // SAFETY: as in `get`.
        unsafe {
            let granule = self.at(hole + field as usize / 2).as_ptr();
            unpoison(granule, GRANULE);
            self.at(hole).cast::<u32>().add(field as usize).write(value);
            poison(granule, GRANULE);
        }
    }

    /// How many granules a hole has.
    ///
    /// # Safety
    ///
    /// A hole starts at this granule.
    #[inline]
    pub(super) unsafe fn size(self, hole: usize) -> usize {
        // SAFETY: every hole has its size.
        unsafe { self.get(hole, Field::Granules) as usize }
    }

    /// Where the hole starts that ends here.
    ///
    /// # Safety
    ///
    /// One does, and covers a region as a whole.
    #[inline]
    pub(super) unsafe fn start(self, end: usize) -> usize {
        // SAFETY: its last granule has the start.
        unsafe { self.get(end - 1, Field::Granules) as usize }
    }
}

/// A position or a size, as holes have it.
#[inline]
pub(super) const fn narrow(granules: usize) -> u32 {
    debug_assert!(granules <= MOST_GRANULES);
    #[allow(clippy::cast_possible_truncation, reason = "asserted above")]
    let narrow = granules as u32;
    narrow
}
