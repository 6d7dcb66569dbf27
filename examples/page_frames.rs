//! Manages the page frames of a toy kernel with a heap: takes them from the memory that
//! the boot loader reports, maps them into the page tables of processes, and frees them
//! when a process ends.
//!
//! ```sh
//! cargo run --release --example page_frames
//! ```
//!
//! Each frame is a heap block that is aligned to a page. Processes take frames one at a
//! time; devices take contiguous ones. The heap has one arena for each part of the
//! memory, and merges freed frames, so that contiguous frames become available again.
//! Page tables hold frame numbers, so frames are freed by number.
//!
//! The machine is made up, but its page tables are like those of `x86_64`, and each
//! access walks them to translate the address. (`targets/kernel` does the same with real
//! page tables, in QEMU.)

use std::alloc::Layout;
use std::error::Error;
use std::ptr::{NonNull, with_exposed_provenance_mut};

use clap::Parser;
use hpalloc::{Arena, Borrowed, Heap, PAGE_SIZE, Page};

/// Runs processes on a machine with little memory.
#[derive(Parser)]
struct Options {
    /// The number of processes to start
    #[arg(long, default_value = "10000")]
    processes: u32,
    /// The largest number of processes that run at the same time
    #[arg(long, default_value = "32")]
    at_once: usize,
    /// The seed of the random processes
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// The sizes of the two parts of the memory, in pages. The addresses between them belong
/// to devices.
const LOW_PAGES: usize = 150;
const HIGH_PAGES: usize = 700;

const ENTRIES: usize = PAGE_SIZE / size_of::<Entry>();
/// The bit that is set in an entry that names a frame.
const PRESENT: u64 = 1;
const LEVELS: u32 = 4;

/// The memory that frames come from. The lowest part is used first.
type Memory<'m> = [Arena<Borrowed<'m>>; 2];

struct Frames<'m>(Heap<Memory<'m>>);

/// A page table. *Invariant (Owned):* the table owns the frames that its entries name.
struct Table([Entry; ENTRIES]);

/// The address of the frame with the next table, or at the last level with the data,
/// combined with `PRESENT`. Zero if the entry names no frame.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    fn of(frame: Frame) -> Self {
        Self((frame.0 * PAGE_SIZE) as u64 | PRESENT)
    }

    fn frame(self) -> Option<Frame> {
        let address = usize::try_from(self.0 & !PRESENT).expect("an entry holds a valid address");
        (self.0 & PRESENT != 0).then_some(Frame(address / PAGE_SIZE))
    }
}

/// The number of a frame: its address divided by the page size. Physical addresses are
/// the same as pointers here.
///
/// *Invariant (Exposed):* the provenance of the frame's memory was exposed when the frame
/// was taken.
#[derive(Clone, Copy)]
struct Frame(usize);

impl Frame {
    /// Returns a pointer to the frame, which is valid until the frame is freed.
    fn pointer(self) -> NonNull<Page> {
        // By Exposed, the pointer has the provenance of the memory that was taken.
        NonNull::new(with_exposed_provenance_mut(self.0 * PAGE_SIZE)).expect("no frame is at address zero")
    }
}

impl<'m> Frames<'m> {
    fn new(memory: Memory<'m>) -> Self {
        Self(Heap::new(memory))
    }

    /// Takes a zeroed frame.
    fn take(&self) -> Option<Frame> {
        self.take_contiguous(1)
    }

    /// Takes `count` contiguous zeroed frames and returns the first.
    fn take_contiguous(&self, count: usize) -> Option<Frame> {
        let first = self.0.allocate_zeroed(frames_layout(count))?;
        Some(Frame(first.as_ptr().expose_provenance() / PAGE_SIZE))
    }

    /// # Safety
    ///
    /// `count` frames were taken from here together, starting with `first`. They haven't
    /// been freed since, and nothing uses them any longer.
    unsafe fn give_back(&self, first: Frame, count: usize) {
        // SAFETY: the caller upholds the same contract.
        unsafe { self.0.deallocate(first.pointer().cast(), frames_layout(count)) }
    }

    /// Returns how many frames are taken.
    fn in_use(&self) -> usize {
        self.0.used() / PAGE_SIZE
    }
}

fn frames_layout(count: usize) -> Layout {
    Layout::array::<Page>(count).expect("the frames fit in the address space")
}

/// Contiguous frames that a device writes to.
struct Buffer<'k, 'm> {
    /// *Invariant (Frames):* the buffer owns `count` frames from here on.
    first: Frame,
    count: usize,
    frames: &'k Frames<'m>,
}

impl<'k, 'm> Buffer<'k, 'm> {
    fn new(frames: &'k Frames<'m>, count: usize) -> Option<Self> {
        Some(Self { first: frames.take_contiguous(count)?, count, frames })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: by Frames, the buffer owns the memory. The buffer is borrowed mutably,
        // and the memory was zeroed when it was taken.
        unsafe { std::slice::from_raw_parts_mut(self.first.pointer().as_ptr().cast(), self.count * PAGE_SIZE) }
    }
}

impl Drop for Buffer<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: by Frames, the buffer owns the frames, and it ends here.
        unsafe { self.frames.give_back(self.first, self.count) };
    }
}

/// The memory of a process. Its frames are freed when it is dropped.
struct AddressSpace<'k, 'm> {
    /// *Invariant (Root):* a frame that the process owns, with the `Table` of the highest
    /// level.
    root: Frame,
    frames: &'k Frames<'m>,
}

impl<'k, 'm> AddressSpace<'k, 'm> {
    fn new(frames: &'k Frames<'m>) -> Option<Self> {
        Some(Self { root: frames.take()?, frames })
    }

