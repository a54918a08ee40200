//! Loads and stores.
//!
//! In the guarded variant an access is an instruction that faults outside the memory: every address that the
//! guest can form lies in address space that the memory has reserved. In the checked variant the end of the
//! access is compared with the memory's size, and a mispredicted comparison cannot lead outside.

use crate::error::Step;
use crate::flags::{self, Region};
use crate::function::Translator;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    InstBuilder, InstructionData, MemFlagsData, Opcode, TrapCode as ClifTrapCode, Value, ValueDef, types,
};
use crescendo_abi::{TrapCode, Variant, VmMemory};
use crescendo_module::MemoryIdx;
use crescendo_semantics::lower::{Emit, load_lane, lower_atomic, lower_load, lower_store, store_lane};
use crescendo_semantics::translate::Memories;
use crescendo_semantics::{Kind, Op, Ty};
use wasmparser::{MemArg, MemArgTarget};

/// The first of the codes that instructions with accesses carry. Cranelift joins a load with the operator
/// that uses its value, whose offset the joint instruction then has; which access it is, is seen from the
/// code.
const FIRST_ACCESS_CODE: u8 = 32;
/// Number of these codes, which the accesses of a function use in turn. Cranelift's own codes come behind
/// them.
const ACCESS_CODES: u8 = 200;
const _: () = {
    assert!(FIRST_ACCESS_CODE as usize > TrapCode::ALL.len());
    assert!(ClifTrapCode::user(FIRST_ACCESS_CODE + ACCESS_CODES - 1).is_some());
};

/// Operators between a place and what is the same in another: constant offset, base, the address' own sum.
const SAME_PLACE_DEPTH: u32 = 4;

/// Whether code of Cranelift is that of an access, and then which of the codes.
fn access_code(code: ClifTrapCode) -> Option<usize> {
    let code = code.as_raw().get().checked_sub(FIRST_ACCESS_CODE)?;
    (code < ACCESS_CODES).then_some(usize::from(code))
}

/// The place of the access that an instruction with this code makes, when the instruction itself, or known
/// code before it, belongs to the operator at `place`: of the accesses with this code the one that is
/// nearest to the operator, counted in accesses. `None` when it is no access.
pub(crate) fn access_place(accesses: &[u32], code: ClifTrapCode, place: u32) -> Option<u32> {
    let (code, codes) = (access_code(code)?, usize::from(ACCESS_CODES));
    let count = accesses.partition_point(|access| *access <= place);
    // Steps back from the last access that does not come later than the operator.
    let back = (count + codes - 1 - code) % codes;
    let before = count.checked_sub(back + 1);
    let after = (count + codes).checked_sub(back + 1).filter(|index| *index < accesses.len());
    let index = if back <= codes / 2 { before.or(after) } else { after.or(before) };
    index.map(|index| accesses[index])
}

/// Whether an instruction with this code accesses linear memory.
pub(crate) fn is_access(code: ClifTrapCode) -> bool {
    access_code(code).is_some()
}

impl Translator<'_, '_> {
    fn behind(&mut self, place: Value, offset: u64) -> Value {
        if offset == 0 { place } else { self.b.ins().iadd_imm_s(place, offset as i64) }
    }

    /// The place of an access without its last constant part, that part, and the flags of the access.
    pub(crate) fn place(
        &mut self,
        memory: u32,
        address: Value,
        offset: u64,
        bytes: u8,
    ) -> (Value, u64, MemFlagsData) {
        let address = self.wide(address);
        match self.variant {
            Variant::Guarded => {
                let base = self.guarded_base(memory);
                let turn = (self.buffers.accesses.len() % usize::from(ACCESS_CODES)) as u8;
                self.buffers.accesses.push(self.buffers.places.of(self.offset));
                let fault = ClifTrapCode::unwrap_user(FIRST_ACCESS_CODE + turn);
                let flags = flags::memory(self.b.func, Some(fault));
                (self.b.ins().iadd(base, address), offset, flags)
            }
            Variant::Checked => {
                let place = self.checked_place(memory, address, offset, bytes);
                (place, 0, flags::memory(self.b.func, None))
            }
        }
    }

