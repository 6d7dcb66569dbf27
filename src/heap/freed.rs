//! The contents of free memory in a hardened build: a pattern, which is compared when the
//! memory is handed out again. In other builds these functions are empty, and the
//! compiler removes them.
//!
//! *Invariant (Filled):* every byte of free memory has the pattern. The exceptions are
//! the granules in which the heap keeps the words of a hole, and memory that was never
//! handed out (`Part::virgin`). Therefore:
//!
//! - Freed memory is filled (`Part::fill`, `Part::fill_left`). So is memory that stops
//!   being virgin without being handed out (`Part::fill_virgin`).
//! - When a hole is removed, or changes its start or size, its words are erased
//!   (`Holes::erase`): free memory contains no stale words.
//! - Memory is compared before it is handed out (`Part::inspect`, `Part::inspect_gain`),
//!   except for the words of the hole that it is taken from.

#[cfg(hpalloc_hardened)]
mod filled {
    use core::alloc::Layout;

    use crate::hardened::{Misuse, MisuseError, fill, first_difference};
    use crate::heap::holes::Holes;
    use crate::heap::part::Part;
    use crate::heap::policy::Fit;
    use crate::heap::regions::covers;
    use crate::heap::units::GRANULE;

    /// The address of the first byte that was written to after it was freed.
    pub(in crate::heap) struct Written(usize);

    impl Written {
        /// Returns the error of a request for this layout.
        pub(in crate::heap) const fn error(self, layout: Layout) -> MisuseError {
            MisuseError { misuse: Misuse::WrittenAfterFree, block: self.0, block_size: layout.size(), pool: 0 }
        }
    }

    impl Holes {
        /// Overwrites the words of a former hole with the pattern, except those in the
        /// granule `except`.
        ///
        /// # Safety
        ///
        /// A hole of this size was at this position and has been removed, but its memory
        /// is still free.
        pub(in crate::heap) unsafe fn erase(&self, hole: usize, granules: usize, except: usize) {
            let end = hole + granules;
            let tail = covers(hole, end).then(|| end - 1);
            for granule in (hole..end).take(2).chain(tail).filter(|&granule| granule != except) {
                // SAFETY: free memory is used by the part alone.
                unsafe { fill(self.memory.at(granule), GRANULE) };
            }
        }
    }

    impl Part {
        /// Fills memory that becomes free with the pattern. Does nothing unless `from` is
        /// below `to`.
        ///
        /// # Safety
        ///
        /// These granules belong to the part, and contain neither a live block nor the
        /// words of a hole.
        pub(in crate::heap) unsafe fn fill(&self, from: usize, to: usize) {
            if from < to {
                // SAFETY: free memory is used by the part alone.
                unsafe { fill(self.holes.memory.at(from), (to - from) * GRANULE) };
            }
        }

        /// Fills the virgin memory between `from` and `to`, which stops being virgin.
        ///
        /// # Safety
        ///
        /// As for `fill`.
        pub(in crate::heap) unsafe fn fill_virgin(&self, from: usize, to: usize) {
            // SAFETY: guaranteed by the caller.
            unsafe { self.fill(from.max(self.virgin.0), to.min(self.virgin.1)) };
        }

        /// Fills the memory that a block from `start` to `end` leaves when it moves to
        /// `fit` and takes `taken` granules there. The old memory has already been merged
        /// into the free memory at `free`.
        ///
        /// # Safety
        ///
        /// The contents were moved. `fit` was [removed](Part::remove), and the block is
        /// not [placed](Part::place_block) yet.
        pub(in crate::heap) unsafe fn fill_left(
            &self,
            (start, end): (usize, usize),
            free: usize,
            fit: &Fit,
            taken: usize,
        ) {
            let (mut from, mut to) = (start, end);
            if fit.start != free {
                // The old memory is still part of a hole, whose words must not be
                // overwritten.
                let bare = self.bare(&self.free_at(free));
                (from, to) = (from.max(bare.0), to.min(bare.1));
            }
            // SAFETY: the block has left this memory, and the words of the hole are
            // excluded.
            unsafe {
                self.fill(from, to.min(fit.block));
                self.fill(from.max(fit.block + taken), to);
            }
        }

