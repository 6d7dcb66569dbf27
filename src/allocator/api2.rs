//! The trait `Allocator` of the crate `allocator-api2`, for pools and heaps.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use allocator_api2::alloc::{AllocError, Allocator};

use crate::by_layout::{self, ByLayout};
use crate::hardened::MisuseError;
use crate::page_source::whole_block;
use crate::{FixedBlock, Heap, Lock, Locked, PageSource, SizeClasses};

/// A pool serves a request if its blocks have the size and the alignment for it.
impl<P: PageSource> ByLayout for FixedBlock<P> {
    #[inline]
    fn take(&self, layout: Layout) -> Result<Option<NonNull<[u8]>>, MisuseError> {
        if !fits(self, layout) {
            return Ok(None);
        }
        Ok(self.try_allocate()?.map(|block| whole(self, block)))
    }

    #[inline]
    unsafe fn give_back(&self, block: NonNull<u8>, _: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller upholds the same contract, except that its pointer may be
        // valid for less than the block. Every run of the pool was exposed, so
        // `whole_block` returns a pointer that is valid for all of it.
        unsafe { self.give_back(whole_block(block)) }
    }

    #[inline]
    unsafe fn check(&self, block: NonNull<u8>, _: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller upholds the same contract.
        unsafe { FixedBlock::check(self, block) }
    }

    #[inline]
    fn in_place(&self, block: NonNull<u8>, _: Layout, new: Layout) -> Option<NonNull<[u8]>> {
        fits(self, new).then(|| whole(self, whole_block(block)))
    }
}

fn fits<P: PageSource>(pool: &FixedBlock<P>, layout: Layout) -> bool {
    layout.size() <= pool.block_size() && layout.align() <= pool.block_align()
}

fn whole<P: PageSource>(pool: &FixedBlock<P>, block: NonNull<u8>) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(block, pool.block_size())
}

/// Serves a request of zero bytes, with a dangling pointer that is aligned.
fn nothing(layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let address = NonNull::new(ptr::without_provenance_mut(layout.align())).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(address, 0))
}

macro_rules! allocator {
    ($(#[$attribute:meta])* ($($generics:tt)*) $heap:ty) => {
        $(#[$attribute])*
        // SAFETY: a block is valid until it is deallocated or the heap is dropped, which
        // can't happen while it is borrowed. A copy of the reference refers to the same
        // heap. A block has the size and the alignment of its layout.
        unsafe impl<$($generics)*> Allocator for &$heap {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                if layout.size() == 0 {
                    return nothing(layout);
                }
                by_layout::allocate(*self, layout).ok_or(AllocError)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                if layout.size() == 0 {
                    return nothing(layout);
                }
                by_layout::allocate_zeroed(*self, layout).ok_or(AllocError)
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                if layout.size() != 0 {
                    // SAFETY: the caller upholds the same contract.
                    unsafe { by_layout::deallocate(*self, block, layout) };
                }
            }

            #[inline]
            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                if old.size() == 0 {
                    return Allocator::allocate(self, new);
                }
                // SAFETY: the caller upholds the same contract.
                unsafe { by_layout::resize(*self, block, old, new) }.ok_or(AllocError)
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the caller upholds the same contract.
                let grown = unsafe { self.grow(block, old, new) }?;
                // SAFETY: the block has `grown.len()` bytes, and those up to the old size
                // are kept.
                unsafe { grown.cast::<u8>().add(old.size()).write_bytes(0, grown.len() - old.size()) };
                Ok(grown)
            }

            #[inline]
            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                if new.size() == 0 {
                    // SAFETY: the caller upholds the same contract.
                    unsafe { Allocator::deallocate(self, block, old) };
                    return nothing(new);
                }
                // SAFETY: as above.
                unsafe { by_layout::resize(*self, block, old, new) }.ok_or(AllocError)
            }
        }
    };
}
allocator! {
    /// Lets boxes and collections allocate from a pool, on stable Rust: those of the
    /// crates `allocator-api2` and `hashbrown`, and others that accept an `Allocator` of
    /// `allocator-api2` 0.2.
    ///
    /// A request is served if it fits a block: at most
    /// [`block_size`](FixedBlock::block_size) bytes, aligned to at most
    /// [`block_align`](FixedBlock::block_align). Any other request fails, and so does one
    /// for which no block is left. A request of zero bytes needs no block. The contents
    /// of a block grow and shrink in place.
    ///
    /// # Time complexity
    ///
    /// Constant, as that of the pool. `allocate_zeroed` and `grow_zeroed` also write the
    /// zeros.
    ///
    /// ```
    /// use allocator_api2::boxed::Box;
    /// use allocator_api2::vec::Vec;
    /// use hpalloc::{Arena, BlockSize, FixedBlock, Page};
    ///
    /// let mut memory = [const { Page::new() }; 1];
    /// let arena = Arena::from_pages(&mut memory)?;
    /// let block_size = const { BlockSize::of::<[u64; 32]>() };
    /// let pool = FixedBlock::with_block_size(&arena, block_size);
    ///
    /// let number = Box::new_in(7_u64, &pool);
    /// let mut numbers = Vec::new_in(&pool);
    /// numbers.extend(0..64_u32);
    /// assert_eq!((*number, numbers.len()), (7, 64));
    /// assert!(numbers.try_reserve(1).is_err()); // a block of 256 bytes holds only 64
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    (P: PageSource) FixedBlock<P>
}

