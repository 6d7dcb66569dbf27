//! What free memory holds in a program that is built with `--cfg hpalloc_hardened`: a pattern, which is compared when the memory
//! is handed out again. In any other program these functions do nothing, and the compiler leaves nothing of them.
//!
//! *Invariant (Filled):* every byte of free memory is the pattern, except the granules in which the heap keeps the words of a
//! hole, and what was never handed out (`Part::virgin`). So
//!
//! - what is freed is filled (`Part::fill`, `Part::fill_left`), and so is what stops being virgin without being handed out
//!   (`Part::fill_virgin`);
//! - a hole that is removed, or gets another start or size, has its words erased (`Holes::erase`): free memory has no stale
//!   words;
//! - what is handed out is compared (`Part::inspect`, `Part::inspect_gain`), except for the words of the hole that it is
//!   taken from.

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
        /// The error of a request for this layout.
        pub(in crate::heap) const fn error(self, layout: Layout) -> MisuseError {
            MisuseError { misuse: Misuse::WrittenAfterFree, block: self.0, block_size: layout.size(), pool: 0 }
        }
    }

    impl Holes {
        /// Overwrites the words of what was a hole, except those in one granule.
        ///
        /// # Safety
        ///
        /// A hole of so many granules was there and isn't any more, and its memory is still free.
        pub(in crate::heap) unsafe fn erase(&self, hole: usize, granules: usize, except: usize) {
            let end = hole + granules;
            let tail = covers(hole, end).then(|| end - 1);
            for granule in (hole..end).take(2).chain(tail).filter(|&granule| granule != except) {
                // SAFETY: free memory is the part's own.
                unsafe { fill(self.memory.at(granule), GRANULE) };
            }
        }
    }

    impl Part {
        /// Fills memory that is free from now on. Does nothing if `from` isn't below `to`.
        ///
        /// # Safety
        ///
        /// These granules belong to the part, and neither a live block nor a hole's words lie in them.
        pub(in crate::heap) unsafe fn fill(&self, from: usize, to: usize) {
            if from < to {
                // SAFETY: free memory is the part's own.
                unsafe { fill(self.holes.memory.at(from), (to - from) * GRANULE) };
            }
        }

        /// Fills what was never handed out of memory that stops being virgin.
        ///
        /// # Safety
        ///
        /// That of `fill`.
        pub(in crate::heap) unsafe fn fill_virgin(&self, from: usize, to: usize) {
            // SAFETY: as the caller promises.
            unsafe { self.fill(from.max(self.virgin.0), to.min(self.virgin.1)) };
        }

        /// Fills what a block from `start` to `end` leaves behind, whose memory is now part of the free memory at `free`, if it
        /// takes `taken` granules of `fit`.
        ///
        /// # Safety
        ///
        /// The contents were moved. `fit` was [removed](Part::remove), and the block is not [placed](Part::place_block) yet.
        pub(in crate::heap) unsafe fn fill_left(
            &self,
            (start, end): (usize, usize),
            free: usize,
            fit: &Fit,
            taken: usize,
        ) {
            let (mut from, mut to) = (start, end);
            if fit.start != free {
                // It is still a hole.
                let bare = self.bare(&self.free_at(free));
                (from, to) = (from.max(bare.0), to.min(bare.1));
            }
            // SAFETY: the memory isn't the block's any more, and its hole's words are left out.
            unsafe {
                self.fill(from, to.min(fit.block));
                self.fill(from.max(fit.block + taken), to);
            }
        }

        /// The free memory that starts here.
        pub(in crate::heap) fn free_at(&self, start: usize) -> Fit {
            if start == self.low { self.wilderness() } else { self.hole(start) }
        }

        /// Which granules of free memory hold nothing of the heap's: from where, and to where.
        fn bare(&self, free: &Fit) -> (usize, usize) {
            if free.start == self.low {
                return (self.low, self.high);
            }
            let tail = usize::from(covers(free.start, free.end()));
            (free.start + free.granules.min(2), free.end() - tail)
        }

        /// Whether free memory is as it was left, between two granules of it.
        ///
        /// # Errors
        ///
        /// It was written to.
        ///
        /// # Safety
        ///
        /// `free` is free memory as it is now.
        pub(in crate::heap) unsafe fn inspect(&self, free: &Fit, from: usize, to: usize) -> Result<(), Written> {
            let (bare, virgin) = (self.bare(free), self.virgin);
            let (from, to) = (from.max(bare.0), to.min(bare.1));
            for (from, to) in [(from, to.min(virgin.0)), (from.max(virgin.1.max(virgin.0)), to)] {
                if from < to {
                    // SAFETY: by Filled these bytes are initialised, and free memory is the part's own.
                    let written = unsafe { first_difference(self.holes.memory.at(from), (to - from) * GRANULE) };
                    if let Some(address) = written {
                        return Err(Written(address));
                    }
                }
            }
            Ok(())
        }

        /// The same of what a block of so many granules gains by being placed in `fit`, beside its own memory from `start` to
        /// `end`, which is free already.
        ///
        /// # Errors
        ///
        /// As [`inspect`](Part::inspect).
        ///
        /// # Safety
        ///
        /// `fit` is free memory as it is now, or none.
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
            // SAFETY: as the caller promises.
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

    /// Never made: free memory is not compared.
    pub(in crate::heap) enum Written {}

    impl Written {
        pub(in crate::heap) const fn error(self, _: Layout) -> MisuseError {
            match self {}
        }
    }

    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the other ones do something")]
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
