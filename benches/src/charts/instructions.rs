//! The instructions of an allocation and of a free on a Cortex-M3, beside peers.

use tables::{Cells, Document};

use crate::Result;
use crate::charts::picture::{Anchor, Ink, NORMAL, Picture, SMALL};
use crate::charts::{Chart, allocator};

const TARGET: &str = "thumbv7m-none-eabi";
const TOP: f64 = 118.0;
const ROW: f64 = 30.0;
/// The titles of the panels and the positions of their left edges. All have the same
/// width.
const PANELS: [(&str, f64); 2] = [("to allocate", 206.0), ("to free", 532.0)];
const WIDTH: f64 = 238.0;
/// The scale: powers of ten from 1 on.
const DECADES: f64 = 4.3;

/// The instructions of an operation: the median or, for a pool, the common case; and the
/// maximum.
#[derive(Clone, Copy)]
struct Cost {
    common: f64,
    most: f64,
}

struct Row {
    name: String,
    is_ours: bool,
    costs: [Cost; PANELS.len()],
}

pub(crate) fn chart(targets: &Document) -> Result<Chart> {
    let pool = targets.table("instructions", "instructions")?;
    let classes = targets.table("heap instructions", "instructions")?;
    let worst = targets.table("heap worst case", "instructions")?;
    let peers = targets.table("heap peers", TARGET)?;
    let cost = |common: Option<f64>, most: Option<f64>| Some(Cost { common: common?, most: most? });
    let fixed = || {
        Some([
            cost(pool.value("allocate, from the free list: **maximum**", TARGET), most(&pool, "allocate"))?,
            cost(pool.value("deallocate: **maximum**", TARGET), most(&pool, "deallocate"))?,
        ])
    };
    // The median and the maximum over the programs. For hpalloc, the worst case replaces
    // the maximum.
    let any_size = |name: &str| {
        let costs = ["allocate", "deallocate"].map(|operation| {
            let seen = peers.value(name, &format!("{operation}: maximum"));
            let most = match name {
                "SizeClasses" => most(&classes, operation),
                "Heap" => most(&worst, &format!("64 KiB: {operation}")),
                _ => seen,
            };
            cost(peers.value(name, &format!("{operation}: median")), most)
        });
        Some([costs[0]?, costs[1]?])
    };
    let mut rows = Vec::new();
    if let Some(costs) = fixed() {
        let (name, is_ours) = allocator("Pool, FixedBlock");
        rows.push(Row { name, is_ours, costs });
    }
    for heap in peers.rows() {
        if let Some(costs) = any_size(heap) {
            let (name, is_ours) = allocator(heap);
            rows.push(Row { name, is_ours, costs });
        }
    }
    rows.sort_by(|a, b| a.costs[0].most.total_cmp(&b.costs[0].most));
    #[allow(clippy::cast_precision_loss, reason = "a few rows")]
    let bottom = TOP + rows.len() as f64 * ROW;
    Ok(Chart {
        name: "instructions",
        alt: describe(&rows),
        height: bottom + 52.0,
        draw: Box::new(move |picture| {
            picture.heading(
                "Instructions on a Cortex-M3",
                "Dot: median over 23 programs (SizeClasses: 20); of a pool: a free block. Bar, hpalloc: worst case found.",
            );
            picture.text(
                (12.0, 62.0),
                "Bar, others: most seen in these programs; their worst case may be higher. Heap: of 64 KiB. Log scale.",
                NORMAL,
                Ink::Muted,
                Anchor::Start,
            );
            for panel in 0..PANELS.len() {
                draw(picture, &rows, panel, bottom);
            }
        }),
    })
}

/// Returns the maximum over all rows for an operation. The name of such a row starts with
/// the operation, or has it after the kind of request.
fn most(table: &Cells<'_>, operation: &str) -> Option<f64> {
    let rows = table.rows().filter(|row| row.ends_with("**maximum**"));
    let rows = rows.filter(|row| row.starts_with(operation) || row.contains(&format!(": {operation}")));
    rows.filter_map(|row| table.value(row, TARGET)).reduce(f64::max)
}

fn describe(rows: &[Row]) -> String {
    let texts = rows.iter().map(|Row { name, is_ours, costs: [allocate, free] }| {
        let most = if *is_ours { "worst case found" } else { "most seen" };
        format!(
            "{name} {} to allocate ({most}: {}) and {} to free ({})",
            allocate.common, allocate.most, free.common, free.most
        )
    });
    let texts: Vec<_> = texts.collect();
    format!("Chart of the instructions per operation on a Cortex-M3: {}.", texts.join("; "))
}

fn draw(picture: &mut Picture, rows: &[Row], panel: usize, bottom: f64) {
    let (title, left) = PANELS[panel];
    let x = |count: f64| left + WIDTH * count.max(1.0).log10() / DECADES;
    picture.bold((left, TOP - 22.0), title, NORMAL, Ink::Text, Anchor::Start);
    for tick in [1.0, 10.0, 100.0, 1_000.0, 10_000.0] {
        picture.line(&[(x(tick), TOP), (x(tick), bottom)], Ink::Grid, 1.0, "");
        picture.text((x(tick), bottom + 14.0), &tick.to_string(), SMALL, Ink::Muted, Anchor::Middle);
    }
    let mut y = TOP + ROW / 2.0;
    for row in rows {
        let cost = row.costs[panel];
        let (common, most) = (x(cost.common), x(cost.most));
        let ink = if row.is_ours { Ink::Ours } else { Ink::Peer };
        if panel == 0 && row.is_ours {
            picture.bold((left - 10.0, y), &row.name, NORMAL, Ink::Ours, Anchor::End);
        } else if panel == 0 {
            picture.text((left - 10.0, y), &row.name, NORMAL, Ink::Text, Anchor::End);
        }
        picture.line(&[(common, y), (most, y)], ink, 3.0, "");
        picture.dot((common, y), 5.0, ink);
        picture.line(&[(most, y - 8.0), (most, y + 8.0)], ink, 3.0, "");
        picture.text((most + 8.0, y), &cost.most.to_string(), NORMAL, Ink::Text, Anchor::Start);
        if cost.common < cost.most && common - left > 30.0 {
            picture.text((common - 9.0, y), &cost.common.to_string(), NORMAL, Ink::Text, Anchor::End);
        }
        y += ROW;
    }
}
