//! Calls every function of hpalloc that firmware has a use for. None of them panics, and so the program that the linker
//! makes of this holds nothing of what a panic takes.
//!
//! What is left out formats text, for which `core` itself may panic: `Debug` and `Display`.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use hpalloc::{
    Arena, ArenaError, BlockSize, BlockSizeError, DEFAULT_BUFFER, FixedBlock, Lazy, PAGE_SIZE, Page, PageSource,
    Region, StaticRegion,
};

hpalloc::static_buffer! {
    static MEMORY: StaticBuffer<2>;
}

fn run() {
    let _ = black_box(every_arena());
    let _ = black_box(every_source());
    let _ = black_box(block_size(black_box(64)));
}

/// An arena in each of the ways to make one.
fn every_arena() -> Result<(), ArenaError> {
    drop(black_box(Arena::new(black_box(PAGE_SIZE)))?);
    every_operation(&mut Arena::from_region(DEFAULT_BUFFER.claim_bytes(black_box(PAGE_SIZE))?)?);

    let region = MEMORY.claim()?;
    let pages = region.pages();
    // SAFETY: the region was claimed, lives on to the end of this function, and is used through these alone.
    let memory: &mut [Page] = unsafe { &mut *pages.as_ptr() };
    every_operation(&mut Arena::from_pages(black_box(&mut *memory))?);
    let bytes: NonNull<[u8]> = NonNull::slice_from_raw_parts(pages.cast(), pages.len() * PAGE_SIZE);
    // SAFETY: as above, and the one before isn't used any more.
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

/// A pool over each kind of page source.
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
    black_box((pool.peak_blocks(), pool.free_blocks()));
}

fn block_size(bytes: usize) -> Result<usize, BlockSizeError> {
    let size = BlockSize::new(bytes)?;
    Ok(size.bytes() + size.align() + size.blocks_per_page())
}

hpalloc_target_harness::entry!(run);
