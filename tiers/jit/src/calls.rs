//! Calls, tail calls and builtins.
//!
//! A call goes through the callee's entry record, so that whoever rewrites the record redirects all callers; but straight to the
//! callee's code where that is the best that there will be.

use crate::error::Step;
use crate::flags::{self, Region};
use crate::function::Translator;
use crate::osr::slot_offset;
use crate::output::name_of;
use crate::signature::{clif_type_of, native, results_in_memory};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{ExtFuncData, ExternalName, FuncRef, InstBuilder, SigRef, Value, types};
use crescendo_abi::frame::temp_slot;
use crescendo_abi::{Builtin, ExitStatus, TrapCode, VmFuncRef, VmStoreContext};
use crescendo_module::{DefinedFuncIdx, FuncIdx, FuncType, HeapType, TableIdx, TypeId, TypeIdx};
use crescendo_semantics::Ty;
use crescendo_semantics::lower::{Emit, clif_type};
use crescendo_semantics::translate::Calls;

/// Where a call goes.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// To the code of a function.
    Code(FuncRef),
    /// To an address.
    Entry(Value),
}

/// What a call goes to: the callee's record, its native entry and its context.
struct Callee {
    /// Compiled functions have no use for it.
    record: Value,
    entry: Target,
    context: Value,
}

impl<'a> Translator<'_, 'a> {
    /// Where faults are traps, the first load from a null record is the check.
    fn check_not_null(&mut self, record: Value, code: TrapCode) {
        if !self.faults_are_traps() {
            let null = self.b.ins().icmp_imm_s(IntCC::Equal, record, 0);
            self.trap_if(null, code);
        }
    }

    /// Flags of loads from a record that may be null.
    fn record_flags(&mut self, code: TrapCode) -> cranelift_codegen::ir::MemFlagsData {
        if self.faults_are_traps() {
            flags::nullable_record(self.b.func, code)
        } else {
            flags::place(self.b.func, Region::Records)
        }
    }

    fn callee_of(&mut self, record: Value, null: TrapCode) -> Callee {
        let flags = self.record_flags(null);
        let entry = self.b.ins().load(types::I64, flags, record, VmFuncRef::NATIVE);
        let context = self.b.ins().load(types::I64, flags, record, VmFuncRef::CONTEXT);
        self.set_store(self.context, VmStoreContext::NATIVE_CALLER);
        Callee { record, entry: Target::Entry(entry), context }
    }

    /// The code of a function, if calls may go straight to it. Only x86-64 reaches all code by a displacement.
    fn code_of(&mut self, func: FuncIdx, defined: DefinedFuncIdx) -> Step<Option<FuncRef>> {
        let itself = self.own == Some(func);
        if !cfg!(target_arch = "x86_64") || !(itself || self.callees.has_code(defined)) {
            return Ok(None);
        }
        if let Some(code) = self.buffers.callees.get(&func.as_u32()) {
            return Ok(Some(*code));
        }
        let signature = self.native_signature(self.info.type_of_func(func), self.info.func_type_id(func))?;
        let name = name_of((!itself).then_some(defined));
        let name = ExternalName::user(self.b.func.declare_imported_user_function(name));
        let code = ExtFuncData { name, signature, colocated: true, patchable: false };
        let code = self.b.import_function(code);
        self.buffers.callees.insert(func.as_u32(), code);
        Ok(Some(code))
    }

    /// Calls, or leaves by a tail call, with the arguments on the stack.
    fn finish_call(&mut self, callee: &Callee, ty: &'a FuncType, id: TypeId, tail: bool) -> Step {
        if tail && self.takeover.is_some() {
            return self.leave_for(callee, ty);
        }
        let signature = self.native_signature(ty, id)?;
        self.buffers.values.clear();
        self.buffers.values.extend([callee.record, callee.context]);
        let in_memory = results_in_memory(ty);
        let mut place = None;
        if in_memory {
            // The types of results are those of the caller if it is a tail call.
            place = match self.results {
                Some(results) if tail => Some(results),
                _ => Some(self.result_area(ty.result_slots())),
            };
        }
        self.buffers.values.extend(place);
        self.append_values(ty.params().len())?;
        if tail {
            match callee.entry {
                Target::Code(code) => self.b.ins().return_call(code, &self.buffers.values),
                Target::Entry(entry) => {
                    self.b.ins().return_call_indirect(signature, entry, &self.buffers.values)
                }
            };
            return self.unreachable_from_here();
        }
        let returned = self.call_or_try(signature, callee.entry);
        let first = self.height_below(ty.params().len())?;
        self.truncate(first);
        match place {
            Some(place) => self.push_results_at(place, ty),
            None => {
                for i in 0..ty.results().len() {
                    let result = returned.result(&self.b, i);
                    self.push(result);
                }
                Ok(())
            }
        }
    }

    fn native_signature(&mut self, ty: &FuncType, id: TypeId) -> Step<SigRef> {
        if let Some(signature) = self.buffers.signatures.get(&id.as_u32()) {
            return Ok(*signature);
        }
        let signature = self.b.import_signature(native(ty));
        self.buffers.signatures.insert(id.as_u32(), signature);
        self.buffers.called.push(id);
        Ok(signature)
    }

    /// The address of slots for the results of a call.
    fn result_area(&mut self, results: usize) -> Value {
        let slot = self.shared_slot(self.result_slots, results);
        self.result_slots = Some(slot);
        self.b.ins().stack_addr(types::I64, slot, 0)
    }

    fn push_results_at(&mut self, place: Value, ty: &FuncType) -> Step {
        let flags = flags::place(self.b.func, Region::Frame);
        let mut slot = 0;
        for ty in ty.results() {
            let value = self.b.ins().load(clif_type_of(*ty), flags, place, slot_offset(slot));
            self.push(value);
            slot += ty.slots() as u32;
        }
        Ok(())
    }

    /// A tail call of code that has taken over a frame: the interpreter does it.
    fn leave_for(&mut self, callee: &Callee, ty: &FuncType) -> Step {
        let Some((fp, record_slot)) = self.takeover.as_ref().map(|t| (t.fp, t.record_slot)) else {
            return Err(self.impossible("no frame has been taken over"));
        };
        let count = ty.params().len();
        let first = temp_slot(record_slot, self.slots_below(self.height_below(count)?));
        self.buffers.values.clear();
        self.append_values(count)?;
        self.store_slots(Region::Slots, fp, first);
        let args = self.b.ins().iadd_imm_s(fp, i64::from(slot_offset(first)));
        let count = self.word(ty.param_slots() as u64);
        self.set_store(callee.record, VmStoreContext::TAIL_RECORD);
        self.set_store(args, VmStoreContext::TAIL_ARGS);
        self.set_store(count, VmStoreContext::TAIL_COUNT);
        self.leave_takeover(ExitStatus::TailCall)?;
        self.unreachable_from_here()
    }
}

