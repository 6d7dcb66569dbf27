//! The others as a workload's allocator: what a user would pick instead.

use std::alloc::GlobalAlloc;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bumpalo::Bump;
use heapless::box_pool;
use heapless::pool::boxed::{Box as PoolBox, BoxBlock};
use libmimalloc_sys::{mi_free, mi_malloc};
use rlsf::Tlsf;
use slab::Slab;
use talc::DefaultBinning;
use talc::base::Talc;
use talc::source::Manual;

use crate::allocator::{Blocks, Heap, Shared, Size};

/// A heap behind a spin lock, as firmware and kernels share one.
pub(crate) struct Behind<H: 'static>(&'static spin::Mutex<H>);

impl<H: Heap + Send> Heap for Behind<H> {
    fn new(bytes: usize) -> Self {
        Self(Box::leak(Box::new(spin::Mutex::new(H::new(bytes)))))
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        self.0.lock().allocate(size)
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
        // SAFETY: as the caller promises.
        unsafe { self.0.lock().deallocate(block, size) }
    }
}

impl<H: Heap + Send> Shared for Behind<H> {
    fn pair(count: usize) -> [Self; 2] {
        let Self(heap) = Heap::new(2 * count * Size::B64.bytes());
        [Self(heap), Self(heap)]
    }
}

/// A global allocator.
macro_rules! global {
    ($name:ident, $instance:expr) => {
        pub(crate) struct $name;

        impl Shared for $name {
            fn pair(_: usize) -> [Self; 2] {
                [Self, Self]
            }
        }

        impl Heap for $name {
            fn new(_: usize) -> Self {
                Self
            }

            #[inline]
            fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
                // SAFETY: no size is zero.
                NonNull::new(unsafe { $instance.alloc(size.layout()) })
            }

            #[inline]
            unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
                // SAFETY: as the caller promises, it was allocated with this layout.
                unsafe { $instance.dealloc(block.as_ptr(), size.layout()) }
            }
        }
    };
}

global!(Glibc, std::alloc::System);
global!(Jemalloc, tikv_jemallocator::Jemalloc);
global!(Snmalloc, snmalloc_rs::SnMalloc);

/// Called as from C: through the crate's `GlobalAlloc` it is a little slower, because it is asked for an alignment.
pub(crate) struct Mimalloc;

impl Shared for Mimalloc {
    fn pair(_: usize) -> [Self; 2] {
        [Self, Self]
    }
}

impl Heap for Mimalloc {
    fn new(_: usize) -> Self {
        Self
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        // SAFETY: there is nothing to promise.
        NonNull::new(unsafe { mi_malloc(size.bytes()) }.cast())
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, _: Size) {
        // SAFETY: as the caller promises, it came from `mi_malloc`.
        unsafe { mi_free(block.as_ptr().cast()) }
    }
}

/// Memory for a heap that keeps headers beside its blocks: as much again and a bit.
fn memory_with_headers(bytes: usize) -> NonNull<[u8]> {
    let bytes = (2 * bytes + (1 << 20)).next_power_of_two();
    let memory = Vec::<MaybeUninit<u8>>::with_capacity(bytes).leak().as_mut_ptr();
    NonNull::slice_from_raw_parts(NonNull::new(memory.cast()).expect("a vector's memory"), bytes)
}

impl Heap for Talc<Manual, DefaultBinning> {
    fn new(bytes: usize) -> Self {
        let mut heap = Talc::new(Manual);
        let memory = memory_with_headers(bytes);
        // SAFETY: the memory is the heap's alone.
        unsafe { heap.claim(memory.cast().as_ptr(), memory.len()) }.expect("enough memory for the heap");
        heap
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        // SAFETY: no size is zero.
        unsafe { Talc::allocate(self, size.layout()) }
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
        // SAFETY: as the caller promises.
        unsafe { Talc::deallocate(self, block.as_ptr(), size.layout()) }
    }
}

