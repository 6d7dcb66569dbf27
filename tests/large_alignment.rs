//! Tests of heap blocks that are aligned to more than a page.
#![cfg(not(target_os = "none"))]

use core::alloc::Layout;
use core::mem::MaybeUninit;

use hpalloc::{Arena, ArenaError, Borrowed, Boxed, Heap, Lazy, PAGE_SIZE, Page, PageSource, SizeClasses};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The tested alignments, such as those of a ring of descriptors or a large page.
const ALIGNMENTS: [usize; 4] = [2 * PAGE_SIZE, 16 * KIB, 64 * KIB, 2 * MIB];

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Pages that start a certain number of pages after a boundary.
struct Placed {
    /// Contains the pages that are handed out.
    memory: Vec<Page>,
    first: usize,
    count: usize,
}

impl Placed {
    fn new(count: usize, boundary: usize, after: usize) -> Self {
        let align = boundary / PAGE_SIZE;
        let memory: Vec<Page> = (0..count + align + after).map(|_| Page::new()).collect();
        let first = (memory.as_ptr().addr() / PAGE_SIZE).wrapping_neg() % align + after;
        Self { memory, first, count }
    }

    fn pages(&mut self) -> &mut [Page] {
        &mut self.memory[self.first..self.first + self.count]
    }

    fn arena(&mut self) -> Arena<Borrowed<'_>> {
        Arena::from_pages(self.pages()).unwrap()
    }
}

/// Allocates a block, writes to its first and last byte, frees it, and checks that the
/// heap is as it was.
fn use_and_free<P: PageSource>(heap: &Heap<P>, size: usize, align: usize) {
    let before = (heap.used(), heap.largest_free());
    let layout = layout(size, align);
    let block = heap.allocate(layout).unwrap();
    assert_eq!(block.addr().get() % align, 0, "{layout:?}");
    assert_eq!(heap.used(), before.0 + size.next_multiple_of(8));
    // SAFETY: the block is live, and isn't used after it is freed.
    unsafe {
        block.write(1);
        block.add(size - 1).write(2);
        heap.deallocate(block, layout);
    }
    assert_eq!((heap.used(), heap.largest_free()), before, "{layout:?}");
}

#[test]
fn in_a_slice() {
    let mut memory = vec![MaybeUninit::<u8>::uninit(); 6 * MIB];
    let heap = Heap::from_uninit(&mut memory).unwrap();
    for align in ALIGNMENTS {
        for size in [1, 100, PAGE_SIZE, align / 2, align] {
            use_and_free(&heap, size, align);
        }
    }
    // The memory between aligned blocks stays free.
    let free = heap.free();
    for _ in 0..2 {
        heap.allocate(layout(64, 64 * KIB)).unwrap();
    }
    assert_eq!(heap.free(), free - 128);
}

#[test]
fn over_a_page_source() {
    let mut memory = Placed::new(6 * MIB / PAGE_SIZE, PAGE_SIZE, 0);
    let arena = memory.arena();
    // A heap over a shared arena takes only the pages that it needs, in several runs.
    let shared = Heap::new(&arena);
    for align in &ALIGNMENTS[..3] {
        let block = shared.allocate(layout(PAGE_SIZE, *align)).unwrap();
        // SAFETY: the block came from this heap with this layout, and isn't used.
        unsafe { shared.deallocate(block, layout(PAGE_SIZE, *align)) };
        use_and_free(&shared, PAGE_SIZE, *align);
    }
    let remaining = arena.pages_remaining();
    let refused = shared.allocate(layout(8 * MIB, 2 * MIB));
    assert_eq!((refused, arena.pages_remaining()), (None, remaining), "a refused request must take no pages");

    let owned = Heap::new(Arena::from_region(Boxed::new(6 * MIB).unwrap()).unwrap());
    owned.allocate(layout(8, 8)).unwrap();
    for align in ALIGNMENTS {
        use_and_free(&owned, align, align);
    }
}

/// A first request is served whenever the memory has room for it, like a later one.
#[test]
fn the_first_request_gets_what_there_is_room_for() {
    for align in [16 * KIB, 64 * KIB] {
        let pages = align / PAGE_SIZE;
        for after in 0..pages {
            // The memory has one page more than the block. The heap's records fit there
            // only if that page comes before the block.
            let mut memory = Placed::new(pages + 1, align, after);
            let has_room = after == pages - 1;
            let heap = Heap::new(memory.arena());
            heap.allocate(layout(8, 8)).unwrap();
            assert_eq!(heap.allocate(layout(align, align)).is_some(), has_room, "{align}, {after}");
            for zeroed in [false, true] {
                let heap = Heap::new(memory.arena());
                let layout = layout(align, align);
                let block = if zeroed { heap.allocate_zeroed(layout) } else { heap.allocate(layout) };
                assert_eq!(block.is_some(), has_room, "{align}, {after}");
                assert!(block.is_none_or(|block| block.addr().get() % align == 0));
            }
        }
    }
}