        /// Returns the free memory that starts at this position.
        pub(in crate::heap) fn free_at(&self, start: usize) -> Fit {
            if start == self.low { self.wilderness() } else { self.hole(start) }
        }

        /// Returns the start and the end of the granules of free memory that contain no
        /// words of the heap.
        fn bare(&self, free: &Fit) -> (usize, usize) {
            if free.start == self.low {
                return (self.low, self.high);
            }
            let tail = usize::from(covers(free.start, free.end()));
            (free.start + free.granules.min(2), free.end() - tail)
        }

        /// Checks that free memory still has the pattern between two of its granules.
        ///
        /// # Errors
        ///
        /// The memory was written to after it was freed.
        ///
        /// # Safety
        ///
        /// `free` describes current free memory.
        pub(in crate::heap) unsafe fn inspect(&self, free: &Fit, from: usize, to: usize) -> Result<(), Written> {
            let (bare, virgin) = (self.bare(free), self.virgin);
            let (from, to) = (from.max(bare.0), to.min(bare.1));
            for (from, to) in [(from, to.min(virgin.0)), (from.max(virgin.1.max(virgin.0)), to)] {
                if from < to {
                    // SAFETY: by Filled, these bytes are initialized. Free memory is used
                    // by the part alone.
                    let written = unsafe { first_difference(self.holes.memory.at(from), (to - from) * GRANULE) };
                    if let Some(address) = written {
                        return Err(Written(address));
                    }
                }
            }
            Ok(())
        }

        /// Checks the memory that a block gains when it is placed in `fit` with this
        /// number of granules. The memory that it already had, from `start` to `end`, is
        /// free at this point and is not checked.
        ///
        /// # Errors
        ///
        /// As for [`inspect`](Part::inspect).
        ///
        /// # Safety
        ///
        /// `fit` describes current free memory, or is [`Fit::NONE`].
        pub(in crate::heap) unsafe fn inspect_gain(
            &self,
            fit: &Fit,
            granules: usize,
            (start, end): (usize, usize),
        ) -> Result<(), Written> {
            if fit.is_none() {
                return Ok(());
            }
            let block_end = fit.block + granules;
            // SAFETY: guaranteed by the caller.
            unsafe {
                self.inspect(fit, fit.block, block_end.min(start))?;
                self.inspect(fit, fit.block.max(end), block_end)
            }
        }
    }
}

#[cfg(not(hpalloc_hardened))]
mod filled {
    use core::alloc::Layout;

    use crate::hardened::MisuseError;
    use crate::heap::part::Part;
    use crate::heap::policy::Fit;

    /// Never constructed: free memory is not compared in this build.
    pub(in crate::heap) enum Written {}

    impl Written {
        pub(in crate::heap) const fn error(self, _: Layout) -> MisuseError {
            match self {}
        }
    }

    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the hardened versions use `self` and can fail")]
    impl Part {
        #[inline]
        pub(in crate::heap) const unsafe fn fill(&self, _from: usize, _to: usize) {}

        #[inline]
        pub(in crate::heap) const unsafe fn fill_virgin(&self, _from: usize, _to: usize) {}

        #[inline]
        pub(in crate::heap) const unsafe fn fill_left(
            &self,
            _block: (usize, usize),
            _free: usize,
            _fit: &Fit,
            _taken: usize,
        ) {
        }

        #[inline]
        pub(in crate::heap) const unsafe fn inspect(
            &self,
            _free: &Fit,
            _from: usize,
            _to: usize,
        ) -> Result<(), Written> {
            Ok(())
        }

        #[inline]
        pub(in crate::heap) const unsafe fn inspect_gain(
            &self,
            _fit: &Fit,
            _granules: usize,
            _block: (usize, usize),
        ) -> Result<(), Written> {
            Ok(())
        }
    }
}

pub(super) use filled::Written;
