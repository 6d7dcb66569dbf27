use crate::{Configuration, Memory, Replay, Trace};

/// What the memory that is found to be enough is made larger by, in thousandths, to see whether the trace still succeeds.
const LARGER: [usize; 8] = [50, 30, 20, 15, 10, 6, 3, 1];
/// More than so many times the live bytes isn't tried.
const MOST_TIMES: usize = 24;

/// The smallest memory with which the trace succeeds, in bytes, with what the heap keeps outside of it.
///
/// It is found by bisection, to 0.1 % or the configuration's step. More memory isn't always enough where less is, so a few
/// larger sizes are tried too, and the smallest from which on all of them succeed is returned. `None` if it isn't below
/// `below`, or none is found at all.
pub fn smallest(trace: &Trace, configuration: &Configuration, below: usize, memory: &mut Memory) -> Option<usize> {
    let mut replay = Replay::default();
    let mut succeeds =
        |bytes: usize| memory.heap(configuration, bytes).is_some_and(|mut heap| replay.run(trace, &mut *heap));
    let (outside, step) = (configuration.outside(), configuration.step());
    let limit =
        below.saturating_sub(outside + 1).min(Memory::MOST).min(MOST_TIMES * trace.peak() + 64 * step) / step * step;
    if below <= Memory::MOST && !succeeds(limit) {
        return None;
    }
    let mut fails = trace.peak().saturating_sub(1) / step * step;
    loop {
        let mut enough = fails;
        let mut stride = (fails / 16).max(step);
        loop {
            if enough >= limit {
                return None;
            }
            enough = (enough + stride).next_multiple_of(step).min(limit);
            if succeeds(enough) {
                break;
            }
            fails = enough;
            stride *= 2;
        }
        while enough - fails > step.max(enough / 1024) {
            let middle = (fails + (enough - fails) / 2).next_multiple_of(step);
            let middle = if middle == enough { middle - step } else { middle };
            if middle == fails {
                break;
            }
            *(if succeeds(middle) { &mut enough } else { &mut fails }) = middle;
        }
        let larger = LARGER.map(|thousandths| (enough + enough * thousandths / 1000).next_multiple_of(step));
        let next = [enough + 2 * step, enough + step];
        match larger.into_iter().chain(next).find(|&bytes| !succeeds(bytes)) {
            None => return Some(enough + outside),
            Some(bytes) => fails = bytes,
        }
    }
}
