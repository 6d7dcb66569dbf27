//! What a workload asks of an allocator, and hpalloc's and its peers' answers.

use std::alloc::{GlobalAlloc, Layout};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bumpalo::Bump;
use heapless::box_pool;
use heapless::pool::boxed::{Box as PoolBox, BoxBlock};
use hpalloc::{
    Arena, BlockSize, FixedBlock, HugePages, Locked, MAX_ARENA_SIZE, Mapping, MappingOptions, PAGE_SIZE, Spin,
};
use libmimalloc_sys::{mi_free, mi_malloc};
use rlsf::Tlsf;
use slab::Slab;
use talc::DefaultBinning;
use talc::base::Talc;
use talc::source::Manual;

/// The sizes that workloads allocate. A pool knows them before it is made, as its user does.
#[derive(Clone, Copy)]
pub(crate) enum Size {
    B24,
    B32,
    B64,
    B128,
    B256,
}

impl Size {
    pub(crate) const ALL: [Self; 5] = [Self::B24, Self::B32, Self::B64, Self::B128, Self::B256];

    pub(crate) const fn bytes(self) -> usize {
        [24, 32, 64, 128, 256][self as usize]
    }

    const fn layout(self) -> Layout {
        match Layout::from_size_align(self.bytes(), align_of::<usize>()) {
            Ok(layout) => layout,
            Err(_) => panic!("a size from the table"),
        }
    }

    const fn block_size(self) -> BlockSize {
        match BlockSize::new(self.bytes()) {
            Ok(size) => size,
            Err(_) => panic!("a size from the table"),
        }
    }
}

/// An allocator of any of the sizes.
///
/// Each measurement is a process of its own, so what an allocator holds is not given back: it is there until the end.
pub(crate) trait Heap {
    /// With room for so many bytes at once.
    fn new(bytes: usize) -> Self;

    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>>;

    /// # Safety
    ///
    /// The block is live, was allocated here with this size, and is not used any more.
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size);

    /// All that was allocated is given back.
    fn all_freed(&mut self) {}
}

/// An allocator of blocks of one size: that of `[u64; WORDS]`.
pub(crate) trait Blocks<const WORDS: usize> {
    /// What a block is known by.
    type Block;

    /// With room for so many blocks at once.
    fn new(count: usize) -> Self;

    fn allocate(&mut self) -> Option<Self::Block>;

    /// The memory of the block, which may be uninitialised.
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<[u64; WORDS]>;

    /// # Safety
    ///
    /// The block is live, was allocated here, and is not used any more.
    unsafe fn deallocate(&mut self, block: Self::Block);

    /// Allocates a block for each place.
    #[inline]
    fn allocate_many(&mut self, places: &mut [MaybeUninit<Self::Block>]) {
        for place in places {
            place.write(self.allocate().expect("a free block"));
        }
    }

    /// # Safety
    ///
    /// As for [`deallocate`](Self::deallocate), for each.
    #[inline]
    unsafe fn deallocate_many(&mut self, blocks: impl Iterator<Item = Self::Block>) {
        // SAFETY: as the caller promises.
        blocks.for_each(|block| unsafe { self.deallocate(block) });
    }

    /// All that was allocated is given back.
    fn all_freed(&mut self) {}
}

/// Blocks that two threads use at the same time.
pub(crate) trait Shared: Blocks<8> + Send + Sized {
    /// What each of the threads has, with room for so many blocks on each.
    fn pair(count: usize) -> [Self; 2];
}

/// The size of `[u64; WORDS]`.
const fn size_of_words(words: usize) -> Size {
    match words {
        3 => Size::B24,
        8 => Size::B64,
        _ => panic!("not in the table"),
    }
}

impl<H: Heap, const WORDS: usize> Blocks<WORDS> for H {
    type Block = NonNull<u8>;

    fn new(count: usize) -> Self {
        Heap::new(count * size_of::<[u64; WORDS]>())
    }

