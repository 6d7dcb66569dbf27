use std::borrow::Cow;

use crate::{Configuration, Trace};

/// The role of a contestant in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A heap that the candidates are compared with.
    Peer,
    /// A heap that is compared with the best peer.
    Candidate,
}

/// A heap in one or more configurations. The best configuration counts.
#[derive(Debug)]
pub struct Contestant {
    name: Cow<'static, str>,
    kind: Kind,
    configurations: Configurations,
}

/// The configurations of a contestant, which may depend on the trace.
#[derive(Debug)]
enum Configurations {
    Fixed(Vec<Configuration>),
    Tuned(fn(&Trace) -> Vec<Configuration>),
}

impl Contestant {
    /// Creates a peer. Candidates are compared with the best peer of each trace.
    #[must_use]
    pub fn peer(name: impl Into<Cow<'static, str>>, configurations: Vec<Configuration>) -> Self {
        Self { name: name.into(), kind: Kind::Peer, configurations: Configurations::Fixed(configurations) }
    }

    /// Creates a candidate, which is compared with the best peer.
    #[must_use]
    pub fn candidate(name: impl Into<Cow<'static, str>>, configurations: Vec<Configuration>) -> Self {
        Self { name: name.into(), kind: Kind::Candidate, configurations: Configurations::Fixed(configurations) }
    }

    /// Creates a candidate whose configurations are chosen for each trace.
    #[must_use]
    pub fn tuned(name: impl Into<Cow<'static, str>>, tune: fn(&Trace) -> Vec<Configuration>) -> Self {
        Self { name: name.into(), kind: Kind::Candidate, configurations: Configurations::Tuned(tune) }
    }

    /// Returns the name in the tables.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the role in the comparison.
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

    /// Returns the configurations that don't depend on a trace. A tuned candidate has
    /// none.
    #[must_use]
    pub fn configurations(&self) -> &[Configuration] {
        match &self.configurations {
            Configurations::Fixed(configurations) => configurations,
            Configurations::Tuned(_) => &[],
        }
    }
}
