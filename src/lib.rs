//! A memory allocator for firmware, kernels and low-latency programs: pools whose worst
//! case is an exact number of instructions, and a heap that needs little memory.
//!
//! [`Pool`] allocates values of one type in constant time. On a Cortex-M3, allocating
//! takes 9 instructions for a freed block, 16 for a block never used before, and 46 with
//! a new page; freeing takes 6. A lock, setup at the first allocation, and moving the
//! value are extra. [`Heap`] serves any size in a bounded number of steps, merges freed
//! memory immediately, and can be the global allocator.
//!
//! ```
//! use hpalloc::{Arena, Page, Pool};
//!
//! let mut memory = [const { Page::new() }; 4]; // 16 KiB; or a `static`, or a mapping
//! let arena = Arena::from_pages(&mut memory)?;
//! let packets = Pool::new(&arena);
//!
//! let mut packet = packets.alloc([0_u8; 128])?; // a box in a block of the pool
//! packet[0] = 0x45;
//! drop(packet); // the block returns to the pool
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! The guides for [firmware](guide::firmware), [kernels](guide::kernels) and
//! [hosts](guide::hosts) each begin with a complete program.
//! [Migration](guide::migration) translates the calls of other allocators, and
//! [troubleshooting](guide::troubleshooting) lists error messages and their remedies.
//!
//! # Which type
//!
//! | If you need | use |
//! |---|---|
//! | values of one type, in boxes that return their block | [`Pool`] |
//! | blocks of any size in little memory; `Box` and `Vec`; a global allocator | [`Heap`] |
//! | blocks of any size in fewer instructions (a median of 52, against 267 for a `Heap`), at several times a `Heap`'s memory | [`SizeClasses`], for known sizes and at least 64 pages |
//! | a pool or a heap in a `static`, with its memory | [`static_pool!`], [`static_heap!`] |
//! | to share one between threads, cores or interrupts | [`Locked`] around it |
//! | a box that keeps its pool alive, for another thread, a task or a queue | [`PoolBox::new_in`] |
//! | trait objects, slices or tasks in a pool | [`unsize!`], [`PoolBox::fit_in`] |
//! | raw blocks of one size | [`FixedBlock`] |
//! | pages of 4 KiB that are never freed one by one | [`Arena`] |
//! | pages that you free one by one | [`FixedBlock`], for single pages in constant time; [`Heap`], for any number of contiguous pages |
//! | the number of pages that your pools need, as a constant | [`MemoryPlan`] |
//!
//! # Where the memory comes from
//!
//! | Your memory | use |
//! |---|---|
//! | a slice of pages | [`Arena::from_pages`] |
//! | a slice of bytes | [`Arena::from_uninit`], [`Arena::from_uninit_trimmed`] |
//! | a few KiB, without pages | [`Pool::from_uninit`], [`Heap::from_uninit`], [`FixedBlock::from_uninit`] |
//! | an address range of whole pages | [`Arena::from_raw`], for up to 256 MiB |
//! | a `static`, a memory mapping, boxed pages | [`Arena::from_region`], with the region that claiming a `StaticBuffer` returns, a `Mapping`, or a `Boxed` |
//! | an arena in a `static`, created at its first use | [`Lazy`] |
//! | anything else | a [`Region`] of your own, or a [`PageSource`] without an arena |
//!
//! A [`Region`] owns the memory. An [`Arena`] hands out its pages in order. Pools and
//! heaps get their pages from a [`PageSource`]: an arena, several arenas, another heap,
//! or your own.
//!
//! ```text
//! Region                     Arena<R>                    FixedBlock<P>, Pool<T, P>
//! owns the memory            hands out 4 KiB pages       cuts pages into equal blocks
//!
//! Borrowed (&mut [..]) ─┐
//! RawRegion (kernels) ──┤    ┌───┬───┬───┬───┐           ┌──┬──┬──┬──┬──┬──────┐
//! StaticBuffer<PAGES> ──┼──► │ p0│ p1│   │   │ ──page──► │b0│b1│b2│b3│ fresh ──►│
//! Mapping (mmap) ───────┤    └───┴───┴─▲─┴───┘     ▲     └──┴▲─┴──┴▲─┴──┴──────┘
//! Boxed (std) ──────────┘            next      PageSource     └──◄──┘  free: LIFO
//! ```
//!
//! Two pools over one arena, at four points in time (drawn by the example `memory_map`):
//!
#![doc = include_str!("../examples/memory_map.svg")]
//!
//! - The size of an arena is a positive multiple of 4096 bytes, at most
//!   [`MAX_ARENA_SIZE`]. For more memory, a pool takes an array of arenas. An arena gets
//!   its pages back only when it is reset or dropped.
//! - The size of a block is a multiple of the size of a pointer, and at most the size of
//!   an arena. The address of a block in an arena is a multiple of the largest power of
//!   two that divides its size, up to 4096. Blocks have no headers.
//! - Fresh blocks are carved in ascending order. The block that was freed last is
//!   allocated first.
//! - A pool doesn't touch memory before it hands the memory out, except in a hardened
//!   build. A heap touches a few pages at its first use.
//!
//! # What it costs
//!
//! | Operation | costs | fails if |
//! |---|---|---|
//! | [`Pool::alloc`] | constant time, and moving the value | no block is free and no page is left; the error returns the value |
//! | dropping a [`PoolBox`] | constant time, and dropping the value | never |
//! | [`FixedBlock::allocate`] | constant time; one call to the page source if no block is free or fresh | no block is free and no page is left |
//! | [`FixedBlock::deallocate`] | two stores | never |
//! | [`Heap::allocate`], [`deallocate`](Heap::deallocate) | logarithmic in the size of the heap, for each arena or run of pages that it consists of | no free range that it examines is large enough and no page is left; `deallocate` never fails |
//! | [`Heap::grow`], [`shrink`](Heap::shrink) | the same, and a copy if the block moves | as `allocate`; the block is then unchanged |
//! | [`SizeClasses::allocate`], [`deallocate`](SizeClasses::deallocate) | up to 128 words: constant time, that of a pool plus a table lookup. Above that: a few more steps, which depend only on the layout and the block sizes | no block of the class is free, and neither the source nor a free run has the pages; or the alignment is above 4096 |
//! | [`SizeClasses::grow`], [`shrink`](SizeClasses::shrink) | constant time in place; otherwise a copy to another class | as `allocate`; the block is then unchanged |
//! | `Allocator` for a pool | constant time, in place | the request doesn't fit a block, or no block is free |
//! | [`Locked::with`], [`alloc`](Locked::alloc), `GlobalAlloc` | the same as unlocked, and waiting for the lock's holder | as unlocked; `GlobalAlloc` returns null |
//! | [`Arena::alloc_page`], [`alloc_pages`](Arena::alloc_pages) | constant time | too few pages are left; none is consumed |
//! | [`Arena::alloc_zeroed_page`] | constant time on a fresh mapping, otherwise a `memset` of one page | no page is left |
//! | [`Arena::reset`] | constant time | never; it needs `&mut`, so nothing can be in use |
//! | [`FixedBlock::peak_blocks`] | constant time; `allocate` keeps no counter | never |
//! | [`FixedBlock::free_blocks`] | linear in the number of free blocks; only for diagnosis | never |
//!
//! The first touch of a fresh mapping is a page fault, which costs a thousand times as
//! much as an allocation: see [prefaulting](guide::hosts).
//!
//! A request that can't be served returns `None` or an error that names the violated
//! bound. hpalloc itself panics only if a hardened build detects misuse, or if, on a
//! target without threads, an `OsLock` is acquired while it is already held. Your own
//! closures, hooks, regions, page sources and locks may panic.
//!
//! # Features
//!
//! All features are off by default. They are additive, with one exception: `mmap` and
//! `static-buffer` choose the region of an [`Arena`] without a parameter, and so the
//! memory that `Arena::new` uses. A library should therefore name its region type.
//!
//! | feature | adds |
//! |---|---|
//! | `critical-section` | `CriticalSection`, a lock for one core and its interrupts; the default of [`static_pool!`] and [`static_heap!`] |
//! | `static-buffer` | `StaticBuffer`, and `Arena::new` over a built-in buffer if `mmap` is off |
//! | `mmap` | `Mapping`, and `Arena::new` over an anonymous memory mapping, by raw system calls on Linux |
//! | `alloc` | [`PageSource`] and [`Home`] for `Rc`, `Arc` and `Box`: a struct that owns its arena, a box that owns a share of its pool |
//! | `std` | `alloc`; `Boxed` pages; errors as `std::io::Error`; `OsLock`, a lock whose waiting threads sleep |
//! | `spin` | `Spin`, a spin lock; needs a compare-and-swap |
//! | `lock-api` | `RawLock`: any lock of the crate `lock_api` |
//! | `allocator-api2` | `Allocator` for pools and heaps, for collections on stable Rust |
//! | `stable-deref` | `StableDeref` for [`PoolBox`] |
//! | `defmt` | `defmt::Format` for the public types and errors |
//!
//! Two options affect the whole program. Each is a `--cfg` and not a feature: any
//! dependency can turn on a feature, but only whoever builds the program sets a `--cfg`.
//!
//! | `--cfg` | effect |
//! |---|---|
//! | `hpalloc_hardened` | detects misuse of blocks when they are freed or handed out again: see the module `hardened`. Blocks of pools and size classes need more memory, and the constant times above become linear in the block size |
//! | `hpalloc_asan` | tells `AddressSanitizer` which blocks are free |
//!
//! # Versions
//!
//! Versions follow Cargo's semantic versioning. Before 1.0, a breaking change raises the
//! second number, and any other change the third.
//!
//! The contract covers everything documented as public: signatures, bounds, the order of
//! blocks and pages, when each operation fails, and which operations take constant time.
//! The contract does not include instruction counts, the sizes of types, the values of
//! [`DEFAULT_SIZES`], the text of errors and of `Debug`, `Display` and `defmt`, or hidden
//! items. Errors and enums that are `non_exhaustive` may gain variants.
//!
//! Moving to an incompatible version of one of these crates, whose types or traits are
//! part of the API, is a breaking change too: `allocator-api2`, `critical-section`,
//! `defmt`, `lock_api`, `spin`, `stable_deref_trait`. Raising the minimum Rust version
//! (`rust-version` in `Cargo.toml`) is not a breaking change: Cargo then selects a
//! version of hpalloc that your compiler can build.

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
    "hpalloc: this target has 16-bit pointers; hpalloc needs 32 or 64 bits, because an arena may have 256 MiB"
);

