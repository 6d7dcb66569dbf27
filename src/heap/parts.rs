use core::alloc::Layout;
use core::cell::Cell;
use core::iter;
use core::ptr::NonNull;

use super::part::Part;
use super::units::GRANULE;
use crate::poison::unpoison;
use crate::seal::SEAL;
use crate::{MAX_ARENA_SIZE, PAGE_SIZE, PageSource};

/// The parts of a heap, the oldest first.
///
/// *Invariant (Parts):* each pointer points to a `Place` at the start of memory that
/// belongs to the heap for as long as the heap exists. These memories don't overlap. No
/// reference to a part is alive between two operations. No operation calls foreign code
/// while such a reference is alive.
pub(super) struct Parts {
    first: Cell<Option<NonNull<Place>>>,
}

/// A part, stored at the start of its own memory, before the memory that it manages.
pub(super) struct Place {
    part: Part,
    /// `true` if the virgin memory of the part is known to be zero.
    is_zeroed: bool,
    next: Option<NonNull<Self>>,
}

// SAFETY: by Parts, the memory belongs to the heap alone, and memory isn't tied to a
// thread.
unsafe impl Send for Parts {}

/// The largest number of pages in a part.
const MOST: usize = MAX_ARENA_SIZE / PAGE_SIZE;

/// The number of bytes that a place needs, including its alignment.
const PLACE_BYTES: usize = size_of::<Place>() + align_of::<Place>() - 1;

impl Parts {
    pub(super) const fn new() -> Self {
        Self { first: Cell::new(None) }
    }

    /// Returns the places, the oldest first.
    #[inline]
    fn places(&self) -> impl Iterator<Item = NonNull<Place>> {
        // SAFETY: by Parts, the pointer is valid.
        iter::successors(self.first.get(), |place| unsafe { (*place.as_ptr()).next })
    }

    /// Returns the results of `f` for each part.
    pub(super) fn each(&self, f: impl Fn(&Part) -> usize) -> impl Iterator<Item = usize> {
        // SAFETY: by Parts, the pointer is valid, and no mutable reference to the part is
        // alive.
        self.places().map(move |place| f(unsafe { &(*place.as_ptr()).part }))
    }

    /// Returns the first result of `f` that isn't `None`, trying the parts in order. The
    /// second argument of `f` is `true` if the virgin memory of the part is known to be
    /// zero.
    #[inline]
    pub(super) fn find<T>(&self, mut f: impl FnMut(&mut Part, bool) -> Option<T>) -> Option<T> {
        // SAFETY: by Parts, the pointer is valid, and no other reference to the part is
        // alive.
        self.places().find_map(|place| unsafe { f(&mut (*place.as_ptr()).part, (*place.as_ptr()).is_zeroed) })
    }

    /// Returns the result of `f` for the part that contains the block, or `None` if no
    /// part does. Outside of hardened builds, the block is assumed to be in the last part
    /// if it is in none of the others.
    #[inline]
    pub(super) fn with<T>(&self, block: NonNull<u8>, f: impl FnOnce(&mut Part) -> T) -> Option<T> {
        let mut next = self.first.get();
        while let Some(place) = next {
            // SAFETY: by Parts, the pointer is valid, and no other reference to the part
            // is alive.
            let (part, after) = unsafe { (&mut (*place.as_ptr()).part, (*place.as_ptr()).next) };
            if (after.is_none() && !cfg!(hpalloc_hardened)) || part.contains(block) {
                return Some(f(part));
            }
            next = after;
        }
        None
    }

