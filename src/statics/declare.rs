//! The macros that declare a pool or a heap with its memory.

/// Declares a pool in a `static`, together with the memory for the given number of
/// values.
///
/// On a Cortex-M3, the pool itself needs 9 instructions for a freed block, 16 for a block
/// never used before, and 6 to free. The lock, moving the value, and the constant-time
/// setup of the memory at the first allocation are extra.
///
/// ```
/// # #[cfg(feature = "critical-section")] {
/// hpalloc::static_pool! { static PACKETS: Pool<[u8; 120], 64>; }
///
/// let mut packet = PACKETS.alloc([0; 120])?;
/// packet[0] = 0x45;
/// assert_eq!(PACKETS.available(), 63);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// The pool is a [`StaticPool<[u8; 120]>`](crate::StaticPool), and its boxes are
/// [`StaticBox<[u8; 120]>`](crate::StaticBox). The number of values is a literal, the
/// name of a constant, or an expression in braces.
///
/// A block is as large as a value, rounded up to a multiple of the size of a pointer. It
/// has the alignment of the value or of a pointer, whichever is larger. A pool of 64
/// values therefore uses exactly 64 blocks of `.bss`, wherever the linker places it.
///
/// # The lock
///
/// By default, the lock is a critical section. This requires the feature
/// `critical-section`, and an implementation of the critical section in the program. To
/// use another lock, name it: `Pool<Packet, 64, Spin>`.
///
/// # Attributes
///
/// - `#[unsafe(link_section = "..")]` applies to the memory.
/// - Documentation, `cfg`, `allow`, `expect`, `deprecated` and the visibility apply to
///   the pool. In [`static_heap!`](crate::static_heap) they apply to the heap, as does
///   `global_allocator`.
/// - `link_section` and `global_allocator` may be inside a `cfg_attr`.
/// - All other attributes are rejected.
///
/// The lint `unsafe_code` doesn't report `link_section` inside this macro.
///
/// ```
/// # #[cfg(feature = "spin")] {
/// use hpalloc::Spin;
///
/// hpalloc::static_pool! {
///     /// Samples that two cores exchange.
///     #[unsafe(link_section = ".bss.samples")]
///     pub(crate) static SAMPLES: Pool<[i16; 256], { 2 * 8 }, Spin>;
/// }
/// # }
/// ```
///
/// # What it expands to
///
/// The macro declares two statics: the pool, and its memory, which no other code can
/// name. The types of the memory are not part of the public contract.
///
/// ```text
/// static PACKETS: StaticPool<[u8; 120]> = {
///     // 64 blocks in `.bss`.
///     static MEMORY: PoolMemory<[u8; 120], 64> = PoolMemory::new();
///     // A `Locked<Pool<[u8; 120], StaticMemory>, CriticalSection>` over that memory.
///     unsafe { MEMORY.pool() }
/// };
/// ```
///
/// Without the macro, a pool in a `static` uses whole pages, from a static buffer that it
/// claims at the first allocation:
///
/// ```
/// # #[cfg(all(feature = "critical-section", feature = "static-buffer"))] {
/// use hpalloc::{Arena, CriticalSection, Lazy, Locked, Pool, StaticRegion};
///
/// hpalloc::static_buffer! { static MEMORY: StaticBuffer<2>; }
/// static PACKETS: Locked<Pool<[u8; 128], Lazy<StaticRegion>>, CriticalSection> =
///     Locked::new(Pool::new(Lazy::new(|| MEMORY.claim().and_then(Arena::from_region))));
/// # }
/// ```
#[macro_export]
macro_rules! static_pool {
    ($($declaration:tt)*) => {
        $crate::__static! { pool [] [] $($declaration)* }
    };
}

