//! Runs a billion operations, and checks the first and the last word of each block:
//! `cargo test --release --features std --test soak -- --ignored`.

mod common;

use std::alloc::Layout;
use std::ptr::NonNull;

use common::{bytes, with_pages};
use hpalloc::{Arena, FixedBlock, Heap, PAGE_SIZE, PageSource, SizeClasses};

/// The number of operations of each test. Half of them allocate and half of them free.
const OPERATIONS: u64 = 500_000_000;
const PLACES: usize = 4096;

/// Marsaglia, *Xorshift RNGs*, 2003.
struct Random(u64);

impl Random {
    const fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Allocates or frees at random places, so that the order of operations can't be
/// predicted.
fn soak(
    size: impl Fn(usize) -> usize,
    allocate: impl Fn(usize) -> Option<NonNull<u8>>,
    free: impl Fn(usize, NonNull<u8>),
) {
    let mut places = vec![None; PLACES];
    let mut random = Random::new();
    let (mut allocated, mut refused) = (0_u64, 0_u64);
    for number in 0..OPERATIONS {
        let place = usize::try_from(random.next() >> 32).unwrap() % PLACES;
        match places[place].take() {
            None => {
                let block = allocate(place);
                allocated += u64::from(block.is_some());
                refused += u64::from(block.is_none());
                if let Some(block) = block {
                    let [first, last] = ends(block, size(place));
                    // SAFETY: the block has this size, and nothing else uses it.
                    unsafe {
                        first.write(number);
                        last.write(number ^ 1);
                    }
                    places[place] = Some((block, number));
                }
            }
            Some((block, number)) => {
                let [first, last] = ends(block, size(place));
                // SAFETY: these bytes were written earlier.
                assert_eq!(unsafe { [first.read(), last.read()] }, [number, number ^ 1]);
                free(place, block);
            }
        }
    }
    assert!(allocated > OPERATIONS / 3 && refused > 0, "{allocated} allocations succeeded and {refused} were refused");
    for (place, live) in places.iter_mut().enumerate() {
        if let Some((block, _)) = live.take() {
            free(place, block);
        }
    }
}

/// Returns pointers to the first and the last word of a block.
fn ends(block: NonNull<u8>, size: usize) -> [NonNull<u64>; 2] {
    // SAFETY: the block has this size.
    [block.cast(), unsafe { block.add(size - size_of::<u64>()) }.cast()]
}

#[test]
#[ignore = "half a billion operations"]
fn a_pool() {
    // Fewer blocks than places, so that some requests fail.
    with_pages(31, |pages| {
        let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 64).unwrap();
        // SAFETY: each block is live and freed once.
        soak(|_| 64, |_| pool.allocate(), |_, block| unsafe { pool.deallocate(block) });
        assert_eq!(pool.free_blocks(), pool.peak_blocks());
    });
}

#[test]
#[ignore = "half a billion operations"]
fn a_heap() {
    let layout = |place: usize| Layout::from_size_align([16, 24, 60, 100, 200, 700, 3000, 3 * PAGE_SIZE][place % 8], 8);
    let layout = |place| layout(place).unwrap();
    with_pages(1000, |pages| {
        let heap = SizeClasses::new(Arena::from_pages(pages).unwrap());
        let size = |place| heap.usable_size(layout(place));
        // SAFETY: each block is live, has this layout, and is freed once.
        let free = |place, block| unsafe { heap.deallocate(block, layout(place)) };
        soak(size, |place| heap.allocate(layout(place)), free);
        assert_eq!((heap.free_blocks(), heap.free_run_pages()), (heap.peak_blocks(), heap.run_pages()));
    });
}

/// A block of a heap for any size, with a number in its first four bytes and its
/// complement in its last four.
#[derive(Clone, Copy)]
struct Stamped {
    block: NonNull<u8>,
    layout: Layout,
    number: u32,
}

impl Stamped {
    fn new(block: NonNull<u8>, layout: Layout, number: u32) -> Self {
        // SAFETY: the block is large enough, and nothing else uses it.
        unsafe {
            block.cast::<u32>().write_unaligned(number);
            block.add(layout.size() - 4).cast::<u32>().write_unaligned(!number);
        }
        Self { block, layout, number }
    }

    fn check_first(&self) {
        // SAFETY: these bytes were written earlier.
        assert_eq!(unsafe { self.block.cast::<u32>().read_unaligned() }, self.number);
    }

    fn check(&self) {
        self.check_first();
        // SAFETY: these bytes were written earlier.
        let last = unsafe { self.block.add(self.layout.size() - 4).cast::<u32>().read_unaligned() };
        assert_eq!(last, !self.number);
    }
}

