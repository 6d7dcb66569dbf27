//! A search that climbs from the worst known states to worse ones.

use super::exercise::Most;
use super::state::{Room, Segment, State};
use crate::calls::OPERATIONS;
use crate::random::random;

/// The number of states that are kept for each operation. With only the worst state, the
/// search would soon get stuck.
const KEPT: usize = 6;

pub(crate) struct Climb {
    /// The worst states for each operation, each with the cost of the operation.
    worst: [[(State, u32); KEPT]; OPERATIONS],
    random: u32,
}

impl Climb {
    pub(crate) fn new() -> Self {
        Self { worst: [[(State::new(1, &[Segment::Live(1)]), 0); KEPT]; OPERATIONS], random: 1 }
    }

    /// Keeps a state for each operation for which it is among the worst.
    pub(crate) fn consider(&mut self, state: &State, Most(costs): Most) {
        for (kept, cost) in self.worst.iter_mut().zip(costs) {
            // States of the same cost are mostly similar, so the newer one replaces the
            // older one.
            let is_same = kept.iter().position(|&(_, known)| known == cost);
            let least = (0..KEPT).min_by_key(|&index| kept[index].1).unwrap_or(0);
            let place = is_same.unwrap_or(least);
            if cost >= kept[place].1 {
                kept[place] = (*state, cost);
            }
        }
    }

    /// Returns a state that is similar to one of the worst for an operation.
    pub(crate) fn neighbour(&mut self, operation: usize, room: &Room) -> State {
        let mut state = self.worst[operation][random(&mut self.random) as usize % KEPT].0;
        for _ in 0..=random(&mut self.random) % 3 {
            state.mutate(&mut self.random, room);
        }
        state
    }
}
