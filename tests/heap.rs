//! Tests of the heap as a user sees it, against a model of its live blocks and their
//! contents.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

mod common;

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use common::{MAX_PAGES, bytes, with_pages};
use hpalloc::{Arena, Heap, HeapError, MAX_ARENA_SIZE, NoPages, PAGE_SIZE, PageSource};

/// Sizes are rounded up by fewer bytes than this.
const GRANULE: usize = size_of::<usize>();
/// The largest number of live blocks.
const LIVE: usize = if cfg!(target_os = "none") { 40 } else { 120 };
/// The number of operations in a random sequence.
const STEPS: usize = if cfg!(miri) {
    100
} else if cfg!(target_os = "none") {
    3_000
} else {
    30_000
};

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Marsaglia, *Xorshift RNGs*, 2003.
struct Random(u32);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % bound
    }
}

/// A live block, filled with one byte value.
#[derive(Clone, Copy)]
struct Block {
    start: NonNull<u8>,
    layout: Layout,
    mark: u8,
}

impl Block {
    fn range(&self) -> core::ops::Range<usize> {
        let start = self.start.addr().get();
        start..start + self.layout.size()
    }

    fn fill(&self) {
        // SAFETY: the block is live.
        unsafe { self.start.write_bytes(self.mark, self.layout.size()) };
    }

    fn check(&self, bytes: usize) {
        // SAFETY: the block is live and was filled.
        let contents = unsafe { core::slice::from_raw_parts(self.start.as_ptr(), bytes) };
        assert!(contents.iter().all(|&byte| byte == self.mark), "{:?}", self.layout);
    }
}

/// A heap and its live blocks.
struct World<'h, P: PageSource> {
    heap: &'h Heap<P>,
    /// The ranges that blocks may be in.
    memory: &'h [core::ops::Range<usize>],
    live: [Option<Block>; LIVE],
    marks: u8,
}

impl<'h, P: PageSource> World<'h, P> {
    fn new(heap: &'h Heap<P>, memory: &'h [core::ops::Range<usize>]) -> Self {
        Self { heap, memory, live: [None; LIVE], marks: 0 }
    }

    /// Checks that a new block is aligned, in the heap's memory, and overlaps no live
    /// block.
    fn is_right(&self, block: &Block) {
        let range = block.range();
        assert_eq!(range.start % block.layout.align(), 0, "{:?}", block.layout);
        assert!(self.memory.iter().any(|memory| memory.start <= range.start && range.end <= memory.end));
        for other in self.live.iter().flatten().map(Block::range) {
            assert!(range.end <= other.start || other.end <= range.start, "{range:?} and {other:?}");
        }
    }

    fn allocate(&mut self, slot: usize, layout: Layout, is_zeroed: bool) {
        let largest = self.heap.largest_free();
        let start = if is_zeroed { self.heap.allocate_zeroed(layout) } else { self.heap.allocate(layout) };
        assert!(
            start.is_some() || layout.size() > largest || layout.align() > GRANULE,
            "{layout:?} was refused, with a hole of {largest} bytes"
        );
        let Some(start) = start else { return };
        self.marks = self.marks.wrapping_add(1) | 1;
        let block = Block { start, layout, mark: if is_zeroed { 0 } else { self.marks } };
        self.is_right(&block);
        if is_zeroed {
            block.check(layout.size());
        }
        let block = Block { mark: self.marks, ..block };
        block.fill();
        self.live[slot] = Some(block);
    }

    fn free(&mut self, slot: usize) {
        if let Some(block) = self.live[slot].take() {
            block.check(block.layout.size());
            // SAFETY: the block is live and isn't used afterwards.
            unsafe { self.heap.deallocate(block.start, block.layout) };
        }
    }

