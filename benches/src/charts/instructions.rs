//! What allocators cost on a Cortex-M3: instructions, and bytes of code.

use tables::{Cells, Document};

use crate::Result;
use crate::charts::Chart;
use crate::charts::picture::{Anchor, Ink, NORMAL, Picture, SMALL};

const TARGET: &str = "thumbv7m-none-eabi";
const TOP: f64 = 96.0;
const ROW: f64 = 30.0;
const HEIGHT: f64 = 350.0;
/// The scale of the instructions, in powers of ten, and where it begins and ends.
const DECADES: f64 = 3.0;
const LEFT: f64 = 176.0;
const RIGHT: f64 = 426.0;
/// Where the bars of the code begin, and the longest.
const CODE: f64 = 638.0;
const LENGTH: f64 = 138.0;

/// The instructions of an operation: in the common case, and at most.
struct Operation {
    name: &'static str,
    common: f64,
    worst: f64,
}

/// The rows of the table of code: the name in the chart, and whether it is hpalloc's.
const PROGRAMS: [(&str, &str, bool); 7] = [
    ("program with `heapless`", "heapless box_pool", false),
    ("program with hpalloc", "FixedBlock", true),
    ("program with `buddy_system_allocator`", "buddy_system_allocator", false),
    ("program with `rlsf`", "rlsf", false),
    ("program with `linked_list_allocator`", "linked_list_allocator", false),
    ("program with hpalloc's `SizeClasses`", "SizeClasses", true),
    ("program with hpalloc's `Heap`", "Heap", true),
];

