//! A model of an arena and the pools over it, which is compared with the real ones after
//! each step.

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::slice;

use super::{blocks_per_page, pages_per_run, stride};
use hpalloc::{Arena, FixedBlock, PAGE_SIZE, Region};

/// An arena, up to `POOLS` pools over it with at most `BLOCKS` blocks each, and a model
/// of them.
pub struct World<'a, R: Region, const POOLS: usize, const BLOCKS: usize> {
    arena: &'a Arena<R>,
    /// The address of the arena's first page.
    base: usize,
    pages_taken: usize,
    pools: [Option<Pool<'a, R, BLOCKS>>; POOLS],
    /// The stamp of the next block.
    stamp: usize,
}

struct Pool<'a, R: Region, const BLOCKS: usize> {
    real: FixedBlock<&'a Arena<R>>,
    block_size: usize,
    /// The number of blocks that are carved from a run, and of pages that a run has.
    blocks_per_run: usize,
    pages_per_run: usize,
    /// The live blocks, in no particular order.
    live: Stack<Block, BLOCKS>,
    /// The free blocks, with the last freed on top.
    free: Stack<NonNull<u8>, BLOCKS>,
    carved: usize,
    /// The address of the next fresh block, and the number of fresh blocks left in the
    /// run.
    fresh: usize,
    fresh_blocks: usize,
}

#[derive(Clone, Copy)]
struct Block {
    first: NonNull<u8>,
    stamp: usize,
}

/// A step in a world. Numbers of pools and blocks wrap around.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    NewPool { block_size: usize },
    Allocate { pool: usize },
    Exhaust { pool: usize },
    Deallocate { pool: usize, live: usize },
}

impl<'a, R: Region, const POOLS: usize, const BLOCKS: usize> World<'a, R, POOLS, BLOCKS> {
    /// Creates a world. The arena must not have handed out any page yet. `base` is the
    /// address of its first page.
    pub fn new(arena: &'a Arena<R>, base: usize) -> Self {
        assert_eq!(arena.pages_allocated(), 0);
        Self { arena, base, pages_taken: 0, pools: [const { None }; POOLS], stamp: 1 }
    }

    pub fn pools(&self) -> usize {
        self.pools.iter().flatten().count()
    }

    pub fn live(&self, pool: usize) -> usize {
        self.pools[pool].as_ref().map_or(0, |pool| pool.live.len)
    }

    /// Takes the step in the model and in reality, and compares everything that is
    /// visible.
    pub fn step(&mut self, step: Step) {
        match step {
            Step::NewPool { block_size } => {
                if let Some(place) = self.pools.iter_mut().find(|pool| pool.is_none()) {
                    *place = Some(Pool::new(self.arena, block_size));
                }
            }
            Step::Allocate { pool } => {
                if let Some(pool) = self.pool(pool) {
                    self.allocate(pool);
                }
            }
            Step::Exhaust { pool } => {
                if let Some(pool) = self.pool(pool) {
                    while self.allocate(pool) {}
                    assert!(!self.allocate(pool), "an exhausted pool allocated another block");
                }
            }
            Step::Deallocate { pool, live } => {
                if let Some(pool) = self.pool(pool).and_then(|pool| self.pools[pool].as_mut()) {
                    pool.deallocate(live);
                }
            }
        }
        self.check_counts();
    }

    /// Returns the number of an existing pool.
    fn pool(&self, number: usize) -> Option<usize> {
        number.checked_rem(self.pools())
    }

    fn allocate(&mut self, number: usize) -> bool {
        let pages_left = self.arena.total_pages() - self.pages_taken;
        let next_page = self.base + self.pages_taken * PAGE_SIZE;
        let pool = self.pools[number].as_mut().expect("the pool exists");
        let real = pool.real.allocate();
        let expected = if let Some(last_freed) = pool.free.pop() {
            Some(last_freed.addr().get())
        } else if pool.fresh_blocks > 0 || pool.pages_per_run <= pages_left {
            if pool.fresh_blocks == 0 {
                self.pages_taken += pool.pages_per_run;
                pool.fresh = next_page;
                pool.fresh_blocks = pool.blocks_per_run;
            }
            pool.fresh_blocks -= 1;
            pool.carved += 1;
            pool.fresh += stride(pool.block_size);
            Some(pool.fresh - stride(pool.block_size))
        } else {
            None
        };
        assert_eq!(real.map(|block| block.addr().get()), expected);
        let Some(first) = real else { return false };
        self.check_place(number, first);
        let block = Block { first, stamp: self.stamp };
        self.stamp += 1;
        let pool = self.pools[number].as_mut().expect("the pool exists");
        block.fill(pool.block_size);
        pool.live.push(block);
        true
    }

