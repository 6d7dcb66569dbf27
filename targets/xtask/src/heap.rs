//! The instructions of a `Heap`: over traces of programs, and in the worst case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use tables::Table;

use crate::Result;
use crate::elf::Function;
use crate::report::{LIMITED_TARGET, MEASURE, build_footprint};
use crate::target::{self, TARGETS, Target, succeed};

/// The highest number of instructions of each operation in `LIMITED_MEMORY` on
/// `LIMITED_TARGET`: in the worst case, and as the median over all traces. The goals are
/// 600 and 150.
const LIMITS: [Limits; BOUNDED] =
    [Limits { worst: 750, median: 270 }, Limits { worst: 850, median: 440 }, Limits { worst: 480, median: 210 }];
const LIMITED_MEMORY: &str = "64 KiB";

const MEMORIES: [&str; 4] = ["16 KiB", LIMITED_MEMORY, "1 MiB", "256 MiB"];
/// Memory in proportion to a trace's live bytes.
const PROPORTIONAL: &str = "1.5 times the live bytes";
const OPERATIONS: [&str; 5] = ["allocate", "allocate, aligned to more than 8 bytes", "deallocate", "grow", "shrink"];
const ALLOCATE: usize = 0;
const DEALLOCATE: usize = 2;
/// The number of operations, from the first, that do not copy.
const BOUNDED: usize = 3;
/// The statistics of an operation over a trace.
const STATISTICS: [&str; 3] = ["median", "99 %", "maximum"];

/// The highest code size of `allocate`, `deallocate`, `grow` and `shrink` together on
/// `LIMITED_TARGET`, in bytes.
const CODE_LIMIT: u64 = 4650;

/// A part of the name of the function that calls these four in the measured program.
const CALLER: &str = "footprint3run";

struct Limits {
    worst: u64,
    median: u64,
}

/// The file of traces.
const TRACES: &str = "target/traces.bin";

/// The figures that a program printed for one memory and one trace or family of states.
struct Line {
    memory: String,
    name: String,
    figures: Vec<u64>,
}

/// The figures that the programs `heap_traces` and `heap_worst_case` printed on one
/// target.
struct Measured {
    traces: Vec<Line>,
    worst: Vec<Line>,
}

/// Writes the traces to a file, from which the programs load them.
fn write_traces() -> Result<&'static Path> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--release", "--package", "hpalloc-memory", "--bin", "memory", "--", "write-traces", TRACES]);
    succeed(&mut cargo)?;
    Ok(Path::new(TRACES))
}

fn run(target: &Target, program: &str, features: &str, file: Option<&Path>) -> Result<Vec<Line>> {
    // talc depends on a crate that needs `alloc`.
    let mut cargo = if features.is_empty() { target.cargo("build")? } else { target.cargo_with_alloc("build")? };
    cargo.args(["--release", "--manifest-path", MEASURE, "--features", features, "--bin", program]);
    succeed(&mut cargo)?;
    let output = target.run_with(&target.binary("release", program), file)?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} failed on {} with {}:\n{text}{error}", target.triple, output.status).into());
    }
    let line = |line: &str| -> Option<Line> {
        let (names, figures) = line.rsplit_once(": ")?;
        let (memory, name) = names.split_once(" | ")?;
        let figures = figures.split(' ').map(str::parse).collect::<std::result::Result<_, _>>().ok()?;
        Some(Line { memory: memory.to_owned(), name: name.to_owned(), figures })
    };
    text.lines().map(|text| line(text).ok_or_else(|| format!("{}: {text}", target.triple).into())).collect()
}

impl Measured {
    fn on(target: &Target, traces: &Path) -> Result<Self> {
        Ok(Self {
            traces: run(target, "heap_traces", "", Some(traces))?,
            worst: run(target, "heap_worst_case", "", None)?,
        })
    }

    /// Returns a statistic over all traces in a memory, or `None` if no trace fits or
    /// none has such an operation.
    fn over_traces(&self, memory: &str, operation: usize, statistic: usize) -> Option<u64> {
        let all = self.traces.iter().find(|line| line.memory == memory && line.name == "all")?;
        Some(statistics(all, operation)[statistic]).filter(|&figure| figure > 0)
    }

    /// Returns the highest cost of an operation in a memory, over all states and traces.
    /// Operations that copy are not bounded in a trace, so only states count for them.
    fn worst(&self, memory: &str, operation: usize) -> Option<u64> {
        let states = self.worst.iter().filter(|line| line.memory == memory).map(|line| line.figures[operation]);
        let traces = if operation < BOUNDED { self.over_traces(memory, operation, 2) } else { None };
        states.chain(traces).max()
    }
}

/// The code of a `Heap` on one target, in bytes.
pub(crate) struct Code {
    /// The size of `allocate`, `deallocate`, `grow` and `shrink`, with the functions of
    /// hpalloc and of `core` that they call.
    pub(crate) functions: u64,
    /// The size of the functions that they call in the compiler's library.
    pub(crate) library: u64,
    /// The names of those functions.
    pub(crate) library_names: Vec<String>,
}

