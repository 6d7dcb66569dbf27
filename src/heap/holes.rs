use core::ptr::NonNull;

use super::hole::{Field, Memory, narrow};
use super::lists::{Lists, NO_CLASS};
use super::ones::Ones;
use super::regions::{NOWHERE, Regions, bit, lowest};
use super::units::{REGION, granules};

/// All holes of a part, by address and by size.
///
/// The records of both lie at the start of the part. They are initialised when they are first needed.
///
/// The files of this folder trust each other with positions: a function that takes a hole, a region or a class is given one
/// that is there. What is `unsafe` besides depends on which memory is free.
pub(super) struct Holes {
    pub(super) memory: Memory,
    pub(super) regions: Regions,
    pub(super) lists: Lists,
    ones: Ones,
}

impl Holes {
    /// How many granules the records of a part of so many granules take.
    pub(super) const fn overhead(total: usize) -> usize {
        granules(Ones::bytes(total) + Lists::bytes(total) + Regions::bytes(total))
    }

    /// # Safety
    ///
    /// At `base`, which is aligned to a granule, there are `total` granules, more than `overhead(total)`, that nothing else
    /// uses while this is used. All of them after the records are the wilderness.
    pub(super) unsafe fn new(base: NonNull<u8>, total: usize) -> Self {
        let memory = Memory::new(base);
        // SAFETY: the three lie one after the other, in `overhead(total)` granules.
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

    /// How many granules a hole has.
    ///
    /// # Safety
    ///
    /// A hole starts at this granule.
    #[inline]
    pub(super) unsafe fn size(&self, hole: usize) -> usize {
        // SAFETY: as the caller promises.
        unsafe { self.memory.size(hole) }
    }

    /// # Safety
    ///
    /// The memory is one hole, or is about to be one.
    #[inline]
    unsafe fn set_size(&self, hole: usize, granules: usize) {
        // SAFETY: as the caller promises.
        unsafe {
            self.memory.set(hole, Field::Granules, narrow(granules));
            self.regions.cover(hole, hole + granules);
        }
    }

    /// Makes a hole known by its size.
    ///
    /// # Safety
    ///
    /// It is a hole of so many granules, which isn't known by its size yet.
    unsafe fn list(&self, hole: usize, granules: usize) {
        if granules == 1 {
            self.ones.add(hole / REGION);
        } else {
            // SAFETY: as the caller promises.
            unsafe { self.lists.add(hole, granules) };
        }
    }

    /// Undoes [`list`](Holes::list).
    ///
    /// # Safety
    ///
    /// It is a hole of so many granules, and its region still knows it.
    unsafe fn unlist(&self, hole: usize, granules: usize) {
        if granules != 1 {
            // SAFETY: as the caller promises.
            unsafe { self.lists.remove(hole, granules) };
        } else if self.one_of(hole / REGION, self.regions.map(hole / REGION) & !bit(hole)) == NOWHERE {
            self.ones.remove(hole / REGION);
        }
    }

    /// Adds a hole.
    ///
    /// # Safety
    ///
    /// The memory is free, and no part of another hole or of the wilderness.
    pub(super) unsafe fn add(&self, hole: usize, granules: usize) {
        // SAFETY: as the caller promises.
        unsafe {
            self.regions.toggle(hole);
            self.set_size(hole, granules);
            self.list(hole, granules);
        }
    }

    /// Removes a hole. Writes nothing in it, but with `--cfg hpalloc_hardened` where its words were.
    ///
    /// # Safety
    ///
    /// It is a hole of so many granules.
    pub(super) unsafe fn remove(&self, hole: usize, granules: usize) {
        // SAFETY: as the caller promises.
        unsafe {
            self.unlist(hole, granules);
            self.regions.uncover(hole, hole + granules);
            self.regions.toggle(hole);
            #[cfg(hpalloc_hardened)]
            self.erase(hole, granules, NOWHERE);
        }
    }

    /// Changes where a hole starts and how large it is.
    ///
    /// # Safety
    ///
    /// The old one is a hole of so many granules. All of the new one is free, and no part of another hole or of the wilderness.
    pub(super) unsafe fn replace(&self, old: usize, old_granules: usize, new: usize, granules: usize) {
        // SAFETY: as the caller promises. The new one may overlap the old one: of that, nothing is read after the new one is
        // written.
        unsafe {
            self.unlist(old, old_granules);
            self.regions.uncover(old, old + old_granules);
            self.regions.replace(old, new);
            // The new one's first granule has a map already.
            #[cfg(hpalloc_hardened)]
            self.erase(old, old_granules, new);
            self.set_size(new, granules);
            self.list(new, granules);
        }
    }

    /// The lowest hole of one granule, or [`NOWHERE`].
    pub(super) fn one(&self) -> usize {
        let Some(region) = self.ones.lowest() else { return NOWHERE };
        self.one_of(region, self.regions.map(region))
    }

    /// The first hole of one granule in a region.
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

    /// Calls the function with each hole of two granules or more.
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

    /// How many holes there are, by walking through them.
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
