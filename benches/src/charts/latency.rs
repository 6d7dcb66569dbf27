//! The latencies of an allocation with the first write, from the median to the maximum.

use tables::Document;

use crate::Result;
use crate::charts::Chart;
use crate::charts::picture::{Anchor, Ink, NORMAL, Picture, SMALL};
use crate::contestant::Contestant;
use crate::workload::{CLOCK, QUANTILES, quantile_title};

const LEFT: f64 = 64.0;
const RIGHT: f64 = 478.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 392.0;
const HEIGHT: f64 = 444.0;
/// The lowest latency of the scale, as a power of ten in nanoseconds.
const LOWEST: i32 = 1;

/// The layout of the key: the left edges of the line samples and of the names, the right
/// edges of the columns, and the height of a row.
const SAMPLE: f64 = 514.0;
const NAME: f64 = 556.0;
const COLUMNS: [f64; 2] = [750.0, 818.0];
const ROW: f64 = 22.0;
/// The quantiles of the columns.
const KEY: [f64; COLUMNS.len()] = [0.999, 1.0];

/// Lines that are compared, because their memory is in the same state.
struct Group {
    title: &'static str,
    lines: Vec<Line>,
}

/// A line of the chart, with its quantiles in nanoseconds.
struct Line {
    name: &'static str,
    ink: Ink,
    width: f64,
    dashes: &'static str,
    quantiles: Vec<f64>,
}

/// The style of a contestant's line: its name, color, width and dashes.
type Style = (Contestant, &'static str, Ink, f64, &'static str);

/// An allocator has one color; its line is solid in memory that was touched before.
const WARM: (&str, [Style; 4]) = (
    "memory touched before",
    [
        (Contestant::HpallocPrefaulted, "hpalloc, prefaulted", Ink::Ours, 3.0, ""),
        (Contestant::HpallocHugePrefaulted, "hpalloc, prefaulted, huge", Ink::OursFaint, 2.0, ""),
        (Contestant::GlibcWarm, "glibc malloc, warm", Ink::Gray, 2.0, ""),
        (Contestant::MimallocWarm, "mimalloc, warm", Ink::Blue, 2.0, ""),
    ],
);
const COLD: (&str, [Style; 5]) = (
    "untouched memory",
    [
        (Contestant::Hpalloc, "hpalloc", Ink::Ours, 2.0, "6 3"),
        (Contestant::Glibc, "glibc malloc", Ink::Gray, 2.0, "6 3"),
        (Contestant::Mimalloc, "mimalloc", Ink::Blue, 2.0, "6 3"),
        (Contestant::Jemalloc, "jemalloc", Ink::Purple, 1.5, "2 3"),
        (Contestant::Snmalloc, "snmalloc", Ink::Green, 1.5, "2 3"),
    ],
);

/// Draws the lines that have all their figures.
pub(crate) fn chart(results: &Document) -> Result<Chart> {
    let table = results.table("latency", "ns")?;
    let line = |&(contestant, name, ink, width, dashes): &Style| {
        let value = |quantile| table.value(contestant.title(), &quantile_title(quantile));
        let quantiles = QUANTILES.map(value).into_iter().collect::<Option<_>>()?;
        Some(Line { name, ink, width, dashes, quantiles })
    };
    let group = |title, styles: &[Style]| Group { title, lines: styles.iter().filter_map(line).collect() };
    let groups = [group(WARM.0, &WARM.1), group(COLD.0, &COLD.1)];
    let run = results.table("run", "this run")?;
    let measured = match run.figure("rounds", "") {
        None | Some("1") => "one round".to_owned(),
        Some(rounds) => format!("medians of {rounds} rounds"),
    };
    let clock = run
        .figure(CLOCK, "")
        .map_or_else(String::new, |ns| format!("Each latency includes {ns} ns for reading the clock. "));
    Ok(Chart {
        name: "latency",
        alt: describe(&groups),
        height: HEIGHT,
        draw: Box::new(move |picture| draw(picture, &groups, &measured, &clock)),
    })
}

/// Returns the figure of a column of the key.
fn key(line: &Line, quantile: f64) -> f64 {
    QUANTILES.iter().zip(&line.quantiles).find(|(of, _)| **of >= quantile).map_or(f64::NAN, |(_, ns)| *ns)
}

