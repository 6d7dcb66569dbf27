//! Tests of boxes and collections in blocks of pools and heaps, through `allocator-api2`.

mod common;

use std::cell::Cell;
use std::ptr::NonNull;

use allocator_api2::alloc::{Allocator, Layout};
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use common::{GUARD, RECORD, with_pages};
use hashbrown::HashMap;
use hpalloc::{Arena, BlockSize, Borrowed, FixedBlock, PAGE_SIZE, Page, SizeClasses};

fn pool(pages: &mut [Page], block_size: usize) -> FixedBlock<Arena<Borrowed<'_>>> {
    FixedBlock::new(Arena::from_pages(pages).unwrap(), block_size).unwrap()
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn boxes_take_blocks_until_none_is_left_and_give_them_back() {
    #[repr(align(128))]
    struct Aligned(#[allow(dead_code, reason = "only its layout matters")] u8);

    with_pages(1, |pages| {
        let pool = pool(pages, 64);
        for _ in 0..2 {
            let boxes: std::vec::Vec<_> = (0..).map_while(|number: u64| Box::try_new_in(number, &pool).ok()).collect();
            assert_eq!(boxes.len(), 64);
            assert!(boxes.iter().zip(0..).all(|(boxed, number)| **boxed == number));
        }
        assert_eq!((pool.free_blocks(), pool.peak_blocks()), (64, 64));
        // One layout is too large for a block, and the other has too large an alignment.
        assert!(Box::try_new_in([0_u8; 65], &pool).is_err());
        assert!(Box::try_new_in(Aligned(0), &pool).is_err());
        assert_eq!(pool.free_blocks(), 64);
    });
}

#[test]
fn a_vector_grows_in_its_block_and_no_further() {
    with_pages(1, |pages| {
        let pool = pool(pages, 256);
        let mut numbers: Vec<u32, _> = Vec::new_in(&pool);
        assert_eq!(pool.peak_blocks(), 0);
        numbers.push(0);
        let place = numbers.as_ptr();
        numbers.extend(1..64);
        assert_eq!((numbers.as_ptr(), numbers.len(), pool.peak_blocks()), (place, 64, 1));
        assert!(numbers.try_reserve(1).is_err());
        assert!(numbers.iter().copied().eq(0..64));
        numbers.truncate(3);
        numbers.shrink_to_fit();
        assert_eq!((numbers.as_ptr(), &numbers[..]), (place, &[0, 1, 2][..]));
        numbers.clear();
        numbers.shrink_to_fit();
        assert_eq!(pool.free_blocks(), 1);
    });
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn vectors_fill_the_arena_and_empty_it() {
    with_pages(4, |pages| {
        let pool = pool(pages, 512);
        for _ in 0..3 {
            let mut all: std::vec::Vec<Vec<u8, _>> = std::vec::Vec::new();
            loop {
                let mut bytes = Vec::new_in(&pool);
                if bytes.try_reserve(300).is_err() {
                    break;
                }
                bytes.resize(300, u8::try_from(all.len()).unwrap());
                all.push(bytes);
            }
            assert_eq!(all.len(), 4 * PAGE_SIZE / 512);
            assert!(all.iter().zip(0..).all(|(bytes, value)| bytes.iter().all(|&byte| byte == value)));
        }
        assert_eq!(pool.free_blocks(), pool.peak_blocks());
    });
}

#[test]
fn a_map_grows_from_block_to_block_until_it_cannot() {
    with_pages(8, |pages| {
        let pool = pool(pages, 2 * PAGE_SIZE);
        let mut map: HashMap<u32, u64, _, _> = HashMap::with_hasher_in(hashbrown::DefaultHashBuilder::default(), &pool);
        let mut len = 0;
        while map.try_reserve(1).is_ok() {
            map.insert(len, u64::from(len) * 3);
            len += 1;
        }
        // An entry needs 16 bytes and a control byte, and the table is at most seven
        // eighths full. 256 buckets fit in two pages; 512 don't.
        assert_eq!(len, 224);
        assert!((0..len).all(|key| map[&key] == u64::from(key) * 3));
        for key in 0..len / 2 {
            assert_eq!(map.remove(&key), Some(u64::from(key) * 3));
        }
        assert_eq!(map.len(), 112);
        map.shrink_to(0);
        assert!((len / 2..len).all(|key| map[&key] == u64::from(key) * 3));
        drop(map);
        assert_eq!(pool.free_blocks(), pool.peak_blocks());
    });
}

#[test]
fn requests_of_no_bytes_take_no_block() {
    with_pages(1, |pages| {
        let pool = pool(pages, 64);
        let pool = &pool;
        let nothing = Layout::from_size_align(0, 4096).unwrap();
        let block = pool.allocate_zeroed(nothing).unwrap();
        assert_eq!((block.len(), block.cast::<u8>().addr().get() % 4096, pool.peak_blocks()), (0, 0, 0));
        // Grow from zero bytes, and shrink back to zero.
        let some = Layout::from_size_align(10, 2).unwrap();
        let empty = Layout::from_size_align(0, 2).unwrap();
        // SAFETY: each block is passed with its current layout, and isn't used otherwise.
        unsafe {
            let grown = pool.grow_zeroed(block.cast(), nothing, some).unwrap();
            assert_eq!(grown.len(), 64);
            assert_eq!(grown.as_ref(), [0; 64]);
            let shrunk = pool.shrink(grown.cast(), some, empty).unwrap();
            assert_eq!((shrunk.len(), pool.free_blocks()), (0, 1));
            Allocator::deallocate(&pool, shrunk.cast(), empty);
        }
        assert_eq!((pool.free_blocks(), pool.peak_blocks()), (1, 1));
    });
}

#[test]
fn what_grows_keeps_its_bytes_and_what_is_new_is_zero() {
    with_pages(1, |pages| {
        let pool = pool(pages, 64);
        let pool = &pool;
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        // SAFETY: each block is passed with its current layout, and isn't used otherwise.
        unsafe {
            let block: NonNull<u8> = Allocator::allocate(&pool, layout(8)).unwrap().cast();
            block.write_bytes(0xAB, 64);
            let grown = pool.grow_zeroed(block, layout(8), layout(40)).unwrap();
            assert_eq!(&grown.as_ref()[..8], [0xAB; 8]);
            assert_eq!(&grown.as_ref()[8..40], [0; 32]);
            assert!(pool.grow(block, layout(40), layout(65)).is_err());
            let aligned = |size| Layout::from_size_align(size, 128).unwrap();
            assert!(pool.grow(block, layout(40), aligned(40)).is_err());
            assert!(pool.shrink(block, layout(40), aligned(8)).is_err());
            // The failed calls left the block unchanged.
            assert_eq!(&grown.as_ref()[..8], [0xAB; 8]);
            Allocator::deallocate(&pool, block, layout(40));
        }
    });
}

/// Dropping a collection drops its values and frees its blocks.
#[test]
fn collections_drop_what_they_hold() {
    struct Counted<'c>(&'c Cell<usize>);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    with_pages(2, |pages| {
        let dropped = Cell::new(0);
        let arena = Arena::from_pages(pages).unwrap();
        let small = FixedBlock::with_block_size(&arena, BlockSize::of::<Counted<'_>>());
        let large = FixedBlock::new(&arena, 512).unwrap();
        let mut boxes = Vec::new_in(&large);
        boxes.extend((0..32).map(|_| Box::new_in(Counted(&dropped), &small)));
        drop(boxes);
        assert_eq!((dropped.get(), small.free_blocks(), large.free_blocks()), (32, 32, 1));
    });
}

/// Blocks can be freed through pointers that were made from references to less than a
/// whole block.
#[test]
fn pointers_to_less_than_a_block_come_back() {
    with_pages(1, |pages| {
        let pool = pool(pages, 64);
        drop(Box::new_in(7_u8, &pool));
        let mut bytes = Vec::new_in(&pool);
        bytes.push(1_u8);
        let mut bytes = bytes.into_boxed_slice().into_vec();
        bytes.extend(2..=64);
        assert!(bytes.iter().copied().eq(1..=64));
        drop(bytes);
        let kept: &mut u8 = Box::leak(Box::new_in(8, &pool));
        // SAFETY: the value was leaked just now from a box in this pool.
        drop(unsafe { Box::from_raw_in(kept, &pool) });
        assert_eq!((pool.free_blocks(), pool.peak_blocks()), (1, 1));
    });
}

#[cfg(feature = "spin")]
#[test]
fn collections_in_a_locked_pool() {
    use hpalloc::{Locked, Spin};

    with_pages(1, |pages| {
        let locked: Locked<_, Spin> = Locked::new(pool(pages, 256));
        let free = || locked.with(FixedBlock::free_blocks);
        let numbers = std::thread::scope(|scope| {
            let mut numbers = Vec::new_in(&locked);
            numbers.extend(0..64_u32);
            scope.spawn(move || numbers).join().unwrap()
        });
        assert!(numbers.iter().copied().eq(0..64));
        assert_eq!(free(), 0);
        drop(numbers);
        assert_eq!(free(), 1);

        let (pool, layout) = (&locked, |size| Layout::from_size_align(size, 8).unwrap());
        // SAFETY: each block is passed with its current layout, and isn't used otherwise.
        unsafe {
            let block: NonNull<u8> = pool.allocate(layout(8)).unwrap().cast();
            block.write_bytes(0xAB, 256);
            let grown = pool.grow_zeroed(block, layout(8), layout(256)).unwrap();
            assert_eq!(&grown.as_ref()[..8], [0xAB; 8]);
            assert_eq!(&grown.as_ref()[8..], [0; 248]);
            assert!(pool.grow(block, layout(256), layout(257)).is_err());
            assert_eq!(pool.shrink(block, layout(256), layout(0)).unwrap().len(), 0);
        }
        assert_eq!(free(), 1);
        assert!(pool.allocate(layout(257)).is_err());
    });
}

fn heap(pages: &mut [Page]) -> SizeClasses<Arena<Borrowed<'_>>> {
    SizeClasses::new(Arena::from_pages(pages).unwrap())
}

#[test]
fn collections_in_a_heap_grow_from_class_to_class_and_give_everything_back() {
    const ROUNDS: usize = if cfg!(miri) { 3 } else { 100 };
    with_pages(16, |pages| {
        let heap = heap(pages);
        for _ in 0..ROUNDS {
            let mut numbers: Vec<u16, _> = Vec::new_in(&heap);
            numbers.extend(0..3000);
            let mut squares = HashMap::new_in(&heap);
            squares.extend(numbers.iter().take(100).map(|&number| (number, u32::from(number).pow(2))));
            let text = Box::new_in(*b"in its own block", &heap);
            numbers.truncate(100);
            numbers.shrink_to_fit();
            assert!(numbers.iter().all(|number| squares[number] == u32::from(*number).pow(2)));
            assert_eq!(&*text, b"in its own block");
        }
        // All carved blocks are free again.
        assert_eq!(heap.free_blocks(), heap.peak_blocks());
        assert_eq!(heap.run_pages(), heap.free_run_pages());
    });
}

#[test]
fn a_heap_serves_alignments_and_empty_layouts() {
    with_pages(8, |pages| {
        let heap = heap(pages);
        for align in [1, 16, 256, PAGE_SIZE] {
            let empty = Layout::from_size_align(0, align).unwrap();
            let block = Allocator::allocate(&&heap, empty).unwrap();
            assert_eq!((block.len(), block.cast::<u8>().addr().get() % align), (0, 0));
            let block = block.cast::<u8>();
            let (layout, larger) =
                (Layout::from_size_align(10, align).unwrap(), Layout::from_size_align(30, align).unwrap());
            // SAFETY: each block is passed with its current layout.
            unsafe {
                let block = (&&heap).grow(block, empty, layout).unwrap().cast::<u8>();
                block.write_bytes(7, 10);
                let block = (&&heap).grow_zeroed(block, layout, larger).unwrap();
                assert!(block.len() >= 30 && block.cast::<u8>().addr().get() % align == 0);
                let bytes = block.cast::<[u8; 30]>().as_ref();
                assert_eq!((&bytes[..10], &bytes[10..]), (&[7; 10][..], &[0; 20][..]));
                let block = (&&heap).shrink(block.cast(), larger, empty).unwrap();
                assert_eq!(block.len(), 0);
                (&&heap).deallocate(block.cast(), empty);
            }
        }
        assert_eq!(heap.free_blocks(), heap.peak_blocks());
        let page_and_more = Layout::from_size_align(1, 2 * PAGE_SIZE).unwrap();
        assert!(Allocator::allocate(&&heap, page_and_more).is_err());
    });
}

/// An allocation is as long as its block, whether it was just allocated, grown in place
/// or moved.
#[test]
fn a_heap_lends_all_of_a_block() {
    with_pages(8, |pages| {
        let heap = heap(pages);
        let layout = |size| Layout::from_size_align(size, 1).unwrap();
        let block = Allocator::allocate(&&heap, layout(100)).unwrap();
        assert_eq!(block.len(), 112);
        // SAFETY: each block is passed with its current layout.
        unsafe {
            let same = (&&heap).grow(block.cast(), layout(100), layout(105)).unwrap();
            assert_eq!((same.cast(), same.len()), (block.cast::<u8>(), 112));
            let same = (&&heap).shrink(same.cast(), layout(105), layout(98)).unwrap();
            assert_eq!((same.cast(), same.len()), (block.cast::<u8>(), 112));
            let run = (&&heap).grow(same.cast(), layout(98), layout(20_000)).unwrap();
            assert_eq!(run.len(), 5 * PAGE_SIZE - GUARD - RECORD);
            (&&heap).deallocate(run.cast(), layout(20_000));
        }
        assert_eq!((heap.free_blocks(), heap.run_pages(), heap.free_run_pages()), (heap.peak_blocks(), 5, 5));
    });
}

/// A second arena is in pages that the first one handed out. A block must be freed
/// through the pointer to its own run, whichever arenas the pool takes pages from.
/// Freeing it through the first arena's pointer would invalidate the second arena's
/// borrow.
#[test]
fn an_arena_in_pages_of_another() {
    with_pages(3, |pages| {
        let outer = Arena::from_pages(pages).unwrap();
        let mut inner = Arena::from_pages(outer.alloc_pages(2).unwrap()).unwrap();
        {
            let pool = FixedBlock::new((&outer, &inner), 1600).unwrap();
            // A run holds two blocks.
            let (a, b) = (Box::new_in([1_u64; 200], &pool), Box::new_in([2_u64; 200], &pool));
            let c = Box::new_in([3_u64; 200], &pool);
            assert_eq!((outer.pages_remaining(), inner.pages_remaining()), (0, 1));
            assert_eq!((a[0], b[99], c[199]), (1, 2, 3));
            drop((a, b));
            drop(c);
        }
        inner.reset();
        assert_eq!(inner.alloc_zeroed_page(), Some(&mut [0; PAGE_SIZE]));
        assert_eq!(inner.alloc_page().map(Page::zero), Some(&mut [0; PAGE_SIZE]));
    });
}

/// A pool over an array of arenas allocates and frees their blocks like those of a single
/// one.
#[test]
fn boxes_over_many_arenas() {
    with_pages(16, |pages| {
        let mut arenas = pages.chunks_mut(1).map(|page| Arena::from_pages(page).unwrap());
        let arenas: [_; 16] = std::array::from_fn(|_| arenas.next().unwrap());
        let pool = FixedBlock::new(&arenas, 1024).unwrap();
        let count = 16 * pool.blocks_per_page();
        for _ in 0..2 {
            let mut boxes: std::vec::Vec<_> = (0..count).map(|number| Box::new_in(number, &pool)).collect();
            assert!(Box::try_new_in(0, &pool).is_err());
            assert!(boxes.iter().map(|number| **number).eq(0..count));
            boxes.reverse();
        }
        assert_eq!((pool.peak_blocks(), pool.free_blocks()), (count, count));
    });
}

#[test]
fn a_box_of_less_than_a_word_gives_back_a_whole_block() {
    with_pages(1, |pages| {
        let heap = heap(pages);
        let address = {
            let mut number = Box::new_in(7_u8, &heap);
            *number += 1;
            NonNull::from(&mut *number).addr()
        };
        assert_eq!(NonNull::from(&mut *Box::new_in(9_u8, &heap)).addr(), address);
    });
}

/// Several kinds of collections in one heap for any size. Some of them must move to grow.
#[test]
fn collections_in_a_heap_of_any_size() {
    with_pages(16, |pages| {
        let heap = hpalloc::Heap::from_uninit(common::bytes(pages)).unwrap();
        let largest = heap.largest_free();
        {
            let mut numbers = Vec::new_in(&heap);
            let mut boxes = Vec::new_in(&heap);
            let mut names = HashMap::with_hasher_in(hashbrown::DefaultHashBuilder::default(), &heap);
            for number in 0..600_usize {
                numbers.push(number);
                boxes.push(Box::new_in([number; 3], &heap));
                names.insert(number, number * number);
                if number % 3 == 0 {
                    boxes.swap_remove(number / 7);
                }
            }
            numbers.truncate(10);
            numbers.shrink_to_fit();
            assert!(
                numbers.iter().copied().eq(0..10)
                    && boxes.iter().all(|three| three[0] == three[1] && three[1] == three[2])
            );
            assert!((0..600).all(|number| names[&number] == number * number));
            let nothing: Vec<u64, _> = Vec::new_in(&heap);
            assert!(nothing.is_empty() && Vec::<u8, _>::new_in(&heap).try_reserve(70_000).is_err());
        }
        assert_eq!((heap.used(), heap.largest_free()), (0, largest));
    });
}
