//! Tests with a `Heap` over a mapping as the global allocator of this very program,
//! including the test harness.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, HashMap};
use std::thread;

use hpalloc::{Arena, Heap, Lazy, Locked, Mapping, Spin};

#[global_allocator]
static HEAP: Locked<Heap<Lazy<Mapping>>, Spin> = Locked::new(Heap::new(Lazy::new(|| Arena::new(64 << 20))));

#[test]
fn collections_keep_their_contents() {
    const NUMBERS: u32 = 20_000;
    let key_of = |number: u32| number.wrapping_mul(2_654_435_761) % 5000;
    let mut tree: BTreeMap<u32, String> = BTreeMap::new();
    let mut table: HashMap<u32, Vec<u32>> = HashMap::new();
    for number in 0..NUMBERS {
        tree.insert(key_of(number), number.to_string());
        table.entry(key_of(number)).or_default().push(number);
        if number % 3 == 0 {
            tree.remove(&key_of(number / 2));
            table.remove(&key_of(number / 3));
        }
    }
    assert!(tree.iter().all(|(&key, text)| key_of(text.parse().unwrap()) == key));
    assert!(table.iter().all(|(&key, numbers)| numbers.iter().all(|&number| key_of(number) == key)));
}

#[test]
fn threads_share_the_heap() {
    let sums = (0..4_u64).map(|first| {
        thread::spawn(move || {
            let mut kept: Vec<Box<[u64]>> = Vec::new();
            for size in 0..2000_u64 {
                kept.push((0..size % 97).map(|number| number + first).collect());
                if size % 3 == 0 {
                    kept.swap_remove((size % 7) as usize % kept.len());
                }
            }
            kept.iter().flat_map(|numbers| numbers.iter()).map(|&number| number - number.min(first)).sum::<u64>()
        })
    });
    let sums: Vec<_> = sums.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(sums.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Fresh pages of a mapping aren't written to zero them: 32 MiB of zeros commit no
/// memory.
#[cfg(target_os = "linux")]
#[test]
fn zeroed_memory_of_a_mapping_is_not_touched() {
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    let before = resident();
    let layout = Layout::from_size_align(32 << 20, 4096).unwrap();
    // SAFETY: the size isn't zero.
    let zeros = unsafe { HEAP.alloc_zeroed(layout) };
    assert!(!zeros.is_null());
    assert!(resident() < before + (16 << 20));
    // SAFETY: the block is live and zeroed.
    assert_eq!(unsafe { (zeros.read(), zeros.add((32 << 20) - 1).read()) }, (0, 0));
    // SAFETY: the block is live, has this layout, and isn't used afterwards.
    unsafe { HEAP.dealloc(zeros, layout) };
}

#[test]
fn alignments_above_a_page() {
    for shift in [0, 6, 12, 16, 21] {
        let layout = Layout::from_size_align(100, 1 << shift).unwrap();
        // SAFETY: the size isn't zero.
        let block = unsafe { HEAP.alloc(layout) };
        assert!(!block.is_null() && block.addr() % (1 << shift) == 0);
        // SAFETY: the block is live, has this layout, and isn't used afterwards.
        unsafe { HEAP.dealloc(block, layout) };
    }
}

#[test]
fn what_is_freed_is_free() {
    // Other tests allocate at the same time, so the numbers are unknown.
    let text = HEAP.with(Heap::usage).to_string();
    assert!(text.contains(" bytes used, ") && text.contains(" bytes free in "), "{text}");
}