/// Declares a heap in a `static`, together with its memory. It can be the program's
/// global allocator.
///
/// On a Cortex-M3, a heap needs a median of 267 instructions to allocate and 205 to free,
/// over 23 recorded and modeled programs. In the worst states that a search found in 64
/// KiB, it needs 798 and 473. The lock and the setup of the memory at the first use are
/// extra.
///
/// ```
/// # #[cfg(feature = "critical-section")] mod firmware {
/// hpalloc::static_heap! {
///     #[global_allocator]
///     static HEAP: Heap<{ 64 * 1024 }>;
/// }
/// # }
/// ```
///
/// The heap is a [`StaticHeap`](crate::StaticHeap). `HEAP.used()`, `HEAP.free()`,
/// `HEAP.largest_free()` and `HEAP.usage()` report its state.
///
/// The size is in bytes, from 256 to [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), and need
/// not be a multiple of anything. The heap's records use 4 to 6 % of 4 KiB and about 1 %
/// of 64 KiB: see [`Heap`](crate::Heap).
///
/// The lock and the attributes are those of [`static_pool!`](crate::static_pool). To use
/// another lock, name it: `Heap<{ 64 * 1024 }, Spin>`. Like `static_pool!`, the macro
/// declares two statics: the memory and the heap.
///
/// Without the macro, a heap in a `static` uses whole pages:
///
/// ```
/// # #[cfg(all(feature = "critical-section", feature = "static-buffer"))] mod firmware {
/// use hpalloc::{Arena, CriticalSection, Heap, Lazy, Locked, StaticRegion};
///
/// hpalloc::static_buffer! { static MEMORY: StaticBuffer<16>; }
///
/// #[global_allocator]
/// static HEAP: Locked<Heap<Lazy<StaticRegion>>, CriticalSection> =
///     Locked::new(Heap::new(Lazy::new(|| MEMORY.claim().and_then(Arena::from_region))));
/// # }
/// ```
#[macro_export]
macro_rules! static_heap {
    ($($declaration:tt)*) => {
        $crate::__static! { heap [] [] $($declaration)* }
    };
}

