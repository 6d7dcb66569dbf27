//! Tests with a heap of size classes over a mapping as the global allocator of this very
//! program, including the test harness and all dependencies.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write;
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;

use hpalloc::{Arena, Lazy, Locked, Mapping, PAGE_SIZE, SizeClasses, Spin};

#[global_allocator]
static HEAP: Locked<SizeClasses<Lazy<Mapping>>, Spin> =
    Locked::new(SizeClasses::new(Lazy::new(|| Arena::new(64 << 20))));

/// Returns `true` if the value is in memory of the heap.
fn is_in_heap<T: ?Sized>(value: &T) -> bool {
    let address = std::ptr::from_ref(value).addr();
    HEAP.with(|heap| {
        let arena = heap.page_source().arena().unwrap();
        // The address of a fresh page is above all pages that were handed out before.
        let next = std::ptr::from_mut(arena.alloc_page().unwrap()).addr();
        (next - (arena.pages_allocated() - 1) * PAGE_SIZE..next).contains(&address)
    })
}

#[test]
fn everything_is_in_the_heap() {
    assert!(is_in_heap(&*Box::new(7_u8)));
    assert!(is_in_heap("a string".to_owned().as_str()));
    assert!(is_in_heap(vec![0_u64; 5000].as_slice()));
    assert!(is_in_heap(&*Arc::new(7)));
    assert!(thread::spawn(|| is_in_heap(&*Box::new([0; 100]))).join().unwrap());
    assert!(!is_in_heap(&7));
    // A value of zero bytes needs no block.
    assert!(!is_in_heap(&*Box::new(())));
}

#[test]
fn alignments_up_to_a_page() {
    #[repr(align(64))]
    struct Line(u8);
    #[repr(align(4096))]
    struct Whole(u8);

    let lines: Vec<_> = (0..100).map(|number| Box::new(Line(number))).collect();
    let pages: Vec<_> = (0..10).map(|number| Box::new(Whole(number))).collect();
    assert!(lines.iter().zip(0..).all(|(line, number)| line.0 == number && (&raw const **line).is_aligned()));
    assert!(pages.iter().zip(0..).all(|(page, number)| page.0 == number && (&raw const **page).is_aligned()));

    // SAFETY: the size isn't zero.
    assert!(unsafe { HEAP.alloc(Layout::from_size_align(1, 2 * PAGE_SIZE).unwrap()) }.is_null());
}

#[test]
fn collections_keep_their_contents() {
    const NUMBERS: u32 = 20_000;
    let key_of = |number: u32| number.wrapping_mul(2_654_435_761) % 5000;
    let check = |key: u32, text: &str| {
        let numbers = text.split_terminator(',').map(|number| number.parse().unwrap());
        numbers.inspect(|&number| assert_eq!(key_of(number), key)).count()
    };
    let mut strings = BTreeMap::new();
    let mut done = HashMap::new();
    for number in 0..NUMBERS {
        let key = key_of(number);
        let text: &mut String = strings.entry(key).or_default();
        write!(text, "{number},").unwrap();
        if text.len() > 20 {
            done.entry(key).or_insert_with(VecDeque::new).push_back(Rc::<str>::from(strings.remove(&key).unwrap()));
        }
    }
    assert!(strings.len() > 100 && done.len() > 100);
    let live = strings.iter().map(|(&key, text)| check(key, text)).sum::<usize>();
    let done = done.iter().map(|(&key, texts)| texts.iter().map(|text| check(key, text)).sum::<usize>()).sum::<usize>();
    assert_eq!(live + done, NUMBERS as usize);
}

#[test]
fn threads_free_what_others_allocated() {
    let (sender, receiver) = mpsc::channel::<Vec<usize>>();
    let freeing = thread::spawn(move || {
        receiver.into_iter().map(|numbers| numbers.iter().sum::<usize>() / numbers[0]).sum::<usize>()
    });
    thread::scope(|scope| {
        for value in 1..=4 {
            let sender = sender.clone();
            scope.spawn(move || (1..2000).for_each(|count| sender.send(vec![value; count % 300 + 1]).unwrap()));
        }
    });
    drop(sender);
    assert_eq!(freeing.join().unwrap(), 4 * (1..2000).map(|count| count % 300 + 1).sum::<usize>());
}

#[test]
fn what_does_not_fit_is_an_error_and_the_rest_goes_on() {
    let mut numbers = vec![1, 2, 3];
    assert!(numbers.try_reserve(1 << 28).is_err());
    assert!(Vec::<u8>::new().try_reserve_exact(65 << 20).is_err());
    numbers.push(4);
    assert_eq!((numbers, "still".to_owned() + " here"), (vec![1, 2, 3, 4], "still here".to_owned()));
}

#[test]
fn what_was_freed_is_used_again() {
    let pages = || HEAP.with(|heap| heap.page_source().arena().unwrap().pages_allocated());
    let large = || vec![1_u8; 5 << 20];
    drop(large());
    let before = pages();
    for _ in 0..1000 {
        assert_eq!(large()[4 << 20], 1);
    }
    // Other tests run at the same time, but none of them needs that much.
    assert!(pages() - before < (5 << 20) / PAGE_SIZE);
}

/// A source that panics, in a separate process: the process must abort, because a global
/// allocator must not unwind.
#[test]
fn a_panic_in_the_source_aborts() {
    let mut this = Command::new(std::env::current_exe().unwrap());
    // A backtrace would allocate in the heap, and may need more than it has.
    this.env("RUST_BACKTRACE", "0");
    let output = this.args(["--exact", "--ignored", "--nocapture", "alone_with_a_panic"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("the source panics"), "{text}");
    assert!(!text.contains("unwound"), "{text}");
    // With the feature `std`, it aborts without a second panic.
    assert_eq!(text.contains("the global allocator must not unwind"), cfg!(not(feature = "std")), "{text}");
}

#[test]
#[ignore = "aborts on purpose; another test runs it in a separate process"]
fn alone_with_a_panic() {
    static OTHER: Locked<SizeClasses<Lazy<Mapping>>, Spin> =
        Locked::new(SizeClasses::new(Lazy::new(|| panic!("the source panics"))));

    // SAFETY: the size isn't zero.
    let result = std::panic::catch_unwind(|| unsafe { OTHER.alloc(Layout::new::<u64>()) });
    eprintln!("unwound: {}", result.is_err());
}
