use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use crate::Result;

/// What is measured of a program.
pub(crate) struct Program {
    /// Bytes of code and constants.
    pub(crate) code: u64,
    /// Its functions and their sizes in bytes.
    pub(crate) functions: Vec<(String, u64)>,
    /// Symbols that another library would have to define.
    pub(crate) undefined: Vec<String>,
    pub(crate) is_dynamic: bool,
}

pub(crate) fn read(path: &Path) -> Result<Program> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = object::File::parse(&*bytes)?;
    let code = file
        .sections()
        .filter(|section| matches!(section.kind(), SectionKind::Text | SectionKind::ReadOnlyData))
        .map(|section| section.size())
        .sum();
    let name = |symbol: &object::Symbol<'_, '_>| symbol.name().unwrap_or_default().to_owned();
    let symbols = || file.symbols().filter(|symbol| symbol.name().is_ok_and(|name| !name.is_empty()));
    Ok(Program {
        code,
        functions: symbols()
            .filter(|symbol| symbol.kind() == object::SymbolKind::Text)
            .map(|symbol| (name(&symbol), symbol.size()))
            .collect(),
        undefined: symbols().filter(ObjectSymbol::is_undefined).map(|symbol| name(&symbol)).collect(),
        is_dynamic: file.section_by_name(".dynamic").is_some() || file.section_by_name(".interp").is_some(),
    })
}

impl Program {
    /// The size of the one function whose name contains this.
    pub(crate) fn function(&self, part: &str) -> Result<u64> {
        let mut found = self.functions.iter().filter(|(name, _)| name.contains(part));
        match (found.next(), found.next()) {
            (Some((_, size)), None) => Ok(*size),
            (first, _) => {
                Err(format!("{} functions are called {part}", if first.is_some() { "two" } else { "no" }).into())
            }
        }
    }
}
