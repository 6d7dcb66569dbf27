use core::cell::Cell;
use core::ptr::NonNull;

use super::{SPREAD, key, mix};
use crate::PAGE_SIZE;
use crate::block_size::RECORD_BYTES;

static_assertions::const_assert_eq!(size_of::<Record>(), RECORD_BYTES);

/// The runs of pages that a pool took: what it may look at when a block comes back.
///
/// At the end of each run lies a record. The records are a binary tree: the bits of a run's page number, the lowest first,
/// say which way to go, so a search takes at most one step for each bit of an address, and about log2 of the number of runs
/// where these lie one after the other.
///
/// ```text
///   page 4: ┌────────┬─ ... ─┬────────┐     page 5: ┌────────┬─ ... ─┬────────┐
///           │ blocks │       │ record ├── 1 ───────►│ blocks │       │ record │
///           └────────┴─ ... ─┴───┬────┘             └────────┴─ ... ─┴────────┘
///                                0 (to a page with an even number)
/// ```
///
/// *Invariant (Records):* each pointer in the tree that is followed leads to a record at the end of a run that this pool took,
/// and is valid for all of the run. A record is followed only after its check word was compared.
pub(super) struct Runs {
    root: Cell<Option<NonNull<Record>>>,
    /// A record was overwritten, and the runs below it were forgotten.
    are_incomplete: Cell<bool>,
}

// SAFETY: by Records, the runs are the pool's alone, and memory has no tie to a thread.
unsafe impl Send for Runs {}

/// What the pool keeps at the end of a run.
#[derive(Clone, Copy)]
#[repr(C)]
struct Record {
    /// Depends on all of the rest, the record's address and the key. First, because an overflow reaches it first.
    check: usize,
    /// The records of runs taken later whose page number goes on with a 0 or a 1.
    children: [Option<NonNull<Record>>; 2],
    /// How long the run is.
    bytes: usize,
}

/// A record was overwritten.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overwritten;

/// A run of this pool.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Valid for all of the run.
    pub(super) start: NonNull<u8>,
    pub(super) bytes: usize,
}

impl Record {
    fn checksum(&self, address: NonNull<Self>) -> usize {
        let [even, odd] = self.children.map(|child| child.map_or(0, |child| child.addr().get()));
        let words = [address.addr().get(), even, odd.rotate_left(1), self.bytes];
        words.into_iter().fold(key().wrapping_mul(SPREAD), mix)
    }

    /// # Safety
    ///
    /// By Records, there is a record of this pool.
    unsafe fn read(address: NonNull<Self>) -> Result<Self, Overwritten> {
        // SAFETY: as the caller promises. It was written when the run was taken.
        let record = unsafe { address.read() };
        if record.check == record.checksum(address) { Ok(record) } else { Err(Overwritten) }
    }

    /// # Safety
    ///
    /// The address is that of the end of a run of this pool, where nothing else lies.
    unsafe fn write(mut self, address: NonNull<Self>) {
        self.check = self.checksum(address);
        // SAFETY: as the caller promises.
        unsafe { address.write(self) };
    }
}

impl Run {
    /// # Safety
    ///
    /// The run is there.
    unsafe fn record(self) -> NonNull<Record> {
        // SAFETY: by the caller's promise, a run is pages, so that its end is aligned, and has room for a record.
        unsafe { self.start.add(self.bytes - RECORD_BYTES).cast() }
    }

    /// # Safety
    ///
    /// By Records, the record is at the end of a run.
    unsafe fn of(address: NonNull<Record>, record: Record) -> Self {
        // SAFETY: as the caller promises; `bytes` was compared by `read`.
        let start = unsafe { address.cast::<u8>().add(RECORD_BYTES).sub(record.bytes) };
        Self { start, bytes: record.bytes }
    }
}

impl Runs {
    pub(super) const fn new() -> Self {
        Self { root: Cell::new(None), are_incomplete: Cell::new(false) }
    }

