//! How long a measurement goes on, and by which clock.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use clap::ValueEnum;

/// How a measurement is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Effort {
    /// For figures that are published. The machine does nothing else.
    Full,
    /// As long, but by the processor time of the thread: what else the machine does counts only by what it evicts from the
    /// caches.
    Busy,
    /// For a look whether everything runs.
    Quick,
}

impl Effort {
    const fn duration(self) -> Duration {
        match self {
            Self::Full | Self::Busy => Duration::from_millis(100),
            Self::Quick => Duration::from_millis(2),
        }
    }

    /// A workload of many blocks that is done once has this part of them.
    pub(crate) const fn part(self) -> usize {
        match self {
            Self::Full | Self::Busy => 1,
            Self::Quick => 32,
        }
    }

    /// The nanoseconds of one of the operations, of which a pass does so many.
    pub(crate) fn time(self, operations: usize, mut pass: impl FnMut()) -> f64 {
        repeat(self.duration() / 4, &mut pass);
        let mut passes = 0;
        let time = self.measure(|| passes = repeat(self.duration(), &mut pass));
        nanoseconds(time, passes * operations)
    }

    /// The same for a pass that is done once, without a warm-up.
    pub(crate) fn time_once(self, operations: usize, pass: impl FnOnce()) -> f64 {
        nanoseconds(self.measure(pass), operations)
    }

    fn measure(self, program: impl FnOnce()) -> Duration {
        let start = self.now();
        program();
        self.now().saturating_sub(start)
    }

    /// The time since some moment.
    fn now(self) -> Duration {
        let clock = match self {
            Self::Full | Self::Quick => libc::CLOCK_MONOTONIC,
            Self::Busy => libc::CLOCK_THREAD_CPUTIME_ID,
        };
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the pointer is to memory for a time.
        let result = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
        assert!(result == 0, "a clock of the system: {}", std::io::Error::last_os_error());
        // SAFETY: the call succeeded, so it wrote the time.
        let time = unsafe { time.assume_init() };
        Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("less than a second"))
    }
}

/// Repeats a pass for so long, and returns how many there were.
fn repeat(duration: Duration, mut pass: impl FnMut()) -> usize {
    let start = Instant::now();
    let mut passes = 0;
    while start.elapsed() < duration {
        pass();
        passes += 1;
    }
    passes
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn nanoseconds(time: Duration, operations: usize) -> f64 {
    time.as_secs_f64() * 1e9 / operations as f64
}
