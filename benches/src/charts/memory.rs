//! The memory that programs need with each heap, divided by their live bytes.

use tables::{Cells, Document};

use crate::Result;
use crate::charts::picture::{Anchor, Ink, NORMAL, Picture, SMALL};
use crate::charts::{Chart, allocator};

/// The two word sizes: the section of the tables, the title, and the left edge of the
/// panel.
const PANELS: [(&str, &str, f64); 2] = [("memory-64", "64-bit", 206.0), ("memory-32", "32-bit", 528.0)];
/// The longest bar, and the ratio that it stands for. A longer one ends in an arrow.
const LENGTH: f64 = 168.0;
const LONGEST: f64 = 2.5;
/// The end of the column of the worst traces, right of the beginning of the bars.
const WORST: f64 = 284.0;
const TOP: f64 = 94.0;
const ROW: f64 = 25.0;

/// The memory that a heap needs on average, and in the worst trace.
#[derive(Clone, Copy)]
struct Need {
    mean: f64,
    worst: f64,
}

/// The needs of a heap in each panel.
struct Bar {
    heap: String,
    needs: [Option<Need>; PANELS.len()],
}

pub(crate) fn chart(memory: &Document) -> Result<Chart> {
    let mut bars: Vec<Bar> = Vec::new();
    for (panel, (section, ..)) in PANELS.iter().enumerate() {
        let means = memory.table(section, "over the best peer of each trace")?;
        let traces = memory.table(section, "trace")?;
        // The linked list of `embedded-alloc` is `linked_list_allocator`.
        for heap in means.rows().filter(|&heap| heap != "embedded-alloc list") {
            let Some(mean) = means.value(heap, "mean over live bytes") else { continue };
            let need = Need { mean, worst: worst(&traces, heap).unwrap_or(mean) };
            let place = bars.iter().position(|bar| bar.heap == heap).unwrap_or_else(|| {
                bars.push(Bar { heap: heap.to_owned(), needs: [None; PANELS.len()] });
                bars.len() - 1
            });
            bars[place].needs[panel] = Some(need);
        }
    }
    let first = |bar: &Bar| bar.needs.iter().flatten().next().map_or(f64::INFINITY, |need| need.mean);
    bars.sort_by(|a, b| first(a).total_cmp(&first(b)));
    let traces = memory.table(PANELS[0].0, "trace")?.rows().count();
    #[allow(clippy::cast_precision_loss, reason = "a few bars")]
    let height = TOP + bars.len() as f64 * ROW + 30.0;
    Ok(Chart {
        name: "memory",
        alt: describe(&bars, traces),
        height,
        draw: Box::new(move |picture| draw(picture, &bars, traces)),
    })
}

/// The need of the heap in its worst trace, over the trace's live bytes.
fn worst(traces: &Cells<'_>, heap: &str) -> Option<f64> {
    let need = |trace| {
        let figure = |column| traces.value(trace, column);
        Some(figure(heap)? * figure("best peer, KiB")? / figure("live, KiB")?)
    };
    traces.rows().filter_map(need).reduce(f64::max)
}

fn describe(bars: &[Bar], traces: usize) -> String {
    let figures = bars.iter().map(|bar| {
        let means = bar.needs.iter().flatten().map(|need| format!("{:.2}", need.mean));
        format!("{} {}", allocator(&bar.heap).0, means.collect::<Vec<_>>().join(" and "))
    });
    format!(
        "Bar chart of the memory that programs need over the bytes that they have live, as the geometric mean of \
         {traces} traces on 64 and on 32 bits: {}.",
        figures.collect::<Vec<_>>().join("; ")
    )
}

fn draw(picture: &mut Picture, bars: &[Bar], traces: usize) {
    picture.heading(
        "Memory that a program needs, relative to its live bytes",
        &format!(
            "Bars: geometric mean over {traces} traces of programs. 1× is the live bytes alone, without any overhead. \
             An arrow: beyond {LONGEST}×."
        ),
    );
    let x = |ratio: f64| (ratio.min(LONGEST) - 1.0) / (LONGEST - 1.0) * LENGTH;
    #[allow(clippy::cast_precision_loss, reason = "a few bars")]
    let bottom = TOP + bars.len() as f64 * ROW;
    for (_, title, left) in PANELS {
        picture.bold((left, TOP - 18.0), title, NORMAL, Ink::Text, Anchor::Start);
        picture.text((left + WORST, TOP - 18.0), "worst trace", SMALL, Ink::Muted, Anchor::End);
        picture.line(&[(left - 1.0, TOP), (left - 1.0, bottom)], Ink::Muted, 1.0, "");
        picture.text((left, bottom + 13.0), "1×", SMALL, Ink::Muted, Anchor::Middle);
    }
    let mut middle = TOP + ROW / 2.0;
    for bar in bars {
        let (name, is_ours) = allocator(&bar.heap);
        let ink = match bar.heap.as_str() {
            "Heap" => Ink::Ours,
            _ if is_ours => Ink::OursFaint,
            _ => Ink::Peer,
        };
        let at = (PANELS[0].2 - 10.0, middle);
        if is_ours {
            picture.bold(at, &name, NORMAL, Ink::Ours, Anchor::End);
        } else {
            picture.text(at, &name, NORMAL, Ink::Text, Anchor::End);
        }
        for (need, (_, _, left)) in bar.needs.iter().zip(PANELS) {
            let Some(need) = need else { continue };
            picture.rectangle((left, middle - 8.0), (x(need.mean), 16.0), ink);
            let mut end = left + x(need.mean);
            if need.mean > LONGEST {
                let tip = end + 13.0;
                picture.polygon(&[(end, middle - 12.0), (tip, middle), (end, middle + 12.0)], ink);
                end = tip;
            }
            let mean = format!("{:.2}×", need.mean);
            picture.bold((end + 6.0, middle), &mean, NORMAL, Ink::Text, Anchor::Start);
            let worst = format!("{:.1}×", need.worst);
            picture.text((left + WORST, middle), &worst, NORMAL, Ink::Muted, Anchor::End);
        }
        middle += ROW;
    }
}
