//! rlsf: TLSF with a header of one or two words on each block.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use rlsf::Tlsf;
use rlsf::int::BinInteger;

use crate::{Configuration, Contestant, Heap};

impl<F: BinInteger, S: BinInteger, const FLLEN: usize, const SLLEN: usize> Heap for Tlsf<'_, F, S, FLLEN, SLLEN> {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        Self::allocate(self, layout)
    }

    unsafe fn deallocate(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: guaranteed by the caller.
        unsafe { Self::deallocate(self, block, layout.align()) }
    }

    unsafe fn reallocate(&mut self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let new = Layout::from_size_align(size, layout.align()).ok()?;
        // SAFETY: guaranteed by the caller, and the alignment doesn't change.
        unsafe { Self::reallocate(self, block, new) }
    }
}

/// Returns the configuration with lists for `FLLEN` powers of two, each divided into
/// `SLLEN` parts.
fn lists<F, S, const FLLEN: usize, const SLLEN: usize>() -> Configuration
where
    F: BinInteger + Send + Sync + 'static,
    S: BinInteger + Send + Sync + 'static,
{
    fn make<F: BinInteger + 'static, S: BinInteger + 'static, const FLLEN: usize, const SLLEN: usize>(
        memory: &mut [MaybeUninit<u8>],
    ) -> Option<Box<dyn Heap + '_>> {
        let mut heap = Box::new(Tlsf::<'_, F, S, FLLEN, SLLEN>::new());
        let memory = NonNull::slice_from_raw_parts(NonNull::from(&mut *memory).cast::<u8>(), memory.len());
        // SAFETY: the memory is borrowed for as long as the heap is used.
        unsafe { heap.insert_free_block_ptr(memory) }?;
        Some(heap)
    }
    Configuration::new(size_of::<Tlsf<'_, F, S, FLLEN, SLLEN>>(), make::<F, S, FLLEN, SLLEN>)
        .named(format!("FLLEN {FLLEN}, SLLEN {SLLEN}"))
}

pub(super) fn contestant() -> Contestant {
    let configurations = vec![
        lists::<u16, u8, 12, 4>(),
        lists::<u16, u8, 12, 8>(),
        lists::<u16, u8, 10, 4>(),
        lists::<u16, u8, 10, 8>(),
        lists::<u8, u8, 8, 4>(),
        lists::<u8, u8, 8, 8>(),
        lists::<u16, u8, 14, 4>(),
        lists::<u16, u16, 12, 16>(),
        lists::<u16, u32, 14, 32>(),
        lists::<u16, u8, 12, 2>(),
        lists::<u16, u16, 10, 16>(),
        lists::<u16, u32, 12, 32>(),
    ];
    Contestant::peer("rlsf", configurations)
}
