//! Reading the sections of a module into its information, in the engine's own types.
//!
//! Each method validates its section before it reads it; limits are checked first, from the announced counts.

use crate::index::{narrow, offset, range};
use crate::info::{CustomSection, Import};
use crate::parse::Loader;
use crate::probe::Fault;
use crate::registry::ModuleTypes;
use crate::{
    ConstExpr, ConstOp, DataMode, DataSegment, ElementItems, ElementMode, ElementSegment, EntityIndex,
    EntityType, FuncIdx, FuncType, GlobalIdx, GlobalType, HeapType, MemoryIdx, MemoryType, ModuleError,
    RefType, TableIdx, TableInit, TableType, TagIdx, TypeIdx, ValType,
};
use wasmparser::{
    AbstractHeapType, CompositeInnerType, CustomSectionReader, DataKind, DataSectionReader, ElementKind,
    ElementSectionReader, ExportSectionReader, ExternalKind, FunctionSectionReader, GlobalSectionReader,
    ImportSectionReader, MemorySectionReader, Operator, SectionLimited, TableSectionReader, TagSectionReader,
    TypeRef, TypeSectionReader, UnpackedIndex,
};

impl Loader<'_> {
    pub(crate) fn types(&mut self, section: TypeSectionReader<'_>) -> Result<(), Fault> {
        let at = section.range().start;
        self.check_limit("types", section.count(), self.config.limits.types, at)?;
        self.validator.type_section(&section)?;
        let types = &mut self.info.types;
        types.reserve(section.count() as usize);
        for group in section.into_iter_with_offsets() {
            let (at, group) = group?;
            for ty in group.into_types() {
                let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                    return Err(unexpected("type", at));
                };
                let params = val_types(types, ty.params(), at)?;
                let results = val_types(types, ty.results(), at)?;
                let registered = types.push(&FuncType::new(params, results));
                registered.map_err(|error| ModuleError::invalid(error.to_string(), offset(at)))?;
            }
        }
        Ok(())
    }

    pub(crate) fn imports(&mut self, section: ImportSectionReader<'_>) -> Result<(), Fault> {
        let at = section.range().start;
        let limits = &self.config.limits;
        self.check_limit("imports", section.count(), limits.imports, at)?;
        self.validator.import_section(&section)?;
        let info = &mut self.info;
        info.imports.reserve(section.count() as usize);
        for import in section.into_imports_with_offsets() {
            let (at, import) = import?;
            let ty = match import.ty {
                TypeRef::Func(ty) => {
                    let ty = TypeIdx::new(ty);
                    info.funcs.push(ty);
                    info.imported_funcs += 1;
                    EntityType::Func(info.type_id(ty))
                }
                TypeRef::Table(ty) => {
                    let ty = table_type(&info.types, ty, at)?;
                    info.tables.push(ty);
                    EntityType::Table(ty)
                }
                TypeRef::Memory(ty) => {
                    let ty = memory_type(ty);
                    info.memories.push(ty);
                    info.imported_memories += 1;
                    EntityType::Memory(ty)
                }
                TypeRef::Global(ty) => {
                    let ty = global_type(&info.types, ty, at)?;
                    info.globals.push(ty);
                    EntityType::Global(ty)
                }
                TypeRef::Tag(ty) => {
                    let ty = TypeIdx::new(ty.func_type_idx);
                    info.tags.push(ty);
                    info.imported_tags += 1;
                    EntityType::Tag(info.type_id(ty))
                }
                TypeRef::FuncExact(_) => return Err(unexpected("import", at)),
            };
            info.imports.push(Import { module: import.module.into(), name: import.name.into(), ty });
        }
        let info = &self.info;
        self.check_limit("functions", info.imported_funcs, limits.functions, at)?;
        self.check_limit("tables", narrow(info.tables.len()), limits.tables, at)?;
        self.check_limit("memories", info.imported_memories, limits.memories, at)?;
        self.check_limit("tags", info.imported_tags, limits.tags, at)?;
        self.check_limit("globals", narrow(info.globals.len()), limits.globals, at)
    }

    pub(crate) fn functions(&mut self, section: FunctionSectionReader<'_>) -> Result<(), Fault> {
        let count = self.info.imported_funcs.saturating_add(section.count());
        self.check_limit("functions", count, self.config.limits.functions, section.range().start)?;
        self.validator.function_section(&section)?;
        self.info.funcs.reserve(section.count() as usize);
        for ty in section {
            self.info.funcs.push(TypeIdx::new(ty?));
        }
        Ok(())
    }

    pub(crate) fn tables(&mut self, section: TableSectionReader<'_>) -> Result<(), Fault> {
        let count = narrow(self.info.tables.len()).saturating_add(section.count());
        self.check_limit("tables", count, self.config.limits.tables, section.range().start)?;
        self.validator.table_section(&section)?;
        let info = &mut self.info;
        for table in section.into_iter_with_offsets() {
            let (at, table) = table?;
            info.tables.push(table_type(&info.types, table.ty, at)?);
            info.table_inits.push(match table.init {
                wasmparser::TableInit::RefNull => TableInit::Null,
                wasmparser::TableInit::Expr(expr) => {
                    TableInit::Expr(const_expr(&info.types, &mut info.declared_funcs, &expr)?)
                }
            });
        }
        Ok(())
    }

    pub(crate) fn memories(&mut self, section: MemorySectionReader<'_>) -> Result<(), Fault> {
        let count = narrow(self.info.memories.len()).saturating_add(section.count());
        self.check_limit("memories", count, self.config.limits.memories, section.range().start)?;
        self.validator.memory_section(&section)?;
        for memory in section {
            self.info.memories.push(memory_type(memory?));
        }
        Ok(())
    }

    pub(crate) fn tags(&mut self, section: TagSectionReader<'_>) -> Result<(), Fault> {
        let count = self.info.imported_tags.saturating_add(section.count());
        self.check_limit("tags", count, self.config.limits.tags, section.range().start)?;
        self.validator.tag_section(&section)?;
        self.info.tags.reserve(section.count() as usize);
        for tag in section {
            self.info.tags.push(TypeIdx::new(tag?.func_type_idx));
        }
        Ok(())
    }

    pub(crate) fn globals(&mut self, section: GlobalSectionReader<'_>) -> Result<(), Fault> {
        let count = narrow(self.info.globals.len()).saturating_add(section.count());
        self.check_limit("globals", count, self.config.limits.globals, section.range().start)?;
        self.validator.global_section(&section)?;
        let info = &mut self.info;
        info.globals.reserve(section.count() as usize);
        info.global_inits.reserve(section.count() as usize);
        for global in section.into_iter_with_offsets() {
            let (at, global) = global?;
            info.globals.push(global_type(&info.types, global.ty, at)?);
            info.global_inits.push(const_expr(&info.types, &mut info.declared_funcs, &global.init_expr)?);
        }
        Ok(())
    }

    pub(crate) fn exports(&mut self, section: ExportSectionReader<'_>) -> Result<(), Fault> {
        self.check_limit("exports", section.count(), self.config.limits.exports, section.range().start)?;
        self.validator.export_section(&section)?;
        let info = &mut self.info;
        info.exports.reserve(section.count() as usize);
        for export in section.into_iter_with_offsets() {
            let (at, export) = export?;
            let index = match export.kind {
                ExternalKind::Func => {
                    info.declared_funcs.push(FuncIdx::new(export.index));
                    EntityIndex::Func(FuncIdx::new(export.index))
                }
                ExternalKind::Table => EntityIndex::Table(TableIdx::new(export.index)),
                ExternalKind::Memory => EntityIndex::Memory(MemoryIdx::new(export.index)),
                ExternalKind::Global => EntityIndex::Global(GlobalIdx::new(export.index)),
                ExternalKind::Tag => EntityIndex::Tag(TagIdx::new(export.index)),
                ExternalKind::FuncExact => return Err(unexpected("export", at)),
            };
            info.exports.push(export.name, index);
        }
        Ok(())
    }

    pub(crate) fn elements(&mut self, section: ElementSectionReader<'_>) -> Result<(), Fault> {
        let limit = self.config.limits.element_segments;
        self.check_limit("element segments", section.count(), limit, section.range().start)?;
        self.validator.element_section(&section)?;
        let info = &mut self.info;
        info.elements.reserve(section.count() as usize);
        for segment in section.into_iter_with_offsets() {
            let (at, segment) = segment?;
            let mode = match segment.kind {
                ElementKind::Passive => ElementMode::Passive,
                ElementKind::Declared => ElementMode::Declared,
                ElementKind::Active { table_index, offset_expr } => ElementMode::Active {
                    table: TableIdx::new(table_index.unwrap_or(0)),
                    offset: const_expr(&info.types, &mut info.declared_funcs, &offset_expr)?,
                },
            };
            let (ty, items) = match segment.items {
                // A function's index is never null.
                wasmparser::ElementItems::Functions(funcs) => {
                    let items = funcs.into_iter().map(|func| func.map(FuncIdx::new));
                    let items = items.collect::<Result<Box<[_]>, _>>()?;
                    info.declared_funcs.extend_from_slice(&items);
                    (RefType::new(false, HeapType::Func), ElementItems::Funcs(items))
                }
                wasmparser::ElementItems::Expressions(ty, exprs) => {
                    let items = const_exprs(&info.types, &mut info.declared_funcs, exprs)?;
                    (ref_type(&info.types, ty, at)?, ElementItems::Exprs(items))
                }
            };
            info.elements.push(ElementSegment { mode, ty, items });
        }
        Ok(())
    }

    pub(crate) fn data(&mut self, section: DataSectionReader<'_>) -> Result<(), Fault> {
        let limit = self.config.limits.data_segments;
        self.check_limit("data segments", section.count(), limit, section.range().start)?;
        self.validator.data_section(&section)?;
        let info = &mut self.info;
        info.data.reserve(section.count() as usize);
        for segment in section {
            let segment = segment?;
            let mode = match segment.kind {
                DataKind::Passive => DataMode::Passive,
                DataKind::Active { memory_index, offset_expr } => DataMode::Active {
                    memory: MemoryIdx::new(memory_index),
                    offset: const_expr(&info.types, &mut info.declared_funcs, &offset_expr)?,
                },
            };
            // The contents are the last thing in a segment.
            let end = offset(segment.range.end);
            info.data.push(DataSegment { mode, range: end - segment.data.len()..end });
        }
        Ok(())
    }

    pub(crate) fn custom(&mut self, section: &CustomSectionReader<'_>) {
        let contents = range(section.data_range());
        if section.name() == "name" && self.info.name_section.is_none() {
            self.info.name_section = Some(contents.clone());
        }
        self.info.custom_sections.push(CustomSection { name: section.name().into(), range: contents });
    }
}

