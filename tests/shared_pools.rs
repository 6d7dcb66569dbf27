//! Tests of boxes that can go anywhere: with a share of their pool, as trait objects and
//! slices, and pinned.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

// Provides the heap for the `Rc`, `Arc` and vectors of these tests.
#[cfg(target_os = "none")]
hpalloc::static_heap! { #[global_allocator] static HEAP: Heap<2048>; }

extern crate alloc;

mod common;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::Display;
use core::future::Future;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use common::with_pages;
use hpalloc::{Arena, Borrowed, FixedBlock, NoPages, Page, PageSource, Pool, PoolBox, StaticPool, unsize};

/// Returns memory for the values of a test.
fn memory<const N: usize>() -> [MaybeUninit<u8>; N] {
    [MaybeUninit::uninit(); N]
}

/// Counts when it is dropped.
struct Noting(Rc<Cell<u32>>, u32);

impl Drop for Noting {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_box_with_a_share_keeps_its_pool() {
    let drops = Rc::new(Cell::new(0));
    let mut memory = memory::<200>();
    let pool = Rc::new(Pool::from_uninit(&mut memory).unwrap());
    let first = PoolBox::new_in(Noting(drops.clone(), 1), pool.clone()).ok().unwrap();
    let second = PoolBox::new_in(Noting(drops.clone(), 2), pool.clone()).ok().unwrap();
    assert_eq!(Rc::strong_count(&pool), 3);
    let weak = Rc::downgrade(&pool);
    drop(pool);
    drop(first);
    assert_eq!((drops.get(), second.1), (1, 2));
    // The pool that the second box keeps alive reuses the block of the first.
    let third = PoolBox::new_in(Noting(drops.clone(), 3), weak.upgrade().unwrap()).ok().unwrap();
    drop(second);
    assert_eq!((drops.get(), third.1), (2, 3));
    assert_eq!(weak.upgrade().unwrap().blocks().peak_blocks(), 2);
    let noting = PoolBox::into_inner(third);
    assert!(weak.upgrade().is_none(), "the pool must be dropped with its last box");
    drop(noting);
    assert_eq!(drops.get(), 3);
}

#[test]
fn a_full_pool_returns_the_value_and_drops_the_share() {
    let mut memory = memory::<64>();
    let pool = Rc::new(Pool::from_uninit(&mut memory).unwrap());
    let mut all = Vec::new();
    let refused = loop {
        match PoolBox::new_in([7_u64; 2], Rc::clone(&pool)) {
            Ok(boxed) => all.push(boxed),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.0, Rc::strong_count(&pool)), ([7; 2], all.len() + 1));
    assert!(PoolBox::new_uninit_in(Rc::clone(&pool)).is_none());
    drop(all);
    assert_eq!((Rc::strong_count(&pool), pool.available() > 0), (1, true));
}

#[test]
fn the_parts_of_a_box_become_one_again() {
    let drops = Rc::new(Cell::new(0));
    let mut memory = memory::<100>();
    let pool = Rc::new(Pool::from_uninit(&mut memory).unwrap());
    let (value, home) = PoolBox::into_parts(PoolBox::new_in(Noting(drops.clone(), 5), pool).ok().unwrap());
    assert_eq!((drops.get(), home.blocks().free_blocks()), (0, 0));
    // SAFETY: these are the parts of one box.
    let boxed = unsafe { PoolBox::from_parts(value, home) };
    assert_eq!(boxed.1, 5);
    drop(boxed);
    assert_eq!(drops.get(), 1);
}

/// A box can own its pool, which moves with it.
#[test]
fn a_box_that_owns_its_pool() {
    let drops = Rc::new(Cell::new(0));
    let mut memory = memory::<100>();
    let pool = Pool::from_uninit(&mut memory).unwrap();
    let boxed = PoolBox::new_in(Noting(drops.clone(), 5), pool).ok().unwrap();
    let moved = Box::new(boxed);
    assert_eq!((moved.1, drops.get()), (5, 0));
    let (value, home) = PoolBox::into_parts(*moved);
    assert_eq!(home.blocks().free_blocks(), 0);
    // SAFETY: these are the parts of one box.
    drop(unsafe { PoolBox::from_parts(value, home) });
    assert_eq!(drops.get(), 1);
}

/// A leaked value keeps its share of the pool, and so the pool's memory.
#[test]
#[cfg_attr(hpalloc_asan, ignore = "leaks")]
fn a_leaked_value_keeps_its_pool() {
    let drops = Rc::new(Cell::new(0));
    let mut memory = memory::<100>();
    let pool = Rc::new(Pool::from_uninit(&mut memory).unwrap());
    let weak = Rc::downgrade(&pool);
    let leaked = PoolBox::leak(PoolBox::new_in(Noting(drops.clone(), 5), pool).ok().unwrap());
    leaked.1 = 6;
    assert_eq!((drops.get(), leaked.1, weak.strong_count()), (0, 6, 1));
}

#[test]
fn trait_objects_and_slices() {
    trait Sums {
        fn sum(&self) -> u32;
    }

    impl Sums for Noting {
        fn sum(&self) -> u32 {
            self.1
        }
    }

    struct Nothing;

    impl Sums for Nothing {
        fn sum(&self) -> u32 {
            0
        }
    }

    let drops = Rc::new(Cell::new(0));
    let (mut first, mut second, mut third) = (memory::<100>(), memory::<100>(), memory::<64>());
    let notings = Pool::from_uninit(&mut first).unwrap();
    let empty: Pool<Nothing, NoPages<'_>> = Pool::from_uninit(&mut []).unwrap();
    let numbers = Pool::from_uninit(&mut second).unwrap();
    {
        // Boxes from two different pools.
        let sums: [&dyn Sums; 2] = [
            &*unsize!(notings.alloc(Noting(drops.clone(), 4)).ok().unwrap() => dyn Sums),
            &*unsize!(empty.alloc(Nothing).ok().unwrap() => dyn Sums),
        ];
        assert_eq!(sums.map(Sums::sum), [4, 0]);
    }
    assert_eq!((drops.get(), notings.blocks().free_blocks()), (1, 1));

    let mut slice: PoolBox<[u16], _> = unsize!(numbers.alloc([3_u16, 1, 2]).unwrap() => [u16]);
    slice.sort_unstable();
    assert_eq!(*slice, [1, 2, 3]);
    drop(slice);
    // A pool that only the box owns.
    let strings = Rc::new(Pool::from_uninit(&mut third).unwrap());
    let shown: PoolBox<dyn Display, _> =
        unsize!(PoolBox::new_in(String::from("shown"), strings).unwrap() => dyn Display);
    assert_eq!(shown.to_string(), "shown");
    assert_eq!(numbers.blocks().free_blocks(), 1);
}

/// Boxed futures in a queue, as in an executor. Each is polled until it is ready; then
/// its block returns to the pool.
#[test]
fn boxed_futures_are_executed() {
    /// A future that is ready after this many polls.
    struct Countdown(u32);

    impl Future for Countdown {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if self.0 == 0 {
                return Poll::Ready(());
            }
            self.0 -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }

    /// A type with room for the largest future.
    type Slot = [usize; 12];
    type Task = Pin<PoolBox<dyn Future<Output = ()>, &'static StaticPool<Slot>>>;

    hpalloc::static_pool! { static TASKS: Pool<Slot, 3>; }

    async fn work(id: u32, done: Rc<Cell<u32>>) {
        Countdown(id).await;
        let kept_over_the_await = [id; 3];
        Countdown(2).await;
        done.set(done.get() * 10 + kept_over_the_await[2]);
    }

    fn spawn(future: impl Future<Output = ()> + 'static) -> Option<Task> {
        let boxed = PoolBox::fit_in(future, &TASKS).ok()?;
        Some(PoolBox::into_pin(unsize!(boxed => dyn Future<Output = ()>)))
    }

    let done = Rc::new(Cell::new(0));
    let mut queue: VecDeque<Task> = [5, 1, 3].map(|id| spawn(work(id, done.clone())).unwrap()).into();
    assert!(spawn(Countdown(0)).is_none());
    let mut polls = 0;
    while let Some(mut task) = queue.pop_front() {
        polls += 1;
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            queue.push_back(task);
        }
    }
    assert_eq!((done.get(), polls, TASKS.available()), (135, 8 + 4 + 6, 3));
}

/// A struct that owns its arena and the pools over it can be moved.
#[test]
fn pools_own_shares_of_their_arena() {
    struct Owner<'m> {
        numbers: Pool<[u64; 100], Rc<Arena<Borrowed<'m>>>>,
        texts: FixedBlock<Rc<Arena<Borrowed<'m>>>>,
    }

    with_pages(1, |pages| {
        let arena = Rc::new(Arena::from_pages(pages).unwrap());
        let owner = Owner { numbers: Pool::new(arena.clone()), texts: FixedBlock::new(arena.clone(), 64).unwrap() };
        let weak = Rc::downgrade(&arena);
        drop(arena);
        let moved = owner;
        assert!(moved.numbers.alloc([1; 100]).is_ok());
        assert!(moved.texts.allocate().is_none(), "the other pool has the only page");
        assert_eq!(weak.upgrade().unwrap().pages_remaining(), 0);
        drop(moved);
        assert!(weak.upgrade().is_none());
    });
}