    /// Adds memory. Returns `false` if it is too small for a part.
    ///
    /// # Safety
    ///
    /// From now on and for as long as the heap exists, the `bytes` bytes at `memory`
    /// belong to the heap, and are valid for reads and writes through `memory`. If
    /// `is_zeroed`, they are zero.
    pub(super) unsafe fn add(&self, memory: NonNull<u8>, bytes: usize, is_zeroed: bool) -> bool {
        // An earlier heap or pool may have left the memory poisoned.
        unpoison(memory.as_ptr(), bytes);
        let skip = memory.addr().get().wrapping_neg() % align_of::<Place>();
        let Some(rest) = bytes.checked_sub(skip + size_of::<Place>()) else { return false };
        // SAFETY: the subtraction above didn't overflow, so both addresses are in the
        // memory or at its end.
        let (place, managed) = unsafe {
            let place = memory.add(skip);
            (place.cast::<Place>(), place.add(size_of::<Place>()))
        };
        // SAFETY: the caller guarantees this for the whole memory, of which the part gets
        // the rest.
        let Some(part) = (unsafe { Part::new(managed, rest) }) else { return false };
        // SAFETY: the place is aligned and in the memory, before the memory that the part
        // manages.
        unsafe { place.write(Place { part, is_zeroed, next: None }) };
        match self.places().last() {
            None => self.first.set(Some(place)),
            // SAFETY: by Parts, the pointer is valid, and no reference to the place is
            // alive.
            Some(last) => unsafe { (*last.as_ptr()).next = Some(place) },
        }
        true
    }

    /// Adds the memory of a source that consists of one slice. Returns `false` if the
    /// source has no slice, or if the slice was taken before or is too small.
    pub(super) fn begin(&self, source: &impl PageSource) -> bool {
        let Some(memory) = source.take_slice(SEAL) else { return false };
        let start = memory.cast::<u8>();
        // `whole_block` needs the exposed provenance.
        start.as_ptr().expose_provenance();
        // SAFETY: by the invariant Slice of `StaticMemory`, the source owns the memory
        // forever. It hands it out only once.
        unsafe { self.add(start, memory.len(), false) }
    }

    /// Takes memory for the layout from the source. Returns `false`, and takes none, if
    /// the source has none.
    ///
    /// If nothing else takes pages from the source, takes its whole next run. From
    /// other sources, takes as much as the heap already has if possible, so that there
    /// are few parts. The memory is sufficient for the layout, unless the layout is
    /// aligned to more than a page. In that case, it depends on the address of a source's
    /// last run.
    #[cold]
    #[inline(never)]
    pub(super) fn take(&self, layout: Layout, source: &impl PageSource) -> bool {
        if self.begin(source) {
            return true;
        }
        let (size, align) = (layout.size(), layout.align());
        // If the source has too few pages for the worst case, a run may still happen to
        // begin where the block needs little memory for its alignment. For a source that
        // is always shared, `exclusive_pages(1)` is a constant zero, so the compiler
        // removes the calls after it.
        let exclusive = |align| pages_for(size, align).map_or(0, |least| source.exclusive_pages(least));
        let try_luck =
            align > PAGE_SIZE && source.exclusive_pages(1) > 0 && exclusive(align) == 0 && exclusive(PAGE_SIZE) > 0;
        let Some(least) = pages_for(size, if try_luck { PAGE_SIZE } else { align }) else { return false };
        let more = match source.exclusive_pages(least) {
            0 => self.each(Part::bytes).sum::<usize>() / PAGE_SIZE,
            all => all,
        };
        let mut pages = least.max(more.min(MOST));
        loop {
            if let Some((run, is_zeroed)) = source.take_zeroed_pages(pages) {
                let run = run.cast::<u8>();
                // `whole_block` needs the exposed provenance.
                run.as_ptr().expose_provenance();
                // SAFETY: by PageSource, the run belongs to the heap until the source is
                // dropped, which the heap owns.
                return unsafe { self.add(run, pages * PAGE_SIZE, is_zeroed) };
            }
            if pages == least {
                return false;
            }
            pages = (pages / 2).max(least);
        }
    }
}

/// Returns a number of pages that is sufficient for a block, wherever their run begins.
/// Returns `None` if a part can't have that many.
#[inline]
fn pages_for(size: usize, align: usize) -> Option<usize> {
    let aligned = size.saturating_add(align);
    if aligned > MAX_ARENA_SIZE {
        return None;
    }
    let mut enough = Part::bytes_for(aligned) + PLACE_BYTES;
    if align <= PAGE_SIZE {
        // A run begins on a page boundary, so the distance from there to the aligned
        // block is known.
        let before = (enough - aligned + align - 1) & !(align - 1);
        enough = enough.min(before + size.next_multiple_of(GRANULE));
    }
    let pages = enough.div_ceil(PAGE_SIZE);
    if pages > MOST { None } else { Some(pages) }
}
