//! Programs that misuse a `Heap`.

use std::alloc::GlobalAlloc;
#[cfg(hpalloc_hardened)]
use std::alloc::Layout;
use std::ptr::NonNull;

#[cfg(hpalloc_hardened)]
use hpalloc::PageSource;
use hpalloc::{Arena, Boxed, Heap, Lazy, Locked, NoPages, Spin};

use super::common::{bytes, with_pages};
use super::{POISON, layout, overwrite};

/// Creates a heap in which the next block has a live block before and after it.
fn with_heap(program: impl FnOnce(&Heap<NoPages<'_>>)) {
    with_pages(4, |pages| {
        let heap = Heap::from_uninit(bytes(pages)).unwrap();
        let gap = [100, 300, 100].map(|size| heap.allocate(layout(size)).unwrap())[1];
        // SAFETY: the block is live and isn't used afterwards.
        unsafe { heap.deallocate(gap, layout(300)) };
        program(&heap);
    });
}

static HEAP: Locked<Heap<Lazy<Boxed>>, Spin> =
    Locked::new(Heap::new(Lazy::new(|| Boxed::new(1 << 20).and_then(Arena::from_region))));

dies! {
    double_free, "was freed twice", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            heap.deallocate(block, layout(100));
            heap.deallocate(block, layout(100));
        });
    }

    double_free_after_merging, "was freed twice", POISON, {
        with_heap(|heap| {
            let blocks = [(); 3].map(|()| heap.allocate(layout(100)).unwrap());
            for block in [blocks[0], blocks[2], blocks[1], blocks[2]] {
                heap.deallocate(block, layout(100));
            }
        });
    }

    double_free_of_a_large_block, "was freed twice", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(4000)).unwrap();
            heap.deallocate(block, layout(4000));
            heap.deallocate(block, layout(4000));
        });
    }

    double_free_in_a_global_allocator, "was freed twice", POISON, {
        let block = HEAP.alloc(layout(100));
        HEAP.dealloc(block, layout(100));
        let _ = std::panic::catch_unwind(|| HEAP.dealloc(block, layout(100)));
    }

    #[cfg(feature = "allocator-api2")]
    double_free_in_a_collection, "was freed twice", POISON, {
        with_heap(|heap| {
            let mut numbers = allocator_api2::vec::Vec::with_capacity_in(40, heap);
            numbers.push(1_u64);
            let (start, len, capacity, heap) = numbers.into_raw_parts_with_alloc();
            for _ in 0..2 {
                drop(allocator_api2::vec::Vec::from_raw_parts_in(start, len, capacity, heap));
            }
        });
    }

    #[cfg(hpalloc_hardened)]
    double_free_of_a_page, "was freed twice", None, {
        with_heap(|heap| {
            let layout = Layout::new::<hpalloc::Page>();
            let page = heap.take_pages(1).unwrap().cast();
            heap.deallocate(page, layout);
            heap.deallocate(page, layout);
        });
    }

    #[cfg(hpalloc_hardened)]
    free_with_a_size_that_reaches_into_free_memory, "was freed twice", None, {
        with_heap(|heap| heap.deallocate(heap.allocate(layout(100)).unwrap(), layout(200)));
    }

    #[cfg(hpalloc_hardened)]
    free_with_a_size_beyond_the_memory, "is not the start of a block", None, {
        with_heap(|heap| heap.deallocate(heap.allocate(layout(100)).unwrap(), layout(1 << 20)));
    }

    #[cfg(hpalloc_hardened)]
    free_of_a_misaligned_pointer, "is not the start of a block", None, {
        with_heap(|heap| heap.deallocate(heap.allocate(layout(100)).unwrap().add(1), Layout::new::<u8>()));
    }

    #[cfg(hpalloc_hardened)]
    free_of_a_value_on_the_stack, "is not from this pool", None, {
        with_heap(|heap| {
            let mut value = [0_u64; 16];
            heap.deallocate(NonNull::from(&mut value).cast(), layout(100));
            std::hint::black_box(value);
        });
    }

    #[cfg(hpalloc_hardened)]
    free_of_a_block_of_another_heap, "is not from this pool", None, {
        with_heap(|heap| with_heap(|other| heap.deallocate(other.allocate(layout(100)).unwrap(), layout(100))));
    }

    free_of_memory_that_was_never_handed_out, "was never allocated", POISON, {
        with_heap(|heap| heap.deallocate(heap.allocate(layout(100)).unwrap().add(4096), layout(100)));
    }

    grow_of_a_free_block, "was freed twice", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            heap.deallocate(block, layout(100));
            let _ = heap.grow(block, layout(100), layout(200));
        });
    }

    shrink_of_a_free_block, "was freed twice", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            heap.deallocate(block, layout(100));
            let _ = heap.shrink(block, layout(100), layout(50));
        });
    }

    realloc_of_a_free_block, "was freed twice", POISON, {
        let block = HEAP.alloc(layout(100));
        HEAP.dealloc(block, layout(100));
        let _ = std::panic::catch_unwind(|| HEAP.realloc(block, layout(100), 300));
    }

    #[cfg(hpalloc_hardened)]
    realloc_of_a_value_on_the_stack, "is not from this pool", None, {
        let mut value = [0_u64; 16];
        HEAP.alloc(layout(100));
        let value = (&raw mut value).cast();
        HEAP.realloc(value, layout(100), 300);
    }

    write_after_free, "was written to after it was freed", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            heap.deallocate(block, layout(100));
            overwrite(block.add(60));
            let _ = heap.allocate(layout(100));
        });
    }

    write_after_free_before_zeroing, "was written to after it was freed", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            heap.deallocate(block, layout(100));
            overwrite(block.add(60));
            let _ = heap.allocate_zeroed(layout(100));
        });
    }

    write_after_free_at_the_start_of_a_block_that_merged, "was written to after it was freed", POISON, {
        with_heap(|heap| {
            let blocks = [(); 2].map(|()| heap.allocate(layout(100)).unwrap());
            for block in blocks {
                heap.deallocate(block, layout(100));
            }
            overwrite(blocks[1]);
            let _ = heap.allocate(layout(200));
        });
    }

    write_after_free_before_growing, "was written to after it was freed", POISON, {
        with_heap(|heap| {
            let blocks = [(); 2].map(|()| heap.allocate(layout(100)).unwrap());
            heap.deallocate(blocks[1], layout(100));
            overwrite(blocks[1].add(60));
            let _ = heap.grow(blocks[0], layout(100), layout(190));
        });
    }

    write_to_what_a_block_lost_by_shrinking, "was written to after it was freed", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(200)).unwrap();
            let block = heap.shrink(block, layout(200), layout(100)).unwrap();
            overwrite(block.add(150));
            let _ = heap.allocate(layout(100));
        });
    }

    write_after_free_in_a_global_allocator, "was written to after it was freed", POISON, {
        let block = HEAP.alloc(layout(100));
        HEAP.dealloc(block, layout(100));
        overwrite(NonNull::new(block).unwrap().add(60));
        let _ = std::panic::catch_unwind(|| HEAP.alloc(layout(100)));
    }

    #[cfg(not(hpalloc_hardened))]
    read_after_free, "", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            heap.deallocate(block, layout(100));
            block.read_volatile();
        });
    }

    #[cfg(not(hpalloc_hardened))]
    overflow_by_a_byte, "", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            overwrite(block.add(100));
        });
    }

    #[cfg(not(hpalloc_hardened))]
    read_of_memory_that_was_never_handed_out, "", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            block.add(4096).read_volatile();
        });
    }
}
