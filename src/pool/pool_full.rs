use core::fmt;

/// The error that [`Pool::alloc`](crate::Pool::alloc) returns if the pool is full. It
/// contains the value.
///
/// It implements [`Error`](core::error::Error) for every `T`, so it works with `?`.
/// Neither its `Debug` nor its `Display` shows the value.
///
/// The error is as large as the value. If a function returns the error of a large value
/// unchanged, Clippy reports `result_large_err`. A function that returns `Box<dyn
/// Error>`, or an error type that doesn't contain the value, avoids this.
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
    /// The value that wasn't stored.
    pub T,
);

impl<T> fmt::Display for PoolFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the pool is full: no block is free for a value of {} B, and the page source has no more memory; drop a box of \
             this pool, or give the pool more memory",
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
        // `io::Error` can't contain the value, which need not be `Send`, `Sync` or
        // `'static`. It gets the text instead.
        Self::new(std::io::ErrorKind::OutOfMemory, std::format!("{error}"))
    }
}

#[cfg(feature = "defmt")]
impl<T> defmt::Format for PoolFull<T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "the pool is full: no block is free for a value of {=usize} bytes", size_of::<T>());
    }
}
