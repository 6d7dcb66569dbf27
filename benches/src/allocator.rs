//! The traits through which workloads use allocators.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use hpalloc::BlockSize;

/// The sizes that workloads allocate. They are known before a pool is created.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    B24,
    B32,
    B64,
    B128,
    B256,
}

impl Size {
    pub(crate) const ALL: [Self; 5] = [Self::B24, Self::B32, Self::B64, Self::B128, Self::B256];

    pub(crate) const fn bytes(self) -> usize {
        [24, 32, 64, 128, 256][self as usize]
    }

    pub(crate) const fn layout(self) -> Layout {
        match Layout::from_size_align(self.bytes(), align_of::<usize>()) {
            Ok(layout) => layout,
            Err(_) => panic!("a size from the table"),
        }
    }

    pub(crate) const fn block_size(self) -> BlockSize {
        match BlockSize::new(self.bytes()) {
            Ok(size) => size,
            Err(_) => panic!("a size from the table"),
        }
    }
}

/// An allocator of any layout that isn't empty.
///
/// Each measurement is a process of its own, so allocators leak their memory.
pub(crate) trait General {
    /// Creates an allocator with room for `bytes` live bytes.
    fn new(bytes: usize) -> Self;

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>>;

    /// # Safety
    ///
    /// The block is live, was allocated here with this layout, and is not used
    /// afterwards.
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout);

    /// Changes the size of a block, which may move it. The default allocates, copies and
    /// frees.
    ///
    /// # Safety
    ///
    /// As for [`deallocate`](Self::deallocate), and the size is not zero.
    #[inline]
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let moved = self.allocate(Layout::from_size_align(size, layout.align()).ok()?)?;
        // SAFETY: both blocks have that many bytes, and the new one is not used
        // elsewhere. The caller promises the rest.
        unsafe {
            moved.copy_from_nonoverlapping(block, layout.size().min(size));
            self.deallocate(block, layout);
        }
        Some(moved)
    }
}

/// An allocator of blocks of each [`Size`], which leaks its memory.
pub(crate) trait Heap {
    /// Creates an allocator with room for `bytes` live bytes.
    fn new(bytes: usize) -> Self;

    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>>;

    /// # Safety
    ///
    /// The block is live, was allocated here with this size, and is not used afterwards.
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size);

    /// Called when all blocks have been freed.
    fn all_freed(&mut self) {}
}

impl<G: General> Heap for G {
    fn new(bytes: usize) -> Self {
        General::new(bytes)
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        General::allocate(self, size.layout())
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
        // SAFETY: the caller keeps the same contract.
        unsafe { General::deallocate(self, block, size.layout()) }
    }
}

/// An allocator of blocks of one size, that of `[u64; WORDS]`.
pub(crate) trait Blocks<const WORDS: usize> {
    /// A handle of a block: a pointer, an index or a box.
    type Block;

    /// Creates an allocator with room for `count` live blocks.
    fn new(count: usize) -> Self;

    fn allocate(&mut self) -> Option<Self::Block>;

    /// Returns the memory of the block, which may be uninitialized.
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<[u64; WORDS]>;

    /// # Safety
    ///
    /// The block is live, was allocated here, and is not used afterwards.
    unsafe fn deallocate(&mut self, block: Self::Block);

    /// Fills each place with a new block.
    #[inline]
    fn allocate_many(&mut self, places: &mut [MaybeUninit<Self::Block>]) {
        for place in places {
            place.write(self.allocate().expect("a free block"));
        }
    }

    /// # Safety
    ///
    /// As for [`deallocate`](Self::deallocate), for each block.
    #[inline]
    unsafe fn deallocate_many(&mut self, blocks: impl Iterator<Item = Self::Block>) {
        // SAFETY: the caller keeps the same contract.
        blocks.for_each(|block| unsafe { self.deallocate(block) });
    }

    /// Called when all blocks have been freed.
    fn all_freed(&mut self) {}
}

/// An allocator that two threads use at the same time.
pub(crate) trait Shared: Blocks<8> + Send + Sized {
    /// Creates the allocators of the two threads, each with room for `count` live blocks.
    fn pair(count: usize) -> [Self; 2];
}

/// The [`Size`] of `[u64; words]`.
const fn size_of_words(words: usize) -> Size {
    match words {
        3 => Size::B24,
        8 => Size::B64,
        _ => panic!("not in the table"),
    }
}

impl<H: Heap, const WORDS: usize> Blocks<WORDS> for H {
    type Block = NonNull<u8>;

    fn new(count: usize) -> Self {
        Heap::new(count * size_of::<[u64; WORDS]>())
    }

    #[inline]
    fn allocate(&mut self) -> Option<Self::Block> {
        Heap::allocate(self, const { size_of_words(WORDS) })
    }

    #[inline]
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<[u64; WORDS]> {
        block.cast()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: Self::Block) {
        // SAFETY: the caller keeps the same contract.
        unsafe { Heap::deallocate(self, block, const { size_of_words(WORDS) }) }
    }

    fn all_freed(&mut self) {
        Heap::all_freed(self);
    }
}
