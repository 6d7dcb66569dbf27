//! Programs that do less than an allocator must. They are the lower bounds of the
//! workloads.

use std::iter;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice::IterMut;

use crate::allocator::Blocks;

const WORDS: usize = 8;
type Object = [u64; WORDS];

/// Returns memory for `count` objects, which is never freed.
fn objects(count: usize) -> &'static mut [Object] {
    vec![[0; WORDS]; count].leak()
}

/// A stack of pointers to the free blocks. Nothing is loaded from a block, and a pop
/// depends only on the height of the stack.
pub(crate) struct PointerStack {
    free: Box<[NonNull<Object>]>,
    height: usize,
}

impl Blocks<WORDS> for PointerStack {
    type Block = NonNull<Object>;

    fn new(count: usize) -> Self {
        let free: Box<[_]> = objects(count).iter_mut().rev().map(NonNull::from).collect();
        Self { height: free.len(), free }
    }

    #[inline]
    fn allocate(&mut self) -> Option<Self::Block> {
        let top = self.height.checked_sub(1)?;
        let block = *self.free.get(top)?;
        self.height = top;
        Some(block)
    }

    #[inline]
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<Object> {
        *block
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: Self::Block) {
        // SAFETY: no more blocks are freed than were handed out.
        unsafe { *self.free.get_unchecked_mut(self.height) = block };
        self.height += 1;
    }
}

/// A free list that hands out and frees many blocks in one call, and keeps its head in a
/// register during the call. It shows the most that bulk operations could gain.
pub(crate) struct BulkList {
    head: Option<NonNull<Link>>,
}

struct Link {
    next: Option<NonNull<Link>>,
}

impl Blocks<WORDS> for BulkList {
    type Block = NonNull<Object>;

    fn new(count: usize) -> Self {
        let mut list = Self { head: None };
        // SAFETY: the objects are never freed, and nothing else uses them.
        unsafe { list.deallocate_many(objects(count).iter_mut().rev().map(NonNull::from)) };
        list
    }

    fn allocate(&mut self) -> Option<Self::Block> {
        let mut block = [MaybeUninit::uninit()];
        self.allocate_many(&mut block);
        // SAFETY: `allocate_many` has written the place.
        Some(unsafe { block[0].assume_init() })
    }

    #[inline]
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<Object> {
        *block
    }

    unsafe fn deallocate(&mut self, block: Self::Block) {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.deallocate_many(iter::once(block)) }
    }

    #[inline]
    fn allocate_many(&mut self, places: &mut [MaybeUninit<Self::Block>]) {
        let mut head = self.head;
        for place in places {
            let block = head.expect("a free block");
            // SAFETY: a block in the list is free and holds a link.
            head = unsafe { block.read() }.next;
            place.write(block.cast());
        }
        self.head = head;
    }

    #[inline]
    unsafe fn deallocate_many(&mut self, blocks: impl Iterator<Item = Self::Block>) {
        self.head = blocks.fold(self.head, |head, block| {
            let block = block.cast::<Link>();
            // SAFETY: the caller promises that nothing else uses the block.
            unsafe { block.write(Link { next: head }) };
            Some(block)
        });
    }
}

/// An array whose places are handed out in order and never freed: the cost of the first
/// write alone.
pub(crate) struct Successive<const PREFAULTED: bool> {
    next: IterMut<'static, Object>,
}

impl<const PREFAULTED: bool> Blocks<WORDS> for Successive<PREFAULTED> {
    type Block = NonNull<Object>;

    fn new(count: usize) -> Self {
        let objects = objects(count);
        if PREFAULTED {
            objects.fill([1; WORDS]);
        }
        Self { next: objects.iter_mut() }
    }

    #[inline]
    fn allocate(&mut self) -> Option<Self::Block> {
        self.next.next().map(NonNull::from)
    }

    #[inline]
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<Object> {
        *block
    }

    unsafe fn deallocate(&mut self, _: Self::Block) {}
}