/// If the first of two arenas has no room, the second is tried.
#[test]
fn each_source_of_an_array_is_tried() {
    const ALIGN: usize = 64 * KIB;
    const PAGES: usize = ALIGN / PAGE_SIZE;
    let (mut bad, mut good) = (Placed::new(PAGES + 1, ALIGN, 1), Placed::new(PAGES + 1, ALIGN, PAGES - 1));
    let range = good.pages().as_ptr_range();
    let range = range.start.addr()..range.end.addr();
    let heap = Heap::new([bad.arena(), good.arena()]);
    let block = heap.allocate(layout(ALIGN, ALIGN)).unwrap();
    assert!(range.contains(&block.addr().get()));
    // The first arena can still be used.
    assert!(heap.allocate(layout(ALIGN, 8)).is_some());
    assert!(heap.allocate(layout(ALIGN, ALIGN)).is_none());
}

/// Alignments up to the size of the address space, with little memory.
#[test]
fn alignments_beyond_the_memory() {
    let mut memory = Placed::new(4, 16 * KIB, 1);
    let heap = Heap::new(memory.arena());
    for shift in 13..usize::BITS - 1 {
        let block = heap.allocate(layout(8, 1 << shift));
        // An address may be aligned by chance.
        assert!(block.is_none_or(|block| block.addr().get() % (1 << shift) == 0), "{shift}");
        assert_eq!(heap.allocate(layout(5 * PAGE_SIZE, 1 << shift)), None);
    }
    assert!(heap.allocate(layout(PAGE_SIZE, 8)).is_some());
}

/// Growing and shrinking keep the alignment, or establish a new one.
#[test]
fn resizing() {
    let heap = Heap::new(Arena::from_region(Boxed::new(MIB).unwrap()).unwrap());
    let (small, large, plain) = (layout(KIB, 64 * KIB), layout(100 * KIB, 64 * KIB), layout(100 * KIB, 8));
    let block = heap.allocate(plain).unwrap();
    // SAFETY: the block is live, and is always passed with its current layout.
    unsafe {
        block.write_bytes(7, plain.size());
        let block = heap.grow(block, plain, large).unwrap();
        assert_eq!(block.addr().get() % large.align(), 0);
        let block = heap.shrink(block, large, small).unwrap();
        assert_eq!(block.addr().get() % small.align(), 0);
        assert!((0..KIB).all(|index| block.add(index).read() == 7));
        heap.deallocate(block, small);
    }
    assert_eq!(heap.used(), 0);
}

/// A heap of size classes serves alignments up to a page. It can take its pages from a
/// heap that serves larger ones.
#[test]
fn size_classes_refuse_what_the_heap_under_them_serves() {
    let heap = Heap::new(Arena::from_region(Boxed::new(MIB).unwrap()).unwrap());
    let classes = SizeClasses::new(&heap);
    for align in ALIGNMENTS {
        assert_eq!(classes.allocate(layout(8, align)), None);
    }
    assert_eq!(heap.used(), 0, "a refused request must take no pages");
    assert!(classes.allocate(layout(8, PAGE_SIZE)).is_some());
    use_and_free(&heap, 64 * KIB, 64 * KIB);
}

/// Mappings for huge pages start at the boundary of a huge page.
#[cfg(feature = "mmap")]
#[test]
fn in_mappings() {
    use hpalloc::{Backing, HugePages, MappingOptions};

    let buffer = layout(2 * MIB, 2 * MIB);
    for options in [MappingOptions::new(), MappingOptions::new().huge_pages(HugePages::Best)] {
        for prefault in [false, true] {
            let region = options.clone().prefault(prefault).map(6 * MIB).unwrap();
            let heap = Heap::new(Arena::from_region(region).unwrap());
            let block = heap.allocate_zeroed(buffer).unwrap();
            assert_eq!(block.addr().get() % buffer.align(), 0);
            // SAFETY: the block is live, was zeroed, and isn't used after it is freed.
            unsafe {
                assert!((0..buffer.size()).all(|index| block.add(index).read() == 0));
                heap.deallocate(block, buffer);
            }
            for align in ALIGNMENTS {
                use_and_free(&heap, align, align);
            }
        }
    }
    // Here the buffer is the first request. It has room only if the mapping starts at
    // such a boundary.
    let region = MappingOptions::new().huge_pages(HugePages::Transparent).map(4 * MIB).unwrap();
    let has_room = region.backing() == Backing::Transparent;
    let heap = Heap::new(Arena::from_region(region).unwrap());
    assert!(heap.allocate(buffer).is_some() || !has_room);
}

/// If the arena of a source can't be created, requests fail.
#[test]
fn a_source_without_memory() {
    let heap = Heap::new(Lazy::<Boxed>::new(|| Err(ArenaError::InvalidSize { size: 0 })));
    assert_eq!(heap.allocate(layout(8, 2 * MIB)), None);
}
