//! Measures, for each trace and each heap, the smallest memory with which the whole trace succeeds.
//!
//! A [`Trace`] is a list of operations that depends on a seed and nothing else. A [`Contestant`] is a heap in one or
//! more configurations, each of which makes a [`Heap`] in a slice of memory. Each byte counts: what a heap keeps
//! outside of the slice is added to the size of the slice.
//!
//! [`run`] is the whole program. A crate that has a heap of its own calls it with that heap:
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     let core = Configuration::new(size_of::<Core>(), |memory| Some(Box::new(Core::from_uninit(memory))));
//!     hpalloc_memory::run(vec![Contestant::candidate("core", vec![core])])
//! }
//! ```

mod binary;
mod both_widths;
mod bounds;
mod command;
mod configuration;
mod contestant;
mod efficiency;
mod heap;
mod heaps;
mod long_run;
mod matrix;
mod memory;
mod progress;
mod random;
mod recorder;
mod replay;
mod report;
mod smallest;
mod trace;
mod trace_builder;
mod traces;

pub use command::run;
pub use configuration::Configuration;
pub use contestant::{Contestant, Kind};
pub use heap::Heap;
pub use heaps::all as all_heaps;
pub use memory::Memory;
pub use replay::{Replay, replay};
pub use smallest::smallest;
pub use trace::{Operation, Trace};
pub use trace_builder::{Block, TraceBuilder};
pub use traces::{ALL as ALL_TRACES, Program, Source};

/// What a command returns.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Notes what the recorded programs allocate; otherwise it is the system's allocator.
#[global_allocator]
static RECORDER: recorder::Recorder = recorder::Recorder;
