#![allow(missing_docs, reason = "the items are those of the standard library's crate `test`, or its shape")]

use core::cell::UnsafeCell;
use core::fmt;
use core::panic::PanicInfo;

use crate::{exit, print, println};

// What `#[test]` expands to. The fields are those that the compiler writes.

#[derive(Debug)]
pub struct TestDescAndFn {
    pub desc: TestDesc,
    pub testfn: TestFn,
}

#[derive(Debug)]
pub struct TestDesc {
    pub name: TestName,
    pub ignore: bool,
    pub ignore_message: Option<&'static str>,
    pub source_file: &'static str,
    pub start_line: usize,
    pub start_col: usize,
    pub end_line: usize,
    pub end_col: usize,
    pub should_panic: ShouldPanic,
    pub compile_fail: bool,
    pub no_run: bool,
    pub test_type: TestType,
}

#[derive(Debug)]
pub enum TestName {
    StaticTestName(&'static str),
}
pub use TestName::StaticTestName;

#[derive(Debug)]
pub enum TestFn {
    StaticTestFn(fn() -> Outcome),
}
pub use TestFn::StaticTestFn;

#[derive(Debug)]
pub enum ShouldPanic {
    No,
    Yes,
    YesWithMessage(&'static str),
}

#[derive(Debug)]
pub enum TestType {
    UnitTest,
    IntegrationTest,
    DocTest,
    Unknown,
}

/// How a test function ended that didn't panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Returned,
    ReturnedAnError,
}

/// What a test function may return.
pub trait Termination {
    fn outcome(self) -> Outcome;
}

impl Termination for () {
    fn outcome(self) -> Outcome {
        Outcome::Returned
    }
}

impl<T: Termination, E: fmt::Debug> Termination for Result<T, E> {
    fn outcome(self) -> Outcome {
        match self {
            Ok(value) => value.outcome(),
            Err(error) => {
                println!("Error: {error:?}");
                Outcome::ReturnedAnError
            }
        }
    }
}

pub fn assert_test_result<T: Termination>(result: T) -> Outcome {
    result.outcome()
}

/// The tests of the program and how they went.
struct Run {
    tests: &'static [&'static TestDescAndFn],
    /// How many were begun. The last of them runs while `running`.
    begun: usize,
    running: bool,
    passed: usize,
    failed: usize,
    ignored: usize,
}

/// The one run there is.
struct TheRun(UnsafeCell<Run>);

// SAFETY: there is one core, and no interrupt uses it.
unsafe impl Sync for TheRun {}

static RUN: TheRun =
    TheRun(UnsafeCell::new(Run { tests: &[], begun: 0, running: false, passed: 0, failed: 0, ignored: 0 }));

impl TheRun {
    fn with<T>(&self, function: impl FnOnce(&mut Run) -> T) -> T {
        // SAFETY: one core, no interrupt, and no function passed in here runs a test or panics: so there is no second
        // reference.
        function(unsafe { &mut *self.0.get() })
    }
}

/// What the compiler's `main` of a test program calls. Doesn't return.
pub fn test_main_static(tests: &'static [&'static TestDescAndFn]) {
    println!("\nrunning {} tests", tests.len());
    RUN.with(|run| run.tests = tests);
    stack::guard();
    run_the_rest()
}

/// Begins the next test, and so on to the last; then prints the result and ends the machine.
///
/// A panic can't be caught where nothing unwinds. So the panic handler calls this again, on the stack of the test that
/// it leaves for good.
fn run_the_rest() -> ! {
    while let Some(test) = RUN.with(|run| {
        let next = run.tests.get(run.begun).copied();
        run.begun += 1;
        next
    }) {
        let StaticTestName(name) = test.desc.name;
        print!("test {name} ... ");
        if test.desc.ignore {
            RUN.with(|run| run.ignored += 1);
            println!("ignored");
            continue;
        }
        RUN.with(|run| run.running = true);
        let StaticTestFn(function) = test.testfn;
        let outcome = function();
        let expected = matches!(test.desc.should_panic, ShouldPanic::No) && outcome == Outcome::Returned;
        finish(expected, "");
    }
    let (passed, failed, ignored) = RUN.with(|run| (run.passed, run.failed, run.ignored));
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out\n"
    );
    exit(u8::from(failed > 0))
}

/// Ends the test that runs.
fn finish(passed: bool, why: &str) {
    if stack::overflowed() {
        println!("the stack overflowed: what the tests and their runner keep in memory can't be trusted");
        exit(101);
    }
    RUN.with(|run| {
        run.running = false;
        run.passed += usize::from(passed);
        run.failed += usize::from(!passed);
    });
    println!("{}{why}", if passed { "ok" } else { "FAILED" });
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    let Some(test) = RUN.with(|run| run.running.then(|| run.tests[run.begun - 1])) else {
        println!("{info}");
        exit(101)
    };
    match test.desc.should_panic {
        ShouldPanic::No => {
            // Another panic, while this one is printed, ends the machine.
            RUN.with(|run| run.running = false);
            println!("{info}");
            finish(false, "");
        }
        ShouldPanic::Yes => finish(true, ""),
        ShouldPanic::YesWithMessage(expected) => {
            let text = expected.as_bytes();
            let mut search = Search { text, window: [0; 128], len: 0, found: text.is_empty() };
            let _ = fmt::write(&mut search, format_args!("{}", info.message()));
            finish(search.found, if search.found { "" } else { ": another panic than the expected one" });
        }
    }
    run_the_rest()
}

/// Looks for a text, or the first 128 bytes of it, in what is written, of which it keeps the last bytes.
struct Search<'a> {
    text: &'a [u8],
    window: [u8; 128],
    len: usize,
    found: bool,
}

impl fmt::Write for Search<'_> {
    fn write_str(&mut self, written: &str) -> fmt::Result {
        let wanted = self.text.len().min(self.window.len());
        let bytes = if self.found { &[] } else { written.as_bytes() };
        for &byte in bytes {
            if self.len == wanted {
                self.window.copy_within(1..wanted, 0);
                self.len -= 1;
            }
            self.window[self.len] = byte;
            self.len += 1;
            self.found |= self.window[..self.len] == self.text[..wanted];
        }
        Ok(())
    }
}

/// Words between the stack and what lies below it, to see whether the stack grew into them. On the chips with little
/// memory; elsewhere there is more than enough.
#[cfg(target_arch = "arm")]
mod stack {
    const GUARD: [u32; 8] = [0x5AFE_57AC; 8];

    fn end() -> *mut [u32; 8] {
        unsafe extern "C" {
            /// Where the program's variables end. Only its address means something.
            static mut __sheap: u32;
        }
        (&raw mut __sheap).cast()
    }

    pub(super) fn guard() {
        // SAFETY: memory between the variables and the stack, which is far from it here.
        unsafe { end().write_volatile(GUARD) };
    }

    pub(super) fn overflowed() -> bool {
        // SAFETY: the guard, which was written before.
        unsafe { end().read_volatile() != GUARD }
    }
}

#[cfg(not(target_arch = "arm"))]
mod stack {
    pub(super) fn guard() {}

    pub(super) fn overflowed() -> bool {
        false
    }
}