    /// Returns the page at an address, and maps it first if necessary. Returns `None` if
    /// no frame is left.
    fn page(&mut self, address: u64) -> Option<&mut [u8; PAGE_SIZE]> {
        let mut frame = self.root;
        for level in (0..LEVELS).rev() {
            // SAFETY: by Root and Owned, the frame is a table of this process, which is
            // borrowed mutably. All of its entries are initialized: a zeroed frame is a
            // table whose entries name no frame.
            let table = unsafe { frame.pointer().cast::<Table>().as_mut() };
            let entry = &mut table.0[index(address, level)];
            if entry.frame().is_none() {
                *entry = Entry::of(self.frames.take()?);
            }
            frame = entry.frame()?;
        }
        // SAFETY: by Owned, the process owns the frame, and its bytes were zeroed when it
        // was taken.
        Some(unsafe { frame.pointer().cast().as_mut() })
    }
}

/// Returns the index of the entry for an address in a table of this level. Each level
/// uses nine bits of the address.
fn index(address: u64, level: u32) -> usize {
    usize::try_from((address >> (12 + 9 * level)) % ENTRIES as u64).expect("the index is below the number of entries")
}

impl Drop for AddressSpace<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: by Root, the frame holds the table of the highest level, and the
        // process ends here.
        unsafe { release(self.root, LEVELS, self.frames) };
    }
}

/// Frees a frame. If the frame holds a table, the frames that the table names are freed
/// first.
///
/// # Safety
///
/// The frame was taken from `frames`, and nothing uses it any longer. If `levels` isn't
/// zero, the frame holds a `Table` with that many levels; otherwise it holds data.
unsafe fn release(frame: Frame, levels: u32, frames: &Frames<'_>) {
    if levels > 0 {
        // SAFETY: guaranteed by the caller.
        let table = unsafe { frame.pointer().cast::<Table>().as_ref() };
        for next in table.0.iter().filter_map(|entry| entry.frame()) {
            // SAFETY: by Owned, nothing else names the frame, and its table ends here.
            unsafe { release(next, levels - 1, frames) };
        }
    }
    // SAFETY: guaranteed by the caller.
    unsafe { frames.give_back(frame, 1) };
}

/// A process that has written its number to some pages, and to a buffer as its device
/// would.
struct Process<'k, 'm> {
    number: u32,
    memory: AddressSpace<'k, 'm>,
    touched: Vec<u64>,
    buffer: Buffer<'k, 'm>,
}

impl<'k, 'm> Process<'k, 'm> {
    /// Starts a process, or returns `None` if there isn't enough memory. Frames that were
    /// taken before the failure are freed.
    fn start(number: u32, frames: &'k Frames<'m>, random: &mut fastrand::Rng) -> Option<Self> {
        let mut buffer = Buffer::new(frames, random.usize(1..=8))?;
        buffer
            .bytes()
            .chunks_mut(PAGE_SIZE)
            .zip(0..)
            .for_each(|(frame, index)| frame[..8].copy_from_slice(&mark(number, index << 12)));
        let mut process = Self { number, memory: AddressSpace::new(frames)?, touched: Vec::new(), buffer };
        for _ in 0..random.usize(1..24) {
            // The code, the heap or the stack.
            let segment = [0x40_0000, 0x5555_0000_0000, 0x7FFF_FFC0_0000][random.usize(0..3)];
            let address = segment + random.u64(0..256) * PAGE_SIZE as u64;
            process.memory.page(address)?[..8].copy_from_slice(&mark(number, address));
            process.touched.push(address);
        }
        Some(process)
    }

    fn is_unharmed(&mut self) -> bool {
        self.touched.iter().all(|&address| {
            let found = self.memory.page(address).map(|page| &page[..8]);
            found == Some(&mark(self.number, address))
        }) && self
            .buffer
            .bytes()
            .chunks(PAGE_SIZE)
            .zip(0..)
            .all(|(frame, index)| frame[..8] == mark(self.number, index << 12))
    }
}

/// Returns the bytes that a process writes to a page. They differ for each process and
/// each page, and are never all zero.
fn mark(process: u32, address: u64) -> [u8; 8] {
    (u64::from(process + 1) << 40 ^ address >> 12).to_le_bytes()
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let [mut low, mut high] = [LOW_PAGES, HIGH_PAGES].map(|count| (0..count).map(|_| Page::new()).collect::<Vec<_>>());
    let frames = Frames::new([Arena::from_pages(&mut low)?, Arena::from_pages(&mut high)?]);

    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut running = Vec::new();
    let (mut refused, mut peak) = (0, 0);
    for number in 0..options.processes {
        match Process::start(number, &frames, &mut random) {
            Some(process) => running.push(process),
            None => refused += 1,
        }
        peak = peak.max(frames.in_use());
        while running.len() > options.at_once || (!running.is_empty() && random.u8(..) < 64) {
            let mut ends = running.swap_remove(random.usize(..running.len()));
            if !ends.is_unharmed() {
                return Err("the memory of a process was overwritten".into());
            }
        }
    }
    let at_the_end = frames.in_use();
    println!("{} processes started, {refused} refused because no frames were left", options.processes - refused);
    println!(
        "{} still running with {at_the_end} frames; at most {peak} of {} frames in use at the same time",
        running.len(),
        LOW_PAGES + HIGH_PAGES
    );
    running.clear();
    match frames.0.usage() {
        // Each part of the memory has been merged into one piece.
        usage if usage.used == 0 && usage.free_blocks == 2 => Ok(()),
        usage => Err(format!("not all frames were freed and merged: {usage}").into()),
    }
}