impl Code {
    /// Measures the functions that are in a program that calls the four, but not in one
    /// that only creates a heap.
    ///
    /// # Errors
    ///
    /// If their size is above the limit, or if they can panic or call a function to
    /// divide.
    pub(crate) fn measure(target: &Target) -> Result<Self> {
        let made = build_footprint(target, "heap_made,silent", "footprint", false)?;
        let used = build_footprint(target, "heap_resized,silent", "footprint", false)?;
        let is_known =
            |name: &str| name.contains(CALLER) || made.functions.iter().any(|function| function.name == name);
        let mut code = Self { functions: 0, library: 0, library_names: Vec::new() };
        // The linker merges functions with the same code, which then have several names.
        let mut addresses = BTreeSet::new();
        for Function { name, address, code: bytes } in used.functions.iter().filter(|it| !is_known(&it.name)) {
            if !addresses.insert(*address) {
                continue;
            }
            // A function that divides costs a hundred instructions or more on a
            // Cortex-M0.
            if ["panic", "divmod", "div_rem"].iter().any(|unwanted| name.contains(unwanted)) {
                return Err(format!("a Heap links {name} on {}", target.triple).into());
            }
            // Functions that the compiler calls implicitly have plain names, such as
            // __aeabi_memmove.
            let is_mangled = ["_R", "_ZN", "footprint_"].iter().any(|start| name.starts_with(start));
            if is_mangled && !name.contains("compiler_builtins") {
                code.functions += bytes.len() as u64;
            } else {
                code.library += bytes.len() as u64;
                code.library_names.push(name.clone());
            }
        }
        if target.triple == LIMITED_TARGET && code.functions > CODE_LIMIT {
            let bytes = code.functions;
            return Err(
                format!("the code of Heap is {bytes} bytes on {LIMITED_TARGET}: the limit is {CODE_LIMIT}").into()
            );
        }
        Ok(code)
    }
}

/// Returns the statistics of an operation over a trace. The first figure of the line is
/// the memory.
fn statistics(line: &Line, operation: usize) -> &[u64] {
    &line.figures[1 + operation * STATISTICS.len()..][..STATISTICS.len()]
}

/// Prints the costs of each trace and each family of states on these targets.
pub(crate) fn print(triples: &[String]) -> Result<()> {
    let mut chosen: Vec<&Target> = triples.iter().map(|triple| target::find(triple)).collect::<Result<_>>()?;
    if chosen.is_empty() {
        chosen.extend(&TARGETS);
    }
    let traces = write_traces()?;
    for target in chosen {
        let measured = Measured::on(target, traces)?;
        println!("{}\n\n{}\n{}", target.triple, programs(&measured.traces), families(&measured.worst));
    }
    Ok(())
}

/// Returns a table of each trace in each memory.
fn programs(lines: &[Line]) -> String {
    let columns: Vec<String> =
        OPERATIONS.iter().flat_map(|name| STATISTICS.map(|statistic| format!("{name}: {statistic}"))).collect();
    let mut table = Table::new("trace, memory", &columns.iter().map(String::as_str).collect::<Vec<_>>());
    for line in lines {
        let cells = line.figures[1..].iter().map(ToString::to_string);
        table.row(&format!("{}, {} ({})", line.name, line.memory, line.figures[0]), cells);
    }
    table.into_text()
}

/// Returns a table of each family of states in each memory.
fn families(lines: &[Line]) -> String {
    let mut table = Table::new("states, memory", &OPERATIONS);
    for line in lines {
        table.row(&format!("{}, {}", line.name, line.memory), line.figures.iter().map(ToString::to_string));
    }
    table.into_text()
}

/// The allocators that serve any size, by name and by the feature that selects them.
const ANY_SIZE: [(&str, &str); 6] = [
    ("Heap", ""),
    ("SizeClasses", "size_classes"),
    ("linked_list_allocator", "linked_list_allocator"),
    ("rlsf", "rlsf"),
    ("talc 5", "talc"),
    ("buddy_system_allocator", "buddy_system_allocator"),
];

/// Returns the table of `Heap` beside its peers, on the limited target.
fn peers_table(traces: &Path) -> Result<String> {
    let target = target::find(LIMITED_TARGET)?;
    let mut columns = vec!["programs".to_owned()];
    for operation in ["allocate", "deallocate"] {
        columns.extend(STATISTICS.map(|statistic| format!("{operation}: {statistic}")));
    }
    let mut table = Table::new(LIMITED_TARGET, &columns.iter().map(String::as_str).collect::<Vec<_>>());
    for (name, features) in ANY_SIZE {
        let lines = run(target, "heap_traces", features, Some(traces))?;
        let lines: Vec<_> = lines.iter().filter(|line| line.memory == PROPORTIONAL).collect();
        let (all, programs) = lines.split_last().ok_or("no trace was measured")?;
        let figures = [ALLOCATE, DEALLOCATE].map(|operation| statistics(all, operation)).concat();
        let succeeded = programs.len() as u64;
        table.row(name, [succeeded].iter().chain(&figures).map(ToString::to_string));
    }
    Ok(table.into_text())
}

