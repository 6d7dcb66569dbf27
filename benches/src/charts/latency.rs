//! The latencies of an allocation with the first write, from the median to the maximum.

use tables::Document;

use crate::Result;
use crate::charts::Chart;
use crate::charts::picture::{Anchor, Ink, NORMAL, Picture, SMALL};
use crate::contestant::Contestant;
use crate::workload::{QUANTILES, quantile_title};

const LEFT: f64 = 70.0;
const RIGHT: f64 = 535.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 384.0;
const HEIGHT: f64 = 436.0;
/// Where the labels of the lines begin, and how far apart they are at least.
const LABELS: f64 = 566.0;
const GAP: f64 = 19.0;
/// The lowest latency of the scale, as a power of ten in nanoseconds.
const LOWEST: i32 = 1;

/// A line of the chart, with its quantiles in nanoseconds.
struct Line {
    name: &'static str,
    ink: Ink,
    width: f64,
    dashes: &'static str,
    quantiles: Vec<f64>,
}

/// The lines, from the back to the front.
const LINES: [(Contestant, &str, Ink, f64, &str); 7] = [
    (Contestant::Glibc, "glibc malloc", Ink::Gray, 2.0, ""),
    (Contestant::Jemalloc, "jemalloc", Ink::Purple, 2.0, "7 3"),
    (Contestant::Snmalloc, "snmalloc", Ink::Green, 2.0, "2 3"),
    (Contestant::Mimalloc, "mimalloc", Ink::Blue, 2.0, "10 3 2 3"),
    (Contestant::Hpalloc, "hpalloc, not prefaulted", Ink::OursFaint, 2.0, ""),
    (Contestant::HpallocPrefaulted, "hpalloc, prefaulted", Ink::Ours, 3.0, ""),
    (Contestant::HpallocHugePrefaulted, "hpalloc, prefaulted huge pages", Ink::Ours, 3.0, "6 3"),
];

/// Draws those of the lines that have all their figures.
pub(crate) fn chart(results: &Document) -> Result<Chart> {
    let table = results.table("latency", "ns")?;
    let line = |&(contestant, name, ink, width, dashes): &(Contestant, &'static str, Ink, f64, &'static str)| {
        let value = |quantile| table.value(contestant.title(), &quantile_title(quantile));
        let quantiles = QUANTILES.map(value).into_iter().collect::<Option<_>>()?;
        Some(Line { name, ink, width, dashes, quantiles })
    };
    let lines: Vec<Line> = LINES.iter().filter_map(line).collect();
    let measured = match results.table("run", "run")?.figure("rounds", "on") {
        None | Some("1") => "one round".to_owned(),
        Some(rounds) => format!("medians of {rounds} rounds"),
    };
    Ok(Chart {
        name: "latency",
        alt: describe(&lines),
        height: HEIGHT,
        draw: Box::new(move |picture| draw(picture, &lines, &measured)),
    })
}

fn describe(lines: &[Line]) -> String {
    let p999 = QUANTILES.iter().position(|&quantile| quantile >= 0.999).unwrap_or(0);
    // From the front, so that hpalloc comes first.
    let figures = lines.iter().rev().map(|line| {
        let last = line.quantiles.last().copied().unwrap_or(f64::NAN);
        format!("{} {} and {}", line.name, time(line.quantiles[p999]), time(last))
    });
    let medians = lines.iter().filter_map(|line| line.quantiles.first().copied());
    let (lowest, highest) =
        medians.fold((f64::INFINITY, 0.0_f64), |(low, high), median| (low.min(median), high.max(median)));
    format!(
        "Line chart of the latency of an allocation with the first write to it, from the median to the maximum, on a \
         logarithmic scale. The medians are {lowest:.0} to {highest:.0} ns. At the 99.9th percentile and at the \
         maximum: {}.",
        figures.collect::<Vec<_>>().join("; ")
    )
}

fn draw(picture: &mut Picture, lines: &[Line], measured: &str) {
    let highest = lines.iter().flat_map(|line| &line.quantiles).copied().fold(1e5, f64::max);
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
        &format!("4 million blocks of 64 bytes, one after the other; logarithmic scale; {measured}"),
    );
    for power in LOWEST..=highest {
        let ns = 10.0_f64.powi(power);
        picture.line(&[(LEFT, y(ns)), (RIGHT, y(ns))], Ink::Grid, 1.0, "");
        picture.text((LEFT - 8.0, y(ns)), &time(ns), SMALL, Ink::Muted, Anchor::End);
    }
    for (place, &quantile) in QUANTILES.iter().enumerate() {
        let title = match place {
            0 => "median".to_owned(),
            place if place + 1 == QUANTILES.len() => "maximum".to_owned(),
            _ => quantile_title(quantile),
        };
        picture.text((x(place), BOTTOM + 18.0), &title, SMALL, Ink::Muted, Anchor::Middle);
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    picture.text((middle, BOTTOM + 38.0), "percentile of all allocations", SMALL, Ink::Muted, Anchor::Middle);

    for line in lines {
        let points: Vec<_> = line.quantiles.iter().enumerate().map(|(place, &ns)| (x(place), y(ns))).collect();
        picture.line(&points, line.ink, line.width, line.dashes);
        for point in points {
            picture.dot(point, line.width, line.ink);
        }
    }
    let maximum = |line: &Line| line.quantiles.last().copied().unwrap_or(1.0);
    let mut labelled: Vec<_> = lines.iter().collect();
    labelled.sort_by(|a, b| maximum(b).total_cmp(&maximum(a)));
    let ends: Vec<_> = labelled.iter().map(|line| y(maximum(line))).collect();
    picture.text((LABELS, TOP - 8.0), "maximum", SMALL, Ink::Muted, Anchor::Start);
    for ((line, end), label) in labelled.iter().zip(&ends).zip(spread_out(&ends)) {
        picture.line(&[(RIGHT + 5.0, *end), (LABELS - 5.0, label)], line.ink, 1.0, "");
        let text = format!("{}  {}", time(maximum(line)), line.name);
        match line.ink {
            Ink::Ours => picture.bold((LABELS, label), &text, NORMAL, line.ink, Anchor::Start),
            Ink::OursFaint => picture.text((LABELS, label), &text, NORMAL, Ink::Ours, Anchor::Start),
            ink => picture.text((LABELS, label), &text, NORMAL, ink, Anchor::Start),
        }
    }
}

/// Moves places, which are sorted from the top, apart until labels there don't overlap.
/// Places that are too close become a group, which is centered on them.
fn spread_out(places: &[f64]) -> Vec<f64> {
    // The first place of each group after it is spread out, and the number of its
    // members.
    let mut groups: Vec<(f64, f64)> = Vec::new();
    for &place in places {
        let mut group = (place, 1.0);
        while let Some(&(before, count)) = groups.last() {
            if before + count * GAP <= group.0 {
                break;
            }
            groups.pop();
            // The first place with which the merged group is centered on its members.
            let first = (before * count + (group.0 - count * GAP) * group.1) / (count + group.1);
            group = (first.max(TOP + 12.0), count + group.1);
        }
        groups.push(group);
    }
    let mut spread = Vec::new();
    for (first, count) in groups {
        let mut place = first;
        while place < first + (count - 0.5) * GAP {
            spread.push(place);
            place += GAP;
        }
    }
    spread
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
