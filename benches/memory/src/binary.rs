//! Traces in a file, which a program on a target replays.
//!
//! The file is a sequence of little-endian 32-bit numbers. The first is the number of
//! traces. The numbers of each trace follow:
//!
//! | numbers | contents |
//! |---:|---|
//! | 1 | the length of its name in bytes |
//! | | the name, padded with zeros to a multiple of four bytes |
//! | 1 | the number of slots |
//! | 1 | the maximum number of live bytes |
//! | 1 | the number of operations |
//! | | the operations |
//!
//! The first number of an operation has the slot in its low 24 bits, the kind of
//! operation in the next three bits, and the base-2 logarithm of the alignment in the
//! upper five bits. Unless the operation frees the block, its size follows as a second
//! number.

use std::fs;
use std::path::Path;

use crate::{Operation, Result, Trace, traces};

const SLOT_BITS: u32 = 24;
const ALIGN_SHIFT: u32 = SLOT_BITS + 3;

const ALLOCATE: u32 = 0;
const REALLOCATE: u32 = 1;
const FREE: u32 = 2;

/// Writes all traces to a file, each generated with this seed.
///
/// # Errors
///
/// Fails if the file can't be written, or if a number of a trace is too large for the
/// format.
pub(crate) fn write(path: &Path, seed: u64) -> Result<()> {
    let mut numbers = vec![number(traces::ALL.len())?];
    for program in traces::ALL {
        let trace = program.trace(seed);
        let name = program.name.as_bytes();
        numbers.push(number(name.len())?);
        for part in name.chunks(4) {
            let mut bytes = [0; 4];
            bytes[..part.len()].copy_from_slice(part);
            numbers.push(u32::from_le_bytes(bytes));
        }
        numbers.extend([number(trace.slots())?, number(trace.peak())?, number(trace.operations().len())?]);
        encode(&trace, &mut numbers)?;
    }
    let bytes: Vec<u8> = numbers.into_iter().flat_map(u32::to_le_bytes).collect();
    Ok(fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))?)
}

fn encode(trace: &Trace, numbers: &mut Vec<u32>) -> Result<()> {
    if trace.slots() > 1 << SLOT_BITS {
        return Err("a trace has more than 2^24 slots, the most that the file format can express".into());
    }
    for &operation in trace.operations() {
        match operation {
            Operation::Allocate { slot, size, align } => {
                numbers.extend([slot | ALLOCATE << SLOT_BITS | align.ilog2() << ALIGN_SHIFT, size]);
            }
            Operation::Reallocate { slot, size } => numbers.extend([slot | REALLOCATE << SLOT_BITS, size]),
            Operation::Free { slot } => numbers.push(slot | FREE << SLOT_BITS),
        }
    }
    Ok(())
}

fn number(count: usize) -> Result<u32> {
    Ok(u32::try_from(count)?)
}