    /// The flags of the load from which a value for the same place was computed. Cranelift makes one instruction
    /// of the load, the operator and the store only if both have the same flags. Where the load has not faulted
    /// the store cannot, so that its own code is not needed. `switch` 5 % faster.
    fn flags_of_update(&self, value: Value, place: Value) -> Option<MemFlagsData> {
        let Some(InstructionData::Binary { opcode, args }) = self.definition(value) else { return None };
        use Opcode::{Band, Bor, Bxor, Iadd, Isub};
        if !matches!(opcode, Iadd | Isub | Band | Bor | Bxor) {
            return None;
        }
        args.iter().find_map(|arg| match self.definition(*arg) {
            Some(InstructionData::Load { opcode: Opcode::Load, arg: loaded, flags, .. })
                if self.is_same(*loaded, place, SAME_PLACE_DEPTH) =>
            {
                Some(self.b.func.dfg.mem_flags[*flags])
            }
            _ => None,
        })
    }

    /// Whether two addresses are the same sum.
    fn is_same(&self, a: Value, b: Value, depth: u32) -> bool {
        let resolve = |value| self.b.func.dfg.resolve_aliases(value);
        if resolve(a) == resolve(b) {
            return true;
        }
        let Some(depth) = depth.checked_sub(1) else { return false };
        use InstructionData::{Binary, Unary, UnaryImm};
        match (self.definition(a), self.definition(b)) {
            (
                Some(Unary { opcode: Opcode::Uextend, arg: a }),
                Some(Unary { opcode: Opcode::Uextend, arg: b }),
            ) => self.is_same(*a, *b, depth),
            (
                Some(UnaryImm { opcode: Opcode::Iconst, imm: a }),
                Some(UnaryImm { opcode: Opcode::Iconst, imm: b }),
            ) => a == b,
            (
                Some(Binary { opcode: Opcode::Iadd, args: a }),
                Some(Binary { opcode: Opcode::Iadd, args: b }),
            ) => (0..2).all(|i| self.is_same(a[i], b[i], depth)),
            _ => false,
        }
    }

    /// The instruction that a value comes from.
    pub(crate) fn definition(&self, value: Value) -> Option<&InstructionData> {
        let dfg = &self.b.func.dfg;
        match dfg.value_def(dfg.resolve_aliases(value)) {
            ValueDef::Result(inst, _) => Some(&dfg.insts[inst]),
            _ => None,
        }
    }

    /// Traps unless the address of an atomic access is a multiple of the bytes accessed.
    fn check_alignment(&mut self, address: Value, offset: u64, bytes: u8) {
        if bytes == 1 {
            return;
        }
        // The upper bits of the sum do not matter.
        let address = if self.type_of_value(address) == types::I64 {
            self.b.ins().ireduce(types::I32, address)
        } else {
            address
        };
        let low = offset & u64::from(bytes - 1);
        let sum = if low == 0 { address } else { self.b.ins().iadd_imm_u(address, low as i64) };
        let odd = self.b.ins().band_imm_u(sum, i64::from(bytes - 1));
        self.trap_if(odd, TrapCode::UnalignedAtomic);
    }

    /// The base of a memory that never moves.
    pub(crate) fn guarded_base(&mut self, memory: u32) -> Value {
        if memory == 0 {
            return self.memory_base;
        }
        let record = self.context_pointer(self.offsets.memory(memory));
        self.b.ins().load(types::I64, flags::constant(), record, VmMemory::BASE)
    }

    fn checked_place(&mut self, memory: u32, address: Value, offset: u64, bytes: u8) -> Value {
        let record = self.context_pointer(self.offsets.memory(memory));
        let sizes = flags::place(self.b.func, Region::Sizes);
        let len = self.b.ins().load(types::I64, sizes, record, VmMemory::LEN);
        let base = self.b.ins().load(types::I64, sizes, record, VmMemory::BASE);
        let outside = match offset.checked_add(u64::from(bytes)) {
            Some(behind) => {
                let end = self.b.ins().iadd_imm_s(address, behind as i64);
                let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, len);
                if self.info.memory(MemoryIdx::new(memory)).memory64 {
                    let wrapped = self.b.ins().icmp(IntCC::UnsignedLessThan, end, address);
                    self.b.ins().bor(outside, wrapped)
                } else {
                    // A 32-bit address and a 32-bit offset do not reach 64 bits.
                    outside
                }
            }
            None => self.b.ins().iconst(types::I8, 1),
        };
        self.trap_if(outside, TrapCode::MemoryOutOfBounds);
        let start = self.b.ins().iadd(base, address);
        let start = self.behind(start, offset);
        let nowhere = self.word(0);
        self.b.ins().select_spectre_guard(outside, nowhere, start)
    }
}

