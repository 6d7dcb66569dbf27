//! Tests of the requests that a `Heap` serves, in memory of a known layout.

#![cfg(not(target_os = "none"))]

mod common;

use core::alloc::Layout;
use core::ptr::NonNull;

use common::{bytes, with_pages};
use hpalloc::{Heap, NoPages};

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Fills the heap, except for holes of these sizes at ascending addresses, which are
/// freed in this order.
fn holes(heap: &Heap<NoPages<'_>>, sizes: &[usize]) {
    // Each hole is made of several small blocks, because those are carved at ascending
    // addresses.
    let piece = |size: usize| (heap.allocate(layout(size, 1)).unwrap(), layout(size, 1));
    let mut pieces = Vec::new();
    for size in sizes {
        let eighth = size / 64 * 8;
        pieces.extend([eighth; 7].map(piece));
        pieces.push(piece(size - 7 * eighth));
        piece(8);
    }
    while heap.allocate(layout(8, 1)).is_some() {}
    for (block, layout) in pieces {
        // SAFETY: the block came from this heap with this layout and isn't used
        // afterwards.
        unsafe { heap.deallocate(block, layout) };
    }
    assert_eq!((heap.free(), heap.usage().free_blocks), (sizes.iter().sum(), sizes.len()));
}

/// A large request finds the only hole with enough room, among many smaller holes.
#[test]
fn a_large_request_finds_the_last_hole() {
    // Try many memory sizes, because the class of the largest holes begins at about an
    // eighth of the memory.
    for granules in 3000..5100 {
        let len = granules * 8;
        with_pages(10, |pages| {
            let heap = Heap::from_uninit(&mut bytes(pages)[..len]).unwrap();
            // Eight small holes and a large one nearly fill the memory.
            let small = heap.largest_free() * 100 / 985 / 8 * 8;
            let large = small * 7 / 4 / 8 * 8;
            holes(&heap, &[small, small, small, small, small, small, small, small, large]);
            assert_eq!(heap.largest_free(), large, "{len}");
            assert!(heap.allocate(layout(small + 8, 1)).is_some(), "{len}");
        });
    }
}

/// A block that must move to grow finds any hole that would serve a new block. During the
/// search, the block's own memory counts as free. That memory may become a hole that is
/// searched before the one with enough room. Or it may merge with a neighbor into the
/// hole with enough room, which is searched after others.
#[test]
fn a_block_that_grows_finds_the_last_hole() {
    /// Allocates blocks of these sizes one after the other, fills the rest of the memory,
    /// and frees the blocks with the given indices in that order.
    fn full<const N: usize>(
        heap: &Heap<NoPages<'_>>,
        sizes: [usize; N],
        freed: &[usize],
    ) -> [(NonNull<u8>, Layout); N] {
        let blocks = sizes.map(|size| (heap.allocate(layout(size, 1)).unwrap(), layout(size, 1)));
        while heap.allocate(layout(8, 1)).is_some() {}
        for (block, layout) in freed.iter().map(|&index| blocks[index]) {
            // SAFETY: the block came from this heap with this layout and isn't used
            // afterwards.
            unsafe { heap.deallocate(block, layout) };
        }
        blocks
    }

    with_pages(1, |pages| {
        let heap = Heap::from_uninit(bytes(pages)).unwrap();
        let blocks = full(&heap, [128, 8, 128, 8, 8, 128, 8, 152, 8], &[0, 5, 7, 2]);
        heap.allocate(layout(128, 1)).unwrap();
        assert_eq!(heap.largest_free(), 152);
        // SAFETY: the block came from this heap with this layout.
        let grown = unsafe { heap.grow(blocks[3].0, blocks[3].1, layout(152, 1)) };
        assert_eq!(grown, Some(blocks[7].0));
    });
    with_pages(1, |pages| {
        let heap = Heap::from_uninit(bytes(pages)).unwrap();
        let blocks = full(&heap, [64, 8, 64, 8, 40, 32], &[0, 2, 4]);
        // SAFETY: the block came from this heap with this layout.
        let grown = unsafe { heap.grow(blocks[5].0, blocks[5].1, layout(72, 1)) };
        assert_eq!(grown, Some(blocks[4].0));
    });
}

/// A request with a large alignment finds a hole that has room for it at any address,
/// even if that hole isn't the first of its class.
#[test]
fn a_large_alignment_finds_a_hole_that_has_room() {
    with_pages(4, |pages| {
        for (size, align) in [(512, 2048), (1000, 4096)] {
            let heap = Heap::from_uninit(bytes(pages)).unwrap();
            holes(&heap, &[2112, 2112, 7680]);
            let block = heap.allocate(layout(size, align)).unwrap();
            assert_eq!(block.addr().get() % align, 0);
        }
    });
}

/// A request can be aligned to the size of the whole memory.
#[test]
fn an_alignment_of_the_whole_memory() {
    with_pages(4, |pages| {
        let memory = bytes(pages);
        let end = memory.as_ptr().addr() + memory.len();
        let size = memory.len();
        let heap = Heap::from_uninit(memory).unwrap();
        let block = heap.allocate(layout(8, size));
        // The memory may contain an address with this alignment, but only in the heap's
        // own records.
        let fits = end % size >= 16 && end % size < size - 2048;
        assert!(block.is_some() || !fits);
        assert!(block.is_none_or(|block| block.addr().get() % size == 0));
    });
}

/// A failed request doesn't change the memory that was never handed out.
#[test]
fn a_failed_grow_touches_nothing() {
    with_pages(16, |pages| {
        let heap = Heap::from_uninit(bytes(pages)).unwrap();
        let eighth = heap.largest_free() / 8;
        let take = |eighths| (heap.allocate(layout(eighths * eighth, 1)).unwrap(), layout(eighths * eighth, 1));
        heap.allocate(layout(16, 1)).unwrap();
        let (upper, upper_layout) = take(4);
        let (middle, middle_layout) = take(2);
        // SAFETY: the block came from this heap with this layout and isn't used
        // afterwards.
        unsafe { heap.deallocate(upper, upper_layout) };
        let before = heap.usage();
        // SAFETY: the block is live, and it stays so because there is no room.
        let grown = unsafe { heap.grow(middle, middle_layout, layout(8 * eighth, 1)) };
        assert_eq!((grown, heap.usage()), (None, before));
    });
}

/// The share of the memory that the records use, as documented for `Heap`, in tenths of a
/// percent.
#[test]
fn the_records_take_what_is_documented() {
    let documented: [usize; 3] = if size_of::<usize>() == 4 { [40, 23, 15] } else { [60, 33, 20] };
    with_pages(4, |pages| {
        for (kib, share) in [4, 8, 16].into_iter().zip(documented) {
            let len = kib << 10;
            let heap = Heap::from_uninit(&mut bytes(pages)[..len]).unwrap();
            let records = len - heap.largest_free();
            assert!(records * 1000 <= len * share && records * 1000 > len * (share - 8), "{records} of {len}");
        }
    });
}
