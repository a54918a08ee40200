//! What code checks beside its operators: traps, the stack limit, fuel, epochs; and calls of the engine's
//! routines.
//!
//! In the guarded variant a trap is an instruction that faults. In the checked variant, which works without
//! signal handlers, it is a call of a routine from a cold block.

use crate::flags::{self, Region};
use crate::function::Translator;
use crate::signature::routine;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::Imm64;
use cranelift_codegen::ir::{
    GlobalValueData, InstBuilder, InstructionData, MemFlagsData, Opcode, StackSlot, StackSlotData,
    StackSlotKind, Type, Value, ValueDef, types,
};
use cranelift_frontend::FuncInstBuilder;
use crescendo_abi::{Builtin, TrapCode, Variant, VmContext, VmStoreContext};
use crescendo_semantics::lower::{Emit, clif_trap_code};

impl<'f> Emit<'f> for Translator<'f, '_> {
    fn ins<'s>(&'s mut self) -> FuncInstBuilder<'s, 'f>
    where
        'f: 's,
    {
        self.b.ins()
    }

    fn type_of(&self, value: Value) -> Type {
        self.type_of_value(value)
    }

    fn trap_if(&mut self, condition: Value, code: TrapCode) {
        if self.faults_are_traps() {
            self.b.ins().trapnz(condition, clif_trap_code(code));
        } else {
            self.cold_if(condition, |t| t.trap(code));
        }
    }

    fn faults_are_traps(&self) -> bool {
        self.variant == Variant::Guarded
    }
}

impl Translator<'_, '_> {
    /// Loads what the whole function uses, and checks the stack limit.
    pub(crate) fn enter_frame(&mut self) {
        let constant = flags::constant();
        self.store = self.b.ins().load(types::I64, constant, self.context, VmContext::STORE);
        if self.variant == Variant::Guarded {
            self.memory_base = self.b.ins().load(types::I64, constant, self.context, VmContext::MEMORY_BASE);
            self.limit_stack();
            return;
        }
        // The frame is all there when the body starts.
        let stack = self.b.ins().get_stack_pointer(types::I64);
        let limit = self.load_store(VmStoreContext::NATIVE_STACK_LIMIT);
        let too_deep = self.b.ins().icmp(IntCC::UnsignedLessThan, stack, limit);
        self.trap_if(too_deep, TrapCode::StackOverflow);
    }

    /// Has the prologue compare the end of the frame with the store's limit.
    fn limit_stack(&mut self) {
        let func = &mut *self.b.func;
        let flags = func.dfg.mem_flags.insert_unchecked(MemFlagsData::trusted().with_readonly());
        let context = func.create_global_value(GlobalValueData::VMContext);
        let mut load = |base, offset: i32| {
            let global_type = types::I64;
            func.create_global_value(GlobalValueData::Load {
                base,
                offset: offset.into(),
                global_type,
                flags,
            })
        };
        let store = load(context, VmContext::STORE);
        let limit = load(store, VmStoreContext::NATIVE_STACK_LIMIT);
        func.stack_limit = Some(limit);
    }

    /// A word of the store.
    pub(crate) fn load_store(&mut self, offset: i32) -> Value {
        let flags = flags::place(self.b.func, Region::Store);
        self.b.ins().load(types::I64, flags, self.store, offset)
    }

    /// Writes a word of the store.
    pub(crate) fn set_store(&mut self, value: Value, offset: i32) {
        let flags = flags::place(self.b.func, Region::Store);
        self.b.ins().store(flags, value, self.store, offset);
    }

    /// A pointer in the context that never changes.
    pub(crate) fn context_pointer(&mut self, offset: u32) -> Value {
        self.b.ins().load(types::I64, flags::constant(), self.context, offset as i32)
    }

    /// Emits code that runs when the condition is not zero, away from the usual way, which goes on behind it.
    fn cold_if(&mut self, condition: Value, body: impl FnOnce(&mut Self) -> ColdEnd) {
        let (cold, rest) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(condition, cold, &[], rest, &[]);
        self.b.seal_block(cold);
        self.b.switch_to_block(cold);
        if body(self) == ColdEnd::GoesOn {
            self.b.ins().jump(rest, &[]);
        }
        self.b.seal_block(rest);
        self.b.switch_to_block(rest);
    }

