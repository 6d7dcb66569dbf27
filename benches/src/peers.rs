//! Pools and an arena of other crates as the allocator of a workload. They have blocks of
//! one size, or can't free single blocks.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bumpalo::Bump;
use heapless::box_pool;
use heapless::pool::boxed::{Box as PoolBox, BoxBlock};
use slab::Slab;

use crate::allocator::{Blocks, Heap, Shared, Size};

impl Heap for Bump {
    fn new(bytes: usize) -> Self {
        Bump::with_capacity(bytes)
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        self.try_alloc_layout(size.layout()).ok()
    }

    /// Does nothing: a bump allocator frees all of its memory together.
    unsafe fn deallocate(&mut self, _: NonNull<u8>, _: Size) {}

    fn all_freed(&mut self) {
        self.reset();
    }
}

impl<const WORDS: usize> Blocks<WORDS> for Slab<MaybeUninit<[u64; WORDS]>> {
    type Block = usize;

    fn new(count: usize) -> Self {
        Slab::with_capacity(count)
    }

    #[inline]
    fn allocate(&mut self) -> Option<usize> {
        Some(self.insert(MaybeUninit::uninit()))
    }

    #[inline]
    fn memory(&mut self, key: &mut usize) -> NonNull<[u64; WORDS]> {
        NonNull::from(&mut self[*key]).cast()
    }

    #[inline]
    unsafe fn deallocate(&mut self, key: usize) {
        let _ = self.remove(key);
    }
}

box_pool!(HeaplessPool: MaybeUninit<[u64; 8]>);

/// The pool of heapless. `box_pool!` creates a single pool, which lives as long as the
/// program.
pub(crate) struct Heapless;

impl Shared for Heapless {
    fn pair(count: usize) -> [Self; 2] {
        [<Self as Blocks<8>>::new(count), <Self as Blocks<8>>::new(count)]
    }
}

impl Blocks<8> for Heapless {
    type Block = PoolBox<HeaplessPool>;

    fn new(count: usize) -> Self {
        let mut blocks = Vec::new();
        blocks.resize_with(count, BoxBlock::new);
        for block in blocks.leak() {
            HeaplessPool.manage(block);
        }
        Self
    }

    #[inline]
    fn allocate(&mut self) -> Option<Self::Block> {
        HeaplessPool::alloc(&HeaplessPool, MaybeUninit::uninit()).ok()
    }

    #[inline]
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<[u64; 8]> {
        NonNull::from(&mut **block).cast()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: Self::Block) {
        drop(block);
    }
}
