use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use crate::Result;

/// The measured properties of a program.
pub(crate) struct Program {
    /// The number of bytes of code and constants.
    pub(crate) size: u64,
    pub(crate) functions: Vec<Function>,
    /// The symbols that another library must define.
    pub(crate) undefined: Vec<String>,
    pub(crate) is_dynamic: bool,
}

pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) address: u64,
    pub(crate) code: Vec<u8>,
}

pub(crate) fn read(path: &Path) -> Result<Program> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = object::File::parse(&*bytes)?;
    let size = file
        .sections()
        .filter(|section| matches!(section.kind(), SectionKind::Text | SectionKind::ReadOnlyData))
        .map(|section| section.size())
        .sum();
    let symbols = || file.symbols().filter(|symbol| symbol.name().is_ok_and(|name| !name.is_empty()));
    let name = |symbol: &object::Symbol<'_, '_>| symbol.name().unwrap_or_default().to_owned();
    let is_arm = file.architecture() == object::Architecture::Arm;
    let function = |symbol: object::Symbol<'_, '_>| {
        // The lowest bit of an address marks Thumb code.
        let address = if is_arm { symbol.address() & !1 } else { symbol.address() };
        let section = file.section_by_index(symbol.section_index()?).ok()?;
        let code = section.data_range(address, symbol.size()).ok()??;
        Some(Function { name: name(&symbol), address, code: code.to_owned() })
    };
    Ok(Program {
        size,
        functions: symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text).filter_map(function).collect(),
        undefined: symbols().filter(ObjectSymbol::is_undefined).map(|symbol| name(&symbol)).collect(),
        is_dynamic: file.section_by_name(".dynamic").is_some() || file.section_by_name(".interp").is_some(),
    })
}

impl Program {
    /// Returns the function whose name contains `part`.
    ///
    /// # Errors
    ///
    /// If no function or several functions have such a name.
    pub(crate) fn function(&self, part: &str) -> Result<&Function> {
        let mut found = self.functions.iter().filter(|function| function.name.contains(part));
        match (found.next(), found.next()) {
            (Some(function), None) => Ok(function),
            (first, _) => Err(format!(
                "{} has {part} in its name",
                if first.is_some() { "more than one function" } else { "no function" }
            )
            .into()),
        }
    }
}
