//! The state of a heap's memory: which parts are live and which are free.

use crate::random::random;

/// The size of a heap.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// The number of bytes to which sizes are rounded up. All lengths are in these units.
    pub(crate) unit: usize,
    /// The length of the memory that can be handed out.
    pub(crate) units: usize,
    /// The maximum length of a piece in which every other unit is free.
    pub(crate) dense: usize,
}

/// A stretch of memory.
#[derive(Clone, Copy)]
pub(crate) enum Segment {
    /// One live block.
    Live(usize),
    /// One hole, which is larger if free memory is beside it.
    Free(usize),
    /// Alternating holes of `hole` units and blocks of `live` units, over `len` units.
    Comb { hole: usize, live: usize, len: usize },
    /// Holes of all sizes from one unit to `steps` units, with blocks of one unit between
    /// them. The largest hole is last if `rising` is set, otherwise first.
    Stairs { steps: usize, rising: bool },
}

/// The order in which the holes are made.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    Upwards,
    Downwards,
    Shuffled,
}

/// The maximum number of segments of a state.
pub(crate) const MOST: usize = 10;

/// A state of a heap.
#[derive(Clone, Copy)]
pub(crate) struct State {
    pub(crate) segments: [Segment; MOST],
    pub(crate) count: usize,
    /// `true` if the segments are repeated until the memory is full.
    pub(crate) repeats: bool,
    /// `true` if the memory after the segments was never handed out. Otherwise it is
    /// live.
    pub(crate) is_fresh: bool,
    /// The number of large blocks that are allocated first. Every other one is freed.
    pub(crate) large: usize,
    pub(crate) order: Order,
    /// The seed of the random numbers.
    pub(crate) seed: u32,
}

impl State {
    pub(crate) fn new(seed: u32, segments: &[Segment]) -> Self {
        let mut all = [Segment::Live(1); MOST];
        all[..segments.len()].copy_from_slice(segments);
        let order = [Order::Upwards, Order::Downwards, Order::Shuffled][(seed >> 3) as usize % 3];
        Self { segments: all, count: segments.len(), repeats: false, is_fresh: false, large: 0, order, seed }
    }

    pub(crate) fn repeated(self) -> Self {
        Self { repeats: true, ..self }
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments[..self.count]
    }

    /// Returns the length of each block and hole, in the order of their addresses, and
    /// whether it is free.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (usize, bool)> {
        let once = self.segments();
        let all = once.iter().cycle().take(if self.repeats { usize::MAX } else { once.len() });
        all.flat_map(|segment| (0..segment.pieces()).map(|index| segment.piece(index)))
    }

    /// Changes one property at random.
    pub(crate) fn mutate(&mut self, random_state: &mut u32, room: &Room) {
        let mut below = |end: usize| random(random_state) as usize % end;
        match below(12) {
            0 => self.order = [Order::Upwards, Order::Downwards, Order::Shuffled][below(3)],
            1 | 2 => self.seed = below(1 << 30) as u32 + 1,
            3 => self.large = [0, 0, below(9)][below(3)],
            4 if !self.repeats => self.is_fresh = !self.is_fresh,
            5 if self.count < MOST => {
                let at = below(self.count + 1);
                self.segments.copy_within(at..self.count, at + 1);
                self.segments[at] = Segment::random(&mut below, room);
                self.count += 1;
            }
            6 if self.count > 1 => {
                let at = below(self.count);
                self.segments.copy_within(at + 1..self.count, at);
                self.count -= 1;
            }
            7 => {
                let at = below(self.count);
                self.segments[at] = Segment::random(&mut below, room);
            }
            _ => {
                let at = below(self.count);
                self.segments[at].mutate(&mut below, room);
            }
        }
    }
}

/// Returns a random length up to `most`. Every order of magnitude, in powers of two, is
/// equally likely.
pub(crate) fn spread(below: &mut impl FnMut(usize) -> usize, most: usize) -> usize {
    let power = 1 << below(most.ilog2() as usize + 1);
    (power + below(power)).min(most)
}

impl Segment {
    pub(crate) fn random(below: &mut impl FnMut(usize) -> usize, room: &Room) -> Self {
        match below(7) {
            0 | 1 => Self::Live(spread(below, room.units / 2)),
            2 | 3 => Self::Free(spread(below, room.units / 8)),
            4 | 5 => Self::Comb {
                hole: spread(below, 64),
                live: if below(2) == 0 { 1 } else { spread(below, 64) },
                len: spread(below, room.dense),
            },
            _ => Self::Stairs { steps: spread(below, 40), rising: below(2) == 0 },
        }
    }

    fn mutate(&mut self, below: &mut impl FnMut(usize) -> usize, room: &Room) {
        let mut change = |length: &mut usize, most: usize| {
            let step = spread(below, (*length / 2).max(1));
            let changed = match below(5) {
                0 => *length + 1,
                1 => *length - 1,
                2 => *length + step,
                3 => *length - step,
                _ => *length * 2,
            };
            *length = changed.clamp(1, most);
        };
        match self {
            Self::Live(length) | Self::Free(length) => change(length, room.units),
            Self::Comb { hole, live, len } => match *len % 3 {
                0 => change(hole, 1024),
                1 => change(live, 1024),
                _ => change(len, room.dense),
            },
            Self::Stairs { steps, rising } => {
                change(steps, 60);
                *rising ^= *steps % 5 == 0;
            }
        }
    }

    /// Returns the number of blocks and holes of the segment.
    fn pieces(self) -> usize {
        match self {
            Self::Live(_) | Self::Free(_) => 1,
            Self::Comb { hole, live, len } => 2 * len.div_ceil(hole + live),
            Self::Stairs { steps, .. } => 2 * steps,
        }
    }

    fn piece(self, index: usize) -> (usize, bool) {
        let is_free = index % 2 == 0;
        match self {
            Self::Live(units) => (units, false),
            Self::Free(units) => (units, true),
            Self::Comb { hole, live, .. } => (if is_free { hole } else { live }, is_free),
            Self::Stairs { .. } if !is_free => (1, false),
            Self::Stairs { rising: true, .. } => (index / 2 + 1, true),
            Self::Stairs { steps, .. } => (steps - index / 2, true),
        }
    }

    /// Returns the size of the largest hole of the segment, if it has one.
    pub(crate) fn hole(self) -> Option<usize> {
        match self {
            Self::Live(_) => None,
            Self::Free(units) => Some(units),
            Self::Comb { hole, .. } => Some(hole),
            Self::Stairs { steps, .. } => Some(steps),
        }
    }
}
