//! Traces as a file, for a program on a target that replays them.
//!
//! All numbers are of 32 bits, little-endian: how many traces there are, and then for each of them
//!
//! | numbers | what they are |
//! |---:|---|
//! | 1 | bytes of its name |
//! | | the name, filled up to whole numbers |
//! | 1 | slots |
//! | 1 | the most bytes that are live at once |
//! | 1 | operations |
//! | | the operations |
//!
//! An operation starts with its slot, in the low 24 bits. Above these, three bits say what it is, and five the logarithm of
//! the alignment. A size follows, unless the block is freed.

use std::fs;
use std::path::Path;

use crate::{Operation, Result, Trace, traces};

const SLOT_BITS: u32 = 24;
const ALIGN_SHIFT: u32 = SLOT_BITS + 3;

const ALLOCATE: u32 = 0;
const REALLOCATE: u32 = 1;
const FREE: u32 = 2;

/// Writes all traces, each with this seed.
///
/// # Errors
///
/// If the file can't be written.
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
        return Err("a trace has more slots than fit".into());
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
