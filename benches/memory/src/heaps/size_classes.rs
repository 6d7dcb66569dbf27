//! `hpalloc::SizeClasses`, with the default table and with tables that are tuned for the
//! trace.

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
        // SAFETY: guaranteed by the caller.
        unsafe { Self::deallocate(self, block, layout) }
    }

    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        // SAFETY: guaranteed by the caller, and the comparison selects the function for
        // the sizes.
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

/// Returns the configuration for a table. The table doesn't count: it is a constant,
/// which a microcontroller has in flash.
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
        // Each table has fewer classes than the one before, so `classes` is merged
        // further each time.
        [tune::<16>, tune::<12>, tune::<8>, tune::<6>, tune::<4>, tune::<3>, tune::<2>]
            .into_iter()
            .filter_map(|tune| tune(&mut classes, trace))
            .collect()
    })
}

/// Returns the configuration with a table of `N` sizes, or `None` if the trace has fewer.
fn tune<const N: usize>(classes: &mut Classes, trace: &Trace) -> Option<Configuration> {
    let sizes = classes.merge(N, trace).try_into().ok()?;
    let table: &'static SizeTable<N> = Box::leak(Box::new(SizeTable::new(sizes).ok()?));
    Some(configuration(table))
}