/// The number of pages that a source reports to an exclusive owner, and the number that
/// it has.
#[test]
fn sources_in_shares_boxes_options_and_slices() {
    fn hinted_and_taken(source: impl PageSource) -> (usize, usize) {
        (source.exclusive_pages(1), core::iter::from_fn(|| source.take_pages(1)).count())
    }

    fn arena(pages: &mut [Page]) -> Arena<Borrowed<'_>> {
        Arena::from_pages(pages).unwrap()
    }

    with_pages(3, |pages| {
        assert_eq!(hinted_and_taken(Box::new(arena(pages))), (3, 3));
        let any: Box<dyn PageSource + '_> = Box::new(arena(pages));
        assert_eq!(hinted_and_taken(any), (3, 3));
        assert_eq!(hinted_and_taken(Some(arena(pages))), (3, 3));
        assert_eq!(hinted_and_taken(None::<Arena<Borrowed<'_>>>), (0, 0));
        assert_eq!(hinted_and_taken((None::<Arena<Borrowed<'_>>>, arena(pages))), (3, 3));
        assert_eq!(hinted_and_taken(Rc::new(arena(pages))), (0, 3));
        #[cfg(target_has_atomic = "ptr")]
        #[allow(clippy::arc_with_non_send_sync, reason = "the test needs an `Arc`, not a second thread")]
        let shared = alloc::sync::Arc::new(arena(pages));
        #[cfg(target_has_atomic = "ptr")]
        assert_eq!(hinted_and_taken(shared), (0, 3));

        let several: Box<[_]> = pages.chunks_mut(1).map(arena).collect();
        assert_eq!((several.exclusive_pages(2), several.take_pages(2)), (0, None));
        assert!(several.take_zeroed_pages(1).is_some_and(|(_, is_zeroed)| !is_zeroed));
        assert_eq!(hinted_and_taken(&several[..]), (0, 2));
        let none: &[Arena<Borrowed<'_>>] = &[];
        assert_eq!(hinted_and_taken(none), (0, 0));
    });
}

#[cfg(feature = "std")]
#[test]
fn a_box_with_a_share_goes_to_threads_and_queues() {
    use std::sync::{Arc, mpsc};
    use std::thread;

    use hpalloc::{Boxed, CriticalSection, Locked};

    type Packets = Arc<Locked<Pool<[u64; 8], Arena<Boxed>>, CriticalSection>>;

    let count = if cfg!(miri) { 50 } else { 5000 };
    let packets: Packets = Arc::new(Locked::new(Pool::new(Boxed::new(4096).and_then(Arena::from_region).unwrap())));
    let (sender, receiver) = mpsc::channel::<PoolBox<[u64; 8], Packets>>();
    let weak = Arc::downgrade(&packets);
    let producers: Vec<_> = (0..3)
        .map(|producer| {
            let (packets, sender) = (packets.clone(), sender.clone());
            thread::spawn(move || {
                for number in 0..count {
                    let mut value = [producer * count + number; 8];
                    while let Err(full) =
                        PoolBox::new_in(value, packets.clone()).map(|packet| sender.send(packet).unwrap())
                    {
                        value = full.0;
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    drop((packets, sender));
    let consumer = thread::spawn(move || {
        let mut sum = 0;
        let mut last = None;
        for packet in receiver {
            assert_eq!(*packet, [packet[0]; 8]);
            sum += packet[0];
            last = Some(packet);
        }
        (sum, last)
    });
    for producer in producers {
        producer.join().unwrap();
    }
    let (sum, last) = consumer.join().unwrap();
    let all = 3 * count;
    assert_eq!(sum, all * (all - 1) / 2);
    assert!(weak.upgrade().is_some(), "the last packet must keep its pool alive");
    drop(last);
    assert!(weak.upgrade().is_none());
}
