use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

use crate::{Configuration, Heap};

/// The alignment of the memory: the largest that a heap requests.
const ALIGNMENT: usize = 1 << 20;

/// Memory in which heaps are created, one after the other.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<u8>,
    offset: usize,
}

impl Memory {
    /// The maximum size of a heap in bytes.
    pub const MOST: usize = 15 << 20;

    const LAYOUT: Layout = match Layout::from_size_align(Self::MOST + ALIGNMENT, ALIGNMENT) {
        Ok(layout) => layout,
        Err(_) => panic!("the alignment is a power of two"),
    };

    /// Creates memory that starts `16 * (offset % 256)` bytes after a page boundary. A
    /// configuration that sets an alignment gets memory without the offset.
    ///
    /// # Panics
    ///
    /// If the memory can't be allocated.
    #[must_use]
    pub fn new(offset: u64) -> Self {
        // SAFETY: the size of the layout is not zero.
        let Some(start) = NonNull::new(unsafe { alloc(Self::LAYOUT) }) else { handle_alloc_error(Self::LAYOUT) };
        let mut memory = Self { start, offset: 0 };
        memory.set_offset(offset);
        memory
    }

    /// Makes the memory start `16 * (offset % 256)` bytes after a page boundary.
    pub fn set_offset(&mut self, offset: u64) {
        self.offset = 16 * usize::from(offset.to_le_bytes()[0]);
    }

    /// Creates a heap in `bytes` bytes. Returns `None` if they are too few for an empty
    /// heap, or more than [`MOST`](Self::MOST).
    pub fn heap(&mut self, configuration: &Configuration, bytes: usize) -> Option<Box<dyn Heap + '_>> {
        if bytes > Self::MOST {
            return None;
        }
        let offset = if configuration.alignment().is_some() { 0 } else { self.offset };
        // SAFETY: the offset is below `ALIGNMENT`, and the memory is `ALIGNMENT` bytes
        // larger than the largest heap. The memory is mutably borrowed as long as the
        // heap exists.
        let memory =
            unsafe { slice::from_raw_parts_mut(self.start.add(offset).cast::<MaybeUninit<u8>>().as_ptr(), bytes) };
        configuration.make(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the memory was allocated with this layout, and no heap borrows it any
        // more.
        unsafe { dealloc(self.start.as_ptr(), Self::LAYOUT) };
    }
}