    fn resize(&mut self, slot: usize, new: Layout) {
        let Some(block) = self.live[slot].take() else { return };
        let old = block.layout;
        // SAFETY: the block is live and has the layout `old`.
        let moved = unsafe {
            if new.size() >= old.size() {
                self.heap.grow(block.start, old, new)
            } else {
                self.heap.shrink(block.start, old, new)
            }
        };
        let Some(start) = moved else {
            assert!(new.size() > old.size() || new.align() > old.align(), "shrinking never fails");
            block.check(old.size());
            self.live[slot] = Some(block);
            return;
        };
        let block = Block { start, layout: new, ..block };
        self.is_right(&block);
        block.check(old.size().min(new.size()));
        block.fill();
        self.live[slot] = Some(block);
    }

    /// Checks that the used bytes are the live bytes, rounded up.
    fn check_counts(&self) {
        let live = || self.live.iter().flatten().map(|block| block.layout.size());
        let (least, most) = (live().sum::<usize>(), live().map(|size| size.next_multiple_of(2 * GRANULE)).sum());
        assert!(
            (least..=most).contains(&self.heap.used()),
            "{} bytes are used, instead of {least} to {most}",
            self.heap.used()
        );
        assert!(self.heap.largest_free() <= self.heap.free());
    }

    /// Runs random operations and then frees all blocks.
    fn run(&mut self, seed: u32, most: usize) {
        let mut random = Random(seed);
        for step in 0..STEPS {
            let slot = random.below(LIVE);
            let size = 1 + match random.below(8) {
                0 => random.below(most),
                1..4 => random.below(most / 8 + 1),
                _ => random.below(most / 64 + 1),
            };
            let align = if random.below(6) == 0 { 1 << random.below(9) } else { 1 << random.below(4) };
            match (self.live[slot].is_some(), random.below(3)) {
                (false, kind) => self.allocate(slot, layout(size, align), kind == 0),
                (true, 0) => self.resize(slot, layout(size, align)),
                (true, _) => self.free(slot),
            }
            if step % 64 == 0 {
                self.check_counts();
            }
        }
        for slot in 0..LIVE {
            self.free(slot);
        }
        assert_eq!(self.heap.used(), 0);
    }
}

fn range(memory: &mut [MaybeUninit<u8>]) -> core::ops::Range<usize> {
    let range = memory.as_ptr_range();
    range.start.addr()..range.end.addr()
}

#[test]
fn random_sequences_in_a_slice() {
    with_pages(MAX_PAGES, |pages| {
        let memory = bytes(pages);
        for (seed, start, end) in [(1, 0, 0), (78, 1, 3), (155, 5, 700), (232, 4090, 13)] {
            let len = memory.len();
            let memory = &mut memory[start..len - end];
            let within = [range(memory)];
            let most = memory.len() / 3;
            let heap = Heap::from_uninit(memory).unwrap();
            let (largest, free) = (heap.largest_free(), heap.free());
            World::new(&heap, &within).run(seed, most);
            assert_eq!((heap.largest_free(), heap.free()), (largest, free));
        }
    });
}

#[test]
fn random_sequences_in_parts() {
    with_pages(MAX_PAGES, |pages| {
        let (one, two) = pages.split_at_mut(1);
        let within = [range(bytes(one)), range(bytes(two))];
        let heap = Heap::new([one, two].map(|pages| Arena::from_pages(pages).unwrap()));
        let mut world = World::new(&heap, &within);
        world.run(5, 4000);
        let (largest, free) = (heap.largest_free(), heap.free());
        world.run(6, 4000);
        assert_eq!((heap.largest_free(), heap.free()), (largest, free));
    });
}

/// Requests every size and alignment in memory at every offset, including sizes that are
/// larger than the memory.
#[test]
fn every_size_alignment_and_offset() {
    let step = if cfg!(any(target_os = "none", miri)) { 37 } else { 1 };
    with_pages(1, |pages| {
        for offset in 0..2 * GRANULE {
            let memory = &mut bytes(pages)[offset..offset + 1024];
            let within = [range(memory)];
            let heap = Heap::from_uninit(memory).unwrap();
            let largest = heap.largest_free();
            assert!(largest > 750);
            for size in (1..=1024).step_by(step) {
                for align in (0..11).map(|shift| 1 << shift) {
                    let mut world = World::new(&heap, &within);
                    world.allocate(0, layout(size, align), false);
                    assert!(world.live[0].is_some() || size + align > largest);
                    world.allocate(1, layout(1, 1), false);
                    world.free(0);
                    world.free(1);
                    assert_eq!(heap.largest_free(), largest, "{size}, {align}");
                }
            }
        }
    });
}