/// Something that validation with our features cannot let through.
fn unexpected(what: &str, at: u64) -> Fault {
    ModuleError::invalid(format!("unexpected kind of {what}"), offset(at)).into()
}

fn val_types(types: &ModuleTypes, list: &[wasmparser::ValType], at: u64) -> Result<Vec<ValType>, Fault> {
    list.iter().map(|ty| val_type(types, *ty, at)).collect()
}

fn val_type(types: &ModuleTypes, ty: wasmparser::ValType, at: u64) -> Result<ValType, Fault> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => ValType::Ref(ref_type(types, ty, at)?),
    })
}

fn ref_type(types: &ModuleTypes, ty: wasmparser::RefType, at: u64) -> Result<RefType, Fault> {
    Ok(RefType { nullable: ty.is_nullable(), heap: heap_type(types, ty.heap_type(), at)? })
}

fn heap_type(types: &ModuleTypes, ty: wasmparser::HeapType, at: u64) -> Result<HeapType, Fault> {
    let known = match ty {
        wasmparser::HeapType::Abstract { shared: false, ty } => match ty {
            AbstractHeapType::Func => Some(HeapType::Func),
            AbstractHeapType::Extern => Some(HeapType::Extern),
            AbstractHeapType::NoFunc => Some(HeapType::NoFunc),
            AbstractHeapType::NoExtern => Some(HeapType::NoExtern),
            AbstractHeapType::Exn => Some(HeapType::Exn),
            AbstractHeapType::NoExn => Some(HeapType::NoExn),
            _ => None,
        },
        wasmparser::HeapType::Concrete(UnpackedIndex::Module(index)) => {
            types.ids().get(TypeIdx::new(index).index()).map(|id| HeapType::Concrete(*id))
        }
        _ => None,
    };
    known.ok_or_else(|| unexpected("heap type", at))
}

