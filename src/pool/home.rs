#[cfg(feature = "alloc")]
use alloc::rc::Rc;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
use alloc::sync::Arc;
use core::ptr::NonNull;

use super::Pool;
use crate::PageSource;
use crate::hardened::MisuseError;
use crate::seal::Seal;

/// What a [`PoolBox`](crate::PoolBox) returns its block to: a reference to a pool, or a share of one.
///
/// | home | the box |
/// |---|---|
/// | `&Pool<T, P>` | borrows the pool, and stays on its thread |
/// | `&Locked<Pool<T, P>, M>` | borrows the pool, and locks it to return its block. It can be sent to other threads |
/// | `Rc<Pool<T, P>>` (feature `alloc`) | shares the pool, which lasts as long as a box of it |
/// | `Arc<Locked<Pool<T, P>, M>>` (feature `alloc`) | both: it can be sent, and it keeps the pool alive |
/// | `Pool<T, P>`, `Locked<Pool<T, P>, M>` | owns the pool, which has no other box then |
///
/// This crate alone implements it, and its methods can't be called from outside:
///
/// ```compile_fail,E0061
/// fn steal<H: hpalloc::Home>(home: &H) {
///     home.take();
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no home for the blocks of a `PoolBox`",
    note = "there are `&Pool`, `&Locked<Pool>` and, with the feature `alloc`, `Rc<Pool>` and `Arc<Locked<Pool>>`; \
            `Locked` takes the place of a `Mutex`"
)]
pub trait Home {
    /// What the pool's blocks hold.
    type Value;

    #[doc(hidden)]
    fn take(&self, seal: Seal) -> Result<Option<NonNull<u8>>, MisuseError>;

    /// # Safety
    ///
    /// The block came from `take`, and nothing uses it any more.
    #[doc(hidden)]
    unsafe fn give_back(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError>;

    /// Whether the block is live, as far as that is known.
    #[doc(hidden)]
    fn check(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError>;

    /// A block is given up for good.
    #[doc(hidden)]
    fn forget(&self, seal: Seal);
}

impl<T, P: PageSource> Home for Pool<T, P> {
    type Value = T;

    #[inline]
    fn take(&self, _: Seal) -> Result<Option<NonNull<u8>>, MisuseError> {
        self.blocks.try_allocate()
    }

    #[inline]
    unsafe fn give_back(&self, block: NonNull<u8>, _: Seal) -> Result<(), MisuseError> {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.blocks.give_back(block) }
    }

    #[inline]
    fn check(&self, block: NonNull<u8>, _: Seal) -> Result<(), MisuseError> {
        // SAFETY: the pool is of no family.
        unsafe { self.blocks.check(block) }
    }

    #[inline]
    fn forget(&self, _: Seal) {
        self.blocks.forget();
    }
}

/// A pointer to a home is one.
macro_rules! behind {
    ($($(#[$attribute:meta])* $pointer:ty),*) => {
        $(
            $(#[$attribute])*
            impl<H: Home> Home for $pointer {
                type Value = H::Value;

                #[inline]
                fn take(&self, seal: Seal) -> Result<Option<NonNull<u8>>, MisuseError> {
                    H::take(self, seal)
                }

                #[inline]
                unsafe fn give_back(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError> {
                    // SAFETY: the caller's promise is the one that is asked for.
                    unsafe { H::give_back(self, block, seal) }
                }

                #[inline]
                fn check(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError> {
                    H::check(self, block, seal)
                }

                #[inline]
                fn forget(&self, seal: Seal) {
                    H::forget(self, seal);
                }
            }
        )*
    };
}

behind! {
    &H,
    #[cfg(feature = "alloc")]
    Rc<H>,
    #[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
    Arc<H>
}
