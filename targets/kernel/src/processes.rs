use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::hint::black_box;

use hpalloc::{PAGE_SIZE, Page};

/// The part of a process that is on the kernel's heap.
struct Process {
    name: String,
    /// The messages that were not received yet, oldest first. Each has its number and the
    /// words that are derived from it.
    mailbox: VecDeque<(u64, Box<[u64]>)>,
    io: Box<IoBuffer>,
}

/// A buffer that a device writes to, in contiguous page frames.
#[repr(align(4096))]
struct IoBuffer([u8; 3 * PAGE_SIZE]);

/// The events of all processes.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) spawned: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

const STEPS: u32 = 50_000;
/// The maximum number of processes.
const PROCESSES: usize = 100;

/// Returns the words of a message, up to 128 KiB.
fn words(number: u64) -> impl Iterator<Item = u64> {
    let length = match number % 64 {
        0 => number % 16_384,
        short => short * 4,
    };
    (0..length).map(move |word| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ word)
}

/// Returns the byte that fills the I/O buffer of a process.
fn pattern(id: u64) -> u8 {
    id.to_le_bytes()[0]
}

impl Process {
    fn new(id: u64) -> Self {
        let io = Box::new(IoBuffer([pattern(id); 3 * PAGE_SIZE]));
        assert!(
            black_box(&raw const *io).cast::<Page>().is_aligned(),
            "the I/O buffer does not start on a page boundary"
        );
        Self { name: format!("process {id}"), mailbox: VecDeque::new(), io }
    }

    /// Removes the oldest message from the mailbox and compares its words with those that
    /// were sent. Returns `false` if the mailbox is empty.
    fn receive(&mut self) -> bool {
        let Some((number, message)) = self.mailbox.pop_front() else { return false };
        assert!(message.iter().copied().eq(words(number)), "message {number} to {} was overwritten", self.name);
        true
    }

    /// Receives the remaining messages and ends the process. Returns the number of these
    /// messages.
    fn exit(mut self, id: u64) -> u64 {
        let mut received = 0;
        while self.receive() {
            received += 1;
        }
        assert_eq!(self.name, format!("process {id}"));
        assert!(self.io.0.iter().all(|&byte| byte == pattern(id)), "the I/O buffer of process {id} was overwritten");
        received
    }
}

/// Spawns processes that send each other messages and exit, in random order, until all
/// have exited.
pub(crate) fn run() -> Counts {
    let mut table: BTreeMap<u64, Box<Process>> = BTreeMap::new();
    let mut counts = Counts::default();
    let mut state = 1;
    for _ in 0..STEPS {
        let chosen = table.keys().nth(random(&mut state) as usize % PROCESSES).copied();
        match (chosen, random(&mut state) % 16) {
            (None, _) => {
                table.insert(counts.spawned, Box::new(Process::new(counts.spawned)));
                counts.spawned += 1;
            }
            (Some(id), 0) => {
                counts.received += table.remove(&id).map_or(0, |process| process.exit(id));
            }
            (Some(id), 1..9) => {
                let message: Vec<u64> = words(counts.sent).collect();
                let process = table.get_mut(&id).expect("the process was chosen from the table");
                process.mailbox.push_back((counts.sent, message.into()));
                counts.sent += 1;
            }
            (Some(id), _) => {
                counts.received += u64::from(table.get_mut(&id).is_some_and(|process| process.receive()));
            }
        }
    }
    while let Some((id, process)) = table.pop_first() {
        counts.received += process.exit(id);
    }
    counts
}

/// Marsaglia, *Xorshift RNGs*, 2003.
fn random(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}
