//! Builds a state of a heap, tries the operations that may be expensive in it, and takes
//! it down. Every operation is measured.

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::state::{Order, Room, State};
use crate::board::Board;
use crate::calls::{Calls, DEALLOCATE, Heap, OPERATIONS};
use crate::random::random;

/// The maximum cost of each operation.
#[derive(Clone, Copy, Default)]
pub(crate) struct Most(pub(crate) [u32; OPERATIONS]);

impl Most {
    fn record(&mut self, operation: usize, cost: u32) {
        self.0[operation] = self.0[operation].max(cost);
    }

    pub(crate) fn include(&mut self, other: Self) {
        for (operation, cost) in other.0.into_iter().enumerate() {
            self.record(operation, cost);
        }
    }
}

/// The maximum number of bytes that are copied when a block is resized.
const COPIED: usize = 64;
/// A block that is not meant to be large has at most 1/`SMALL` of the memory.
const SMALL: usize = 32;
/// A block that is meant to be large has 1/`LARGE` of the memory.
const LARGE: usize = 10;

/// A block: its address and its size in units.
#[derive(Clone, Copy)]
struct Block {
    start: NonNull<u8>,
    units: usize,
    /// `true` if the block will be freed to make a hole.
    is_hole: bool,
}

/// A heap whose operations are measured.
struct Measured<'h> {
    heap: &'h Heap<'h>,
    calls: Calls,
    unit: usize,
    most: Most,
}

impl Measured<'_> {
    fn layout(&self, units: usize, align: usize) -> Layout {
        Layout::from_size_align(units * self.unit, align.max(self.unit)).expect("a layout")
    }

    fn allocate(&mut self, units: usize, align: usize) -> Option<NonNull<u8>> {
        let (block, operation, cost) = self.calls.allocate(self.heap, self.layout(units, align));
        self.most.record(operation, cost);
        block
    }

    /// The block must have this layout and not be used afterwards.
    unsafe fn deallocate(&mut self, block: NonNull<u8>, units: usize, align: usize) {
        // SAFETY: guaranteed by the caller.
        let cost = unsafe { self.calls.deallocate(self.heap, block, self.layout(units, align)) };
        self.most.record(DEALLOCATE, cost);
    }

    /// Grows or shrinks the block, whose alignment is a unit. Returns `false` if there is
    /// no room.
    fn resize(&mut self, block: &mut Block, units: usize) -> bool {
        assert!(block.units.min(units) * self.unit <= COPIED);
        let layout = self.layout(block.units, 1);
        // SAFETY: the block is live and has this layout.
        let (moved, operation, cost) = unsafe { self.calls.resize(self.heap, block.start, layout, units * self.unit) };
        self.most.record(operation, cost);
        if let Some(moved) = moved {
            (block.start, block.units) = (moved, units);
        }
        moved.is_some()
    }
}

pub(crate) struct Exercise<'m> {
    memory: &'m mut [MaybeUninit<u8>],
    blocks: &'m mut [MaybeUninit<Block>],
    room: Room,
}

impl<'m> Exercise<'m> {
    /// Creates an exercise of heaps of `bytes` bytes.
    pub(crate) fn new(board: &'m mut Board, bytes: usize) -> Self {
        let memory = &mut board.heap[..bytes];
        let heap = Heap::from_uninit(memory).expect("the memory isn't too small");
        let free = heap.free();
        assert!(heap.allocate(Layout::new::<u8>()).is_some());
        let unit = free - heap.free();
        let units = free / unit;
        let tables: NonNull<[MaybeUninit<u64>]> = NonNull::from(&mut *board.tables);
        let count = tables.len() * size_of::<u64>() / size_of::<Block>();
        // SAFETY: the tables are borrowed for `'m`, have at least this alignment, and
        // contain `count` blocks. The elements need not be initialized.
        let blocks = unsafe { NonNull::slice_from_raw_parts(tables.cast(), count).as_mut() };
        Self { memory, blocks, room: Room { unit, units, dense: units.min(2048) } }
    }

    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Builds a state, tries it and takes it down. Panics if the heap isn't empty and in
    /// one piece afterwards.
    pub(crate) fn run(&mut self, state: &State) -> Most {
        let Room { unit, .. } = self.room;
        let heap = Heap::from_uninit(self.memory).expect("the memory isn't too small");
        let first = heap.largest_free();
        let mut measured = Measured { heap: &heap, calls: Calls::new(&heap), unit, most: Most::default() };
        let mut random_state = state.seed;
        let mut below = |end: usize| random(&mut random_state) as usize % end;

        let mut live = build(&mut measured, state, &self.room, self.blocks);
        make_holes(&mut measured, &mut live, state.order, &mut below);
        allocate_and_free(&mut measured, state, &self.room, &mut below);
        resize(&mut measured, live, state, &self.room, &mut below);
        take_down(&mut measured, live, &mut below);
        assert_eq!((heap.used(), heap.largest_free()), (0, first), "not all memory is free and in one piece again");
        measured.most
    }
}

