//! Compares a heap of size classes with the model of the tests, for the default sizes and
//! for tables of few, odd and no sizes. Also exercises collections in such a heap.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use std::alloc::Layout;

use allocator_api2::vec::Vec as HeapVec;
use arbitrary::Arbitrary;
use common::heap_world::HeapWorld;
use common::{address, with_pages};
use hpalloc::{Arena, Boxed, DEFAULT_SIZES, PAGE_SIZE, Page, SizeClasses, SizeTable};
use libfuzzer_sys::fuzz_target;

const MAX_PAGES: usize = 16;

#[derive(Arbitrary, Debug)]
struct Input {
    kind: Kind,
    pages: u8,
    steps: Vec<Operation>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    DefaultSizes,
    FewSizes,
    OddSizes,
    NoSizes,
    Collections,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Operation {
    place: u8,
    size: u16,
    align: u8,
    resizes: bool,
}

impl Operation {
    fn layout(self) -> Layout {
        Layout::from_size_align(self.size.into(), 1 << (self.align % 14))
            .expect("the alignment is a power of two and the size not too large")
    }
}

fn run<const N: usize>(pages: &mut [Page], table: &'static SizeTable<N>, steps: &[Operation]) {
    let base = address(&mut pages[0]);
    let arena = Arena::from_pages(pages).expect("the memory has whole pages");
    let mut world = HeapWorld::<_, N, 64, 64>::new(&arena, base, table);
    for step in steps {
        world.step(step.place.into(), step.layout(), step.resizes);
    }
    world.check_counts();
    world.clear();
    world.check_counts();
}

/// Compares vectors in the heap with ordinary vectors that have the same contents.
fn collections(pages: usize, steps: &[Operation]) {
    let arena = Boxed::new(pages * PAGE_SIZE).and_then(Arena::from_region).expect("the memory has whole pages");
    let heap = SizeClasses::new(arena);
    let mut vectors: Vec<_> = (0..8).map(|_| (HeapVec::<u16, _>::new_in(&heap), Vec::<u16>::new())).collect();
    for step in steps {
        let (real, model) = &mut vectors[usize::from(step.place) % 8];
        if step.resizes {
            model.truncate(step.size.into());
            real.truncate(step.size.into());
            // Replacing an empty vector frees its block.
            if real.is_empty() {
                *real = HeapVec::new_in(&heap);
            }
        } else if real.try_reserve(usize::from(step.size) / 16).is_ok() {
            let more = (0..step.size / 16).map(|number| number ^ step.size);
            real.extend(more.clone());
            model.extend(more);
        }
        assert_eq!(real.as_slice(), model.as_slice());
    }
    for (real, model) in &vectors {
        assert_eq!(real.as_slice(), model.as_slice());
    }
    drop(vectors);
    assert_eq!(heap.free_blocks(), heap.peak_blocks());
    assert_eq!(heap.run_pages(), heap.free_run_pages());
}

fuzz_target!(|input: Input| {
    let (count, steps) = (usize::from(input.pages) % MAX_PAGES + 1, &input.steps[..]);
    with_pages(count, |pages| match input.kind {
        Kind::DefaultSizes => run(pages, DEFAULT_SIZES, steps),
        Kind::FewSizes => run(pages, hpalloc::size_table![16, 64, 256, 1024], steps),
        Kind::OddSizes => run(pages, hpalloc::size_table![8, 24, 40, 104, 1000, 1032, 4104, 20_488, 24_576], steps),
        Kind::NoSizes => run(pages, hpalloc::size_table![], steps),
        Kind::Collections => collections(count, steps),
    });
});