    #[inline]
    fn allocate(&mut self) -> Option<Self::Block> {
        Heap::allocate(self, const { size_of_words(WORDS) })
    }

    #[inline]
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<[u64; WORDS]> {
        block.cast()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: Self::Block) {
        // SAFETY: as the caller promises.
        unsafe { Heap::deallocate(self, block, const { size_of_words(WORDS) }) }
    }

    fn all_freed(&mut self) {
        Heap::all_freed(self);
    }
}

/// A pool for each size, over one arena.
pub(crate) struct Hpalloc<M> {
    pools: [FixedBlock<&'static Arena<Mapping>>; Size::ALL.len()],
    memory: PhantomData<M>,
}

/// What an arena's memory is like.
pub(crate) trait Memory {
    const OPTIONS: MappingOptions;
}

pub(crate) struct Plain;
pub(crate) struct Huge;
pub(crate) struct Prefaulted;

impl Memory for Plain {
    const OPTIONS: MappingOptions = MappingOptions::new();
}

impl Memory for Huge {
    const OPTIONS: MappingOptions = MappingOptions::new().huge_pages(HugePages::Best);
}

impl Memory for Prefaulted {
    const OPTIONS: MappingOptions = MappingOptions::new().prefault(true);
}

/// An arena with room for so many bytes of blocks.
pub(crate) fn arena<M: Memory>(bytes: usize) -> &'static Arena<Mapping> {
    // A block of 24 bytes leaves 16 of a page, and each pool may be left with a page that it just began.
    let pages = (bytes + bytes / 128).div_ceil(PAGE_SIZE) + Size::ALL.len();
    let region = M::OPTIONS.map((pages * PAGE_SIZE).min(MAX_ARENA_SIZE)).expect("memory for an arena");
    Box::leak(Box::new(Arena::from_region(region).expect("an arena of a checked size")))
}

impl<M: Memory> Heap for Hpalloc<M> {
    fn new(bytes: usize) -> Self {
        let arena = arena::<M>(bytes);
        let pools = Size::ALL.map(|size| FixedBlock::with_block_size(arena, size.block_size()));
        Self { pools, memory: PhantomData }
    }

    #[inline]
    fn allocate(&mut self, size: Size) -> Option<NonNull<u8>> {
        self.pools[size as usize].allocate()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: NonNull<u8>, size: Size) {
        // SAFETY: as the caller promises, it came from this pool.
        unsafe { self.pools[size as usize].deallocate(block) }
    }
}

/// A pool that is one thread's own, over an arena that the threads share.
pub(crate) struct HpallocShared(FixedBlock<&'static Locked<Arena<Mapping>, Spin>>);

impl Shared for HpallocShared {
    fn pair(count: usize) -> [Self; 2] {
        let size = 2 * count * Size::B64.bytes();
        let region = MappingOptions::new().map(size.next_multiple_of(PAGE_SIZE) + 2 * PAGE_SIZE);
        let arena = Arena::from_region(region.expect("memory for an arena")).expect("an arena of a checked size");
        let arena = &*Box::leak(Box::new(Locked::new(arena)));
        [(); 2].map(|()| Self(FixedBlock::with_block_size(arena, Size::B64.block_size())))
    }
}

impl Blocks<8> for HpallocShared {
    type Block = NonNull<u8>;

    fn new(count: usize) -> Self {
        let [one, _] = Self::pair(count);
        one
    }

    #[inline]
    fn allocate(&mut self) -> Option<Self::Block> {
        self.0.allocate()
    }

    #[inline]
    fn memory(&mut self, block: &mut Self::Block) -> NonNull<[u64; 8]> {
        block.cast()
    }

    #[inline]
    unsafe fn deallocate(&mut self, block: Self::Block) {
        // SAFETY: as the caller promises.
        unsafe { self.0.deallocate(block) }
    }
}

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
