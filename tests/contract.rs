//! Guarantees of the public types, which are checked when this file compiles.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::error::Error;
use core::fmt::{Debug, Display};
use core::hash::Hash;

use hpalloc::{
    Arena, ArenaError, BlockSize, BlockSizeError, Borrowed, FixedBlock, Heap, HeapError, HeapUsage, Lazy, Lock, Locked,
    LockedBox, NoPages, PAGE_SIZE, Page, PageSource, Pool, PoolBox, RawRegion, Region, SizeClasses, SizeTable,
};
use static_assertions::{assert_eq_size, assert_impl_all, assert_not_impl_any, assert_obj_safe, const_assert_eq};

assert_impl_all!(ArenaError: Error, Display, Debug, Clone, PartialEq, Eq, Send, Sync);
assert_impl_all!(BlockSizeError: Error, Display, Debug, Clone, PartialEq, Eq, Send, Sync);
assert_impl_all!(BlockSize: Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Send, Sync);
assert_impl_all!(Page: Debug, Default, Send, Sync);

assert_impl_all!(Arena<Borrowed<'static>>: PageSource, Debug, Send);
assert_not_impl_any!(Arena<Borrowed<'static>>: Sync, Clone, Copy);
assert_impl_all!(Arena<RawRegion>: PageSource, Debug, Send);
assert_not_impl_any!(Arena<RawRegion>: Sync, Clone, Copy);

assert_impl_all!(FixedBlock<Arena<RawRegion>>: Debug, Send);
assert_impl_all!(FixedBlock<[Arena<RawRegion>; 2]>: Debug, Send);
assert_impl_all!(FixedBlock<(Arena<RawRegion>, Lazy<RawRegion>)>: Debug, Send);
assert_not_impl_any!(FixedBlock<Arena<RawRegion>>: Sync, Clone, Copy);
assert_not_impl_any!(FixedBlock<&'static Arena<RawRegion>>: Send, Sync);

assert_impl_all!(SizeTable: Debug, Clone, Send, Sync);
assert_impl_all!(SizeClasses<Arena<RawRegion>>: Debug, Display, Send);
assert_not_impl_any!(SizeClasses<Arena<RawRegion>>: Sync, Clone, Copy);
assert_not_impl_any!(SizeClasses<&'static Arena<RawRegion>>: Send, Sync);
// A heap is a global allocator only inside a `Locked`.
assert_impl_all!(Locked<SizeClasses<Lazy<RawRegion>>, ()>: Send, Sync);
assert_not_impl_any!(SizeClasses<Lazy<RawRegion>>: GlobalAlloc);
assert_impl_all!(Heap<Arena<RawRegion>>: Debug, PageSource, Send);
assert_impl_all!(Heap<NoPages<'static>>: Debug, PageSource, Send);
assert_not_impl_any!(Heap<Arena<RawRegion>>: Sync, Clone, Copy);
assert_not_impl_any!(Heap<&'static Arena<RawRegion>>: Send, Sync);
assert_impl_all!(Locked<Heap<Lazy<RawRegion>>, ()>: Send, Sync);
assert_not_impl_any!(Heap<Lazy<RawRegion>>: GlobalAlloc);
assert_impl_all!(HeapUsage: Clone, Copy, Debug, Display, PartialEq, Send, Sync);
assert_impl_all!(HeapError: Clone, Debug, Display, Error, PartialEq, Send, Sync);

assert_impl_all!(Lazy<RawRegion>: PageSource, Debug, Send);
assert_not_impl_any!(Lazy<RawRegion>: Sync);
assert_obj_safe!(Region, PageSource);

assert_impl_all!(Pool<Cell<u8>, Arena<RawRegion>>: Debug, Send);
assert_not_impl_any!(Pool<u8, Arena<RawRegion>>: Sync, Clone, Copy);
assert_not_impl_any!(Pool<u8, &'static Arena<RawRegion>>: Send, Sync);
assert_impl_all!(PoolBox<u8, &'static Pool<u8, Arena<RawRegion>>>: Debug, Display, Hash, Ord, AsRef<u8>, AsMut<u8>, Sync, Unpin);
assert_not_impl_any!(PoolBox<u8, &'static Pool<u8, Arena<RawRegion>>>: Send, Clone, Copy);
assert_not_impl_any!(PoolBox<Cell<u8>, &'static Pool<Cell<u8>, Arena<RawRegion>>>: Sync);
assert_eq_size!(
    PoolBox<[u8; 100], &'static Pool<[u8; 100], Arena<RawRegion>>>,
    Option<PoolBox<u8, &'static Pool<u8, Arena<RawRegion>>>>,
    [usize; 2]
);

/// A lock that is `Sync`, and one that isn't.
struct Shared;
struct Unshared(Cell<()>);

macro_rules! locks {
    ($($lock:ident, $unlocked:expr;)*) => {$(
        // SAFETY: these tests never use the lock.
        unsafe impl Lock for $lock {
            const UNLOCKED: Self = $unlocked;

            fn with<R>(&self, f: impl FnOnce() -> R) -> R {
                f()
            }

            fn try_with<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
                Some(f())
            }
        }
    )*};
}

locks! {
    Shared, Shared;
    Unshared, Unshared(Cell::new(()));
}

assert_impl_all!(Locked<FixedBlock<Arena<RawRegion>>, Shared>: Debug, Send, Sync);
assert_impl_all!(Locked<Lazy<RawRegion>, Shared>: PageSource, Sync);
assert_impl_all!(FixedBlock<&'static Locked<Arena<RawRegion>, Shared>>: Send);
assert_not_impl_any!(FixedBlock<&'static Locked<Arena<RawRegion>, Shared>>: Sync);
assert_not_impl_any!(Locked<FixedBlock<Arena<RawRegion>>, Unshared>: Sync);
assert_not_impl_any!(Locked<*mut u8, Shared>: Send, Sync);
assert_impl_all!(LockedBox<'static, u8, Arena<RawRegion>, Shared>: Send, Sync);
assert_not_impl_any!(LockedBox<'static, *mut u8, Arena<RawRegion>, Shared>: Send, Sync);
assert_impl_all!(LockedBox<'static, Cell<u8>, Arena<RawRegion>, Shared>: Send);
assert_not_impl_any!(LockedBox<'static, Cell<u8>, Arena<RawRegion>, Shared>: Sync);
assert_not_impl_any!(LockedBox<'static, u8, Arena<RawRegion>, Unshared>: Send);

#[cfg(feature = "spin")]
mod guards {
    use hpalloc::LockedGuard;
    use static_assertions::{assert_impl_all, assert_not_impl_any};

    // A guard hands out shared references, so a guard of a value that isn't `Sync` must
    // stay on its thread.
    assert_impl_all!(LockedGuard<'static, u8, hpalloc::Spin>: Send, Sync);
    assert_not_impl_any!(LockedGuard<'static, core::cell::Cell<u8>, hpalloc::Spin>: Send, Sync);
}

#[cfg(feature = "stable-deref")]
mod stable {
    use hpalloc::{Arena, Pool, PoolBox, RawRegion};

    static_assertions::assert_impl_all!(
        PoolBox<[u8; 64], &'static Pool<[u8; 64], Arena<RawRegion>>>: stable_deref_trait::StableDeref
    );
}

const_assert_eq!(size_of::<Page>(), PAGE_SIZE);
const_assert_eq!(align_of::<Page>(), PAGE_SIZE);
#[cfg(not(hpalloc_asan))]
const_assert_eq!(size_of::<Arena<RawRegion>>(), 4 * size_of::<usize>());
#[cfg(not(hpalloc_hardened))]
const_assert_eq!(size_of::<BlockSize>(), 8);
#[cfg(not(any(hpalloc_hardened, hpalloc_asan)))]
static_assertions::const_assert!(size_of::<FixedBlock<&Arena<RawRegion>>>() <= 7 * size_of::<usize>());

#[cfg(feature = "mmap")]
mod mmap {
    use hpalloc::{Arena, DefaultRegion, FixedBlock, Mapping, MappingOptions};
    use static_assertions::{assert_impl_all, assert_not_impl_any, assert_type_eq_all};

    assert_type_eq_all!(DefaultRegion, Mapping);
    assert_impl_all!(Arena: Send);
    assert_not_impl_any!(Arena: Sync);
    assert_impl_all!(FixedBlock<Arena>: Send);
    assert_impl_all!(MappingOptions: Default, Clone, Send, Sync);
}

#[cfg(feature = "static-buffer")]
mod static_buffer {
    use hpalloc::{Arena, StaticBuffer, StaticRegion};
    use static_assertions::{assert_impl_all, assert_not_impl_any};

    assert_impl_all!(StaticBuffer<1>: Send, Sync);
    assert_impl_all!(Arena<StaticRegion>: Send);
    assert_not_impl_any!(Arena<StaticRegion>: Sync);
    #[cfg(not(feature = "mmap"))]
    static_assertions::assert_type_eq_all!(hpalloc::DefaultRegion, StaticRegion);
}

#[cfg(feature = "std")]
mod std {
    use hpalloc::{Arena, ArenaError, BlockSizeError, Boxed};
    use static_assertions::{assert_impl_all, assert_not_impl_any};

    assert_impl_all!(Arena<Boxed>: Send);
    assert_not_impl_any!(Arena<Boxed>: Sync);
    assert_impl_all!(std::io::Error: From<ArenaError>, From<BlockSizeError>);
}

#[cfg(feature = "defmt")]
mod defmt {
    use defmt::Format;
    use hpalloc::{Arena, ArenaError, BlockSize, BlockSizeError, FixedBlock, Lazy, RawRegion, SizeClasses, SizeTable};
    use static_assertions::assert_impl_all;

    assert_impl_all!(ArenaError: Format);
    assert_impl_all!(BlockSizeError: Format);
    assert_impl_all!(BlockSize: Format);
    assert_impl_all!(Arena<RawRegion>: Format);
    assert_impl_all!(FixedBlock<Arena<RawRegion>>: Format);
    assert_impl_all!(SizeClasses<Arena<RawRegion>, 4>: Format);
    assert_impl_all!(SizeTable<4>: Format);
    assert_impl_all!(Lazy<RawRegion>: Format);
    assert_impl_all!(RawRegion: Format);
    assert_impl_all!(hpalloc::Borrowed<'static>: Format);
    assert_impl_all!(hpalloc::Page: Format);
    #[cfg(feature = "mmap")]
    assert_impl_all!(hpalloc::Mapping: Format);
    #[cfg(feature = "mmap")]
    assert_impl_all!(hpalloc::MappingOptions: Format);
    #[cfg(feature = "static-buffer")]
    assert_impl_all!(hpalloc::StaticRegion: Format);
    #[cfg(feature = "static-buffer")]
    assert_impl_all!(hpalloc::StaticBuffer<1>: Format);
    #[cfg(feature = "std")]
    assert_impl_all!(hpalloc::Boxed: Format);
}

/// Pins down the signatures of the public functions. If one changes, this test doesn't
/// compile.
#[test]
fn signatures() {
    use core::mem::MaybeUninit;
    use core::ptr::NonNull;

    type Made<R> = Result<Arena<R>, ArenaError>;
    type Bytes = &'static mut [MaybeUninit<u8>];
    type A = Arena<RawRegion>;
    type F = FixedBlock<A>;
    type S = SizeClasses<A>;
    type H = Heap<A>;
    type Allocate = fn(&H, Layout) -> Option<NonNull<u8>>;
    type ResizeAny = unsafe fn(&H, NonNull<u8>, Layout, Layout) -> Option<NonNull<u8>>;
    type Resize = unsafe fn(&S, NonNull<u8>, Layout, Layout) -> Option<NonNull<u8>>;
    let _: fn(&'static mut [Page]) -> Made<Borrowed<'static>> = Arena::from_pages;
    let _: fn(Bytes) -> Made<Borrowed<'static>> = Arena::from_uninit;
    let _: fn(Bytes) -> Made<Borrowed<'static>> = Arena::from_uninit_trimmed;
    let _: unsafe fn(NonNull<[u8]>) -> Made<RawRegion> = Arena::from_raw;
    let _: fn(RawRegion) -> Made<RawRegion> = Arena::from_region;
    let _: fn(&A) -> Option<&mut Page> = A::alloc_page;
    let _: fn(&A, usize) -> Option<&mut [Page]> = A::alloc_pages;
    let _: fn(&A) -> Option<&mut [u8; PAGE_SIZE]> = A::alloc_zeroed_page;
    let _: [fn(&A) -> usize; 4] = [A::page_size, A::pages_allocated, A::total_pages, A::pages_remaining];
    let _: fn(&mut A) = A::reset;
    let _: fn(A, usize) -> Result<F, BlockSizeError> = F::new;
    let _: fn(A, BlockSize) -> F = F::with_block_size;
    let _: fn(&F) -> Option<NonNull<u8>> = F::allocate;
    let _: unsafe fn(&F, NonNull<u8>) = F::deallocate;
    let _: [fn(&F) -> usize; 5] = [F::block_size, F::block_align, F::blocks_per_page, F::peak_blocks, F::free_blocks];
    let _: fn(A) -> S = S::new;
    let _: fn(A, &'static SizeTable) -> S = S::with_table;
    let _: fn(&S, Layout) -> Option<NonNull<u8>> = S::allocate;
    let _: unsafe fn(&S, NonNull<u8>, Layout) = S::deallocate;
    let _: [Resize; 2] = [S::grow, S::shrink];
    let _: fn(&S, Layout) -> usize = S::usable_size;
    let _: [fn(&S) -> [usize; 27]; 2] = [S::peak_blocks, S::free_blocks];
    let _: fn(A) -> H = H::new;
    let _: fn(Bytes) -> Result<Heap<NoPages<'static>>, HeapError> = Heap::from_uninit;
    let _: [Allocate; 2] = [H::allocate, H::allocate_zeroed];
    let _: unsafe fn(&H, NonNull<u8>, Layout) = H::deallocate;
    let _: [ResizeAny; 2] = [H::grow, H::shrink];
    let _: [fn(&H) -> usize; 3] = [H::used, H::free, H::largest_free];
    let make: fn() -> Made<RawRegion> = || Err(ArenaError::InvalidSize { size: 0 });
    let _: Lazy<RawRegion> = Lazy::new(make);
    let _: fn(&A, usize) -> Option<NonNull<Page>> = <A as PageSource>::take_pages;
    #[cfg(any(feature = "mmap", feature = "static-buffer"))]
    let _: fn(usize) -> Result<Arena, ArenaError> = Arena::new;
}