    /// Whether a run that isn't found may be one of the pool all the same.
    pub(super) fn are_incomplete(&self) -> bool {
        self.are_incomplete.get()
    }

    /// The run that starts at that address.
    ///
    /// # Errors
    ///
    /// A record on the way was overwritten.
    pub(super) fn find(&self, start: usize) -> Result<Option<Run>, Overwritten> {
        let mut next = self.root.get();
        let mut bits = start / PAGE_SIZE;
        while let Some(address) = next {
            // SAFETY: Records.
            let record = unsafe { Record::read(address) }?;
            // SAFETY: likewise.
            let run = unsafe { Run::of(address, record) };
            if run.start.addr().get() == start {
                return Ok(Some(run));
            }
            next = record.children[bits % 2];
            bits /= 2;
        }
        Ok(None)
    }

    /// Adds a run.
    ///
    /// # Errors
    ///
    /// A record on the way was overwritten. The new one takes its place; the runs below it are forgotten.
    ///
    /// # Safety
    ///
    /// It was just taken by this pool, for good. Nothing uses its last `RECORD_BYTES` bytes.
    pub(super) unsafe fn add(&self, start: NonNull<u8>, bytes: usize) -> Result<(), Overwritten> {
        let run = Run { start, bytes };
        // SAFETY: as the caller promises.
        let new = unsafe { run.record() };
        // SAFETY: likewise.
        unsafe { Record { check: 0, children: [None; 2], bytes }.write(new) };
        let Some(mut address) = self.root.get() else {
            self.root.set(Some(new));
            return Ok(());
        };
        // SAFETY: Records.
        let Ok(mut record) = (unsafe { Record::read(address) }) else {
            self.root.set(Some(new));
            self.are_incomplete.set(true);
            return Err(Overwritten);
        };
        let mut bits = start.addr().get() / PAGE_SIZE;
        loop {
            let child = &mut record.children[bits % 2];
            // SAFETY: Records.
            let below = child.map(|child| (child, unsafe { Record::read(child) }));
            if let Some((child, Ok(child_record))) = below {
                (address, record) = (child, child_record);
                bits /= 2;
                continue;
            }
            *child = Some(new);
            // SAFETY: Records, and the record was just read from there.
            unsafe { record.write(address) };
            self.are_incomplete.set(self.are_incomplete.get() || below.is_some());
            return below.map_or(Ok(()), |_| Err(Overwritten));
        }
    }
}

/// Where a pointer in the tree is: in the record of a run, on this side; otherwise it is
/// the root.
type Place = Option<(NonNull<Record>, usize)>;

impl Runs {
    /// Forgets a run. One of those below it takes its place, for which any will do: a search
    /// would have come by here for it.
    ///
    /// # Errors
    ///
    /// A record on the way was overwritten. Nothing has changed then.
    pub(super) fn remove(&self, start: usize) -> Result<(), Overwritten> {
        let (mut place, mut next, mut bits): (Place, _, _) = (None, self.root.get(), start / PAGE_SIZE);
        let (removed, record) = loop {
            let Some(address) = next else { return Ok(()) };
            // SAFETY: Records.
            let record = unsafe { Record::read(address) }?;
            // SAFETY: likewise.
            if unsafe { Run::of(address, record) }.start.addr().get() == start {
                break (address, record);
            }
            (place, next) = (Some((address, bits % 2)), record.children[bits % 2]);
            bits /= 2;
        };
        // The first that has none below it.
        let (mut last_place, mut last, mut last_record) = (place, removed, record);
        while let Some(side) = last_record.children.iter().position(Option::is_some) {
            let Some(child) = last_record.children[side] else { break };
            // SAFETY: Records.
            last_record = unsafe { Record::read(child) }?;
            (last_place, last) = (Some((last, side)), child);
        }
        self.set(last_place, None)?;
        if last == removed {
            return Ok(());
        }
        // SAFETY: Records; the last one may have been one of its children, so it is read again.
        let Record { children, .. } = unsafe { Record::read(removed) }?;
        // SAFETY: Records, and the record was just read from there.
        unsafe { Record { children, ..last_record }.write(last) };
        self.set(place, Some(last))
    }

