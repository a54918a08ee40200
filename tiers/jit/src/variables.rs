//! Globals, tables and references to functions.

use crate::error::Step;
use crate::flags::{self, Region};
use crate::function::Translator;
use crate::signature::clif_type_of;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use crescendo_abi::{TrapCode, VmTable};
use crescendo_module::{GlobalIdx, TableIdx};
use crescendo_semantics::Ty;
use crescendo_semantics::lower::Emit;
use crescendo_semantics::translate::Variables;

impl Translator<'_, '_> {
    /// The type of a global, its place and the flags of accesses to it.
    fn global(&mut self, index: u32) -> Step<(Type, Value, i32, MemFlagsData)> {
        let global = *self.info.global(GlobalIdx::new(index));
        let ty = clif_type_of(global.content);
        let (place, offset, region) = match index.checked_sub(self.info.imported_global_count()) {
            Some(defined) => {
                (self.context, self.offsets.defined_global(defined) as i32, Region::Global(defined))
            }
            None => (self.context_pointer(self.offsets.imported_global(index)), 0, Region::ImportedGlobals),
        };
        let flags = if global.mutable { flags::place(self.b.func, region) } else { flags::constant() };
        Ok((ty, place, offset, flags))
    }

    /// Whether a table can never grow: then its size and place are constant.
    fn is_fixed(&self, table: TableIdx) -> bool {
        let ty = self.info.table(table);
        ty.maximum == Some(ty.minimum)
    }

    fn table_len(&mut self, table: TableIdx) -> Value {
        if self.is_fixed(table) {
            return self.word(self.info.table(table).minimum);
        }
        let record = self.context_pointer(self.offsets.table(table.as_u32()));
        let sizes = flags::place(self.b.func, Region::Sizes);
        self.b.ins().load(types::I64, sizes, record, VmTable::LEN)
    }

    /// The address of an element; traps outside the table. A mispredicted check leads to the first element.
    pub(crate) fn element(&mut self, table: TableIdx, index: Value, outside: TrapCode) -> Value {
        let index = self.wide(index);
        let len = self.table_len(table);
        let record = self.context_pointer(self.offsets.table(table.as_u32()));
        let flags =
            if self.is_fixed(table) { flags::constant() } else { flags::place(self.b.func, Region::Sizes) };
        let base = self.b.ins().load(types::I64, flags, record, VmTable::BASE);
        let is_outside = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
        self.trap_if(is_outside, outside);
        let offset = self.b.ins().ishl_imm_u(index, 3);
        let place = self.b.ins().iadd(base, offset);
        self.b.ins().select_spectre_guard(is_outside, base, place)
    }
}

impl Variables for Translator<'_, '_> {
    fn local_get(&mut self, local: u32) -> Step {
        let variable = self.local(local)?;
        let value = self.b.use_var(variable);
        let value = if self.buffers.widening.is_wide(variable) { self.half(value) } else { value };
        self.push(value);
        Ok(())
    }

    fn local_set(&mut self, local: u32) -> Step {
        let value = self.pop()?;
        let variable = self.local(local)?;
        self.define_local(variable, value);
        Ok(())
    }

    fn local_tee(&mut self, local: u32) -> Step {
        self.local_set(local)?;
        self.local_get(local)
    }

    fn global_get(&mut self, index: u32) -> Step {
        let (ty, place, offset, flags) = self.global(index)?;
        let value = self.b.ins().load(ty, flags, place, offset);
        self.push(value);
        Ok(())
    }

    fn global_set(&mut self, index: u32) -> Step {
        let value = self.pop()?;
        let (_, place, offset, flags) = self.global(index)?;
        self.b.ins().store(flags, value, place, offset);
        Ok(())
    }

    fn ref_func(&mut self, index: u32) -> Step {
        let record = match index.checked_sub(self.info.imported_func_count()) {
            Some(defined) => {
                let offset = self.offsets.defined_func(defined);
                self.b.ins().iadd_imm_s(self.context, i64::from(offset))
            }
            None => self.context_pointer(self.offsets.imported_func(index)),
        };
        self.push(record);
        Ok(())
    }

    fn table_get(&mut self, table: u32) -> Step {
        let index = self.pop()?;
        let place = self.element(TableIdx::new(table), index, TrapCode::TableOutOfBounds);
        let flags = flags::place(self.b.func, Region::Elements);
        let value = self.b.ins().load(types::I64, flags, place, 0);
        self.push(value);
        Ok(())
    }

    fn table_set(&mut self, table: u32) -> Step {
        let value = self.pop()?;
        let index = self.pop()?;
        let place = self.element(TableIdx::new(table), index, TrapCode::TableOutOfBounds);
        let flags = flags::place(self.b.func, Region::Elements);
        self.b.ins().store(flags, value, place, 0);
        Ok(())
    }

    fn table_size(&mut self, table: u32) -> Step {
        let len = self.table_len(TableIdx::new(table));
        let ty = self.table_index_ty(table);
        let len = if ty == Ty::I32 { self.b.ins().ireduce(types::I32, len) } else { len };
        self.push(len);
        Ok(())
    }

    fn table_index_ty(&self, table: u32) -> Ty {
        if self.info.table(TableIdx::new(table)).table64 { Ty::I64 } else { Ty::I32 }
    }
}
