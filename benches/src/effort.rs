//! How long a measurement lasts, and which clock it reads.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use clap::ValueEnum;

/// The effort of a measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Effort {
    /// Wall-clock time, for published figures. The machine must be idle.
    Full,
    /// The processor time of the thread, for a busy machine. Other programs only affect
    /// the figures through the caches.
    Busy,
    /// A short measurement, to test that everything runs.
    Quick,
}

impl Effort {
    const fn duration(self) -> Duration {
        match self {
            Self::Full | Self::Busy => Duration::from_millis(100),
            Self::Quick => Duration::from_millis(2),
        }
    }

    /// The divisor of the number of blocks in a workload that runs once.
    pub(crate) const fn part(self) -> usize {
        match self {
            Self::Full | Self::Busy => 1,
            Self::Quick => 32,
        }
    }

    /// Repeats a pass of several operations, and returns the nanoseconds of one
    /// operation.
    pub(crate) fn time(self, operations: usize, mut pass: impl FnMut()) -> f64 {
        repeat(self.duration() / 4, &mut pass);
        let mut passes = 0;
        let time = self.measure(|| passes = repeat(self.duration(), &mut pass));
        nanoseconds(time, passes * operations)
    }

    /// Runs a pass once, without a warm-up, and returns the nanoseconds of one operation.
    pub(crate) fn time_once(self, operations: usize, pass: impl FnOnce()) -> f64 {
        nanoseconds(self.measure(pass), operations)
    }

    fn measure(self, program: impl FnOnce()) -> Duration {
        let start = self.now();
        program();
        self.now().saturating_sub(start)
    }

    /// Returns the time since some fixed moment.
    fn now(self) -> Duration {
        let clock = match self {
            Self::Full | Self::Quick => libc::CLOCK_MONOTONIC,
            Self::Busy => libc::CLOCK_THREAD_CPUTIME_ID,
        };
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the pointer refers to memory for a `timespec`.
        let result = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
        assert!(result == 0, "clock_gettime failed: {}", std::io::Error::last_os_error());
        // SAFETY: the call succeeded, so it has written the time.
        let time = unsafe { time.assume_init() };
        Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("less than a second"))
    }
}

/// Repeats a pass for a duration, and returns the number of passes.
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
