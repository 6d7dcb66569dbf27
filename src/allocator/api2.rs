//! The trait of the crate `allocator-api2`, for pools and heaps.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use allocator_api2::alloc::{AllocError, Allocator};

use crate::by_layout::{self, ByLayout};
use crate::hardened::MisuseError;
use crate::page_source::whole_block;
use crate::{FixedBlock, Heap, Lock, Locked, PageSource, SizeClasses};

/// A block serves requests that it has the size and the alignment for.
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
        // SAFETY: by the caller's promise; every run was exposed, so the pointer is valid for all of the block.
        unsafe { self.give_back(whole_block(block)) }
    }

    #[inline]
    unsafe fn check(&self, block: NonNull<u8>, _: Layout) -> Result<(), MisuseError> {
        // SAFETY: the caller's promise is the one that is asked for.
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

/// What a request of no bytes gets: no memory, aligned.
fn nothing(layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let address = NonNull::new(ptr::without_provenance_mut(layout.align())).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(address, 0))
}

macro_rules! allocator {
    ($(#[$attribute:meta])* ($($generics:tt)*) $heap:ty) => {
        $(#[$attribute])*
        // SAFETY: a block is valid until it is deallocated or the heap goes, which has to wait for the end of the
        // borrow; a copy of the reference is one to the same heap. A block has the size and the alignment of its layout.
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
                    // SAFETY: the caller's promise is the one that is asked for.
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
                // SAFETY: the caller's promise is the one that is asked for.
                unsafe { by_layout::resize(*self, block, old, new) }.ok_or(AllocError)
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the caller's promise is the one that is asked for.
                let grown = unsafe { self.grow(block, old, new) }?;
                // SAFETY: what was grown has as many bytes, of which those up to the old size are kept.
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
                    // SAFETY: the caller's promise is the one that is asked for.
                    unsafe { Allocator::deallocate(self, block, old) };
                    return nothing(new);
                }
                // SAFETY: likewise.
                unsafe { by_layout::resize(*self, block, old, new) }.ok_or(AllocError)
            }
        }
    };
}
allocator! {
    /// Boxes and collections in the blocks of a pool, on stable Rust: those of the crates `allocator-api2` and
    /// `hashbrown`, and others that take an `Allocator` of `allocator-api2` 0.2.
    ///
    /// A request is served if it fits a block: at most [`block_size`](FixedBlock::block_size) bytes, aligned to at most
    /// [`block_align`](FixedBlock::block_align). All others fail, as those do when no block is left. One of no bytes
    /// takes no block. What is in a block grows and shrinks in place.
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
    (P: PageSource) FixedBlock<P>
}

allocator! {
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
    (P: PageSource, M: Lock) Locked<FixedBlock<P>, M>
}

allocator! {
    /// Boxes and collections in a heap of one's own: they are gone with it, and what they take is accounted for.
    ///
    /// One of no bytes takes no block. What grows or shrinks stays in place where its class serves it still.
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
    /// The same for a heap behind a lock.
    ///
    /// ```
    /// # #[cfg(all(feature = "spin", feature = "std"))] {
    /// use allocator_api2::boxed::Box;
    /// use hpalloc::{Arena, Boxed, Lazy, Locked, SizeClasses, Spin};
    ///
    /// static HEAP: Locked<SizeClasses<Lazy<Boxed>>, Spin> =
    ///     Locked::new(SizeClasses::new(Lazy::new(|| Boxed::new(1 << 20).and_then(Arena::from_region))));
    ///
    /// let number = Box::new_in(7, &HEAP);
    /// std::thread::spawn(move || assert_eq!(*number, 7)).join().unwrap();
    /// # }
    /// ```
    (P: PageSource, M: Lock, const N: usize) Locked<SizeClasses<P, N>, M>
}

allocator! {
    /// Boxes and collections in a heap of one's own, of any size and alignment.
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
    /// The same for a heap behind a lock.
    ///
    /// ```
    /// # #[cfg(all(feature = "spin", feature = "std"))] {
    /// use allocator_api2::boxed::Box;
    /// use hpalloc::{Arena, Boxed, Heap, Lazy, Locked, Spin};
    ///
    /// static HEAP: Locked<Heap<Lazy<Boxed>>, Spin> =
    ///     Locked::new(Heap::new(Lazy::new(|| Boxed::new(1 << 20).and_then(Arena::from_region))));
    ///
    /// let number = Box::new_in(7, &HEAP);
    /// std::thread::spawn(move || assert_eq!(*number, 7)).join().unwrap();
    /// # }
    /// ```
    (P: PageSource, M: Lock) Locked<Heap<P>, M>
}
