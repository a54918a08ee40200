//! Whom a function calls.

use super::{ModuleEnv, TranslateError};
use crescendo_module::{DefinedFuncIdx, FuncIdx};
use crescendo_semantics::body::{Brief, Operators};

/// The module's own functions that a function calls directly, in the order of its operators, as often as it has such operators and
/// until `found` says `false`.
///
/// # Errors
/// When the body cannot be read, which validation rules out.
pub fn direct_callees(
    env: &ModuleEnv<'_>,
    func: DefinedFuncIdx,
    mut found: impl FnMut(DefinedFuncIdx) -> bool,
) -> Result<(), TranslateError> {
    let malformed = |error: wasmparser::BinaryReaderError| TranslateError::Invalid {
        offset: error.offset() as usize,
        message: error.message().to_string(),
    };
    let mut operators = Operators::new(&env.info.func_body(env.bytes, func)).map_err(malformed)?;
    while !operators.eof() {
        if let Brief::Call(callee) = operators.brief().map_err(malformed)?
            && let Some(callee) = env.info.defined_func(FuncIdx::new(callee))
            && !found(callee)
        {
            break;
        }
    }
    Ok(())
}
