//! Calls every function of hpalloc that firmware may use. None of them panics, so the
//! linked program contains no code that a panic needs.
//!
//! Functions that format text, `Debug` and `Display`, are left out, because `core` itself
//! may panic there.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use allocator_api2::alloc::{Allocator, GlobalAlloc, Layout};
use hpalloc::{
    Arena, ArenaError, BlockSize, BlockSizeError, CriticalSection, DEFAULT_BUFFER, FixedBlock, Heap, Lazy, Locked,
    PAGE_SIZE, Page, PageSource, Pool, PoolBox, Region, SizeClasses, SizeTable, StaticRegion,
};

hpalloc::static_buffer! {
    static MEMORY: StaticBuffer<2>;
}

fn run() {
    let _ = black_box(every_arena());
    let _ = black_box(every_source());
    let _ = black_box(block_size(black_box(64)));
    every_pool();
    every_static();
    every_heap();
    every_heap_of_any_size();
    let _ = black_box(in_a_slice(black_box(&mut [[MaybeUninit::uninit(); 50]; 2])));
}

/// Creates an arena in each way.
fn every_arena() -> Result<(), ArenaError> {
    drop(black_box(Arena::new(black_box(PAGE_SIZE)))?);
    every_operation(&mut Arena::from_region(DEFAULT_BUFFER.claim_bytes(black_box(PAGE_SIZE))?)?);

    let region = MEMORY.claim()?;
    let pages = region.pages();
    // SAFETY: the region was claimed, lives to the end of this function, and is accessed
    // only through these references.
    let memory: &mut [Page] = unsafe { &mut *pages.as_ptr() };
    every_operation(&mut Arena::from_pages(black_box(&mut *memory))?);
    let bytes: NonNull<[u8]> = NonNull::slice_from_raw_parts(pages.cast(), pages.len() * PAGE_SIZE);
    // SAFETY: as above, and the previous reference isn't used any more.
    let memory: &mut [MaybeUninit<u8>] =
        unsafe { NonNull::slice_from_raw_parts(bytes.cast(), black_box(bytes.len())).as_mut() };
    every_operation(&mut Arena::from_uninit(black_box(&mut *memory))?);
    every_operation(&mut Arena::from_uninit_trimmed(black_box(&mut *memory))?);
    // SAFETY: as above.
    every_operation(&mut unsafe { Arena::from_raw(black_box(bytes)) }?);
    Ok(())
}

fn every_operation<R: Region>(arena: &mut Arena<R>) {
    if let Some(page) = black_box(arena.alloc_page()) {
        page.as_uninit_mut()[0].write(1);
        black_box(page.as_mut_ptr());
        black_box(page.zero());
    }
    black_box(arena.alloc_pages(black_box(1)));
    black_box(arena.alloc_zeroed_page());
    black_box((arena.page_size(), arena.pages_allocated(), arena.total_pages(), arena.pages_remaining()));
    arena.reset();
    let arena = &*arena;
    let _ = black_box(FixedBlock::new(arena, black_box(64)).map(|pool| every_block(&pool)));
}

/// Creates a pool over each kind of page source.
fn every_source() -> Result<(), ArenaError> {
    const SIZE: BlockSize = BlockSize::of::<[u64; 8]>();

    let lazy: Lazy<StaticRegion> = Lazy::new(|| Arena::from_region(MEMORY.claim()?));
    let pool = FixedBlock::with_block_size(lazy, SIZE);
    every_block(&pool);
    let _ = black_box(pool.page_source().arena());
    drop(pool);

    let buffer = Arena::from_region(MEMORY.claim()?)?;
    let other = Arena::from_region(DEFAULT_BUFFER.claim()?)?;
    every_block(&FixedBlock::with_block_size([&buffer, &other], SIZE));
    every_block(&FixedBlock::with_block_size((&buffer, &other), SIZE));
    every_block(&FixedBlock::with_block_size(buffer, SIZE));
    Ok(())
}

fn every_block<P: PageSource>(pool: &FixedBlock<P>) {
    if let Some(block) = black_box(pool.allocate()) {
        // SAFETY: the block was allocated just now.
        unsafe { pool.deallocate(block) };
    }
    black_box((pool.block_size(), pool.block_align(), pool.blocks_per_page()));
    black_box((pool.peak_blocks(), pool.free_blocks(), pool.available()));
}

