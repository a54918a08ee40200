//! Handlers of the border to native code: counters, entries of compiled functions, frames that native code takes over.

use crate::control::{CALLER_FP_REG, RECORD_REG, RETURN_IP_REG, RETURN_RECORD_REG};
use crate::generate::{Handler, trusted};
use crate::micro::COUNTER_READY;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, StackSlotData, StackSlotKind, Value, types};
use cranelift_codegen::isa::CallConv;
use crescendo_abi::frame::{
    RECORD_CALLER_CONTEXT, RECORD_CALLER_FP, RECORD_REAL_RETURN_IP, RECORD_RETURN_IP,
};
use crescendo_abi::regs::CROSS_ENTRY_BACK;
use crescendo_abi::{Builtin, ExitStatus, VmContext, VmFuncRef, VmStoreContext, VmTransition};
use crescendo_semantics::Ty;
use crescendo_semantics::lower::clif_type;

/// Bytes of a cell before its first operand.
const OPERANDS: i32 = 8;

impl Handler<'_> {
    pub fn epoch(&mut self) {
        let context = self.context();
        let store = self.load(context, VmContext::STORE);
        let epoch = self.load(store, VmStoreContext::EPOCH);
        let now = self.load(epoch, 0);
        let deadline = self.load(store, VmStoreContext::EPOCH_DEADLINE);
        let reached = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, now, deadline);
        let (cold, rest) = (self.b.create_block(), self.b.create_block());
        let merged = self.b.append_block_param(rest, types::I64);
        self.b.set_cold_block(cold);
        self.b.ins().brif(reached, cold, &[], rest, &[self.memory.into()]);
        self.b.switch_to_block(cold);
        let micro_op = self.micro_op;
        self.exit_state(self.ip, self.fp, context, micro_op);
        let function = self.builtin_function(Builtin::EpochReached);
        let none = self.b.ins().iconst(types::I64, 0);
        self.call_builtin(function, self.fp, none, none);
        // Whoever moved the deadline may have grown the memory.
        let context = self.context();
        let memory = self.memory_base(context);
        self.b.ins().jump(rest, &[memory.into()]);
        self.b.switch_to_block(rest);
        self.memory = merged;
        self.finish_nothing();
    }

    pub fn count_region(&mut self) {
        let counter = self.operand_u64();
        let count = self.load(counter, 0);
        let more = self.b.ins().iadd_imm_s(count, 1);
        self.b.ins().store(trusted(), more, counter, 0);
        self.finish_nothing();
    }

    /// Counts down and gives whether the counter has run out. Not atomic: a lost count does not matter.
    fn count(&mut self, counter: Value) -> Value {
        let count = self.b.ins().load(types::I32, trusted(), counter, 0);
        let less = self.b.ins().iadd_imm_s(count, -1);
        self.b.ins().store(trusted(), less, counter, 0);
        let zero = self.b.ins().iconst(types::I32, 0);
        self.b.ins().icmp(IntCC::SignedLessThanOrEqual, less, zero)
    }

    /// Both entries are entered with the same cell in ip.
    pub fn count_entry(&mut self, cross: bool) {
        self.at = OPERANDS;
        let counter = self.operand_u64();
        let target = self.operand_u64();
        let out = self.count(counter);
        let rest = self.cold_branch(out);
        self.exit_at_call(cross);
        let record = self.regs[RECORD_REG];
        let function = self.builtin_function(Builtin::FunctionHot);
        let none = self.b.ins().iconst(types::I64, 0);
        self.call_builtin(function, self.fp, record, none);
        let entry = self.load(record, VmFuncRef::ENTRY);
        self.enter_at(entry, cross);
        self.b.switch_to_block(rest);
        self.enter_at(target, cross);
    }

    fn enter_at(&mut self, entry: Value, cross: bool) {
        if cross {
            let handler = self.load(entry, -CROSS_ENTRY_BACK);
            self.jump(handler, entry);
        } else {
            self.dispatch(entry, 0);
        }
    }

    pub fn count_loop(&mut self) {
        let counter = self.operand_u64();
        let out = self.count(counter);
        self.go_on_if(out);
    }

    /// As `count_loop`, but only looks whether there is native code.
    pub fn poll_loop(&mut self) {
        let counter = self.operand_u64();
        let ready = self.b.ins().load(types::I32, trusted(), counter, COUNTER_READY);
        self.go_on_if(ready);
    }

    /// Goes on to the next cell if the condition is not zero, and back to the loop's header otherwise.
    fn go_on_if(&mut self, condition: Value) {
        let header = self.operand_u64();
        let (on, back) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(on);
        self.b.ins().brif(condition, on, &[], back, &[]);
        self.b.switch_to_block(back);
        self.dispatch(header, 0);
        self.b.switch_to_block(on);
        self.finish_nothing();
    }

    /// A place on the native stack.
    fn native_slot(&mut self, bytes: u32) -> Value {
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3);
        let slot = self.b.create_sized_stack_slot(slot);
        self.b.ins().stack_addr(types::I64, slot, 0)
    }

    /// Calls a function in the `tail` convention that takes and gives 64-bit integers.
    fn call_native(&mut self, code: Value, args: &[Value]) -> Value {
        let mut signature = Signature::new(CallConv::Tail);
        signature.params.extend(args.iter().map(|_| AbiParam::new(types::I64)));
        signature.returns.push(AbiParam::new(types::I64));
        let signature = self.b.import_signature(signature);
        let call = self.b.ins().call_indirect(signature, code, args);
        self.framed = true;
        self.b.inst_results(call)[0]
    }

    /// Who the running frame returns to: return ip, frame, context.
    fn caller_of(&mut self, own: Value, switch: Value, context: Value) -> (Value, Value, Value) {
        let return_ip = self.load(own, RECORD_RETURN_IP);
        let caller_fp = self.load(own, RECORD_CALLER_FP);
        let real_return_ip = self.load(own, RECORD_REAL_RETURN_IP);
        let other_context = self.load(own, RECORD_CALLER_CONTEXT);
        let crossed = self.b.ins().icmp(IntCC::Equal, return_ip, switch);
        let return_ip = self.b.ins().select(crossed, real_return_ip, return_ip);
        let caller = self.b.ins().select(crossed, other_context, context);
        (return_ip, caller_fp, caller)
    }

    /// The frame is in its canonical state. Native code runs it to its end, in place of the interpreter.
    pub fn loop_hot(&mut self) {
        let func = self.operand_u32();
        let index = self.operand_u32();
        let frame_bytes = self.operand_u32();
        let own = self.operand_slot();
        let switch = self.operand_u64();
        let context = self.context();
        let micro_op = self.micro_op;
        self.exit_state(self.ip, self.fp, context, micro_op);
        let place = self.native_slot(VmTransition::SIZE);
        let function = self.builtin_function(Builtin::LoopHot);
        self.call_builtin(function, place, func, index);
        let code = self.load(place, 0);
        let (taken, rest) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(code, taken, &[], rest, &[]);

        self.b.switch_to_block(taken);
        let state = (self.fp, self.memory, self.regs, self.floats);
        let (return_ip, caller_fp, caller) = self.caller_of(own, switch, context);
        let store = self.load(context, VmContext::STORE);
        let prev = self.load(store, VmStoreContext::TRANSITIONS);
        let top = self.load(store, VmStoreContext::VALUE_TOP);
        let exit_ip = self.b.ins().iadd_imm_s(return_ip, -1);
        for (value, offset) in [
            (prev, VmTransition::PREV),
            (exit_ip, VmTransition::EXIT_IP),
            (caller_fp, VmTransition::EXIT_FP),
            (caller, VmTransition::EXIT_CONTEXT),
            (top, VmTransition::VALUE_TOP),
        ] {
            self.b.ins().store(trusted(), value, place, offset);
        }
        self.b.ins().store(trusted(), place, store, VmStoreContext::TRANSITIONS);
        let end = self.b.ins().iadd(self.fp, frame_bytes);
        self.b.ins().store(trusted(), end, store, VmStoreContext::VALUE_TOP);
        let status = self.call_native(code, &[context, self.fp]);
        self.b.ins().set_pinned_reg(context);
        self.b.ins().store(trusted(), prev, store, VmStoreContext::TRANSITIONS);
        self.b.ins().store(trusted(), top, store, VmStoreContext::VALUE_TOP);
        let (tail, done) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(status, tail, &[], done, &[]);

        self.b.switch_to_block(done);
        self.regs[0] = self.load(self.fp, 0);
        self.floats[0] = self.b.ins().load(clif_type(Ty::F64), trusted(), self.fp, 0);
        let ip = self.load(own, RECORD_RETURN_IP);
        self.fp = self.load(own, RECORD_CALLER_FP);
        self.regs[RETURN_RECORD_REG] = own;
        self.reload_checked_base();
        self.dispatch(ip, 0);

        self.b.switch_to_block(tail);
        (self.fp, self.memory, self.regs, self.floats) = state;
        let record = self.load(store, VmStoreContext::TAIL_RECORD);
        let args = self.load(store, VmStoreContext::TAIL_ARGS);
        let count = self.load(store, VmStoreContext::TAIL_COUNT);
        self.replace_frame(record, own, args, count, switch);

        (self.fp, self.memory, self.regs, self.floats) = state;
        self.b.switch_to_block(rest);
        self.finish_nothing();
    }

    /// Both entries are entered with the same cell in ip.
    pub fn enter_native(&mut self, cross: bool) {
        self.at = OPERANDS;
        let thunk = self.operand_u64();
        let tail_thunk = self.operand_u64();
        let native_halt = self.operand_u64();
        let record = self.regs[RECORD_REG];
        let return_ip = self.regs[RETURN_IP_REG];
        let caller_fp = self.regs[CALLER_FP_REG];
        let context = self.context();
        // The base frame of a run that native code started tail-calls: the thunk that started the run does the call, so that
        // the native stack does not grow.
        let base = self.b.ins().icmp(IntCC::Equal, return_ip, native_halt);
        let rest = self.cold_branch(base);
        let store = self.load(context, VmContext::STORE);
        self.b.ins().store(trusted(), record, store, VmStoreContext::TAIL_RECORD);
        self.b.ins().store(trusted(), tail_thunk, store, VmStoreContext::TAIL_ENTRY);
        let status = self.b.ins().iconst(types::I64, ExitStatus::TailCall as i64);
        self.b.ins().return_(&[status]);

        self.b.switch_to_block(rest);
        let caller = self.caller_context(cross);
        let args = self.fp;
        self.call_native(thunk, &[record, context, args, return_ip, caller_fp, caller]);
        self.b.ins().set_pinned_reg(caller);
        self.regs[0] = self.load(args, 0);
        self.floats[0] = self.b.ins().load(clif_type(Ty::F64), trusted(), args, 0);
        self.fp = caller_fp;
        self.memory = self.memory_base(caller);
        self.dispatch(return_ip, 0);
    }
}