allocator! {
    /// Lets boxes and collections allocate from a locked pool. The lock is acquired for
    /// each call, so collections can be sent to another thread.
    ///
    /// ```
    /// # #[cfg(all(feature = "spin", feature = "std"))] {
    /// use allocator_api2::vec::Vec;
    /// use hpalloc::{Arena, BlockSize, Boxed, FixedBlock, Lazy, Locked, Spin};
    ///
    /// static POOL: Locked<FixedBlock<Lazy<Boxed>>, Spin> =
    ///     Locked::new(FixedBlock::with_block_size(
    ///         Lazy::new(|| Boxed::new(1 << 20).and_then(Arena::from_region)),
    ///         BlockSize::of::<[u8; 1024]>(),
    ///     ));
    ///
    /// let mut numbers = Vec::new_in(&POOL);
    /// numbers.extend(0..100);
    /// let sum = std::thread::spawn(move || numbers.iter().sum::<i32>());
    /// assert_eq!(sum.join().unwrap(), 4950);
    /// # }
    /// ```
    (P: PageSource, M: Lock) Locked<FixedBlock<P>, M>
}

allocator! {
    /// Lets boxes and collections allocate from a separate heap of size classes, which
    /// counts their memory and frees all of it when it is dropped.
    ///
    /// A request of zero bytes needs no block. A block that grows or shrinks stays in
    /// place while its class serves the new size.
    ///
    /// ```
    /// use allocator_api2::vec::Vec;
    /// use hpalloc::{Arena, Page, SizeClasses};
    ///
    /// let mut memory = [const { Page::new() }; 8];
    /// let heap = SizeClasses::new(Arena::from_pages(&mut memory)?);
    /// let mut names = Vec::new_in(&heap);
    /// names.extend((0..1000).map(|number| number as u16));
    /// assert_eq!(names.len(), 1000);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    (P: PageSource, const N: usize) SizeClasses<P, N>
}

allocator! {
    /// Lets boxes and collections allocate from locked size classes, on any thread.
    ///
    /// ```
    /// # #[cfg(all(feature = "spin", feature = "std"))] {
    /// use allocator_api2::boxed::Box;
    /// use hpalloc::{Arena, Boxed, Lazy, Locked, SizeClasses, Spin};
    ///
    /// static HEAP: Locked<SizeClasses<Lazy<Boxed>>, Spin> =
    ///     Locked::new(SizeClasses::new(Lazy::new(|| {
    ///         Boxed::new(1 << 20).and_then(Arena::from_region)
    ///     })));
    ///
    /// let number = Box::new_in(7, &HEAP);
    /// std::thread::spawn(move || assert_eq!(*number, 7)).join().unwrap();
    /// # }
    /// ```
    (P: PageSource, M: Lock, const N: usize) Locked<SizeClasses<P, N>, M>
}

allocator! {
    /// Lets boxes and collections of any size and alignment allocate from a separate
    /// heap.
    ///
    /// ```
    /// use core::mem::MaybeUninit;
    /// use allocator_api2::vec::Vec;
    /// use hpalloc::Heap;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 8000];
    /// let heap = Heap::from_uninit(&mut memory)?;
    /// let mut numbers = Vec::new_in(&heap);
    /// numbers.extend(0..1000_u32);
    /// assert_eq!(numbers.iter().sum::<u32>(), 499_500);
    /// # Ok::<(), hpalloc::HeapError>(())
    /// ```
    (P: PageSource) Heap<P>
}

allocator! {
    /// Lets boxes and collections allocate from a locked heap, on any thread.
    ///
    /// ```
    /// # #[cfg(all(feature = "spin", feature = "std"))] {
    /// use allocator_api2::boxed::Box;
    /// use hpalloc::{Arena, Boxed, Heap, Lazy, Locked, Spin};
    ///
    /// static HEAP: Locked<Heap<Lazy<Boxed>>, Spin> =
    ///     Locked::new(Heap::new(Lazy::new(|| {
    ///         Boxed::new(1 << 20).and_then(Arena::from_region)
    ///     })));
    ///
    /// let number = Box::new_in(7, &HEAP);
    /// std::thread::spawn(move || assert_eq!(*number, 7)).join().unwrap();
    /// # }
    /// ```
    (P: PageSource, M: Lock) Locked<Heap<P>, M>
}
