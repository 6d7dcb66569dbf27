//! Tests of pools and heaps that are declared in a `static` together with their memory,
//! on all machines.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

use core::alloc::{GlobalAlloc, Layout};
use core::array;
use core::sync::atomic::{AtomicU32, Ordering};

use hpalloc::{CriticalSection, HeapError, Lock, PoolFull, StaticBox, StaticHeap, StaticPool};

/// Returns the distance between the starts of neighboring blocks. In a hardened build, it
/// includes the two guard words of a block.
const fn stride<T>() -> usize {
    let guard = if hpalloc::IS_HARDENED { 2 * size_of::<usize>() } else { 0 };
    let align = if align_of::<T>() > align_of::<usize>() { align_of::<T>() } else { align_of::<usize>() };
    let bytes = if size_of::<T>() > size_of::<usize>() { size_of::<T>() } else { size_of::<usize>() };
    (bytes.next_multiple_of(align) + guard).next_multiple_of(align)
}

/// Checks that a pool of `N` values has exactly `N` blocks, which are side by side.
fn holds_exactly<T: Copy + PartialEq + core::fmt::Debug + 'static, const N: usize, M: Lock>(
    pool: &'static StaticPool<T, M>,
    value: T,
) {
    assert_eq!(pool.available(), N);
    for _ in 0..2 {
        let all: [StaticBox<T, M>; N] = array::from_fn(|_| pool.alloc(value).unwrap());
        assert_eq!(pool.available(), 0);
        assert_eq!(pool.alloc(value).unwrap_err(), PoolFull(value));
        let mut places = all.each_ref().map(|boxed| (&raw const **boxed).addr());
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] == stride::<T>()), "{places:x?}");
        assert!(places[0] % align_of::<T>() == 0);
        assert!(all.iter().all(|boxed| **boxed == value));
        drop(all);
        assert_eq!(pool.available(), N);
    }
}

#[test]
fn a_static_pool_has_room_for_exactly_so_many() {
    const COUNT: usize = 5;
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(32))]
    struct Aligned(u8);

    hpalloc::static_pool! { static BYTES: Pool<u8, 7>; }
    hpalloc::static_pool! { static WORDS: Pool<[u32; 3], COUNT>; }
    hpalloc::static_pool! { static BUFFERS: Pool<[u8; 513], { 2 + 1 }>; }
    hpalloc::static_pool! { static ALIGNED: Pool<Aligned, 4>; }
    hpalloc::static_pool! { static ONE: Pool<&str, 1>; }
    holds_exactly::<_, 7, _>(&BYTES, 7);
    holds_exactly::<_, COUNT, _>(&WORDS, [1, 2, 3]);
    holds_exactly::<_, 3, _>(&BUFFERS, [9; 513]);
    holds_exactly::<_, 4, _>(&ALIGNED, Aligned(3));
    holds_exactly::<_, 1, _>(&ONE, "one");
}

/// The blocks of a static pool have the alignment that the pool reports, even if they are
/// allocated without types.
#[test]
fn blocks_are_aligned_as_they_say() {
    hpalloc::static_pool! { static BUFFERS: Pool<[u8; 256], 3>; }

    let align = BUFFERS.with(|pool| pool.blocks().block_align());
    assert!(align >= align_of::<usize>());
    for _ in 0..3 {
        let block = BUFFERS.with(|pool| pool.blocks().allocate()).unwrap();
        assert_eq!(block.addr().get() % align, 0);
    }
}

/// A lock that counts how often it is acquired.
struct Counting;

// SAFETY: the critical section excludes all others.
unsafe impl Lock for Counting {
    const UNLOCKED: Self = Self;

    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        CriticalSection::UNLOCKED.with(|| {
            LOCKED.store(LOCKED.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            f()
        })
    }

    fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        Some(self.with(f))
    }
}

static LOCKED: AtomicU32 = AtomicU32::new(0);

mod elsewhere {
    use super::Counting;

    hpalloc::static_pool! {
        #[cfg_attr(all(), unsafe(link_section = ".bss.statics_test"))]
        #[cfg(all())]
        pub(super) static CONDITIONAL: Pool<u64, 3>;
    }

    hpalloc::static_pool! {
        #[cfg(any())]
        pub(super) static CONDITIONAL: Pool<u64, 99>;
    }

    hpalloc::static_pool! {
        /// Attributes in any order, a visibility, and a lock.
        #[unsafe(link_section = ".bss.statics_test")]
        #[allow(dead_code, reason = "the test passes attributes to the pool")]
        pub(super) static SAMPLES: Pool<[u16; 8], 2, Counting>;
    }

