//! The ways between native code, the interpreter and the host, two sets for a signature.
//!
//! Thunks move arguments and results between registers and slots: of the value stack, or of the host and the native stack where no
//! interpreted code takes part. They keep the chain of transitions and the top of the value stack, and keep the interpreter's
//! context in the pinned register.
//! They have frames, so that walkers that follow frame pointers pass through them. Signatures with results in
//! memory: see the crate's page.

use crate::compiler::{Scratch, Support};
use crate::error::{CompileError, Step};
use crate::flags::trusted;
use crate::osr::slot_offset;
use crate::signature::{self, clif_type_of, results_in_memory, routine, slots_of};
use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Function, InstBuilder, SigRef, Signature, StackSlot, StackSlotData, StackSlotKind,
    UserFuncName, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use crescendo_abi::{
    ExitStatus, SLOT_SIZE, TrapCode, VmContext, VmFuncRef, VmHostContext, VmStoreContext, VmTransition,
};
use crescendo_module::{FuncType, ValType};
use crescendo_semantics::lower::clif_trap_code;

/// A piece of code between two worlds. It has no rows: none of its instructions traps by a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thunk {
    /// The machine code, position-independent, without relocations. It is entered at its start.
    pub code: Vec<u8>,
    /// What the code's address has to be a multiple of, in bytes.
    pub alignment: u32,
}

/// The thunks by which compiled functions of a signature are entered. Native functions are
/// `(record, context, params…) -> results…` in the `tail` convention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryThunks {
    /// From the interpreter to a native function: `(record, context, fp, return_ip, caller_fp,
    /// caller_context) -> 0` in the `tail` convention. Arguments lie in the slots from `fp` on, and so do the results
    /// afterwards. The caller's context is in the pinned register when it returns.
    pub enter: Thunk,
    /// A native function entered with its arguments in slots: `(record, context, fp) -> results…` in the `tail`
    /// convention.
    pub tail: Thunk,
    /// From the host to a native function, in the C convention: `(record, context, slots) -> 0`. The slots hold the arguments, and
    /// the results afterwards.
    pub from_host: Thunk,
}

/// The thunks by which native code calls functions of a signature that are not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallThunks {
    /// To a function that is interpreted: a native function.
    pub to_interpreter: Thunk,
    /// To a host function: a native function whose context is the `VmHostContext`.
    pub to_host: Thunk,
}

/// Most slots that native code passes to the host on the native stack. More go on the value stack: a frame of 16 KiB might lie
/// where nobody has checked that there is a stack.
const NATIVE_SLOTS: usize = 64;

/// Compiles thunks of a signature, one after the other.
pub(crate) struct Maker<'a> {
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) ty: &'a FuncType,
    pub(crate) support: &'a Support,
    pub(crate) target: &'a dyn TargetIsa,
    /// Makes code of what is in the context.
    pub(crate) generate: &'a dyn Fn(&mut Context) -> Step,
}

impl Maker<'_> {
    pub(crate) fn entries(mut self) -> Step<EntryThunks> {
        Ok(EntryThunks {
            enter: self.make(signature::enter(), |b| b.enter())?,
            tail: self.make(signature::slots_entry(self.ty), |b| b.tail())?,
            from_host: self.make(routine(3, true), |b| b.call_from_host())?,
        })
    }

    pub(crate) fn calls(mut self) -> Step<CallThunks> {
        Ok(CallThunks {
            to_interpreter: self.make(signature::native(self.ty), |b| b.call_interpreter())?,
            to_host: self.make(signature::native(self.ty), |b| b.call_host())?,
        })
    }

    fn make(&mut self, signature: Signature, body: fn(&mut Builder<'_>) -> Step) -> Step<Thunk> {
        let Scratch { context, builder, .. } = &mut *self.scratch;
        context.clear();
        context.func = Function::with_name_signature(UserFuncName::default(), signature);
        let mut thunk = Builder::new(&mut context.func, builder, self.ty, self.support);
        if let Err(error) = body(&mut thunk) {
            // A builder that was not finalized leaves its blocks behind.
            *builder = FunctionBuilderContext::new();
            return Err(error);
        }
        thunk.b.seal_all_blocks();
        thunk.b.finalize(self.target.frontend_config());
        (self.generate)(context)?;
        collect(context, self.target)
    }
}

