//! The global allocator of this program, which is picked when it starts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::process::abort;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use embedded_alloc::{LlffHeap, TlsfHeap};
use hpalloc::{Arena, ArenaError, Heap, Lazy, Locked, MAX_ARENA_SIZE, Mapping, PAGE_SIZE, Region, SizeClasses, Spin};
use rlsf::Tlsf;
use talc::TalcLock;
use talc::source::Manual;

use crate::heaps::Rlsf;
use crate::mallocs::MiMalloc;

/// The environment variable with the name of the allocator. Without it, it is the system's.
pub(crate) const VARIABLE: &str = "SPEED_ALLOCATOR";
const C_VARIABLE: &CStr = c"SPEED_ALLOCATOR";
/// The name of the system's allocator, counting.
pub(crate) const COUNTED: &str = "counted";
/// The name of glibc's allocator, with all its memory in one heap that never shrinks.
pub(crate) const GLIBC_HEAP: &str = "glibc-heap";

#[global_allocator]
static GLOBAL: Global = Global(OnceLock::new());

static HPALLOC_HEAP: Locked<Heap<Lazy<Mapping>>, Spin> = Locked::new(Heap::new(Lazy::new(arena)));
static HPALLOC_CLASSES: Locked<SizeClasses<Lazy<Mapping>>, Spin> = Locked::new(SizeClasses::new(Lazy::new(arena)));
static TALC: TalcLock<spin::Mutex<()>, Manual> = TalcLock::new(Manual);
static RLSF: Behind<Rlsf> = Behind(spin::Mutex::new(Tlsf::new()));
static LINKED_LIST: linked_list_allocator::LockedHeap = linked_list_allocator::LockedHeap::empty();
static EMBEDDED_LIST: LlffHeap = LlffHeap::empty();
static EMBEDDED_TLSF: TlsfHeap = TlsfHeap::empty();
static COUNTING: Counting = Counting { live: AtomicUsize::new(0), peak: AtomicUsize::new(0) };

/// Where the memory of the allocator begins, and how many bytes it has, where it has a region of its own.
static REGION: OnceLock<(usize, usize)> = OnceLock::new();

/// Whichever allocator is picked, each call of it is an indirect one.
struct Global(OnceLock<&'static (dyn GlobalAlloc + Sync)>);

impl Global {
    #[inline]
    fn get(&self) -> &'static (dyn GlobalAlloc + Sync) {
        *self.0.get_or_init(pick)
    }
}

