use core::fmt;

/// The costs of an operation in instructions.
pub(crate) struct Costs {
    pub(crate) name: &'static str,
    pub(crate) min: u32,
    pub(crate) max: u32,
    /// Three numbers of live blocks, before or after the operation. Each has the cost of
    /// the operation with that number of live blocks.
    at: [(usize, u32); 3],
}

impl Costs {
    pub(crate) const fn new(name: &'static str, at: [usize; 3]) -> Self {
        Self { name, min: u32::MAX, max: 0, at: [(at[0], 0), (at[1], 0), (at[2], 0)] }
    }

    pub(crate) fn record(&mut self, cost: u32, live: usize) {
        self.min = self.min.min(cost);
        self.max = self.max.max(cost);
        for (at, cost_there) in &mut self.at {
            if *at == live {
                // In a hardened build, freeing searches for the run of the block, which
                // costs more if there are more runs.
                let same = *cost_there == cost || cfg!(hpalloc_hardened);
                assert!(
                    *cost_there == 0 || same,
                    "{}: costs {} and {cost} with {live} live blocks",
                    self.name,
                    *cost_there
                );
                *cost_there = cost.max(*cost_there);
            }
        }
    }

    pub(crate) fn is_incomplete(&self) -> bool {
        self.at.iter().any(|&(_, cost)| cost == 0)
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, min, max, at: [(_, few), (_, more), (_, full)] } = self;
        write!(f, "{name}: {min} {max} {few} {more} {full}")
    }
}
