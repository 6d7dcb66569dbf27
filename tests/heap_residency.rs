//! Tests of how many pages of a fresh mapping a heap touches. Memory that was never
//! handed out must not be committed.
#![cfg(target_os = "linux")]

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

use hpalloc::{Arena, Heap, MAX_ARENA_SIZE, Mapping, MappingOptions, PAGE_SIZE, PageSource, Region, SizeClasses};
use rustix::mm::{Advice, madvise};

/// The largest number of pages that a heap over 65,536 pages may touch before it is used.
/// Its records occupy a few hundred pages.
const FEW: usize = 16;

/// The address of a mapping.
#[derive(Clone, Copy)]
struct Place {
    start: NonNull<u8>,
}

impl Place {
    /// Creates a mapping of the largest size. Guards keep the system from joining it with
    /// neighboring mappings.
    fn fresh() -> (Mapping, Self) {
        let mapping = MappingOptions::new().guards(true).map(MAX_ARENA_SIZE).unwrap();
        let start = mapping.pages().cast::<u8>();
        // SAFETY: the range is the mapping's. The advice changes the size of its pages,
        // not their contents.
        unsafe { madvise(start.as_ptr().cast(), MAX_ARENA_SIZE, Advice::LinuxNoHugepage) }.unwrap();
        (mapping, Self { start })
    }

    /// Returns how many pages of the mapping are resident.
    fn resident_pages(self) -> usize {
        let start = self.start.addr().get();
        let name = format!("{start:x}-{:x} ", start + MAX_ARENA_SIZE);
        let mappings = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = mappings.lines().skip_while(|line| !line.starts_with(&name));
        let field = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        let kib: usize = field.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024 / PAGE_SIZE
    }
}

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

/// Allocates blocks of these sizes, writes to the first byte of each, and then frees
/// every other block and afterwards the rest.
fn use_blocks<P: PageSource>(heap: &Heap<P>, sizes: &[usize]) {
    let blocks: Vec<_> = sizes.iter().map(|&size| (heap.allocate(bytes(size)).unwrap(), bytes(size))).collect();
    for (block, _) in &blocks {
        // SAFETY: the block is live and has at least one byte.
        unsafe { block.write(1) };
    }
    let every_other = |first| blocks.iter().skip(first).step_by(2);
    for &(block, layout) in every_other(0).chain(every_other(1)) {
        // SAFETY: the block came from this heap with this layout. It is freed once and
        // isn't used afterwards.
        unsafe { heap.deallocate(block, layout) };
    }
    assert_eq!(heap.used(), 0);
}

const SMALL: [usize; 8] = [24, 100, 1, 700, 64, 300, 16, 1000];

#[test]
fn a_page_that_is_written_to_counts_as_resident() {
    let (mapping, place) = Place::fresh();
    assert_eq!(place.resident_pages(), 0);
    let arena = Arena::from_region(mapping).unwrap();
    for count in 1..=100 {
        arena.alloc_page().unwrap().zero();
        assert_eq!(place.resident_pages(), count);
    }
}

#[test]
fn a_heap_over_pages_touches_a_few_of_them_until_it_is_used() {
    let (mapping, place) = Place::fresh();
    let heap = Heap::new(Arena::from_region(mapping).unwrap());
    assert_eq!(place.resident_pages(), 0, "a new heap must touch no memory");
    use_blocks(&heap, &SMALL);
    let few = place.resident_pages();
    assert!((1..=FEW).contains(&few), "{few} pages are resident");
}