    /// Raises a trap and ends the block.
    pub(crate) fn trap(&mut self, code: TrapCode) -> ColdEnd {
        if self.variant == Variant::Checked {
            let signature = match self.routines.trap {
                Some(signature) => signature,
                None => self.b.import_signature(routine(2, false)),
            };
            self.routines.trap = Some(signature);
            let function = self.word(self.options.support.trap as u64);
            let number = self.word(code as u64);
            self.b.ins().call_indirect(signature, function, &[self.context, number]);
        }
        self.b.ins().trap(clif_trap_code(code));
        ColdEnd::Ended
    }

    pub(crate) fn word(&mut self, value: u64) -> Value {
        self.b.ins().iconst(types::I64, value as i64)
    }

    /// Calls a builtin with this address of its operands.
    pub(crate) fn call_routine(&mut self, builtin: Builtin, args: Value, numbers: [u32; 2]) {
        let signature = match self.routines.builtin {
            Some(signature) => signature,
            None => self.b.import_signature(routine(5, false)),
        };
        self.routines.builtin = Some(signature);
        let [a, b] = numbers.map(|number| self.word(number.into()));
        let builtins = self.context_pointer(VmContext::BUILTINS as u32);
        let function = self.b.ins().load(types::I64, flags::constant(), builtins, builtin as i32 * 8);
        let routine = self.word(self.options.support.builtin as u64);
        self.b.ins().call_indirect(signature, routine, &[self.context, args, a, b, function]);
    }

    /// A piece of the native frame, which is shared by all calls of a kind: nothing in it outlives its call.
    pub(crate) fn shared_slot(&mut self, slot: Option<StackSlot>, words: usize) -> StackSlot {
        let size = (words * 8) as u32;
        match slot {
            Some(slot) => {
                let data = &mut self.b.func.sized_stack_slots[slot];
                data.size = data.size.max(size);
                slot
            }
            None => self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size, 3)),
        }
    }

    // Fuel and epochs.

    /// Lets the engine interrupt the guest when the epoch has reached the store's deadline.
    pub(crate) fn check_epoch(&mut self) {
        if !self.options.epochs {
            return;
        }
        let epoch = self.load_store(VmStoreContext::EPOCH);
        // Another thread advances it. An ordinary load could be taken out of a loop.
        let now = self.b.ins().atomic_load(types::I64, MemFlagsData::trusted(), epoch);
        let deadline = self.load_store(VmStoreContext::EPOCH_DEADLINE);
        let reached = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, now, deadline);
        self.cold_if(reached, |t| {
            let none = t.word(0);
            t.call_routine(Builtin::EpochReached, none, [0, 0]);
            ColdEnd::GoesOn
        });
    }

    /// Starts a straight-line run of operators that pays its fuel at its beginning.
    pub(crate) fn start_run(&mut self) {
        if !self.options.fuel {
            return;
        }
        self.finish_run();
        let amount = self.word(0);
        let fuel = self.load_store(VmStoreContext::FUEL);
        let short = self.b.ins().icmp(IntCC::UnsignedLessThan, fuel, amount);
        self.trap_if(short, TrapCode::OutOfFuel);
        let left = self.b.ins().isub(fuel, amount);
        self.set_store(left, VmStoreContext::FUEL);
        self.fuel_run = Some((amount, 0));
    }

    /// Writes the fuel of the current run, now that it is known, into its constant.
    pub(crate) fn finish_run(&mut self) {
        let Some((amount, sum)) = self.fuel_run.take() else { return };
        let dfg = &mut self.b.func.dfg;
        if let ValueDef::Result(inst, _) = dfg.value_def(amount) {
            let imm = Imm64::new(i64::from(sum));
            dfg.insts[inst] = InstructionData::UnaryImm { opcode: Opcode::Iconst, imm };
        }
    }
}

/// How a cold piece of code ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColdEnd {
    /// It never goes on.
    Ended,
    /// Behind the check.
    GoesOn,
}
