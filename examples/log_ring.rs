//! Keeps a log in a memory-mapped file, as a ring of records that survives a crash of the
//! program.
//!
//! ```sh
//! cargo run --release --example log_ring -- --abort-after 5000
//! cargo run --release --example log_ring
//! ```
//!
//! The first command aborts in the middle of its work. The second reports the last
//! records that the first one logged. Each record is a value in a pool whose pages are
//! those of the file, so writing a record needs no system call. When the file is full,
//! each new record replaces the oldest.
//!
//! The records survive a crash of the program, because the operating system still writes
//! the file. They may not survive a crash of the machine.

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

/// Logs made-up requests, after reporting the last records of the previous run.
#[derive(Parser)]
struct Options {
    /// The log file [default: hpalloc.log in the directory for temporary files]
    #[arg(long)]
    file: Option<PathBuf>,
    /// The size of the log, in pages of 4 KiB
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u16).range(1..))]
    pages: u16,
    /// The number of requests to log
    #[arg(long, default_value = "20000")]
    requests: u64,
    /// Abort after this request, without closing the log
    #[arg(long)]
    abort_after: Option<u64>,
}

/// The upper 16 bits of a record's first word. No pointer has these bits, so a free
/// block's link is never mistaken for a record.
const TAG: u64 = 0x106 << 48;

/// A record of the log.
#[repr(C, align(128))]
struct Record {
    /// `TAG`, combined with the number of earlier records. Zero until the text is
    /// complete.
    number: AtomicU64,
    len: u64,
    text: [u8; 112],
}

impl Record {
    /// Creates a record without a number. Text that doesn't fit is cut off.
    fn new(text: &str) -> Self {
        let mut record = Self { number: AtomicU64::new(0), len: 0, text: [0; 112] };
        let len = text.len().min(record.text.len());
        record.text[..len].copy_from_slice(&text.as_bytes()[..len]);
        record.len = len as u64;
        record
    }
}

/// The pages of a memory-mapped file.
struct FilePages {
    /// *Invariant (Mapped):* the pages are those of `_mapping`.
    pages: NonNull<[Page]>,
    _mapping: MmapMut,
}

impl FilePages {
    /// Creates a file of zeros, which replaces any file at `path`, and maps it.
    fn create(path: &Path, count: usize) -> io::Result<Self> {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}", process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&new)?;
        file.set_len((count * PAGE_SIZE) as u64)?;
        // SAFETY: the file was created just now for this mapping alone. Another run
        // replaces the file instead of writing to it. If another process truncates the
        // file while it is mapped, this program is killed.
        let mut mapping = unsafe { MmapMut::map_mut(&file) }?;
        fs::rename(&new, path)?;
        let first = NonNull::new(mapping.as_mut_ptr()).expect("a mapping is never at address zero");
        Ok(Self { pages: NonNull::slice_from_raw_parts(first.cast(), count), _mapping: mapping })
    }
}

// SAFETY: Same, Exclusive and Fixed: by Mapped, the memory exists until the mapping is
// dropped. The mapping has no other user and holds a raw pointer itself. Aligned:
// `Arena::from_region` checks it. Zeroed: the file is new.
unsafe impl Region for FilePages {
    fn pages(&self) -> NonNull<[Page]> {
        self.pages
    }

    fn is_zeroed(&self) -> bool {
        true
    }
}

type Records = Pool<Record, Arena<FilePages>>;

/// The newest records, up to the number that the file has room for.
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
            // Drop the oldest record to free a block for the new one.
            self.ring.pop_front();
            self.records.alloc_with(make)
        });
        if let Some(record) = record {
            record.number.store(TAG | self.next, Ordering::Release);
            self.ring.push_back(record);
            self.next += 1;
        }
    }

    /// Closes the log and returns how many records were written and how many of them are
    /// still in the file.
    ///
    /// The records are leaked on purpose: dropping one would turn its block into a free
    /// block, and overwrite the record in the file.
    fn close(mut self) -> (u64, usize) {
        self.write("closed");
        let kept = self.ring.len();
        mem::forget(self.ring);
        (self.next, kept)
    }
}

/// Reads the records of a file, oldest first. A missing file and a file of zeros have no
/// records. Any other file without a record is an error.
fn read(path: &Path) -> Result<Vec<(u64, String)>, Box<dyn Error>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let mut records: Vec<_> = bytes.chunks_exact(size_of::<Record>()).filter_map(record).collect();
    if records.is_empty() && bytes.iter().any(|&byte| byte != 0) {
        return Err(format!("{} is not a log: pass another --file", path.display()).into());
    }
    records.sort_unstable();
    Ok(records)
}

/// Parses a record, if these bytes hold one.
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
        None => println!("no log of a previous run"),
        Some((last, _)) => println!("the previous run logged {} records, the last of which are:", last + 1),
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
    // The file must hold exactly the records of the ring.
    let (written, kept) = log.close();
    let found = read(&file)?;
    if found.len() != kept || !(written - kept as u64..written).eq(found.iter().map(|record| record.0)) {
        return Err("the file does not hold the newest records".into());
    }
    println!("{written} records written; {} holds the last {kept}", file.display());
    Ok(())
}