/// The memory before an aligned block stays free.
#[test]
fn alignment_wastes_nothing() {
    with_pages(2, |pages| {
        let memory = bytes(pages);
        let within = [range(memory)];
        let heap = Heap::from_uninit(memory).unwrap();
        let free = heap.free();
        let mut world = World::new(&heap, &within);
        world.allocate(0, layout(64, 2048), false);
        assert_eq!(free - heap.free(), 64);
        // The gap before the aligned block is used.
        world.allocate(1, layout(300, 1), false);
        let [Some(aligned), Some(other)] = [world.live[0], world.live[1]] else {
            panic!("one of the blocks was refused")
        };
        assert!(other.start.addr() < aligned.start.addr());
        world.free(0);
        world.free(1);
        assert_eq!(heap.free(), free);
    });
}

/// A block grows into the hole after it or the hole before it, and keeps its contents.
#[test]
fn growing_forwards_and_backwards() {
    with_pages(MAX_PAGES, |pages| {
        let memory = bytes(pages);
        let within = [range(memory)];
        let heap = Heap::from_uninit(memory).unwrap();
        let all = heap.largest_free();
        let mut world = World::new(&heap, &within);
        for slot in 0..4 {
            world.allocate(slot, layout(200, 1), false);
        }
        let [first, second, third, _] = [0, 1, 2, 3].map(|slot| world.live[slot].unwrap().start);
        assert!(first < second && second < third);
        // The block grows forwards, because the block after it is free.
        world.free(1);
        world.resize(0, layout(400, 1));
        assert_eq!(world.live[0].unwrap().start, first);
        // It shrinks back to the old size.
        world.resize(0, layout(200, 1));
        assert_eq!((world.live[0].unwrap().start, heap.used()), (first, 600));
        // It grows backwards into the hole before it. The old and the new place overlap.
        world.free(0);
        world.resize(2, layout(500, 1));
        assert_eq!(world.live[2].unwrap().start, first);
        world.free(2);
        world.free(3);
        assert_eq!(heap.largest_free(), all);
    });
}

#[test]
fn bad_input() {
    for len in [0, 1, 16, 50] {
        let mut memory = [MaybeUninit::uninit(); 64];
        let error = HeapError::TooSmall { len, min: HeapError::MIN };
        assert_eq!(Heap::from_uninit(&mut memory[..len]).map(|_| ()), Err(error));
    }
    with_pages(1, |pages| {
        for offset in 0..16 {
            let memory = &mut bytes(pages)[offset..offset + HeapError::MIN];
            assert!(Heap::from_uninit(memory).unwrap().allocate(layout(1, 1)).is_some(), "{offset}");
        }
        let heap = Heap::from_uninit(bytes(pages)).unwrap();
        for (size, align) in
            [(PAGE_SIZE, 1), (MAX_ARENA_SIZE + 1, 1), (isize::MAX as usize, 1), (1, MAX_ARENA_SIZE * 4), (8, 8192 * 64)]
        {
            // An address may be aligned by chance.
            let block = heap.allocate(layout(size, align));
            assert!(block.is_none_or(|block| block.addr().get() % align == 0));
        }
    });
}

