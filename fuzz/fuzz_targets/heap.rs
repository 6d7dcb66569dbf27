//! Compares a heap for blocks of any size, over a slice or over page sources, with a
//! model of its live blocks and their contents.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
mod model;

use allocator_api2::vec::Vec as HeapVec;
use arbitrary::Arbitrary;
use common::{bytes, with_pages};
use hpalloc::{Arena, Heap, Locked, PAGE_SIZE, Page, PageSource, Spin};
use libfuzzer_sys::fuzz_target;
use model::{Model, Operation, Pattern, range};

const MAX_PAGES: usize = 24;

#[derive(Arbitrary, Debug)]
struct Input {
    memory: Memory,
    steps: Vec<Operation>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Memory {
    /// A slice of any size at any address.
    Slice { skip: u16, len: u16 },
    /// An arena that the heap owns.
    Arena { pages: u8 },
    /// Several arenas, so that the heap has several parts.
    Arenas { pages: [u8; 3] },
    /// A shared arena, from which another user takes a page every `others + 1` steps.
    Shared { pages: u8, others: u8 },
    /// Collections in the heap, without a model.
    Collections { pages: u8 },
}

fn arena(pages: &mut [Page]) -> Arena<hpalloc::Borrowed<'_>> {
    Arena::from_pages(pages).expect("the memory has whole pages")
}

fn in_a_slice(skip: u16, len: u16, steps: &[Operation]) {
    with_pages(MAX_PAGES, |pages| {
        let memory = bytes(pages);
        let memory = &mut memory[usize::from(skip) % (2 * PAGE_SIZE)..];
        let len = usize::from(len).min(memory.len());
        let memory = &mut memory[..len];
        let within = range(memory);
        let Ok(heap) = Heap::from_uninit(memory) else { return };
        let (free, largest) = (heap.free(), heap.largest_free());
        let mut model = Model::new(&heap, vec![within]);
        for &step in steps {
            model.step(step);
            assert_eq!(heap.used() + heap.free(), free);
        }
        model.clear();
        assert_eq!((heap.free(), heap.largest_free()), (free, largest));
        model.write_after_free();
    });
}

fn over<P: PageSource>(source: P, memory: Vec<std::ops::Range<usize>>, steps: &[Operation]) {
    let heap = Heap::new(source);
    let mut model = Model::new(&heap, memory);
    let mut total = 0;
    for &step in steps {
        model.step(step);
        let now = heap.used() + heap.free();
        assert!(now >= total, "a heap must keep the memory that it took");
        total = now;
    }
    model.clear();
    model.write_after_free();
}

/// Checks that the heap doesn't change pages that another user took from the same source.
fn over_a_shared_source(pages: usize, others: u8, steps: &[Operation]) {
    with_pages(pages, |pages| {
        let within = range(bytes(pages));
        let source: Locked<_, Spin> = Locked::new(arena(pages));
        let heap = Heap::new(&source);
        let mut model = Model::new(&heap, vec![within]);
        let mut taken = Vec::new();
        for (number, &step) in steps.iter().enumerate() {
            if number % (usize::from(others) + 1) == 0 {
                if let Some(page) = source.take_pages(1) {
                    let pattern = Pattern::new(page.cast(), PAGE_SIZE, number);
                    pattern.write();
                    model.exclude(page.addr().get()..page.addr().get() + PAGE_SIZE);
                    taken.push(pattern);
                }
            }
            model.step(step);
        }
        model.clear();
        taken.iter().for_each(|pattern| pattern.check(PAGE_SIZE));
    });
}

/// Compares vectors in the heap with ordinary vectors that have the same contents.
fn collections(pages: usize, steps: &[Operation]) {
    with_pages(pages, |pages| {
        let heap = Heap::from_uninit(bytes(pages)).expect("a page is enough memory for a heap");
        let largest = heap.largest_free();
        let mut vectors: Vec<_> = (0..8).map(|_| (HeapVec::<u16, _>::new_in(&heap), Vec::<u16>::new())).collect();
        for step in steps {
            let (place, count) = step.place_and_size();
            let (real, model) = &mut vectors[place % 8];
            if matches!(step, Operation::Allocate { .. }) {
                if real.try_reserve(count / 16).is_ok() {
                    let more = (0..count / 16).map(|number| (number ^ count) as u16);
                    real.extend(more.clone());
                    model.extend(more);
                }
            } else {
                model.truncate(count);
                real.truncate(count);
                real.shrink_to_fit();
            }
            assert_eq!(real.as_slice(), model.as_slice());
        }
        assert!(vectors.iter().all(|(real, model)| real.as_slice() == model.as_slice()));
        drop(vectors);
        assert_eq!((heap.used(), heap.largest_free()), (0, largest));
    });
}

fuzz_target!(|input: Input| {
    let (count, steps) = (|pages: u8| usize::from(pages) % MAX_PAGES + 1, &input.steps[..]);
    match input.memory {
        Memory::Slice { skip, len } => in_a_slice(skip, len, steps),
        Memory::Arena { pages } => with_pages(count(pages), |pages| {
            let within = vec![range(bytes(pages))];
            over(arena(pages), within, steps);
        }),
        Memory::Arenas { pages: [first, second, third] } => {
            let counts = [first, second, third].map(|pages| usize::from(pages) % 8 + 1);
            with_pages(counts.iter().sum(), |pages| {
                let (first, rest) = pages.split_at_mut(counts[0]);
                let (second, third) = rest.split_at_mut(counts[1]);
                let within = [&mut *first, &mut *second, &mut *third].map(|pages| range(bytes(pages)));
                over([first, second, third].map(arena), within.to_vec(), steps);
            });
        }
        Memory::Shared { pages, others } => over_a_shared_source(count(pages), others, steps),
        Memory::Collections { pages } => collections(count(pages), steps),
    }
});
