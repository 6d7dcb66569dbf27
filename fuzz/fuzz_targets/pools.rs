//! Compares pools over one arena, on every kind of region, with the model of the tests.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use arbitrary::Arbitrary;
use common::world::{Step, World};
use common::{OwnRegion, address, bytes, with_pages};
use hpalloc::{Arena, Boxed, FixedBlock, MappingOptions, PAGE_SIZE, Page, Pool, Region};
use libfuzzer_sys::fuzz_target;

const MAX_PAGES: usize = 8;

hpalloc::static_buffer! { static BUFFER: StaticBuffer<MAX_PAGES>; }

#[derive(Arbitrary, Debug)]
struct Input {
    region: Kind,
    pages: u8,
    steps: Vec<Operation>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Borrowed,
    Trimmed { skip: u16 },
    Raw,
    Own,
    Boxed,
    Static,
    Mapping { prefault: bool },
    Slice { skip: u8, words: u8 },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    NewPool { words: u16 },
    Allocate { pool: u8 },
    Exhaust { pool: u8 },
    Deallocate { pool: u8, live: u16 },
    Reset,
}

fn step(operation: Operation) -> Option<Step> {
    Some(match operation {
        Operation::NewPool { words } => {
            Step::NewPool { block_size: (usize::from(words) % 1600 + 1) * size_of::<usize>() }
        }
        Operation::Allocate { pool } => Step::Allocate { pool: pool.into() },
        Operation::Exhaust { pool } => Step::Exhaust { pool: pool.into() },
        Operation::Deallocate { pool, live } => Step::Deallocate { pool: pool.into(), live: live.into() },
        Operation::Reset => return None,
    })
}

fn run<R: Region>(mut arena: Arena<R>, steps: &[Operation]) {
    let base = address(arena.alloc_page().expect("an arena has at least one page"));
    for steps in steps.split(|step| matches!(step, Operation::Reset)) {
        arena.reset();
        // The last parameter is the number of blocks of the smallest size.
        let mut world = World::<_, 4, { MAX_PAGES * PAGE_SIZE / size_of::<usize>() }>::new(&arena, base);
        steps.iter().filter_map(|&operation| step(operation)).for_each(|step| world.step(step));
        world.check_contents();
    }
}

/// Checks a pool in a slice at any address: it hands out each block once, aligned, and
/// blocks keep their contents.
fn in_a_slice(memory: &mut [MaybeUninit<u8>], block_size: usize, steps: &[Operation]) {
    let Ok(pool) = FixedBlock::from_uninit(memory, block_size) else { return };
    let mut live: Vec<(NonNull<u8>, u8)> = Vec::new();
    for (stamp, operation) in (0_u8..=255).cycle().zip(steps) {
        match *operation {
            Operation::Allocate { .. } | Operation::NewPool { .. } => {
                let Some(block) = pool.allocate() else { continue };
                assert_eq!(block.addr().get() % pool.block_align(), 0);
                // SAFETY: the block is large enough, and nothing else uses it.
                unsafe { block.write_bytes(stamp, block_size) };
                live.push((block, stamp));
            }
            Operation::Deallocate { live: choice, .. } => {
                let Some(index) = usize::from(choice).checked_rem(live.len()) else { continue };
                let (block, stamp) = live.swap_remove(index);
                // SAFETY: the block was filled when it was allocated.
                let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), block_size) };
                assert!(bytes.iter().all(|&byte| byte == stamp));
                // SAFETY: the block is live and isn't used afterwards.
                unsafe { pool.deallocate(block) };
            }
            Operation::Exhaust { .. } | Operation::Reset => {}
        }
        misuse(&pool, &live, *operation);
        assert_eq!(pool.peak_blocks(), live.len() + pool.free_blocks());
    }
}

