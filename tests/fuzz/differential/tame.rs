//! Changes wasm-smith's modules where the standard lets engines differ, or a guest would wait for ever.
//!
//! Its own way to make NaNs canonical leaves out conversions between floats and the relaxed operators, and nobody notifies a
//! guest that waits. [`tame`] adds what is missing: behind such an operator, a selection of the canonical NaN like that of
//! wasm-smith; before each wait, a short timeout.

use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{CodeSection, Function, Instruction, Module, ValType};
use wasmparser::{FunctionBody, Parser, Payload};

/// Nanoseconds that a guest waits at most.
const TIMEOUT: i64 = 1000;

/// The module, tamed.
pub fn tame(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let mut module = Module::new();
    let mut tamer = Tamer { params: params_of_bodies(wasm)?.into_iter() };
    tamer.parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok(module.finish())
}

/// The number of parameters of each function with a body.
fn params_of_bodies(wasm: &[u8]) -> Result<Vec<u32>, Error> {
    let mut types = Vec::new();
    let mut params = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    types.push(ty?.params().len() as u32);
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    params.push(types[ty? as usize]);
                }
            }
            _ => {}
        }
    }
    Ok(params)
}

struct Tamer {
    params: std::vec::IntoIter<u32>,
}

impl Reencode for Tamer {
    type Error = Infallible;

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<(), Error> {
        let mut locals = Vec::new();
        let mut next = self.params.next().unwrap_or(0);
        for local in body.get_locals_reader()? {
            let (count, ty) = local?;
            next += count;
            locals.push((count, self.val_type(ty)?));
        }
        let mut instructions = Vec::new();
        let mut scratch = [None; 4];
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let instruction = self.parse_instruction(&mut reader)?;
            if matches!(instruction, Instruction::MemoryAtomicWait32(_) | Instruction::MemoryAtomicWait64(_))
            {
                instructions.extend([Instruction::Drop, Instruction::I64Const(TIMEOUT)]);
            }
            let floats = Floats::given_by(&instruction);
            instructions.push(instruction);
            if let Some(floats) = floats {
                let local = *scratch[floats as usize].get_or_insert_with(|| {
                    locals.push((1, floats.ty()));
                    next += 1;
                    next - 1
                });
                floats.make_canonical(local, &mut instructions);
            }
        }
        let mut function = Function::new(locals);
        for instruction in &instructions {
            function.instruction(instruction);
        }
        code.function(&function);
        Ok(())
    }
}

/// The floats in a value that may be NaNs with any bits.
#[derive(Clone, Copy)]
enum Floats {
    F32,
    F64,
    F32x4,
    F64x2,
}

impl Floats {
    /// What an operator gives that wasm-smith does not make canonical.
    fn given_by(instruction: &Instruction<'_>) -> Option<Floats> {
        match instruction {
            Instruction::F32DemoteF64 => Some(Floats::F32),
            Instruction::F64PromoteF32 => Some(Floats::F64),
            Instruction::F32x4DemoteF64x2Zero
            | Instruction::F32x4RelaxedMadd
            | Instruction::F32x4RelaxedNmadd
            | Instruction::F32x4RelaxedMin
            | Instruction::F32x4RelaxedMax => Some(Floats::F32x4),
            Instruction::F64x2PromoteLowF32x4
            | Instruction::F64x2RelaxedMadd
            | Instruction::F64x2RelaxedNmadd
            | Instruction::F64x2RelaxedMin
            | Instruction::F64x2RelaxedMax => Some(Floats::F64x2),
            _ => None,
        }
    }

    fn ty(self) -> ValType {
        match self {
            Floats::F32 => ValType::F32,
            Floats::F64 => ValType::F64,
            Floats::F32x4 | Floats::F64x2 => ValType::V128,
        }
    }

    /// Takes the canonical NaN for each float that is not equal to itself.
    fn make_canonical(self, local: u32, instructions: &mut Vec<Instruction<'_>>) {
        let (nan, equal, select) = match self {
            Floats::F32 => (Instruction::F32Const(f32::NAN.into()), Instruction::F32Eq, Instruction::Select),
            Floats::F64 => (Instruction::F64Const(f64::NAN.into()), Instruction::F64Eq, Instruction::Select),
            Floats::F32x4 => (
                Instruction::V128Const(0x7fc00000_7fc00000_7fc00000_7fc00000),
                Instruction::F32x4Eq,
                Instruction::V128Bitselect,
            ),
            Floats::F64x2 => (
                Instruction::V128Const(0x7ff8000000000000_7ff8000000000000),
                Instruction::F64x2Eq,
                Instruction::V128Bitselect,
            ),
        };
        instructions.extend([
            Instruction::LocalTee(local),
            nan,
            Instruction::LocalGet(local),
            Instruction::LocalGet(local),
            equal,
            select,
        ]);
    }
}
