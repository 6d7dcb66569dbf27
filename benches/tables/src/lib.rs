//! Tables of figures in Markdown files: commands write them, CI compares them with what
//! it measures, and charts are drawn from them.
//!
//! A table is in a section between the lines `<!-- begin name -->` and `<!-- end name
//! -->`. The rest of the file is written by hand.

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
    /// Fails if the file can't be read.
    pub fn read(path: &'static str) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self { path, text })
    }

    /// Returns the whole text of the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the contents of a section.
    ///
    /// # Errors
    ///
    /// Fails if the file has no section of that name.
    pub fn section(&self, name: &str) -> Result<&str> {
        let (start, end) = self.bounds(name)?;
        Ok(&self.text[start..end])
    }

    /// Returns the table of a section whose first column has the heading `first`.
    ///
    /// # Errors
    ///
    /// Fails if the file has no such section, or the section no such table.
    pub fn table(&self, name: &str, first: &str) -> Result<Cells<'_>> {
        let lines = self.section(name)?.lines().map(cells);
        let mut rows = lines.skip_while(|cells| cells.first().is_none_or(|head| *head != first));
        let heads = rows.next().ok_or_else(|| {
            format!("{}: the section {name} has no table whose first heading is {first:?}", self.path)
        })?;
        // The line after the headings only draws a rule.
        Ok(Cells { heads, rows: rows.skip(1).take_while(|cells| !cells.is_empty()).collect() })
    }

    /// Replaces the contents of a section in memory. [`write`](Self::write) changes the
    /// file.
    ///
    /// # Errors
    ///
    /// Fails if the file has no section of that name.
    pub fn replace(&mut self, name: &str, contents: &str) -> Result<()> {
        let (start, end) = self.bounds(name)?;
        self.text.replace_range(start..end, &format!("\n\n{}\n\n", contents.trim()));
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// Fails if the file can't be written.
    pub fn write(&self) -> Result<()> {
        fs::write(self.path, &self.text).map_err(|error| format!("{}: {error}", self.path).into())
    }

    /// Checks that no figure of `table` is above the one in the same place of the
    /// section.
    ///
    /// # Errors
    ///
    /// Names the first row and column with a figure that is higher, or that the section
    /// doesn't have.
    pub fn no_growth(&self, name: &str, table: &str) -> Result<()> {
        self.no_growth_beyond(name, table, 0)
    }

    /// Checks that no figure of `table` is more than `percent` percent above the one in
    /// the same place of the section.
    ///
    /// # Errors
    ///
    /// Those of [`no_growth`](Self::no_growth).
    pub fn no_growth_beyond(&self, name: &str, table: &str, percent: u64) -> Result<()> {
        let path = self.path;
        let known: Vec<_> = rows(self.section(name)?).collect();
        for (row, figures) in rows(table) {
            let Some((_, before)) = known.iter().find(|(known, _)| *known == row) else {
                return Err(format!("{path} has no row {row:?}: write the table again to add it").into());
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

/// The cells of a table's line, or nothing if the line is not part of a table.
fn cells(line: &str) -> Vec<&str> {
    let line = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    line.map(|line| line.split('|').map(str::trim).collect()).unwrap_or_default()
}

/// The rows of a table: the first cell, and the whole numbers in the others.
fn rows(table: &str) -> impl Iterator<Item = (&str, Vec<Option<u64>>)> {
    table.lines().filter_map(|line| {
        let cells = cells(line);
        let (first, others) = cells.split_first()?;
        Some((*first, others.iter().map(|cell| cell.parse().ok()).collect()))
    })
}

/// A table that was read from a [`Document`].
#[derive(Debug)]
pub struct Cells<'a> {
    heads: Vec<&'a str>,
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Cells<'a> {
    /// Returns the headings of the columns after the first.
    pub fn columns(&self) -> impl Iterator<Item = &'a str> {
        self.heads.iter().skip(1).copied()
    }

    /// Returns the names of the rows.
    pub fn rows(&self) -> impl Iterator<Item = &'a str> {
        self.rows.iter().filter_map(|row| row.first().copied())
    }

    /// Returns the figure in a row and column, as it is written: the first word of the
    /// cell. `None` if there is no such cell, or no figure in it.
    #[must_use]
    pub fn figure(&self, row: &str, column: &str) -> Option<&'a str> {
        let column = self.heads.iter().position(|head| *head == column)?;
        let row = self.rows.iter().find(|cells| cells.first() == Some(&row))?;
        let figure = row.get(column)?.split_whitespace().next()?;
        figure.parse().is_ok_and(f64::is_finite).then_some(figure)
    }

    /// Returns the value of the figure in a row and column.
    #[must_use]
    pub fn value(&self, row: &str, column: &str) -> Option<f64> {
        self.figure(row, column)?.parse().ok()
    }
}

/// A table under construction: its first column is text, the others are figures.
#[derive(Debug)]
pub struct Table(String);

impl Table {
    /// Creates a table without rows.
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

    /// Returns the table in Markdown.
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
    fn a_table_is_found_by_its_first_heading_and_its_figures_by_name() {
        let mut document = document();
        let other = "text\n\n| m | x |\n|---|--:|\n| r | 1.5 (1.2–9) |\n| s | - |\n\n| o | x |\n|---|--:|\n| q | 2 |";
        document.replace("t", other).unwrap();
        let cells = document.table("t", "m").unwrap();
        assert_eq!(cells.rows().collect::<Vec<_>>(), ["r", "s"]);
        assert_eq!(cells.columns().collect::<Vec<_>>(), ["x"]);
        assert_eq!(cells.figure("r", "x"), Some("1.5"));
        assert_eq!(cells.value("r", "x"), Some(1.5));
        for (row, column) in [("s", "x"), ("q", "x"), ("r", "y")] {
            assert_eq!(cells.figure(row, column), None);
        }
        assert!(document.table("t", "p").unwrap_err().to_string().contains("no table whose first heading is \"p\""));
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
