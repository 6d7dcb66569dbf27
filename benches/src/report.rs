//! Writes down what was measured: RESULTS.md, the table of the README, and the charts.

use std::process::Command;

use clap::ValueEnum;
use tables::{Document, Table};

use crate::contestant::{Contestant, Workload};
use crate::rounds::{self, Figure, Measurements, number};
use crate::workload::{QUANTILES, quantile_title};
use crate::{RESULTS, Result, charts};

/// Measures everything, prints the tables and writes them.
pub(crate) fn run(rounds: usize) -> Result<()> {
    let mut results = Document::read(RESULTS)?;
    let mut readme = Document::read("README.md")?;
    let run = describe_run(rounds)?;
    let measured = rounds::run(rounds, false)?;
    let sections = [
        ("run", run),
        ("targets", targets(&measured)),
        ("time", times(&measured, &Workload::TIMED)),
        ("latency", latencies(&measured)),
        ("live", times(&measured, &Workload::LIVE)),
    ];
    for (name, text) in &sections {
        println!("{text}");
        results.replace(name, text)?;
    }
    readme.replace("speed", &summary(&measured))?;
    charts::workloads(&measured, "benches/workloads.svg")?;
    charts::latency(&measured, "benches/latency.svg")?;
    results.write()?;
    readme.write()
}

/// Runs everything once, in short, and prints the tables of times that are not to be relied on.
pub(crate) fn look() -> Result<()> {
    let measured = rounds::run(1, true)?;
    println!("{}\n{}\n{}", times(&measured, &Workload::TIMED), latencies(&measured), times(&measured, &Workload::LIVE));
    Ok(())
}

/// The machine, the compilers and the commit.
fn describe_run(rounds: usize) -> Result<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()))
        .unwrap_or_else(|| "unknown".to_owned());
    let huge_pages = read("/sys/kernel/mm/transparent_hugepage/enabled");
    let huge_pages = huge_pages.split(['[', ']']).nth(1).unwrap_or("unknown").to_owned();
    let pool = read("/proc/sys/vm/nr_hugepages");
    let mut table = Table::new("run", &["on"]);
    let mut row = |name, value: String| table.row(name, [value]);
    row("date", output("date", &["-u", "+%F"])?);
    row("commit", output("git", &["describe", "--always", "--dirty"])?);
    row("processor", format!("{processor}, {} cores in use", std::thread::available_parallelism()?));
    row("system", output("uname", &["-srm"])?);
    row("huge pages", format!("transparent: {huge_pages}; explicit: a pool of {}", pool.trim()));
    row("compilers", format!("{}; {}", output("rustc", &["--version"])?, output("cc", &["--version"])?));
    row("C library", output("ldd", &["--version"])?.trim_start_matches("ldd ").to_owned());
    row("rounds", rounds.to_string());
    Ok(table.into_text())
}

/// The first line that a command prints.
fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8(output.stdout)?.lines().next().unwrap_or("unknown").to_owned())
}

