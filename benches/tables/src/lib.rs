//! Tables of figures in Markdown files, which a command writes and CI compares with what it measures.
//!
//! A table stands in a section between the lines `<!-- begin name -->` and `<!-- end name -->`; the rest of the file is
//! written by hand.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A Markdown file with sections.
#[derive(Debug)]
pub struct Document {
    path: &'static str,
    text: String,
}

impl Document {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// Where it can't be read.
    pub fn read(path: &'static str) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self { path, text })
    }

    /// All of the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the section holds.
    ///
    /// # Errors
    ///
    /// Where the file has no such section.
    pub fn section(&self, name: &str) -> Result<&str> {
        let (start, end) = self.bounds(name)?;
        Ok(&self.text[start..end])
    }

    /// Replaces what the section holds. The file is changed by [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// Where the file has no such section.
    pub fn replace(&mut self, name: &str, contents: &str) -> Result<()> {
        let (start, end) = self.bounds(name)?;
        self.text.replace_range(start..end, &format!("\n\n{}\n\n", contents.trim()));
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// Where it can't be written.
    pub fn write(&self) -> Result<()> {
        Ok(fs::write(self.path, &self.text)?)
    }

    /// Compares a table with the one in the section: each figure has to have one there in the same place, which is no
    /// lower.
    ///
    /// # Errors
    ///
    /// Names the row and the column where that isn't so.
    pub fn no_growth(&self, name: &str, table: &str) -> Result<()> {
        self.no_growth_beyond(name, table, 0)
    }

    /// The same, but figures may be above those of the section by so many percent.
    ///
    /// # Errors
    ///
    /// Those of [`no_growth`](Self::no_growth).
    pub fn no_growth_beyond(&self, name: &str, table: &str, percent: u64) -> Result<()> {
        let path = self.path;
        let known: Vec<_> = rows(self.section(name)?).collect();
        for (row, figures) in rows(table) {
            let Some((_, before)) = known.iter().find(|(known, _)| *known == row) else {
                return Err(format!("{path} has no row {row:?}: write it down first").into());
            };
            for (column, figure) in figures.iter().enumerate() {
                let Some(figure) = figure else { continue };
                let place = format!("{row}, column {}", column + 1);
                match before.get(column).copied().flatten() {
                    Some(before) if before * (100 + percent) / 100 >= *figure => {}
                    Some(before) => return Err(format!("{place}: {figure} is above the {before} in {path}").into()),
                    None => return Err(format!("{place}: {path} has no figure there").into()),
                }
            }
        }
        Ok(())
    }

    fn bounds(&self, name: &str) -> Result<(usize, usize)> {
        let (begin, end) = (format!("<!-- begin {name} -->"), format!("<!-- end {name} -->"));
        let missing = || format!("{} has no section {name}", self.path);
        let start = self.text.find(&begin).ok_or_else(missing)? + begin.len();
        let length = self.text[start..].find(&end).ok_or_else(missing)?;
        Ok((start, start + length))
    }
}

/// The rows of a table: the first cell, and the numbers in the others.
fn rows(table: &str) -> impl Iterator<Item = (&str, Vec<Option<u64>>)> {
    table.lines().filter_map(|line| {
        let mut cells = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
        let first = cells.next()?;
        Some((first, cells.map(|cell| cell.parse().ok()).collect()))
    })
}

/// A table that is being made: the first column is text, the others are figures.
#[derive(Debug)]
pub struct Table(String);

impl Table {
    /// A table of no rows.
    #[must_use]
    pub fn new(first: &str, columns: &[&str]) -> Self {
        Self(format!("| {first} | {} |\n|---|{}\n", columns.join(" | "), "---:|".repeat(columns.len())))
    }

    /// Adds a row.
    pub fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        let _ = write!(self.0, "| {name} |");
        for cell in cells {
            let _ = write!(self.0, " {cell} |");
        }
        self.0.push('\n');
    }

    /// The table in Markdown.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Document, Table};

    fn document() -> Document {
        let text = "a\n<!-- begin t -->\n\n| n | x | y |\n|---|--:|--:|\n| r | 5 | - |\n\n<!-- end t -->\nz\n";
        Document { path: "test.md", text: text.to_owned() }
    }

    fn table(row: &str, cells: [&str; 2]) -> String {
        let mut table = Table::new("n", &["x", "y"]);
        table.row(row, cells.map(str::to_owned));
        table.into_text()
    }

    #[test]
    fn sections_are_replaced_between_their_markers() {
        let mut document = document();
        document.replace("t", "new").unwrap();
        assert_eq!(document.text(), "a\n<!-- begin t -->\n\nnew\n\n<!-- end t -->\nz\n");
        assert!(document.replace("u", "new").unwrap_err().to_string().contains("no section u"));
    }

    #[test]
    fn figures_may_fall_but_not_grow() {
        let document = document();
        let error = |row, cells| document.no_growth("t", &table(row, cells)).unwrap_err().to_string();
        document.no_growth("t", &table("r", ["5", "-"])).unwrap();
        document.no_growth("t", &table("r", ["4", "-"])).unwrap();
        assert!(error("r", ["6", "-"]).contains("r, column 1: 6 is above the 5"));
        document.no_growth_beyond("t", &table("r", ["6", "-"]), 20).unwrap();
        assert!(document.no_growth_beyond("t", &table("r", ["7", "-"]), 20).is_err());
        assert!(error("r", ["5", "1"]).contains("r, column 2: test.md has no figure"));
        assert!(error("s", ["5", "-"]).contains("no row \"s\""));
    }
}
