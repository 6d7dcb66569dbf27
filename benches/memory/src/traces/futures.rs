//! Boxed futures of an executor.

use fastrand::Rng;

use crate::TraceBuilder;
use crate::random::{below, between, one_in, take_any};

/// Tasks of twelve kinds, whose futures have sizes from 104 to 800 bytes. Some tasks box
/// another future and wait for it.
pub(super) fn tasks(random: &mut Rng, trace: &mut TraceBuilder) {
    let kinds: Vec<_> = (0..12).map(|_| 8 * between(random, 13..=100)).collect();
    let mut tasks = Vec::new();
    let mut most = 40;
    for step in 0..20_000 {
        if step % 500 == 0 {
            most = between(random, 15..=70);
        }
        if tasks.len() < most && random.bool() {
            let future = trace.allocate(kinds[below(random, kinds.len())], 8);
            let waker = trace.allocate(5 * size_of::<usize>(), 8);
            tasks.push((future, waker, None));
        } else if tasks.len() > most || one_in(random, 3) {
            if let Some((future, waker, inner)) = take_any(random, &mut tasks) {
                if let Some(inner) = inner {
                    trace.free(inner);
                }
                trace.free(future);
                trace.free(waker);
            }
        } else if !tasks.is_empty() {
            let task = below(random, tasks.len());
            match tasks[task].2.take() {
                Some(inner) => trace.free(inner),
                None => tasks[task].2 = Some(trace.allocate(kinds[below(random, kinds.len())], 8)),
            }
        }
    }
}
