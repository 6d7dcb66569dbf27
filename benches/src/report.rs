//! Writes down what was measured: RESULTS.md, the table of the README, and the charts.

use std::process::Command;

use clap::ValueEnum;
use tables::{Document, Table};

use crate::contestant::{Contestant, Workload};
use crate::effort::Effort;
use crate::rounds::{self, Figure, Measurements, number};
use crate::workload::{QUANTILES, quantile_title};
use crate::{RESULTS, Result, charts, memory};

/// Measures everything, prints the tables and writes them. A quick look writes the charts elsewhere and the tables
/// nowhere.
pub(crate) fn run(rounds: usize, effort: Effort) -> Result<()> {
    let mut results = Document::read(RESULTS)?;
    let mut readme = Document::read("README.md")?;
    let run = describe_run(rounds)?;
    let measured = rounds::run(rounds, effort, Workload::value_variants(), Contestant::value_variants())?;
    let sections = [
        ("run", run),
        ("targets", targets(&measured)),
        ("time", times(&measured, "ns", &Workload::TIMED)),
        ("heaps", times(&measured, "ns", &Workload::GENERAL)),
        ("programs", times(&measured, "ms", &Workload::PROGRAMS)),
        ("memory", memory::table()?),
        ("latency", latencies(&measured)),
        ("live", times(&measured, "ns", &Workload::LIVE)),
    ];
    for (name, text) in &sections {
        println!("{text}");
        results.replace(name, text)?;
    }
    readme.replace("speed", &summary(&measured))?;
    let quick = effort == Effort::Quick;
    let charts = if quick { std::env::temp_dir() } else { "benches".into() };
    charts::workloads(&measured, &charts.join("workloads.svg"))?;
    charts::latency(&measured, &charts.join("latency.svg"))?;
    if quick {
        println!("This was a short look. The charts are in {}.", charts.display());
        return Ok(());
    }
    results.write()?;
    readme.write()
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
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8(output.stdout)?.lines().next().unwrap_or("unknown").to_owned())
}

/// What the figures have to reach, and whether they do.
fn targets(measured: &Measurements) -> String {
    use Contestant::{
        Bumpalo, FloorBulk, FloorWritePrefaulted, Glibc, Hpalloc, HpallocClasses, HpallocHeap, HpallocHuge,
        HpallocPrefaulted, LinkedList, Rlsf, Seed, Talc,
    };
    use Workload::{
        BatchFifo, BatchLifo, BatchRandom, FirstTouch, Json, Latency, Mixed, MixedSmallBatch, Pair, SmallBatch,
    };

    let mut table = Table::new("how many times as much the other takes", &["aim", "measured", "reached"]);
    let mut times = |what: &str, at_least: f64, other: Figure, ours: Figure| {
        let ratio = measured.ratio(other, ours).unwrap_or(f64::NAN);
        // What is written is what is compared.
        let written = format!("{ratio:.2}");
        let reached = written.parse().is_ok_and(|ratio: f64| ratio >= at_least);
        table.row(what, [format!("at least {at_least}"), written, yes_or_no(reached)]);
    };
    let fastest = |workload| measured.fastest(workload, &Contestant::MALLOCS).unwrap_or(Glibc);
    let fastest_heap = |workload| measured.fastest(workload, &Contestant::HEAPS).unwrap_or(Talc);
    let title = |workload: Workload, other: Contestant| format!("{}: {}", workload.title(), other.title());
    times(&title(Pair, fastest(Pair)), 2.5, (Pair, fastest(Pair), 0), (Pair, Hpalloc, 0));
    times(&title(Pair, Seed), 1.0, (Pair, Seed, 0), (Pair, Hpalloc, 0));
    let bulk = FloorBulk.title();
    for batch in [BatchLifo, BatchFifo, BatchRandom] {
        let other = fastest(batch);
        times(&title(batch, other), 2.0, (batch, other, 0), (batch, Hpalloc, 0));
        times(&format!("{}, over {bulk}", title(batch, other)), 4.0, (batch, other, 0), (batch, FloorBulk, 0));
    }
    let what = format!("{}, over {bulk}", title(SmallBatch, Hpalloc));
    times(&what, 1.5, (SmallBatch, Hpalloc, 0), (SmallBatch, FloorBulk, 0));
    let huge = (FirstTouch, HpallocHuge, 0);
    for (other, at_least) in [(Seed, 4.0), (Bumpalo, 2.0)] {
        let what = format!("{}, over {}", title(FirstTouch, other), HpallocHuge.title());
        times(&what, at_least, (FirstTouch, other, 0), huge);
    }
    for workload in [Mixed, MixedSmallBatch] {
        for (other, at_least) in [(fastest(workload), 1.0), (Talc, 3.0), (Rlsf, 3.0), (LinkedList, 3.0)] {
            let what = format!("{}, over {}", title(workload, other), HpallocClasses.title());
            times(&what, at_least, (workload, other, 0), (workload, HpallocClasses, 0));
        }
    }
    let heap = HpallocHeap.title();
    let any_size = Workload::GENERAL.into_iter().chain(Workload::PROGRAMS);
    for (workload, other) in any_size.map(|workload| (workload, fastest_heap(workload))).chain([(Json, fastest(Json))])
    {
        let what = format!("{}, over {heap}", title(workload, other));
        times(&what, 1.0, (workload, other, 0), (workload, HpallocHeap, 0));
    }
    let quantile = |figure: usize| format!("latency at {}", quantile_title(QUANTILES[figure]));
    let prefaulted = HpallocPrefaulted.title();
    let what = format!("{}: {}, over {prefaulted}", quantile(3), Glibc.title());
    times(&what, 20.0, (Latency, Glibc, 3), (Latency, HpallocPrefaulted, 3));

    let most = "at most 1.1";
    let ratios = Workload::LIVE.map(|live| measured.ratio((live, Hpalloc, 0), (Workload::LIVE[0], Hpalloc, 0)));
    let ratio = ratios.into_iter().flatten().fold(0.0, f64::max);
    let what = format!("{}: with up to 4,000,000 blocks live, over 1,000 live", Hpalloc.title());
    table.row(&what, [most.to_owned(), format!("{ratio:.2}"), yes_or_no(ratio <= 1.1)]);

    for figure in [QUANTILES.len() - 1, QUANTILES.len()] {
        let name = if figure < QUANTILES.len() { quantile(figure) } else { "latencies above 1000 ns".to_owned() };
        let floor = (Latency, FloorWritePrefaulted, figure);
        let (above, rounds) = measured.above((Latency, HpallocPrefaulted, figure), floor).unwrap_or((1, 1));
        let what = format!("{name}: rounds in which {prefaulted}, is above {}", FloorWritePrefaulted.title());
        let most = most_by_chance(rounds);
        table.row(&what, [format!("at most {most}"), format!("{above} of {rounds}"), yes_or_no(above <= most)]);
    }
    table.into_text()
}

