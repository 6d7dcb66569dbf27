//! Tests of memory mappings: the memory that the operating system provides, the requests
//! that it refuses, and unmapping.
#![cfg(target_os = "linux")]

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use hpalloc::{
    Arena, ArenaError, Backing, FixedBlock, HugePages, MAX_ARENA_SIZE, Mapping, MappingOptions, PAGE_SIZE, Region,
};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Runs one of the ignored tests below in a separate process.
fn alone(name: &str) -> Output {
    let this = std::env::current_exe().unwrap();
    // AddressSanitizer would turn a fault into an ordinary exit.
    let mut command = Command::new(this);
    command.args(["--exact", "--ignored", name]).env("ASAN_OPTIONS", "handle_segv=0").output().unwrap()
}

/// Runs one of the ignored tests below in a separate process, whose memory no other test
/// uses, and asserts that it passes.
fn passes_alone(name: &str) {
    let output = alone(name);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Returns a line of `/proc/self/status`, in bytes.
fn status(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    let kib: usize = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

#[test]
fn a_size_that_no_arena_may_have_is_an_error() {
    for (size, error) in common::bad_sizes() {
        assert_eq!(Arena::new(size).unwrap_err(), error);
        assert_eq!(Mapping::new(size).unwrap_err(), error);
        assert_eq!(MappingOptions::new().prefault(true).map(size).unwrap_err(), error);
    }
}

#[test]
fn the_largest_arena_can_be_mapped_and_used_to_its_ends() {
    let arena = Arena::new(MAX_ARENA_SIZE).unwrap();
    assert_eq!(arena.total_pages(), MAX_ARENA_SIZE / PAGE_SIZE);
    let pages = arena.alloc_pages(arena.total_pages()).unwrap();
    assert_eq!(pages[0].as_mut_ptr().addr() % PAGE_SIZE, 0);
    for page in [0, pages.len() - 1] {
        pages[page].zero().fill(0xFF);
    }
    assert!(arena.alloc_page().is_none());
}

#[test]
#[cfg_attr(hpalloc_hardened, ignore = "expects blocks without guards")]
fn one_block_may_be_a_whole_mapping() {
    let pool = FixedBlock::new(Arena::new(MAX_ARENA_SIZE).unwrap(), MAX_ARENA_SIZE).unwrap();
    let block = pool.allocate().unwrap();
    // SAFETY: this is the last byte of the block, which is live.
    unsafe { block.add(MAX_ARENA_SIZE - 1).write(1) };
    assert!(pool.allocate().is_none());
}

#[test]
fn a_mapping_comes_zeroed_but_a_used_page_is_not_taken_for_zero() {
    for options in [MappingOptions::new(), MappingOptions::new().prefault(true)] {
        let mut arena = Arena::from_region(options.map(3 * PAGE_SIZE).unwrap()).unwrap();
        // The second page is used, and so are the first two together.
        arena.alloc_pages(2).unwrap()[1].zero().fill(0xFF);
        arena.reset();
        for _ in 0..3 {
            assert!(arena.alloc_zeroed_page().unwrap().iter().all(|&byte| byte == 0));
        }
        assert!(arena.alloc_zeroed_page().is_none());
    }
}

#[test]
fn a_mapping_that_is_refused_is_an_error_and_the_process_lives_on() {
    passes_alone("alone_with_a_small_address_space");
}

#[test]
#[ignore = "limits the address space of its process; another test runs it in a separate one"]
fn alone_with_a_small_address_space() {
    let limit = u64::try_from(status("VmSize") + MAX_ARENA_SIZE + MAX_ARENA_SIZE / 2).unwrap();
    setrlimit(Resource::As, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
    let refused = ArenaError::MapFailed { size: MAX_ARENA_SIZE, errno: rustix::io::Errno::NOMEM.raw_os_error() };
    // There is room for only one mapping at a time, so each must be unmapped when it is
    // dropped.
    for _ in 0..100 {
        let arena = Arena::new(MAX_ARENA_SIZE).unwrap();
        assert_eq!(Arena::new(MAX_ARENA_SIZE).unwrap_err(), refused);
        assert_eq!(MappingOptions::new().prefault(true).map(MAX_ARENA_SIZE).unwrap_err(), refused);
        assert!(arena.alloc_page().is_some());
    }
}

#[test]
#[cfg_attr(hpalloc_asan, ignore = "the memory that AddressSanitizer keeps would be counted")]
fn memory_is_touched_when_the_options_say_so() {
    passes_alone("alone_with_its_resident_memory");
}

#[test]
#[ignore = "measures the resident memory of its process; another test runs it in a separate one"]
fn alone_with_its_resident_memory() {
    const SIZE: usize = MAX_ARENA_SIZE / 4;
    let resident = || status("VmRSS");
    let before = resident();
    let arena = Arena::from_region(Mapping::new(SIZE).unwrap()).unwrap();
    for _ in 0..arena.total_pages() {
        arena.alloc_zeroed_page().unwrap();
    }
    assert!(resident() < before + SIZE / 8, "handing out zeroed pages of a mapping must not touch them");
    drop(arena);

    let mapping = MappingOptions::new().prefault(true).map(SIZE).unwrap();
    assert!(resident() >= before + SIZE - SIZE / 64, "a prefaulted mapping must be resident");
    drop(mapping);
    assert!(resident() < before + SIZE / 8, "a dropped mapping must not be resident");
}

#[test]
#[cfg_attr(hpalloc_asan, ignore = "the memory that AddressSanitizer keeps would be counted")]
fn memory_goes_back_where_the_system_has_no_room_for_another_mapping() {
    passes_alone("alone_with_as_many_mappings_as_there_may_be");
}

/// Linux joins neighboring mappings. Dropping every other one of many would leave more
/// mappings than Linux allows.
#[test]
#[ignore = "creates as many mappings as its process may have; another test runs it in a separate one"]
fn alone_with_as_many_mappings_as_there_may_be() {
    let most: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if most > 1 << 20 {
        println!("not tested: {most} mappings are allowed, which is too many to create");
        return;
    }
    let arenas: Vec<_> = (0..2 * most + 10_000).map(|_| Arena::new(PAGE_SIZE).unwrap()).collect();
    let mut kept = Vec::new();
    let mut dropped = Vec::new();
    for (index, arena) in arenas.into_iter().enumerate() {
        if index % 2 == 0 {
            arena.alloc_page().unwrap().zero();
            dropped.push(arena);
        } else {
            kept.push(arena);
        }
    }
    let (resident, size) = (status("VmRSS"), dropped.len() * PAGE_SIZE);
    drop(dropped);
    assert!(status("VmRSS") < resident - size + size / 64, "the memory of all dropped mappings must be returned");
    drop(kept);
}

/// Returns all combinations of options.
fn all_options() -> impl Iterator<Item = MappingOptions> {
    let huge_pages = [HugePages::Off, HugePages::Transparent, HugePages::Best];
    huge_pages.into_iter().flat_map(|huge_pages| {
        (0..8).map(move |bits| {
            let options = MappingOptions::new().huge_pages(huge_pages);
            options.guards(bits & 1 != 0).prefault(bits & 2 != 0).lock(bits & 4 != 0)
        })
    })
}

#[test]
fn with_all_options_the_pages_are_there_and_zero() {
    for options in all_options() {
        for size in [PAGE_SIZE, 2 << 20, (2 << 20) + PAGE_SIZE] {
            let arena = match options.map(size) {
                Ok(mapping) => Arena::from_region(mapping).unwrap(),
                // The limit on locked memory may be lower than this size.
                Err(ArenaError::LockFailed { size: refused, .. }) if options == options.clone().lock(true) => {
                    assert_eq!(refused, size);
                    continue;
                }
                Err(error) => panic!("{options:?}: {error}"),
            };
            assert_eq!(arena.total_pages(), size / PAGE_SIZE);
            for _ in 0..arena.total_pages() {
                let page = arena.alloc_zeroed_page().unwrap();
                assert!(page.iter().all(|&byte| byte == 0));
                page.fill(0xFF);
            }
            assert!(arena.alloc_page().is_none());
        }
    }
}

#[test]
fn huge_pages_are_what_the_system_has_or_an_error_that_says_how_to_get_them() {
    const SIZE: usize = 4 << 20;
    let options = |huge_pages| MappingOptions::new().huge_pages(huge_pages).map(SIZE);
    assert_eq!(options(HugePages::Off).unwrap().backing(), Backing::Ordinary);
    match options(HugePages::Explicit) {
        Ok(mapping) => {
            assert_eq!(mapping.backing(), Backing::Explicit);
            drop(mapping);
            assert_eq!(options(HugePages::Best).unwrap().backing(), Backing::Explicit);
        }
        Err(error) => {
            assert!(matches!(error, ArenaError::NoHugePages { size: SIZE, errno: 1.. }), "{error}");
            assert_ne!(options(HugePages::Best).unwrap().backing(), Backing::Explicit);
        }
    }
    let transparent = options(HugePages::Transparent).unwrap();
    assert_ne!(transparent.backing(), Backing::Explicit);
    if transparent.backing() == Backing::Transparent {
        assert_eq!(transparent.pages().addr().get() % (2 << 20), 0);
    }
}

#[test]
fn guards_stop_whoever_runs_over_an_end() {
    const SIGSEGV: i32 = 11;
    for end in ["alone_before_the_first_page", "alone_behind_the_last_page"] {
        assert_eq!(alone(end).status.signal(), Some(SIGSEGV), "{end}");
    }
}

/// Writes to the byte at an offset from the first of three pages between guards.
fn write_at(offset: isize) {
    let mapping = MappingOptions::new().guards(true).map(3 * PAGE_SIZE).unwrap();
    let first = mapping.pages().cast::<u8>().as_ptr();
    // SAFETY: both ends of the pages can be written. The address outside of them is in
    // the mapping's guard, so that the write ends the process.
    unsafe {
        first.write_volatile(1);
        first.add(3 * PAGE_SIZE - 1).write_volatile(1);
        first.wrapping_offset(offset).write_volatile(1);
    }
}

#[test]
#[ignore = "dies on purpose; another test runs it in a separate process"]
fn alone_before_the_first_page() {
    write_at(-1);
}

#[test]
#[ignore = "dies on purpose; another test runs it in a separate process"]
fn alone_behind_the_last_page() {
    write_at(isize::try_from(3 * PAGE_SIZE).unwrap());
}

#[test]
fn locked_memory_is_locked_and_a_limit_is_an_error() {
    passes_alone("alone_with_locked_memory");
}

#[test]
#[ignore = "measures and limits the locked memory of its process; another test runs it in a separate one"]
fn alone_with_locked_memory() {
    const SIZE: usize = 64 * PAGE_SIZE;
    let before = status("VmLck");
    let options = MappingOptions::new().lock(true);
    match options.map(SIZE) {
        Ok(mapping) => {
            assert_eq!(status("VmLck"), before + SIZE);
            drop(mapping);
            assert_eq!(status("VmLck"), before);
        }
        Err(error) => assert!(matches!(error, ArenaError::LockFailed { size: SIZE, errno: 1.. }), "{error}"),
    }
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    let (size, mapped) = (status("VmSize"), options.map(SIZE));
    if let Err(error) = mapped {
        assert!(matches!(error, ArenaError::LockFailed { size: SIZE, errno: 1.. }), "{error}");
        assert_eq!(status("VmSize"), size, "a refused mapping must be unmapped");
    } else {
        println!("not tested: the limit on locked memory doesn't apply to this process");
    }
}

/// Tries address spaces of every size from too small to large enough, so that each system
/// call is refused once. Each refusal must result in an error, and nothing may stay
/// mapped.
#[test]
fn mappings_are_refused_at_every_point() {
    passes_alone("alone_with_less_and_less_address_space");
}

#[test]
#[ignore = "limits the address space of its process; another test runs it in a separate one"]
fn alone_with_less_and_less_address_space() {
    const SIZE: usize = 5 << 20;
    let size_of_process = || status("VmSize");
    // The first call of each kind allocates memory that is kept afterwards.
    let kinds = [HugePages::Off, HugePages::Transparent, HugePages::Best, HugePages::Explicit];
    for (huge, prefault) in kinds.into_iter().flat_map(|huge| [(huge, false), (huge, true)]) {
        let options = MappingOptions::new().huge_pages(huge).prefault(prefault);
        drop(options.map(SIZE));
        let before = size_of_process();
        let (mut refused, mut served) = (0, 0);
        for extra in (0..4 * SIZE).step_by(SIZE / 8) {
            let limit = u64::try_from(before + extra).unwrap();
            setrlimit(Resource::As, Rlimit { current: Some(limit), maximum: None }).unwrap();
            match options.map(SIZE) {
                Ok(mapping) => {
                    served += 1;
                    let arena = Arena::from_region(mapping).unwrap();
                    assert_eq!(arena.alloc_zeroed_page(), Some(&mut [0; PAGE_SIZE]));
                }
                Err(error) => {
                    refused += 1;
                    let known = matches!(error, ArenaError::MapFailed { .. } | ArenaError::NoHugePages { .. });
                    assert!(known, "{error}");
                }
            }
            assert_eq!(
                size_of_process(),
                before,
                "memory is still mapped after an attempt with {extra} bytes of address space"
            );
        }
        // The machine may have no explicit huge pages.
        assert!(refused > 0 && (served > 0 || huge == HugePages::Explicit), "{huge:?}");
    }
}
