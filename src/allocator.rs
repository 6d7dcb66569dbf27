//! The traits through which collections allocate.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use allocator_api2::alloc::{AllocError, Allocator};

use crate::{FixedBlock, Lock, Locked, PageSource};

/// Boxes and collections in the blocks of a pool, on stable Rust: those of the crates `allocator-api2` and `hashbrown`, and
/// others that take an `Allocator` of `allocator-api2` 0.2.
///
/// A request is served if it fits a block: at most [`block_size`](FixedBlock::block_size) bytes, aligned to at most
/// [`block_align`](FixedBlock::block_align). All others fail, as those do when no block is left. One of no bytes takes no
/// block. What is in a block grows and shrinks in place.
///
/// # Time complexity
///
/// Constant, as the pool's; growing with zeros writes the zeros.
///
/// ```
/// use allocator_api2::boxed::Box;
/// use allocator_api2::vec::Vec;
/// use hpalloc::{Arena, BlockSize, FixedBlock, Page};
///
/// let mut memory = [const { Page::new() }; 1];
/// let arena = Arena::from_pages(&mut memory)?;
/// let pool = FixedBlock::with_block_size(&arena, const { BlockSize::of::<[u64; 32]>() });
///
/// let number = Box::new_in(7_u64, &pool);
/// let mut numbers = Vec::new_in(&pool);
/// numbers.extend(0..64_u32);
/// assert_eq!((*number, numbers.len()), (7, 64));
/// assert!(numbers.try_reserve(1).is_err()); // 64 are all that a block of 256 bytes holds
/// # Ok::<(), hpalloc::ArenaError>(())
/// ```
// SAFETY: a block is valid until it is deallocated or the pool goes, which has to wait for the end of the borrow; a copy of
// the reference is one to the same pool. A block serves requests that it has the size and the alignment for.
unsafe impl<P: PageSource> Allocator for &FixedBlock<P> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            return nothing(layout);
        }
        if !fits(self, layout) {
            return Err(AllocError);
        }
        let block = FixedBlock::allocate(self).ok_or(AllocError)?;
        // So that `whole` can find back to it.
        block.as_ptr().expose_provenance();
        Ok(NonNull::slice_from_raw_parts(block, self.block_size()))
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: by the caller's promise, the block came from this pool, and isn't used any more; the pointer is good
            // for all of it.
            unsafe { FixedBlock::deallocate(self, whole(block)) };
        }
    }

    #[inline]
    unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if old.size() == 0 {
            return Allocator::allocate(self, new);
        }
        resize(self, block, new)
    }

    #[inline]
    unsafe fn grow_zeroed(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise is the one that is asked for.
        let grown = unsafe { self.grow(block, old, new) }?;
        // SAFETY: what was grown has as many bytes, of which those up to the old size are kept.
        unsafe { grown.cast::<u8>().add(old.size()).write_bytes(0, grown.len() - old.size()) };
        Ok(grown)
    }

    #[inline]
    unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if new.size() == 0 {
            // SAFETY: the caller's promise is the one that is asked for.
            unsafe { Allocator::deallocate(self, block, old) };
            return Allocator::allocate(self, new);
        }
        resize(self, block, new)
    }
}

/// The same block, for the new layout.
fn resize<P: PageSource>(pool: &FixedBlock<P>, block: NonNull<u8>, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
    if fits(pool, new) { Ok(NonNull::slice_from_raw_parts(whole(block), pool.block_size())) } else { Err(AllocError) }
}

/// The block's pointer, good for all of the block, as it was handed out.
///
/// What comes back from a collection may have been made from a reference to the value, and then is good for that alone,
/// which can be less than a link (a `Box<u8>`) or than what it grows to.
fn whole(block: NonNull<u8>) -> NonNull<u8> {
    NonNull::new(ptr::with_exposed_provenance_mut(block.addr().get())).unwrap_or(block)
}

fn fits<P: PageSource>(pool: &FixedBlock<P>, layout: Layout) -> bool {
    layout.size() <= pool.block_size() && layout.align() <= pool.block_align()
}

/// What a request of no bytes gets: no memory, aligned.
fn nothing(layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let address = NonNull::new(ptr::without_provenance_mut(layout.align())).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(address, 0))
}

/// The same for a pool behind a lock, which is taken for each call. So collections can be sent to another thread.
///
/// ```
/// # #[cfg(all(feature = "spin", feature = "std"))] {
/// use allocator_api2::vec::Vec;
/// use hpalloc::{Arena, BlockSize, Boxed, FixedBlock, Lazy, Locked, Spin};
///
/// static POOL: Locked<FixedBlock<Lazy<Boxed>>, Spin> = Locked::new(FixedBlock::with_block_size(
///     Lazy::new(|| Boxed::new(1 << 20).and_then(Arena::from_region)),
///     BlockSize::of::<[u8; 1024]>(),
/// ));
///
/// let mut numbers = Vec::new_in(&POOL);
/// numbers.extend(0..100);
/// std::thread::spawn(move || assert_eq!(numbers.iter().sum::<i32>(), 4950)).join().unwrap();
/// # }
/// ```
// SAFETY: as for a pool, which is there as long as the lock.
unsafe impl<P: PageSource, M: Lock> Allocator for &Locked<FixedBlock<P>, M> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.with(|pool| Allocator::allocate(&pool, layout))
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise is the one that is asked for.
        self.with(|pool| unsafe { Allocator::deallocate(&pool, block, layout) });
    }

    #[inline]
    unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise is the one that is asked for.
        self.with(|pool| unsafe { Allocator::grow(&pool, block, old, new) })
    }

    #[inline]
    unsafe fn grow_zeroed(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise is the one that is asked for.
        self.with(|pool| unsafe { Allocator::grow_zeroed(&pool, block, old, new) })
    }

    #[inline]
    unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise is the one that is asked for.
        self.with(|pool| unsafe { Allocator::shrink(&pool, block, old, new) })
    }
}
