use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::hint::black_box;

use hpalloc::{PAGE_SIZE, Page};

/// A process, as far as the kernel keeps anything of it on its heap.
struct Process {
    name: String,
    /// Messages that weren't received yet, oldest first: the number, and that many words that follow from it.
    mailbox: VecDeque<(u64, Box<[u64]>)>,
    io: Box<IoBuffer>,
}

/// What a device writes to: contiguous page frames.
#[repr(align(4096))]
struct IoBuffer([u8; 3 * PAGE_SIZE]);

/// What happened to all processes.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) spawned: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

const STEPS: u32 = 50_000;
/// How many there are at once, at most.
const PROCESSES: usize = 100;

/// The words of a message, up to 128 KiB of them.
fn words(number: u64) -> impl Iterator<Item = u64> {
    let length = match number % 64 {
        0 => number % 16_384,
        short => short * 4,
    };
    (0..length).map(move |word| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ word)
}

/// What the I/O buffer of a process is filled with.
fn pattern(id: u64) -> u8 {
    id.to_le_bytes()[0]
}

impl Process {
    fn new(id: u64) -> Self {
        let io = Box::new(IoBuffer([pattern(id); 3 * PAGE_SIZE]));
        assert!(black_box(&raw const *io).cast::<Page>().is_aligned(), "an I/O buffer begins with a page");
        Self { name: format!("process {id}"), mailbox: VecDeque::new(), io }
    }

    /// Takes the oldest message out of the mailbox. Its words have to be those that were sent.
    fn receive(&mut self) -> bool {
        let Some((number, message)) = self.mailbox.pop_front() else { return false };
        assert!(message.iter().copied().eq(words(number)), "message {number} to {} was written to", self.name);
        true
    }

    /// Receives what is left, and ends.
    fn exit(mut self, id: u64) -> u64 {
        let mut received = 0;
        while self.receive() {
            received += 1;
        }
        assert_eq!(self.name, format!("process {id}"));
        assert!(self.io.0.iter().all(|&byte| byte == pattern(id)), "the I/O buffer of process {id} was written to");
        received
    }
}

/// Spawns processes that send each other messages and exit, in random order, until all have exited.
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
                let process = table.get_mut(&id).expect("it was chosen from the table");
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
