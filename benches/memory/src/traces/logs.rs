//! Text that is formatted and collected.

use std::collections::VecDeque;
use std::fmt::Write as _;

use fastrand::Rng;

use super::text::sentence_up_to;
use crate::random::{below, between, one_in};

/// Log lines, of which the last 200 are kept. Occasionally, all of them are joined.
pub(super) fn lines(random: &mut Rng) -> Box<dyn Fn()> {
    let seed = random.u64(..);
    Box::new(move || {
        let random = &mut Rng::with_seed(seed);
        let mut lines = VecDeque::new();
        for tick in 0..2500 {
            let mut line = format!("[{tick:>8}] {}: ", ["INFO", "WARN", "ERROR"][below(random, 3)]);
            for _ in 0..below(random, 5) {
                let _ = write!(line, "{}={} ", sentence_up_to(random, 2), below(random, 10_000));
            }
            lines.push_back(line);
            if lines.len() > 200 {
                lines.pop_front();
            }
            if one_in(random, 300) {
                let all: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
                assert!(!all.is_empty());
            }
        }
    })
}

/// Six buffers that are filled in random order. Each is flushed when it exceeds a limit
/// that changes with every flush.
pub(super) fn buffers(random: &mut Rng) -> Box<dyn Fn()> {
    let seed = random.u64(..);
    Box::new(move || {
        let random = &mut Rng::with_seed(seed);
        let mut buffers = [0; 6].map(|_| (Vec::<u8>::new(), 1000));
        let mut sent: VecDeque<Box<[u8]>> = VecDeque::new();
        for _ in 0..12_000 {
            let (buffer, limit) = &mut buffers[below(random, 6)];
            buffer.extend_from_slice(&[0; 64][..between(random, 1..=64)]);
            if buffer.len() > *limit {
                *limit = between(random, 100..=9000);
                sent.push_back(std::mem::take(buffer).into_boxed_slice());
                if sent.len() > 4 {
                    sent.pop_front();
                }
            }
        }
    })
}