/// What the figures have to reach, and whether they do.
fn targets(measured: &Measurements) -> String {
    use Contestant::{
        Bumpalo, FloorRegister, FloorWritePrefaulted, Glibc, Hpalloc, HpallocHuge, HpallocPrefaulted, Seed,
    };
    use Workload::{BatchFifo, BatchLifo, BatchRandom, FirstTouch, Latency, Pair, SmallBatch};

    let mut table = Table::new("how many times as much the other takes", &["at least", "measured", "reached"]);
    let mut times = |what: &str, at_least: f64, other: Figure, ours: Figure| {
        let ratio = measured.ratio(other, ours).unwrap_or(f64::NAN);
        // What is written is what is compared.
        let written = format!("{ratio:.2}");
        let reached = written.parse().is_ok_and(|ratio: f64| ratio >= at_least);
        table.row(what, [at_least.to_string(), written, if reached { "yes" } else { "**no**" }.to_owned()]);
    };
    let fastest = |workload| measured.fastest(workload, &Contestant::MALLOCS).unwrap_or(Glibc);
    let title = |workload: Workload, other: Contestant| format!("{}: {}", workload.title(), other.title());
    times(&title(Pair, fastest(Pair)), 2.5, (Pair, fastest(Pair), 0), (Pair, Hpalloc, 0));
    times(&title(Pair, Seed), 1.0, (Pair, Seed, 0), (Pair, Hpalloc, 0));
    for batch in [BatchLifo, BatchFifo, BatchRandom] {
        let other = fastest(batch);
        times(&title(batch, other), 2.0, (batch, other, 0), (batch, Hpalloc, 0));
    }
    let register = FloorRegister.title();
    let what = format!("{}: {}, over {register}", SmallBatch.title(), Hpalloc.title());
    times(&what, 1.5, (SmallBatch, Hpalloc, 0), (SmallBatch, FloorRegister, 0));
    let huge = (FirstTouch, HpallocHuge, 0);
    for (other, at_least) in [(Seed, 4.0), (Bumpalo, 2.0)] {
        let what = format!("{}, over {}", title(FirstTouch, other), HpallocHuge.title());
        times(&what, at_least, (FirstTouch, other, 0), huge);
    }
    let quantile = |figure: usize| format!("latency at {}", quantile_title(QUANTILES[figure]));
    let prefaulted = HpallocPrefaulted.title();
    let what = format!("{}: {}, over {prefaulted}", quantile(3), Glibc.title());
    times(&what, 20.0, (Latency, Glibc, 3), (Latency, HpallocPrefaulted, 3));

    // These have to be the same within the noise.
    let mut alike = |what: String, figures: &[Figure]| {
        let spreads: Vec<_> = figures.iter().filter_map(|&(w, c, figure)| measured.spread(w, c, figure)).collect();
        let highest_low = spreads.iter().map(|spread| spread.0).fold(0.0, f64::max);
        let lowest_high = spreads.iter().map(|spread| spread.1).fold(f64::INFINITY, f64::min);
        let medians = figures.iter().filter_map(|&(w, c, figure)| measured.median(w, c, figure));
        let medians: Vec<_> = medians.map(number).collect();
        let reached = if highest_low <= lowest_high { "yes" } else { "**no**" };
        table.row(&what, ["alike".to_owned(), medians.join(", "), reached.to_owned()]);
    };
    for figure in [QUANTILES.len() - 1, QUANTILES.len()] {
        let name = if figure < QUANTILES.len() { quantile(figure) } else { "latencies above 1000 ns".to_owned() };
        let what = format!("{name}: {prefaulted}; {}", FloorWritePrefaulted.title());
        alike(what, &[(Latency, HpallocPrefaulted, figure), (Latency, FloorWritePrefaulted, figure)]);
    }
    let sizes = Workload::LIVE.map(|live| (live, Hpalloc, 0));
    alike("hpalloc with 1,000 to 4,000,000 blocks live".to_owned(), &sizes);
    table.into_text()
}

/// The median of each workload, and the spread.
fn times(measured: &Measurements, workloads: &[Workload]) -> String {
    let mut table = Table::new("ns", &workloads.iter().map(|workload| workload.title()).collect::<Vec<_>>());
    for &contestant in Contestant::value_variants() {
        if !workloads.iter().any(|&workload| measured.has(workload, contestant)) {
            continue;
        }
        let cell = |&workload: &Workload| {
            let Some(median) = measured.median(workload, contestant, 0) else { return "-".to_owned() };
            match measured.spread(workload, contestant, 0) {
                Some((low, high)) if low < high => format!("{} ({}–{})", number(median), number(low), number(high)),
                _ => number(median),
            }
        };
        table.row(contestant.title(), workloads.iter().map(cell));
    }
    table.into_text()
}

/// The medians of the quantiles, and of how many latencies were outliers.
fn latencies(measured: &Measurements) -> String {
    let mut columns: Vec<_> = QUANTILES.map(quantile_title).into();
    columns.push("above 1000 ns".to_owned());
    let mut table = Table::new("ns", &columns.iter().map(String::as_str).collect::<Vec<_>>());
    for &contestant in Contestant::value_variants() {
        if measured.has(Workload::Latency, contestant) {
            let medians =
                (0..columns.len()).filter_map(|figure| measured.median(Workload::Latency, contestant, figure));
            table.row(contestant.title(), medians.map(|median| format!("{median:.0}")));
        }
    }
    table.into_text()
}

/// The table of the README: hpalloc and what a program on a host would use instead.
fn summary(measured: &Measurements) -> String {
    let mut titles = vec![Contestant::Hpalloc.title()];
    titles.extend(Contestant::MALLOCS.map(Contestant::title));
    titles.push("fastest of those four, over hpalloc");
    let mut table = Table::new("ns", &titles);
    let mut row = |title: &str, workload, ours| {
        let median = |contestant| measured.median(workload, contestant, 0).map_or("-".to_owned(), number);
        let fastest = measured.fastest(workload, &Contestant::MALLOCS).unwrap_or(Contestant::Glibc);
        let ratio = measured.ratio((workload, fastest, 0), (workload, ours, 0));
        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1} times"));
        table.row(title, [ours].into_iter().chain(Contestant::MALLOCS).map(median).chain([ratio]));
    };
    for workload in Workload::TIMED {
        row(workload.title(), workload, Contestant::Hpalloc);
    }
    row("the same, hpalloc in huge pages", Workload::FirstTouch, Contestant::HpallocHuge);
    table.into_text()
}
