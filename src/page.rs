use core::fmt;
use core::mem::MaybeUninit;

use static_assertions::{const_assert, const_assert_eq};

/// The size of a [`Page`] in bytes: 4 KiB, whatever the page size of the machine.
///
/// ```
/// assert_eq!(hpalloc::PAGE_SIZE, 4096);
/// ```
pub const PAGE_SIZE: usize = 4096;

// The crate's arithmetic relies on both: it masks and shifts with the page size, and
// `MAX_ARENA_SIZE` must fit in a `usize`.
const_assert!(PAGE_SIZE.is_power_of_two());
const_assert!(usize::BITS >= 32);
const_assert_eq!(size_of::<Page>(), PAGE_SIZE);
const_assert_eq!(align_of::<Page>(), PAGE_SIZE);

/// 4 KiB of memory on a 4 KiB boundary, with unspecified contents.
///
/// An arena hands out pages one by one. The bytes of a page may be uninitialized: access
/// them through [`as_uninit_mut`](Self::as_uninit_mut), or after [`zero`](Self::zero).
///
/// ```
/// use hpalloc::{PAGE_SIZE, Page};
///
/// assert_eq!(size_of::<Page>(), PAGE_SIZE);
/// assert_eq!(align_of::<Page>(), PAGE_SIZE);
/// ```
#[repr(C, align(4096))]
pub struct Page([MaybeUninit<u8>; PAGE_SIZE]);

impl Page {
    /// Creates a page of uninitialized memory.
    ///
    /// In a `static`, it uses space in `.bss` and none in the image.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// use hpalloc::{Arena, Page};
    ///
    /// let mut pages = [const { Page::new() }; 2];
    /// let arena = Arena::from_pages(&mut pages)?;
    /// assert_eq!(arena.total_pages(), 2);
    /// # Ok::<(), hpalloc::ArenaError>(())
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self([MaybeUninit::uninit(); PAGE_SIZE])
    }

    /// Returns the bytes of the page, which may be uninitialized.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// let mut page = hpalloc::Page::new();
    /// page.as_uninit_mut()[7].write(42);
    /// ```
    pub const fn as_uninit_mut(&mut self) -> &mut [MaybeUninit<u8>; PAGE_SIZE] {
        &mut self.0
    }

    /// Returns a pointer to the first byte of the page, valid for the whole page while
    /// the borrow lasts.
    ///
    /// Constant time. Never panics.
    ///
    /// ```
    /// let mut page = hpalloc::Page::new();
    /// let first = page.as_mut_ptr();
    /// // SAFETY: the page is borrowed mutably, and byte 4095 is its last.
    /// unsafe { first.add(4095).write(1) };
    /// ```
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    /// Writes zero to every byte, in place, and returns the bytes as initialized memory.
    ///
    /// # Time complexity
    ///
    /// One `memset` of [`PAGE_SIZE`] bytes.
    ///
    /// # Panics
    ///
    /// Never.
    ///
    /// ```
    /// let mut page = hpalloc::Page::new();
    /// assert!(page.zero().iter().all(|&byte| byte == 0));
    /// ```
    pub const fn zero(&mut self) -> &mut [u8; PAGE_SIZE] {
        let bytes: *mut [u8; PAGE_SIZE] = self.0.as_mut_ptr().cast();
        // SAFETY: `bytes` is derived from `&mut self` for all of its `PAGE_SIZE` bytes,
        // and is the only way to access them while the result lives. They are initialized
        // before the reference to them is created.
        unsafe {
            bytes.write_bytes(0, 1);
            &mut *bytes
        }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes may be uninitialized, so they can't be printed.
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Page {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Page");
    }
}
