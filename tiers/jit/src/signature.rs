//! Signatures of everything that native code calls or that calls it.
//!
//! The convention of native functions is on the crate's page. Context parameters have Cranelift's purpose
//! `VMContext`, which is how prologues find the stack limit.

use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, Signature, Type, types};
use cranelift_codegen::isa::CallConv;
use crescendo_module::{FuncType, ValType};
use crescendo_semantics::Ty;
use crescendo_semantics::lower::clif_type;

/// Results of one kind (integers with references, floats with vectors) that come back in registers, on every instruction
/// set.
const REGISTER_RESULTS: usize = 8;

/// Whether the results of native functions of this type go through memory: a pointer to their slots, 8 bytes
/// each, follows the context.
pub fn results_in_memory(ty: &FuncType) -> bool {
    let floats =
        ty.results().iter().filter(|ty| matches!(ty, ValType::F32 | ValType::F64 | ValType::V128)).count();
    floats > REGISTER_RESULTS || ty.results().len() - floats > REGISTER_RESULTS
}

/// The function type whose thunks serve this one, too: references have the registers and slots of `i64`, and so do `i32` among parameters,
/// as `f32` those of `f64`. The upper half of a narrow value is unspecified in a slot and in a register of native code, but not in
/// the interpreter's accumulator, which a result comes to: results stay narrow.
pub fn shape(ty: &FuncType) -> FuncType {
    let plain = |ty: &ValType| if matches!(ty, ValType::Ref(_)) { ValType::I64 } else { *ty };
    let widest = |ty: &ValType| match ty {
        ValType::I32 => ValType::I64,
        ValType::F32 => ValType::F64,
        other => plain(other),
    };
    FuncType::new(ty.params().iter().map(widest), ty.results().iter().map(plain))
}

/// Cranelift's type for a value type.
pub(crate) fn clif_type_of(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 | ValType::Ref(_) => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => clif_type(Ty::V128),
    }
}

/// Slots that a value of one of Cranelift's types takes.
pub(crate) fn slots_of(ty: Type) -> u32 {
    if ty.is_vector() { Ty::V128.slots() } else { 1 }
}

fn word() -> AbiParam {
    AbiParam::new(types::I64)
}

fn context() -> AbiParam {
    AbiParam::special(types::I64, ArgumentPurpose::VMContext)
}

/// Adds the results of a function type, or the pointer to their slots.
fn add_results(signature: &mut Signature, ty: &FuncType) {
    if results_in_memory(ty) {
        signature.params.push(word());
        return;
    }
    for result in ty.results() {
        signature.returns.push(AbiParam::new(clif_type_of(*result)));
    }
}

/// A native function: `(record, context, params…) -> results…`.
pub(crate) fn native(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.extend([word(), context()]);
    add_results(&mut signature, ty);
    for param in ty.params() {
        signature.params.push(AbiParam::new(clif_type_of(*param)));
    }
    signature
}

/// A native function entered with its arguments in slots: `(record, context, fp) -> results…`. The pointer to
/// results in memory comes last.
pub(crate) fn slots_entry(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.extend([word(), context(), word()]);
    add_results(&mut signature, ty);
    signature
}

/// Code that takes over an interpreted frame: `(context, fp) -> status`.
pub(crate) fn takeover() -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.extend([context(), word()]);
    signature.returns.push(word());
    signature
}

/// The thunk that interpreted code enters native code by:
/// `(record, context, fp, return_ip, caller_fp, caller_context) -> 0`.
pub(crate) fn enter() -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.extend([word(), context(), word(), word(), word(), word()]);
    signature.returns.push(word());
    signature
}

/// A routine with the C convention that takes this many words.
pub(crate) fn routine(params: usize, result: bool) -> Signature {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.extend(std::iter::repeat_n(word(), params));
    if result {
        signature.returns.push(word());
    }
    signature
}