fn table_type(types: &ModuleTypes, ty: wasmparser::TableType, at: u64) -> Result<TableType, Fault> {
    let element = ref_type(types, ty.element_type, at)?;
    Ok(TableType { element, minimum: ty.initial, maximum: ty.maximum, table64: ty.table64 })
}

fn memory_type(ty: wasmparser::MemoryType) -> MemoryType {
    MemoryType {
        minimum: ty.initial,
        maximum: ty.maximum,
        memory64: ty.memory64,
        shared: ty.shared,
        // Validation lets no other than 0 and 16 through.
        page_size_log2: ty.page_size_log2() as u8,
    }
}

fn global_type(types: &ModuleTypes, ty: wasmparser::GlobalType, at: u64) -> Result<GlobalType, Fault> {
    Ok(GlobalType { content: val_type(types, ty.content_type, at)?, mutable: ty.mutable })
}

fn const_exprs(
    types: &ModuleTypes,
    declared: &mut Vec<FuncIdx>,
    exprs: SectionLimited<'_, wasmparser::ConstExpr<'_>>,
) -> Result<Box<[ConstExpr]>, Fault> {
    exprs.into_iter().map(|expr| const_expr(types, declared, &expr?)).collect()
}

/// Reads an expression; functions that it names become declared.
fn const_expr(
    types: &ModuleTypes,
    declared: &mut Vec<FuncIdx>,
    expr: &wasmparser::ConstExpr<'_>,
) -> Result<ConstExpr, Fault> {
    let mut ops = smallvec::SmallVec::new();
    for op in expr.get_operators_reader().into_iter_with_offsets() {
        let (op, at) = op?;
        ops.push(match op {
            Operator::I32Const { value } => ConstOp::I32Const(value),
            Operator::I64Const { value } => ConstOp::I64Const(value),
            Operator::F32Const { value } => ConstOp::F32Const(value.bits()),
            Operator::F64Const { value } => ConstOp::F64Const(value.bits()),
            Operator::V128Const { value } => {
                let bits = u128::from_le_bytes(*value.bytes());
                ConstOp::V128Const([bits as u64, (bits >> 64) as u64])
            }
            Operator::GlobalGet { global_index } => ConstOp::GlobalGet(GlobalIdx::new(global_index)),
            Operator::RefNull { hty } => ConstOp::RefNull(heap_type(types, hty, at)?),
            Operator::RefFunc { function_index } => {
                declared.push(FuncIdx::new(function_index));
                ConstOp::RefFunc(FuncIdx::new(function_index))
            }
            Operator::I32Add => ConstOp::I32Add,
            Operator::I32Sub => ConstOp::I32Sub,
            Operator::I32Mul => ConstOp::I32Mul,
            Operator::I64Add => ConstOp::I64Add,
            Operator::I64Sub => ConstOp::I64Sub,
            Operator::I64Mul => ConstOp::I64Mul,
            Operator::End => continue,
            _ => return Err(unexpected("constant operator", at)),
        });
    }
    Ok(ConstExpr::from_ops(ops))
}