fn describe(groups: &[Group]) -> String {
    let figures =
        |line: &Line| format!("{} {}", line.name, KEY.map(|quantile| time(key(line, quantile))).join(" and "));
    let groups_text = groups.iter().map(|group| {
        let lines: Vec<_> = group.lines.iter().map(figures).collect();
        format!("In {}: {}.", group.title, lines.join("; "))
    });
    let medians = groups.iter().flat_map(|group| &group.lines).filter_map(|line| line.quantiles.first().copied());
    let (lowest, highest) =
        medians.fold((f64::INFINITY, 0.0_f64), |(low, high), median| (low.min(median), high.max(median)));
    format!(
        "Line chart of the latency of an allocation with the first write to it, from the median to the maximum, on a \
         logarithmic scale. The medians are {lowest:.0} to {highest:.0} ns. The 99.9th percentile and the maximum \
         follow. {}",
        groups_text.collect::<Vec<_>>().join(" ")
    )
}

fn draw(picture: &mut Picture, groups: &[Group], measured: &str, clock: &str) {
    let lines = || groups.iter().flat_map(|group| &group.lines);
    let highest = lines().flat_map(|line| &line.quantiles).copied().fold(1e5, f64::max);
    #[allow(clippy::cast_possible_truncation, reason = "a power of ten")]
    let highest = highest.log10().ceil() as i32;
    let y = |ns: f64| {
        let share = (ns.log10() - f64::from(LOWEST)) / f64::from(highest - LOWEST);
        BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP)
    };
    #[allow(clippy::cast_precision_loss, reason = "a few quantiles")]
    let x = |place: usize| LEFT + 22.0 + (RIGHT - LEFT - 22.0) * place as f64 / (QUANTILES.len() - 1) as f64;

    picture.heading(
        "Latency of an allocation and the first write to the block",
        &format!("4 million blocks of 64 bytes, one after the other; {measured}; logarithmic scale."),
    );
    picture.text(
        (12.0, 62.0),
        &format!("{clock}In untouched memory, writes take page faults."),
        NORMAL,
        Ink::Muted,
        Anchor::Start,
    );
    for power in LOWEST..=highest {
        let ns = 10.0_f64.powi(power);
        picture.line(&[(LEFT, y(ns)), (RIGHT, y(ns))], Ink::Grid, 1.0, "");
        picture.text((LEFT - 8.0, y(ns)), &time(ns), SMALL, Ink::Muted, Anchor::End);
    }
    for (place, &quantile) in QUANTILES.iter().enumerate() {
        let at = (x(place), BOTTOM + 18.0);
        if KEY.contains(&quantile) {
            picture.line(&[(x(place), TOP), (x(place), BOTTOM)], Ink::Grid, 1.0, "");
            picture.bold(at, &title(quantile), SMALL, Ink::Text, Anchor::Middle);
        } else {
            picture.text(at, &title(quantile), SMALL, Ink::Muted, Anchor::Middle);
        }
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    picture.text((middle, BOTTOM + 38.0), "percentile of all allocations", SMALL, Ink::Muted, Anchor::Middle);

    // The first lines of the list are drawn last, on top of the others.
    for line in lines().collect::<Vec<_>>().into_iter().rev() {
        let points: Vec<_> = line.quantiles.iter().enumerate().map(|(place, &ns)| (x(place), y(ns))).collect();
        picture.line(&points, line.ink, line.width, line.dashes);
        for point in points {
            picture.dot(point, line.width, line.ink);
        }
    }
    draw_key(picture, groups);
}

/// Draws the table beside the lines.
fn draw_key(picture: &mut Picture, groups: &[Group]) {
    let mut y = TOP;
    for (end, quantile) in COLUMNS.into_iter().zip(KEY) {
        picture.bold((end, y), &title(quantile), SMALL, Ink::Text, Anchor::End);
    }
    for Group { title, lines } in groups.iter().filter(|group| !group.lines.is_empty()) {
        picture.text((SAMPLE, y), title, SMALL, Ink::Muted, Anchor::Start);
        y += ROW;
        for line in lines {
            picture.line(&[(SAMPLE, y), (NAME - 8.0, y)], line.ink, line.width, line.dashes);
            let is_main = line.width > 2.0;
            let write = if is_main { Picture::bold } else { Picture::text };
            write(picture, (NAME, y), line.name, NORMAL, line.ink, Anchor::Start);
            for (end, quantile) in COLUMNS.into_iter().zip(KEY) {
                write(picture, (end, y), &time(key(line, quantile)), NORMAL, Ink::Text, Anchor::End);
            }
            y += ROW;
        }
        y += ROW / 2.0;
    }
}

/// The name of a quantile in the chart.
fn title(quantile: f64) -> String {
    match quantile {
        0.5 => "median".to_owned(),
        1.0 => "maximum".to_owned(),
        _ => quantile_title(quantile),
    }
}

/// A time with its unit, in two or three digits.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns => (ns / 1e6, "ms"),
    };
    if ns >= 1e3 && value < 9.95 && value.fract() > 0.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}