/// Fills the memory with blocks, including those that will be freed to make holes.
fn build<'b>(
    measured: &mut Measured<'_>,
    state: &State,
    room: &Room,
    blocks: &'b mut [MaybeUninit<Block>],
) -> &'b mut [Block] {
    let small = room.units / SMALL;
    let mut count = 0;
    let mut add = |measured: &mut Measured<'_>, units: usize, is_hole: bool| {
        if count == blocks.len() {
            return false;
        }
        let Some(start) = measured.allocate(units, 1) else { return false };
        blocks[count].write(Block { start, units, is_hole });
        count += 1;
        true
    };
    for number in 0..state.large {
        add(measured, room.units / LARGE, number % 2 == 0);
    }
    let mut is_full = false;
    let mut left = 2 * room.dense;
    'pieces: for (mut units, is_free) in state.pieces() {
        if left == 0 {
            break;
        }
        left -= 1;
        // The piece is divided into blocks that aren't large, because the heap may place
        // large blocks elsewhere.
        while units > 0 {
            let part = units.min(small);
            if !add(measured, part, is_free) {
                is_full = true;
                break 'pieces;
            }
            units -= part;
        }
    }
    if !state.is_fresh || is_full {
        let mut units = small;
        while units > 0 {
            if !add(measured, units, false) {
                units /= 2;
            }
        }
    }
    // SAFETY: the first `count` blocks were written.
    unsafe { blocks[..count].assume_init_mut() }
}

/// Frees the blocks that become holes and keeps the others in `live`.
fn make_holes(
    measured: &mut Measured<'_>,
    live: &mut &mut [Block],
    order: Order,
    below: &mut impl FnMut(usize) -> usize,
) {
    let blocks = core::mem::take(live);
    match order {
        Order::Upwards => {}
        Order::Downwards => blocks.reverse(),
        Order::Shuffled => shuffle(blocks, below),
    }
    let mut count = 0;
    for index in 0..blocks.len() {
        let block = blocks[index];
        if block.is_hole {
            // SAFETY: the block is live, and isn't used afterwards.
            unsafe { measured.deallocate(block.start, block.units, 1) };
        } else {
            blocks[count] = block;
            count += 1;
        }
    }
    *live = &mut blocks[..count];
}

fn shuffle(blocks: &mut [Block], below: &mut impl FnMut(usize) -> usize) {
    for index in (1..blocks.len()).rev() {
        blocks.swap(index, below(index + 1));
    }
}

/// Returns the sizes that may differ in cost, in units.
fn sizes(state: &State, room: &Room) -> impl Iterator<Item = usize> {
    let holes = state.segments().iter().filter_map(|segment| segment.hole());
    let around = holes.flat_map(|hole| [hole.saturating_sub(1), hole, hole + 1, hole + hole / 16 + 1]);
    let large = [room.units / 20, room.units / 16 + 1, room.units / 12 + 1, room.units / 4];
    around.chain([1, 2, 5]).chain(large).map(|units| units.clamp(1, 2 * room.units))
}

/// Allocates and frees blocks of all sizes that may differ in cost, one by one and
/// several at a time.
fn allocate_and_free(measured: &mut Measured<'_>, state: &State, room: &Room, below: &mut impl FnMut(usize) -> usize) {
    const AT_ONCE: usize = 12;

    for units in sizes(state, room) {
        for align in [1, 16, 64, 512, 4096] {
            if let Some(block) = measured.allocate(units, align) {
                // SAFETY: the block was allocated just now.
                unsafe { measured.deallocate(block, units, align) };
            }
        }
        // Allocate up to `AT_ONCE` blocks, so that the largest holes are used up.
        let mut blocks = [None; AT_ONCE];
        let align = [1, 1, 64][below(3)];
        for block in &mut blocks {
            *block = measured.allocate(units, align);
        }
        for last in (0..AT_ONCE).rev() {
            blocks.swap(below(last + 1), last);
            if let Some(block) = blocks[last] {
                // SAFETY: the block was allocated above.
                unsafe { measured.deallocate(block, units, align) };
            }
        }
    }
}

/// Grows small blocks and shrinks them again. Shrinks larger blocks.
fn resize(
    measured: &mut Measured<'_>,
    live: &mut [Block],
    state: &State,
    room: &Room,
    below: &mut impl FnMut(usize) -> usize,
) {
    const TRIES: usize = 6;

    if live.is_empty() {
        return;
    }
    let few = COPIED / room.unit;
    for _ in 0..TRIES {
        let block = &mut live[below(live.len())];
        let before = block.units;
        if before > few {
            measured.resize(block, 1 + below(few));
            continue;
        }
        for units in sizes(state, room).filter(|&units| units > before) {
            if measured.resize(block, units) {
                measured.resize(block, 1 + below(few));
                if block.units != before {
                    break;
                }
            }
        }
    }
}

/// Frees all blocks in random order.
fn take_down(measured: &mut Measured<'_>, live: &mut [Block], below: &mut impl FnMut(usize) -> usize) {
    shuffle(live, below);
    for block in live {
        // SAFETY: the block is live, and isn't used afterwards.
        unsafe { measured.deallocate(block.start, block.units, 1) };
    }
}
