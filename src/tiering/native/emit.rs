//! What the compiler makes of a function, as text.

use super::engine::compiler_options;
use crate::error::{Error, Result, arguments};
use crate::module::Module;
use crescendo_jit::{Compiler, Entry, Request, Scratch, Support, UnknownCallees};

/// A form of a compiled function; see [`Module::compiled_text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompiledForm {
    /// Cranelift's intermediate representation, before it is optimised.
    Clif,
    /// Machine code of the machine that this runs on.
    Asm,
}

impl Module {
    /// What the compiler makes of a function, for reading only: the form changes with every version. Nothing is installed.
    ///
    /// # Errors
    ///
    /// When the module defines no such function, its body is not valid, or it cannot be compiled.
    pub fn compiled_text(&self, func_index: u32, form: CompiledForm) -> Result<String> {
        let Some(func) = self.info().defined_func(crescendo_module::FuncIdx::new(func_index)) else {
            return Err(arguments!("the module defines no function {func_index}"));
        };
        let config = self.engine().config();
        self.engine().with_scratch(|scratch| {
            self.info().validate_body(self.bytes(), func, &mut scratch.validator).map_err(Error::from)
        })?;
        let options = compiler_options(config, Support::default());
        let request = Request {
            opt_level: crescendo_jit::OptLevel::Speed,
            info: self.info(),
            bytes: self.bytes(),
            offsets: self.offsets(),
            func,
            variant: self.usual_variant(),
            entry: Entry::Call,
            callees: &UnknownCallees,
        };
        let compiler = Compiler::new(options).map_err(Error::host)?;
        let mut scratch = Scratch::new();
        let text = match form {
            CompiledForm::Clif => compiler.clif(&mut scratch, &request),
            CompiledForm::Asm => compiler.assembly(&mut scratch, &request),
        };
        text.map_err(Error::host)
    }
}
