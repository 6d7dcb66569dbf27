//! Fixed-size blocks in constant time, for firmware, kernels and programs that can't wait.
//!
//! An [`Arena`] hands out the 4 KiB pages of a [`Region`] in order. A [`FixedBlock`] cuts pages into blocks of one size
//! and takes them back. Both take a few instructions, every time. A [`Heap`] serves any size in the same pages, in a bounded number of
//! steps, and merges what is freed at once: it is the global allocator. Between these and an arena is a [`PageSource`]: an arena,
//! several, or whatever else hands out pages.
//!
//! ```text
//! Region                     Arena<R>                    FixedBlock<P>
//! who owns the memory        hands out 4 KiB pages,      cuts pages into equal blocks,
//!                            in order, never back        takes them back in O(1)
//!
//! Borrowed (&mut [..]) ─┐
//! RawRegion (kernels) ──┤    ┌───┬───┬───┬───┐           ┌──┬──┬──┬──┬──┬──────┐
//! StaticBuffer<PAGES> ──┼──► │ p0│ p1│   │   │ ──page──► │b0│b1│b2│b3│ fresh ──►│
//! Mapping (mmap) ───────┤    └───┴───┴─▲─┴───┘     ▲     └──┴▲─┴──┴▲─┴──┴──────┘
//! Boxed (std) ──────────┘            next      PageSource     └──◄──┘  free: LIFO
//! ```
//!
//! ```
//! use hpalloc::{Arena, FixedBlock, Page};
//!
//! let mut memory = [const { Page::new() }; 4];
//! let arena = Arena::from_pages(&mut memory)?;
//! let pool = FixedBlock::new(&arena, 64)?;
//!
//! let block = pool.allocate().ok_or("no block is free")?;
//! // SAFETY: the block is 64 bytes, used by nobody else, and given back once.
//! unsafe {
//!     block.write_bytes(0, 64);
//!     pool.deallocate(block);
//! }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Two pools over one arena, at four times (drawn by the example `memory_map`):
//!
#![doc = include_str!("../examples/memory_map.svg")]
//!
//! # Which type
//!
//! | If you need | use |
//! |---|---|
//! | values of one type, in boxes that return their block | [`Pool`] |
//! | blocks of one size, as bytes | [`FixedBlock`] |
//! | any size in little memory: `Box`, `Vec`, collections, the global allocator | [`Heap`] |
//! | the same, of sizes that are known, in some 20 instructions, from about 64 pages on | [`SizeClasses`] |
//! | whole pages, in order and for good | [`Arena`] |
//! | pages that come back | [`Heap`], with one or many in a block that is aligned to [`PAGE_SIZE`]; [`FixedBlock`], with single ones in constant time |
//! | a few KiB that are no pages | [`Heap::from_uninit`], [`Pool::from_uninit`], [`FixedBlock::from_uninit`] |
//! | any of these for several threads, cores or interrupts (none is `Sync` by itself) | [`Locked`] around it |
//! | a pool or a heap in a `static`, with its memory | [`static_pool!`], [`static_heap!`] |
//! | any of these in a `static`, over other memory, with no `init` | [`Lazy`] as its source of pages |
//! | a box that goes to another thread, a task or a queue, and keeps its pool alive | [`PoolBox::new_in`] |
//! | trait objects, slices, tasks in a pool | [`unsize!`], [`PoolBox::fit_in`] |
//! | how much memory is enough, in a constant | [`MemoryPlan`] |
//!
//! | memory | becomes an arena by |
//! |---|---|
//! | a slice | [`Arena::from_pages`], [`from_uninit`](Arena::from_uninit), [`from_uninit_trimmed`](Arena::from_uninit_trimmed) |
//! | an address range | [`Arena::from_raw`] |
//! | a `static`, a memory mapping, boxed pages | [`Arena::from_region`] of a `StaticBuffer`'s claim, a `Mapping`, a `Boxed` |
//! | of another kind | a [`Region`] of your own; or, without an arena, a [`PageSource`] |
//!
//! How these go together is shown for [firmware](guide::firmware), [kernels](guide::kernels) and [hosts](guide::hosts).
//! [Migration](guide::migration) says what the calls of other allocators become, and
//! [troubleshooting](guide::troubleshooting) what helps when it doesn't work.
//!
//! # What it costs
//!
//! | operation | cost | fails if |
//! |---|---|---|
//! | [`Arena::alloc_page`], [`alloc_pages`](Arena::alloc_pages) | constant | fewer pages are left; nothing is consumed |
//! | [`Arena::alloc_zeroed_page`] | constant on a fresh mapping, else one `memset` of a page | no page is left |
//! | [`Arena::reset`] | constant | never; it needs `&mut`, so nothing can be in use |
//! | [`FixedBlock::allocate`] | constant, no loop, no division; one call to the page source where no block is at hand | no block is free and no page is left |
//! | [`FixedBlock::deallocate`] | two stores | never |
//! | [`Pool::alloc`], and the drop of its box | as these, and moving or dropping the value | as `allocate`; the value comes back |
//! | [`Locked::with`], [`alloc`](Locked::alloc) | as what is locked, and waiting for whoever holds the lock | as what is locked |
//! | `Allocator::allocate`, `grow`, `shrink` for a pool | constant, in place | the request doesn't fit a block, or there is none |
//! | [`SizeClasses::allocate`], [`deallocate`](SizeClasses::deallocate) | constant: for up to 128 words as a pool's with a look into a table; for more, or an alignment above a word, a few steps that depend on the layout and the block sizes alone | no block of the class is free, and neither the source nor a free run has the pages; an alignment above 4096 |
//! | [`SizeClasses::grow`], [`shrink`](SizeClasses::shrink) | constant in place; to another class also a copy | as `allocate`; then nothing has changed |
//! | [`Heap::allocate`], [`deallocate`](Heap::deallocate), [`grow`](Heap::grow), [`shrink`](Heap::shrink) | bounded by the logarithm of the heap's size, and a copy if a block is moved | no free memory is large enough and no page is left |
//! | `GlobalAlloc` for `Locked<Heap>`, `Locked<SizeClasses>` | as these, and waiting for the lock | null where these fail |
//! | [`FixedBlock::peak_blocks`] | constant, and nothing is counted on the way | never |
//! | [`FixedBlock::free_blocks`] | linear in the result: for diagnosis | never |
//!
//! An arena is a positive multiple of 4096 bytes, at most [`MAX_ARENA_SIZE`]; for more memory, a pool takes an array of arenas.
//! A block is at least as large as a pointer and a multiple of its size, at most a whole arena. Its address is a multiple of
//! the largest power of two that divides its size (at most 4096). Blocks have no headers. They are carved in ascending order;
//! of the free ones, the last freed is the next allocated. Memory that was never handed out is not touched, unless it is
//! prefaulted. No page goes back before its arena does. This holds for the blocks of pools and size classes; for those of a heap
//! see [`Heap`].
//!
//! Nothing panics except what the program passes in (a closure, a hook; a region, a source or a lock of its own), and misuse that a
//! hardened program detects. What can't be served is `None`, or an error that says which bound was broken.
//!
//! # Features
//!
//! All are off by default, and each only adds, with one exception: `mmap` and `static-buffer` choose the region of [`Arena`] without
//! a parameter, and so of `Arena::new`. A library names the region that it means.
//!
//! | feature | adds |
//! |---|---|
//! | `mmap` | `Mapping`, and `Arena::new` over an anonymous memory mapping, through raw system calls |
//! | `static-buffer` | `StaticBuffer`, and `Arena::new` over a built-in one where `mmap` is off |
//! | `alloc` | [`PageSource`] and [`Home`] for `Rc`, `Arc` and `Box`: a struct that owns its arena, a box that owns a share of its pool |
//! | `std` | `alloc`, `Boxed`, the errors as `std::io::Error`, and `OsLock`, a lock for [`Locked`] that sleeps |
//! | `spin` | `Spin`, a spin lock for [`Locked`]; needs a compare-and-swap |
//! | `critical-section` | `CriticalSection` as a lock for [`Locked`] |
//! | `lock-api` | `RawLock`: any lock of the crate `lock_api` for [`Locked`] |
//! | `allocator-api2` | `Allocator` for pools and heaps, so that collections can be in their blocks |
//! | `stable-deref` | `StableDeref` for [`PoolBox`] |
//! | `defmt` | `defmt::Format` on the public types and errors |
//!
//! What changes the whole program is a `--cfg` that only its builder sets:
//!
//! | `--cfg` | effect |
//! |---|---|
//! | `hpalloc_hardened` | misuse of blocks is detected when they are freed or handed out again: see the module `hardened`. Blocks of pools and size classes take more memory, and what is constant above is linear in the block size |
//! | `hpalloc_asan` | `AddressSanitizer` is told which blocks are free |
//!
//! # Versions
//!
//! Versions follow Cargo's semantic versioning: before 1.0 a breaking change raises the second number, anything else the third.
//!
//! What is public and documented is the contract: signatures, bounds, the order in which blocks and pages come, when an
//! operation fails, and that it takes constant time where it says so. Not part of it are numbers of instructions, the sizes of
//! types, the values of [`DEFAULT_SIZES`], the text of errors and of `Debug`, `Display` and `defmt`, and what the documentation
//! hides. Errors and enums that are `non_exhaustive` may get variants.
//!
//! A breaking change is also another incompatible version of a crate whose types or traits appear here: `allocator-api2`,
//! `critical-section`, `defmt`, `lock_api`, `spin`, `stable_deref_trait`. A newer minimum version of Rust, which is the
//! `rust-version` in `Cargo.toml`, is not: Cargo then chooses a version of hpalloc that the compiler at hand can build.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    all(test, target_os = "none"),
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", all(test, not(target_os = "none"))))]
extern crate std;