/// Uses a pool of values in a `static`, with a lock.
fn every_pool() {
    static POOL: Locked<Pool<[u64; 4], Lazy<StaticRegion>>, CriticalSection> =
        Locked::new(Pool::new(Lazy::new(|| Arena::from_region(MEMORY.claim()?))));

    if let Ok(value) = black_box(POOL.alloc([0; 4])) {
        // SAFETY: the pointer came from a box of this pool.
        black_box(unsafe { POOL.from_raw(PoolBox::into_raw(value)) });
    }
    if let Some(value) = POOL.alloc_with(|| black_box([1; 4])) {
        black_box(PoolBox::into_inner(value));
    }
    if let Some(value) = POOL.with(|pool| pool.alloc_with(|| [2; 4]).map(PoolBox::into_inner)) {
        black_box(value);
    }
    if let Ok(value) = POOL.alloc(black_box([3; 4])) {
        black_box(&mut *PoolBox::into_pin(value));
    }
    if let Ok(value) = POOL.alloc(black_box([4; 4])) {
        black_box(PoolBox::leak(value));
    }
    if let Some(value) = POOL.alloc_uninit() {
        black_box(PoolBox::write(value, [5; 4]));
    }
    if let Some(value) = POOL.alloc_zeroed() {
        // SAFETY: all bits zero is a valid value of the integers.
        black_box(unsafe { PoolBox::assume_init(value) });
    }
    if let Ok(value) = PoolBox::fit_in(black_box([6_u32; 2]), &POOL) {
        let (value, home) = PoolBox::into_parts(hpalloc::unsize!(value => [u32]));
        // SAFETY: these are the parts of one box.
        black_box(unsafe { PoolBox::from_parts(value, home) });
    }
    black_box(POOL.available());
    let mut own: Locked<_, CriticalSection> = Locked::new(black_box(7));
    black_box(own.get_mut());
    black_box(own.try_with(|own| *own));
    black_box(own.into_inner());
}

/// Uses the macros that declare a `static` with its memory.
fn every_static() {
    hpalloc::static_pool! { static POOL: Pool<[u64; 4], 2>; }
    hpalloc::static_heap! { static HEAP: Heap<1024>; }

    let first = black_box(PoolBox::new_in([1; 4], &POOL));
    black_box((POOL.available(), POOL.with(|pool| pool.blocks().block_align())));
    drop(first);
    // SAFETY: the size isn't zero, and the block is freed once.
    unsafe {
        let block = black_box(HEAP.alloc(black_box(Layout::new::<u64>())));
        HEAP.dealloc(block, Layout::new::<u64>());
    }
    black_box((HEAP.used(), HEAP.free(), HEAP.largest_free(), HEAP.usage()));
}

/// Uses heaps of size classes: with sizes that are known only at run time, over an arena,
/// and as the global allocator.
fn every_heap() {
    static HEAP: Locked<SizeClasses<Lazy<StaticRegion>>, CriticalSection> =
        Locked::new(SizeClasses::new(Lazy::new(|| Arena::from_region(MEMORY.claim()?))));

    let _ = black_box(SizeTable::new(black_box([16, 64, 256])).map(|table| table.block_sizes()[0].bytes()));
    let _ = black_box(BlockSize::try_from(black_box(64)).map(usize::from));
    if let Ok(table) = SizeTable::new(black_box([16, 64, 256])) {
        let layout = black_box(Layout::new::<u64>());
        black_box((table.usable_size(layout), table.worst_for(black_box(16)), table.largest_request(black_box(9))));
    }
    let Ok(small) = Layout::from_size_align(black_box(40), black_box(8)) else { return };
    let Ok(large) = Layout::from_size_align(black_box(9000), black_box(64)) else { return };
    if let Ok(arena) = MEMORY.claim().and_then(Arena::from_region) {
        every_class(&SizeClasses::new(&arena), small, large);
        every_class(&SizeClasses::with_table(&arena, hpalloc::size_table![16, 64, 256]), small, large);
        every_class(&SizeClasses::with_table(&arena, hpalloc::size_table![]), small, large);
    }
    HEAP.with(|heap| every_class(heap, small, large));
    every_allocation(&HEAP, small, large);
    // SAFETY: the block is passed on with its layout.
    unsafe {
        let block = GlobalAlloc::alloc_zeroed(&HEAP, small);
        let block = GlobalAlloc::realloc(&HEAP, black_box(block), small, large.size());
        GlobalAlloc::dealloc(&HEAP, black_box(block), Layout::from_size_align_unchecked(large.size(), small.align()));
        GlobalAlloc::dealloc(&HEAP, black_box(GlobalAlloc::alloc(&HEAP, large)), large);
    }
}

