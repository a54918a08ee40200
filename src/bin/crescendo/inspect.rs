//! The command `inspect`: what a module consists of, in columns.

use std::io::{self, Write};
use std::process::ExitCode;

use crescendo::{Config, Engine, Module, Proposal, Result};

use crate::options::Inspect;
use crate::{module, output};

/// Prints a module's parts and sizes.
pub(crate) fn inspect(options: &Inspect) -> Result<ExitCode> {
    // Whatever the engine knows can be looked at.
    let mut config = Config::new();
    for proposal in Proposal::SUPPORTED {
        config.wasm_proposal(*proposal, true);
    }
    let module = module::load(&Engine::new(&config)?, &options.file)?;
    output::print(|out| {
        print_summary(out, &module)?;
        let imports = module.imports();
        let imports = imports.map(|i| [visible(i.module()), visible(i.name()), i.ty().to_string()]);
        print_table(out, "imports", imports.collect())?;
        let exports = module.exports().map(|e| [visible(e.name()), e.ty().to_string()]);
        print_table(out, "exports", exports.collect())?;
        let tags = module.tags().enumerate().map(|(index, ty)| [index.to_string(), ty.to_string()]);
        print_table(out, "tags", tags.collect())?;
        let sections = module.custom_sections();
        let sections = sections.map(|s| [visible(s.name()), format!("{} bytes", s.data().len())]);
        print_table(out, "custom sections", sections.collect())?;
        print_table(out, "names", names(&module, options.functions))?;
        if options.functions {
            print_table(out, "functions", functions(&module))?;
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print_summary(out: &mut dyn Write, module: &Module) -> io::Result<()> {
    let (mut imported, mut defined, mut named, mut code) = (0_usize, 0_usize, 0_usize, 0_usize);
    for func in module.functions() {
        named += usize::from(func.name().is_some());
        match func.body() {
            Some(body) => {
                defined += 1;
                code += body.len();
            }
            None => imported += 1,
        }
    }
    if let Some(name) = module.name() {
        writeln!(out, "name: {}", visible(name))?;
    }
    writeln!(out, "size: {} bytes, {code} of them code", module.bytes().len())?;
    writeln!(out, "functions: {imported} imported, {defined} defined, {named} with a name")
}

/// Index, size, type and name of each function.
fn functions(module: &Module) -> Vec<[String; 4]> {
    let row = |func: crescendo::ModuleFunction<'_>| {
        let size = match func.body() {
            Some(body) => format!("{} bytes", body.len()),
            None => "imported".to_owned(),
        };
        [func.index().to_string(), size, func.ty().to_string(), func.name().map(visible).unwrap_or_default()]
    };
    module.functions().map(row).collect()
}

/// What has a name beside functions, which have a table of their own. There are many locals, labels and fields: they come with
/// the functions.
fn names(module: &Module, all: bool) -> Vec<[String; 2]> {
    let shown = module.names().filter(|name| name.kind != "function" && (all || name.of.is_none()));
    let row = |name: crescendo::Name<'_>| {
        let index = name.of.map_or(String::new(), |of| format!("{of}."));
        [format!("{} {index}{}", name.kind, name.index), visible(name.text)]
    };
    shown.map(row).collect()
}

/// A name as it can be printed: modules may put anything into theirs, terminal sequences included.
fn visible(name: &str) -> String {
    name.escape_debug().to_string()
}

/// Prints rows under a title, each column as wide as its widest cell. Nothing for no rows.
fn print_table<const N: usize>(out: &mut dyn Write, title: &str, rows: Vec<[String; N]>) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}: {}", rows.len())?;
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("  {cell:width$}"));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a", "bcd", "x"], ["größe", "b", ""]].map(|row| row.map(str::to_owned));
        let mut out = Vec::new();
        print_table(&mut out, "rows", rows.to_vec()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\nrows: 2\n  a      bcd  x\n  größe  b\n");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(visible("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
    }
}
