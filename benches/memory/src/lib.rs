//! Measures the smallest memory in which a whole trace succeeds, for each trace and each
//! heap.
//!
//! A [`Trace`] is a list of operations that depends only on a seed. A [`Contestant`] is a
//! heap in one or more configurations. Each [`Configuration`] creates a [`Heap`] in a
//! slice of memory. Every byte counts: the bytes that a heap keeps outside of the slice
//! are added to the size of the slice.
//!
//! [`run`] is the whole program. A crate with a heap of its own passes that heap to it:
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     let make = |memory| Some(Box::new(Core::from_uninit(memory)));
//!     let core = Configuration::new(size_of::<Core>(), make);
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

/// The result of a command.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The system's allocator, which also records the requests of the recorded programs.
#[global_allocator]
static RECORDER: recorder::Recorder = recorder::Recorder;
