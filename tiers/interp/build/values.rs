//! Handlers of rows, copies, accesses and variables.

use crate::generate::{Computed, Handler, trusted};
use crate::micro::{Access, Form, Key, MicroOp};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use crescendo_abi::{SLOT_SIZE, TrapCode, VmMemory, VmTable};
use crescendo_semantics::lower::{
    Emit, clif_trap_code, clif_type, extract_lane, lower, lower_atomic, lower_lane_load, lower_load,
    lower_store, lower_wide, replace_lane,
};
use crescendo_semantics::{Kind, Op, Ty};

impl Handler<'_> {
    /// Emits one micro-operator. Gives whether it ended the handler.
    pub fn micro_operator(&mut self, key: &Key) -> bool {
        let computed = match key.op {
            MicroOp::Value(op) => self.row(op, key),
            MicroOp::Wide(op) => {
                self.wide(op);
                Computed::NOTHING
            }
            MicroOp::Load(op, access) => {
                let (place, flags) = self.place(op, access, key, None);
                Computed::value(lower_load(op, &mut self.b, flags, place))
            }
            MicroOp::Store(op, access) => {
                // Sources come before extras in the cell.
                let address = self.source(key.sources[0], access.address(), true);
                let value = self.source(key.sources[1], op.row().params[1], false);
                let (place, flags) = self.place(op, access, key, Some(address));
                lower_store(op, &mut self.b, flags, place, value);
                Computed::NOTHING
            }
            MicroOp::Atomic(op, access) => {
                // On aarch64 Cranelift's loops use fixed registers that a function has to save.
                self.framed = true;
                let address = self.source(key.sources[0], access.address(), true);
                let behind = op.row().params.iter().zip(key.sources).skip(1);
                let operands: Vec<Value> = behind.map(|(ty, form)| self.source(form, *ty, false)).collect();
                let (place, flags) = self.place(op, access, key, Some(address));
                let result = lower_atomic(op, &mut self.b, flags, place, &operands);
                result.map_or(Computed::NOTHING, Computed::value)
            }
            MicroOp::Fence => {
                self.b.ins().fence();
                Computed::NOTHING
            }
            MicroOp::Copy(ty) => Computed::value(self.source(key.sources[0], ty, false)),
            MicroOp::Select(ty) => {
                let a = self.source(key.sources[0], ty, false);
                let b = self.source(key.sources[1], ty, false);
                let condition = self.condition(key.sources[2]);
                Computed::value(self.b.ins().select(condition, a, b))
            }
            MicroOp::GlobalGet(ty, imported) => {
                let place = self.global(imported);
                Computed::value(self.b.ins().load(clif_type(ty), trusted(), place, 0))
            }
            MicroOp::GlobalSet(ty, imported) => {
                let value = self.source(key.sources[0], ty, false);
                let place = self.global(imported);
                self.b.ins().store(trusted(), value, place, 0);
                Computed::NOTHING
            }
            MicroOp::MemorySize(ty) => {
                let memory = self.operand_pointer();
                // Other threads make shared memories grow.
                let len = self.b.ins().iadd_imm_s(memory, i64::from(VmMemory::LEN));
                let bytes = self.b.ins().atomic_load(types::I64, trusted(), len);
                let log2 = self.operand_u32();
                let pages = self.b.ins().ushr(bytes, log2);
                Computed::value(self.in_index_type(ty, pages))
            }
            MicroOp::TableSize(ty) => {
                let table = self.operand_pointer();
                let len = self.load(table, VmTable::LEN);
                Computed::value(self.in_index_type(ty, len))
            }
            MicroOp::TableGet(index) => {
                let index = self.source(key.sources[0], index, true);
                let place = self.element(index, TrapCode::TableOutOfBounds);
                Computed::value(self.load(place, 0))
            }
            MicroOp::TableSet(index) => {
                let index = self.source(key.sources[0], index, true);
                let value = self.source(key.sources[1], Ty::I64, false);
                let place = self.element(index, TrapCode::TableOutOfBounds);
                self.b.ins().store(trusted(), value, place, 0);
                Computed::NOTHING
            }
            MicroOp::RefFunc(imported) => Computed::value(self.record(imported)),
            MicroOp::V128Const => Computed::value(self.operand_v128()),
            MicroOp::Shuffle => self.shuffle(key),
            MicroOp::ShuffleOne => {
                let vector = self.source(key.sources[0], Ty::V128, false);
                let from = self.operand_v128();
                Computed::value(self.permute(vector, from))
            }
            MicroOp::ExtractLane(op, lane) => self.extract_lane(op, lane, key),
            MicroOp::ReplaceLane(op, lane) => {
                let vector = self.source(key.sources[0], Ty::V128, false);
                let scalar = self.source(key.sources[1], op.row().params[1], false);
                Computed::value(replace_lane(op, self, vector, lane, scalar))
            }
            _ => return self.control(key),
        };
        self.finish(key, computed);
        false
    }

    fn shuffle(&mut self, key: &Key) -> Computed {
        let a = self.source(key.sources[0], Ty::V128, false);
        let b = self.source(key.sources[1], Ty::V128, false);
        let (from_a, from_b) = (self.operand_v128(), self.operand_v128());
        let a = self.permute(a, from_a);
        let b = self.permute(b, from_b);
        Computed::value(self.b.ins().bor(a, b))
    }

    /// Bytes of a vector, or 0 for the number 128. Other numbers beyond 15 do not occur.
    fn permute(&mut self, vector: Value, bytes: Value) -> Value {
        if self.has_pshufb {
            // Without what makes other numbers give 0.
            self.b.ins().x86_pshufb(vector, bytes)
        } else {
            self.b.ins().swizzle(vector, bytes)
        }
    }

    /// Reads the lane where it lies, if the vector is in a slot.
    fn extract_lane(&mut self, op: Op, lane: u8, key: &Key) -> Computed {
        let Kind::ExtractLane { bytes, .. } = op.row().kind else {
            panic!("{} extracts no lane", op.row().name)
        };
        if key.sources[0] == Form::Slot {
            let vector = self.operand_slot();
            let place = self.b.ins().iadd_imm_s(vector, i64::from(lane * bytes));
            return Computed::value(lower_lane_load(op, &mut self.b, trusted(), place));
        }
        let vector = self.source(key.sources[0], Ty::V128, false);
        Computed::value(extract_lane(op, self, vector, lane))
    }

    fn row(&mut self, op: Op, key: &Key) -> Computed {
        let row = op.row();
        // `eqz` of a comparison needs no integer in between.
        let operands: Vec<Value> = if op == Op::I32Eqz {
            vec![self.condition(key.sources[0])]
        } else {
            (row.params.iter().zip(key.sources)).map(|(ty, form)| self.source(form, *ty, false)).collect()
        };
        let result = lower(op, self, &operands).unwrap_or_else(|| panic!("{} has no lowering", row.name));
        if row.kind == Kind::Compare { Computed::condition(result) } else { Computed::value(result) }
    }

    fn wide(&mut self, op: Op) {
        let place = self.operand_slot();
        let offsets = (0..).step_by(SLOT_SIZE);
        let operands: Vec<Value> =
            offsets.clone().take(op.row().params.len()).map(|offset| self.load(place, offset)).collect();
        for (value, offset) in lower_wide(op, self, &operands).into_iter().zip(offsets) {
            self.b.ins().store(trusted(), value, place, offset);
        }
    }

    /// The place of a load or store, checked if it has to be, and the flags of the access.
    fn place(&mut self, op: Op, access: Access, key: &Key, address: Option<Value>) -> (Value, MemFlagsData) {
        let address = address.unwrap_or_else(|| self.source(key.sources[0], access.address(), true));
        let (bytes, is_atomic) = match op.row().kind {
            Kind::Load { bytes, .. } | Kind::Store { bytes } => (i64::from(bytes), false),
            Kind::Atomic { bytes, .. } => (i64::from(bytes), true),
            _ => panic!("{} is not an access", op.row().name),
        };
        let faults = MemFlagsData::new().with_trap_code(Some(clif_trap_code(TrapCode::MemoryOutOfBounds)));
        match access {
            Access::Zero => (self.b.ins().iadd(self.memory, address), faults),
            Access::Offset => {
                let offset = self.operand_u32();
                let address = self.b.ins().iadd(address, offset);
                (self.b.ins().iadd(self.memory, address), faults)
            }
            Access::Indexed => {
                let memory = self.operand_pointer();
                let base = self.load(memory, VmMemory::BASE);
                let offset = self.operand_u32();
                let address = self.b.ins().iadd(address, offset);
                if is_atomic {
                    self.check_alignment(address, bytes);
                }
                (self.b.ins().iadd(base, address), faults)
            }
            Access::Checked32 | Access::Checked64 => {
                let memory = self.operand_pointer();
                let base = self.load(memory, VmMemory::BASE);
                let len = self.load(memory, VmMemory::LEN);
                let offset = self.operand_u64();
                let start = self.b.ins().iadd(address, offset);
                if is_atomic {
                    self.check_alignment(start, bytes);
                }
                if access == Access::Checked64 {
                    let wrapped = self.b.ins().icmp(IntCC::UnsignedLessThan, start, address);
                    self.trap_if(wrapped, TrapCode::MemoryOutOfBounds);
                }
                // `start + bytes > len` without overflow: `start > len - bytes`, where `bytes <= len`.
                let too_small = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThan, len, bytes);
                self.trap_if(too_small, TrapCode::MemoryOutOfBounds);
                let last = self.b.ins().iadd_imm_s(len, -bytes);
                let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, start, last);
                self.trap_if(outside, TrapCode::MemoryOutOfBounds);
                (self.b.ins().iadd(base, start), trusted())
            }
        }
    }

    /// Traps unless an address is a multiple of the bytes that an atomic operator accesses.
    fn check_alignment(&mut self, address: Value, bytes: i64) {
        if bytes > 1 {
            let odd = self.b.ins().band_imm_u(address, bytes - 1);
            self.trap_if(odd, TrapCode::UnalignedAtomic);
        }
    }

    /// The pointer in the context at the offset that the next operand gives.
    pub fn operand_pointer(&mut self) -> Value {
        let place = self.operand_place();
        self.load(place, 0)
    }

    /// The place in the context at the offset that the next operand gives.
    fn operand_place(&mut self) -> Value {
        let offset = self.operand_u32();
        let context = self.context();
        self.b.ins().iadd(context, offset)
    }

    fn global(&mut self, imported: bool) -> Value {
        if imported { self.operand_pointer() } else { self.operand_place() }
    }

    /// The address of a function's entry record.
    pub fn record(&mut self, imported: bool) -> Value {
        if imported { self.operand_pointer() } else { self.operand_place() }
    }

    /// The address of an element of the table that the next operand names; traps outside the table.
    pub fn element(&mut self, index: Value, outside: TrapCode) -> Value {
        let table = self.operand_pointer();
        let len = self.load(table, VmTable::LEN);
        let base = self.load(table, VmTable::BASE);
        let is_outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
        self.trap_if(is_outside, outside);
        let offset = self.b.ins().ishl_imm_u(index, 3);
        self.b.ins().iadd(base, offset)
    }

    fn in_index_type(&mut self, ty: Ty, value: Value) -> Value {
        if ty == Ty::I32 { self.b.ins().ireduce(types::I32, value) } else { value }
    }
}