impl Memories for Translator<'_, '_> {
    fn access(&mut self, op: Op, memarg: &MemArg) -> Step {
        let MemArgTarget::Memory(memory) = memarg.target else {
            return Err(self.impossible("an access to something else than a memory"));
        };
        let (bytes, is_load) = match op.row().kind {
            Kind::Load { bytes, .. } => (bytes, true),
            Kind::Store { bytes } => (bytes, false),
            _ => return Err(self.impossible("an operator that accesses no memory")),
        };
        if is_load {
            let address = self.pop()?;
            let (place, offset, flags) = self.place(memory, address, memarg.offset, bytes);
            let place = self.behind(place, offset);
            let value = lower_load(op, &mut self.b, flags, place);
            self.push(value);
        } else {
            let value = self.pop()?;
            let address = self.pop()?;
            let (place, offset, flags) = self.place(memory, address, memarg.offset, bytes);
            let place = self.behind(place, offset);
            let flags = self.flags_of_update(value, place).unwrap_or(flags);
            lower_store(op, &mut self.b, flags, place, value);
        }
        Ok(())
    }

    fn access_lane(&mut self, op: Op, memarg: &MemArg, lane: u8) -> Step {
        let MemArgTarget::Memory(memory) = memarg.target else {
            return Err(self.impossible("an access to something else than a memory"));
        };
        let (bytes, is_load) = match op.row().kind {
            Kind::LoadLane { bytes } => (bytes, true),
            Kind::StoreLane { bytes } => (bytes, false),
            _ => return Err(self.impossible("an operator that accesses no lane")),
        };
        let vector = self.pop()?;
        let address = self.pop()?;
        let (place, offset, flags) = self.place(memory, address, memarg.offset, bytes);
        let place = self.behind(place, offset);
        if is_load {
            let vector = load_lane(op, self, flags, place, vector, lane);
            self.push(vector);
        } else {
            store_lane(op, self, flags, place, vector, lane);
        }
        Ok(())
    }

    fn atomic(&mut self, op: Op, memarg: &MemArg) -> Step {
        let (MemArgTarget::Memory(memory), Kind::Atomic { bytes, .. }) = (memarg.target, op.row().kind)
        else {
            return Err(self.impossible("an atomic operator that accesses no memory"));
        };
        let count = op.row().params.len();
        let mut operands = [Value::from_u32(0); 3];
        for operand in operands[..count].iter_mut().rev() {
            *operand = self.pop()?;
        }
        let address = operands[0];
        self.check_alignment(address, memarg.offset, bytes);
        let (place, offset, flags) = self.place(memory, address, memarg.offset, bytes);
        let place = self.behind(place, offset);
        if let Some(result) = lower_atomic(op, &mut self.b, flags, place, &operands[1..count]) {
            self.push(result);
        }
        Ok(())
    }

    fn fence(&mut self) -> Step {
        self.b.ins().fence();
        Ok(())
    }

    fn memory_size(&mut self, memory: u32) -> Step {
        let ty = self.info.memory(MemoryIdx::new(memory));
        let (log2, memory64, shared) = (ty.page_size_log2, ty.memory64, ty.shared);
        let record = self.context_pointer(self.offsets.memory(memory));
        let sizes = flags::place(self.b.func, Region::Sizes);
        let bytes = if shared {
            // Other threads make it grow. An ordinary load could be taken out of a loop.
            let len = self.b.ins().iadd_imm_s(record, i64::from(VmMemory::LEN));
            self.b.ins().atomic_load(types::I64, sizes, len)
        } else {
            self.b.ins().load(types::I64, sizes, record, VmMemory::LEN)
        };
        let pages = self.b.ins().ushr_imm_u(bytes, i64::from(log2));
        let pages = if memory64 { pages } else { self.b.ins().ireduce(types::I32, pages) };
        self.push(pages);
        Ok(())
    }

    fn memory_index_ty(&self, memory: u32) -> Ty {
        if self.info.memory(MemoryIdx::new(memory)).memory64 { Ty::I64 } else { Ty::I32 }
    }
}
