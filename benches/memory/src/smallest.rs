use crate::{Configuration, Memory, Replay, Trace};

/// The thousandths by which the smallest memory is enlarged, to verify that the trace
/// still succeeds.
const LARGER: [usize; 8] = [50, 30, 20, 15, 10, 6, 3, 1];
/// The largest memory that is tried, as a multiple of the live bytes.
const MOST_TIMES: usize = 24;

/// Returns the smallest memory in which the trace succeeds, in bytes, including those
/// outside of the heap's memory. Returns `None` if it isn't smaller than `below`, or if
/// the trace fails in all memory that is tried.
///
/// The memory is found by bisection, to 0.1 % or the configuration's step. A heap can
/// succeed in some memory and fail in a larger one. So a few larger sizes are tried as
/// well, and if one of them fails, the search continues above it.
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
