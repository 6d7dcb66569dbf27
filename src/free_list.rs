use core::cell::Cell;
use core::ptr::{NonNull, null_mut};

use crate::hardened::{Damage, Guard, MisuseError, mask};
use crate::poison::{poison, unpoison};

/// The free blocks of a pool, last in, first out. No other code reads or writes links.
///
/// ```text
///   head ──► ┌──────┐   ┌──► ┌──────┐   ┌──► ┌──────┐
///            │ next ├───┘    │ next ├───┘    │ none │
///            │      │        │      │        │      │
///            └──────┘        └──────┘        └──────┘
/// ```
///
/// *Invariant (Links):* every block in the list is valid for reads and writes of a
/// `Link`, is aligned for one, starts with an initialized `Link`, and is in the list
/// once. Nothing else uses it until `pop` returns it.
pub(crate) struct FreeList {
    head: Cell<Option<NonNull<Link>>>,
}

/// The first word of a free block.
#[derive(Clone, Copy)]
struct Link {
    /// The next free block. In a hardened build, its address is encoded with the key and
    /// the address of this block.
    next: *mut Link,
}

impl Link {
    /// Creates the link from `block` to the next free block.
    #[inline]
    fn to(next: Option<NonNull<Self>>, block: NonNull<u8>) -> Self {
        let next = next.map_or(null_mut(), NonNull::as_ptr);
        Self { next: next.map_addr(|address| address ^ mask(block.addr().get())) }
    }

    /// # Safety
    ///
    /// The block must start with a link.
    #[inline]
    unsafe fn read(block: NonNull<u8>) -> Option<NonNull<Self>> {
        // SAFETY: by the caller's promise.
        let Self { next } = unsafe { block.cast::<Self>().read() };
        NonNull::new(next.map_addr(|address| address ^ mask(block.addr().get())))
    }
}

static_assertions::assert_eq_size!(Link, *mut u8);
static_assertions::assert_eq_align!(Link, *mut u8);

// SAFETY: by Links, nothing else uses the blocks, and memory is not bound to a thread.
unsafe impl Send for FreeList {}

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(None) }
    }

    /// Adds a block, and marks it as free in its guard.
    ///
    /// # Safety
    ///
    /// The block must have `bytes` bytes. Until it is popped, it must be valid for reads
    /// and writes and aligned for a pointer. It must not be in the list already, and
    /// nothing else may use it from now on.
    #[inline]
    pub(crate) unsafe fn push(&self, block: NonNull<u8>, bytes: usize, guard: &Guard) {
        let link = block.cast::<Link>();
        // SAFETY: by the caller's promise, the block can be written to.
        unsafe {
            link.write(Link::to(self.head.get(), block));
            guard.take_back(block, bytes);
        }
        poison(block.as_ptr(), bytes);
        self.head.set(Some(link));
    }

    /// Removes the block that was added last, and marks it as live in its guard.
    ///
    /// # Errors
    ///
    /// The block was written to while it was free. It is removed, and if its link can't
    /// be trusted, so are all blocks after it.
    ///
    /// # Safety
    ///
    /// The blocks in the list must have `bytes` bytes, and must have been pushed with
    /// this guard.
    #[inline]
    pub(crate) unsafe fn pop(&self, bytes: usize, guard: &Guard) -> Result<Option<NonNull<u8>>, MisuseError> {
        let Some(link) = self.head.get() else { return Ok(None) };
        let block = link.cast::<u8>();
        unpoison(block.as_ptr(), bytes);
        // SAFETY: by Links and the caller's promise.
        unsafe {
            if let Err(Damage { error, link_is_intact }) = guard.check_free(block, bytes) {
                self.head.set(if link_is_intact { Link::read(block) } else { None });
                return Err(error);
            }
            self.head.set(Link::read(block));
            guard.hide_link(block);
            guard.hand_out(block, bytes);
        }
        Ok(Some(block))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// Counts the blocks by walking the list, up to the first one whose link was
    /// overwritten.
    ///
    /// # Safety
    ///
    /// That of [`pop`](Self::pop).
    pub(crate) unsafe fn len(&self, bytes: usize, guard: &Guard) -> usize {
        let mut count = 0;
        let mut next = self.head.get();
        while let Some(link) = next {
            let block = link.cast::<u8>();
            unpoison(block.as_ptr(), bytes);
            // SAFETY: by Links, each block in the list holds an initialized link. The
            // caller guarantees the rest.
            unsafe {
                if matches!(guard.check_free(block, bytes), Err(Damage { link_is_intact: false, .. })) {
                    break;
                }
                next = Link::read(block);
            }
            poison(block.as_ptr(), bytes);
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::{FreeList, Guard};
    use core::ptr::NonNull;

    #[test]
    fn the_last_in_is_the_first_out() {
        const BYTES: usize = 4 * size_of::<usize>();
        let mut blocks = [[0_usize; 8]; 3];
        let blocks = blocks.each_mut().map(|block| NonNull::from(block).cast::<u8>());
        let (list, guard) = (FreeList::new(), Guard::new());
        // SAFETY: each block is on the stack, has room for a guard, and is not used
        // otherwise.
        let pop = || unsafe { list.pop(BYTES, &guard) }.unwrap();
        assert_eq!(pop(), None);
        for block in blocks {
            // SAFETY: as above.
            unsafe { list.push(block, BYTES, &guard) };
        }
        // SAFETY: as above.
        assert_eq!(unsafe { list.len(BYTES, &guard) }, 3);
        for block in blocks.into_iter().rev() {
            assert_eq!(pop(), Some(block));
        }
        // SAFETY: as above.
        assert_eq!((pop(), unsafe { list.len(BYTES, &guard) }), (None, 0));
    }
}
