use std::fmt;
use std::str::FromStr;

use crate::Result;
use crate::report::Summary;

/// A limit on the memory that a contestant needs, relative to the best peer. On the
/// command line it is written as `Heap:1.02:1.05`.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    name: String,
    mean: f64,
    maximum: f64,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.mean, self.maximum)
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is not of the form NAME:MEAN:MAXIMUM, such as \"Heap:1.02:1.05\"");
        let mut parts = text.rsplitn(3, ':');
        let mut number = || parts.next()?.parse().ok();
        let (maximum, mean) = number().zip(number()).ok_or_else(wrong)?;
        let name = parts.next().ok_or_else(wrong)?.to_owned();
        Ok(Self { name, mean, maximum })
    }
}

impl Bound {
    /// Compares the summary of the contestant, over this number of runs, with the bound.
    ///
    /// # Errors
    ///
    /// Fails if the contestant exceeds the bound, if it didn't succeed in every run, or
    /// if no contestant has the name.
    pub(crate) fn check(&self, summaries: &[Summary], runs: usize) -> Result<()> {
        let Self { name, mean, maximum } = self;
        let summary = summaries.iter().find(|summary| summary.name == *name);
        let summary = summary
            .ok_or_else(|| format!("--check: no heap is called {name:?}; `cargo memory list` prints the names"))?;
        let (worst, trace) = summary.worst;
        if summary.succeeded < runs {
            return Err(format!("{name} succeeded in only {} of {runs} runs", summary.succeeded).into());
        }
        if summary.mean > *mean {
            return Err(format!(
                "{name}: the geometric mean over the best peer is {:.3}, above the bound of {mean}",
                summary.mean
            )
            .into());
        }
        if worst > *maximum {
            return Err(format!(
                "{name}: the trace {trace:?} needs {worst:.3} times the best peer, above the bound of {maximum}"
            )
            .into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Bound;

    #[test]
    fn a_bound_is_a_name_and_two_numbers() {
        let bound: Bound = "talc: 4:0.5:1.25".parse().unwrap();
        assert_eq!((bound.name.as_str(), bound.mean, bound.maximum), ("talc: 4", 0.5, 1.25));
        assert!("Heap:1".parse::<Bound>().unwrap_err().contains("NAME:MEAN:MAXIMUM"));
    }
}