#[test]
fn a_heap_in_a_slice_touches_a_few_pages_until_it_is_used() {
    let (mapping, place) = Place::fresh();
    // SAFETY: the pages exist until the mapping is dropped, which is after the heap, and
    // only the heap uses them.
    let memory = unsafe { slice::from_raw_parts_mut(place.start.cast::<MaybeUninit<u8>>().as_ptr(), MAX_ARENA_SIZE) };
    let heap = Heap::from_uninit(memory).unwrap();
    let few = place.resident_pages();
    assert!((1..=FEW).contains(&few), "{few} pages are resident");
    use_blocks(&heap, &SMALL);
    let few = place.resident_pages();
    assert!(few <= FEW, "{few} pages are resident");
    drop(mapping);
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "a hardened build fills free memory")]
fn large_blocks_touch_what_is_written_to_them() {
    const MIB: usize = 1 << 20;
    let (mapping, place) = Place::fresh();
    let heap = Heap::new(Arena::from_region(mapping).unwrap());
    // Small and large blocks are at different ends of the memory.
    let large = [MIB, 20 * MIB, 3 * MIB, 40 * MIB, MIB, 64 * MIB, 17 * MIB, MIB];
    use_blocks(&heap, &large);
    // Each block touches the page that is written, the page where it starts as a hole,
    // and a page of the summary.
    let few = place.resident_pages();
    assert!(few <= FEW + 3 * large.len(), "{few} pages are resident");
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "a hardened build marks every region of a block")]
fn zeroed_memory_that_was_never_handed_out_is_not_written() {
    const SIZE: usize = 200 << 20;
    let (mapping, place) = Place::fresh();
    let heap = Heap::new(Arena::from_region(mapping).unwrap());
    use_blocks(&heap, &SMALL);
    let block = heap.allocate_zeroed(bytes(SIZE)).unwrap();
    let few = place.resident_pages();
    assert!(few <= FEW, "{few} pages are resident");
    // SAFETY: the block is live, zeroed, and has this size.
    let contents = unsafe { slice::from_raw_parts(block.as_ptr(), SIZE) };
    assert!(contents.iter().step_by(PAGE_SIZE / 2).all(|&byte| byte == 0));
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "a hardened build fills blocks that it hands out")]
fn zeroed_runs_and_pages_of_size_classes_are_not_written() {
    const SIZE: usize = 20 << 20;
    let (mapping, place) = Place::fresh();
    let heap = SizeClasses::new(Arena::from_region(mapping).unwrap());
    let block = heap.allocate_zeroed(bytes(SIZE)).unwrap();
    // In these classes, each block has its own pages.
    let blocks: Vec<_> = (0..20).map(|_| heap.allocate_zeroed(bytes(4096)).unwrap()).collect();
    let larger = [3000, 9000, 16_384].map(|size| heap.allocate_zeroed(bytes(size)).unwrap());
    assert_eq!(place.resident_pages(), 0);
    // SAFETY: the block is live, zeroed, and has this size.
    let contents = unsafe { slice::from_raw_parts(block.as_ptr(), SIZE) };
    assert!(contents.iter().step_by(PAGE_SIZE / 2).all(|&byte| byte == 0));
    for block in blocks.into_iter().chain(larger) {
        // SAFETY: the block is live, zeroed, and has this size.
        assert_eq!(unsafe { block.cast::<[u8; 3000]>().read() }, [0; 3000]);
    }

    // The block that was freed is no longer known to be zero, and the heap must zero it.
    // SAFETY: the block is live and isn't used afterwards.
    unsafe {
        block.write_bytes(0xFF, SIZE);
        heap.deallocate(block, bytes(SIZE));
    }
    let again = heap.allocate_zeroed(bytes(SIZE)).unwrap();
    assert_eq!(again, block);
    // SAFETY: the block is live, zeroed, and has this size.
    assert!(unsafe { slice::from_raw_parts(again.as_ptr(), SIZE) }.iter().all(|&byte| byte == 0));
}

/// `GlobalAlloc::alloc_zeroed` avoids writing to fresh pages as well.
#[test]
#[cfg(feature = "spin")]
#[cfg_attr(hpalloc_hardened, ignore = "a hardened build fills blocks that it hands out")]
fn the_global_allocator_does_not_write_zeros_either() {
    use std::alloc::GlobalAlloc;

    let (mapping, place) = Place::fresh();
    let heap: hpalloc::Locked<_, hpalloc::Spin> =
        hpalloc::Locked::new(SizeClasses::new(Arena::from_region(mapping).unwrap()));
    // SAFETY: the size isn't zero.
    let block = unsafe { heap.alloc_zeroed(bytes(10 << 20)) };
    assert_eq!(place.resident_pages(), 0);
    // SAFETY: the block is live and zeroed.
    assert_eq!(unsafe { block.cast::<[u8; PAGE_SIZE]>().read() }, [0; PAGE_SIZE]);
}
