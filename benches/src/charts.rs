//! The pictures of the figures.

use std::path::Path;

use clap::ValueEnum;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::contestant::{Contestant, Workload};
use crate::rounds::{Measurements, number};
use crate::workload::{QUANTILES, quantile_title};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "sans-serif";

/// hpalloc stands out; the floors, which are no allocators, stand back.
fn color(contestant: Contestant) -> RGBColor {
    match contestant {
        Contestant::Hpalloc
        | Contestant::HpallocHeap
        | Contestant::HpallocClasses
        | Contestant::HpallocHuge
        | Contestant::HpallocPrefaulted => RGBColor(217, 72, 15),
        Contestant::Seed => RGBColor(134, 142, 150),
        Contestant::FloorPointers
        | Contestant::FloorBulk
        | Contestant::FloorWrite
        | Contestant::FloorWritePrefaulted => RGBColor(206, 212, 218),
        _ if Contestant::MALLOCS.contains(&contestant) => RGBColor(51, 106, 171),
        _ => RGBColor(116, 184, 200),
    }
}

/// The height of a bar, and that of a panel without its bars.
const BAR: i32 = 15;
const PANEL: i32 = 40;

/// A panel of bars for each workload, the shortest on top.
pub(crate) fn workloads(measured: &Measurements, path: &Path) -> Result<()> {
    let panels = Workload::TIMED.map(|workload| (workload, medians(measured, workload)));
    let rows: Vec<_> = panels.chunks(2).collect();
    let height = |row: &[(Workload, Vec<_>)]| {
        let bars = row.iter().map(|(_, medians)| medians.len()).max().unwrap_or(0);
        (0..bars).fold(PANEL, |height, _| height + BAR)
    };
    let whole: i32 = rows.iter().map(|row| height(row)).sum();
    let root = SVGBackend::new(path, (1000, whole.cast_unsigned())).into_drawing_area();
    root.fill(&WHITE)?;
    let mut rest = root.clone();
    for row in rows {
        let (area, below) = rest.split_vertically(height(row));
        let (left, right) = area.split_horizontally(500);
        for ((workload, medians), panel) in row.iter().zip([left, right]) {
            bars(*workload, medians, &panel)?;
        }
        rest = below;
    }
    Ok(root.present()?)
}

/// Who takes part and the median, the lowest first.
fn medians(measured: &Measurements, workload: Workload) -> Vec<(Contestant, f64)> {
    let median = |&contestant: &Contestant| Some((contestant, measured.median(workload, contestant, 0)?));
    let mut medians: Vec<_> = Contestant::value_variants().iter().filter_map(median).collect();
    medians.sort_by(|a, b| a.1.total_cmp(&b.1));
    medians
}

#[allow(clippy::cast_possible_truncation, reason = "places in a picture")]
fn bars(workload: Workload, medians: &[(Contestant, f64)], panel: &Area<'_>) -> Result<()> {
    const LEFT: i32 = 210;
    const LENGTH: f64 = 220.0;

    // A bar much longer than malloc's is cut, so that the others can be compared.
    let longest = medians.last().map_or(0.0, |last| last.1);
    let malloc = medians.iter().find(|(contestant, _)| *contestant == Contestant::Glibc);
    let end = longest.min(1.5 * malloc.map_or(longest, |malloc| malloc.1));

    let text = |size: u32, horizontal| {
        (FONT, size).into_text_style(panel).color(&BLACK).pos(Pos::new(horizontal, VPos::Center))
    };
    panel.draw(&Text::new(format!("{}, ns", workload.title()), (LEFT, 14), text(15, HPos::Left)))?;
    for (place, &(contestant, median)) in (0..).zip(medians) {
        let top = 26 + place * BAR;
        let right = LEFT + (LENGTH * (median / end).min(1.0)) as i32;
        let bar = Rectangle::new([(LEFT, top + 2), (right, top + BAR - 2)], color(contestant).filled());
        panel.draw(&bar)?;
        if median > end {
            let cut = [(right - 12, top + BAR), (right - 6, top)];
            panel.draw(&PathElement::new(cut, WHITE.stroke_width(3)))?;
        }
        let middle = top + BAR / 2;
        panel.draw(&Text::new(contestant.title(), (LEFT - 6, middle), text(12, HPos::Right)))?;
        panel.draw(&Text::new(number(median), (right + 5, middle), text(12, HPos::Left)))?;
    }
    Ok(())
}

/// A line for each contestant: its latency over the quantiles.
pub(crate) fn latency(measured: &Measurements, path: &Path) -> Result<()> {
    use Contestant::{
        FloorWritePrefaulted, Glibc, Hpalloc, HpallocHuge, HpallocPrefaulted, Jemalloc, Mimalloc, Snmalloc,
    };
    const LINES: [(Contestant, RGBColor); 8] = [
        (Glibc, RGBColor(16, 48, 92)),
        (Mimalloc, RGBColor(51, 106, 171)),
        (Jemalloc, RGBColor(116, 152, 216)),
        (Snmalloc, RGBColor(116, 184, 200)),
        (Hpalloc, RGBColor(255, 192, 120)),
        (HpallocHuge, RGBColor(247, 130, 40)),
        (HpallocPrefaulted, RGBColor(217, 52, 15)),
        (FloorWritePrefaulted, RGBColor(160, 166, 172)),
    ];
    let root = SVGBackend::new(path, (1000, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("allocate and first write, one by one", (FONT, 15))
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(80)
        .build_cartesian_2d(0..QUANTILES.len() - 1, (10.0..1e8).log_scale())?;
    chart
        .configure_mesh()
        .x_labels(QUANTILES.len())
        .x_label_formatter(&|&place| quantile_title(QUANTILES[place]))
        .y_label_formatter(&|&value| time(value))
        .label_style((FONT, 12))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (contestant, color) in LINES {
        let points = (0..QUANTILES.len())
            .filter_map(|figure| Some((figure, measured.median(Workload::Latency, contestant, figure)?)));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(3)))?
            .label(contestant.title())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(TRANSPARENT)
        .label_font((FONT, 12))
        .draw()?;
    Ok(root.present()?)
}

/// A time in words.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns => (ns / 1e6, "ms"),
    };
    format!("{value:.0} {unit}")
}
