//! Changes wasm-smith's modules where the standard lets engines differ, or a guest would wait for ever, or a throw is missing.
//!
//! Its own way to make NaNs canonical leaves out conversions between floats and the relaxed operators, and nobody notifies a
//! guest that waits. [`tame`] adds what is missing: behind such an operator, a selection of the canonical NaN like that of
//! wasm-smith; before each wait, a short timeout.
//!
//! wasm-smith writes forty `try_table`s for one throw, which needs what the tag carries on the stack. So every second
//! `unreachable` becomes a throw where there are tags.

use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{CodeSection, Function, Instruction, Module, ValType};
use wasmparser::{FunctionBody, Parser, Payload};

/// Nanoseconds that a guest waits at most.
const TIMEOUT: i64 = 1000;

/// The module, tamed.
pub fn tame(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let mut module = Module::new();
    let mut tamer = Tamer::new(wasm)?;
    tamer.parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok(module.finish())
}

struct Tamer {
    /// The number of parameters of each function with a body.
    params: std::vec::IntoIter<u32>,
    /// What each tag carries.
    tags: Vec<Vec<wasmparser::ValType>>,
    /// How many `unreachable`s there were.
    unreachable: usize,
}

impl Tamer {
    fn new(wasm: &[u8]) -> Result<Tamer, Error> {
        let mut types = Vec::new();
        let (mut params, mut tags) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        types.push(ty?.params().to_vec());
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        params.push(types[ty? as usize].len() as u32);
                    }
                }
                Payload::TagSection(section) => {
                    for tag in section {
                        tags.push(types[tag?.func_type_idx as usize].clone());
                    }
                }
                _ => {}
            }
        }
        Ok(Tamer { params: params.into_iter(), tags, unreachable: 0 })
    }

    /// A throw of the next tag, if an `unreachable` is to become one.
    fn throw(&mut self) -> Result<Option<Vec<Instruction<'static>>>, Error> {
        self.unreachable += 1;
        if self.tags.is_empty() || !self.unreachable.is_multiple_of(2) {
            return Ok(None);
        }
        let tag = self.unreachable / 2 % self.tags.len();
        let mut instructions = Vec::new();
        for ty in self.tags[tag].clone() {
            let number = self.unreachable as i32;
            instructions.push(match self.val_type(ty)? {
                ValType::I32 => Instruction::I32Const(number),
                ValType::I64 => Instruction::I64Const(number.into()),
                ValType::F32 => Instruction::F32Const((number as f32).into()),
                ValType::F64 => Instruction::F64Const(f64::from(number).into()),
                ValType::V128 => Instruction::V128Const(number.into()),
                ValType::Ref(ty) => Instruction::RefNull(ty.heap_type),
            });
        }
        instructions.push(Instruction::Throw(tag as u32));
        Ok(Some(instructions))
    }
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
            if let Instruction::Unreachable = instruction
                && let Some(throw) = self.throw()?
            {
                instructions.extend(throw);
                continue;
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
