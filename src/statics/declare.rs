//! The macros that declare a pool or a heap with its memory.

/// Declares a pool in a `static`, with the memory for exactly so many values.
///
/// ```
/// # #[cfg(feature = "critical-section")] {
/// #[derive(Debug)]
/// struct Packet {
///     bytes: [u8; 120],
///     len: usize,
/// }
///
/// hpalloc::static_pool! {
///     /// Packets between the interrupt and the main loop.
///     static PACKETS: Pool<Packet, 64>;
/// }
///
/// let mut packet = PACKETS.alloc(Packet { bytes: [0; 120], len: 0 })?;
/// packet.len = 1;
/// assert_eq!(PACKETS.available(), 63);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// It is a [`StaticPool<Packet>`](crate::StaticPool), and its boxes are [`StaticBox<Packet>`](crate::StaticBox). The number is a literal, the
/// name of a constant or an expression in braces. Blocks are as large as a value, or a pointer, and are aligned to no more
/// than they have to be: memory for 64 values takes 64 blocks of `.bss`, wherever the linker puts it.
///
/// # The lock
///
/// The pool is behind a critical section, which takes the feature `critical-section` and an implementation of it in the
/// program. For another lock, name it: `Pool<Packet, 64, Spin>`.
///
/// # Attributes
///
/// `#[unsafe(link_section = "..")]` goes to the memory. Documentation, `cfg`, `allow`, `expect`, `deprecated` and `global_allocator`
/// go to the pool, as the visibility does. `link_section` and `global_allocator` can be in a `cfg_attr`. Other attributes are refused. (The lint `unsafe_code` says
/// nothing of what is in this macro.)
///
/// ```
/// # #[cfg(feature = "spin")] {
/// use hpalloc::Spin;
///
/// hpalloc::static_pool! {
///     #[unsafe(link_section = ".bss.samples")]
///     pub(crate) static SAMPLES: Pool<[i16; 256], { 2 * 8 }, Spin>;
/// }
/// # }
/// ```
///
/// # What it expands to
///
/// Two statics: the pool, and its memory, which nothing else can name. The types of the memory are not part of the contract.
///
/// ```text
/// static PACKETS: StaticPool<Packet> = {
///     static MEMORY: PoolMemory<Packet, 64> = PoolMemory::new(); // 64 blocks in `.bss`
///     unsafe { MEMORY.pool() } // a `Locked<Pool<Packet, StaticMemory>, CriticalSection>`, which begins with that memory
/// };
/// ```
///
/// Without the macro, a pool in a `static` takes whole pages, from a static buffer that it claims when the first block is allocated:
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

/// Declares a heap in a `static`, with its memory: for a program's global allocator, or any other heap.
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
/// It is a [`StaticHeap`](crate::StaticHeap), which says how it is doing: `HEAP.used()`, `HEAP.free()`, `HEAP.largest_free()`, `HEAP.usage()`.
/// The size is in bytes, at least 256 and at most [`MAX_ARENA_SIZE`](crate::MAX_ARENA_SIZE), of which the heap's records take about one
/// percent. It need not be a multiple of anything.
///
/// The lock and the attributes are as in [`static_pool!`](crate::static_pool); for another lock: `Heap<{ 64 * 1024 }, Spin>`. It expands to
/// two statics as well, the memory and the heap. Without the macro, with whole pages:
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

/// `static_pool!` and `static_heap!`: first the attributes, sorted into those of the memory and those of the static.
///
/// Others are refused. The memory is that of one pool or heap because the initialiser of a static is evaluated once, and an
/// attribute could make something else of the static: one of each thread, or a constant. So only whole forms of attributes
/// that are built into the language are taken, and `global_allocator`, which a program can give another meaning, by a path
/// of this crate. This macro is not public: whoever calls it by itself can pass anything.
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
            "this attribute can't be here: #[", stringify!($($attribute)*), "]. There can be `doc`, `cfg`, `allow`, `expect`, \
             `deprecated`, `global_allocator`, and `unsafe(link_section = \"..\")` for the memory; the last two also in a `cfg_attr`. A macro that passes attributes on takes them \
             as `#[$($attribute:tt)*]`"
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
            // SAFETY: nothing outside of this block names the memory, and a static is initialised once.
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
            // SAFETY: nothing outside of this block names the memory, and a static is initialised once.
            unsafe { __HPALLOC_MEMORY.heap() }
        };
    };
    (pool $($other:tt)*) => {
        compile_error!(
            "write `static NAME: Pool<TYPE, COUNT>;` or `Pool<TYPE, COUNT, LOCK>`, one pool a call, where COUNT is a literal, \
             the name of a constant or an expression in braces; before it there may be attributes and a visibility"
        );
    };
    (heap $($other:tt)*) => {
        compile_error!(
            "write `static NAME: Heap<BYTES>;` or `Heap<BYTES, LOCK>`, one heap a call, where BYTES is a literal, the name \
             of a constant or an expression in braces; before it there may be attributes and a visibility"
        );
    };
}

/// The lock of `static_pool!` and `static_heap!` if none is named.
#[cfg(feature = "critical-section")]
#[doc(hidden)]
#[macro_export]
macro_rules! __critical_section {
    ($macro:ident) => {
        $crate::CriticalSection
    };
}

/// The lock of `static_pool!` and `static_heap!` if none is named.
#[cfg(not(feature = "critical-section"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __critical_section {
    (static_pool) => {
        compile_error!(
            "the lock of a static pool is a critical section unless another is named: turn on hpalloc's feature \
             `critical-section`, or write `Pool<TYPE, COUNT, LOCK>`, with `hpalloc::Spin` (feature `spin`) as LOCK, say"
        )
    };
    (static_heap) => {
        compile_error!(
            "the lock of a static heap is a critical section unless another is named: turn on hpalloc's feature \
             `critical-section`, or write `Heap<BYTES, LOCK>`, with `hpalloc::Spin` (feature `spin`) as LOCK, say"
        )
    };
}
