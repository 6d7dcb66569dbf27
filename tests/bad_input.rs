//! Tests that each invalid argument results in a typed error that says what to do.
//! Nothing panics, and a failed call changes nothing.
#![cfg_attr(
    target_os = "none",
    no_std,
    no_main,
    feature(custom_test_frameworks),
    reexport_test_harness_main = "test_main"
)]

#[cfg(target_os = "none")]
test::entry!(test_main);

mod common;

use core::ptr::NonNull;

use common::{OwnRegion, bytes, with_pages};
use hpalloc::{Arena, ArenaError, BlockSize, BlockSizeError, FixedBlock, MAX_ARENA_SIZE, PAGE_SIZE, SizeTable};

const WORD: usize = size_of::<usize>();

#[test]
fn no_pages() {
    assert_eq!(Arena::from_pages(&mut []).unwrap_err(), ArenaError::InvalidSize { size: 0 });
}

#[test]
fn slices_that_are_no_whole_pages() {
    with_pages(2, |pages| {
        let memory = bytes(pages);
        let base = memory.as_ptr().addr();
        for len in [0, 1, PAGE_SIZE - 1, PAGE_SIZE + 1] {
            // The length is checked before the address.
            for start in [0, 1] {
                let slice = &mut memory[start..start + len];
                assert_eq!(Arena::from_uninit(slice).unwrap_err(), ArenaError::InvalidSize { size: len });
            }
        }
        for start in [1, PAGE_SIZE - 1] {
            let slice = &mut memory[start..start + PAGE_SIZE];
            let error = ArenaError::Misaligned { address: base + start, align: PAGE_SIZE };
            assert_eq!(Arena::from_uninit(slice).unwrap_err(), error);
        }
    });
}

#[test]
fn slices_that_hold_no_whole_page() {
    with_pages(2, |pages| {
        let memory = bytes(pages);
        let base = memory.as_ptr().addr();
        for (start, end) in [
            (0, 0),
            (7, 7),
            (0, 1),
            (0, PAGE_SIZE - 1),
            (1, PAGE_SIZE),
            (1, PAGE_SIZE + 1),
            (1, 2 * PAGE_SIZE - 1),
            (PAGE_SIZE - 1, 2 * PAGE_SIZE - 1),
            (PAGE_SIZE + 1, 2 * PAGE_SIZE),
            (2 * PAGE_SIZE, 2 * PAGE_SIZE),
        ] {
            let error = ArenaError::NoWholePage { address: base + start, len: end - start };
            assert_eq!(Arena::from_uninit_trimmed(&mut memory[start..end]).unwrap_err(), error, "{start}..{end}");
        }
    });
}

#[test]
fn raw_memory() {
    with_pages(2, |pages| {
        let first = NonNull::from(pages).cast::<u8>();
        let arena = |start, len| {
            // SAFETY: the pages have no other user. A range past their end is refused
            // before it is touched.
            unsafe { Arena::from_raw(NonNull::slice_from_raw_parts(first.add(start), len)) }.map(|_| ()).unwrap_err()
        };
        for len in [0, 1, PAGE_SIZE - 1, PAGE_SIZE + 1] {
            assert_eq!(arena(0, len), ArenaError::InvalidSize { size: len });
        }
        for start in [1, PAGE_SIZE - 1] {
            let address = first.addr().get() + start;
            assert_eq!(arena(start, PAGE_SIZE), ArenaError::Misaligned { address, align: PAGE_SIZE });
        }
        for size in [MAX_ARENA_SIZE + PAGE_SIZE, usize::MAX, usize::MAX & !4095] {
            assert_eq!(arena(0, size), ArenaError::TooLarge { size, max: MAX_ARENA_SIZE });
        }
    });
}

