use core::ptr::NonNull;

use static_assertions::const_assert;

use super::units::GRANULE;
use crate::MAX_ARENA_SIZE;
use crate::poison::{poison, unpoison};

/// The largest number of granules in a part, including its records.
pub(super) const MOST_GRANULES: usize = MAX_ARENA_SIZE / GRANULE;

// A position or a size fits in half a granule.
const_assert!(MOST_GRANULES < u32::MAX as usize && GRANULE == 2 * size_of::<u32>());

/// The fields of a hole. Each has the size of half a granule.
///
/// ```text
///  first granule     second granule                         last granule
///  ┌──────────┬─────┬──────┬──────┬─   ─   ─   ─   ─   ─   ─┬───────┬────┐
///  │ granules │ map │ next │ prev │                         │ start │    │
///  └──────────┴─────┴──────┴──────┴─   ─   ─   ─   ─   ─   ─┴───────┴────┘
/// ```
///
/// Every hole has its size. The other fields are present only if they are needed: the map
/// in the first hole of a region, the links in a hole of at least two granules, and the
/// start in a hole that covers a whole region.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Field {
    /// The size of the hole, in granules.
    Granules = 0,
    /// The map of the region, with a bit set for each granule at which a hole starts.
    Map = 1,
    /// The next hole in the circular list of the class.
    Next = 2,
    /// The previous hole in that list.
    Prev = 3,
}

/// The memory of a part. Provides access to the words of its holes.
///
/// *Invariant (Poisoned):* all free memory is poisoned for `AddressSanitizer`, including
/// the words of holes. Their granules are unpoisoned only while they are read or written
/// here.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// The first granule of the part. Every pointer that the part uses or hands out is
    /// derived from this one.
    base: NonNull<u8>,
}

impl Memory {
    pub(super) const fn new(base: NonNull<u8>) -> Self {
        Self { base }
    }

    pub(super) const fn base(self) -> NonNull<u8> {
        self.base
    }

    /// Returns the address of a granule.
    ///
    /// # Safety
    ///
    /// The granule belongs to the part, or is the one past its end.
    #[inline]
    pub(super) unsafe fn at(self, granule: usize) -> NonNull<u8> {
        // SAFETY: the caller guarantees that the result is in the part's memory or at its
        // end.
        unsafe { self.base.add(granule * GRANULE) }
    }

    /// Reads a field of a hole.
    ///
    /// # Safety
    ///
    /// The hole has this field.
    #[inline]
    pub(super) unsafe fn get(self, hole: usize, field: Field) -> u32 {
        // SAFETY: a field that the hole has is initialized. It is aligned because
        // granules are. Free memory is used by the part alone.
        unsafe {
            let granule = self.at(hole + field as usize / 2).as_ptr();
            unpoison(granule, GRANULE);
            let value = self.at(hole).cast::<u32>().add(field as usize).read();
            poison(granule, GRANULE);
            value
        }
    }

    /// Writes a field of a hole.
    ///
    /// # Safety
    ///
    /// The memory is, or is about to become, a hole with room for this field.
    #[inline]
    pub(super) unsafe fn set(self, hole: usize, field: Field, value: u32) {
        // SAFETY: the field is in a hole and aligned, because granules are. Free memory
        // is used by the part alone.
        unsafe {
            let granule = self.at(hole + field as usize / 2).as_ptr();
            unpoison(granule, GRANULE);
            self.at(hole).cast::<u32>().add(field as usize).write(value);
            poison(granule, GRANULE);
        }
    }

    /// Returns the size of a hole, in granules.
    ///
    /// # Safety
    ///
    /// A hole starts at this granule.
    #[inline]
    pub(super) unsafe fn size(self, hole: usize) -> usize {
        // SAFETY: every hole has its size.
        unsafe { self.get(hole, Field::Granules) as usize }
    }

    /// Returns the start of the hole that ends here.
    ///
    /// # Safety
    ///
    /// A hole ends here, and it covers a whole region.
    #[inline]
    pub(super) unsafe fn start(self, end: usize) -> usize {
        // SAFETY: the last granule of such a hole holds its start.
        unsafe { self.get(end - 1, Field::Granules) as usize }
    }
}

/// Converts a position or a size to the type in which holes store it.
#[inline]
pub(super) const fn narrow(granules: usize) -> u32 {
    debug_assert!(granules <= MOST_GRANULES);
    #[allow(clippy::cast_possible_truncation, reason = "asserted above")]
    let narrow = granules as u32;
    narrow
}
