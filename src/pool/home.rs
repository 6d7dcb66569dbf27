#[cfg(feature = "alloc")]
use alloc::rc::Rc;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
use alloc::sync::Arc;
use core::ptr::NonNull;

use super::Pool;
use crate::PageSource;
use crate::hardened::MisuseError;
use crate::seal::Seal;

/// The place to which a [`PoolBox`](crate::PoolBox) returns its block: a reference to a
/// pool, or a share of one.
///
/// | home | the box |
/// |---|---|
/// | `&Pool<T, P>` | borrows the pool and stays on its thread |
/// | `&Locked<Pool<T, P>, M>` | borrows the pool and can be sent to other threads |
/// | `Rc<Pool<T, P>>` | owns a share of the pool |
/// | `Arc<Locked<Pool<T, P>, M>>` | owns a share and can be sent to other threads |
/// | `Pool<T, P>`, `Locked<Pool<T, P>, M>` | owns the pool, which then has no other box |
///
/// A box of a locked pool acquires the lock to return its block. A pool lives as long as
/// there is a box that owns a share of it. `Rc` and `Arc` need the feature `alloc`.
///
/// The trait is sealed: only this crate implements it, and its methods can't be called
/// from outside.
///
/// ```compile_fail,E0061
/// fn steal<H: hpalloc::Home>(home: &H) {
///     home.take();
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a `PoolBox` can't return its block to `{Self}`",
    note = "use `&Pool`, `&Locked<Pool>` or, with the feature `alloc`, `Rc<Pool>` or `Arc<Locked<Pool>>`; to share a pool \
            between threads, put it in a `Locked` instead of a `Mutex`"
)]
pub trait Home {
    /// The type of the pool's values.
    type Value;

    #[doc(hidden)]
    fn take(&self, seal: Seal) -> Result<Option<NonNull<u8>>, MisuseError>;

    /// # Safety
    ///
    /// The block came from `take`, and is no longer used.
    #[doc(hidden)]
    unsafe fn give_back(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError>;

    /// Returns an error if the block is known not to be live.
    #[doc(hidden)]
    fn check(&self, block: NonNull<u8>, seal: Seal) -> Result<(), MisuseError>;

    /// Records that a block was leaked on purpose.
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
        // SAFETY: the caller upholds the same contract.
        unsafe { self.blocks.give_back(block) }
    }

    #[inline]
    fn check(&self, block: NonNull<u8>, _: Seal) -> Result<(), MisuseError> {
        // SAFETY: a pool of values is never in a family, so any pointer can be checked.
        unsafe { self.blocks.check(block) }
    }

    #[inline]
    fn forget(&self, _: Seal) {
        self.blocks.forget();
    }
}

/// Implements `Home` for pointers to a home.
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
                    // SAFETY: the caller upholds the same contract.
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