/// The measurements on all targets, and of the peers on one.
pub(crate) struct Heap {
    targets: BTreeMap<&'static str, Measured>,
    peers: String,
}

impl Heap {
    pub(crate) fn measure() -> Result<Self> {
        let traces = write_traces()?;
        let measured = TARGETS.iter().map(|target| Ok((target.triple, Measured::on(target, traces)?)));
        Ok(Self { targets: measured.collect::<Result<_>>()?, peers: peers_table(traces)? })
    }

    fn limited(&self) -> &Measured {
        &self.targets[LIMITED_TARGET]
    }

    /// Returns the sentence about the limited target that the README at the root must
    /// contain.
    pub(crate) fn summary(&self) -> Result<String> {
        let limited = self.limited();
        let figures = [
            limited.over_traces(PROPORTIONAL, ALLOCATE, 0),
            limited.over_traces(PROPORTIONAL, DEALLOCATE, 0),
            (0..DEALLOCATE).filter_map(|operation| limited.worst(LIMITED_MEMORY, operation)).max(),
            limited.worst(LIMITED_MEMORY, DEALLOCATE),
        ];
        let [allocate, deallocate, worst_allocate, worst_deallocate] =
            figures.map(|figure| figure.ok_or("an operation of a Heap was not measured"));
        Ok(format!(
            "{} instructions to allocate and {} to free (median over 23 programs), and {} and {} in the worst states",
            allocate?, deallocate?, worst_allocate?, worst_deallocate?,
        ))
    }

    /// Checks that no limit is exceeded.
    pub(crate) fn check(&self) -> Result<()> {
        for (operation, (name, limits)) in OPERATIONS.iter().zip(&LIMITS).enumerate() {
            let worst = self.limited().worst(LIMITED_MEMORY, operation);
            let median = self.limited().over_traces(LIMITED_MEMORY, operation, 0);
            for (what, figure, limit) in [("worst case", worst, limits.worst), ("median", median, limits.median)] {
                let figure = figure.ok_or_else(|| format!("the {what} of {name} was not measured"))?;
                if figure > limit {
                    let place = format!("in {LIMITED_MEMORY} on {LIMITED_TARGET}");
                    return Err(
                        format!("{name}: the {what} {place} is {figure} instructions: the limit is {limit}").into()
                    );
                }
            }
        }
        Ok(())
    }

    fn table(&self, rows: impl IntoIterator<Item = (String, impl Fn(&Measured) -> Option<u64>)>) -> String {
        let triples = TARGETS.map(|target| target.triple);
        let mut table = Table::new("instructions", &triples);
        for (name, figure) in rows {
            let cells = triples.map(|triple| figure(&self.targets[triple]));
            table.row(&name, cells.map(|figure| figure.map_or("-".to_owned(), |figure| figure.to_string())));
        }
        table.into_text()
    }

    /// Returns the table of typical costs: all statistics in 1.5 times the live bytes,
    /// and the medians in other memories.
    pub(crate) fn traces_table(&self) -> String {
        let proportional = (0..OPERATIONS.len())
            .flat_map(|operation| (0..STATISTICS.len()).map(move |statistic| (PROPORTIONAL, operation, statistic)));
        let others =
            MEMORIES.iter().flat_map(|&memory| (0..OPERATIONS.len()).map(move |operation| (memory, operation, 0)));
        self.table(proportional.chain(others).map(|(memory, operation, statistic)| {
            let name = format!("{memory}: {}: {}", OPERATIONS[operation], STATISTICS[statistic]);
            (name, move |measured: &Measured| measured.over_traces(memory, operation, statistic))
        }))
    }

    /// Returns the table of `Heap` beside its peers.
    pub(crate) fn peers_table(&self) -> String {
        self.peers.clone()
    }

    /// Returns the table of each trace on the limited target.
    pub(crate) fn programs_table(&self) -> String {
        let mut table = Table::new(
            LIMITED_TARGET,
            &["bytes of memory", "allocate: median", "99 %", "maximum", "deallocate: median", "99 %", "maximum"],
        );
        for line in self.limited().traces.iter().filter(|line| line.memory == PROPORTIONAL && line.name != "all") {
            let figures = [ALLOCATE, DEALLOCATE].map(|operation| statistics(line, operation)).concat();
            let cells = line.figures[..1].iter().chain(&figures).map(ToString::to_string);
            table.row(&line.name, cells);
        }
        table.into_text()
    }

    /// Returns the table of the worst case.
    pub(crate) fn worst_table(&self) -> String {
        let rows = MEMORIES.iter().flat_map(|&memory| (0..OPERATIONS.len()).map(move |operation| (memory, operation)));
        self.table(rows.map(|(memory, operation)| {
            let name = format!("{memory}: {}: **maximum**", OPERATIONS[operation]);
            (name, move |measured: &Measured| measured.worst(memory, operation))
        }))
    }
}
