//! The charts in `benches/charts`, drawn from the tables of results.
//!
//! Nothing is measured here. So a chart can be drawn again at any time, and CI can check
//! that the committed ones match the tables.

use std::path::Path;

use tables::Document;

use crate::Result;
use crate::charts::picture::{Picture, SCHEMES};

// A module uses only those above it.
mod picture;
mod latency;
mod memory;
mod instructions;

/// The folder of the charts.
pub(crate) const FOLDER: &str = "benches/charts";

/// A chart that is ready to be drawn in either color scheme.
pub(crate) struct Chart {
    /// The beginning of the names of its files.
    name: &'static str,
    /// The text for those who can't see it, with the key figures.
    alt: String,
    height: f64,
    draw: Box<dyn Fn(&mut Picture)>,
}

impl Chart {
    /// Writes the chart to a folder, in each color scheme.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for scheme in &SCHEMES {
            let mut picture = Picture::new(scheme, self.height, &self.alt);
            (self.draw)(&mut picture);
            let path = folder.join(format!("{}-{}.svg", self.name, scheme.name));
            picture.save(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// Writes the HTML that shows the chart to the document's section `chart NAME`, if
    /// the document has one. `folder` leads from the document to the charts.
    pub(crate) fn refer(&self, document: &mut Document, folder: &str) -> Result<()> {
        let section = format!("chart {}", self.name);
        if document.section(&section).is_err() {
            return Ok(());
        }
        let file = format!("{folder}/{}", self.name);
        document.replace(
            &section,
            &format!(
                "<picture><source media=\"(prefers-color-scheme: dark)\" srcset=\"{file}-dark.svg\">\
                 <img alt=\"{}\" src=\"{file}-light.svg\"></picture>",
                self.alt
            ),
        )
    }
}

/// Returns the name of an allocator as all charts write it, and `true` if the allocator
/// is one of hpalloc's.
fn allocator(name: &str) -> (String, bool) {
    let is_ours = ["Heap", "Pool", "SizeClasses"].iter().any(|ours| name.starts_with(ours));
    (if is_ours { format!("hpalloc {name}") } else { name.to_owned() }, is_ours)
}

/// Returns all charts, with the figures of `benches/RESULTS.md`,
/// `benches/memory/RESULTS.md` and `targets/README.md`.
pub(crate) fn all(results: &Document, memory: &Document, targets: &Document) -> Result<[Chart; 3]> {
    Ok([latency::chart(results)?, memory::chart(memory)?, instructions::chart(targets)?])
}
