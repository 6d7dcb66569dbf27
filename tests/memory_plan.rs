//! Tests that plans are exact: they have the pages that are needed, whatever the order of
//! requests, and none to spare.
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

use common::with_pages;
use hpalloc::{Arena, BlockSize, Borrowed, FixedBlock, MemoryPlan, PAGE_SIZE, Page, Pool, SizeClasses};

/// A value of which two fit in a page, with some bytes to spare.
type Large = [u64; 250];
/// A value of which three fit in a page.
type Middle = [u64; 170];

const LARGE: usize = 3;
const MIDDLE: usize = 2;
const RAW: usize = 1;
const PLAN: MemoryPlan = MemoryPlan::new().values::<Large>(LARGE).values::<Middle>(MIDDLE).raw_pages(RAW);

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_plan_needs_whole_pages_for_each_pool() {
    const { assert!(PLAN.pages() == 2 + 1 + 1) };
    assert_eq!(PLAN.bytes(), 4 * PAGE_SIZE);
    let two_pages = BlockSize::new(PAGE_SIZE + 8).unwrap();
    for (count, pages) in [(0, 0), (1, 2), (2, 4), (3, 6)] {
        assert_eq!(MemoryPlan::new().blocks(two_pages, count).pages(), pages);
    }
    for (count, pages) in [(0, 0), (1, 1), (64, 1), (65, 2), (128, 2), (129, 3)] {
        assert_eq!(MemoryPlan::new().values::<[u64; 8]>(count).pages(), pages);
    }
    assert_eq!(MemoryPlan::new().values::<()>(usize::MAX).pages(), 0);
    // A plan for more than any memory can hold saturates instead of wrapping around to a
    // small number.
    let too_much = MemoryPlan::new().values::<[u8; 8192]>(usize::MAX);
    assert_eq!(
        (too_much.pages(), too_much.raw_pages(1).pages(), too_much.bytes()),
        (usize::MAX, usize::MAX, usize::MAX)
    );
}

/// The next request.
#[derive(Clone, Copy)]
enum Request {
    Large,
    Middle,
    Raw,
}

/// The number of requests of each kind that are left.
#[derive(Clone, Copy)]
struct Left {
    large: usize,
    middle: usize,
    raw: usize,
}

impl Left {
    /// Calls `test` with each order of the remaining requests, after those that came
    /// before.
    fn each_order(self, order: &mut [Request], so_far: usize, test: &mut impl FnMut(&[Request])) {
        if so_far == order.len() {
            return test(order);
        }
        let choices = [
            (self.large, Request::Large, Self { large: self.large.wrapping_sub(1), ..self }),
            (self.middle, Request::Middle, Self { middle: self.middle.wrapping_sub(1), ..self }),
            (self.raw, Request::Raw, Self { raw: self.raw.wrapping_sub(1), ..self }),
        ];
        for (left, request, rest) in choices {
            if left > 0 {
                order[so_far] = request;
                rest.each_order(order, so_far + 1, test);
            }
        }
    }
}

/// A plan's requests succeed in any order, with all blocks live at the same time, in
/// exactly the plan's pages, and use all of these pages.
#[test]
fn a_plan_holds_in_every_order() {
    // The smallest chips have only three pages, so the test omits the raw page.
    let (plan, raw) = if common::MAX_PAGES < PLAN.pages() {
        (MemoryPlan::new().values::<Large>(LARGE).values::<Middle>(MIDDLE), 0)
    } else {
        (PLAN, RAW)
    };
    let mut orders = 0;
    with_pages(plan.pages(), |pages| {
        let mut order = [Request::Raw; LARGE + MIDDLE + RAW];
        let order = &mut order[..LARGE + MIDDLE + raw];
        Left { large: LARGE, middle: MIDDLE, raw }.each_order(order, 0, &mut |order| {
            run(pages, order);
            orders += 1;
        });
    });
    // 6! / (3! 2! 1!) and 5! / (3! 2!).
    assert_eq!(orders, if raw == 0 { 10 } else { 60 });
}

