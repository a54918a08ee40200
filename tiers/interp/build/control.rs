//! Handlers of branches, calls, returns, entries and builtins.
//!
//! The protocol between caller and callee is `crescendo_abi::regs` and `crescendo_abi::frame`.

use crate::generate::{Computed, Handler, cell, trusted};
use crate::micro::{Callee, ENTER_LOOP, Key, MicroOp};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AbiParam, BlockArg, InstBuilder, Signature, Value, types};
use cranelift_codegen::isa::CallConv;
use crescendo_abi::frame::{
    RECORD_CALLER_CONTEXT, RECORD_CALLER_FP, RECORD_REAL_RETURN_IP, RECORD_RETURN_IP,
};
use crescendo_abi::regs::{
    CROSS_ENTRY_BACK, ENTRY_CALLER_FP, ENTRY_RECORD, ENTRY_RETURN_IP, INT_VALUES, RETURN_RECORD,
};
use crescendo_abi::{Builtin, ExitStatus, TrapCode, VmContext, VmFuncRef, VmStoreContext};
use crescendo_semantics::Ty;
use crescendo_semantics::lower::{Emit, clif_type};

/// The position among the value registers of an integer argument.
const fn value_index(argument: usize) -> usize {
    let mut i = 0;
    while INT_VALUES[i] != argument {
        i += 1;
    }
    i
}
pub const RECORD_REG: usize = value_index(ENTRY_RECORD);
pub const RETURN_IP_REG: usize = value_index(ENTRY_RETURN_IP);
pub const CALLER_FP_REG: usize = value_index(ENTRY_CALLER_FP);
pub const RETURN_RECORD_REG: usize = value_index(RETURN_RECORD);