/// Takes over what Cranelift has compiled.
fn collect(context: &Context, target: &dyn TargetIsa) -> Step<Thunk> {
    let code = (context.compiled_code())
        .ok_or_else(|| CompileError::Codegen { message: "there is no code".to_string() })?;
    let alignment = code.buffer.alignment.max(target.function_alignment().preferred);
    Ok(Thunk { code: code.code_buffer().to_vec(), alignment })
}

/// A thunk under construction. Loads and stores have no regions: whatever is stored may be read by any load.
struct Builder<'f> {
    b: FunctionBuilder<'f>,
    ty: &'f FuncType,
    support: &'f Support,
    params: Vec<Value>,
}

impl<'f> Builder<'f> {
    fn new(
        func: &'f mut Function,
        context: &'f mut FunctionBuilderContext,
        ty: &'f FuncType,
        support: &'f Support,
    ) -> Builder<'f> {
        let mut b = FunctionBuilder::new(func, context);
        let block = b.create_block();
        b.append_block_params_for_function_params(block);
        b.switch_to_block(block);
        let params = b.block_params(block).to_vec();
        Builder { b, ty, support, params }
    }

    fn enter(&mut self) -> Step {
        let [record, context, fp, return_ip, caller_fp, caller_context] = self.params[..] else {
            return Err(defect("an entry thunk has six parameters"));
        };
        let store = self.load(context, VmContext::STORE);
        let ip = self.b.ins().iadd_imm_s(return_ip, -1);
        let prev = self.push_transition(store, ip, caller_fp, caller_context);
        let old_top = self.load(store, VmStoreContext::VALUE_TOP);
        let bytes = self.slot_bytes();
        let top = self.b.ins().iadd_imm_s(fp, bytes);
        self.store(top, store, VmStoreContext::VALUE_TOP);

        let place = results_in_memory(self.ty).then_some(fp);
        let (signature, entry, args) = self.native_call(record, context, place, fp)?;
        let call = self.b.ins().call_indirect(signature, entry, &args);
        let results = self.b.inst_results(call).to_vec();
        self.store_slots(&results, fp);
        self.store(old_top, store, VmStoreContext::VALUE_TOP);
        self.store(prev, store, VmStoreContext::TRANSITIONS);
        // The interpreter goes on there.
        self.b.ins().set_pinned_reg(caller_context);
        let status = self.word(ExitStatus::Return as u64);
        self.b.ins().return_(&[status]);
        Ok(())
    }

    fn tail(&mut self) -> Step {
        let (record, context, fp) = (self.params[0], self.params[1], self.params[2]);
        let place = self.params.get(3).copied();
        let (signature, entry, args) = self.native_call(record, context, place, fp)?;
        self.b.ins().return_call_indirect(signature, entry, &args);
        Ok(())
    }

    fn call_interpreter(&mut self) -> Step {
        let (record, context) = (self.params[0], self.params[1]);
        let store = self.load(context, VmContext::STORE);
        let fp = self.load(store, VmStoreContext::VALUE_TOP);
        self.check_value_stack(context, store, fp);
        let (ip, frame) = self.caller();
        let none = self.word(0);
        let prev = self.push_transition(store, ip, frame, none);
        self.store_params(fp);
        let halt = self.word(self.support.halt_cell as u64);
        let signature = self.b.import_signature(routine(4, true));
        let interpret = self.word(self.support.interpret as u64);
        let call = self.b.ins().call_indirect(signature, interpret, &[record, context, fp, halt]);
        // Runs that fail do not come back.
        let is_tail = self.b.inst_results(call)[0];

        let (tail, done) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(is_tail, tail, &[], done, &[]);

        self.b.switch_to_block(tail);
        self.store(fp, store, VmStoreContext::VALUE_TOP);
        self.store(prev, store, VmStoreContext::TRANSITIONS);
        let entry = self.load(store, VmStoreContext::TAIL_ENTRY);
        let next = self.load(store, VmStoreContext::TAIL_RECORD);
        let next_context = self.load(next, VmFuncRef::CONTEXT);
        let signature = self.b.import_signature(signature::slots_entry(self.ty));
        let mut args = vec![next, next_context, fp];
        args.extend(self.results_place());
        self.b.ins().return_call_indirect(signature, entry, &args);

        self.b.switch_to_block(done);
        self.store(fp, store, VmStoreContext::VALUE_TOP);
        self.store(prev, store, VmStoreContext::TRANSITIONS);
        self.return_slots(fp)
    }

    fn call_host(&mut self) -> Step {
        let context = self.params[1];
        let store = self.load(context, VmHostContext::STORE);
        let (ip, frame) = self.caller();
        let none = self.word(0);
        self.store(ip, store, VmStoreContext::EXIT_IP);
        self.store(frame, store, VmStoreContext::EXIT_FP);
        self.store(none, store, VmStoreContext::EXIT_CONTEXT);
        let bytes = self.slot_bytes();
        let on_value_stack = bytes > (NATIVE_SLOTS * SLOT_SIZE) as i64;
        let args = if on_value_stack {
            let args = self.load(store, VmStoreContext::VALUE_TOP);
            self.check_value_stack(context, store, args);
            let top = self.b.ins().iadd_imm_s(args, bytes);
            self.store(top, store, VmStoreContext::VALUE_TOP);
            args
        } else {
            // A function without slots gets a pointer that it does not use.
            let bytes = bytes.max(SLOT_SIZE as i64) as u32;
            let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 3);
            let slot = self.b.create_sized_stack_slot(slot);
            self.b.ins().stack_addr(types::I64, slot, 0)
        };
        self.store_params(args);

        let function = self.load(context, VmHostContext::CALL);
        let mut signature = routine(2, true);
        signature.returns.push(AbiParam::new(types::I64));
        let signature = self.b.import_signature(signature);
        let call = self.b.ins().call_indirect(signature, function, &[context, args]);
        let [status, context] = self.b.inst_results(call)[..] else {
            return Err(defect("a host function has two results"));
        };
        let (failed, done) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(failed);
        if on_value_stack {
            self.store(args, store, VmStoreContext::VALUE_TOP);
        }
        self.b.ins().brif(status, failed, &[], done, &[]);

        self.b.switch_to_block(failed);
        self.call_without_return(self.support.host_failed, &[context]);

        self.b.switch_to_block(done);
        self.return_slots(args)
    }

    fn call_from_host(&mut self) -> Step {
        let (record, context, slots) = (self.params[0], self.params[1], self.params[2]);
        // Kept on the stack: a register would have to be saved there first.
        let kept = self.word_slot();
        self.b.ins().stack_store(types::I64, slots, kept, 0);
        // The arguments have been read when results go there.
        let place = results_in_memory(self.ty).then_some(slots);
        let (signature, entry, args) = self.native_call(record, context, place, slots)?;
        let call = self.b.ins().call_indirect(signature, entry, &args);
        let results = self.b.inst_results(call).to_vec();
        let slots = self.b.ins().stack_load(types::I64, types::I64, kept, 0);
        self.store_slots(&results, slots);
        let status = self.word(ExitStatus::Return as u64);
        self.b.ins().return_(&[status]);
        Ok(())
    }

    // Parts.

    fn word(&mut self, value: u64) -> Value {
        self.b.ins().iconst(types::I64, value as i64)
    }

    /// A word of the native frame.
    fn word_slot(&mut self) -> StackSlot {
        self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 8, 3))
    }

    fn load(&mut self, base: Value, offset: i32) -> Value {
        self.b.ins().load(types::I64, trusted(), base, offset)
    }

    fn store(&mut self, value: Value, base: Value, offset: i32) {
        self.b.ins().store(trusted(), value, base, offset);
    }

    fn store_slots(&mut self, values: &[Value], base: Value) {
        let mut slot = 0;
        for value in values {
            let ty = self.b.func.dfg.value_type(*value);
            let value = if ty == types::I32 { self.b.ins().uextend(types::I64, *value) } else { *value };
            self.store(value, base, slot_offset(slot));
            slot += slots_of(ty);
        }
    }

    fn load_slots(&mut self, tys: &[ValType], base: Value, values: &mut Vec<Value>) {
        let mut slot = 0;
        for ty in tys {
            let clif = clif_type_of(*ty);
            values.push(self.b.ins().load(clif, trusted(), base, slot_offset(slot)));
            slot += ty.slots() as u32;
        }
    }

    /// Bytes of the slots that arguments and results share.
    fn slot_bytes(&self) -> i64 {
        (self.ty.param_slots().max(self.ty.result_slots()) * SLOT_SIZE) as i64
    }

    /// Native functions: where results in memory go.
    fn results_place(&self) -> Option<Value> {
        results_in_memory(self.ty).then(|| self.params[2])
    }

    /// Native functions: writes the parameters to slots.
    fn store_params(&mut self, base: Value) {
        let first = 2 + usize::from(results_in_memory(self.ty));
        let params = self.params[first..].to_vec();
        self.store_slots(&params, base);
    }

    /// Native functions: returns the results that are in slots.
    fn return_slots(&mut self, base: Value) -> Step {
        let mut values = Vec::new();
        match self.results_place() {
            Some(place) => {
                for i in 0..self.ty.result_slots() {
                    let offset = slot_offset(i as u32);
                    let value = self.load(base, offset);
                    self.store(value, place, offset);
                }
            }
            None => self.load_slots(self.ty.results(), base, &mut values),
        }
        self.b.ins().return_(&values);
        Ok(())
    }

    /// Signature, address and arguments of a call of a record's native entry, with arguments from slots.
    fn native_call(
        &mut self,
        record: Value,
        context: Value,
        place: Option<Value>,
        base: Value,
    ) -> Step<(SigRef, Value, Vec<Value>)> {
        let signature = self.b.import_signature(signature::native(self.ty));
        let entry = self.load(record, VmFuncRef::NATIVE);
        let mut args = vec![record, context];
        args.extend(place);
        self.load_slots(self.ty.params(), base, &mut args);
        Ok((signature, entry, args))
    }

    /// Where the native caller stopped: inside its call instruction, and its frame pointer.
    fn caller(&mut self) -> (Value, Value) {
        let return_address = self.b.ins().get_return_address(types::I64);
        let ip = self.b.ins().iadd_imm_s(return_address, -1);
        let frame = self.b.ins().get_frame_pointer(types::I64);
        (ip, self.load(frame, 0))
    }

    /// Links a transition with the outer side's exit state in front of the chain; gives the chain before.
    fn push_transition(&mut self, store: Value, ip: Value, fp: Value, context: Value) -> Value {
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, VmTransition::SIZE, 3);
        let slot = self.b.create_sized_stack_slot(data);
        let transition = self.b.ins().stack_addr(types::I64, slot, 0);
        let prev = self.load(store, VmStoreContext::TRANSITIONS);
        self.store(prev, transition, VmTransition::PREV);
        self.store(ip, transition, VmTransition::EXIT_IP);
        self.store(fp, transition, VmTransition::EXIT_FP);
        self.store(context, transition, VmTransition::EXIT_CONTEXT);
        let top = self.load(store, VmStoreContext::VALUE_TOP);
        self.store(top, transition, VmTransition::VALUE_TOP);
        self.store(transition, store, VmStoreContext::TRANSITIONS);
        prev
    }

    /// Traps when the value stack has no room for arguments and results.
    fn check_value_stack(&mut self, context: Value, store: Value, base: Value) {
        let limit = self.load(store, VmStoreContext::VALUE_STACK_LIMIT);
        let bytes = self.slot_bytes();
        let end = self.b.ins().iadd_imm_s(base, bytes);
        let too_deep = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, limit);
        let (cold, rest) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(too_deep, cold, &[], rest, &[]);
        self.b.switch_to_block(cold);
        let code = self.word(TrapCode::StackOverflow as u64);
        self.call_without_return(self.support.trap, &[context, code]);
        self.b.switch_to_block(rest);
    }

    fn call_without_return(&mut self, function: usize, args: &[Value]) {
        let signature = self.b.import_signature(routine(args.len(), false));
        let function = self.word(function as u64);
        self.b.ins().call_indirect(signature, function, args);
        self.b.ins().trap(clif_trap_code(TrapCode::UnreachableCodeReached));
    }
}

fn defect(message: &str) -> CompileError {
    CompileError::Codegen { message: message.to_string() }
}