    /// Writes a pointer.
    ///
    /// # Errors
    ///
    /// The record in which it is was overwritten.
    fn set(&self, place: Place, to: Option<NonNull<Record>>) -> Result<(), Overwritten> {
        let Some((address, side)) = place else {
            self.root.set(to);
            return Ok(());
        };
        // SAFETY: Records.
        let mut record = unsafe { Record::read(address) }?;
        record.children[side] = to;
        // SAFETY: Records, and the record was just read from there.
        unsafe { record.write(address) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::mem::MaybeUninit;
    use core::ptr::NonNull;

    use super::{Overwritten, PAGE_SIZE, RECORD_BYTES, Runs};

    #[repr(align(4096))]
    struct Memory([MaybeUninit<u8>; 3 * PAGE_SIZE]);

    fn with_runs(test: impl FnOnce(&Runs, [NonNull<u8>; 3])) {
        let mut memory = Memory([MaybeUninit::uninit(); 3 * PAGE_SIZE]);
        let first = NonNull::from(&mut memory.0).cast::<u8>();
        // SAFETY: there are three pages.
        let pages = [0, 1, 2].map(|page| unsafe { first.add(page * PAGE_SIZE) });
        test(&Runs::new(), pages);
    }

    #[test]
    fn what_was_added_is_there() {
        with_runs(|runs, pages| {
            for (count, page) in (1..).zip(pages) {
                // SAFETY: the page is not used otherwise.
                assert_eq!(unsafe { runs.add(page, PAGE_SIZE) }, Ok(()));
                for (index, page) in (0..).zip(pages) {
                    let found = runs.find(page.addr().get()).unwrap();
                    assert_eq!(found.map(|run| (run.start, run.bytes)), (index < count).then_some((page, PAGE_SIZE)));
                    assert!(runs.find(page.addr().get() + 8).unwrap().is_none());
                }
            }
            assert!(runs.find(0).unwrap().is_none());
        });
    }

    /// In each order, what is removed isn't found any more, and the rest is.
    #[test]
    fn what_was_removed_is_not_there() {
        with_runs(|_, pages| {
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let runs = Runs::new();
                for page in pages {
                    // SAFETY: the page is not used otherwise.
                    unsafe { runs.add(page, PAGE_SIZE) }.unwrap();
                }
                for (index, &removed) in order.iter().enumerate() {
                    runs.remove(pages[removed].addr().get()).unwrap();
                    runs.remove(pages[removed].addr().get()).unwrap();
                    for (number, page) in pages.iter().enumerate() {
                        let found = runs.find(page.addr().get()).unwrap().is_some();
                        assert_eq!(found, !order[..=index].contains(&number), "{order:?}");
                    }
                }
            }
        });
    }

    /// Each byte of a record counts; and a new run takes the place of one whose record was overwritten.
    #[test]
    fn what_was_overwritten_is_not_followed() {
        with_runs(|runs, [one, two, three]| {
            // SAFETY: the pages are not used otherwise.
            unsafe {
                runs.add(one, PAGE_SIZE).unwrap();
                for offset in PAGE_SIZE - RECORD_BYTES..PAGE_SIZE {
                    let byte = one.add(offset);
                    byte.write(!byte.read());
                    assert!(matches!(runs.find(one.addr().get()), Err(Overwritten)), "{offset}");
                    byte.write(!byte.read());
                    assert!(runs.find(one.addr().get()).unwrap().is_some());
                }
                runs.add(two, PAGE_SIZE).unwrap();
                one.add(PAGE_SIZE - RECORD_BYTES).write_bytes(0x41, RECORD_BYTES);
                assert_eq!(runs.add(three, PAGE_SIZE), Err(Overwritten));
            }
            assert!(runs.find(three.addr().get()).unwrap().is_some());
            assert!(runs.find(one.addr().get()).unwrap().is_none() && runs.are_incomplete());
        });
    }
}
