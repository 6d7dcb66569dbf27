//! Packets in queues.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::TraceBuilder;
use crate::random::{below, between, one_in};

/// The size of the word-aligned record that accompanies the bytes of a packet.
const RECORD: usize = 48;

/// Packets of 40 to 1500 bytes that arrive in bursts and leave in order, except for a few
/// that wait longer.
pub(super) fn queue(random: &mut Rng, trace: &mut TraceBuilder) {
    let (mut queue, mut waiting) = (VecDeque::new(), VecDeque::new());
    let mut target = 30;
    for step in 0..20_000 {
        if step % 100 == 0 {
            target = between(random, 5..=60);
        }
        if queue.len() < target {
            let size = match below(random, 20) {
                0..9 => between(random, 40..=90),
                9..13 => between(random, 100..=600),
                _ => between(random, 1000..=1500),
            };
            let bytes = trace.allocate(size, 4);
            queue.push_back((trace.allocate(RECORD, 8), bytes));
        }
        if queue.len() > target || random.bool() {
            let Some((record, bytes)) = queue.pop_front() else { continue };
            if one_in(random, 12) {
                // The packet may be sent again, until it is acknowledged.
                waiting.push_back((record, bytes));
            } else {
                trace.free(record);
                trace.free(bytes);
            }
        }
        if waiting.len() > 6 {
            let Some((record, bytes)) = waiting.pop_front() else { continue };
            trace.free(bytes);
            trace.free(record);
        }
    }
}
