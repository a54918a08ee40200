//! Turns what went wrong into the error that is reported, and names the proposal behind it.
//!
//! wasmparser marks most errors about a missing feature with that feature. Where it does not (a second memory without
//! multi-memory, say) the faulty part is validated again with one more feature at a time: a feature that makes the error go
//! away, or come later, is what the module needs. This runs on errors only and reads at most one body.

use crate::{DefinedFuncIdx, ModuleError, ModuleErrorKind, ModuleInfo, Proposal};
use wasmparser::{Parser, ValidPayload, Validator, WasmFeatures};

/// What stopped parsing or validation.
pub(crate) enum Fault {
    /// wasmparser found something wrong.
    Parser(wasmparser::Error),
    /// We did.
    Own(ModuleError),
}

impl Fault {
    pub(crate) fn offset(&self) -> usize {
        match self {
            Fault::Parser(error) => crate::index::offset(error.offset()),
            Fault::Own(error) => error.offset(),
        }
    }
}

impl From<wasmparser::Error> for Fault {
    fn from(error: wasmparser::Error) -> Fault {
        Fault::Parser(error)
    }
}

impl From<ModuleError> for Fault {
    fn from(error: ModuleError) -> Fault {
        Fault::Own(error)
    }
}

impl ModuleInfo {
    /// The error to report for a fault, in the body of `func` if it is in one.
    pub(crate) fn explain(&self, fault: Fault, bytes: &[u8], func: Option<DefinedFuncIdx>) -> ModuleError {
        let error = match fault {
            Fault::Own(error) => error,
            Fault::Parser(error) => {
                let offset = crate::index::offset(error.offset());
                let missing = error.missing_wasm_feature().and_then(Proposal::of_feature);
                match missing.or_else(|| missing_proposal(&error, bytes, self.features, func)) {
                    Some(proposal) => {
                        let message = format!("{}: {}", proposal.refusal(), error.message());
                        ModuleError::new(ModuleErrorKind::Proposal(proposal), message, offset)
                    }
                    None => ModuleError::invalid(error.message(), offset),
                }
            }
        };
        match func.map(|func| self.func_idx(func)).or(error.function()) {
            Some(func) => error.in_function(func, self.names(bytes).function(func)),
            None => error,
        }
    }
}

/// Finds the proposal whose absence is behind an error that does not say so.
fn missing_proposal(
    error: &wasmparser::Error,
    bytes: &[u8],
    features: WasmFeatures,
    body: Option<DefinedFuncIdx>,
) -> Option<Proposal> {
    // Of the proposals that are never supported, only GC changes how valid types and subtypes are read without a mark.
    let candidates = Proposal::SUPPORTED.iter().chain(&[Proposal::Gc]).copied();
    candidates.filter(|proposal| !features.contains(proposal.feature())).find(|proposal| {
        match first_error(bytes, features | proposal.feature(), body) {
            Some(offset) => offset > error.offset(),
            None => true,
        }
    })
}

/// Where the first error is when the module is validated with these features, all bodies but one left out.
fn first_error(bytes: &[u8], features: WasmFeatures, body: Option<DefinedFuncIdx>) -> Option<u64> {
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut validator = Validator::new_with_features(features);
    let mut bodies = 0;
    for payload in parser.parse_all(bytes) {
        match payload.and_then(|payload| validator.payload(&payload)) {
            Err(error) => return Some(error.offset()),
            Ok(ValidPayload::Func(func, code)) => {
                if body.is_some_and(|body| body.as_u32() == bodies) {
                    return func.into_validator(Default::default()).validate(&code).err().map(|e| e.offset());
                }
                bodies += 1;
            }
            Ok(_) => {}
        }
    }
    None
}
