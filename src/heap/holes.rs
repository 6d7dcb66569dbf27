use core::ptr::NonNull;

use super::hole::{Field, Memory, narrow};
use super::lists::{Lists, NO_CLASS};
use super::ones::Ones;
use super::regions::{NOWHERE, Regions, bit, lowest};
use super::units::{REGION, granules};

/// The holes of a part, indexed by address and by size.
///
/// The records of both indexes are at the start of the part. They are initialized when
/// they are first needed.
///
/// The files of this folder trust each other with positions: the hole, region or class
/// that is passed to a function must exist, even if the function is safe. A function is
/// `unsafe` if it also depends on which memory is free.
pub(super) struct Holes {
    pub(super) memory: Memory,
    pub(super) regions: Regions,
    pub(super) lists: Lists,
    ones: Ones,
}

impl Holes {
    /// Returns the size of the records of a part with `total` granules, in granules.
    pub(super) const fn overhead(total: usize) -> usize {
        granules(Ones::bytes(total) + Lists::bytes(total) + Regions::bytes(total))
    }

    /// Creates the records of a part without holes.
    ///
    /// # Safety
    ///
    /// `base` is aligned to a granule and points to `total` granules, more than
    /// `overhead(total)`, which nothing else uses while the value is in use. All granules
    /// after the records are wilderness.
    pub(super) unsafe fn new(base: NonNull<u8>, total: usize) -> Self {
        let memory = Memory::new(base);
        // SAFETY: the three kinds of records follow each other within `overhead(total)`
        // granules.
        unsafe {
            let heads = base.add(Ones::bytes(total));
            let marks = heads.add(Lists::bytes(total));
            Self {
                memory,
                regions: Regions::new(memory, marks, Self::overhead(total), total),
                lists: Lists::new(memory, heads, total),
                ones: Ones::new(base, total),
            }
        }
    }

    /// Returns the size of a hole, in granules.
    ///
    /// # Safety
    ///
    /// A hole starts at this granule.
    #[inline]
    pub(super) unsafe fn size(&self, hole: usize) -> usize {
        // SAFETY: guaranteed by the caller.
        unsafe { self.memory.size(hole) }
    }

    /// Writes the size of a hole, and marks the regions that it covers.
    ///
    /// # Safety
    ///
    /// The memory is, or is about to become, one hole.
    #[inline]
    unsafe fn set_size(&self, hole: usize, granules: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            self.memory.set(hole, Field::Granules, narrow(granules));
            self.regions.cover(hole, hole + granules);
        }
    }

    /// Adds a hole to the index by size.
    ///
    /// # Safety
    ///
    /// It is a hole with this number of granules that is not yet in the index by size.
    unsafe fn list(&self, hole: usize, granules: usize) {
        if granules == 1 {
            self.ones.add(hole / REGION);
        } else {
            // SAFETY: guaranteed by the caller.
            unsafe { self.lists.add(hole, granules) };
        }
    }

    /// Removes a hole from the index by size.
    ///
    /// # Safety
    ///
    /// It is a hole with this number of granules that is still in the map of its region.
    unsafe fn unlist(&self, hole: usize, granules: usize) {
        if granules != 1 {
            // SAFETY: guaranteed by the caller.
            unsafe { self.lists.remove(hole, granules) };
        } else if self.one_of(hole / REGION, self.regions.map(hole / REGION) & !bit(hole)) == NOWHERE {
            self.ones.remove(hole / REGION);
        }
    }

    /// Adds a hole.
    ///
    /// # Safety
    ///
    /// The memory is free, and belongs neither to another hole nor to the wilderness.
    pub(super) unsafe fn add(&self, hole: usize, granules: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            self.regions.toggle(hole);
            self.set_size(hole, granules);
            self.list(hole, granules);
        }
    }

    /// Removes a hole without writing to it, except that a hardened build erases its
    /// words.
    ///
    /// # Safety
    ///
    /// It is a hole with this number of granules.
    pub(super) unsafe fn remove(&self, hole: usize, granules: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            self.unlist(hole, granules);
            self.regions.uncover(hole, hole + granules);
            self.regions.toggle(hole);
            #[cfg(hpalloc_hardened)]
            self.erase(hole, granules, NOWHERE);
        }
    }

    /// Changes the start and the size of a hole.
    ///
    /// # Safety
    ///
    /// `old` is a hole of `old_granules` granules. All memory of the new hole is free,
    /// and belongs neither to another hole nor to the wilderness.
    pub(super) unsafe fn replace(&self, old: usize, old_granules: usize, new: usize, granules: usize) {
        // SAFETY: guaranteed by the caller. The new hole may overlap the old one, which
        // is no longer read once the new one is written.
        unsafe {
            self.unlist(old, old_granules);
            self.regions.uncover(old, old + old_granules);
            self.regions.replace(old, new);
            // The first granule of the new hole isn't erased: it may already hold the
            // region's map.
            #[cfg(hpalloc_hardened)]
            self.erase(old, old_granules, new);
            self.set_size(new, granules);
            self.list(new, granules);
        }
    }

    /// Returns the lowest hole of one granule, or [`NOWHERE`].
    pub(super) fn one(&self) -> usize {
        let Some(region) = self.ones.lowest() else { return NOWHERE };
        self.one_of(region, self.regions.map(region))
    }

    /// Returns the first hole of one granule in a region's map, or [`NOWHERE`].
    fn one_of(&self, region: usize, mut map: u32) -> usize {
        while map != 0 {
            let hole = region * REGION + lowest(map);
            // SAFETY: a hole starts there.
            if unsafe { self.size(hole) } == 1 {
                return hole;
            }
            map &= map - 1;
        }
        NOWHERE
    }

    /// Calls the function with each hole of at least two granules.
    pub(super) fn each(&self, mut f: impl FnMut(usize)) {
        let mut class = self.lists.from(0).0;
        while class != NO_CLASS {
            let head = self.lists.head(class);
            let mut hole = head;
            loop {
                f(hole);
                hole = self.lists.after(hole);
                if hole == head {
                    break;
                }
            }
            class = self.lists.from(class + 1).0;
        }
    }

    /// Counts the holes by visiting them all.
    pub(super) fn count(&self) -> usize {
        let mut count = 0;
        self.each(|_| count += 1);
        self.ones.each(|region| {
            let mut map = self.regions.map(region);
            while map != 0 {
                // SAFETY: a hole starts there.
                count += usize::from(unsafe { self.size(region * REGION + lowest(map)) } == 1);
                map &= map - 1;
            }
        });
        count
    }
}
