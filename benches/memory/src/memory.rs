use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

use crate::{Configuration, Heap};

/// What the whole is aligned to: as much as any heap asks for.
const ALIGNMENT: usize = 1 << 20;

/// Memory in which heaps are made, one after the other.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<u8>,
    offset: usize,
}

impl Memory {
    /// The most bytes that a heap can have.
    pub const MOST: usize = 15 << 20;

    const LAYOUT: Layout = match Layout::from_size_align(Self::MOST + ALIGNMENT, ALIGNMENT) {
        Ok(layout) => layout,
        Err(_) => panic!("the alignment is a power of two"),
    };

    /// Memory that starts `16 * (offset % 256)` bytes after a page, for heaps that don't ask for more.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    #[must_use]
    pub fn new(offset: u64) -> Self {
        // SAFETY: the layout has bytes.
        let Some(start) = NonNull::new(unsafe { alloc(Self::LAYOUT) }) else { handle_alloc_error(Self::LAYOUT) };
        let mut memory = Self { start, offset: 0 };
        memory.set_offset(offset);
        memory
    }

    /// From now on the memory starts `16 * (offset % 256)` bytes after a page.
    pub fn set_offset(&mut self, offset: u64) {
        self.offset = 16 * usize::from(offset.to_le_bytes()[0]);
    }

    /// Makes a heap in so many bytes; `None` if they are too few for an empty one, or more than there are.
    pub fn heap(&mut self, configuration: &Configuration, bytes: usize) -> Option<Box<dyn Heap + '_>> {
        if bytes > Self::MOST {
            return None;
        }
        let offset = if configuration.alignment().is_some() { 0 } else { self.offset };
        // SAFETY: the offset is below the alignment, which is left over after the most bytes; the memory is borrowed
        // mutably for as long as the heap is there.
        let memory =
            unsafe { slice::from_raw_parts_mut(self.start.add(offset).cast::<MaybeUninit<u8>>().as_ptr(), bytes) };
        configuration.make(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and no heap is in it any more.
        unsafe { dealloc(self.start.as_ptr(), Self::LAYOUT) };
    }
}
