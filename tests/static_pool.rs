//! Tests of pools in a `static`, behind a critical section, on all machines. The program
//! needs no code to initialize them.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

use hpalloc::{Arena, CriticalSection, FixedBlock, Lazy, Locked, LockedBox, Pool, PoolBox, StaticRegion};

type Memory = Lazy<StaticRegion>;

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_static_pool_needs_no_init_and_no_unsafe() {
    hpalloc::static_buffer! { static MEMORY: StaticBuffer<1>; }
    static NUMBERS: Locked<Pool<[u32; 32], Memory>, CriticalSection> =
        Locked::new(Pool::new(Lazy::new(|| MEMORY.claim().and_then(Arena::from_region))));

    assert!(MEMORY.claim().is_ok(), "the buffer must be unclaimed before the first use");
    let mut all: [Option<LockedBox<'static, [u32; 32], Memory, CriticalSection>>; 32] = [const { None }; 32];
    for round in 0..3 {
        for (number, place) in (0..).zip(&mut all) {
            *place = NUMBERS.alloc([number + round; 32]).ok();
        }
        assert!(MEMORY.claim().is_err());
        assert_eq!(NUMBERS.alloc([7; 32]).unwrap_err().0, [7; 32]);
        assert!(NUMBERS.alloc_with(|| unreachable!("called although no block is free")).is_none());
        for (number, place) in (0..).zip(&mut all) {
            assert_eq!(*place.take().unwrap(), [number + round; 32]);
        }
    }
    assert_eq!(NUMBERS.with(|pool| (pool.blocks().free_blocks(), pool.blocks().peak_blocks())), (32, 32));

    // The lock can be acquired again while it is held, for example to drop a box.
    let number = NUMBERS.alloc([1; 32]).unwrap();
    assert_eq!(NUMBERS.with(|pool| (*pool.alloc(*number).unwrap(), drop(number)).0), [1; 32]);
    assert_eq!(NUMBERS.try_with(|pool| pool.blocks().free_blocks()), Some(32));

    // A value in a static pool can be pinned, or leaked.
    let pinned = PoolBox::into_pin(NUMBERS.alloc([2; 32]).unwrap());
    let kept: &'static mut [u32; 32] = PoolBox::leak(NUMBERS.alloc([3; 32]).unwrap());
    assert_eq!((*pinned, *kept), ([2; 32], [3; 32]));
    let raw = PoolBox::into_raw(NUMBERS.alloc([4; 32]).unwrap());
    // SAFETY: the pointer came from a box of this pool, and becomes a box again only
    // once.
    assert_eq!(*unsafe { NUMBERS.from_raw(raw) }, [4; 32]);
    drop(pinned);
    assert_eq!(NUMBERS.with(|pool| pool.blocks().free_blocks()), 31);
}

#[test]
fn pools_share_a_locked_arena() {
    hpalloc::static_buffer! { static MEMORY: StaticBuffer<1>; }
    static PAGES: Locked<Memory, CriticalSection> =
        Locked::new(Lazy::new(|| MEMORY.claim().and_then(Arena::from_region)));

    let cores = [(); 2].map(|()| FixedBlock::new(&PAGES, 1000).unwrap().in_family(1));
    let block = cores[0].allocate().unwrap();
    // The arena has no page left for the second pool, but the second pool can take over a
    // block of the first.
    assert!(cores[1].allocate().is_none());
    // SAFETY: the pools have the same block size, source and family, and the block isn't
    // used afterwards.
    unsafe { cores[1].deallocate(block) };
    assert_eq!(cores[1].allocate(), Some(block));
    assert_eq!((cores[0].peak_blocks(), cores[1].peak_blocks()), (1, 0));
    assert_eq!(core::iter::from_fn(|| cores[0].allocate()).count(), 3);
}
