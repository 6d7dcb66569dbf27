//! Exercises pools, boxes and heaps behind each kind of lock, heaps as global allocators,
//! and pools that free each other's blocks.
#![no_main]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use arbitrary::Arbitrary;
use hpalloc::{
    Arena, Boxed, CriticalSection, FixedBlock, Heap, Lazy, Lock, Locked, PAGE_SIZE, PageSource, Pool, SizeClasses, Spin,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    kind: Kind,
    pages: u8,
    steps: Vec<Operation>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    BoxesSpin,
    BoxesCriticalSection,
    GlobalSpin,
    GlobalCriticalSection,
    AnySizeSpin,
    AnySizeCriticalSection,
    Family,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    Allocate { size: u16, align: u8, zeroed: bool },
    Resize { place: u8, size: u16 },
    Free { place: u8 },
}

fn arena(pages: usize) -> Arena<Boxed> {
    Boxed::new(pages * PAGE_SIZE).and_then(Arena::from_region).expect("the memory has whole pages")
}

fn boxes<M: Lock>(pages: usize, steps: &[Operation]) {
    let pool: Locked<_, M> = Locked::new(Pool::<[u16; 30], _>::new(arena(pages)));
    let mut live = Vec::new();
    for step in steps {
        match *step {
            Operation::Allocate { size, .. } => live.extend(pool.alloc([size; 30]).ok().map(|value| (value, size))),
            Operation::Resize { place, size } => {
                if let Some(index) = usize::from(place).checked_rem(live.len()) {
                    live[index].0.fill(size);
                    live[index].1 = size;
                }
            }
            Operation::Free { place } => {
                if let Some(index) = usize::from(place).checked_rem(live.len()) {
                    let (value, size) = live.swap_remove(index);
                    assert_eq!(*value, [size; 30]);
                }
            }
        }
        pool.with(|pool| assert_eq!(pool.blocks().peak_blocks(), pool.blocks().free_blocks() + live.len()));
    }
    assert!(live.iter().all(|(value, size)| **value == [*size; 30]));
}

/// A block, its layout, and the byte that it is filled with.
type Live = (NonNull<u8>, Layout, u8);

fn check((block, layout, stamp): Live, bytes: usize) {
    assert_eq!(block.addr().get() % layout.align(), 0);
    // SAFETY: the first `bytes` bytes of the block were written.
    let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), bytes) };
    assert!(bytes.iter().all(|&byte| byte == stamp));
}

fn fill((block, layout, stamp): Live) -> Live {
    // SAFETY: the block is large enough, and nothing else uses it.
    unsafe { block.write_bytes(stamp, layout.size()) };
    (block, layout, stamp)
}

fn global(heap: &impl GlobalAlloc, steps: &[Operation]) {
    let mut live: Vec<Live> = Vec::new();
    for (stamp, step) in (1_u8..=255).cycle().zip(steps) {
        match *step {
            Operation::Allocate { size, align, zeroed } => {
                let layout =
                    Layout::from_size_align(usize::from(size).max(1), 1 << (align % 14)).expect("the layout is valid");
                // SAFETY: the size isn't zero.
                let block = unsafe { if zeroed { heap.alloc_zeroed(layout) } else { heap.alloc(layout) } };
                let Some(block) = NonNull::new(block) else { continue };
                if zeroed {
                    check((block, layout, 0), layout.size());
                }
                live.push(fill((block, layout, stamp)));
            }
            Operation::Resize { place, size } => {
                let Some(index) = usize::from(place).checked_rem(live.len()) else { continue };
                let (block, layout, old) = live[index];
                let size = usize::from(size).max(1);
                // SAFETY: the block is live and has this layout, and the new size isn't
                // zero.
                let Some(block) = NonNull::new(unsafe { heap.realloc(block.as_ptr(), layout, size) }) else { continue };
                let new = Layout::from_size_align(size, layout.align()).expect("the layout is valid");
                check((block, new, old), size.min(layout.size()));
                live[index] = fill((block, new, stamp));
            }
            Operation::Free { place } => {
                let Some(index) = usize::from(place).checked_rem(live.len()) else { continue };
                let block = live.swap_remove(index);
                check(block, block.1.size());
                // SAFETY: the block is live, has this layout, and isn't used afterwards.
                unsafe { heap.dealloc(block.0.as_ptr(), block.1) };
            }
        }
    }
    for block in live {
        check(block, block.1.size());
        // SAFETY: as above.
        unsafe { heap.dealloc(block.0.as_ptr(), block.1) };
    }
}

/// Does the same as `global`. Afterwards, all memory must be free and in one piece.
fn any_size<P: PageSource, M: Lock>(heap: &Locked<Heap<P>, M>, steps: &[Operation])
where
    Locked<Heap<P>, M>: GlobalAlloc,
{
    global(heap, steps);
    let usage = heap.with(Heap::usage);
    assert_eq!((usage.used, usage.free), (0, usage.largest_free));
}

/// Exercises pools over one locked arena, which free each other's blocks.
fn family(pages: usize, steps: &[Operation]) {
    let arena: Locked<_, Spin> = Locked::new(arena(pages));
    let pools = [(); 3].map(|()| FixedBlock::new(&arena, 120).expect("the block size is valid").in_family(7));
    let layout = Layout::new::<[u64; 15]>();
    let mut live: Vec<Live> = Vec::new();
    for (stamp, step) in (1_u8..=255).cycle().zip(steps) {
        match *step {
            Operation::Allocate { size, .. } => {
                let block = pools[usize::from(size) % 3].allocate();
                live.extend(block.map(|block| fill((block, layout, stamp))));
            }
            Operation::Resize { place, .. } | Operation::Free { place } => {
                let Some(index) = usize::from(place).checked_rem(live.len()) else { continue };
                let block = live.swap_remove(index);
                check(block, 120);
                // SAFETY: the pools are members of one family, and the block isn't used
                // afterwards.
                unsafe { pools[usize::from(place) % 3].deallocate(block.0) };
            }
        }
    }
    live.iter().for_each(|block| check(*block, 120));
    // This target commits no misuse: a pool can't detect a foreign block if it may belong
    // to the family. See SECURITY.md.
}

fuzz_target!(|input: Input| {
    let (pages, steps) = (usize::from(input.pages) % 16 + 1, &input.steps[..]);
    match input.kind {
        Kind::BoxesSpin => boxes::<Spin>(pages, steps),
        Kind::BoxesCriticalSection => boxes::<CriticalSection>(pages, steps),
        Kind::GlobalSpin => global(&Locked::<_, Spin>::new(SizeClasses::new(arena(pages))), steps),
        Kind::GlobalCriticalSection => {
            let sizes = hpalloc::size_table![32, 128, 512];
            let pages = Lazy::new(|| Boxed::new(8 * PAGE_SIZE).and_then(Arena::from_region));
            global(&Locked::<_, CriticalSection>::new(SizeClasses::with_table(pages, sizes)), steps);
        }
        Kind::AnySizeSpin => any_size(&Locked::<_, Spin>::new(Heap::new(arena(pages))), steps),
        Kind::AnySizeCriticalSection => {
            let pages = Lazy::new(|| Boxed::new(8 * PAGE_SIZE).and_then(Arena::from_region));
            any_size(&Locked::<_, CriticalSection>::new(Heap::new(pages)), steps);
        }
        Kind::Family => family(pages, steps),
    }
});