#[cfg(all(test, target_os = "none"))]
test::entry!(test_main);

#[cfg(target_pointer_width = "16")]
compile_error!(
    "hpalloc: this target has 16-bit pointers; hpalloc needs 32 or 64 bits, because an arena may have 256 MiB and a page has 4 KiB"
);

#[cfg(all(feature = "mmap", windows))]
compile_error!(
    "hpalloc: the feature `mmap` needs a Unix-like operating system; on Windows turn it off, and use `Boxed` (feature `std`), \
     whose pages come from the global allocator"
);

#[cfg(all(
    feature = "mmap",
    not(windows),
    any(not(unix), target_os = "espidf", target_os = "horizon", target_os = "vita")
))]
compile_error!(
    "hpalloc: the feature `mmap` needs a Unix-like operating system with memory mappings; on bare metal use the feature \
     `static-buffer`, or `Arena::from_raw` with no feature at all"
);

#[cfg(all(feature = "static-buffer", not(target_has_atomic = "ptr"), not(feature = "critical-section")))]
compile_error!(
    "hpalloc: this chip has no compare-and-swap, so the feature `static-buffer` also needs the feature `critical-section`: \
     claiming a static buffer takes one, which the program provides (see the crate `critical-section`)"
);

#[cfg(all(hpalloc_hardened, not(target_has_atomic = "ptr"), not(feature = "critical-section")))]
compile_error!(
    "hpalloc: this chip has no compare-and-swap, so `--cfg hpalloc_hardened` also needs the feature `critical-section`, \
     which the program provides (see the crate `critical-section`)"
);