#[test]
fn a_users_region() {
    let region = |count| {
        // SAFETY: a region with no pages or too many is refused before a page is touched.
        unsafe { OwnRegion::new(NonNull::dangling(), count) }
    };
    assert_eq!(Arena::from_region(region(0)).unwrap_err(), ArenaError::InvalidSize { size: 0 });
    let pages = MAX_ARENA_SIZE / PAGE_SIZE + 1;
    let error = ArenaError::TooLarge { size: pages * PAGE_SIZE, max: MAX_ARENA_SIZE };
    assert_eq!(Arena::from_region(region(pages)).unwrap_err(), error);
    let error = ArenaError::TooLarge { size: usize::MAX, max: MAX_ARENA_SIZE };
    assert_eq!(Arena::from_region(region(usize::MAX)).unwrap_err(), error);
    for address in [1, PAGE_SIZE - 1, PAGE_SIZE + 8] {
        let first = NonNull::new(core::ptr::without_provenance_mut(address)).unwrap();
        // SAFETY: as above; a misaligned region is refused as well.
        let region = unsafe { OwnRegion::new(first, 1) };
        assert_eq!(Arena::from_region(region).unwrap_err(), ArenaError::Misaligned { address, align: PAGE_SIZE });
    }
}

/// Regions up to the end of the address space, where the address past the end wraps to
/// zero.
#[test]
fn memory_at_the_end_of_the_address_space() {
    for count in [1, 2, 16] {
        let len = count * PAGE_SIZE;
        let address = usize::MAX - len + 1;
        let first = NonNull::<hpalloc::Page>::new(core::ptr::without_provenance_mut(address)).unwrap();
        let error = ArenaError::EndOfAddressSpace { address, len };
        // SAFETY: the region is refused before it is touched.
        let region = unsafe { OwnRegion::new(first, count) };
        assert_eq!(Arena::from_region(region).unwrap_err(), error);
        // SAFETY: as above.
        let raw = unsafe { Arena::from_raw(NonNull::slice_from_raw_parts(first.cast(), len)) };
        assert_eq!(raw.unwrap_err(), error);
        // Without its last page the region is accepted. Nothing is touched before a page
        // is taken.
        if count > 1 {
            // SAFETY: no page is taken.
            let region = unsafe { OwnRegion::new(first, count - 1) };
            assert_eq!(Arena::from_region(region).unwrap().total_pages(), count - 1);
        }
    }
}

/// Slices that are larger than an arena. Only a host has enough memory for them.
#[cfg(feature = "mmap")]
#[test]
fn slices_that_are_too_large() {
    // Reserve a bit more address space than an arena can have. None of it is touched.
    let size = MAX_ARENA_SIZE + PAGE_SIZE;
    let mut memory = Vec::<u8>::with_capacity(size + PAGE_SIZE);
    let spare: &mut [core::mem::MaybeUninit<u8>] = &mut memory.spare_capacity_mut()[..size + PAGE_SIZE];
    let start = spare.as_ptr().align_offset(PAGE_SIZE);
    let slice = &mut spare[start..start + size];
    let error = ArenaError::TooLarge { size, max: MAX_ARENA_SIZE };
    assert_eq!(Arena::from_uninit(slice).unwrap_err(), error);
    assert_eq!(Arena::from_uninit_trimmed(slice).unwrap_err(), error);
    // One byte less at each end leaves exactly as many whole pages as an arena can have.
    let arena = Arena::from_uninit_trimmed(&mut slice[1..size]).unwrap();
    assert_eq!(arena.total_pages(), MAX_ARENA_SIZE / PAGE_SIZE);
    let first = NonNull::from(slice).cast::<hpalloc::Page>();
    // SAFETY: the memory is the same, the address is aligned for pages, and pages may be
    // uninitialized.
    let pages = unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), size / PAGE_SIZE) };
    assert_eq!(Arena::from_pages(pages).unwrap_err(), error);
    assert_eq!(Arena::from_pages(&mut pages[1..]).unwrap().total_pages(), MAX_ARENA_SIZE / PAGE_SIZE);
}

