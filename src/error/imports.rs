//! What an error says about imports that cannot be satisfied.

use crate::ExternType;
use std::fmt;

/// An import that nothing defines.
#[derive(Clone, Debug)]
pub struct UnknownImport {
    module: Box<str>,
    name: Box<str>,
    ty: ExternType,
}

impl UnknownImport {
    /// The import `module.name`, which has to have the type `ty`.
    pub(crate) fn new(module: &str, name: &str, ty: ExternType) -> UnknownImport {
        UnknownImport { module: module.into(), name: name.into(), ty }
    }

    /// The first of the import's two names.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The second of the import's two names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type that a definition would need.
    pub fn ty(&self) -> &ExternType {
        &self.ty
    }

    fn printed_name(&self) -> ImportName<'_> {
        ImportName(&self.module, &self.name)
    }
}

/// The two names of an import as messages print them; a module may use any characters.
struct ImportName<'a>(&'a str, &'a str);

impl fmt::Display for ImportName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}::{}`", self.0.escape_debug(), self.1.escape_debug())
    }
}

/// An import whose definition has a type that does not fit.
#[derive(Clone, Debug)]
pub struct IncompatibleImport {
    module: Box<str>,
    name: Box<str>,
    expected: ExternType,
    found: ExternType,
}

impl IncompatibleImport {
    /// The import `module.name`, which has to have the type `expected` and was given something of the type `found`.
    pub(super) fn new(
        module: &str,
        name: &str,
        expected: ExternType,
        found: ExternType,
    ) -> IncompatibleImport {
        IncompatibleImport { module: module.into(), name: name.into(), expected, found }
    }

    /// The first of the import's two names.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The second of the import's two names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type that the module asks for.
    pub fn expected(&self) -> &ExternType {
        &self.expected
    }

    /// The type of what was given to it; for memories and tables, with the present size as the minimum.
    pub fn found(&self) -> &ExternType {
        &self.found
    }
}

impl fmt::Display for IncompatibleImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ImportName(&self.module, &self.name);
        write!(f, "incompatible import type for {name}: expected {}, found {}", self.expected, self.found)
    }
}

/// Prints one unknown import on the line, several on lines of their own.
pub(super) fn fmt_unknown(imports: &[UnknownImport], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match imports {
        [import] => write!(f, "unknown import: {} {}", import.printed_name(), import.ty),
        imports => {
            write!(f, "{} unknown imports:", imports.len())?;
            for import in imports {
                write!(f, "\n  {} {}", import.printed_name(), import.ty)?;
            }
            Ok(())
        }
    }
}