fn run(pages: &mut [Page], order: &[Request]) {
    let arena = Arena::from_pages(pages).unwrap();
    let large: Pool<Large, _> = Pool::new(&arena);
    let middle: FixedBlock<&Arena<Borrowed<'_>>> = FixedBlock::with_block_size(&arena, BlockSize::of::<Middle>());
    let mut live = [const { None }; LARGE];
    let mut places = live.iter_mut();
    for request in order {
        match request {
            Request::Large => {
                // A block that was freed before doesn't count: the plan is for the blocks
                // that are live at the same time.
                drop(large.alloc([0; 250]).unwrap());
                *places.next().unwrap() = Some(large.alloc([1; 250]).unwrap());
            }
            Request::Middle => {
                let block = middle.allocate().unwrap();
                // SAFETY: the block was allocated just now.
                unsafe { middle.deallocate(block) };
                assert!(middle.allocate().is_some());
            }
            Request::Raw => assert!(arena.alloc_page().is_some()),
        }
    }
    assert!(live.iter().all(Option::is_some));
    assert_eq!(arena.pages_remaining(), 0);
}

/// For each number of values, one page fewer than planned is not enough.
#[test]
fn a_plan_has_not_one_page_to_spare() {
    for count in 0..=6 {
        let plan = MemoryPlan::new().values::<Large>(count);
        with_pages(plan.pages(), |pages| {
            if let Some(fewer) = pages.len().checked_sub(1) {
                let fits = Arena::from_pages(&mut pages[..fewer]).is_ok_and(|arena| {
                    let pool: Pool<Large, _> = Pool::new(&arena);
                    (0..count).all(|_| pool.blocks().allocate().is_some())
                });
                assert!(!fits, "{count} fit {fewer} pages");
                let pool: Pool<Large, _> = Pool::new(Arena::from_pages(pages).unwrap());
                assert!((0..count).all(|_| pool.blocks().allocate().is_some()));
            }
        });
    }
}

/// A case that no plan covers: blocks that are always freed to another pool pile up
/// there.
#[test]
fn a_plan_does_not_bound_pools_that_free_each_others_blocks() {
    with_pages(1, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pools = [(); 2].map(|()| FixedBlock::with_block_size(&arena, BlockSize::of::<Large>()).in_family(1));
        assert_eq!(MemoryPlan::new().values::<Large>(2).pages(), 1);
        for _ in 0..2 {
            let block = pools[0].allocate().unwrap();
            // SAFETY: the pools have the same block size, arena and family, and the block
            // isn't used afterwards.
            unsafe { pools[1].deallocate(block) };
        }
        assert_eq!((pools[0].allocate(), pools[1].free_blocks()), (None, 2));
    });
}

/// A heap of size classes serves all of its plan, whatever was allocated and freed
/// before, and needs all of it.
#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn a_plan_holds_for_a_heap() {
    use core::alloc::Layout;

    let sizes = hpalloc::size_table![512, 1360, 2048];
    let most = [9, 0, 1];
    let plan = MemoryPlan::new().heap(sizes.block_sizes(), most);
    assert_eq!(plan.pages(), 2 + 1);
    with_pages(plan.pages(), |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let heap = SizeClasses::with_table(&arena, sizes);
        let layout = |size| Layout::from_size_align(size, 1).unwrap();
        for round in 0..3 {
            let small = [(); 9].map(|()| heap.allocate(layout(400 + round)).unwrap());
            let large = heap.allocate(layout(2000 + round)).unwrap();
            // SAFETY: the blocks are live, have these layouts, and aren't used
            // afterwards.
            unsafe {
                for block in small {
                    heap.deallocate(block, layout(400 + round));
                }
                heap.deallocate(large, layout(2000 + round));
            }
        }
        assert_eq!((arena.pages_remaining(), heap.peak_blocks()), (0, most));
    });
}