    hpalloc::static_heap! {
        #[allow(dead_code, reason = "the test passes attributes to the heap")]
        #[unsafe(link_section = ".bss.statics_test")]
        /// The attributes in another order.
        pub(super) static HEAP: Heap<1000, Counting>;
    }
}

#[test]
fn another_lock_attributes_and_a_visibility_pass_through() {
    let before = LOCKED.load(Ordering::Relaxed);
    let sample = elsewhere::SAMPLES.alloc([7; 8]).unwrap();
    assert_eq!((*sample, LOCKED.load(Ordering::Relaxed)), ([7; 8], before + 1));
    drop(sample);
    assert!(LOCKED.load(Ordering::Relaxed) > before + 1);
    assert_eq!(elsewhere::HEAP.used(), 0);
    assert_eq!(elsewhere::CONDITIONAL.available(), 3);
    // The attribute placed these statics in a section that contains nothing else, so they
    // are near each other.
    let conditional = elsewhere::CONDITIONAL.alloc(7).unwrap();
    let sample = elsewhere::SAMPLES.alloc([7; 8]).unwrap();
    assert!((&raw const *conditional).addr().abs_diff((&raw const *sample).addr()) < 2048);
}

#[test]
fn a_static_heap_uses_all_of_its_memory_and_says_how_much() {
    const BYTES: usize = 1001;
    hpalloc::static_heap! { static HEAP: Heap<BYTES>; }

    fn everything(heap: &StaticHeap) -> usize {
        let layout = Layout::from_size_align(heap.largest_free(), 1).unwrap();
        // SAFETY: the size isn't zero, the block is written only within its bounds, and
        // it is freed once with its layout.
        unsafe {
            let block = heap.alloc(layout);
            assert!(!block.is_null());
            block.write_bytes(0x5A, layout.size());
            assert_eq!((heap.used(), heap.free(), heap.largest_free()), (layout.size(), 0, 0));
            assert!(heap.alloc(Layout::new::<u8>()).is_null());
            heap.dealloc(block, layout);
        }
        layout.size()
    }

    // All of the memory is free before the first request, and again after the last block
    // is freed.
    let free = HEAP.free();
    // The heap's records use the rest.
    assert!((BYTES - 300..BYTES).contains(&free), "{free} of {BYTES} bytes are free");
    assert_eq!((HEAP.used(), HEAP.largest_free(), HEAP.usage().free_blocks), (0, free, 1));
    for _ in 0..2 {
        assert_eq!(everything(&HEAP), free);
    }
    // SAFETY: the size isn't zero.
    assert!(unsafe { HEAP.alloc(Layout::from_size_align(BYTES, 1).unwrap()) }.is_null());
    assert_eq!((HEAP.used(), HEAP.free()), (0, free));
}

#[test]
fn the_smallest_static_heap_serves() {
    hpalloc::static_heap! { static HEAP: Heap<{ HeapError::MIN }>; }

    // SAFETY: the size isn't zero, and the block is freed once with its layout.
    unsafe {
        let block = HEAP.alloc(Layout::new::<u64>());
        assert!(!block.is_null());
        HEAP.dealloc(block, Layout::new::<u64>());
    }
}

#[test]
fn the_error_of_a_full_pool_is_for_people() {
    use core::error::Error;
    use core::fmt::Write;

    struct NeitherDebugNorDisplay;

    struct Text([u8; 400], usize);

    impl Write for Text {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            let end = self.1 + text.len();
            self.0.get_mut(self.1..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
            self.1 = end;
            Ok(())
        }
    }

    hpalloc::static_pool! { static PAGES: Pool<[u8; 1000], 1>; }

    #[allow(clippy::result_large_err, reason = "the error returns the value")]
    fn question_mark() -> Result<(), PoolFull<[u8; 1000]>> {
        let _first = PAGES.alloc([1; 1000])?;
        let _second = PAGES.alloc([2; 1000])?;
        unreachable!("the pool has room for a single value");
    }

    let error = question_mark().unwrap_err();
    let mut text = Text([0; 400], 0);
    write!(text, "{error:?}").unwrap();
    let text = core::str::from_utf8(&text.0[..text.1]).unwrap();
    assert!(text.contains("the pool is full") && text.contains("1000 B") && text.len() < 250, "{text}");
    assert_eq!(error.0, [2; 1000]);
    let error = PoolFull(NeitherDebugNorDisplay);
    let _: &dyn Error = &error;
}