/// Returns the size of the next block. Most blocks are small, and the bounds of small and
/// large change every 2^20 operations.
fn drifting(random: u64, number: u64) -> usize {
    const SMALL: [u64; 5] = [40, 300, 24, 1000, 120];
    const LARGE: [u64; 7] = [500, 4000, 200, 9000, 2000, 20_000, 800];
    let phase = usize::try_from(number >> 20).unwrap();
    let most = if random % 8 == 0 { LARGE[phase % LARGE.len()] } else { SMALL[phase % SMALL.len()] };
    8 + usize::try_from((random >> 8) % most).unwrap()
}

/// Allocates, resizes or frees blocks at random places.
struct AnySize<'h, P: PageSource> {
    heap: &'h Heap<P>,
    places: Vec<Option<Stamped>>,
    /// The total size of the live blocks, in bytes.
    live: usize,
    /// The number of allocations, resizes, frees and refusals.
    done: [u64; 4],
}

impl<P: PageSource> AnySize<'_, P> {
    fn step(&mut self, number: u64, random: u64) {
        let place = usize::try_from(random >> 48).unwrap() % self.places.len();
        let size = drifting(random, number);
        let align = if random & 0xF0 == 0 { 64 } else { 8 };
        let layout = Layout::from_size_align(size, align).unwrap();
        let stamp = u32::try_from(number).unwrap();
        match self.places[place] {
            None => {
                let Some(block) = self.heap.allocate(layout) else { return self.done[3] += 1 };
                assert_eq!(block.addr().get() % align, 0);
                self.places[place] = Some(Stamped::new(block, layout, stamp));
                self.live += size;
                self.done[0] += 1;
            }
            Some(old) if random & 3 << 32 == 0 => {
                old.check();
                // SAFETY: the block is live and has this layout.
                let moved = unsafe {
                    if size >= old.layout.size() {
                        self.heap.grow(old.block, old.layout, layout)
                    } else {
                        self.heap.shrink(old.block, old.layout, layout)
                    }
                };
                let Some(block) = moved else {
                    assert!(size > old.layout.size() || align > old.layout.align(), "shrinking never fails");
                    return self.done[3] += 1;
                };
                Stamped { block, ..old }.check_first();
                self.places[place] = Some(Stamped::new(block, layout, stamp));
                self.live = self.live - old.layout.size() + size;
                self.done[1] += 1;
            }
            Some(_) => self.free(place),
        }
    }

    fn free(&mut self, place: usize) {
        let Some(stamped) = self.places[place].take() else { return };
        stamped.check();
        self.live -= stamped.layout.size();
        self.done[2] += 1;
        // SAFETY: the block is live, has this layout, and is freed once.
        unsafe { self.heap.deallocate(stamped.block, stamped.layout) };
    }

    /// Checks that the used bytes are the live bytes, with each block rounded up by at
    /// most 15 bytes.
    fn check_counts(&self, all: usize) {
        let blocks = self.places.iter().flatten().count();
        let (used, free) = (self.heap.used(), self.heap.free());
        assert!(
            (self.live..=self.live + 15 * blocks).contains(&used),
            "{used} bytes are used by {} live bytes",
            self.live
        );
        assert_eq!(used + free, all);
    }
}

/// Soaks a heap that already has all of its memory.
fn any_size<P: PageSource>(heap: &Heap<P>) {
    let (all, largest) = (heap.free(), heap.largest_free());
    let mut soak = AnySize { heap, places: vec![None; PLACES / 4], live: 0, done: [0; 4] };
    let mut random = Random::new();
    for number in 0..OPERATIONS {
        if number % (1 << 18) == 0 {
            soak.check_counts(all);
        }
        soak.step(number, random.next());
    }
    let [allocated, resized, freed, refused] = soak.done;
    assert!(allocated > OPERATIONS / 4 && freed > OPERATIONS / 4, "{allocated} allocated, {freed} freed");
    assert!(resized > OPERATIONS / 16 && refused > 1000, "{resized} resized, {refused} refused");
    (0..soak.places.len()).for_each(|place| soak.free(place));
    assert_eq!((soak.live, heap.used(), heap.free(), heap.largest_free()), (0, 0, all, largest));
}

#[test]
#[ignore = "half a billion operations"]
fn a_heap_of_any_size_in_a_slice() {
    with_pages(40, |pages| any_size(&Heap::from_uninit(&mut bytes(pages)[3..]).unwrap()));
}

#[test]
#[ignore = "half a billion operations"]
fn a_heap_of_any_size_over_an_arena() {
    // Less memory than most phases need.
    with_pages(24, |pages| {
        let heap = Heap::new(Arena::from_pages(pages).unwrap());
        let layout = Layout::new::<u64>();
        let block = heap.allocate(layout).unwrap();
        // SAFETY: the block is live, has this layout, and isn't used afterwards.
        unsafe { heap.deallocate(block, layout) };
        any_size(&heap);
    });
}