/// Checks that a hardened build rejects any pointer that isn't a live block.
#[cfg(hpalloc_hardened)]
fn misuse<P: hpalloc::PageSource>(pool: &FixedBlock<P>, live: &[(NonNull<u8>, u8)], operation: Operation) {
    let Operation::Deallocate { pool: low, live: high } = operation else { return };
    let Some(&(near, _)) = live.first() else { return };
    let offset = usize::from(high) << 4 | usize::from(low);
    let address = near.as_ptr().wrapping_add(offset).wrapping_sub(1 << 10);
    let Some(pointer) = NonNull::new(address) else { return };
    if live.iter().all(|(block, _)| *block != pointer) {
        // SAFETY: `try_deallocate` returns an error for an invalid pointer.
        assert!(unsafe { pool.try_deallocate(pointer) }.is_err(), "{pointer:?}");
    }
}

#[cfg(not(hpalloc_hardened))]
fn misuse<P: hpalloc::PageSource>(_: &FixedBlock<P>, _: &[(NonNull<u8>, u8)], _: Operation) {}

/// Checks that the boxes of a pool keep their values.
fn boxes(pages: &mut [Page], steps: &[Operation]) {
    let pool = Pool::<[u32; 20], _>::new(Arena::from_pages(pages).expect("the memory has whole pages"));
    let mut live = Vec::new();
    for (stamp, operation) in (0..).zip(steps) {
        match *operation {
            Operation::Allocate { .. } => live.extend(pool.alloc([stamp; 20]).ok().map(|value| (value, stamp))),
            Operation::Deallocate { live: choice, .. } => {
                let Some(index) = usize::from(choice).checked_rem(live.len()) else { continue };
                let (value, stamp) = live.swap_remove(index);
                assert_eq!(*value, [stamp; 20]);
            }
            _ => {}
        }
    }
    assert!(live.iter().all(|(value, stamp)| **value == [*stamp; 20]));
}

fuzz_target!(|input: Input| {
    let (count, steps) = (usize::from(input.pages) % MAX_PAGES + 1, &input.steps[..]);
    match input.region {
        Kind::Borrowed => with_pages(count, |pages| {
            boxes(pages, steps);
            run(Arena::from_pages(pages).expect("the memory has whole pages"), steps);
        }),
        Kind::Trimmed { skip } => with_pages(count, |pages| {
            let memory = bytes(pages);
            let skip = usize::from(skip) % memory.len();
            if let Ok(arena) = Arena::from_uninit_trimmed(&mut memory[skip..]) {
                run(arena, steps);
            }
        }),
        Kind::Raw => with_pages(count, |pages| {
            let memory = NonNull::slice_from_raw_parts(NonNull::from(&mut *pages).cast(), count * PAGE_SIZE);
            // SAFETY: the pages are borrowed mutably and only used through the arena.
            run(unsafe { Arena::from_raw(memory) }.expect("the memory has whole pages"), steps);
        }),
        Kind::Own => with_pages(count, |pages| {
            // SAFETY: as above.
            let region = unsafe { OwnRegion::new(NonNull::from(&mut *pages).cast(), count) };
            run(Arena::from_region(region).expect("the memory has whole pages"), steps);
        }),
        Kind::Boxed => {
            run(Boxed::new(count * PAGE_SIZE).and_then(Arena::from_region).expect("the memory has whole pages"), steps)
        }
        Kind::Static => {
            run(
                BUFFER.claim_bytes(count * PAGE_SIZE).and_then(Arena::from_region).expect("the memory has whole pages"),
                steps,
            );
        }
        Kind::Mapping { prefault } => {
            let region = MappingOptions::new().prefault(prefault).map(count * PAGE_SIZE);
            run(region.and_then(Arena::from_region).expect("the memory has whole pages"), steps);
        }
        Kind::Slice { skip, words } => with_pages(count, |pages| {
            let memory = bytes(pages);
            let skip = usize::from(skip).min(memory.len());
            in_a_slice(&mut memory[skip..], (usize::from(words) + 1) * size_of::<usize>(), steps);
        }),
    }
});
