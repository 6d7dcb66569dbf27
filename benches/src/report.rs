//! Writes the results: the tables of RESULTS.md and of the README, and the charts.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use tables::{Document, Table};

use crate::contestant::{Contestant, Workload};
use crate::effort::Effort;
use crate::rounds::{self, Measurements, number};
use crate::workload::{CLOCK, QUANTILES, clock_ns, quantile_title};
use crate::{RESULTS, Result, charts, memory, summary};

/// Measures everything, prints the tables, and writes them and the charts. A quick look
/// writes only the charts, to the temporary directory.
pub(crate) fn run(rounds: usize, effort: Effort) -> Result<()> {
    let mut results = Document::read(RESULTS)?;
    let run = describe_run(rounds)?;
    let measured = rounds::run(rounds, effort, Workload::value_variants(), Contestant::value_variants())?;
    let sections = [
        ("run", run),
        ("targets", targets(&measured, rounds)),
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
    if effort == Effort::Quick {
        let folder = std::env::temp_dir().join("hpalloc-charts");
        publish(results, &folder)?;
        println!(
            "This was a quick look: no file of the repository was written. The charts are in {}.",
            folder.display()
        );
        return Ok(());
    }
    for document in publish(results, Path::new(charts::FOLDER))? {
        document.write()?;
    }
    Ok(())
}

/// Draws the charts, and writes everything that is derived from the tables, without
/// measuring.
pub(crate) fn redraw() -> Result<()> {
    for document in publish(Document::read(RESULTS)?, Path::new(charts::FOLDER))? {
        document.write()?;
    }
    Ok(())
}

/// Draws the charts to a folder. Returns the documents, updated with the texts that are
/// derived from the tables: the README's own tables, and the alternative texts of the
/// charts.
fn publish(results: Document, folder: &Path) -> Result<[Document; 4]> {
    let mut readme = Document::read("README.md")?;
    let (memory, targets) = (Document::read("benches/memory/RESULTS.md")?, Document::read("targets/README.md")?);
    readme.replace("speed", &summary::tables(&results)?)?;
    let charts = charts::all(&results, &memory, &targets)?;
    let mut documents = [readme, results, memory, targets];
    for chart in charts {
        chart.save(folder)?;
        for (document, folder) in
            documents.iter_mut().zip(["benches/charts", "charts", "../charts", "../benches/charts"])
        {
            chart.refer(document, folder)?;
        }
    }
    Ok(documents)
}

/// Describes the machine, the compilers and the commit.
fn describe_run(rounds: usize) -> Result<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()))
        .unwrap_or_else(|| "unknown".to_owned());
    let huge_pages = read("/sys/kernel/mm/transparent_hugepage/enabled");
    let huge_pages = huge_pages.split(['[', ']']).nth(1).unwrap_or("unknown").to_owned();
    let explicit = match read("/proc/sys/vm/nr_hugepages").trim() {
        "" => "unknown".to_owned(),
        "0" => "none reserved".to_owned(),
        count => format!("{count} reserved"),
    };
    let mut table = Table::new("this run", &[""]);
    let mut row = |name, value: String| table.row(name, [value]);
    row("date", output("date", &["-u", "+%F"])?);
    row("commit", output("git", &["describe", "--always", "--dirty"])?);
    row("processor", format!("{processor}, {} cores in use", std::thread::available_parallelism()?));
    row("system", output("uname", &["-srm"])?);
    row("huge pages", format!("transparent: {huge_pages}; explicit: {explicit}"));
    row("compilers", format!("{}; {}", output("rustc", &["--version"])?, output("cc", &["--version"])?));
    row("C library", output("ldd", &["--version"])?.trim_start_matches("ldd ").to_owned());
    row(CLOCK, format!("{} ns", clock_ns()));
    row("rounds", rounds.to_string());
    Ok(table.into_text())
}

/// Returns the first line that a command prints.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8(output.stdout)?.lines().next().unwrap_or("unknown").to_owned())
}

