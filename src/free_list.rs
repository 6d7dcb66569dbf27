use core::cell::Cell;
use core::iter;
use core::ptr::NonNull;

/// The free blocks of a pool, last in, first out: the only code that reads or writes a link.
///
/// ```text
///   head ──► ┌──────┐   ┌──► ┌──────┐   ┌──► ┌──────┐
///            │ next ├───┘    │ next ├───┘    │ none │
///            │      │        │      │        │      │
///            └──────┘        └──────┘        └──────┘
/// ```
///
/// *Invariant (Links):* every block in the list is valid for reads and writes of a `Link`, aligned for it, starts with
/// an initialised `Link`, and is in the list once. Nothing else uses it, until `pop` returns it.
pub(crate) struct FreeList {
    head: Cell<Option<NonNull<Link>>>,
}

/// What a free block starts with.
#[derive(Clone, Copy)]
struct Link {
    next: Option<NonNull<Link>>,
}

static_assertions::assert_eq_size!(Link, *mut u8);
static_assertions::assert_eq_align!(Link, *mut u8);

// SAFETY: by Links, nothing else uses the blocks; and memory has no tie to a thread.
unsafe impl Send for FreeList {}

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(None) }
    }

    /// Adds a block.
    ///
    /// # Safety
    ///
    /// The block is valid for reads and writes of a pointer and aligned for one, until it is popped; it isn't in the
    /// list; and nothing else uses it from now on.
    #[inline]
    pub(crate) unsafe fn push(&self, block: NonNull<u8>) {
        let link = block.cast::<Link>();
        // SAFETY: the caller promises that the block can be written to.
        unsafe { link.write(Link { next: self.head.get() }) };
        self.head.set(Some(link));
    }

    /// Takes out the block that was added last.
    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<u8>> {
        let link = self.head.get()?;
        // SAFETY: by Links, the block in the list holds an initialised link.
        let Link { next } = unsafe { link.read() };
        self.head.set(next);
        Some(link.cast())
    }

    /// How many blocks there are, by walking the list.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: by Links, each block in the list holds an initialised link.
        iter::successors(self.head.get(), |link| unsafe { link.read() }.next).count()
    }
}

#[cfg(test)]
mod tests {
    use super::FreeList;
    use core::ptr::NonNull;

    #[test]
    fn the_last_in_is_the_first_out() {
        let mut blocks = [[0_usize; 4]; 3];
        let blocks = blocks.each_mut().map(|block| NonNull::from(block).cast::<u8>());
        let list = FreeList::new();
        assert_eq!(list.pop(), None);
        for block in blocks {
            // SAFETY: each is a block of its own, on the stack and not used otherwise.
            unsafe { list.push(block) };
        }
        assert_eq!(list.len(), 3);
        for block in blocks.into_iter().rev() {
            assert_eq!(list.pop(), Some(block));
        }
        assert_eq!((list.pop(), list.len()), (None, 0));
    }
}
