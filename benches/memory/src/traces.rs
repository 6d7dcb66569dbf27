//! The traces, recorded from real code or modeled after it.

mod futures;
mod holes;
mod images;
mod json;
mod logs;
mod long_lived;
mod maps;
mod packets;
mod periodic;
mod phases;
mod random_actions;
mod regexes;
mod rust_source;
mod text;
mod vectors;

pub(crate) use random_actions::{align as random_actions_align, size as random_actions_size};

use fastrand::Rng;

use crate::recorder::record;
use crate::{Trace, TraceBuilder};

/// A program, which has one trace for each seed.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name in the tables.
    pub name: &'static str,
    /// The origin of the trace.
    pub source: Source,
    /// `true` if the trace is meant to be harmful. No bound applies to it.
    pub adversarial: bool,
}

/// The origin of a trace.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Real code. The function prepares its input and returns the program.
    Recorded(fn(&mut Rng) -> Box<dyn Fn()>),
    /// A model, which generates the operations.
    Modelled(fn(&mut Rng, &mut TraceBuilder)),
}

impl Program {
    const fn recorded(name: &'static str, prepare: fn(&mut Rng) -> Box<dyn Fn()>) -> Self {
        Self { name, source: Source::Recorded(prepare), adversarial: false }
    }

    const fn modelled(name: &'static str, model: fn(&mut Rng, &mut TraceBuilder)) -> Self {
        Self { name, source: Source::Modelled(model), adversarial: false }
    }

    const fn adversarial(name: &'static str, model: fn(&mut Rng, &mut TraceBuilder)) -> Self {
        Self { name, source: Source::Modelled(model), adversarial: true }
    }

    /// Returns the trace for a seed.
    #[must_use]
    pub fn trace(&self, seed: u64) -> Trace {
        let mut random = Rng::with_seed(seed);
        match self.source {
            Source::Recorded(prepare) => record(&*prepare(&mut random)),
            Source::Modelled(model) => {
                let mut trace = TraceBuilder::new();
                model(&mut random, &mut trace);
                trace.build()
            }
        }
    }
}

/// All programs.
pub const ALL: &[Program] = &[
    Program::recorded("JSON documents", json::documents),
    Program::recorded("JSON, small documents", json::small_documents),
    Program::recorded("settings", maps::settings),
    Program::recorded("settings, small", maps::small_settings),
    Program::recorded("hash table of vectors", maps::hash_table),
    Program::recorded("log lines", logs::lines),
    Program::recorded("buffers that grow", logs::buffers),
    Program::recorded("regular expressions", regexes::patterns),
    Program::recorded("regular expressions, small", regexes::small_patterns),
    Program::recorded("Rust source", rust_source::files),
    Program::modelled("packets", packets::queue),
    Program::modelled("phases", phases::without_survivors),
    Program::modelled("phases with survivors", phases::with_survivors),
    Program::modelled("a vector that doubles", vectors::one),
    Program::modelled("two vectors that double", vectors::two),
    Program::modelled("long-lived and short", long_lived::in_64_kib),
    Program::modelled("long-lived and short in 8 KiB", long_lived::in_8_kib),
    Program::modelled("boxed futures", futures::tasks),
    Program::modelled("images", images::frames),
    Program::modelled("talc's random actions", random_actions::actions),
    Program::modelled("periodic tasks", periodic::tasks),
    Program::modelled("every other freed, by a quarter", holes::by_a_quarter),
    Program::adversarial("every other freed, powers of two", holes::powers_of_two),
];
