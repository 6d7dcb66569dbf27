//! The page frames of a toy kernel: taken from the memory that the boot loader reports, mapped into the page tables of
//! processes, one by one or contiguous for a device, and freed when a process ends.
//!
//! ```sh
//! cargo run --release --example page_frames
//! ```
//!
//! The frames are blocks of a heap that are aligned to a page, over one arena for each part of the memory. What is freed is merged,
//! so that frames are contiguous again. A frame is known by its number: that is what the
//! page tables have, and by which it is freed. The machine is made up, but its page
//! tables are like those of `x86_64`, and every access is translated by walking them.
//! (`targets/kernel` does it for real, in QEMU.)

use std::alloc::Layout;
use std::error::Error;
use std::ptr::{NonNull, with_exposed_provenance_mut};

use clap::Parser;
use hpalloc::{Arena, Borrowed, Heap, PAGE_SIZE, Page};

/// Runs processes in the memory of a machine that has little of it.
#[derive(Parser)]
struct Options {
    /// How many processes are started
    #[arg(long, default_value = "10000")]
    processes: u32,
    /// The most that run at once
    #[arg(long, default_value = "32")]
    at_once: usize,
    /// Chooses other processes
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// The parts of the memory, in pages: what lies between them belongs to devices.
const LOW_PAGES: usize = 150;
const HIGH_PAGES: usize = 700;

const ENTRIES: usize = PAGE_SIZE / size_of::<Entry>();
/// The bit of an entry that says that it names a frame.
const PRESENT: u64 = 1;
const LEVELS: u32 = 4;

/// What a kernel's frames come from: any part of the memory, the lowest first.
type Memory<'m> = [Arena<Borrowed<'m>>; 2];

struct Frames<'m>(Heap<Memory<'m>>);

/// A page table: *Invariant (Owned):* the frames that its entries name are its own.
struct Table([Entry; ENTRIES]);

/// The address of the frame that the next level is in, or at the last level the data, and
/// `PRESENT`. Zero if there is none.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    fn of(frame: Frame) -> Self {
        Self((frame.0 * PAGE_SIZE) as u64 | PRESENT)
    }

    fn frame(self) -> Option<Frame> {
        let address = usize::try_from(self.0 & !PRESENT).expect("an address");
        (self.0 & PRESENT != 0).then_some(Frame(address / PAGE_SIZE))
    }
}

/// The number of a frame: its address, which is its physical one here, divided by the
/// size of a page.
///
/// *Invariant (Exposed):* the provenance of the frame's memory was exposed when the frame
/// was taken.
#[derive(Clone, Copy)]
struct Frame(usize);

impl Frame {
    /// A pointer to the frame, for as long as it is taken.
    fn pointer(self) -> NonNull<Page> {
        // By Exposed, it is good for the memory that was taken.
        NonNull::new(with_exposed_provenance_mut(self.0 * PAGE_SIZE)).expect("no frame is at address zero")
    }
}

impl<'m> Frames<'m> {
    fn new(memory: Memory<'m>) -> Self {
        Self(Heap::new(memory))
    }

    /// A frame with all its bytes zero.
    fn take(&self) -> Option<Frame> {
        self.take_contiguous(1)
    }

    /// The first of so many frames at successive addresses, with all their bytes zero.
    fn take_contiguous(&self, count: usize) -> Option<Frame> {
        let first = self.0.allocate_zeroed(frames_layout(count))?;
        Some(Frame(first.as_ptr().expose_provenance() / PAGE_SIZE))
    }

    /// # Safety
    ///
    /// So many frames were taken from here together, weren't freed since, and nothing uses them any more.
    unsafe fn give_back(&self, first: Frame, count: usize) {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.0.deallocate(first.pointer().cast(), frames_layout(count)) }
    }

    /// How many are taken.
    fn in_use(&self) -> usize {
        self.0.used() / PAGE_SIZE
    }
}

fn frames_layout(count: usize) -> Layout {
    Layout::array::<Page>(count).expect("a few frames")
}

/// Contiguous frames that a device writes to.
struct Buffer<'k, 'm> {
    /// *Invariant (Frames):* the first of so many frames of its own.
    first: Frame,
    count: usize,
    frames: &'k Frames<'m>,
}

