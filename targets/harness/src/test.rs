#![allow(missing_docs, reason = "the items are those of the standard library's crate `test`, or have their shape")]

use core::cell::UnsafeCell;
use core::fmt;
use core::panic::PanicInfo;

use crate::{exit, print, println};

// The types that `#[test]` expands to, with the fields that the compiler fills in.

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

/// The outcome of a test function that didn't panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Returned,
    ReturnedAnError,
}

/// A type that a test function may return.
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

/// The tests of the program, and their results so far.
struct Run {
    tests: &'static [&'static TestDescAndFn],
    /// The number of tests that were started. If `running` is set, the last of them is
    /// still running.
    begun: usize,
    running: bool,
    passed: usize,
    failed: usize,
    ignored: usize,
}

/// The type of the `static` that holds the only `Run`.
struct TheRun(UnsafeCell<Run>);

// SAFETY: there is one core, and no interrupt handler uses the run.
unsafe impl Sync for TheRun {}

static RUN: TheRun =
    TheRun(UnsafeCell::new(Run { tests: &[], begun: 0, running: false, passed: 0, failed: 0, ignored: 0 }));

impl TheRun {
    fn with<T>(&self, function: impl FnOnce(&mut Run) -> T) -> T {
        // SAFETY: there is one core, no interrupt handler uses the run, and the functions
        // that are passed to `with` neither run a test nor panic. So there is no second
        // reference.
        function(unsafe { &mut *self.0.get() })
    }
}

/// Runs the tests. The `main` that the compiler generates for a test program calls it.
/// Doesn't return.
pub fn test_main_static(tests: &'static [&'static TestDescAndFn]) {
    println!("\nrunning {} tests", tests.len());
    RUN.with(|run| run.tests = tests);
    stack::guard();
    run_the_rest()
}

/// Runs the remaining tests, prints the result, and ends the machine.
///
/// A panic can't be caught because nothing unwinds. So the panic handler calls this
/// function again, on the stack of the test that panicked.
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

/// Ends the running test and prints its result.
fn finish(passed: bool, why: &str) {
    if stack::overflowed() {
        println!("the stack overflowed into the program's variables, so the results are not reliable");
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
            // A second panic, while this one is printed, ends the machine.
            RUN.with(|run| run.running = false);
            println!("{info}");
            finish(false, "");
        }
        ShouldPanic::Yes => finish(true, ""),
        ShouldPanic::YesWithMessage(expected) => {
            let text = expected.as_bytes();
            let mut search = Search { text, window: [0; 128], len: 0, found: text.is_empty() };
            let _ = fmt::write(&mut search, format_args!("{}", info.message()));
            finish(search.found, if search.found { "" } else { ": the panic message is not the expected one" });
        }
    }
    run_the_rest()
}

/// Searches the output for a text, or for its first 128 bytes. It keeps only the last
/// bytes of the output.
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

/// Words between the program's variables and the stack, which detect a stack overflow on
/// the chips with little memory. The other machines have more memory than the tests need.
#[cfg(target_arch = "arm")]
mod stack {
    const GUARD: [u32; 8] = [0x5AFE_57AC; 8];

    fn end() -> *mut [u32; 8] {
        unsafe extern "C" {
            /// The end of the program's variables. Only the address is meaningful.
            static mut __sheap: u32;
        }
        (&raw mut __sheap).cast()
    }

    pub(super) fn guard() {
        // SAFETY: the memory is between the variables and the stack, which doesn't reach
        // it here.
        unsafe { end().write_volatile(GUARD) };
    }

    pub(super) fn overflowed() -> bool {
        // SAFETY: the guard was written before.
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