/// Implements `static_pool!` and `static_heap!`. It first sorts the attributes into those
/// of the memory and those of the pool or heap, and then declares both.
///
/// Other attributes are rejected, for soundness. The memory belongs to a single pool or
/// heap because the initializer of a `static` is evaluated once. An attribute could turn
/// the `static` into something else, such as a thread-local or a constant. So the macro
/// accepts only complete forms of attributes that are built into the language. A program
/// can give `global_allocator` another meaning, so that one is replaced by a path into
/// this crate.
///
/// This macro is not public: code that calls it directly could pass anything.
#[doc(hidden)]
#[macro_export]
macro_rules! __static {
    ($what:ident [$($memory:tt)*] $item:tt #[unsafe(link_section = $section:literal)] $($rest:tt)*) => {
        $crate::__static! { $what [$($memory)* #[unsafe(link_section = $section)]] $item $($rest)* }
    };
    (
        $what:ident [$($memory:tt)*] $item:tt
        #[cfg_attr($condition:meta, unsafe(link_section = $section:literal) $(,)?)] $($rest:tt)*
    ) => {
        $crate::__static! {
            $what [$($memory)* #[cfg_attr($condition, unsafe(link_section = $section))]] $item $($rest)*
        }
    };
    ($what:ident $memory:tt $item:tt #[doc = $($argument:tt)*] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[doc = $($argument)*] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[doc($($argument:tt)*)] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[doc($($argument)*)] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[cfg($($argument:tt)*)] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[cfg($($argument)*)] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[allow($($argument:tt)*)] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[allow($($argument)*)] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[expect($($argument:tt)*)] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[expect($($argument)*)] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[deprecated] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[deprecated] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[deprecated = $($argument:tt)*] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[deprecated = $($argument)*] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[deprecated($($argument:tt)*)] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[deprecated($($argument)*)] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[global_allocator] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[$crate::__global_allocator] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[cfg_attr($condition:meta, global_allocator $(,)?)] $($rest:tt)*) => {
        $crate::__static! { @keep $what $memory $item #[cfg_attr($condition, $crate::__global_allocator)] $($rest)* }
    };
    (@keep $what:ident $memory:tt [$($item:tt)*] #[$($attribute:tt)*] $($rest:tt)*) => {
        $crate::__static! { $what $memory [$($item)* #[$($attribute)*]] $($rest)* }
    };
    ($what:ident $memory:tt $item:tt #[$($attribute:tt)*] $($rest:tt)*) => {
        compile_error!(concat!(
            "this attribute can't be used here: #[", stringify!($($attribute)*), "]. Supported are `doc`, `cfg`, `allow`, \
             `expect`, `deprecated`, `global_allocator`, and `unsafe(link_section = \"..\")` for the memory; the last two may be \
             inside a `cfg_attr`. A macro that forwards attributes must match them as `#[$($attribute:tt)*]`"
        ));
    };
    (pool $memory:tt $item:tt $visibility:vis static $name:ident: Pool<$value:ty, $count:tt $(,)?>;) => {
        $crate::__static! {
            pool $memory $item $visibility static $name: Pool<$value, $count, $crate::__critical_section!(static_pool)>;
        }
    };
    (heap $memory:tt $item:tt $visibility:vis static $name:ident: Heap<$bytes:tt $(,)?>;) => {
        $crate::__static! {
            heap $memory $item $visibility static $name: Heap<$bytes, $crate::__critical_section!(static_heap)>;
        }
    };
    (
        pool [$($memory:tt)*] [$($item:tt)*]
        $visibility:vis static $name:ident: Pool<$value:ty, $count:tt, $lock:ty $(,)?>;
    ) => {
        $($item)*
        $visibility static $name: $crate::StaticPool<$value, $lock> = {
            $($memory)*
            static __HPALLOC_MEMORY: $crate::PoolMemory<$value, $count> = $crate::PoolMemory::new();
            // SAFETY: no code outside this block can name the memory, and a `static` is
            // initialized once.
            unsafe { __HPALLOC_MEMORY.pool() }
        };
    };
    (
        heap [$($memory:tt)*] [$($item:tt)*]
        $visibility:vis static $name:ident: Heap<$bytes:tt, $lock:ty $(,)?>;
    ) => {
        $($item)*
        $visibility static $name: $crate::StaticHeap<$lock> = {
            $($memory)*
            static __HPALLOC_MEMORY: $crate::HeapMemory<$bytes> = $crate::HeapMemory::new();
            // SAFETY: no code outside this block can name the memory, and a `static` is
            // initialized once.
            unsafe { __HPALLOC_MEMORY.heap() }
        };
    };
    (pool $($other:tt)*) => {
        compile_error!(
            "write `static NAME: Pool<TYPE, COUNT>;` or `static NAME: Pool<TYPE, COUNT, LOCK>;`, with one pool per call. COUNT \
             is a literal, the name of a constant, or an expression in braces. Attributes and a visibility may precede `static`"
        );
    };
    (heap $($other:tt)*) => {
        compile_error!(
            "write `static NAME: Heap<BYTES>;` or `static NAME: Heap<BYTES, LOCK>;`, with one heap per call. BYTES is a \
             literal, the name of a constant, or an expression in braces. Attributes and a visibility may precede `static`"
        );
    };
}

/// The lock that `static_pool!` and `static_heap!` use if none is named.
#[cfg(feature = "critical-section")]
#[doc(hidden)]
#[macro_export]
macro_rules! __critical_section {
    ($macro:ident) => {
        $crate::CriticalSection
    };
}

/// The lock that `static_pool!` and `static_heap!` use if none is named.
#[cfg(not(feature = "critical-section"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __critical_section {
    (static_pool) => {
        compile_error!(
            "the default lock of a static pool is a critical section: turn on hpalloc's feature `critical-section`, or write \
             `Pool<TYPE, COUNT, LOCK>` with another lock, such as `hpalloc::Spin` (feature `spin`)"
        )
    };
    (static_heap) => {
        compile_error!(
            "the default lock of a static heap is a critical section: turn on hpalloc's feature `critical-section`, or write \
             `Heap<BYTES, LOCK>` with another lock, such as `hpalloc::Spin` (feature `spin`)"
        )
    };
}
