//! The workloads with requests of any size.

use std::alloc::Layout;
use std::hint::black_box;
use std::ptr::NonNull;

use crate::allocator::General;
use crate::effort::Effort;
use crate::workload::{OPERATIONS, warm_machine};

/// The average number of live blocks in the churn of mixed sizes.
const MIXED: usize = 10_000;
/// The largest of the mixed sizes.
const LARGEST: usize = 1024;
/// The number of elements that the vectors of each length have together.
const ELEMENTS: usize = 100_000;
/// The greatest number of live strings.
const STRINGS: usize = 1000;

/// Draws `count` sizes from 1 to 1024 bytes, equally many from each doubling: half of
/// them are at most 32 bytes.
fn mixed_sizes(count: usize) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(2);
    let size = |_| {
        let most = 2 << random.u32(..LARGEST.ilog2());
        random.usize(most / 2 + 1..=most)
    };
    (0..count).map(size).collect()
}

/// Returns the layout of `size` bytes.
#[inline]
fn bytes(size: usize) -> Layout {
    Layout::array::<u8>(size).expect("far fewer than isize::MAX bytes")
}

/// The churn: draws one of 20,000 places, and frees the block there, or allocates one of
/// the next mixed size if the place is empty. An operation is one allocation and one
/// free.
pub(crate) fn churn<G: General>(effort: Effort) -> f64 {
    warm_machine(2 * MIXED * LARGEST);
    let mut heap = G::new(2 * MIXED * LARGEST);
    black_box(&mut heap);
    let mut random = fastrand::Rng::with_seed(1);
    let sizes = mixed_sizes(OPERATIONS);
    let mut sizes = sizes.iter().copied().cycle();
    let mut places: Vec<Option<(NonNull<u8>, usize)>> = vec![None; 2 * MIXED];
    let mut turn = |place: usize| {
        if let Some((block, size)) = places[place].take() {
            // SAFETY: the block was live, with this size, until now.
            unsafe { heap.deallocate(block, bytes(size)) };
        } else if let Some(size) = sizes.next() {
            let block = heap.allocate(bytes(size)).expect("memory for a block");
            // SAFETY: the block has at least one byte.
            unsafe { block.write_volatile(1) };
            places[place] = Some((block, size));
        }
    };
    for place in random.choose_multiple(0..2 * MIXED, MIXED) {
        turn(place);
    }
    2.0 * effort.time(OPERATIONS, || {
        for _ in 0..OPERATIONS {
            turn(random.usize(..2 * MIXED));
        }
    })
}

/// Allocates a batch of blocks of mixed sizes, and frees them in random order.
pub(crate) fn batch<G: General>(effort: Effort, count: usize) -> f64 {
    let mut heap = G::new(count * LARGEST);
    black_box(&mut heap);
    let sizes = mixed_sizes(OPERATIONS);
    let mut live: Vec<(NonNull<u8>, usize)> = Vec::with_capacity(count);
    let mut places: Vec<usize> = (0..count).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut places);
    effort.time(OPERATIONS, || {
        for sizes in sizes.chunks_exact(count) {
            live.clear();
            live.extend(sizes.iter().map(|&size| (heap.allocate(bytes(size)).expect("memory for a block"), size)));
            black_box((&mut heap, &mut live));
            for &place in &places {
                let (block, size) = live[place];
                // SAFETY: the block was allocated above with this size.
                unsafe { heap.deallocate(block, bytes(size)) };
            }
        }
    })
}

/// A vector that grows as the standard library's does: to twice its capacity, or to the
/// required length if that is more.
struct Array<T> {
    elements: NonNull<T>,
    length: usize,
    capacity: usize,
}

impl<T: Copy> Array<T> {
    const LEAST: usize = if size_of::<T>() == 1 { 8 } else { 4 };

    const fn new() -> Self {
        Self { elements: NonNull::dangling(), length: 0, capacity: 0 }
    }

    fn layout(capacity: usize) -> Layout {
        Layout::array::<T>(capacity).expect("far fewer than isize::MAX bytes")
    }

    #[inline]
    fn extend(&mut self, heap: &mut impl General, more: &[T]) {
        if more.len() > self.capacity - self.length {
            self.grow(heap, (self.length + more.len()).max(2 * self.capacity).max(Self::LEAST));
        }
        // SAFETY: there is room for these elements after the last one.
        unsafe { self.elements.add(self.length).copy_from_nonoverlapping(NonNull::from(more).cast(), more.len()) };
        self.length += more.len();
    }

    #[inline(never)]
    fn grow(&mut self, heap: &mut impl General, capacity: usize) {
        let new = Self::layout(capacity);
        let block = if self.capacity == 0 {
            heap.allocate(new)
        } else {
            // SAFETY: the block was allocated with this layout, and the new one isn't
            // empty.
            unsafe { heap.reallocate(self.elements.cast(), Self::layout(self.capacity), new.size()) }
        };
        self.elements = block.expect("memory for the elements").cast();
        self.capacity = capacity;
    }

    fn as_slice(&self) -> &[T] {
        // SAFETY: `length` elements were written.
        unsafe { NonNull::slice_from_raw_parts(self.elements, self.length).as_ref() }
    }

    fn copy(&self, heap: &mut impl General) -> Self {
        let mut copy = Self::new();
        if self.length > 0 {
            copy.grow(heap, self.length);
            copy.extend(heap, self.as_slice());
        }
        copy
    }

    fn free(self, heap: &mut impl General) {
        if self.capacity > 0 {
            // SAFETY: the block was allocated with this layout, and the vector that used
            // it is gone.
            unsafe { heap.deallocate(self.elements.cast(), Self::layout(self.capacity)) };
        }
    }
}

/// Pushes words to vectors until they have 1, 10, .. 100,000 of them, and drops the
/// vectors. There are more of the shorter ones, so that each length has the same number
/// of words in all. An operation is a push.
pub(crate) fn vectors<G: General>(effort: Effort) -> f64 {
    let lengths = || (0..=5).map(|power| 10_usize.pow(power));
    let mut heap = G::new(2 * ELEMENTS * size_of::<u64>());
    black_box(&mut heap);
    effort.time(lengths().count() * ELEMENTS, || {
        for length in lengths() {
            for _ in 0..ELEMENTS / length {
                let mut vector = Array::new();
                for value in 0..length as u64 {
                    vector.extend(&mut heap, &[value]);
                }
                black_box(vector.as_slice());
                vector.free(&mut heap);
            }
        }
    })
}

/// Draws one of 1000 places, and appends to the string there, copies it to another place,
/// or drops it. An operation is one of these.
pub(crate) fn strings<G: General>(effort: Effort) -> f64 {
    let mut heap = G::new(16 * STRINGS * LARGEST);
    black_box(&mut heap);
    let mut random = fastrand::Rng::with_seed(1);
    let sizes = mixed_sizes(OPERATIONS);
    let text = [b'x'; LARGEST];
    let mut places: Vec<Array<u8>> = Vec::new();
    places.resize_with(STRINGS, Array::new);
    effort.time(OPERATIONS, || {
        for &size in &sizes {
            let place = random.usize(..STRINGS);
            let left = match random.u8(..4) {
                0 => std::mem::replace(&mut places[place], Array::new()),
                1 => {
                    let copy = places[place].copy(&mut heap);
                    std::mem::replace(&mut places[random.usize(..STRINGS)], copy)
                }
                _ => {
                    places[place].extend(&mut heap, &text[..size]);
                    continue;
                }
            };
            left.free(&mut heap);
        }
    })
}
