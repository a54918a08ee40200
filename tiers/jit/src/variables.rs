//! Globals, tables and references to functions.

use crate::error::Step;
use crate::flags::{self, Region};
use crate::function::Translator;
use crate::signature::clif_type_of;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use crescendo_abi::{TrapCode, VmTable};
use crescendo_module::{GlobalIdx, TableIdx};
use crescendo_semantics::lower::Emit;

impl Translator<'_, '_> {
    pub(crate) fn global_get(&mut self, index: u32) -> Step {
        let (ty, place, offset, flags) = self.global(index)?;
        let value = self.b.ins().load(ty, flags, place, offset);
        self.push(value);
        Ok(())
    }

    pub(crate) fn global_set(&mut self, index: u32) -> Step {
        let value = self.pop()?;
        let (_, place, offset, flags) = self.global(index)?;
        self.b.ins().store(flags, value, place, offset);
        Ok(())
    }

    /// The type of a global, its place and the flags of accesses to it.
    fn global(&mut self, index: u32) -> Step<(Type, Value, i32, MemFlagsData)> {
        let global = *self.info.global(GlobalIdx::new(index));
        let ty = clif_type_of(global.content)?;
        let (place, offset, region) = match index.checked_sub(self.info.imported_global_count()) {
            Some(defined) => {
                (self.context, self.offsets.defined_global(defined) as i32, Region::Global(defined))
            }
            None => (self.context_pointer(self.offsets.imported_global(index)), 0, Region::ImportedGlobals),
        };
        let flags = if global.mutable { flags::place(self.b.func, region) } else { flags::constant() };
        Ok((ty, place, offset, flags))
    }

    pub(crate) fn ref_func(&mut self, index: u32) {
        let record = match index.checked_sub(self.info.imported_func_count()) {
            Some(defined) => {
                let offset = self.offsets.defined_func(defined);
                self.b.ins().iadd_imm_s(self.context, i64::from(offset))
            }
            None => self.context_pointer(self.offsets.imported_func(index)),
        };
        self.push(record);
    }

    /// The type of a table's indices.
    pub(crate) fn table_index_type(&self, table: u32) -> Type {
        if self.info.table(TableIdx::new(table)).table64 { types::I64 } else { types::I32 }
    }

    pub(crate) fn table_get(&mut self, table: u32) -> Step {
        let index = self.pop()?;
        let place = self.element(TableIdx::new(table), index, TrapCode::TableOutOfBounds);
        let flags = flags::place(self.b.func, Region::Elements);
        let value = self.b.ins().load(types::I64, flags, place, 0);
        self.push(value);
        Ok(())
    }

    pub(crate) fn table_set(&mut self, table: u32) -> Step {
        let value = self.pop()?;
        let index = self.pop()?;
        let place = self.element(TableIdx::new(table), index, TrapCode::TableOutOfBounds);
        let flags = flags::place(self.b.func, Region::Elements);
        self.b.ins().store(flags, value, place, 0);
        Ok(())
    }

    pub(crate) fn table_size(&mut self, table: u32) {
        let len = self.table_len(TableIdx::new(table));
        let ty = self.table_index_type(table);
        let len = if ty == types::I32 { self.b.ins().ireduce(types::I32, len) } else { len };
        self.push(len);
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
