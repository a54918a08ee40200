//! Loading modules, and the commands `validate` and `disas`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crescendo::{Engine, Error, Module, Result};

use crate::options::{Disas, Validate};
use crate::output;

/// Reads a module, binary or text; errors name the file.
pub(crate) fn load(engine: &Engine, file: &Path) -> Result<Module> {
    Module::from_file(engine, file)
}

/// Reads a text file; errors name it.
pub(crate) fn read_text(file: &Path) -> Result<String> {
    let text = fs::read(file).map_err(Error::from).and_then(|bytes| Ok(String::from_utf8(bytes)?));
    text.map_err(|error| error.context(file.display()))
}

/// The command `validate`.
pub(crate) fn validate(options: &Validate) -> Result<ExitCode> {
    load(&Engine::default(), &options.file)?;
    Ok(ExitCode::SUCCESS)
}

/// The command `disas`. A function that cannot be translated does not hide the others.
pub(crate) fn disassemble(options: &Disas) -> Result<ExitCode> {
    let module = load(&options.mode.engine()?, &options.file)?;
    if let Some(func) = &options.func {
        let text = module.disassemble(find_func(&module, func)?)?;
        output::print(|out| out.write_all(text.as_bytes()))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::print(|out| {
        let defined = module.functions().filter(|func| func.body().is_some());
        for (position, func) in defined.enumerate() {
            if position > 0 {
                writeln!(out)?;
            }
            match module.disassemble(func.index()) {
                Ok(text) => out.write_all(text.as_bytes())?,
                Err(error) => writeln!(out, "function {}: {error:#}", func.index())?,
            }
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The index of the function that the user means.
fn find_func(module: &Module, name: &str) -> Result<u32> {
    if let Ok(index) = name.parse() {
        return Ok(index);
    }
    match module.functions().find(|func| func.name() == Some(name)) {
        Some(func) => Ok(func.index()),
        None => Err(Error::msg(format_args!(
            "no function is called `{name}` in the name section; a function's index works too"
        ))),
    }
}