#[test]
fn nothing_takes_no_memory() {
    with_pages(1, |pages| {
        let heap = Heap::from_uninit(bytes(pages)).unwrap();
        let block = heap.allocate(layout(0, 64)).unwrap();
        assert_eq!((block.addr().get() % 64, heap.used()), (0, 0));
        // SAFETY: the block came from this heap and has this layout.
        let grown = unsafe { heap.grow(block, layout(0, 64), layout(10, 1)) }.unwrap();
        assert!(heap.used() >= 10);
        // SAFETY: as above.
        let block = unsafe { heap.shrink(grown, layout(10, 1), layout(0, 1)) }.unwrap();
        assert_eq!(heap.used(), 0);
        // SAFETY: as above.
        unsafe { heap.deallocate(block, layout(0, 1)) };
    });
}

/// A heap that shares its source takes only the pages that it needs. A heap that owns its
/// source takes all of its pages.
#[test]
fn a_heap_asks_its_source() {
    with_pages(3, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let heap = Heap::new(&arena);
        assert_eq!((arena.pages_allocated(), heap.free()), (0, 0));
        let block = heap.allocate(layout(100, 1)).unwrap();
        assert_eq!(arena.pages_allocated(), 1);
        // This is more than the first part has left.
        assert!(heap.allocate(layout(5000, 1)).is_some());
        assert_eq!(arena.pages_allocated(), 3);
        assert!(heap.allocate(layout(4000, 1)).is_none());
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { heap.deallocate(block, layout(100, 1)) };
    });
    with_pages(3, |pages| {
        let heap = Heap::new(Arena::from_pages(pages).unwrap());
        assert!(heap.allocate(layout(3 * PAGE_SIZE - 500, 1)).is_some());
    });
}

/// Runs of pages are blocks: a pool can be over a heap, and a page is freed as a block.
#[test]
fn a_heap_is_a_source_of_pages() {
    with_pages(3, |pages| {
        let memory = bytes(pages);
        let heap: Heap<NoPages<'_>> = Heap::from_uninit(memory).unwrap();
        let largest = heap.largest_free();
        let page = heap.take_pages(1).unwrap();
        assert_eq!(page.addr().get() % PAGE_SIZE, 0);
        assert!(heap.take_pages(0).is_none() && heap.take_pages(3).is_none());
        // SAFETY: the block has this layout.
        unsafe { heap.deallocate(page.cast(), layout(PAGE_SIZE, PAGE_SIZE)) };
        assert_eq!(heap.largest_free(), largest);
        let pool = hpalloc::FixedBlock::new(&heap, 64).unwrap();
        assert!(pool.allocate().is_some() && heap.allocate(layout(1000, 8)).is_some());
        assert_eq!(heap.used(), PAGE_SIZE + 1000);
    });
}

#[test]
fn what_a_heap_says_of_itself() {
    with_pages(1, |pages| {
        let heap = Heap::from_uninit(bytes(pages)).unwrap();
        let blocks = [(); 5].map(|()| heap.allocate(layout(40, 8)).unwrap());
        for block in [blocks[1], blocks[3]] {
            // SAFETY: the block is live and isn't used afterwards.
            unsafe { heap.deallocate(block, layout(40, 8)) };
        }
        let usage = heap.usage();
        assert_eq!((usage.used, usage.free, usage.free_blocks), (120, heap.free(), 3));
        assert_eq!((usage.largest_free, usage.peak), (heap.largest_free(), 200));
        #[cfg(not(target_os = "none"))]
        assert!(heap.usage().to_string().contains("120"), "{}", heap.usage());
    });
}

