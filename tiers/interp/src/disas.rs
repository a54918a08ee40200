//! Bytecode as text.

use crate::bytecode::{Bytecode, ENTRY_OFFSET};
use crate::micro::{Extra, Form, Key, MicroOp};
use crate::table::listing;
use crescendo_abi::{Builtin, SLOT_SIZE};
use crescendo_semantics::Ty;
use std::fmt::Write;

/// Reads operands from a cell.
struct Operands<'a> {
    code: &'a [u8],
    at: usize,
    wide: bool,
    base: u64,
}

impl Operands<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        if let Some(found) = self.code.get(self.at..self.at + N) {
            bytes.copy_from_slice(found);
        }
        self.at += N;
        bytes
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn slot(&mut self) -> String {
        let bytes = if self.wide { self.u32() } else { u32::from(u16::from_le_bytes(self.bytes())) };
        format!("s{}", bytes as usize / SLOT_SIZE)
    }

    fn target(&mut self) -> String {
        format!("→{:04x}", self.u64().wrapping_sub(self.base))
    }

    fn immediate(&mut self, form: Form, ty: Ty) -> String {
        match (form, ty) {
            (Form::Imm32, _) => (self.u32() as i32).to_string(),
            (_, Ty::I32) => (self.u32() as i32).to_string(),
            (_, Ty::I64) => (self.u64() as i64).to_string(),
            (_, Ty::F32) => format!("{:?}f", f32::from_bits(self.u32())),
            (_, Ty::F64) => format!("{:?}", f64::from_bits(self.u64())),
            (_, Ty::V128) => {
                let (low, high) = (self.u64(), self.u64());
                format!("{high:#018x}_{low:016x}")
            }
        }
    }
}

/// Lists the cells of a function: offset in the bytecode, byte offset in the module, micro-operators with their operands.
///
/// A slot is `sN`, a register `rN` (`r0` the accumulator), the result of the N-th micro-operator of the same cell `@N`, a branch
/// target the offset of its cell. Behind them stand the pieces of code under which exceptions are caught, with their clauses in the
/// order in which they are asked.
pub fn disassemble(bytecode: &Bytecode) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "; {} bytes, frame of {} slots, record at s{}",
        bytecode.len(),
        bytecode.frame_slots(),
        bytecode.record_slot()
    );
    let code = bytecode.code.bytes();
    let mut mapping = bytecode.mapping().peekable();
    let mut cell = ENTRY_OFFSET;
    while cell < bytecode.len() {
        let keys = bytecode.handler_at(cell).and_then(|handler| listing().get(&handler));
        let Some(keys) = keys else {
            // Cells whose handler may be exchanged start at a word.
            if !cell.is_multiple_of(8)
                && code[cell..cell.next_multiple_of(8).min(code.len())].iter().all(|byte| *byte == 0)
            {
                cell = cell.next_multiple_of(8);
                continue;
            }
            let _ = writeln!(text, "{cell:04x}: not a cell");
            break;
        };
        let mut operands = Operands {
            code: &code,
            at: cell + 8,
            wide: bytecode.root.wide(),
            base: bytecode.code.start().addr() as u64,
        };
        for (i, key) in keys.iter().enumerate() {
            let offset = mapping.next_if(|entry| entry.cell as usize == cell).map(|entry| entry.offset);
            let place = if i == 0 { format!("{cell:04x}:") } else { "     ".to_string() };
            let offset = offset.map_or_else(|| "      ".to_string(), |offset| format!("{offset:06x}"));
            let _ = writeln!(text, "{place} {offset}  {}", micro_operator(key, &mut operands));
        }
        cell = operands.at;
    }
    for (index, range) in (0..).zip(&bytecode.tries) {
        let _ = write!(text, "; try {index} {:04x}..{:04x}:", range.start, range.end);
        for clause in &bytecode.clauses[range.clauses.start as usize..range.clauses.end as usize] {
            let _ = match clause.tag {
                Some(tag) => write!(text, " catch #{tag} ⇒ s{}", clause.slot),
                None => write!(text, " catch_all"),
            };
            if let Some(slot) = clause.ref_slot {
                let _ = write!(text, " ref ⇒ s{slot}");
            }
            let _ = write!(text, " →{:04x},", clause.cell);
        }
        let _ = match range.next {
            Some(next) => writeln!(text, " then try {next}"),
            None => writeln!(text, " then the caller"),
        };
    }
    text
}

fn micro_operator(key: &Key, operands: &mut Operands<'_>) -> String {
    let shape = key.op.shape();
    let mut parts = Vec::new();
    for (form, ty) in key.sources.iter().zip(shape.sources) {
        match form {
            Form::None => {}
            Form::Slot => parts.push(operands.slot()),
            Form::Imm | Form::Imm32 => parts.push(operands.immediate(*form, ty.unwrap_or(Ty::I64))),
            Form::Reg(r) => parts.push(format!("r{r}")),
            Form::Inner(j) => parts.push(format!("@{j}")),
        }
    }
    let mut last = 0;
    for (i, extra) in shape.extras.iter().enumerate() {
        match extra {
            Extra::Slot => parts.push(operands.slot()),
            Extra::U32 => {
                last = operands.u32();
                match (key.op, i) {
                    (MicroOp::Builtin, 0) => {
                        let builtin = Builtin::ALL.get(last as usize);
                        parts.push(
                            builtin.map_or_else(|| last.to_string(), |builtin| builtin.name().to_string()),
                        );
                    }
                    _ => parts.push(format!("#{last}")),
                }
            }
            Extra::U64 if matches!(key.op, MicroOp::Load(..) | MicroOp::Store(..) | MicroOp::Atomic(..)) => {
                parts.push(format!("#{}", operands.u64()));
            }
            // The address of the return-switch cell says nothing.
            Extra::U64 => operands.at += 8,
            Extra::Target => parts.push(operands.target()),
            Extra::Targets => parts.extend((0..=last).map(|_| operands.target())),
        }
    }
    let mut line = key.op.name();
    if !parts.is_empty() {
        let _ = write!(line, " {}", parts.join(" "));
    }
    let mut results = Vec::new();
    if key.to_slot {
        results.push(operands.slot());
    }
    if let Some(r) = key.to_reg {
        results.push(format!("r{r}"));
    }
    if !results.is_empty() {
        let _ = write!(line, " ⇒ {}", results.join(" "));
    }
    line
}
