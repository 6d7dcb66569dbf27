//! `hpalloc::SizeClasses`, with the default table and with one that is made for the trace.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use hpalloc::{Arena, DEFAULT_SIZES, PAGE_SIZE, PageSource, RawRegion, SizeClasses, SizeTable};

use super::table::Classes;
use crate::{Configuration, Contestant, Heap, Trace};

impl<P: PageSource, const N: usize> Heap for SizeClasses<P, N> {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        Self::allocate(self, layout)
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { Self::deallocate(self, block, layout) }
    }

    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        // SAFETY: as the caller promises, and the sizes are compared.
        unsafe { if size >= layout.size() { self.grow(block, layout, new) } else { self.shrink(block, layout, new) } }
    }
}

fn make<'m, const N: usize>(
    memory: &'m mut [MaybeUninit<u8>],
    table: &'static SizeTable<N>,
) -> Option<Box<dyn Heap + 'm>> {
    let arena = Arena::from_uninit(memory).ok()?;
    Some(Box::new(SizeClasses::with_table(arena, table)))
}

/// The table isn't counted: it is a constant, which on a microcontroller is in flash.
fn configuration<const N: usize>(table: &'static SizeTable<N>) -> Configuration {
    Configuration::new(size_of::<SizeClasses<Arena<RawRegion>, N>>(), move |memory| make(memory, table))
        .aligned(PAGE_SIZE, PAGE_SIZE)
        .named(format!("{N} classes"))
}

pub(super) fn default() -> Contestant {
    Contestant::candidate("SizeClasses", vec![configuration(DEFAULT_SIZES)])
}

pub(super) fn tuned() -> Contestant {
    Contestant::tuned("SizeClasses, tuned", |trace| {
        let mut classes = Classes::of(trace);
        // Each has fewer classes than the one before.
        [tune::<16>, tune::<12>, tune::<8>, tune::<6>, tune::<4>, tune::<3>, tune::<2>]
            .into_iter()
            .filter_map(|tune| tune(&mut classes, trace))
            .collect()
    })
}

/// A table of `N` sizes: `None` if the trace has fewer.
fn tune<const N: usize>(classes: &mut Classes, trace: &Trace) -> Option<Configuration> {
    let sizes = classes.merge(N, trace).try_into().ok()?;
    let table: &'static SizeTable<N> = Box::leak(Box::new(SizeTable::new(sizes).ok()?));
    Some(configuration(table))
}