/// Blocks of up to 4 GiB in 32 second-level classes: as large as the workloads need, as fine as it gets.
pub(crate) type Rlsf = Tlsf<'static, u32, u32, 27, 32>;

impl Heap for Rlsf {
    fn new(bytes: usize) -> Self {
        let mut heap = Tlsf::new();
        // SAFETY: the memory is the heap's alone.
        unsafe { heap.insert_free_block_ptr(memory_with_headers(bytes)) }.expect("enough memory for the heap");
        heap
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        Tlsf::allocate(self, size.layout())
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
        // SAFETY: as the caller promises.
        unsafe { Tlsf::deallocate(self, block, size.layout().align()) }
    }
}

impl Heap for linked_list_allocator::Heap {
    fn new(bytes: usize) -> Self {
        let mut heap = Self::empty();
        let memory = memory_with_headers(bytes);
        // SAFETY: the memory is the heap's alone.
        unsafe { heap.init(memory.cast().as_ptr(), memory.len()) };
        heap
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        self.allocate_first_fit(size.layout()).ok()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
        // SAFETY: as the caller promises.
        unsafe { Self::deallocate(self, block, size.layout()) }
    }
}

/// Blocks of up to 2^31 bytes.
pub(crate) type Buddy = buddy_system_allocator::Heap<32>;

impl Heap for Buddy {
    fn new(bytes: usize) -> Self {
        let mut heap = Self::empty();
        let memory = memory_with_headers(bytes);
        // SAFETY: the memory is the heap's alone.
        unsafe { heap.init(memory.cast::<u8>().as_ptr().expose_provenance(), memory.len()) };
        heap
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        self.alloc(size.layout()).ok()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
        // SAFETY: as the caller promises.
        unsafe { self.dealloc(block, size.layout()) }
    }
}

impl Heap for Bump {
    fn new(bytes: usize) -> Self {
        Bump::with_capacity(bytes)
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        self.try_alloc_layout(size.layout()).ok()
    }

    /// It can't: memory comes back all at once.
    unsafe fn deallocate(&mut self, _: NonNull<u8>, _: Size) {}

    fn all_freed(&mut self) {
        self.reset();
    }
}

impl<const WORDS: usize> Blocks<WORDS> for Slab<MaybeUninit<[u64; WORDS]>> {
    type Block = usize;

    fn new(count: usize) -> Self {
        Slab::with_capacity(count)
    }

    #[inline]
    fn allocate(&mut self) -> Option<usize> {
        Some(self.insert(MaybeUninit::uninit()))
    }

    #[inline]
    fn memory(&mut self, key: &mut usize) -> NonNull<[u64; WORDS]> {
        NonNull::from(&mut self[*key]).cast()
    }

    #[inline]
    unsafe fn deallocate(&mut self, key: usize) {
        let _ = self.remove(key);
    }
}

box_pool!(HeaplessPool: MaybeUninit<[u64; 8]>);

/// `box_pool!` makes one pool that is there as long as the program.
pub(crate) struct Heapless;

impl Shared for Heapless {
    fn pair(count: usize) -> [Self; 2] {
        [<Self as Blocks<8>>::new(count), <Self as Blocks<8>>::new(count)]
    }
}

impl Blocks<8> for Heapless {
    type Block = PoolBox<HeaplessPool>;

    fn new(count: usize) -> Self {
        let mut blocks = Vec::new();
        blocks.resize_with(count, BoxBlock::new);
        for block in blocks.leak() {
            HeaplessPool.manage(block);
        }
        Self
    }

    #[inline]
    fn allocate(&mut self) -> Option<Self::Block> {
        HeaplessPool::alloc(&HeaplessPool, MaybeUninit::uninit()).ok()
    }

    #[inline]
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<[u64; 8]> {
        NonNull::from(&mut **block).cast()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: Self::Block) {
        drop(block);
    }
}