pub(crate) fn chart(targets: &Document) -> Result<Chart> {
    let pool = targets.table("instructions", "instructions")?;
    let classes = targets.table("heap instructions", "instructions")?;
    let worst = targets.table("heap worst case", "instructions")?;
    let traces = targets.table("heap traces", "instructions")?;
    let operation = |name, common: Option<f64>, worst: Option<f64>| {
        let (common, worst) = (common?, worst?);
        Some(Operation { name, common, worst })
    };
    let operations: Vec<_> = [
        operation(
            "FixedBlock: allocate",
            pool.value("allocate, from the free list: **maximum**", TARGET),
            most(&pool, "allocate"),
        ),
        operation("free", pool.value("deallocate: **maximum**", TARGET), most(&pool, "deallocate")),
        operation(
            "SizeClasses: allocate",
            classes.value("small: allocate, from the free list: **maximum**", TARGET),
            most(&classes, "allocate"),
        ),
        operation("free", classes.value("small: deallocate: **maximum**", TARGET), most(&classes, "deallocate")),
        operation(
            "Heap of 64 KiB: allocate",
            traces.value("64 KiB: allocate: median", TARGET),
            most(&worst, "64 KiB: allocate"),
        ),
        operation("free", traces.value("64 KiB: deallocate: median", TARGET), most(&worst, "64 KiB: deallocate")),
    ]
    .into_iter()
    .flatten()
    .collect();

    let footprint = targets.table("footprint", "bytes")?;
    let code =
        |&(row, name, is_ours): &(&str, &'static str, bool)| Some((name, is_ours, footprint.value(row, TARGET)?));
    let mut programs: Vec<_> = PROGRAMS.iter().filter_map(code).collect();
    programs.sort_by(|a, b| a.2.total_cmp(&b.2));
    Ok(Chart {
        name: "instructions",
        alt: describe(&operations, &programs),
        height: HEIGHT,
        draw: Box::new(move |picture| {
            picture.heading(
                "What an operation costs on a Cortex-M3",
                "Exact counts. For Heap: the median over 23 programs, and the worst state that a search has found.",
            );
            draw_instructions(picture, &operations);
            draw_code(picture, &programs);
        }),
    })
}

/// The most instructions of all rows for an operation: those named so, by itself or after
/// a kind of request.
fn most(table: &Cells<'_>, operation: &str) -> Option<f64> {
    let rows = table.rows().filter(|row| row.ends_with("**maximum**"));
    let rows = rows.filter(|row| row.starts_with(operation) || row.contains(&format!(": {operation}")));
    rows.filter_map(|row| table.value(row, TARGET)).reduce(f64::max)
}

fn describe(operations: &[Operation], programs: &[(&str, bool, f64)]) -> String {
    let mut subject = "";
    let costs = operations.iter().map(|operation| {
        let (this, what) = operation.name.split_once(": ").unwrap_or((subject, operation.name));
        subject = this;
        format!("{subject} {} to {what}, at most {}", operation.common, operation.worst)
    });
    let costs: Vec<_> = costs.collect();
    let bytes = programs.iter().map(|(name, _, bytes)| format!("{name} {bytes}"));
    format!(
        "Two charts for a Cortex-M3. Instructions in the common case and in the worst: {}. Bytes of code of a program \
         with one allocator: {}.",
        costs.join("; "),
        bytes.collect::<Vec<_>>().join("; ")
    )
}

fn draw_instructions(picture: &mut Picture, operations: &[Operation]) {
    let x = |count: f64| LEFT + (RIGHT - LEFT) * count.max(1.0).log10() / DECADES;
    #[allow(clippy::cast_precision_loss, reason = "a few rows")]
    let bottom = TOP + operations.len() as f64 * ROW;
    picture.bold((LEFT, TOP - 18.0), "instructions, log scale", NORMAL, Ink::Text, Anchor::Start);
    for tick in [1.0, 10.0, 100.0, 1000.0] {
        picture.line(&[(x(tick), TOP), (x(tick), bottom)], Ink::Grid, 1.0, "");
        picture.text((x(tick), bottom + 13.0), &tick.to_string(), SMALL, Ink::Muted, Anchor::Middle);
    }
    let mut y = TOP + ROW / 2.0;
    for operation in operations {
        let (common, worst) = (x(operation.common), x(operation.worst));
        picture.text((LEFT - 10.0, y), operation.name, NORMAL, Ink::Text, Anchor::End);
        picture.line(&[(common, y), (worst, y)], Ink::Ours, 3.0, "");
        picture.dot((common, y), 5.0, Ink::Ours);
        picture.line(&[(worst, y - 8.0), (worst, y + 8.0)], Ink::Ours, 3.0, "");
        let label = operation.worst.to_string();
        picture.bold((worst + 10.0, y), &label, NORMAL, Ink::Text, Anchor::Start);
        if operation.worst > operation.common {
            let label = operation.common.to_string();
            picture.text((common - 10.0, y), &label, NORMAL, Ink::Text, Anchor::End);
        }
        y += ROW;
    }
    let legend = bottom + 40.0;
    picture.dot((LEFT + 5.0, legend), 5.0, Ink::Ours);
    picture.text((LEFT + 16.0, legend), "common case", SMALL, Ink::Muted, Anchor::Start);
    picture.line(&[(LEFT + 118.0, legend - 8.0), (LEFT + 118.0, legend + 8.0)], Ink::Ours, 3.0, "");
    picture.text((LEFT + 126.0, legend), "worst case", SMALL, Ink::Muted, Anchor::Start);
}

fn draw_code(picture: &mut Picture, programs: &[(&str, bool, f64)]) {
    let longest = programs.iter().map(|program| program.2).fold(1.0, f64::max);
    #[allow(clippy::cast_precision_loss, reason = "a few rows")]
    let row = 6.0 * ROW / programs.len().max(1) as f64;
    picture.bold((CODE, TOP - 18.0), "bytes of code", NORMAL, Ink::Text, Anchor::Start);
    let mut y = TOP + row / 2.0;
    for &(name, is_ours, bytes) in programs {
        let ink = if is_ours { Ink::Ours } else { Ink::Peer };
        let length = bytes / longest * LENGTH;
        picture.rectangle((CODE, y - 8.0), (length, 16.0), ink);
        if is_ours {
            picture.bold((CODE - 10.0, y), name, NORMAL, Ink::Ours, Anchor::End);
        } else {
            picture.text((CODE - 10.0, y), name, NORMAL, Ink::Text, Anchor::End);
        }
        picture.text((CODE + length + 6.0, y), &bytes.to_string(), NORMAL, Ink::Text, Anchor::Start);
        y += row;
    }
    let note = TOP + 6.0 * ROW + 13.0;
    picture.text((CODE + 20.0, note), "of a program with one of these", SMALL, Ink::Muted, Anchor::Middle);
}