// SAFETY: it is always the same allocator, which promises the same.
unsafe impl GlobalAlloc for Global {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { self.get().alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { self.get().dealloc(block, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { self.get().alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { self.get().realloc(block, layout, size) }
    }
}

/// The allocator that the environment names. It is called by the first allocation, so nothing in here may allocate.
#[cold]
fn pick() -> &'static (dyn GlobalAlloc + Sync) {
    // SAFETY: the name is a C string. Before the first allocation there is no thread that could change the environment, nor
    // is it changed here later.
    let name = unsafe { libc::getenv(C_VARIABLE.as_ptr()) };
    if name.is_null() {
        return &System;
    }
    // SAFETY: the environment holds C strings.
    let name = unsafe { CStr::from_ptr(name) };
    // SAFETY: each heap is initialised once, with memory that is its alone. The options of glibc are what they are said to be.
    unsafe {
        match name.to_bytes() {
            b"hpalloc-heap" => &HPALLOC_HEAP,
            b"hpalloc-classes" => &HPALLOC_CLASSES,
            b"glibc" => &System,
            b"mimalloc" => &MiMalloc,
            b"jemalloc" => &tikv_jemallocator::Jemalloc,
            b"snmalloc" => &snmalloc_rs::SnMalloc,
            b"talc" => {
                let memory = region();
                if TALC.lock().claim(memory.cast().as_ptr(), memory.len()).is_none() {
                    abort();
                }
                &TALC
            }
            b"rlsf" => {
                if RLSF.0.lock().insert_free_block_ptr(region()).is_none() {
                    abort();
                }
                &RLSF
            }
            b"linked-list" => {
                let memory = region();
                LINKED_LIST.lock().init(memory.cast().as_ptr(), memory.len());
                &LINKED_LIST
            }
            b"embedded-list" => {
                let memory = region();
                EMBEDDED_LIST.init(memory.cast::<u8>().as_ptr().expose_provenance(), memory.len());
                &EMBEDDED_LIST
            }
            b"embedded-tlsf" => {
                let memory = region();
                EMBEDDED_TLSF.init(memory.cast::<u8>().as_ptr().expose_provenance(), memory.len());
                &EMBEDDED_TLSF
            }
            name if name == GLIBC_HEAP.as_bytes() => {
                libc::mallopt(libc::M_MMAP_MAX, 0);
                libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
                let _ = REGION.set((libc::sbrk(0).addr(), 0));
                &System
            }
            name if name == COUNTED.as_bytes() => &COUNTING,
            // There is no such allocator, and to say so would need one.
            _ => abort(),
        }
    }
}

/// Fresh memory for a heap of hpalloc.
fn arena() -> Result<Arena<Mapping>, ArenaError> {
    let mapping = Mapping::new(MAX_ARENA_SIZE)?;
    remember(mapping.pages().cast(), MAX_ARENA_SIZE);
    Arena::from_region(mapping)
}

/// Fresh memory for a heap: as much as an arena can have.
fn region() -> NonNull<[u8]> {
    let Ok(mapping) = Mapping::new(MAX_ARENA_SIZE) else { abort() };
    let memory = mapping.pages().cast();
    remember(memory, MAX_ARENA_SIZE);
    std::mem::forget(mapping);
    NonNull::slice_from_raw_parts(memory, MAX_ARENA_SIZE)
}

fn remember(memory: NonNull<u8>, bytes: usize) {
    let _ = REGION.set((memory.addr().get(), bytes));
}

/// What is known of the memory that was needed so far, in bytes.
pub(crate) fn memory() -> Vec<usize> {
    let peak = COUNTING.peak.load(Ordering::Relaxed);
    if peak > 0 {
        return vec![peak];
    }
    let Some(&(begin, bytes)) = REGION.get() else { return Vec::new() };
    // SAFETY: it only says where the heap of glibc ends.
    let bytes = if bytes == 0 { unsafe { libc::sbrk(0) }.addr() - begin } else { bytes };
    // Where another allocator was picked, it has no pages.
    let pages = HPALLOC_CLASSES.with(|heap| heap.page_source().arena().map_or(0, Arena::pages_allocated));
    [touched(begin, bytes)].into_iter().chain((pages > 0).then_some(pages * PAGE_SIZE)).collect()
}

/// How many bytes there are in the pages of a range that were ever touched, where none was given back.
fn touched(begin: usize, bytes: usize) -> usize {
    let begin = begin.next_multiple_of(PAGE_SIZE);
    let mut count = 0;
    let mut resident = [0; 1024];
    for place in (0..bytes).step_by(resident.len() * PAGE_SIZE) {
        let length = (bytes - place).min(resident.len() * PAGE_SIZE);
        let address = std::ptr::with_exposed_provenance_mut(begin + place);
        // SAFETY: there is a byte for each page. The range is mapped; what is in it isn't looked at.
        let result = unsafe { libc::mincore(address, length, resident.as_mut_ptr()) };
        assert!(result == 0, "the pages of a region: {}", std::io::Error::last_os_error());
        count += resident.iter().take(length.div_ceil(PAGE_SIZE)).filter(|&page| page & 1 == 1).count();
    }
    count * PAGE_SIZE
}

/// A heap behind a spin lock.
struct Behind<H>(spin::Mutex<H>);

// SAFETY: the blocks of a TLSF heap are as they are asked for, and nothing unwinds.
unsafe impl GlobalAlloc for Behind<Rlsf> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pointer(self.0.lock().allocate(layout))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: as the caller promises.
            unsafe { self.0.lock().deallocate(block, layout.align()) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (Some(block), Ok(new)) = (NonNull::new(block), Layout::from_size_align(size, layout.align())) else {
            return std::ptr::null_mut();
        };
        // SAFETY: as the caller promises, and the alignment is the same.
        pointer(unsafe { self.0.lock().reallocate(block, new) })
    }
}

fn pointer(block: Option<NonNull<u8>>) -> *mut u8 {
    block.map_or(std::ptr::null_mut(), NonNull::as_ptr)
}

/// The system's allocator, and how many of the bytes that it was asked for are live.
struct Counting {
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl Counting {
    fn count(&self, more: usize, less: usize) {
        let live = self.live.load(Ordering::Relaxed) + more - less;
        self.live.store(live, Ordering::Relaxed);
        self.peak.fetch_max(live, Ordering::Relaxed);
    }
}

// SAFETY: it is the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size(), 0);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.count(0, layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(size, layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, size) }
    }
}