/// Returns the tables of the goals, which show if the figures reach them.
fn targets(measured: &Measurements, rounds: usize) -> String {
    use Contestant::{
        Bumpalo, FloorBulk, FloorWritePrefaulted, Glibc, GlibcWarm, Hpalloc, HpallocClasses, HpallocHeap, HpallocHuge,
        HpallocPrefaulted, LinkedList, MimallocWarm, Rlsf, Seed, Talc,
    };
    use Workload::{
        BatchFifo, BatchLifo, BatchRandom, FirstTouch, Json, Latency, Mixed, MixedSmallBatch, Pair, SmallBatch,
    };

    let mut table = Table::new("ratio of times", &GOAL);
    let mut at_least = |goal: f64, workload: Workload, other: Contestant, ours: Contestant| {
        let ratio = measured.ratio((workload, other, 0), (workload, ours, 0)).unwrap_or(f64::NAN);
        // The rounded figure is compared, so that the row doesn't contradict itself.
        let written = format!("{ratio:.2}");
        let reached = written.parse().is_ok_and(|ratio: f64| ratio >= goal);
        let what = format!("{}: {} ÷ {}", workload.title(), other.title(), ours.title());
        table.row(&what, [format!("at least {goal}"), written, yes_or_no(reached)]);
    };
    let fastest = |workload| measured.fastest(workload, &Contestant::MALLOCS).unwrap_or(Glibc);
    let fastest_heap = |workload| measured.fastest(workload, &Contestant::HEAPS).unwrap_or(Talc);
    at_least(2.5, Pair, fastest(Pair), Hpalloc);
    at_least(1.0, Pair, Seed, Hpalloc);
    for batch in [BatchLifo, BatchFifo, BatchRandom] {
        at_least(2.0, batch, fastest(batch), Hpalloc);
        at_least(4.0, batch, fastest(batch), FloorBulk);
    }
    at_least(1.5, SmallBatch, Hpalloc, FloorBulk);
    at_least(4.0, FirstTouch, Seed, HpallocHuge);
    at_least(2.0, FirstTouch, Bumpalo, HpallocHuge);
    for workload in [Mixed, MixedSmallBatch] {
        at_least(1.0, workload, fastest(workload), HpallocClasses);
        for other in [Talc, Rlsf, LinkedList] {
            at_least(3.0, workload, other, HpallocClasses);
        }
    }
    for workload in Workload::GENERAL.into_iter().chain(Workload::PROGRAMS) {
        at_least(1.0, workload, fastest_heap(workload), HpallocHeap);
    }
    at_least(1.0, Json, fastest(Json), HpallocHeap);

    let quantile = |figure: usize| format!("latency at {}", quantile_title(QUANTILES[figure]));
    // A title that names no state of the memory means untouched memory.
    let state = |contestant: Contestant| match contestant {
        Glibc | Hpalloc => format!("{} (cold)", contestant.title()),
        _ => contestant.title().to_owned(),
    };
    for (goal, other, ours) in [
        (1.0, Glibc, Hpalloc),
        (1.0, GlibcWarm, HpallocPrefaulted),
        (1.0, MimallocWarm, HpallocPrefaulted),
        (20.0, Glibc, HpallocPrefaulted),
    ] {
        let ratio = measured.ratio((Latency, other, 3), (Latency, ours, 3)).unwrap_or(f64::NAN);
        let what = format!("{}: {} ÷ {}", quantile(3), state(other), state(ours));
        table.row(&what, [format!("at least {goal}"), format!("{ratio:.2}"), yes_or_no(ratio >= goal)]);
    }

    let ratios = Workload::LIVE.map(|live| measured.ratio((live, Hpalloc, 0), (Workload::LIVE[0], Hpalloc, 0)));
    let ratio = ratios.into_iter().flatten().fold(0.0, f64::max);
    let what = format!("{}: with up to 4,000,000 blocks live ÷ with 1,000", Hpalloc.title());
    table.row(&what, ["at most 1.1".to_owned(), format!("{ratio:.2}"), yes_or_no(ratio <= 1.1)]);

    let most = most_by_chance(rounds);
    let mut sign_test = Table::new(
        &format!(
            "rounds in which \"{}\" is slower than its floor ({rounds} in all; more than {most} would be significant)",
            HpallocPrefaulted.title()
        ),
        &GOAL,
    );
    for figure in [QUANTILES.len() - 1, QUANTILES.len()] {
        let name = if figure < QUANTILES.len() { quantile(figure) } else { "latencies above 1000 ns".to_owned() };
        let floor = (Latency, FloorWritePrefaulted, figure);
        let above = measured.above((Latency, HpallocPrefaulted, figure), floor).unwrap_or(rounds);
        sign_test.row(&name, [format!("at most {most}"), above.to_string(), yes_or_no(above <= most)]);
    }
    format!("{}\n{}", table.into_text(), sign_test.into_text())
}

/// The columns of the tables of goals.
const GOAL: [&str; 3] = ["goal", "measured", "reached"];

fn yes_or_no(reached: bool) -> String {
    if reached { "yes" } else { "**no**" }.to_owned()
}

/// Returns the bound of the sign test. If two contestants are equally fast, one of them
/// is slower in more than this number of rounds with a probability of at most 1 in 20.
fn most_by_chance(rounds: usize) -> usize {
    // `sum` is the chance of this many rounds or more, beginning with all of them.
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

/// Returns a table of medians, with the lowest and highest round.
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

/// Returns the table of latencies: the medians of the quantiles and of the number of
/// outliers. The last columns also show the lowest and highest round, because they differ
/// most between rounds.
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