impl<'k, 'm> Buffer<'k, 'm> {
    fn new(frames: &'k Frames<'m>, count: usize) -> Option<Self> {
        Some(Self { first: frames.take_contiguous(count)?, count, frames })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: by Frames, the memory is the buffer's, which is borrowed mutably, and was zeroed when it was taken.
        unsafe { std::slice::from_raw_parts_mut(self.first.pointer().as_ptr().cast(), self.count * PAGE_SIZE) }
    }
}

impl Drop for Buffer<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: by Frames, and they go with the buffer.
        unsafe { self.frames.give_back(self.first, self.count) };
    }
}

/// The memory of a process. Its frames go back when it is dropped.
struct AddressSpace<'k, 'm> {
    /// *Invariant (Root):* a frame of its own, with the `Table` of the highest level.
    root: Frame,
    frames: &'k Frames<'m>,
}

impl<'k, 'm> AddressSpace<'k, 'm> {
    fn new(frames: &'k Frames<'m>) -> Option<Self> {
        Some(Self { root: frames.take()?, frames })
    }

    /// The bytes of the page that an address is in, mapped now if it wasn't; `None` where no frame is left.
    fn page(&mut self, address: u64) -> Option<&mut [u8; PAGE_SIZE]> {
        let mut frame = self.root;
        for level in (0..LEVELS).rev() {
            // SAFETY: by Root and Owned, the frame is a table of this process, which is borrowed mutably. All of its
            // entries are initialised: a frame of zeros is one of entries that name none.
            let table = unsafe { frame.pointer().cast::<Table>().as_mut() };
            let entry = &mut table.0[index(address, level)];
            if entry.frame().is_none() {
                *entry = Entry::of(self.frames.take()?);
            }
            frame = entry.frame()?;
        }
        // SAFETY: by Owned, the frame is this process's, and its bytes were zeroed when it was taken.
        Some(unsafe { frame.pointer().cast().as_mut() })
    }
}

/// Which entry an address takes in a table of a level: nine bits for each.
fn index(address: u64, level: u32) -> usize {
    usize::try_from((address >> (12 + 9 * level)) % ENTRIES as u64).expect("below the number of entries")
}

impl Drop for AddressSpace<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: by Root, it is a table of the highest level, and goes with the process.
        unsafe { release(self.root, LEVELS, self.frames) };
    }
}

/// Gives a frame back, and first what the table in it names, if it is one.
///
/// # Safety
///
/// The frame was taken from there, and nothing uses it any more. It is a `Table` of so many levels, or for none the data.
unsafe fn release(frame: Frame, levels: u32, frames: &Frames<'_>) {
    if levels > 0 {
        // SAFETY: as the caller promises.
        let table = unsafe { frame.pointer().cast::<Table>().as_ref() };
        for next in table.0.iter().filter_map(|entry| entry.frame()) {
            // SAFETY: by Owned, nothing else names it, and it goes with its table.
            unsafe { release(next, levels - 1, frames) };
        }
    }
    // SAFETY: as the caller promises.
    unsafe { frames.give_back(frame, 1) };
}

/// A process that has written its number to some pages, and to a buffer, as its device would.
struct Process<'k, 'm> {
    number: u32,
    memory: AddressSpace<'k, 'm>,
    touched: Vec<u64>,
    buffer: Buffer<'k, 'm>,
}

impl<'k, 'm> Process<'k, 'm> {
    /// `None` where there is no memory for it; then it has none.
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

/// What a process writes to a page: no other process and no other page has the same, nor is it what is there at first.
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
                return Err("a process found another's number in its memory".into());
            }
        }
    }
    let at_the_end = frames.in_use();
    println!("{} processes started, {refused} refused for lack of frames", options.processes - refused);
    println!("{} run, with {at_the_end} frames; {peak} of {} at the peak", running.len(), LOW_PAGES + HIGH_PAGES);
    running.clear();
    match frames.0.usage() {
        // Each part of the memory is in one piece again.
        usage if usage.used == 0 && usage.free_blocks == 2 => Ok(()),
        usage => Err(format!("frames are lost: {usage}").into()),
    }
}
