//! Fixed-size blocks in constant time, for firmware, kernels and programs that can't wait.
//!
//! An [`Arena`] hands out the 4 KiB pages of a [`Region`] in order. A [`FixedBlock`] cuts pages into blocks of one size
//! and takes them back. Both take a few instructions, every time.
//!
//! ```text
//!    Region                       Arena<R>                        FixedBlock<P>
//!    who owns the memory          hands out 4 KiB pages,          cuts pages into equal blocks,
//!                                 in address order, never back    takes them back in O(1)
//!
//!    Borrowed (&mut [..]) ─┐
//!    RawRegion (kernels) ──┤      ┌───┬───┬───┬───┬───┐           page   ┌──┬──┬──┬──┬──┬──────┐
//!    StaticBuffer<PAGES> ──┼────► │ p0│ p1│ p2│   │   │ ──pages──►       │b0│b1│b2│b3│ fresh ──►│
//!    Mapping (mmap) ───────┤      └───┴───┴───▲───┴───┘                  └──┴▲─┴──┴▲─┴──┴──────┘
//!    Boxed (std) ──────────┘               next page                         └──◄──┘  free: last in, first out
//! ```
//!
//! ```
//! use hpalloc::{Arena, FixedBlock, Page};
//!
//! let mut memory = [const { Page::new() }; 4];
//! let arena = Arena::from_pages(&mut memory)?;
//! let pool = FixedBlock::new(&arena, 64)?;
//!
//! let block = pool.allocate().expect("four pages hold 256 blocks");
//! // SAFETY: the block is 64 bytes, used by nobody else, and given back once.
//! unsafe {
//!     block.write_bytes(0, 64);
//!     pool.deallocate(block);
//! }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A [`Pool`] holds values of one type and is safe. [`SizeClasses`] is a heap: it serves any layout, from blocks of several
//! sizes. [`Locked`] lets threads, cores and interrupts share a pool, a heap, or the arena below their pools, and makes a
//! heap a global allocator. A [`MemoryPlan`] says in a constant how much memory is enough.
//!
//! # Features
//!
//! All are off by default. Each only adds, but for one thing: with `mmap`, [`Arena`] without a parameter is another type.
//!
//! | feature | adds |
//! |---|---|
//! | `mmap` | `Mapping`, and `Arena::new` over an anonymous memory mapping, through raw system calls |
//! | `static-buffer` | `StaticBuffer`, and `Arena::new` over a built-in one where `mmap` is off |
//! | `std` | `Boxed`, and the errors as `std::io::Error` |
//! | `spin`, `critical-section`, `lock-api` | a spin lock, a critical section, any lock of the crate `lock_api` for [`Locked`] |
//! | `allocator-api2` | `Allocator` for pools and heaps, so that collections can be in their blocks |
//! | `stable-deref` | `StableDeref` for [`PoolBox`] |
//! | `hardened` | misuse of blocks is caught when it happens: the module `hardened` |
//! | `defmt` | `defmt::Format` on the public types and errors |

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    all(test, target_os = "none"),
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(feature = "std")]
extern crate std;

#[cfg(all(test, target_os = "none"))]
test::entry!(test_main);

#[cfg(all(feature = "mmap", any(not(unix), target_os = "espidf", target_os = "horizon", target_os = "vita")))]
compile_error!(
    "hpalloc: the feature `mmap` needs a Unix-like operating system with memory mappings; on bare metal use the feature \
     `static-buffer`, or `Arena::from_raw` with no feature at all"
);

#[cfg(all(feature = "static-buffer", not(target_has_atomic = "8"), not(feature = "critical-section")))]
compile_error!(
    "hpalloc: this chip has no compare-and-swap, so the feature `static-buffer` also needs the feature `critical-section`: \
     claiming a static buffer takes one, which the program provides (see the crate `critical-section`)"
);

// The order of these lines is that of the layers: a module uses only those above it.
mod page;
mod poison;
mod arena_error;
mod region;
mod page_source;
mod arena;
mod lazy;
mod block_size_error;
mod block_size;
#[cfg(feature = "hardened")]
#[cfg_attr(docsrs, doc(cfg(feature = "hardened")))]
pub mod hardened;
#[cfg(not(feature = "hardened"))]
#[path = "unhardened.rs"]
mod hardened;
mod free_list;
mod carver;
mod fixed_block;
mod pool;
mod heap;
mod size_table;
mod size_classes;
mod lock;
mod locked;
mod allocator;
mod memory_plan;

pub use arena::Arena;
pub use arena_error::{ArenaError, MAX_ARENA_SIZE};
pub use block_size::{BlockSize, DEFAULT_BLOCK_SIZE};
pub use block_size_error::BlockSizeError;
pub use fixed_block::{FixedBlock, NoPages};
#[cfg(feature = "hardened")]
pub use hardened::MisuseError;
pub use lazy::Lazy;
#[cfg(feature = "critical-section")]
pub use lock::CriticalSection;
pub use lock::Lock;
#[cfg(feature = "spin")]
pub use lock::Spin;
#[cfg(feature = "lock-api")]
pub use locked::LockedGuard;
pub use locked::{Locked, LockedBox};
pub use memory_plan::MemoryPlan;
pub use page::{PAGE_SIZE, Page};
pub use page_source::PageSource;
pub use pool::{Home, Pool, PoolBox};
#[cfg(feature = "std")]
pub use region::Boxed;
#[cfg(any(feature = "mmap", feature = "static-buffer"))]
pub use region::DefaultRegion;
#[cfg(feature = "mmap")]
pub use region::{Backing, HugePages, Mapping, MappingOptions};
pub use region::{Borrowed, RawRegion, Region};
#[cfg(feature = "static-buffer")]
pub use region::{DEFAULT_BUFFER, StaticBuffer, StaticPages, StaticRegion};
pub use size_classes::{HeapUsage, SizeClasses};
pub use size_table::{DEFAULT_SIZES, SizeTable};

/// The README's code, as doctests.
#[cfg(all(
    doctest,
    feature = "allocator-api2",
    feature = "critical-section",
    feature = "mmap",
    feature = "spin",
    feature = "static-buffer",
    not(feature = "hardened")
))]
#[doc = include_str!("../README.md")]
struct Readme;
