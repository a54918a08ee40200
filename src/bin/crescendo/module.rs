//! Loading modules, and the commands `validate`, `disas` and `compile`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crescendo::{CompiledForm, Config, Engine, Error, Module, Result};

use crate::options::{Compile, Disas, Emit, Validate};
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
    let mut config = Config::new();
    options.proposals.apply(&mut config);
    load(&Engine::new(&config)?, &options.file)?;
    Ok(ExitCode::SUCCESS)
}

/// The command `disas`.
pub(crate) fn disassemble(options: &Disas) -> Result<ExitCode> {
    let module = load(&options.mode.engine()?, &options.file)?;
    list(&module, options.func.as_deref(), |func| module.disassemble(func))
}

/// The command `compile`.
pub(crate) fn compile(options: &Compile) -> Result<ExitCode> {
    let mut config = Config::new();
    config.signals_based_traps(!options.checked);
    options.proposals.apply(&mut config);
    let module = load(&Engine::new(&config)?, &options.file)?;
    let form = match options.emit {
        Emit::Clif => CompiledForm::Clif,
        Emit::Asm => CompiledForm::Asm,
    };
    list(&module, options.func.as_deref(), |func| module.compiled_text(func, form))
}

/// Prints the text of the function that the user names, or of all. A function without one does not hide the others.
fn list(module: &Module, func: Option<&str>, text: impl Fn(u32) -> Result<String>) -> Result<ExitCode> {
    if let Some(func) = func {
        let text = text(find_func(module, func)?)?;
        output::print(|out| out.write_all(text.as_bytes()))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::print(|out| {
        let defined = module.functions().filter(|func| func.body().is_some());
        for (position, func) in defined.enumerate() {
            if position > 0 {
                writeln!(out)?;
            }
            match text(func.index()) {
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
