//! Words in a `static` that threads, cores and interrupts share.

pub(crate) use cell::Shared;

/// A value that fits an atomic pointer: a word, or an optional function.
pub(crate) trait Word: Copy {
    /// The value of a new [`Shared`].
    #[cfg(not(target_has_atomic = "ptr"))]
    const ZERO: Self;

    #[cfg(target_has_atomic = "ptr")]
    fn into_raw(self) -> *mut ();

    /// # Safety
    ///
    /// The pointer came from `into_raw`, or is null, which stands for zero or `None`.
    #[cfg(target_has_atomic = "ptr")]
    unsafe fn from_raw(raw: *mut ()) -> Self;
}

impl Word for usize {
    #[cfg(not(target_has_atomic = "ptr"))]
    const ZERO: Self = 0;

    #[cfg(target_has_atomic = "ptr")]
    fn into_raw(self) -> *mut () {
        core::ptr::without_provenance_mut(self)
    }

    #[cfg(target_has_atomic = "ptr")]
    unsafe fn from_raw(raw: *mut ()) -> Self {
        raw.addr()
    }
}

impl<A> Word for Option<fn(&A)> {
    #[cfg(not(target_has_atomic = "ptr"))]
    const ZERO: Self = None;

    #[cfg(target_has_atomic = "ptr")]
    fn into_raw(self) -> *mut () {
        self.map_or(core::ptr::null_mut(), |function| function as *mut ())
    }

    #[cfg(target_has_atomic = "ptr")]
    unsafe fn from_raw(raw: *mut ()) -> Self {
        // SAFETY: by the caller's promise, the pointer is null, which is `None`, or came
        // from such a function.
        unsafe { core::mem::transmute::<*mut (), Self>(raw) }
    }
}

#[cfg(target_has_atomic = "ptr")]
mod cell {
    use core::marker::PhantomData;
    use core::sync::atomic::{AtomicPtr, Ordering};

    use super::Word;

    /// A word that is read and written atomically.
    ///
    /// *Invariant (Raw):* the pointer is null, or `into_raw` returned it for a `T`.
    #[derive(Debug)]
    pub(crate) struct Shared<T>(AtomicPtr<()>, PhantomData<T>);

    #[allow(dead_code, reason = "which of these are used depends on what is built")]
    impl<T: Word> Shared<T> {
        pub(crate) const fn new() -> Self {
            Self(AtomicPtr::new(core::ptr::null_mut()), PhantomData)
        }

        pub(crate) fn get(&self) -> T {
            // SAFETY: Raw.
            unsafe { T::from_raw(self.0.load(Ordering::Acquire)) }
        }

        pub(crate) fn set(&self, value: T) {
            self.0.store(value.into_raw(), Ordering::Release);
        }

        /// Sets the value and returns the previous one.
        pub(crate) fn replace(&self, value: T) -> T {
            // SAFETY: Raw.
            unsafe { T::from_raw(self.0.swap(value.into_raw(), Ordering::AcqRel)) }
        }

        /// Sets the value to the result of `f`, unless that is `None`. Returns the
        /// previous value.
        pub(crate) fn update(&self, f: impl Fn(T) -> Option<T>) -> T {
            // SAFETY: Raw.
            let value = |raw| unsafe { T::from_raw(raw) };
            let next = |raw| f(value(raw)).map(T::into_raw);
            let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
            value(before.unwrap_or_else(|unchanged| unchanged))
        }
    }
}

/// For chips without a compare-and-swap: the value is accessed in a critical section,
/// which the program provides.
#[cfg(all(not(target_has_atomic = "ptr"), feature = "critical-section"))]
mod cell {
    use core::cell::Cell;
    use core::fmt;

    use super::Word;

    /// A word that is read and written atomically.
    pub(crate) struct Shared<T>(critical_section::Mutex<Cell<T>>);

    #[allow(dead_code, reason = "which of these are used depends on what is built")]
    impl<T: Word> Shared<T> {
        pub(crate) const fn new() -> Self {
            Self(critical_section::Mutex::new(Cell::new(T::ZERO)))
        }

        pub(crate) fn get(&self) -> T {
            critical_section::with(|section| self.0.borrow(section).get())
        }

        pub(crate) fn set(&self, value: T) {
            self.replace(value);
        }

        /// Sets the value and returns the previous one.
        pub(crate) fn replace(&self, value: T) -> T {
            critical_section::with(|section| self.0.borrow(section).replace(value))
        }

        /// Sets the value to the result of `f`, unless that is `None`. Returns the
        /// previous value.
        pub(crate) fn update(&self, f: impl Fn(T) -> Option<T>) -> T {
            critical_section::with(|section| {
                let value = self.0.borrow(section);
                let before = value.get();
                if let Some(next) = f(before) {
                    value.set(next);
                }
                before
            })
        }
    }

    impl<T> fmt::Debug for Shared<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Shared").finish_non_exhaustive()
        }
    }
}

/// If neither is available, a `compile_error!` in `lib.rs` explains why. This stand-in
/// only keeps further errors out of the compiler's output.
#[cfg(not(any(target_has_atomic = "ptr", feature = "critical-section")))]
mod cell {
    use core::marker::PhantomData;

    #[derive(Debug)]
    pub(crate) struct Shared<T>(PhantomData<T>);

    impl<T: super::Word> Shared<T> {
        pub(crate) const fn new() -> Self {
            Self(PhantomData)
        }

        pub(crate) fn get(&self) -> T {
            T::ZERO
        }

        pub(crate) fn set(&self, _: T) {}

        pub(crate) fn replace(&self, _: T) -> T {
            T::ZERO
        }

        pub(crate) fn update(&self, _: impl Fn(T) -> Option<T>) -> T {
            T::ZERO
        }
    }
}