#[test]
fn block_sizes() {
    let too_small = [0, 1, 3, WORD - 1].map(|bytes| (bytes, BlockSizeError::TooSmall { bytes, min: WORD }));
    let misaligned = [WORD + 1, WORD + WORD / 2, 3 * WORD - 1, MAX_ARENA_SIZE - 1]
        .map(|bytes| (bytes, BlockSizeError::Misaligned { bytes, align: WORD }));
    let too_large = [MAX_ARENA_SIZE + 1, MAX_ARENA_SIZE + 16, usize::MAX, usize::MAX & !4095]
        .map(|bytes| (bytes, BlockSizeError::TooLarge { bytes, max: MAX_ARENA_SIZE }));
    with_pages(1, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        for (bytes, error) in too_small.into_iter().chain(misaligned).chain(too_large) {
            assert_eq!(BlockSize::new(bytes).unwrap_err(), error);
            assert_eq!(FixedBlock::new(&arena, bytes).unwrap_err(), error);
        }
        assert_eq!(arena.pages_allocated(), 0);
        for bytes in [WORD, 3 * WORD, MAX_ARENA_SIZE - WORD, MAX_ARENA_SIZE] {
            assert_eq!(BlockSize::new(bytes).unwrap().bytes(), bytes);
        }
    });
}

#[test]
fn tables_of_sizes() {
    assert_eq!(SizeTable::new([64, 64]).unwrap_err(), BlockSizeError::NotAscending { bytes: 64, previous: 64 });
    assert_eq!(SizeTable::new([16, 64, 32]).unwrap_err(), BlockSizeError::NotAscending { bytes: 32, previous: 64 });
    // The error is about the first wrong size. A size that is invalid by itself is
    // reported as such, even if it is also out of order.
    let too_small = BlockSizeError::TooSmall { bytes: 1, min: WORD };
    assert_eq!(SizeTable::new([64, 1, 2]).unwrap_err(), too_small);
    let misaligned = BlockSizeError::Misaligned { bytes: 65, align: WORD };
    assert_eq!(SizeTable::new([64, 65]).unwrap_err(), misaligned);
    let too_large = BlockSizeError::TooLarge { bytes: usize::MAX, max: MAX_ARENA_SIZE };
    assert_eq!(SizeTable::new([64, usize::MAX]).unwrap_err(), too_large);
    let table = SizeTable::new([WORD, 3 * WORD, MAX_ARENA_SIZE]).unwrap();
    assert_eq!(table.block_sizes().map(BlockSize::bytes), [WORD, 3 * WORD, MAX_ARENA_SIZE]);
}

/// The errors of 64-bit machines, where multiples of half a word are misaligned.
#[cfg(target_pointer_width = "64")]
#[test]
fn block_sizes_of_64_bit_machines() {
    assert_eq!(BlockSize::new(7), Err(BlockSizeError::TooSmall { bytes: 7, min: 8 }));
    assert_eq!(BlockSize::new(12), Err(BlockSizeError::Misaligned { bytes: 12, align: 8 }));
}

