//! A ring of log records in a file that is mapped to memory: what a program did last is there even if it was killed.
//!
//! ```sh
//! cargo run --release --example log_ring -- --abort-after 5000; cargo run --release --example log_ring
//! ```
//!
//! The first of these ends in the middle of its work, and the second reports what it logged last. A record is a value in a
//! pool, the pool's pages are those of the file, and writing one makes no system call. When all records are taken, the
//! oldest makes room. (The operating system keeps what was written if the program dies; if the machine does, it may not.)

use std::collections::VecDeque;
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::process;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use hpalloc::{Arena, PAGE_SIZE, Page, Pool, PoolBox, Region};
use memmap2::MmapMut;

/// Logs requests that it makes up, and reports those of the run before.
#[derive(Parser)]
struct Options {
    /// The file that the log is in [default: hpalloc.log in the folder for temporary files]
    #[arg(long)]
    file: Option<PathBuf>,
    /// The size of the log, in pages of 4 KiB
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u16).range(1..))]
    pages: u16,
    /// How many requests there are
    #[arg(long, default_value = "20000")]
    requests: u64,
    /// Die after this request, without closing anything
    #[arg(long)]
    abort_after: Option<u64>,
}

/// What the first word of a record has in its upper 16 bits. No pointer has, so no link of a free block is taken for one.
const TAG: u64 = 0x106 << 48;

/// A line of the log.
#[repr(C, align(128))]
struct Record {
    /// `TAG`, and how many were before it. Zero until the text is complete.
    number: AtomicU64,
    len: u64,
    text: [u8; 112],
}

impl Record {
    /// A record of as much of the text as fits, without its number.
    fn new(text: &str) -> Self {
        let mut record = Self { number: AtomicU64::new(0), len: 0, text: [0; 112] };
        let len = text.len().min(record.text.len());
        record.text[..len].copy_from_slice(&text.as_bytes()[..len]);
        record.len = len as u64;
        record
    }
}

/// The pages of a file.
struct FilePages {
    /// *Invariant (Mapped):* of the mapping.
    pages: NonNull<[Page]>,
    _mapping: MmapMut,
}

impl FilePages {
    /// The pages of a new file of zeros, which takes the place of what was there under that name.
    fn create(path: &Path, count: usize) -> io::Result<Self> {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}", process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&new)?;
        file.set_len((count * PAGE_SIZE) as u64)?;
        // SAFETY: the file was made just now, for this mapping alone. Another run replaces it and doesn't write to it; whoever
        // else truncates it while it is mapped ends this program.
        let mut mapping = unsafe { MmapMut::map_mut(&file) }?;
        fs::rename(&new, path)?;
        let first = NonNull::new(mapping.as_mut_ptr()).expect("no mapping is at null");
        Ok(Self { pages: NonNull::slice_from_raw_parts(first.cast(), count), _mapping: mapping })
    }
}

// SAFETY: Same, Exclusive and Fixed: by Mapped, the memory is there until the mapping is dropped, which is used for nothing
// else and holds a raw pointer itself. Aligned: `Arena::from_region` checks it. Zeroed: the file is new.
unsafe impl Region for FilePages {
    fn pages(&self) -> NonNull<[Page]> {
        self.pages
    }

    fn is_zeroed(&self) -> bool {
        true
    }
}

type Records = Pool<Record, Arena<FilePages>>;

/// The newest records, of which there are as many as the file holds.
struct Log<'p> {
    records: &'p Records,
    ring: VecDeque<PoolBox<Record, &'p Records>>,
    next: u64,
}

impl<'p> Log<'p> {
    fn new(records: &'p Records) -> Self {
        Self { records, ring: VecDeque::new(), next: 0 }
    }

    fn write(&mut self, text: &str) {
        let make = || Record::new(text);
        let record = self.records.alloc_with(make).or_else(|| {
            // The oldest is dropped before the new one takes its block.
            self.ring.pop_front();
            self.records.alloc_with(make)
        });
        if let Some(record) = record {
            record.number.store(TAG | self.next, Ordering::Release);
            self.ring.push_back(record);
            self.next += 1;
        }
    }

    /// Leaves the records in the file: to drop one is to make a free block of it. Returns how many were written, and how many
    /// of them are there.
    fn close(mut self) -> (u64, usize) {
        self.write("closed");
        let kept = self.ring.len();
        mem::forget(self.ring);
        (self.next, kept)
    }
}

/// The records of a file, the oldest first. A file without any is no log, unless it is all zeros.
fn read(path: &Path) -> Result<Vec<(u64, String)>, Box<dyn Error>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let mut records: Vec<_> = bytes.chunks_exact(size_of::<Record>()).filter_map(record).collect();
    if records.is_empty() && bytes.iter().any(|&byte| byte != 0) {
        return Err(format!("{} is no log: name another --file", path.display()).into());
    }
    records.sort_unstable();
    Ok(records)
}

/// The record that is in these bytes, if one is.
fn record(bytes: &[u8]) -> Option<(u64, String)> {
    let (number, rest) = bytes.split_first_chunk()?;
    let (len, text) = rest.split_first_chunk()?;
    let number = u64::from_ne_bytes(*number);
    let text = text.get(..usize::try_from(u64::from_ne_bytes(*len)).ok()?)?;
    (number >> 48 == TAG >> 48).then(|| (number ^ TAG, String::from_utf8_lossy(text).into_owned()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let file = options.file.unwrap_or_else(|| env::temp_dir().join("hpalloc.log"));
    let before = read(&file)?;
    match before.last() {
        None => println!("there is no log of an earlier run"),
        Some((last, _)) => println!("the run before logged {} records, and of these last:", last + 1),
    }
    for (number, text) in &before[before.len().saturating_sub(3)..] {
        println!("{number:>10}  {text}");
    }

    let pages =
        FilePages::create(&file, options.pages.into()).map_err(|error| format!("{}: {error}", file.display()))?;
    let records = Pool::new(Arena::from_region(pages)?);
    let mut log = Log::new(&records);
    let mut random = fastrand::Rng::with_seed(1);
    for request in 1..=options.requests {
        log.write(&format!("request {request} took {} us", random.u16(20..2000)));
        if options.abort_after == Some(request) {
            process::abort();
        }
    }
    // What is in the file is what was in the ring.
    let (written, kept) = log.close();
    let found = read(&file)?;
    if found.len() != kept || !(written - kept as u64..written).eq(found.iter().map(|record| record.0)) {
        return Err("the file doesn't hold the newest records".into());
    }
    println!("{written} records written, of which {} holds the last {kept}", file.display());
    Ok(())
}
