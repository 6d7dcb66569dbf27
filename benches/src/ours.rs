//! hpalloc as the allocator of a workload.

use std::alloc::Layout;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::ptr::NonNull;

use hpalloc::{
    Arena, FixedBlock, HugePages, Locked, MAX_ARENA_SIZE, Mapping, MappingOptions, PAGE_SIZE, SizeClasses, Spin,
};

use crate::allocator::{Blocks, General, Heap, Shared, Size};

/// A pool of each size, over one arena.
pub(crate) struct Hpalloc<M> {
    pools: [FixedBlock<&'static Arena<Mapping>>; Size::ALL.len()],
    memory: PhantomData<M>,
}

/// The kind of memory that an arena has.
pub(crate) trait Memory {
    const OPTIONS: MappingOptions;
}

pub(crate) struct Plain;
pub(crate) struct Huge;
pub(crate) struct Prefaulted;
pub(crate) struct HugePrefaulted;

impl Memory for Plain {
    const OPTIONS: MappingOptions = MappingOptions::new();
}

impl Memory for Huge {
    const OPTIONS: MappingOptions = MappingOptions::new().huge_pages(HugePages::Best);
}

impl Memory for Prefaulted {
    const OPTIONS: MappingOptions = MappingOptions::new().prefault(true);
}

impl Memory for HugePrefaulted {
    const OPTIONS: MappingOptions = Huge::OPTIONS.prefault(true);
}

/// Returns an arena with room for `bytes` bytes of blocks.
pub(crate) fn arena<M: Memory>(bytes: usize) -> &'static Arena<Mapping> {
    // Blocks of 24 bytes waste 16 bytes of each page, and the last page of each pool may
    // be almost empty.
    let pages = (bytes + bytes / 128).div_ceil(PAGE_SIZE) + Size::ALL.len();
    let region = M::OPTIONS.map((pages * PAGE_SIZE).min(MAX_ARENA_SIZE)).expect("memory for an arena");
    Box::leak(Box::new(Arena::from_region(region).expect("an arena of a checked size")))
}

impl<M: Memory> Heap for Hpalloc<M> {
    fn new(bytes: usize) -> Self {
        let arena = arena::<M>(bytes);
        let pools = Size::ALL.map(|size| FixedBlock::with_block_size(arena, size.block_size()));
        Self { pools, memory: PhantomData }
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        self.pools[size as usize].allocate()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
        // SAFETY: the caller promises that the block is from this pool.
        unsafe { self.pools[size as usize].deallocate(block) }
    }
}

/// Size classes, without a lock.
pub(crate) type Classes = &'static SizeClasses<Arena<Mapping>>;

impl General for Classes {
    fn new(bytes: usize) -> Self {
        // A block may be twice as large as its request, and the earlier buffers of a
        // vector together as large as the vector. Unused memory costs nothing.
        let bytes = (4 * bytes + (1 << 20)).min(MAX_ARENA_SIZE);
        let arena = Arena::new(bytes.next_multiple_of(PAGE_SIZE)).expect("memory for an arena");
        Box::leak(Box::new(SizeClasses::new(arena)))
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        SizeClasses::allocate(self, layout)
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { SizeClasses::deallocate(self, block, layout) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        // SAFETY: the caller keeps the same contract, and each function is called for its
        // direction.
        unsafe {
            match size.cmp(&layout.size()) {
                Ordering::Less => self.shrink(block, layout, new),
                _ => self.grow(block, layout, new),
            }
        }
    }
}

/// A heap, without a lock. Most workloads fit in its first arena, and then the second is
/// unused.
pub(crate) type AnySize = hpalloc::Heap<[Arena<Mapping>; 2]>;

impl General for AnySize {
    fn new(bytes: usize) -> Self {
        // The heap gets as much memory as the other heaps. It is in two arenas, because
        // an arena has a maximum size.
        let half = (bytes + (1 << 19)).next_power_of_two().min(MAX_ARENA_SIZE);
        Self::new([(); 2].map(|()| Arena::new(half).expect("memory for an arena")))
    }

    #[inline]
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        Self::allocate(self, layout)
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { Self::deallocate(self, block, layout) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        // SAFETY: the caller keeps the same contract, and each function is called for its
        // direction.
        unsafe { if size < layout.size() { self.shrink(block, layout, new) } else { self.grow(block, layout, new) } }
    }
}

/// The pool of one thread, over an arena that both threads share.
pub(crate) struct HpallocShared(FixedBlock<&'static Locked<Arena<Mapping>, Spin>>);

impl Shared for HpallocShared {
    fn pair(count: usize) -> [Self; 2] {
        let size = 2 * count * Size::B64.bytes();
        let region = MappingOptions::new().map(size.next_multiple_of(PAGE_SIZE) + 2 * PAGE_SIZE);
        let arena = Arena::from_region(region.expect("memory for an arena")).expect("an arena of a checked size");
        let arena = &*Box::leak(Box::new(Locked::new(arena)));
        [(); 2].map(|()| Self(FixedBlock::with_block_size(arena, Size::B64.block_size())))
    }
}

impl Blocks<8> for HpallocShared {
    type Block = NonNull<u8>;

    fn new(count: usize) -> Self {
        let [one, _] = Self::pair(count);
        one
    }

    #[inline]
    fn allocate(&mut self) -> Option<Self::Block> {
        self.0.allocate()
    }

    #[inline]
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<[u64; 8]> {
        block.cast()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: Self::Block) {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.0.deallocate(block) }
    }
}
