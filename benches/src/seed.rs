//! The baseline: the algorithm from which hpalloc was developed. It cuts each new page
//! into blocks immediately and pushes them all on the free list, so they are handed out
//! in descending order.

use std::ptr::NonNull;

use hpalloc::{Arena, Mapping, PAGE_SIZE};

use crate::allocator::{Heap, Size};
use crate::ours::{Plain, arena};

struct Link {
    next: Option<NonNull<Link>>,
}

struct Pool {
    head: Option<NonNull<Link>>,
    block_size: usize,
}

/// A pool of each size, over one arena.
pub(crate) struct Seed {
    pools: [Pool; Size::ALL.len()],
    pages: &'static Arena<Mapping>,
}

impl Pool {
    #[inline]
    fn allocate(&mut self, pages: &Arena<Mapping>) -> Option<NonNull<u8>> {
        if self.head.is_none() {
            self.refill(pages)?;
        }
        let block = self.head?;
        // SAFETY: a block in the list is free and holds a link.
        self.head = unsafe { block.read() }.next;
        Some(block.cast())
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self, pages: &Arena<Mapping>) -> Option<()> {
        let page = NonNull::from(pages.alloc_page()?).cast::<u8>();
        for index in 0..PAGE_SIZE / self.block_size {
            // SAFETY: the block is in the page, which only this pool uses.
            unsafe { self.deallocate(page.add(index * self.block_size)) };
        }
        Some(())
    }

    /// # Safety
    ///
    /// The block is from this pool, and unused.
    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>) {
        let block = block.cast::<Link>();
        // SAFETY: the caller promises that nothing else uses the block.
        unsafe { block.write(Link { next: self.head }) };
        self.head = Some(block);
    }
}

impl Heap for Seed {
    fn new(bytes: usize) -> Self {
        let pools = Size::ALL.map(|size| Pool { head: None, block_size: size.bytes() });
        Self { pools, pages: arena::<Plain>(bytes) }
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        self.pools[size as usize].allocate(self.pages)
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
        // SAFETY: the caller promises that the block is from this pool.
        unsafe { self.pools[size as usize].deallocate(block) }
    }
}
