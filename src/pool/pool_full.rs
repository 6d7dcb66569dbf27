use core::fmt;

/// The error of [`Pool::alloc`](crate::Pool::alloc): the pool is full. It returns the value.
///
/// It is an [`Error`](core::error::Error) for any `T`, so `?` takes it, and neither `Debug` nor `Display` shows the value. It is as
/// large as the value: a function that returns the error of a large one as it is gets Clippy's `result_large_err`, and one that returns
/// a `Box<dyn Error>` or an error of its own doesn't.
///
/// ```
/// # #[cfg(not(hpalloc_hardened))] {
/// use hpalloc::{Arena, Page, Pool, PoolFull};
///
/// let mut memory = [const { Page::new() }; 1];
/// let pool = Pool::new(Arena::from_pages(&mut memory)?);
/// let first = pool.alloc([1_u8; 4096])?;
/// let PoolFull(second) = pool.alloc([2; 4096]).unwrap_err();
/// assert_eq!(second, [2; 4096]);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolFull<T>(
    /// The value that didn't fit.
    pub T,
);

impl<T> fmt::Display for PoolFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the pool is full: no block is free for a value of {} B, and its source has no more memory; drop a box of this \
             pool first, or give the pool more memory",
            size_of::<T>()
        )
    }
}

impl<T> fmt::Debug for PoolFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolFull({self})")
    }
}

impl<T> core::error::Error for PoolFull<T> {}

#[cfg(feature = "std")]
impl<T> From<PoolFull<T>> for std::io::Error {
    fn from(error: PoolFull<T>) -> Self {
        // The value need not be one that an error can keep.
        Self::new(std::io::ErrorKind::OutOfMemory, std::format!("{error}"))
    }
}

#[cfg(feature = "defmt")]
impl<T> defmt::Format for PoolFull<T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "the pool is full for a value of {=usize} bytes", size_of::<T>());
    }
}
