//! Tests of static buffers, which have one owner at a time and are released when it is
//! dropped.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

mod common;

use core::iter;

use common::address;
use hpalloc::{Arena, ArenaError, BlockSize, DEFAULT_BUFFER, FixedBlock, Lazy, PAGE_SIZE, StaticBuffer, StaticRegion};

hpalloc::static_buffer! {
    static BUFFER: StaticBuffer<2>;
}

/// Serializes the tests that use `BUFFER`, because they run in parallel.
#[cfg(not(target_os = "none"))]
fn turn() -> impl Drop {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// On this target, tests run one at a time.
#[cfg(target_os = "none")]
fn turn() {}

/// Returns the size of the built-in buffer, from the same variable that the crate was
/// built with.
fn default_pages() -> usize {
    option_env!("HPALLOC_STATIC_PAGES").map_or(16, |pages| pages.parse().unwrap())
}

#[test]
fn a_buffer_is_claimed_once_and_again_after_drop() {
    let _turn = turn();
    let mut pages = [0; 2];
    for _ in 0..3 {
        let arena = BUFFER.claim().and_then(Arena::from_region).unwrap();
        for _ in 0..2 {
            let error = ArenaError::AlreadyClaimed { available: 2 * PAGE_SIZE };
            assert_eq!(BUFFER.claim().unwrap_err(), error);
            assert_eq!(BUFFER.claim_bytes(PAGE_SIZE).unwrap_err(), error);
        }
        assert_eq!(arena.total_pages(), 2);
        let again = [(); 2].map(|()| address(arena.alloc_page().unwrap()));
        assert!(pages == [0; 2] || pages == again);
        pages = again;
        assert_eq!(pages[0] % PAGE_SIZE, 0);
        assert_eq!(pages[1], pages[0] + PAGE_SIZE);
        drop(arena);
    }
}

#[test]
fn a_part_of_a_buffer_can_be_claimed_but_no_more_than_it_has() {
    let _turn = turn();
    for size in [3 * PAGE_SIZE, hpalloc::MAX_ARENA_SIZE] {
        let error = ArenaError::BufferTooSmall { size, available: 2 * PAGE_SIZE };
        assert_eq!(BUFFER.claim_bytes(size).unwrap_err(), error);
    }
    let arena = Arena::from_region(BUFFER.claim_bytes(PAGE_SIZE).unwrap()).unwrap();
    assert!(arena.alloc_page().is_some() && arena.alloc_page().is_none());
    // A claim takes the whole buffer, even if it uses only a part.
    assert!(BUFFER.claim_bytes(PAGE_SIZE).is_err());
}

#[test]
fn a_size_that_is_refused_claims_nothing() {
    let _turn = turn();
    for (size, error) in common::bad_sizes() {
        assert_eq!(BUFFER.claim_bytes(size).unwrap_err(), error);
    }
    assert!(BUFFER.claim().is_ok());
}

#[test]
fn what_was_left_in_a_buffer_is_not_taken_for_zero() {
    let _turn = turn();
    for _ in 0..2 {
        let arena = BUFFER.claim().and_then(Arena::from_region).unwrap();
        let page = arena.alloc_zeroed_page().unwrap();
        assert!(page.iter().all(|&byte| byte == 0));
        page.fill(0xFF);
    }
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_lazy_arena_is_made_at_the_first_allocation() {
    let _turn = turn();
    let pool: FixedBlock<Lazy<StaticRegion>> = const {
        FixedBlock::with_block_size(
            Lazy::new(|| BUFFER.claim().and_then(Arena::from_region)),
            BlockSize::of::<[u8; 2048]>(),
        )
    };
    drop(BUFFER.claim().expect("the pool claims the buffer on first use"));
    assert_eq!(iter::from_fn(|| pool.allocate()).count(), 4);
    assert_eq!(pool.page_source().arena().unwrap().pages_remaining(), 0);
    assert!(BUFFER.claim().is_err());
    drop(pool);
    assert!(BUFFER.claim().is_ok());
}

#[test]
fn the_record_of_the_claim_costs_no_page() {
    assert!(size_of::<StaticBuffer<4>>() <= 3 * size_of::<usize>());
}

/// The only test in this file that uses the built-in buffer, because tests run in
/// parallel.
#[test]
fn the_built_in_buffer_has_the_size_that_the_build_asked_for() {
    let size = default_pages() * PAGE_SIZE;
    let too_large = ArenaError::BufferTooSmall { size: size + PAGE_SIZE, available: size };
    let claimed = ArenaError::AlreadyClaimed { available: size };
    assert_eq!(DEFAULT_BUFFER.claim_bytes(size + PAGE_SIZE).unwrap_err(), too_large);
    let region = DEFAULT_BUFFER.claim().unwrap();
    assert_eq!(DEFAULT_BUFFER.claim().unwrap_err(), claimed);
    drop(region);

    #[cfg(not(feature = "mmap"))]
    for (size, error) in common::bad_sizes() {
        assert_eq!(Arena::new(size).unwrap_err(), error);
    }
    #[cfg(not(feature = "mmap"))]
    for _ in 0..2 {
        assert_eq!(Arena::new(size + PAGE_SIZE).unwrap_err(), too_large);
        let arena = Arena::new(size).unwrap();
        assert_eq!(arena.total_pages(), default_pages());
        assert_eq!(Arena::new(PAGE_SIZE).unwrap_err(), claimed);
        assert!(arena.alloc_pages(default_pages()).is_some());
        assert!(arena.alloc_page().is_none());
    }
}

#[cfg(not(target_os = "none"))]
#[test]
fn of_threads_that_claim_at_once_one_at_a_time_succeeds() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

    hpalloc::static_buffer! {
        static BUFFER: StaticBuffer<1>;
    }
    const TRIES: usize = if cfg!(miri) { 100 } else { 1_000_000 };
    let start = std::sync::Barrier::new(4);
    let held = AtomicBool::new(false);
    let claims = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..TRIES {
                    if let Ok(claim) = BUFFER.claim() {
                        assert!(!held.swap(true, Relaxed), "two threads hold the buffer");
                        claims.fetch_add(1, Relaxed);
                        held.store(false, Relaxed);
                        drop(claim);
                    }
                }
            });
        }
    });
    assert!(claims.into_inner() > 0 && BUFFER.claim().is_ok(), "the buffer must be free again");
}