#[cfg(all(feature = "mmap", windows))]
compile_error!(
    "hpalloc: the feature `mmap` needs a Unix-like operating system; on Windows, turn it off and use `Boxed` (feature `std`), \
     which gets its pages from the global allocator"
);

#[cfg(all(
    feature = "mmap",
    not(windows),
    any(not(unix), target_os = "espidf", target_os = "horizon", target_os = "vita")
))]
compile_error!(
    "hpalloc: the feature `mmap` needs a Unix-like operating system with memory mappings; on bare metal, use the feature \
     `static-buffer`, or `Arena::from_raw`, which needs no feature"
);

#[cfg(all(feature = "static-buffer", not(target_has_atomic = "ptr"), not(feature = "critical-section")))]
compile_error!(
    "hpalloc: this chip has no compare-and-swap, so the feature `static-buffer` also needs the feature `critical-section` \
     to claim a static buffer; the program provides the critical section (see the crate `critical-section`)"
);

#[cfg(all(hpalloc_hardened, not(target_has_atomic = "ptr"), not(feature = "critical-section")))]
compile_error!(
    "hpalloc: this chip has no compare-and-swap, so `--cfg hpalloc_hardened` also needs the feature `critical-section`; \
     the program provides the critical section (see the crate `critical-section`)"
);

