//! The traits by which a box compares, hashes and formats like its value.

use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

use super::PoolBox;
use crate::Home;

impl<T: ?Sized, H: Home> AsRef<T> for PoolBox<T, H> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized, H: Home> AsMut<T> for PoolBox<T, H> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized, H: Home> Borrow<T> for PoolBox<T, H> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized, H: Home> BorrowMut<T> for PoolBox<T, H> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized + fmt::Debug, H: Home> fmt::Debug for PoolBox<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: ?Sized + fmt::Display, H: Home> fmt::Display for PoolBox<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: ?Sized, H: Home> fmt::Pointer for PoolBox<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl<T: ?Sized + defmt::Format, H: Home> defmt::Format for PoolBox<T, H> {
    fn format(&self, f: defmt::Formatter<'_>) {
        T::format(self, f);
    }
}

impl<T: ?Sized + PartialEq, H: Home> PartialEq for PoolBox<T, H> {
    fn eq(&self, other: &Self) -> bool {
        T::eq(self, other)
    }
}

impl<T: ?Sized + Eq, H: Home> Eq for PoolBox<T, H> {}

impl<T: ?Sized + PartialOrd, H: Home> PartialOrd for PoolBox<T, H> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        T::partial_cmp(self, other)
    }
}

impl<T: ?Sized + Ord, H: Home> Ord for PoolBox<T, H> {
    fn cmp(&self, other: &Self) -> Ordering {
        T::cmp(self, other)
    }
}

impl<T: ?Sized + Hash, H: Home> Hash for PoolBox<T, H> {
    fn hash<S: Hasher>(&self, state: &mut S) {
        T::hash(self, state);
    }
}
