use core::cell::Cell;
use core::ptr::NonNull;

use super::{SPREAD, key, mix};
use crate::PAGE_SIZE;
use crate::block_size::RECORD_BYTES;

static_assertions::const_assert_eq!(size_of::<Record>(), RECORD_BYTES);

/// The runs of pages that a pool took, to decide which memory it may read when a block is
/// freed.
///
/// There is a record at the end of each run. The records form a binary tree: the bits of
/// a run's page number, the lowest first, select the branches. So a search takes at most
/// one step per bit of an address, and about log2 of the number of runs if the runs are
/// contiguous.
///
/// ```text
///   page 4: ┌────────┬─ ... ─┬────────┐     page 5: ┌────────┬─ ... ─┬────────┐
///           │ blocks │       │ record ├── 1 ───────►│ blocks │       │ record │
///           └────────┴─ ... ─┴───┬────┘             └────────┴─ ... ─┴────────┘
///                                0 (to a page with an even number)
/// ```
///
/// *Invariant (Records):* each pointer in the tree that is followed leads to a record at
/// the end of a run that this pool took, and is valid for all of the run. A record's
/// pointers are followed only after its check word was compared.
pub(super) struct Runs {
    root: Cell<Option<NonNull<Record>>>,
    /// `true` if a record was overwritten, so that the runs below it were forgotten.
    are_incomplete: Cell<bool>,
}

// SAFETY: by Records, the runs belong to the pool alone, and memory is not tied to a
// thread.
unsafe impl Send for Runs {}

/// The record at the end of a run.
#[derive(Clone, Copy)]
#[repr(C)]
struct Record {
    /// A mixture of all other fields, the record's address and the key. It is the first
    /// field because an overflow reaches it first.
    check: usize,
    /// The records of later runs, by the next bit of their page number: 0 or 1.
    children: [Option<NonNull<Record>>; 2],
    /// The length of the run.
    bytes: usize,
}

/// The error that a record was overwritten.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overwritten;

/// A run of this pool.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// A pointer that is valid for all of the run.
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
    /// By Records, there is a record of this pool at the address.
    unsafe fn read(address: NonNull<Self>) -> Result<Self, Overwritten> {
        // SAFETY: the caller upholds the contract. The record was written when the run
        // was taken.
        let record = unsafe { address.read() };
        if record.check == record.checksum(address) { Ok(record) } else { Err(Overwritten) }
    }

    /// # Safety
    ///
    /// The address is that of the record of a run of this pool, and nothing else uses
    /// that memory.
    unsafe fn write(mut self, address: NonNull<Self>) {
        self.check = self.checksum(address);
        // SAFETY: the caller upholds the contract.
        unsafe { address.write(self) };
    }
}

impl Run {
    /// # Safety
    ///
    /// The pointer is valid for all of the run.
    unsafe fn record(self) -> NonNull<Record> {
        // SAFETY: by the caller's promise. A run consists of pages, so its end is aligned
        // and has room for a record.
        unsafe { self.start.add(self.bytes - RECORD_BYTES).cast() }
    }

    /// # Safety
    ///
    /// By Records, the record is at the end of a run.
    unsafe fn of(address: NonNull<Record>, record: Record) -> Self {
        // SAFETY: the caller upholds the contract, and `read` verified `bytes`.
        let start = unsafe { address.cast::<u8>().add(RECORD_BYTES).sub(record.bytes) };
        Self { start, bytes: record.bytes }
    }
}

impl Runs {
    pub(super) const fn new() -> Self {
        Self { root: Cell::new(None), are_incomplete: Cell::new(false) }
    }

    /// Returns `true` if a run that isn't found may still belong to the pool.
    pub(super) fn are_incomplete(&self) -> bool {
        self.are_incomplete.get()
    }

    /// Returns the run that starts at this address, if it is in the tree.
    ///
    /// # Errors
    ///
    /// A record that the search read was overwritten.
    pub(super) fn find(&self, start: usize) -> Result<Option<Run>, Overwritten> {
        let mut next = self.root.get();
        let mut bits = start / PAGE_SIZE;
        while let Some(address) = next {
            // SAFETY: Records.
            let record = unsafe { Record::read(address) }?;
            // SAFETY: Records: the record is one of the pool's runs, at this address.
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
    /// A record that the search read was overwritten. The new record takes its place, and
    /// the runs below it are forgotten.
    ///
    /// # Safety
    ///
    /// This pool has just taken the run, permanently. Nothing uses its last
    /// `RECORD_BYTES` bytes.
    pub(super) unsafe fn add(&self, start: NonNull<u8>, bytes: usize) -> Result<(), Overwritten> {
        let run = Run { start, bytes };
        // SAFETY: the caller upholds the contract.
        let new = unsafe { run.record() };
        // SAFETY: as above.
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

/// The location of a pointer in the tree: a record and its side, or `None` for the root.
type Place = Option<(NonNull<Record>, usize)>;

impl Runs {
    /// Removes a run. A leaf below it takes its place. Any leaf will do, because a search
    /// for that leaf passes this place.
    ///
    /// # Errors
    ///
    /// A record that the search read was overwritten. The tree is then unchanged.
    pub(super) fn remove(&self, start: usize) -> Result<(), Overwritten> {
        let (mut place, mut next, mut bits): (Place, _, _) = (None, self.root.get(), start / PAGE_SIZE);
        let (removed, record) = loop {
            let Some(address) = next else { return Ok(()) };
            // SAFETY: Records.
            let record = unsafe { Record::read(address) }?;
            // SAFETY: Records: the record is one of the pool's runs, at this address.
            if unsafe { Run::of(address, record) }.start.addr().get() == start {
                break (address, record);
            }
            (place, next) = (Some((address, bits % 2)), record.children[bits % 2]);
            bits /= 2;
        };
        // The leaf that takes the run's place.
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
        // SAFETY: Records. The record is read again because the leaf may have been one of
        // its children, so that `set` changed it.
        let Record { children, .. } = unsafe { Record::read(removed) }?;
        // SAFETY: Records, and the record was just read from there.
        unsafe { Record { children, ..last_record }.write(last) };
        self.set(place, Some(last))
    }

    /// Writes a pointer of the tree.
    ///
    /// # Errors
    ///
    /// The record that contains the pointer was overwritten.
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

    /// In each order of removal, the removed runs are not found and the others are.
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

    /// A change of any byte of a record is detected, and a new run takes the place of one
    /// whose record was overwritten.
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
