//! Families of states that are built to be bad. To add a family, add it to the list.

use super::state::{MOST, Room, Segment, State, spread};
use crate::random::random;
use Segment::{Comb, Free, Live, Stairs};

pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// Creates a state from a seed, the size of the heap, and a function that returns a
    /// random number below its argument.
    make: fn(u32, &Room, &mut dyn FnMut(usize) -> usize) -> State,
}

impl Family {
    pub(crate) fn state(&self, seed: u32, room: &Room) -> State {
        let mut random_state = seed;
        (self.make)(seed, room, &mut |end| random(&mut random_state) as usize % end)
    }
}

const fn family(name: &'static str, make: fn(u32, &Room, &mut dyn FnMut(usize) -> usize) -> State) -> Family {
    Family { name, make }
}

/// Returns the length of a stretch that may be full of holes: a power of two, or a little
/// more.
fn stretch(below: &mut dyn FnMut(usize) -> usize, room: &Room) -> usize {
    (16 << below(7)).min(room.dense / 2) + below(2) * below(16)
}

pub(crate) const FAMILIES: [Family; 16] = [
    family("every other unit is free", |seed, room, below| {
        State::new(seed, &[Live(1 + below(8)), Comb { hole: 1, live: 1 + below(2), len: room.dense }])
    }),
    family("the only hole is the last", |seed, room, mut below| {
        let hole = spread(&mut below, 300);
        State::new(seed, &[Live(room.units - hole - below(8)), Free(hole)])
    }),
    family("holes are just too small, except the last", |seed, room, below| {
        let (hole, live) = (1 + below(20), room.units - room.dense);
        let fits = hole + 1 + below(2);
        let comb = Comb { hole, live: 1, len: room.dense.saturating_sub(2 * fits + 8) };
        let between = live.max(1);
        State::new(
            seed,
            &if below(2) == 0 { [comb, Live(between), Free(fits)] } else { [Live(between), comb, Free(fits)] },
        )
    }),
    family("holes are just too small, except the first", |seed, room, below| {
        let (hole, live) = (1 + below(20), room.units - room.dense);
        let fits = hole + 1 + below(2);
        let comb = Comb { hole, live: 1, len: room.dense - fits };
        State::new(
            seed,
            &if below(2) == 0 {
                [Live(1), Free(fits), Live(live.max(1)), comb]
            } else {
                [Live(1), Free(fits), Live(1), comb]
            },
        )
    }),
    family("the last hole of each stretch is the largest", |seed, room, below| {
        let (length, hole) = (stretch(below, room), 1 + below(3));
        let fits = hole + 1 + below(3);
        let comb = Comb { hole, live: 1, len: (length - fits.min(length / 2)).max(2) };
        let state = State::new(seed, &[comb, Free(fits), Live(1)]);
        if below(3) == 0 {
            State::new(seed, &[Live(room.units - room.dense + 1), comb, Free(fits)])
        } else {
            state.repeated()
        }
    }),
    family("the first hole of each stretch is the largest", |seed, room, below| {
        let (length, hole) = (stretch(below, room), 1 + below(3));
        let fits = hole + 1 + below(3);
        let comb = Comb { hole, live: 1, len: (length - fits.min(length / 2)).max(2) };
        State::new(seed, &[Free(fits), Live(1), comb]).repeated()
    }),
    family("a block between holes that start in full stretches", |seed, room, mut below| {
        let (before, after) = (stretch(below, room), stretch(below, room));
        let far = spread(&mut below, room.units / 4);
        let (left, block) = (spread(&mut below, room.units / 16), 1 + below(6));
        let comb = |len| Comb { hole: 1, live: 1, len };
        let blocks = [Live(far), comb(before), Free(left), Live(block), Free(1 + below(5)), Live(1), comb(after)];
        State::new(seed, &blocks[below(2)..])
    }),
    family("a block far from the hole before it", |seed, room, mut below| {
        let (before, after) = (stretch(below, room), stretch(below, room));
        let far = spread(&mut below, room.units - room.dense / 2);
        let comb = |len| Comb { hole: 1, live: 1, len };
        let (block, from) = (Live(1 + below(4)), Live(1 + stretch(below, room)));
        State::new(seed, &[comb(before), Live(far), block, from, block, comb(after)])
    }),
    family("few holes, far from each other", |seed, room, mut below| {
        let far = spread(&mut below, room.units / 2).max(room.units / 1000);
        State::new(seed, &[Live(far), Free(1 + below(3)), Live(1), Free(2 + below(9)), Live(1)]).repeated()
    }),
    family("holes of all sizes", |seed, room, mut below| {
        let steps = spread(&mut below, 60);
        let stairs = |rising| Stairs { steps, rising };
        let live = Live(spread(&mut below, room.units / 4));
        let state = State::new(seed, &[stairs(true), live, stairs(below(2) == 0)]);
        if steps > 8 && below(2) == 0 { state.repeated() } else { state }
    }),
    family("holes that are large enough, but not when aligned", |seed, room, below| {
        let align = [16, 32, 64, 256][below(4)] / room.unit;
        let hole = align + below(align - 1).min(align - 2);
        let live = 2 * align - hole % align;
        let comb = Comb { hole, live: live.max(1), len: room.dense };
        State::new(seed, &[Live(1 + below(align)), comb, Free(3 * align), Live(2)])
    }),
    family("holes that are large enough, but not when aligned to a page", |seed, room, below| {
        let align = (4096 / room.unit).min(room.units / 16);
        let hole = align + below(align / 2);
        State::new(
            seed,
            &[Live(1 + below(align)), Free(hole), Live(1 + below(align)), Comb { hole: 1, live: 1, len: align }],
        )
        .repeated()
    }),
    family("two holes beside each block", |seed, room, mut below| {
        let hole = spread(&mut below, 64);
        State::new(seed, &[Comb { hole, live: spread(&mut below, 64), len: room.dense * (1 + below(3)) }])
    }),
    family("a full stretch before memory that was never handed out", |seed, room, below| {
        let length = stretch(below, room);
        let blocks =
            [Live(1 + below(length)), Comb { hole: 1, live: 1, len: length }, Free(1 + below(9)), Live(1 + below(3))];
        let state = State::new(seed, &blocks[..3 + below(2)]);
        State { is_fresh: true, large: below(10), ..state }
    }),
    family("large blocks and small ones", |seed, room, mut below| {
        let comb = Comb { hole: spread(&mut below, 20), live: spread(&mut below, 20), len: room.dense / 2 };
        let state = State::new(seed, &[comb, Free(spread(&mut below, room.units / 16)), Live(1)]);
        State { is_fresh: below(2) == 0, large: 1 + below(10), ..state }
    }),
    family("segments at random", |seed, room, mut below| {
        let mut segments = [Live(1); MOST];
        segments.fill_with(|| Segment::random(&mut below, room));
        let state = State::new(seed, &segments[..1 + below(MOST)]);
        State { is_fresh: below(4) == 0, large: [0, 0, 5][below(3)], repeats: below(3) == 0, ..state }
    }),
];