impl Calls for Translator<'_, '_> {
    fn call_func(&mut self, func: u32, tail: bool) -> Step {
        let func = FuncIdx::new(func);
        if !tail && self.inlines(func)? {
            return self.inline_call(func);
        }
        let ty = self.info.type_of_func(func);
        let id = self.info.func_type_id(func);
        let callee = match self.info.defined_func(func) {
            Some(defined) => {
                let context = self.context;
                // A frame that was taken over leaves by the record.
                let leaves = tail && self.takeover.is_some();
                match if leaves { None } else { self.code_of(func, defined)? } {
                    Some(code) => Callee { record: context, entry: Target::Code(code), context },
                    None => {
                        let offset = self.offsets.defined_func(defined.as_u32()) as i32;
                        let record = self.b.ins().iadd_imm_s(context, i64::from(offset));
                        let flags = flags::place(self.b.func, Region::Records);
                        let entry = self.b.ins().load(types::I64, flags, context, offset + VmFuncRef::NATIVE);
                        Callee { record, entry: Target::Entry(entry), context }
                    }
                }
            }
            None => {
                let record = self.context_pointer(self.offsets.imported_func(func.as_u32()));
                let flags = flags::place(self.b.func, Region::Records);
                let entry = self.b.ins().load(types::I64, flags, record, VmFuncRef::NATIVE);
                let context = self.b.ins().load(types::I64, flags::constant(), record, VmFuncRef::CONTEXT);
                self.set_store(self.context, VmStoreContext::NATIVE_CALLER);
                Callee { record, entry: Target::Entry(entry), context }
            }
        };
        self.finish_call(&callee, ty, id, tail)
    }

    fn call_indirect(&mut self, ty: u32, table: u32, tail: bool) -> Step {
        let (ty, table) = (TypeIdx::new(ty), TableIdx::new(table));
        let index = self.pop()?;
        let place = self.element(table, index, TrapCode::UndefinedElement);
        let flags = flags::place(self.b.func, Region::Elements);
        let record = self.b.ins().load(types::I64, flags, place, 0);
        let id = self.info.type_id(ty);
        let null = TrapCode::UninitializedElement;
        self.check_not_null(record, null);
        // In a table of just this type there are no others.
        if self.info.table(table).element.heap != HeapType::Concrete(id) {
            let flags = self.record_flags(null);
            let actual = self.b.ins().load(types::I32, flags, record, VmFuncRef::TYPE_ID);
            let expected = self.b.ins().iconst(types::I32, i64::from(id.as_u32()));
            let differs = self.b.ins().icmp(IntCC::NotEqual, actual, expected);
            self.trap_if(differs, TrapCode::IndirectCallTypeMismatch);
        }
        let callee = self.callee_of(record, null);
        self.finish_call(&callee, self.info.func_type(ty), id, tail)
    }

    fn call_ref(&mut self, ty: u32, tail: bool) -> Step {
        let ty = TypeIdx::new(ty);
        let record = self.pop()?;
        let null = TrapCode::NullFunctionReference;
        self.check_not_null(record, null);
        let callee = self.callee_of(record, null);
        self.finish_call(&callee, self.info.func_type(ty), self.info.type_id(ty), tail)
    }

    /// Calls a builtin. The topmost operands are replaced by the result.
    fn call_builtin(
        &mut self,
        builtin: Builtin,
        operands: usize,
        result: Option<Ty>,
        numbers: [u32; 2],
    ) -> Step {
        if self.bulk(builtin, numbers)? {
            return Ok(());
        }
        self.buffers.values.clear();
        self.append_values(operands)?;
        let args = if operands == 0 {
            self.word(0)
        } else {
            let first = self.height_below(operands)?;
            let slots = self.slots_below(self.height()) - self.slots_below(first);
            let slot = self.shared_slot(self.builtin_slots, slots as usize);
            self.builtin_slots = Some(slot);
            self.b.ins().stack_addr(types::I64, slot, 0)
        };
        self.store_slots(Region::Frame, args, 0);
        self.call_routine(builtin, args, numbers);
        let first = self.height_below(operands)?;
        self.truncate(first);
        if let Some(ty) = result.map(clif_type) {
            let flags = flags::place(self.b.func, Region::Frame);
            let value = self.b.ins().load(ty, flags, args, 0);
            self.push(value);
        }
        Ok(())
    }
}
