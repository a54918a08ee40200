//! Calls, tail calls and builtins.

use super::Step;
use super::function::Function;
use super::region::{Home, NO_SOURCES, Source, one};
use crate::micro::{Callee, MicroOp};
use crate::translate::function::{Entry, machine_type};
use crescendo_abi::Builtin;
use crescendo_module::{FuncIdx, FuncType, TableIdx, TypeIdx};
use crescendo_semantics::Ty;
use crescendo_semantics::translate::Calls;

/// What a call says of its callee before the frame: the callee operand, if it is on the stack, and the cell's operands.
struct Target {
    callee: Callee,
    source: Option<Source>,
    extras: [u64; 2],
    extra_count: usize,
}

impl<'a> Function<'a, '_> {
    fn finish_call(&mut self, target: Target, ty: &'a FuncType, tail: bool) -> Step {
        let params = ty.params().len();
        let first =
            (self.height().checked_sub(params)).ok_or_else(|| self.impossible("arguments are missing"))?;
        for height in first..self.height() {
            self.flush_at(height)?;
        }
        let args = self.temp(first);
        let mut extras: smallvec::SmallVec<[u64; 6]> = target.extras[..target.extra_count].into();
        let sources = target.source.map_or(NO_SOURCES, one);
        if tail {
            let switch = crate::run::return_switch_cell().addr() as u64;
            extras.extend([u64::from(self.record_slot), u64::from(args), ty.param_slots() as u64, switch]);
            self.append_with(MicroOp::ReturnCall(target.callee), sources, &extras);
            return self.unreachable_from_here();
        }
        self.flush_values()?;
        self.spill_hot_locals()?;
        extras.push(u64::from(args));
        self.append_with(MicroOp::Call(target.callee), sources, &extras);
        self.reserve(args + ty.param_slots().max(ty.result_slots()) as u32);
        self.truncate(first)?;
        self.end_region()?;
        self.push_results(ty)?;
        self.reload_hot_locals()
    }

    fn push_results(&mut self, ty: &FuncType) -> Step {
        if let [result] = ty.results() {
            let ty = machine_type(*result);
            // Not every way back brings a whole vector.
            if self.options.fuse && ty != Ty::V128 {
                // The result is in its slot and in the accumulator.
                let home = Home::Slot(self.next_temp());
                let value = self.buffers.region.define_before(ty, home);
                self.push(Entry::Value(value), ty);
                return Ok(());
            }
        }
        for result in ty.results() {
            let ty = machine_type(*result);
            self.push_slots(&[ty]);
        }
        Ok(())
    }

    /// Writes hot locals to their slots: the callee uses the registers.
    pub(crate) fn spill_hot_locals(&mut self) -> Step {
        for index in self.hot_locals.clone() {
            let local = *self.local(index);
            if local.assigned {
                let source = self.local_source(index);
                self.copy(source, local.ty, Home::Slot(local.slot))?;
            }
        }
        Ok(())
    }

    pub(crate) fn reload_hot_locals(&mut self) -> Step {
        for index in self.hot_locals.clone() {
            self.load_hot_local(index, Source::Slot(self.local(index).slot))?;
        }
        Ok(())
    }
}

impl Calls for Function<'_, '_> {
    fn call_func(&mut self, func: u32, tail: bool) -> Step {
        let func = FuncIdx::new(func);
        let ty = self.env.info.type_of_func(func);
        let imported = self.env.info.imported_func_count();
        let (callee, offset) = match func.as_u32().checked_sub(imported) {
            Some(defined) => (Callee::Defined, self.env.offsets.defined_func(defined)),
            None => (Callee::Imported, self.env.offsets.imported_func(func.as_u32())),
        };
        self.finish_call(
            Target { callee, source: None, extras: [u64::from(offset), 0], extra_count: 1 },
            ty,
            tail,
        )
    }

    fn call_indirect(&mut self, ty: u32, table: u32, tail: bool) -> Step {
        let (ty, table) = (TypeIdx::new(ty), TableIdx::new(table));
        let (index, _) = self.pop()?;
        let callee = if self.env.info.table(table).table64 { Callee::Table64 } else { Callee::Table32 };
        let id = self.env.info.type_id(ty);
        let extras = [u64::from(self.env.offsets.table(table.as_u32())), u64::from(id.as_u32())];
        // The index's canonical slot lies right above the arguments, where settling them does not write.
        let source = Some(index);
        self.finish_call(Target { callee, source, extras, extra_count: 2 }, self.env.info.func_type(ty), tail)
    }

    fn call_ref(&mut self, ty: u32, tail: bool) -> Step {
        let ty = TypeIdx::new(ty);
        let (reference, _) = self.pop()?;
        let target = Target { callee: Callee::Ref, source: Some(reference), extras: [0; 2], extra_count: 0 };
        self.finish_call(target, self.env.info.func_type(ty), tail)
    }

    /// Calls a builtin. The operands, topmost `operands` entries, are replaced by the result.
    fn call_builtin(
        &mut self,
        builtin: Builtin,
        operands: usize,
        result: Option<Ty>,
        numbers: [u32; 2],
    ) -> Step {
        let first =
            (self.height().checked_sub(operands)).ok_or_else(|| self.impossible("operands are missing"))?;
        for height in first..self.height() {
            self.flush_at(height)?;
        }
        let args = self.temp(first);
        let [a, b] = numbers;
        self.reserve((args + result.map_or(0, Ty::slots)).max(self.next_temp()).max(args + 1));
        let extras = [builtin as u64, u64::from(args), u64::from(a), u64::from(b)];
        self.append(MicroOp::Builtin, NO_SOURCES, None, extras);
        self.truncate(first)?;
        if let Some(ty) = result {
            self.push_slots(&[ty]);
        }
        Ok(())
    }
}
