use std::borrow::Cow;

use crate::{Configuration, Trace};

/// What a contestant is compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of those that the others are measured against.
    Peer,
    /// One that is measured against the peers.
    Candidate,
}

/// A heap in one or more configurations, of which the best counts.
#[derive(Debug)]
pub struct Contestant {
    name: Cow<'static, str>,
    kind: Kind,
    configurations: Configurations,
}

/// Where a contestant's configurations are from.
#[derive(Debug)]
enum Configurations {
    Fixed(Vec<Configuration>),
    Tuned(fn(&Trace) -> Vec<Configuration>),
}

impl Contestant {
    /// A peer: the best of these for a trace is what the others are measured against.
    #[must_use]
    pub fn peer(name: impl Into<Cow<'static, str>>, configurations: Vec<Configuration>) -> Self {
        Self { name: name.into(), kind: Kind::Peer, configurations: Configurations::Fixed(configurations) }
    }

    /// One that is measured against the peers.
    #[must_use]
    pub fn candidate(name: impl Into<Cow<'static, str>>, configurations: Vec<Configuration>) -> Self {
        Self { name: name.into(), kind: Kind::Candidate, configurations: Configurations::Fixed(configurations) }
    }

    /// A candidate with configurations that are made for each trace.
    #[must_use]
    pub fn tuned(name: impl Into<Cow<'static, str>>, tune: fn(&Trace) -> Vec<Configuration>) -> Self {
        Self { name: name.into(), kind: Kind::Candidate, configurations: Configurations::Tuned(tune) }
    }

    /// What it is called in the tables.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is compared as.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Calls the function with the configurations for a trace.
    pub fn with_configurations<R>(&self, trace: &Trace, f: impl FnOnce(&[Configuration]) -> R) -> R {
        match &self.configurations {
            Configurations::Fixed(configurations) => f(configurations),
            Configurations::Tuned(tune) => f(&tune(trace)),
        }
    }

    /// The configurations that don't depend on a trace: none if it is tuned.
    #[must_use]
    pub fn configurations(&self) -> &[Configuration] {
        match &self.configurations {
            Configurations::Fixed(configurations) => configurations,
            Configurations::Tuned(_) => &[],
        }
    }
}