fn every_class<P: PageSource, const N: usize>(heap: &SizeClasses<P, N>, small: Layout, large: Layout) {
    for layout in [small, large] {
        if let Some(block) = black_box(heap.allocate(layout)) {
            // SAFETY: the block was allocated just now.
            unsafe { heap.deallocate(block, layout) };
        }
    }
    if let Some(block) = heap.allocate(small) {
        // SAFETY: the block is passed on with its layout if the previous call succeeded.
        unsafe {
            if let Some(block) = black_box(heap.grow(block, small, large)) {
                black_box(heap.shrink(block, large, small));
            }
        }
    }
    black_box((heap.usable_size(small), heap.block_sizes()));
    if let Some(block) = black_box(heap.allocate_zeroed(large)) {
        // SAFETY: the block was allocated just now.
        unsafe { heap.deallocate(block, large) };
    }
    black_box((heap.peak_blocks(), heap.free_blocks(), heap.run_pages(), heap.free_run_pages(), heap.largest_free()));
    let usage = heap.usage();
    black_box((usage.live_blocks(), usage.live_bytes(), usage.free_bytes()));
    black_box(heap.page_source());
    every_allocation(heap, small, large);
}

/// Uses a `Heap` in a slice, over an arena, and as the global allocator.
fn every_heap_of_any_size() {
    static HEAP: Locked<Heap<Lazy<StaticRegion>>, CriticalSection> =
        Locked::new(Heap::new(Lazy::new(|| Arena::from_region(MEMORY.claim()?))));

    let Ok(small) = Layout::from_size_align(black_box(40), black_box(8)) else { return };
    let Ok(large) = Layout::from_size_align(black_box(900), black_box(64)) else { return };
    let mut memory = [MaybeUninit::uninit(); 2000];
    if let Ok(heap) = Heap::from_uninit(black_box(&mut memory)) {
        every_size(&heap, small, large);
    }
    if let Ok(arena) = MEMORY.claim().and_then(Arena::from_region) {
        every_size(&Heap::new(&arena), small, large);
    }
    HEAP.with(|heap| every_size(heap, small, large));
    every_allocation(&HEAP, small, large);
    // SAFETY: the block is passed on with its layout.
    unsafe {
        let block = GlobalAlloc::alloc_zeroed(&HEAP, small);
        let block = GlobalAlloc::realloc(&HEAP, black_box(block), small, large.size());
        GlobalAlloc::dealloc(&HEAP, black_box(block), Layout::from_size_align_unchecked(large.size(), small.align()));
        GlobalAlloc::dealloc(&HEAP, black_box(GlobalAlloc::alloc(&HEAP, large)), large);
    }
}

fn every_size<P: PageSource>(heap: &Heap<P>, small: Layout, large: Layout) {
    for layout in [small, large] {
        if let Some(block) = black_box(heap.allocate(layout)) {
            // SAFETY: the block was allocated just now.
            unsafe { heap.deallocate(block, layout) };
        }
    }
    if let Some(block) = heap.allocate_zeroed(small) {
        // SAFETY: the block is passed on with its layout if the previous call succeeded.
        unsafe {
            if let Some(block) = black_box(heap.grow(block, small, large)) {
                black_box(heap.shrink(block, large, small));
            }
        }
    }
    black_box((heap.used(), heap.free(), heap.largest_free(), heap.usage()));
    black_box((heap.take_pages(black_box(1)), heap.page_source()));
    every_allocation(heap, small, large);
}

/// Allocates as collections do.
fn every_allocation(heap: impl Allocator, small: Layout, large: Layout) {
    if let Ok(block) = black_box(heap.allocate_zeroed(small)) {
        // SAFETY: the block is passed on with its layout.
        unsafe {
            if let Ok(block) = black_box(heap.grow_zeroed(block.cast(), small, large)) {
                if let Ok(block) = black_box(heap.shrink(block.cast(), large, small)) {
                    heap.deallocate(block.cast(), small);
                }
            }
        }
    }
}

/// Uses a pool in a slice, and allocates from one as collections do.
fn in_a_slice([first, second]: &mut [[MaybeUninit<u8>; 50]; 2]) -> Result<(), BlockSizeError> {
    let pool = Pool::<u32, _>::from_uninit(first)?;
    black_box(pool.alloc(black_box(1))).ok();
    black_box((pool.blocks().peak_blocks(), BlockSize::default().bytes_for(black_box(3))));
    let blocks = FixedBlock::from_uninit(second, black_box(16))?;
    let (small, large) = (Layout::new::<u32>(), Layout::new::<u64>());
    if let Ok(block) = black_box(Allocator::allocate(&&blocks, black_box(small))) {
        // SAFETY: the block is passed on with its layout.
        unsafe {
            let _ = black_box((&blocks).grow_zeroed(block.cast(), small, large));
            let _ = black_box((&blocks).shrink(block.cast(), large, small));
            Allocator::deallocate(&&blocks, block.cast(), small);
        }
    }
    Ok(())
}

fn block_size(bytes: usize) -> Result<usize, BlockSizeError> {
    let size = BlockSize::new(bytes)?;
    Ok(size.bytes() + size.align() + size.blocks_per_page())
}

hpalloc_target_harness::entry!(run);