impl Handler<'_> {
    /// Emits one micro-operator of control. Gives whether it ended the handler.
    pub fn control(&mut self, key: &Key) -> bool {
        match key.op {
            MicroOp::Br => {
                let target = self.operand_u64();
                self.dispatch(target, 0);
            }
            MicroOp::BrIf | MicroOp::BrUnless => {
                self.branch(key);
                return false;
            }
            MicroOp::BrTable => self.branch_table(key),
            MicroOp::Enter(count) => {
                self.enter(count, false);
                return false;
            }
            MicroOp::EnterCross(count) => {
                self.enter(count, true);
                return false;
            }
            MicroOp::Return(ty) => self.return_(key, ty),
            MicroOp::Call(callee) => self.call(key, callee),
            MicroOp::ReturnCall(callee) => self.return_call(key, callee),
            MicroOp::Builtin => {
                self.builtin();
                return false;
            }
            MicroOp::Unreachable => self.trap(TrapCode::UnreachableCodeReached),
            MicroOp::Fuel => {
                self.fuel();
                return false;
            }
            MicroOp::CountRegion => {
                self.count_region();
                return false;
            }
            MicroOp::Halt => {
                let status = self.b.ins().iconst(types::I64, ExitStatus::Return as i64);
                self.b.ins().return_(&[status]);
            }
            MicroOp::ReturnSwitch => self.return_switch(),
            MicroOp::Untranslated => self.untranslated(false),
            MicroOp::UntranslatedCross => self.untranslated(true),
            MicroOp::HostCall => self.host_call(),
            MicroOp::Epoch => {
                self.epoch();
                return false;
            }
            MicroOp::CountEntry => self.count_entry(false),
            MicroOp::CountEntryCross => self.count_entry(true),
            MicroOp::CountLoop => {
                self.count_loop();
                return false;
            }
            MicroOp::PollLoop => {
                self.poll_loop();
                return false;
            }
            MicroOp::SkipLoop => {
                self.at += 8;
                let header = self.operand_u64();
                self.dispatch(header, 0);
            }
            MicroOp::LoopHot => {
                self.loop_hot();
                return false;
            }
            MicroOp::EnterNative => self.enter_native(false),
            MicroOp::EnterNativeCross => self.enter_native(true),
            other => panic!("{} is not control", other.name()),
        }
        true
    }

    fn branch(&mut self, key: &Key) {
        let condition = self.condition(key.sources[0]);
        let target_at = self.at;
        self.at += 8;
        let (taken, rest) = (self.b.create_block(), self.b.create_block());
        let (then, otherwise) = if key.op == MicroOp::BrIf { (taken, rest) } else { (rest, taken) };
        self.b.ins().brif(condition, then, &[], otherwise, &[]);
        self.b.switch_to_block(taken);
        let target = self.b.ins().load(types::I64, cell(), self.ip, target_at);
        self.dispatch(target, 0);
        self.b.switch_to_block(rest);
        self.finish(key, Computed::NOTHING);
    }

    fn branch_table(&mut self, key: &Key) {
        let index = self.source(key.sources[0], Ty::I32, true);
        let last = self.operand_u32();
        let index = self.b.ins().umin(index, last);
        let offset = self.b.ins().ishl_imm_u(index, 3);
        let place = self.b.ins().iadd(self.ip, offset);
        let target = self.b.ins().load(types::I64, cell(), place, self.at);
        self.dispatch(target, 0);
    }

    /// The context of the caller: the running one, or what a caller across contexts has left in the memory register.
    pub fn caller_context(&mut self, cross: bool) -> Value {
        if cross { self.memory } else { self.context() }
    }

    /// Notes the call that led to this function's entry as the place where the guest stops.
    pub fn exit_at_call(&mut self, cross: bool) {
        let context = self.caller_context(cross);
        let ip = self.b.ins().iadd_imm_s(self.regs[RETURN_IP_REG], -1);
        let fp = self.regs[CALLER_FP_REG];
        self.exit_state(ip, fp, context, 0);
    }

    fn enter(&mut self, count: u8, cross: bool) {
        let frame_bytes = self.operand_u32();
        let record_at = self.operand_u32();
        let zero_at = self.operand_u32();
        let zero_slots_at = self.at;
        self.at += 4;
        let context = self.context();
        let store = self.load(context, VmContext::STORE);
        let limit = self.load(store, VmStoreContext::VALUE_STACK_LIMIT);
        let end = self.b.ins().iadd(self.fp, frame_bytes);
        let too_deep = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, limit);
        let rest = self.cold_branch(too_deep);
        self.exit_at_call(cross);
        self.exit_trap(TrapCode::StackOverflow);
        self.b.switch_to_block(rest);

        if count == ENTER_LOOP {
            let slots = self.b.ins().uload32(cell(), self.ip, zero_slots_at);
            let start = self.b.ins().iadd(self.fp, zero_at);
            let bytes = self.b.ins().ishl_imm_u(slots, 3);
            let end = self.b.ins().iadd(start, bytes);
            self.for_each_slot(start, end, |h, place| {
                let zero = h.b.ins().iconst(types::I64, 0);
                h.b.ins().store(trusted(), zero, place, 0);
            });
        } else if count > 0 {
            let start = self.b.ins().iadd(self.fp, zero_at);
            if count % 2 == 1 {
                let zero = self.b.ins().iconst(types::I64, 0);
                self.b.ins().store(trusted(), zero, start, (i32::from(count) - 1) * 8);
            }
            if count > 1 {
                let zeros = self.b.func.dfg.constants.insert(vec![0; 16].into());
                let zeros = self.b.ins().vconst(clif_type(Ty::V128), zeros);
                for i in (0..i32::from(count) - 1).step_by(2) {
                    self.b.ins().store(trusted(), zeros, start, i * 8);
                }
            }
        }

        let record = self.b.ins().iadd(self.fp, record_at);
        let return_ip = self.regs[RETURN_IP_REG];
        let caller_fp = self.regs[CALLER_FP_REG];
        let first = if cross {
            self.operand_u64()
        } else {
            self.at += 8;
            return_ip
        };
        self.b.ins().store(trusted(), first, record, RECORD_RETURN_IP);
        self.b.ins().store(trusted(), caller_fp, record, RECORD_CALLER_FP);
        if cross {
            let caller = self.memory;
            self.b.ins().store(trusted(), return_ip, record, RECORD_REAL_RETURN_IP);
            self.b.ins().store(trusted(), caller, record, RECORD_CALLER_CONTEXT);
            self.memory = self.memory_base(context);
        }
        self.finish_nothing();
    }

    /// Runs a body for each slot from `start` to `end`, which is not before it.
    fn for_each_slot(&mut self, start: Value, end: Value, body: impl FnOnce(&mut Self, Value)) {
        let (head, inside, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let place = self.b.append_block_param(head, types::I64);
        self.b.ins().jump(head, &[BlockArg::Value(start)]);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, place, end);
        self.b.ins().brif(more, inside, &[], done, &[]);
        self.b.switch_to_block(inside);
        body(self, place);
        let next = self.b.ins().iadd_imm_s(place, 8);
        self.b.ins().jump(head, &[BlockArg::Value(next)]);
        self.b.switch_to_block(done);
    }

    pub fn finish_nothing(&mut self) {
        let key = Key::all_slots(MicroOp::Fuel);
        self.finish(&key, Computed::NOTHING);
    }

    fn return_(&mut self, key: &Key, ty: Option<Ty>) {
        if let Some(ty) = ty {
            let value = self.source(key.sources[0], ty, false);
            self.b.ins().store(trusted(), value, self.fp, 0);
            self.set_register(0, ty, value);
        }
        let record = self.operand_slot();
        let ip = self.load(record, RECORD_RETURN_IP);
        self.fp = self.load(record, RECORD_CALLER_FP);
        self.regs[RETURN_RECORD_REG] = record;
        self.reload_checked_base();
        self.dispatch(ip, 0);
    }

    /// Where memories may move, their base is read again after everything that may have grown them.
    pub fn reload_checked_base(&mut self) {
        if self.root.checked() {
            let context = self.context();
            self.memory = self.memory_base(context);
        }
    }

    fn return_switch(&mut self) {
        let record = self.regs[RETURN_RECORD_REG];
        let ip = self.load(record, RECORD_REAL_RETURN_IP);
        let context = self.load(record, RECORD_CALLER_CONTEXT);
        self.memory = self.memory_base(context);
        self.b.ins().set_pinned_reg(context);
        self.dispatch(ip, 0);
    }

    /// The callee's entry record. Traps when there is none or it has another type.
    fn callee(&mut self, key: &Key, callee: Callee) -> Value {
        // The callee's ip and fp are ready early, and the running ones may be gone where a check fails.
        self.explicit_traps = true;
        match callee {
            Callee::Defined => self.record(false),
            Callee::Imported => self.record(true),
            Callee::Table32 | Callee::Table64 => {
                let index = if callee == Callee::Table32 { Ty::I32 } else { Ty::I64 };
                let index = self.source(key.sources[0], index, true);
                let place = self.element(index, TrapCode::UndefinedElement);
                let expected = self.b.ins().load(types::I32, cell(), self.ip, self.at);
                self.at += 4;
                let record = self.load(place, 0);
                let null = self.b.ins().icmp_imm_s(IntCC::Equal, record, 0);
                self.trap_if(null, TrapCode::UninitializedElement);
                let actual = self.b.ins().load(types::I32, trusted(), record, VmFuncRef::TYPE_ID);
                let differs = self.b.ins().icmp(IntCC::NotEqual, actual, expected);
                self.trap_if(differs, TrapCode::IndirectCallTypeMismatch);
                record
            }
            Callee::Ref => {
                let record = self.source(key.sources[0], Ty::I64, false);
                let null = self.b.ins().icmp_imm_s(IntCC::Equal, record, 0);
                self.trap_if(null, TrapCode::NullFunctionReference);
                record
            }
        }
    }

    fn call(&mut self, key: &Key, callee: Callee) {
        let record = self.callee(key, callee);
        let frame = self.operand_slot();
        let return_ip = self.b.ins().iadd_imm_s(self.ip, i64::from(self.at));
        self.regs[RECORD_REG] = record;
        self.regs[RETURN_IP_REG] = return_ip;
        self.regs[CALLER_FP_REG] = self.fp;
        self.fp = frame;
        let entry = self.load(record, VmFuncRef::ENTRY);
        let context = self.context();
        match callee {
            Callee::Defined => self.dispatch(entry, 0),
            Callee::Imported => self.jump_across(entry, record, context),
            Callee::Table32 | Callee::Table64 | Callee::Ref => {
                let target = self.load(record, VmFuncRef::CONTEXT);
                let differs = self.b.ins().icmp(IntCC::NotEqual, target, context);
                let rest = self.cold_branch(differs);
                let memory = self.memory;
                self.jump_across(entry, record, context);
                self.memory = memory;
                self.b.switch_to_block(rest);
                self.dispatch(entry, 0);
            }
        }
    }

    /// Enters a function as a caller with this context does that is not the function's own.
    pub fn jump_across(&mut self, entry: Value, record: Value, caller: Value) {
        let target = self.load(record, VmFuncRef::CONTEXT);
        let handler = self.b.ins().load(types::I64, cell(), entry, -CROSS_ENTRY_BACK);
        self.b.ins().set_pinned_reg(target);
        self.memory = caller;
        self.jump(handler, entry);
    }

    fn return_call(&mut self, key: &Key, callee: Callee) {
        self.framed = true;
        let record = self.callee(key, callee);
        let own = self.operand_slot();
        let args = self.operand_slot();
        let count = self.operand_u32();
        let switch = self.operand_u64();
        self.replace_frame(record, own, args, count, switch);
    }

    /// Enters the function of a record in place of the running one, whose own record and whose caller's switch cell are given.
    pub fn replace_frame(&mut self, record: Value, own: Value, args: Value, count: Value, switch: Value) {
        // Who called this function, read before the arguments overwrite the record.
        let return_ip = self.load(own, RECORD_RETURN_IP);
        let caller_fp = self.load(own, RECORD_CALLER_FP);
        let real_return_ip = self.load(own, RECORD_REAL_RETURN_IP);
        let other_context = self.load(own, RECORD_CALLER_CONTEXT);
        let context = self.context();
        let crossed = self.b.ins().icmp(IntCC::Equal, return_ip, switch);
        let return_ip = self.b.ins().select(crossed, real_return_ip, return_ip);
        let caller = self.b.ins().select(crossed, other_context, context);

        let bytes = self.b.ins().ishl_imm_u(count, 3);
        let end = self.b.ins().iadd(args, bytes);
        let distance = self.b.ins().isub(args, self.fp);
        self.for_each_slot(args, end, |h, from| {
            let value = h.load(from, 0);
            let to = h.b.ins().isub(from, distance);
            h.b.ins().store(trusted(), value, to, 0);
        });

        self.regs[RECORD_REG] = record;
        self.regs[RETURN_IP_REG] = return_ip;
        self.regs[CALLER_FP_REG] = caller_fp;
        let entry = self.load(record, VmFuncRef::ENTRY);
        let target = self.load(record, VmFuncRef::CONTEXT);
        let (across, same) = (self.b.create_block(), self.b.create_block());
        let differs = self.b.ins().icmp(IntCC::NotEqual, target, caller);
        self.b.ins().brif(differs, across, &[], same, &[]);
        self.b.switch_to_block(across);
        self.jump_across(entry, record, caller);
        self.b.switch_to_block(same);
        // The caller has an instance's context, and so has the callee: it has a memory 0.
        self.memory = self.memory_base(target);
        self.b.ins().set_pinned_reg(target);
        self.dispatch(entry, 0);
    }

    /// Calls a builtin and leaves the handlers when it fails.
    pub fn call_builtin(&mut self, function: Value, args: Value, a: Value, b: Value) {
        let context = self.context();
        let mut signature = Signature::new(CallConv::SystemV);
        signature.params.extend([AbiParam::new(types::I64); 4]);
        signature.returns.push(AbiParam::new(types::I64));
        let signature = self.b.import_signature(signature);
        let call = self.b.ins().call_indirect(signature, function, &[context, args, a, b]);
        let status = self.b.inst_results(call)[0];
        self.framed = true;
        let rest = self.cold_branch(status);
        self.b.ins().return_(&[status]);
        self.b.switch_to_block(rest);
    }

    /// The function of a builtin with a fixed number.
    pub fn builtin_function(&mut self, builtin: Builtin) -> Value {
        let context = self.context();
        let builtins = self.load(context, VmContext::BUILTINS);
        self.load(builtins, builtin as i32 * 8)
    }

    fn builtin(&mut self) {
        let number = self.operand_u32();
        let args = self.operand_slot();
        let a = self.operand_u32();
        let b = self.operand_u32();
        let context = self.context();
        let micro_op = self.micro_op;
        self.exit_state(self.ip, self.fp, context, micro_op);
        let builtins = self.load(context, VmContext::BUILTINS);
        let offset = self.b.ins().ishl_imm_u(number, 3);
        let place = self.b.ins().iadd(builtins, offset);
        let function = self.load(place, 0);
        self.call_builtin(function, args, a, b);
        let context = self.context();
        self.memory = self.memory_base(context);
        self.finish_nothing();
    }

    fn fuel(&mut self) {
        let amount = self.operand_u32();
        let context = self.context();
        let store = self.load(context, VmContext::STORE);
        let fuel = self.load(store, VmStoreContext::FUEL);
        let short = self.b.ins().icmp(IntCC::UnsignedLessThan, fuel, amount);
        let rest = self.cold_branch(short);
        let micro_op = self.micro_op;
        self.exit_state(self.ip, self.fp, context, micro_op);
        self.exit_trap(TrapCode::OutOfFuel);
        self.b.switch_to_block(rest);
        let left = self.b.ins().isub(fuel, amount);
        self.b.ins().store(trusted(), left, store, VmStoreContext::FUEL);
        self.finish_nothing();
    }

    fn untranslated(&mut self, cross: bool) {
        self.exit_at_call(cross);
        let record = self.regs[RECORD_REG];
        let function = self.builtin_function(Builtin::Translate);
        let none = self.b.ins().iconst(types::I64, 0);
        self.call_builtin(function, self.fp, record, none);
        let entry = self.load(record, VmFuncRef::ENTRY);
        if cross {
            let handler = self.b.ins().load(types::I64, cell(), entry, -CROSS_ENTRY_BACK);
            self.jump(handler, entry);
        } else {
            self.dispatch(entry, 0);
        }
    }

    /// Always entered across contexts: the running context is the host function's.
    fn host_call(&mut self) {
        self.exit_at_call(true);
        let caller = self.memory;
        let return_ip = self.regs[RETURN_IP_REG];
        let caller_fp = self.regs[CALLER_FP_REG];
        let function = self.builtin_function(Builtin::HostCall);
        let none = self.b.ins().iconst(types::I64, 0);
        let args = self.fp;
        self.call_builtin(function, args, caller, none);
        // The first result, if there is one, in the registers where a return leaves it.
        self.regs[0] = self.load(args, 0);
        self.floats[0] = self.b.ins().load(clif_type(Ty::F64), trusted(), args, 0);
        self.fp = caller_fp;
        self.memory = self.memory_base(caller);
        self.b.ins().set_pinned_reg(caller);
        self.dispatch(return_ip, 0);
    }
}