    /// Checks that a new block is aligned, within the arena, and overlaps no live block.
    fn check_place(&self, number: usize, first: NonNull<u8>) {
        let allocated = self.pools[number].as_ref().expect("the pool exists");
        let start = first.addr().get();
        let end = start + allocated.block_size;
        assert_eq!(start % allocated.real.block_align(), 0);
        assert!(start >= self.base && end <= self.base + self.arena.total_pages() * PAGE_SIZE);
        for pool in self.pools.iter().flatten() {
            for live in pool.live.iter() {
                let other = live.first.addr().get();
                assert!(end <= other || other + pool.block_size <= start, "blocks overlap");
            }
        }
    }

    fn check_counts(&self) {
        assert_eq!(self.arena.pages_allocated(), self.pages_taken);
        assert_eq!(self.arena.pages_remaining(), self.arena.total_pages() - self.pages_taken);
        for pool in self.pools.iter().flatten() {
            assert_eq!(pool.real.peak_blocks(), pool.carved);
            assert_eq!(pool.real.free_blocks(), pool.free.len);
            assert_eq!(pool.carved, pool.live.len + pool.free.len);
        }
    }

    /// Checks that every live block still holds its stamp.
    pub fn check_contents(&self) {
        for pool in self.pools.iter().flatten() {
            for block in pool.live.iter() {
                block.check(pool.block_size);
            }
        }
    }
}

impl<'a, R: Region, const BLOCKS: usize> Pool<'a, R, BLOCKS> {
    fn new(arena: &'a Arena<R>, block_size: usize) -> Self {
        let real = FixedBlock::new(arena, block_size).expect("the block size is valid");
        assert_eq!(real.block_size(), block_size);
        assert_eq!(real.block_align(), (1 << block_size.trailing_zeros()).min(PAGE_SIZE));
        assert_eq!(real.blocks_per_page(), blocks_per_page(block_size));
        Self {
            real,
            block_size,
            blocks_per_run: blocks_per_page(block_size).max(1),
            pages_per_run: pages_per_run(block_size),
            live: Stack::new(),
            free: Stack::new(),
            carved: 0,
            fresh: 0,
            fresh_blocks: 0,
        }
    }

    fn deallocate(&mut self, live: usize) {
        let Some(index) = live.checked_rem(self.live.len) else { return };
        let block = self.live.swap_remove(index);
        block.check(self.block_size);
        // SAFETY: the block is live and from this pool, and isn't used afterwards.
        unsafe { self.real.deallocate(block.first) };
        self.free.push(block.first);
    }
}

/// The number of words that are written and compared at a time. For Miri, accessing that
/// many is as fast as accessing a single word.
const CHUNK: usize = 16;

impl Block {
    fn fill(self, size: usize) {
        // SAFETY: the block is live, so nothing else uses its `size` bytes, which are
        // aligned for a pointer.
        let words = unsafe { slice::from_raw_parts_mut(self.first.cast().as_ptr(), size / size_of::<usize>()) };
        for chunk in words.chunks_mut(CHUNK) {
            chunk.copy_from_slice(&[MaybeUninit::new(self.stamp); CHUNK][..chunk.len()]);
        }
    }

    fn check(self, size: usize) {
        // SAFETY: the block is live and was filled, so nothing else uses its `size`
        // bytes.
        let words = unsafe { slice::from_raw_parts(self.first.cast::<usize>().as_ptr(), size / size_of::<usize>()) };
        let is_whole = words.chunks(CHUNK).all(|chunk| *chunk == [self.stamp; CHUNK][..chunk.len()]);
        assert!(is_whole, "a live block was overwritten");
    }
}

/// A vector of at most `N` items, for machines without a heap.
struct Stack<T, const N: usize> {
    items: [Option<T>; N],
    len: usize,
}

impl<T: Copy, const N: usize> Stack<T, N> {
    fn new() -> Self {
        Self { items: [None; N], len: 0 }
    }

    fn push(&mut self, item: T) {
        self.items[self.len] = Some(item);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        self.items[self.len].take()
    }

    fn swap_remove(&mut self, index: usize) -> T {
        let last = self.pop().expect("the stack is not empty");
        if index == self.len { last } else { self.items[index].replace(last).expect("the index is below the length") }
    }

    fn iter(&self) -> impl Iterator<Item = T> {
        self.items[..self.len].iter().flatten().copied()
    }
}