#[cfg(all(feature = "std", target_pointer_width = "64"))]
#[test]
fn errors_say_what_was_passed_which_bound_it_broke_and_what_to_do() {
    let texts = [
        (
            ArenaError::InvalidSize { size: 4097 }.to_string(),
            "invalid arena size of 4097 bytes: pass a positive multiple of 4096, the page size",
        ),
        (
            ArenaError::TooLarge { size: 268_439_552, max: MAX_ARENA_SIZE }.to_string(),
            "an arena of 268439552 bytes is too large: pass at most 268435456, and use several arenas for more memory",
        ),
        (
            ArenaError::Misaligned { address: 0x2000_0010, align: 4096 }.to_string(),
            "the memory at address 0x20000010 does not start on a page boundary: align it to 4096 bytes, or use \
             `from_uninit_trimmed`, which skips the partial pages of a slice",
        ),
        (
            ArenaError::NoWholePage { address: 0x2000_0010, len: 5000 }.to_string(),
            "the 5000 bytes at address 0x20000010 contain no whole page: pass at least 8191 bytes",
        ),
        (
            ArenaError::BufferTooSmall { size: 131_072, available: 65_536 }.to_string(),
            "131072 bytes were requested from a static buffer of 65536 bytes: request less, or declare a larger buffer \
             (set HPALLOC_STATIC_PAGES at build time to enlarge the built-in one)",
        ),
        (
            ArenaError::AlreadyClaimed { available: 65_536 }.to_string(),
            "the static buffer of 65536 bytes is already claimed: drop the arena that holds it, or declare another \
             buffer",
        ),
        (
            ArenaError::MapFailed { size: 4096, errno: 12 }.to_string(),
            "the operating system refused to map 4096 bytes (errno 12): request less, or raise the memory limits \
             of the process",
        ),
        (
            ArenaError::NoHugePages { size: 5 << 20, errno: 12 }.to_string(),
            "there are not enough huge pages for 5242880 bytes (errno 12): reserve 3 (two more with guards) with \
             `sysctl vm.nr_hugepages=..`, or use `HugePages::Best`, which falls back to other pages",
        ),
        (
            ArenaError::LockFailed { size: 4096, errno: 12 }.to_string(),
            "the operating system refused to lock 4096 bytes in memory (errno 12): raise the limit (`ulimit -l`, \
             RLIMIT_MEMLOCK), or request less",
        ),
        (
            ArenaError::OutOfMemory { size: 4096 }.to_string(),
            "the global allocator could not allocate 4096 bytes for boxed pages: request less, or free memory first",
        ),
        (
            BlockSizeError::TooSmall { bytes: 1, min: 8 }.to_string(),
            "block size 1 is too small: a free block holds a pointer, so use at least 8 bytes",
        ),
        (
            BlockSizeError::Misaligned { bytes: 12, align: 8 }.to_string(),
            "block size 12 would misalign the next block: use a multiple of 8 bytes, such as 16",
        ),
        (
            BlockSizeError::Misaligned { bytes: usize::MAX, align: 0 }.to_string(),
            "block size 18446744073709551615 would misalign the next block: use a multiple of 0 bytes",
        ),
        (
            BlockSizeError::TooLarge { bytes: 268_435_472, max: MAX_ARENA_SIZE }.to_string(),
            "block size 268435472 is too large: use at most 268435456 bytes, the maximum size of an arena",
        ),
        (
            BlockSizeError::NotAscending { bytes: 32, previous: 64 }.to_string(),
            "block size 32 can't follow 64: list the sizes in ascending order, without duplicates",
        ),
    ];
    for (text, expected) in texts {
        assert_eq!(text, expected);
    }
}

#[cfg(feature = "std")]
#[test]
fn errors_become_io_errors_of_their_kind() {
    use std::io;

    let kind = |error: ArenaError| io::Error::from(error).kind();
    for error in [
        ArenaError::InvalidSize { size: 1 },
        ArenaError::TooLarge { size: 1 << 30, max: MAX_ARENA_SIZE },
        ArenaError::Misaligned { address: 1, align: PAGE_SIZE },
        ArenaError::NoWholePage { address: 1, len: 1 },
        ArenaError::BufferTooSmall { size: 8192, available: 4096 },
    ] {
        assert_eq!(kind(error), io::ErrorKind::InvalidInput);
    }
    assert_eq!(io::Error::from(BlockSize::new(0).unwrap_err()).kind(), io::ErrorKind::InvalidInput);
    assert_eq!(kind(ArenaError::AlreadyClaimed { available: 4096 }), io::ErrorKind::ResourceBusy);
    assert_eq!(kind(ArenaError::OutOfMemory { size: 4096 }), io::ErrorKind::OutOfMemory);
    // ENOMEM is 12 on every Unix.
    let error = ArenaError::MapFailed { size: 4096, errno: 12 };
    assert_eq!(kind(error.clone()), io::ErrorKind::OutOfMemory);
    let source = io::Error::from(error.clone());
    assert_eq!(source.get_ref().and_then(|source| source.downcast_ref()), Some(&error));
}