#[cfg(all(feature = "spin", not(target_has_atomic = "8")))]
compile_error!(
    "hpalloc: this chip has no compare-and-swap, which a spin lock takes; use the feature `critical-section` and the lock \
     `CriticalSection` instead of the feature `spin`"
);

// The order of these lines is that of the layers: a module uses only those above it.
mod page;
mod poison;
mod seal;
#[cfg(any(feature = "static-buffer", hpalloc_hardened))]
mod shared;
mod arena_error;
mod region;
mod page_source;
mod arena;
mod lazy;
mod block_size_error;
mod block_size;
#[cfg(hpalloc_hardened)]
#[cfg_attr(docsrs, doc(cfg(hpalloc_hardened)))]
pub mod hardened;
#[cfg(not(hpalloc_hardened))]
#[path = "unhardened.rs"]
mod hardened;
mod free_list;
mod carver;
mod fixed_block;
mod pool;
mod by_layout;
mod run_size;
mod size_table;
mod size_classes;
mod heap_error;
mod heap;
mod lock;
mod locked;
mod statics;
mod allocator;
mod memory_plan;
#[cfg(all(doc, not(doctest)))]
pub mod guide;

pub use arena::Arena;
pub use arena_error::{ArenaError, MAX_ARENA_SIZE};
pub use block_size::{BlockSize, DEFAULT_BLOCK_SIZE};
pub use block_size_error::BlockSizeError;
pub use fixed_block::{FixedBlock, NoPages};
#[cfg(hpalloc_hardened)]
pub use hardened::MisuseError;
pub use heap::{Heap, HeapUsage};
pub use heap_error::HeapError;
pub use lazy::Lazy;
#[cfg(feature = "critical-section")]
pub use lock::CriticalSection;
#[cfg(feature = "lock-api")]
pub use lock::RawLock;
#[cfg(all(feature = "spin", target_has_atomic = "8"))]
pub use lock::Spin;
#[cfg(all(
    feature = "std",
    // The targets whose standard library has a mutex that is not boxed, and native thread-local values. Android, OpenBSD and
    // Windows with the GNU tools can follow when `rust-version` is 1.93: their thread-local values are then allocated by the
    // system's allocator.
    any(
        all(
            target_os = "linux",
            not(target_env = "ohos"),
            not(all(target_arch = "x86_64", target_pointer_width = "32"))
        ),
        target_os = "freebsd",
        target_os = "dragonfly",
        target_os = "fuchsia",
        target_os = "hermit",
        all(target_family = "wasm", not(target_os = "emscripten")),
        all(target_os = "windows", target_env = "msvc", not(target_vendor = "win7")),
    )
))]
pub use lock::os_lock::OsLock;
pub use lock::{Acquire, Lock};
pub use locked::{Locked, LockedBox, LockedGuard};
pub use memory_plan::MemoryPlan;
pub use page::{PAGE_SIZE, Page};
pub use page_source::PageSource;
pub use pool::{Home, Pool, PoolBox, PoolFull};
#[cfg(feature = "std")]
pub use region::Boxed;
#[cfg(any(feature = "mmap", feature = "static-buffer"))]
pub use region::DefaultRegion;
#[cfg(feature = "mmap")]
pub use region::{Backing, HugePages, Mapping, MappingOptions};
pub use region::{Borrowed, RawRegion, Region};
#[cfg(feature = "static-buffer")]
pub use region::{DEFAULT_BUFFER, StaticBuffer, StaticPages, StaticRegion};
pub use size_classes::{SizeClasses, SizeClassesUsage};
pub use size_table::{DEFAULT_CLASSES, DEFAULT_SIZES, SizeTable};
#[doc(hidden)]
pub use statics::{HeapMemory, PoolMemory};
pub use statics::{StaticBox, StaticHeap, StaticMemory, StaticPool};

/// What `static_heap!` expands to, whatever the name means in the program.
#[doc(hidden)]
pub use core::prelude::v1::global_allocator as __global_allocator;

/// Whether the program is built with `--cfg hpalloc_hardened`, so that misuse of blocks is detected.
///
/// ```
/// // In a program that must not be built without: `const _: () = assert!(hpalloc::IS_HARDENED);`
/// println!("hardened: {}", hpalloc::IS_HARDENED);
/// ```
pub const IS_HARDENED: bool = cfg!(hpalloc_hardened);

/// The code of the README and of the guide, as doctests: it uses features of all kinds, but not the larger blocks of a hardened program.
#[cfg(all(
    doctest,
    feature = "allocator-api2",
    feature = "critical-section",
    feature = "mmap",
    feature = "spin",
    feature = "static-buffer",
    feature = "std",
    // The pages for hosts have `OsLock`, which not all targets have.
    target_os = "linux",
    not(hpalloc_hardened)
))]
mod examples {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("guide/firmware.md")]
    mod firmware {}
    #[doc = include_str!("guide/kernels.md")]
    mod kernels {}
    #[doc = include_str!("guide/hosts.md")]
    mod hosts {}
    #[doc = include_str!("guide/migration.md")]
    mod migration {}
}
