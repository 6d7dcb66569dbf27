//! A program that only creates an allocator, allocates and frees, in functions whose code
//! can be measured.

#![no_std]
#![no_main]

#[cfg(feature = "hpalloc")]
mod allocator {
    use core::ptr::NonNull;

    use hpalloc::{Arena, BlockSize, FixedBlock, Page, RawRegion};

    type Pool<'a> = FixedBlock<&'a Arena<RawRegion>>;

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn footprint_alloc_page(arena: &Arena<RawRegion>) -> Option<&mut Page> {
        arena.alloc_page()
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn footprint_with_block_size(arena: &Arena<RawRegion>) -> Pool<'_> {
        FixedBlock::with_block_size(arena, const { BlockSize::of::<super::Object>() })
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn footprint_allocate(pool: &Pool<'_>) -> Option<NonNull<u8>> {
        pool.allocate()
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    unsafe fn footprint_deallocate(pool: &Pool<'_>, block: NonNull<u8>) {
        // SAFETY: guaranteed by the caller.
        unsafe { pool.deallocate(block) }
    }

    pub(crate) fn use_it(memory: NonNull<[u8]>) {
        // SAFETY: nothing else uses the memory.
        let Ok(arena) = (unsafe { Arena::from_raw(memory) }) else { return };
        core::hint::black_box(footprint_alloc_page(&arena));
        let pool = footprint_with_block_size(&arena);
        if let Some(block) = footprint_allocate(&pool) {
            // SAFETY: the block is live, and isn't used afterwards.
            unsafe { footprint_deallocate(&pool, block) };
        }
    }
}

#[cfg(feature = "size_classes")]
mod allocator {
    use core::alloc::Layout;
    use core::ptr::NonNull;

    use hpalloc::{Arena, RawRegion, SizeClasses};

    type Heap<'a> = SizeClasses<&'a Arena<RawRegion>>;

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn footprint_allocate(heap: &Heap<'_>, layout: Layout) -> Option<NonNull<u8>> {
        heap.allocate(layout)
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    unsafe fn footprint_deallocate(heap: &Heap<'_>, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { heap.deallocate(block, layout) }
    }

    pub(crate) fn use_it(memory: NonNull<[u8]>) {
        // SAFETY: nothing else uses the memory.
        let Ok(arena) = (unsafe { Arena::from_raw(memory) }) else { return };
        let heap = SizeClasses::new(&arena);
        let layout = core::hint::black_box(super::LAYOUT);
        if let Some(block) = footprint_allocate(&heap, layout) {
            // SAFETY: the block is live, and isn't used afterwards.
            unsafe { footprint_deallocate(&heap, block, layout) };
        }
    }
}

#[cfg(feature = "heap_made")]
mod allocator {
    use core::alloc::Layout;
    use core::mem::MaybeUninit;
    use core::ptr::NonNull;

    use hpalloc::NoPages;

    type Heap<'m> = hpalloc::Heap<NoPages<'m>>;

    #[unsafe(no_mangle)]
    #[inline(never)]
    #[cfg(feature = "heap")]
    fn footprint_allocate(heap: &Heap<'_>, layout: Layout) -> Option<NonNull<u8>> {
        heap.allocate(layout)
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    #[cfg(feature = "heap")]
    unsafe fn footprint_deallocate(heap: &Heap<'_>, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { heap.deallocate(block, layout) }
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    #[cfg(feature = "heap_resized")]
    unsafe fn footprint_grow(heap: &Heap<'_>, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: guaranteed by the caller.
        unsafe { heap.grow(block, old, new) }
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    #[cfg(feature = "heap_resized")]
    unsafe fn footprint_shrink(heap: &Heap<'_>, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: guaranteed by the caller.
        unsafe { heap.shrink(block, old, new) }
    }

    pub(crate) fn use_it(memory: NonNull<[u8]>) {
        let (start, len) = (memory.cast::<MaybeUninit<u8>>(), memory.len());
        // SAFETY: nothing else uses the memory.
        let Ok(heap) = Heap::from_uninit(unsafe { NonNull::slice_from_raw_parts(start, len).as_mut() }) else { return };
        let layout: Layout = core::hint::black_box(super::LAYOUT);
        #[cfg(not(feature = "heap"))]
        core::hint::black_box((&heap, layout));
        #[cfg(feature = "heap")]
        if let Some(block) = footprint_allocate(&heap, layout) {
            #[cfg(feature = "heap_resized")]
            // SAFETY: the block is live and has the layout that is passed, which doesn't
            // change.
            let block = unsafe {
                let grown = footprint_grow(&heap, block, layout, core::hint::black_box(layout)).unwrap_or(block);
                footprint_shrink(&heap, grown, layout, core::hint::black_box(layout)).unwrap_or(grown)
            };
            // SAFETY: the block is live, and isn't used afterwards.
            unsafe { footprint_deallocate(&heap, block, layout) };
        }
    }
}

#[cfg(feature = "linked_list_allocator")]
mod allocator {
    use core::ptr::NonNull;

    use linked_list_allocator::Heap;

    pub(crate) fn use_it(memory: NonNull<[u8]>) {
        let mut heap = Heap::empty();
        // SAFETY: nothing else uses the memory.
        unsafe { heap.init(memory.cast().as_ptr(), memory.len()) };
        if let Ok(block) = heap.allocate_first_fit(super::LAYOUT) {
            // SAFETY: the block is live, and isn't used afterwards.
            unsafe { heap.deallocate(block, super::LAYOUT) };
        }
    }
}

#[cfg(feature = "rlsf")]
mod allocator {
    use core::ptr::NonNull;

    use rlsf::Tlsf;

    pub(crate) fn use_it(memory: NonNull<[u8]>) {
        let mut heap: Tlsf<'_, u16, u16, 12, 16> = Tlsf::new();
        // SAFETY: nothing else uses the memory.
        unsafe { heap.insert_free_block_ptr(memory) };
        if let Some(block) = heap.allocate(super::LAYOUT) {
            // SAFETY: the block is live, and isn't used afterwards.
            unsafe { heap.deallocate(block, super::LAYOUT.align()) };
        }
    }
}

#[cfg(feature = "buddy_system_allocator")]
mod allocator {
    use core::ptr::NonNull;

    use buddy_system_allocator::Heap;

    pub(crate) fn use_it(memory: NonNull<[u8]>) {
        let mut heap = Heap::<16>::empty();
        // SAFETY: nothing else uses the memory.
        unsafe { heap.init(memory.cast::<u8>().addr().get(), memory.len()) };
        if let Ok(block) = heap.alloc(super::LAYOUT) {
            // SAFETY: the block is live, and isn't used afterwards.
            unsafe { heap.dealloc(block, super::LAYOUT) };
        }
    }
}

#[cfg(feature = "heapless")]
mod allocator {
    use core::mem::MaybeUninit;
    use core::ptr::NonNull;

    use heapless::box_pool;
    use heapless::pool::boxed::BoxBlock;

    box_pool!(Objects: MaybeUninit<super::Object>);

    pub(crate) fn use_it(memory: NonNull<[u8]>) {
        let count = memory.len() / size_of::<BoxBlock<MaybeUninit<super::Object>>>();
        // SAFETY: nothing else uses the memory, and it is aligned to a page.
        let blocks = unsafe { NonNull::slice_from_raw_parts(memory.cast(), count).as_mut() };
        for block in blocks {
            Objects.manage(block);
        }
        drop(Objects.alloc(MaybeUninit::uninit()));
    }
}

#[cfg(not(any(
    feature = "hpalloc",
    feature = "size_classes",
    feature = "heap_made",
    feature = "linked_list_allocator",
    feature = "rlsf",
    feature = "buddy_system_allocator",
    feature = "heapless"
)))]
mod allocator {
    use core::ptr::NonNull;

    pub(crate) fn use_it(memory: NonNull<[u8]>) {
        core::hint::black_box(memory);
    }
}

use core::alloc::Layout;
use core::hint::black_box;
use core::ptr::NonNull;

use hpalloc::{PAGE_SIZE, Region};

/// The type that is allocated. It is public because the macro of one of the allocators
/// exposes it.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub struct Object([u8; 64]);

pub(crate) const LAYOUT: Layout = Layout::new::<Object>();

hpalloc::static_buffer! {
    static MEMORY: StaticBuffer<2>;
}

fn run() {
    black_box(Object([0; 64]).0);
    black_box(LAYOUT);
    // Every program contains the code that a panic needs, so that this code doesn't count
    // against the allocators that can panic.
    #[cfg(not(feature = "silent"))]
    assert_eq!(black_box(0), 0, "{}", black_box("not reached"));
    if let Ok(region) = MEMORY.claim() {
        let pages = region.pages();
        allocator::use_it(black_box(NonNull::slice_from_raw_parts(pages.cast(), pages.len() * PAGE_SIZE)));
    }
}

hpalloc_target_harness::entry!(run);