#[cfg(all(feature = "spin", not(target_has_atomic = "8")))]
compile_error!(
    "hpalloc: this chip has no compare-and-swap, which a spin lock needs; use the feature `critical-section` and the lock \
     `CriticalSection` instead of the feature `spin`"
);

// In the order of the layers: a module uses only the modules above it.
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
    // `OsLock` must not allocate. These are the targets on which the standard library's
    // mutex is not boxed and thread-local values are native. Android, OpenBSD and Windows
    // with the GNU tools can follow when `rust-version` is 1.93: from then on the
    // system's allocator allocates their thread-local values.
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

/// The attribute in the expansion of `static_heap!`, under a path that the program can't
/// shadow.
#[doc(hidden)]
pub use core::prelude::v1::global_allocator as __global_allocator;

/// `true` in a hardened build (`--cfg hpalloc_hardened`), which detects misuse of blocks.
///
/// ```
/// // To require a hardened build: const _: () = assert!(hpalloc::IS_HARDENED);
/// println!("hardened: {}", hpalloc::IS_HARDENED);
/// ```
pub const IS_HARDENED: bool = cfg!(hpalloc_hardened);

// The code of the README and of the guides, as doctests. They need most features, and
// they state sizes that a hardened build doesn't have.
#[cfg(all(
    doctest,
    feature = "allocator-api2",
    feature = "critical-section",
    feature = "mmap",
    feature = "spin",
    feature = "static-buffer",
    feature = "std",
    // The host guide uses `OsLock`, which some targets lack.
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
