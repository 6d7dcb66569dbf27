//! A hook of the program's own, and what goes on after it returns. In one test, because there is one hook.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Mutex;

use common::with_pages;
use hpalloc::hardened::{self, Misuse};
use hpalloc::{Arena, Boxed, FixedBlock, Lazy, Locked, MisuseError, SizeClasses, Spin};

static HEAP: Locked<SizeClasses<Lazy<Boxed>>, Spin> =
    Locked::new(SizeClasses::new(Lazy::new(|| Boxed::new(1 << 16).and_then(Arena::from_region))));

static FOUND: Mutex<Vec<MisuseError>> = Mutex::new(Vec::new());

fn take() -> Vec<Misuse> {
    let found = std::mem::take(&mut *FOUND.lock().unwrap());
    found.into_iter().map(|error| error.misuse).collect()
}

#[test]
fn a_program_can_log_and_go_on() {
    assert!(!hardened::set_key(0), "no key");
    assert!(hardened::set_key(0x1357_9BDF));
    assert!(!hardened::set_key(0x2468_ACE0), "there is one");
    hardened::set_hook(|error| FOUND.lock().unwrap().push(*error));

    with_pages(16, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        let pool = FixedBlock::new(&arena, 64).unwrap();
        let blocks: Vec<_> = (0..10).map(|_| pool.allocate().unwrap()).collect();
        // SAFETY: what isn't in order is reported, and without effect.
        unsafe {
            for &block in &blocks {
                pool.deallocate(block);
            }
            pool.deallocate(blocks[3]);
            assert_eq!(take(), [Misuse::DoubleFree]);
            assert_eq!(pool.free_blocks(), 10);

            // The last one freed is damaged, but not its link: it is left out, and those before it are there still.
            blocks[9].add(20).write(0);
            assert_eq!(pool.allocate(), Some(blocks[8]));
            assert_eq!((take(), pool.free_blocks()), (vec![Misuse::WrittenAfterFree], 8));

            // Now the link: the list can't be trusted, and fresh blocks take its place.
            blocks[7].cast::<usize>().write(blocks[2].addr().get());
            let fresh = pool.allocate().unwrap();
            assert!(!blocks.contains(&fresh));
            assert_eq!((take(), pool.free_blocks()), (vec![Misuse::LinkOverwritten], 0));

            // A damaged end: the block isn't taken back, so nobody gets it.
            fresh.add(64).write(!fresh.add(64).read());
            pool.deallocate(fresh);
            assert_eq!(take(), [Misuse::Overflow]);
            assert_ne!(pool.allocate(), Some(fresh));
        }
        // Live are the one of the list, the damaged one, and the last.
        drop(pool);
        assert_eq!(take(), [Misuse::Leaked { blocks: 3 }]);

        // In order, nothing is said; not of a family either, whose blocks may be elsewhere.
        let pool = FixedBlock::new(&arena, 64).unwrap();
        let block = pool.allocate().unwrap();
        // SAFETY: it is live, and not used after this.
        unsafe { pool.deallocate(block) };
        drop(pool);
        let pool = FixedBlock::new(&arena, 64).unwrap().in_family(1);
        pool.allocate().unwrap();
        drop(pool);
        assert_eq!(take(), []);
    });

    // The hook may use the heap that it is told of: the lock is open again.
    hardened::set_hook(|error| {
        assert!(HEAP.with(|heap| heap.peak_blocks().iter().sum::<usize>()) > 0);
        FOUND.lock().unwrap().push(*error);
    });
    let layout = Layout::new::<[u64; 4]>();
    // SAFETY: what isn't in order is reported, and without effect.
    unsafe {
        let block = HEAP.alloc(layout);
        HEAP.dealloc(block, layout);
        HEAP.dealloc(block, layout);
        assert_eq!(take(), [Misuse::DoubleFree]);
        block.add(9).write(1);
        assert_ne!(HEAP.alloc(layout), block);
        assert_eq!(take(), [Misuse::WrittenAfterFree]);
    }
}
