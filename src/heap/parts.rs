use core::alloc::Layout;
use core::cell::Cell;
use core::iter;
use core::ptr::NonNull;

use super::part::Part;
use super::units::GRANULE;
use crate::poison::unpoison;
use crate::seal::SEAL;
use crate::{MAX_ARENA_SIZE, PAGE_SIZE, PageSource};

/// The memories of a heap, the oldest first.
///
/// *Invariant (Parts):* each pointer leads to a `Place` at the start of memory that belongs to the heap for as long as the
/// heap is there. The memories don't overlap. No reference to a part is alive between two operations, and none of them
/// calls code of others.
pub(super) struct Parts {
    first: Cell<Option<NonNull<Place>>>,
}

/// A part, at the start of its own memory, before what it manages.
pub(super) struct Place {
    part: Part,
    /// Whether memory of the part that was never handed out is known to be zero.
    is_zeroed: bool,
    next: Option<NonNull<Self>>,
}

// SAFETY: by Parts, the memory is the heap's alone, and memory has no tie to a thread.
unsafe impl Send for Parts {}

/// The most pages that a part can have.
const MOST: usize = MAX_ARENA_SIZE / PAGE_SIZE;

/// Bytes of memory that a place takes, with what aligns it.
const PLACE_BYTES: usize = size_of::<Place>() + align_of::<Place>() - 1;

impl Parts {
    pub(super) const fn new() -> Self {
        Self { first: Cell::new(None) }
    }

    /// The places, in order.
    #[inline]
    fn places(&self) -> impl Iterator<Item = NonNull<Place>> {
        // SAFETY: Parts.
        iter::successors(self.first.get(), |place| unsafe { (*place.as_ptr()).next })
    }

    /// What `f` says of each part.
    pub(super) fn each(&self, f: impl Fn(&Part) -> usize) -> impl Iterator<Item = usize> {
        // SAFETY: Parts.
        self.places().map(move |place| f(unsafe { &(*place.as_ptr()).part }))
    }

    /// What `f` returns of the first part of which it isn't `None`. It is also told whether fresh memory is zero there.
    #[inline]
    pub(super) fn find<T>(&self, mut f: impl FnMut(&mut Part, bool) -> Option<T>) -> Option<T> {
        // SAFETY: Parts.
        self.places().find_map(|place| unsafe { f(&mut (*place.as_ptr()).part, (*place.as_ptr()).is_zeroed) })
    }

    /// What `f` returns of the part in whose memory the block lies. `None` if there is none, which is only looked at if there
    /// are several parts, or with `--cfg hpalloc_hardened`.
    #[inline]
    pub(super) fn with<T>(&self, block: NonNull<u8>, f: impl FnOnce(&mut Part) -> T) -> Option<T> {
        let mut next = self.first.get();
        while let Some(place) = next {
            // SAFETY: Parts.
            let (part, after) = unsafe { (&mut (*place.as_ptr()).part, (*place.as_ptr()).next) };
            if (after.is_none() && !cfg!(hpalloc_hardened)) || part.contains(block) {
                return Some(f(part));
            }
            next = after;
        }
        None
    }

    /// Adds memory. `false` if it is too small for a part.
    ///
    /// # Safety
    ///
    /// The `bytes` bytes from `memory` on are the heap's, from now on and for as long as it is there, and valid for reads and
    /// writes through `memory`. If `is_zeroed`, they are zero.
    pub(super) unsafe fn add(&self, memory: NonNull<u8>, bytes: usize, is_zeroed: bool) -> bool {
        // A heap or a pool that is gone may have had it.
        unpoison(memory.as_ptr(), bytes);
        let skip = memory.addr().get().wrapping_neg() % align_of::<Place>();
        let Some(rest) = bytes.checked_sub(skip + size_of::<Place>()) else { return false };
        // SAFETY: both lie in the memory, as was just compared.
        let (place, managed) = unsafe {
            let place = memory.add(skip);
            (place.cast::<Place>(), place.add(size_of::<Place>()))
        };
        // SAFETY: the caller's promise is the one that is asked for.
        let Some(part) = (unsafe { Part::new(managed, rest) }) else { return false };
        // SAFETY: it is aligned and in the memory, before what the part manages.
        unsafe { place.write(Place { part, is_zeroed, next: None }) };
        match self.places().last() {
            None => self.first.set(Some(place)),
            // SAFETY: Parts.
            Some(last) => unsafe { (*last.as_ptr()).next = Some(place) },
        }
        true
    }

    /// Begins with the memory of a source that has one slice. `false` if it has none, or had.
    pub(super) fn begin(&self, source: &impl PageSource) -> bool {
        let Some(memory) = source.take_slice(SEAL) else { return false };
        let start = memory.cast::<u8>();
        // For `whole_block`.
        start.as_ptr().expose_provenance();
        // SAFETY: by StaticMemory, the memory is the source's alone, for good; whoever takes it is given it once.
        unsafe { self.add(start, memory.len(), false) }
    }

    /// Takes memory from a source, for the layout. `false` if there is none; then no memory
    /// was taken.
    ///
    /// From a source that nobody else takes pages from, it takes all that there is in one run; from another one, as much again
    /// as the heap has if it can, so that there are few parts. The memory is enough for the
    /// layout, except for one that is aligned to more than a page: whether the last run of a
    /// source is enough depends on where it lies.
    #[cold]
    #[inline(never)]
    pub(super) fn take(&self, layout: Layout, source: &impl PageSource) -> bool {
        if self.begin(source) {
            return true;
        }
        let (size, align) = (layout.size(), layout.align());
        // With luck, a run begins where it needs nothing to align the block. (A source that is never the heap's alone answers
        // the first question with a constant, so the others aren't compiled for it.)
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
                // For `whole_block`.
                run.as_ptr().expose_provenance();
                // SAFETY: by PageSource, the run is the heap's until the source, which it owns, is dropped.
                return unsafe { self.add(run, pages * PAGE_SIZE, is_zeroed) };
            }
            if pages == least {
                return false;
            }
            pages = (pages / 2).max(least);
        }
    }
}

/// How many pages are enough for a block, wherever their run begins. `None` if no part
/// has so many.
#[inline]
fn pages_for(size: usize, align: usize) -> Option<usize> {
    let aligned = size.saturating_add(align);
    if aligned > MAX_ARENA_SIZE {
        return None;
    }
    let mut enough = Part::bytes_for(aligned) + PLACE_BYTES;
    if align <= PAGE_SIZE {
        // A run begins at a page: what lies before the block, up to where it is aligned, is known.
        let before = (enough - aligned + align - 1) & !(align - 1);
        enough = enough.min(before + size.next_multiple_of(GRANULE));
    }
    let pages = enough.div_ceil(PAGE_SIZE);
    if pages > MOST { None } else { Some(pages) }
}
