//! A kernel for x86_64 that boots in QEMU.
//!
//! One heap manages all memory that the boot loader reports as free. It is the global
//! allocator, the allocator of page frames for real page tables and for devices, and the
//! page source of each core's pool of kernel objects. After everything except the pages
//! of the pools is freed, the rest of the heap is in one piece again.

#![no_std]
#![no_main]

extern crate alloc;

mod boot;
mod processes;

use core::alloc::Layout;
use core::ptr::{NonNull, with_exposed_provenance_mut};

use hpalloc::{BlockSize, FixedBlock, Heap, Lazy, Locked, PAGE_SIZE, PageSource, RawRegion, Spin};
use hpalloc_target_harness::println;
use processes::Counts;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::{
    FrameAllocator, FrameDeallocator, Mapper, OffsetPageTable, Page, PageTable, PageTableFlags, PhysFrame, Size4KiB,
    Translate,
};
use x86_64::{PhysAddr, VirtAddr};

/// The offset of the mapping of physical memory. It is zero because memory is mapped one
/// to one.
const PHYSICAL_MEMORY: VirtAddr = VirtAddr::zero();

/// All memory that is free when the kernel starts. The first request creates the arena
/// over it.
type Memory = Locked<Heap<Lazy<RawRegion>>, Spin>;

#[global_allocator]
static HEAP: Memory = Locked::new(Heap::new(Lazy::new(boot::arena)));

fn used() -> usize {
    HEAP.with(Heap::used)
}

/// The heap as the page frame allocator of the crate `x86_64`.
struct Frames;

// SAFETY: the heap hands out a page only once until it is freed.
unsafe impl FrameAllocator<Size4KiB> for Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let address = HEAP.take_pages(1)?.as_ptr().expose_provenance();
        PhysFrame::from_start_address(PhysAddr::new(address as u64)).ok()
    }
}

impl FrameDeallocator<Size4KiB> for Frames {
    unsafe fn deallocate_frame(&mut self, frame: PhysFrame) {
        let address = frame.start_address().as_u64() as usize;
        let block = NonNull::new(with_exposed_provenance_mut(address)).expect("no frame is at address zero");
        // SAFETY: a frame is a block of one page, and the caller guarantees that nothing
        // uses it any more.
        HEAP.with(|heap| unsafe { heap.deallocate(block, Layout::new::<hpalloc::Page>()) });
    }
}

/// A kernel object.
struct Task {
    id: u64,
    next: Option<NonNull<Task>>,
}

/// The data of one core.
struct Core {
    tasks: FixedBlock<&'static Memory>,
}

fn run() {
    let free = boot::free_memory().expect("the boot loader reports free memory");
    println!("free memory: {} MiB at {:p}", free.len() >> 20, free);

    // Page tables: the active tables are extended by frames from the heap.
    let at_first = used();
    let (level_4, _) = Cr3::read();
    let level_4 = with_exposed_provenance_mut::<PageTable>(level_4.start_address().as_u64() as usize);
    // SAFETY: the table is active, memory is mapped one to one, and there is no other
    // reference to the table.
    let mut tables = unsafe { OffsetPageTable::new(&mut *level_4, PHYSICAL_MEMORY) };
    let mut frames = Frames;
    let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
    let pages: [_; 64] = core::array::from_fn(|index| {
        let address = VirtAddr::new(0x4444_0000_0000 + index as u64 * 0x20_0000);
        Page::<Size4KiB>::containing_address(address)
    });
    for (index, &page) in pages.iter().enumerate() {
        let frame = frames.allocate_frame().expect("a frame is free");
        // SAFETY: the page was not mapped, and the frame has no other use.
        unsafe { tables.map_to(page, frame, flags, &mut frames) }.expect("the page is not mapped yet").flush();
        assert_eq!(tables.translate_addr(page.start_address()), Some(frame.start_address()));
        let (mapped, direct) = (page.start_address().as_mut_ptr::<u64>(), frame.start_address().as_u64());
        let direct = with_exposed_provenance_mut::<u64>(direct as usize);
        // SAFETY: both addresses refer to the frame, which is mapped twice and has no
        // other use.
        unsafe {
            mapped.write_volatile(0xC0FF_EE00 + index as u64);
            assert_eq!(direct.read_volatile(), 0xC0FF_EE00 + index as u64);
            direct.write_volatile(index as u64);
            assert_eq!(mapped.read_volatile(), index as u64);
        }
    }
    let mapped = (used() - at_first) / PAGE_SIZE;
    // The frames of the pages are freed. Those of the page tables stay allocated.
    for &page in &pages {
        let (frame, flush) = tables.unmap(page).expect("the page is mapped");
        flush.flush();
        // SAFETY: the frame was mapped only there.
        unsafe { frames.deallocate_frame(frame) };
    }
    let tables = (used() - at_first) / PAGE_SIZE;
    assert_eq!(mapped, tables + pages.len());
    println!("64 pages mapped, written, read back and freed, with {tables} frames of page tables");

    // Objects: each core has a pool of tasks over the shared heap. It allocates and frees
    // tasks without a lock. The lock of the heap is acquired only when a pool needs a
    // page. This machine has one core, which plays the part of both.
    let cores = [(); 2].map(|()| Core { tasks: FixedBlock::with_block_size(&HEAP, const { BlockSize::of::<Task>() }) });
    let mut first = None;
    for id in 0..10_000 {
        let task = cores[id as usize % 2].tasks.allocate().expect("a block is free").cast::<Task>();
        // SAFETY: the block has the size and the alignment of a task, and nothing else
        // uses it.
        unsafe { task.write(Task { id, next: first }) };
        first = Some(task);
    }
    let mut sum = 0;
    while let Some(task) = first {
        // SAFETY: the task is in the list, so it is live. It is read once, and its block
        // is freed once.
        let Task { id, next } = unsafe { task.read() };
        sum += id;
        first = next;
        // A task may end on another core than the one it started on. Its block then goes
        // to the pool of that core.
        let core = &cores[usize::from(id % 4 < 2)];
        // SAFETY: as above. The pools have the same block size and the same page source.
        unsafe { core.tasks.deallocate(task.cast()) };
    }
    assert_eq!(sum, (0..10_000).sum());
    for core in &cores {
        assert_eq!((core.tasks.peak_blocks(), core.tasks.free_blocks()), (5000, 5000));
    }
    let per_page = cores[0].tasks.blocks_per_page();
    println!("2 cores with 5000 tasks each, in {} pages of {PAGE_SIZE} bytes", 2 * 5000_usize.div_ceil(per_page));

    // Other allocations: processes, with contiguous frames for their devices.
    let before = HEAP.with(|heap| heap.usage());
    let Counts { spawned, sent, received } = processes::run();
    assert_eq!(sent, received);
    let after = HEAP.with(|heap| heap.usage());
    assert_eq!((after.used, after.free_blocks), (before.used, before.free_blocks), "not all freed memory was merged");
    assert_eq!(after.largest_free, before.largest_free);
    println!("{spawned} processes, {sent} messages, none damaged");
    println!("{after}");
}

hpalloc_target_harness::entry!(run);