/// Requests sizes and alignments that no memory can serve, while a large hole contains
/// words that look like the heap's own.
#[cfg(all(target_pointer_width = "64", not(target_os = "none")))]
#[test]
fn sizes_beyond_all_memory() {
    let mut memory = vec![MaybeUninit::<u8>::uninit(); if cfg!(miri) { 400 << 10 } else { 16 << 20 }];
    let heap = Heap::from_uninit(&mut memory).unwrap();
    let large = layout(200 << 10, 8);
    let blocks = [(); if cfg!(miri) { 1 } else { 3 }].map(|()| heap.allocate(large).unwrap());
    for word in [(1_u64 << 30) << 7 | 64, u64::MAX, 0] {
        let block = heap.allocate(large).unwrap_or(blocks[0]);
        // SAFETY: the block is live and has that many words.
        unsafe { core::slice::from_raw_parts_mut(block.cast::<u64>().as_ptr(), (200 << 10) / 8).fill(word) };
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { heap.deallocate(block, large) };
        for shift in 25..62 {
            for (size, align) in [(1 << shift, 1), ((1 << shift) + 8, 8), (8, 1 << shift)] {
                let block = heap.allocate(layout(size, align));
                // An address may be aligned by chance.
                assert!(block.is_none_or(|block| size == 8 && block.addr().get() % align == 0), "{size}, {align}");
                if let Some(block) = block {
                    // SAFETY: the block is live and isn't used afterwards.
                    unsafe { heap.deallocate(block, layout(size, align)) };
                }
            }
        }
        if cfg!(miri) {
            return;
        }
    }
}

/// An owned source is taken in one piece, even if it isn't the first or if an earlier one
/// is too small.
#[test]
fn sources_are_taken_in_one_piece() {
    with_pages(MAX_PAGES, |pages| {
        let (one, other) = pages.split_at_mut(1);
        let heap = Heap::new([one, other].map(|pages| Arena::from_pages(pages).unwrap()));
        assert!(heap.allocate(layout(PAGE_SIZE + 100, 1)).is_some());
        assert_eq!(heap.page_source().each_ref().map(Arena::pages_remaining), [1, 0]);
        // The first request uses the rest of the second source. The next one needs the
        // first source.
        assert!(heap.allocate(layout(heap.largest_free(), 1)).is_some());
        assert!(heap.allocate(layout(3000, 1)).is_some());
        assert_eq!(heap.page_source()[0].pages_remaining(), 0);
    });
}

/// A first request is served if there is room, whatever its alignment.
#[test]
fn aligned_first_requests() {
    with_pages(2, |pages| {
        for shift in 0..=12 {
            for size in [1, 100, 2000, PAGE_SIZE] {
                let heap = Heap::new(Arena::from_pages(pages).unwrap());
                let block = heap.allocate(layout(size, 1 << shift)).unwrap();
                assert_eq!(block.addr().get() % (1 << shift), 0);
            }
        }
    });
}

/// A free page is found even if lower, larger holes don't contain an aligned page.
#[test]
fn a_free_page_is_found() {
    with_pages(3, |pages| {
        let heap = Heap::from_uninit(bytes(pages)).unwrap();
        let frame = layout(PAGE_SIZE, PAGE_SIZE);
        let page = heap.allocate(frame).unwrap();
        // Allocate the rest, including a hole before the page that is larger than a page
        // but contains no aligned one.
        let rest: [_; 3] = core::array::from_fn(|_| {
            let layout = layout(heap.largest_free(), 1);
            (heap.allocate(layout).unwrap_or(NonNull::dangling()), layout)
        });
        assert_eq!(heap.largest_free(), 0);
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { heap.deallocate(page, frame) };
        assert_eq!(heap.allocate(frame), Some(page));
        assert!(rest.iter().any(|(_, layout)| layout.size() > 0));
    });
}

/// The owner of a slice has its memory back after the heap and its pools are dropped.
/// `AddressSanitizer` must agree.
#[test]
fn memory_is_the_owners_again() {
    with_pages(3, |pages| {
        let memory = bytes(pages);
        {
            let heap = Heap::from_uninit(memory).unwrap();
            let pool = hpalloc::FixedBlock::new(&heap, 64).unwrap();
            let block = pool.allocate().unwrap();
            // SAFETY: the block is live and isn't used afterwards.
            unsafe { pool.deallocate(block) };
        }
        memory.fill(MaybeUninit::new(1));
        // SAFETY: the memory was filled just now.
        assert!(memory.iter().all(|byte| unsafe { byte.assume_init() } == 1));
    });
}
