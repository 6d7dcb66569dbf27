//! The global allocator of this program, which an environment variable chooses.

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

/// The environment variable that names the allocator. The system's is used without it.
pub(crate) const VARIABLE: &str = "SPEED_ALLOCATOR";
const C_VARIABLE: &CStr = c"SPEED_ALLOCATOR";
/// The name of the system's allocator with a count of the live bytes.
pub(crate) const COUNTED: &str = "counted";
/// The name of glibc's allocator with all its memory in one heap that never shrinks.
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

/// The address and size of the allocator's memory, if it has its own region. A size of 0
/// stands for glibc's heap, which grows.
static REGION: OnceLock<(usize, usize)> = OnceLock::new();

/// Calls every allocator indirectly, so that all have the same overhead.
struct Global(OnceLock<&'static (dyn GlobalAlloc + Sync)>);

impl Global {
    #[inline]
    fn get(&self) -> &'static (dyn GlobalAlloc + Sync) {
        *self.0.get_or_init(pick)
    }
}

// SAFETY: every call goes to the same allocator, which keeps the contract.
unsafe impl GlobalAlloc for Global {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.get().alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.get().dealloc(block, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.get().alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.get().realloc(block, layout, size) }
    }
}

/// Returns the allocator that the environment names. The first allocation calls this, so
/// nothing in here may allocate.
#[cold]
fn pick() -> &'static (dyn GlobalAlloc + Sync) {
    // SAFETY: the name is a C string. No other thread exists before the first allocation,
    // and the environment isn't changed afterwards.
    let name = unsafe { libc::getenv(C_VARIABLE.as_ptr()) };
    if name.is_null() {
        return &System;
    }
    // SAFETY: the environment holds C strings.
    let name = unsafe { CStr::from_ptr(name) };
    // SAFETY: each heap is initialized once, with memory that nothing else uses. The
    // options are documented by glibc.
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
            // The name is unknown, and an error message would need an allocator.
            _ => abort(),
        }
    }
}

/// Returns fresh memory for a heap of hpalloc.
fn arena() -> Result<Arena<Mapping>, ArenaError> {
    let mapping = Mapping::new(MAX_ARENA_SIZE)?;
    remember(mapping.pages().cast(), MAX_ARENA_SIZE);
    Arena::from_region(mapping)
}

/// Returns fresh memory for another heap: as much as an arena can have.
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

/// Returns the bytes of memory that were needed so far: the peak of the live bytes if
/// they are counted, otherwise the bytes of touched pages and, for size classes, of pages
/// that the arena handed out. The vector is empty if the allocator has no region.
pub(crate) fn memory() -> Vec<usize> {
    let peak = COUNTING.peak.load(Ordering::Relaxed);
    if peak > 0 {
        return vec![peak];
    }
    let Some(&(begin, bytes)) = REGION.get() else { return Vec::new() };
    // SAFETY: with 0 it only returns the end of glibc's heap.
    let bytes = if bytes == 0 { unsafe { libc::sbrk(0) }.addr() - begin } else { bytes };
    // The arena has no pages if another allocator is in use.
    let pages = HPALLOC_CLASSES.with(|heap| heap.page_source().arena().map_or(0, Arena::pages_allocated));
    [touched(begin, bytes)].into_iter().chain((pages > 0).then_some(pages * PAGE_SIZE)).collect()
}

/// Returns the bytes of the pages in a range that were ever touched, provided that none
/// was returned to the system.
fn touched(begin: usize, bytes: usize) -> usize {
    let begin = begin.next_multiple_of(PAGE_SIZE);
    let mut count = 0;
    let mut resident = [0; 1024];
    for place in (0..bytes).step_by(resident.len() * PAGE_SIZE) {
        let length = (bytes - place).min(resident.len() * PAGE_SIZE);
        let address = std::ptr::with_exposed_provenance_mut(begin + place);
        // SAFETY: the range is mapped, and the array has a byte for each page. The pages
        // aren't accessed.
        let result = unsafe { libc::mincore(address, length, resident.as_mut_ptr()) };
        assert!(result == 0, "mincore failed on the allocator's region: {}", std::io::Error::last_os_error());
        count += resident.iter().take(length.div_ceil(PAGE_SIZE)).filter(|&page| page & 1 == 1).count();
    }
    count * PAGE_SIZE
}

/// A heap behind a spin lock.
struct Behind<H>(spin::Mutex<H>);

// SAFETY: a TLSF heap returns blocks of the requested layout, and nothing unwinds.
unsafe impl GlobalAlloc for Behind<Rlsf> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pointer(self.0.lock().allocate(layout))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller keeps the same contract.
            unsafe { self.0.lock().deallocate(block, layout.align()) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (Some(block), Ok(new)) = (NonNull::new(block), Layout::from_size_align(size, layout.align())) else {
            return std::ptr::null_mut();
        };
        // SAFETY: the caller keeps the same contract, and the alignment doesn't change.
        pointer(unsafe { self.0.lock().reallocate(block, new) })
    }
}

fn pointer(block: Option<NonNull<u8>>) -> *mut u8 {
    block.map_or(std::ptr::null_mut(), NonNull::as_ptr)
}

/// The system's allocator, with a count of the requested bytes that are live.
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

// SAFETY: the system's allocator keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size(), 0);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.count(0, layout.size());
        // SAFETY: the caller keeps the same contract.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(size, layout.size());
        // SAFETY: the caller keeps the same contract.
        unsafe { System.realloc(block, layout, size) }
    }
}