fn yes_or_no(reached: bool) -> String {
    if reached { "yes" } else { "**no**" }.to_owned()
}

/// The most rounds in which one of two can be above the other, if they are alike and chance has no less than 1 in 20 (the
/// sign test).
fn most_by_chance(rounds: usize) -> usize {
    // The chance that it is so many or more, from all of them down.
    let (mut chance, mut sum) = (0.5_f64.powi(i32::try_from(rounds).unwrap_or(i32::MAX)), 0.0);
    for below in 0..rounds {
        sum += chance;
        if sum > 0.05 {
            return rounds - below;
        }
        #[allow(clippy::cast_precision_loss, reason = "a few rounds")]
        let next = (rounds - below) as f64 / (below + 1) as f64;
        chance *= next;
    }
    rounds
}

/// The median of each workload, and the spread.
fn times(measured: &Measurements, unit: &str, workloads: &[Workload]) -> String {
    let mut table = Table::new(unit, &workloads.iter().map(|workload| workload.title()).collect::<Vec<_>>());
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

/// The quantiles and how many latencies were outliers: medians, and the spreads of the last ones.
fn latencies(measured: &Measurements) -> String {
    let mut columns: Vec<_> = QUANTILES.map(quantile_title).into();
    columns.push("above 1000 ns".to_owned());
    let mut table = Table::new("ns", &columns.iter().map(String::as_str).collect::<Vec<_>>());
    for &contestant in Contestant::value_variants() {
        if measured.has(Workload::Latency, contestant) {
            let cell = |figure| {
                let median = measured.median(Workload::Latency, contestant, figure)?;
                match measured.spread(Workload::Latency, contestant, figure) {
                    Some((low, high)) if low < high && figure + 2 >= QUANTILES.len() => {
                        Some(format!("{median:.0} ({low:.0}–{high:.0})"))
                    }
                    _ => Some(format!("{median:.0}")),
                }
            };
            table.row(contestant.title(), (0..columns.len()).filter_map(cell));
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
    for workload in [Workload::Mixed, Workload::MixedSmallBatch] {
        row(&format!("{}, hpalloc's heap", workload.title()), workload, Contestant::HpallocHeap);
        row(&format!("{}, hpalloc's size classes", workload.title()), workload, Contestant::HpallocClasses);
    }
    table.into_text()
}
