//! What the information of a valid module says.

use super::*;
use crate::*;

#[test]
fn a_module_information_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<ModuleInfo>();
    shared::<ModuleError>();
    shared::<TypeRegistry>();
}

#[test]
fn an_empty_module_has_nothing() {
    let info = parse_default(b"\0asm\x01\0\0\0").unwrap();
    assert_eq!((info.func_count(), info.types().len(), info.exports().len()), (0, 0, 0));
    assert_eq!((info.start(), info.data_count(), info.code_range()), (None, None, 0..0));
    assert_eq!(info.export("x"), None);
    assert_eq!(info.names(b"").module(), None);
}

#[test]
fn index_spaces_start_with_the_imports() {
    let bytes = wat(SAMPLE);
    let info = parse_default(&bytes).unwrap();
    let imports: Vec<_> = info.imports().iter().map(|i| (&*i.module, &*i.name, i.ty.kind())).collect();
    let expected = [("log", "function"), ("table", "table"), ("memory", "memory"), ("base", "global")]
        .map(|(n, k)| ("env", n, k));
    assert_eq!(imports, expected);
    assert_eq!((info.func_count(), info.imported_func_count(), info.defined_func_count()), (5, 1, 4));
    assert_eq!((info.tables().len(), info.imported_table_count(), info.table_inits().len()), (3, 1, 2));
    assert_eq!((info.memories().len(), info.imported_memory_count()), (2, 1));
    assert_eq!((info.globals().len(), info.imported_global_count(), info.global_inits().len()), (5, 1, 4));
    assert_eq!(info.defined_func(FuncIdx::new(0)), None);
    assert_eq!(info.defined_func(FuncIdx::new(1)), Some(DefinedFuncIdx::new(0)));
    assert_eq!(info.defined_func(FuncIdx::new(5)), None);
    assert_eq!(info.func_idx(DefinedFuncIdx::new(3)), FuncIdx::new(4));
    assert_eq!(info.defined_funcs().len(), 4);
    assert_eq!(info.type_of_func(FuncIdx::new(4)).results(), [ValType::I32, ValType::I64]);
    assert_eq!(info.start(), Some(FuncIdx::new(2)));
    assert_eq!(info.memory(MemoryIdx::new(1)), &MemoryType::new64(1, Some(4)));
    assert_eq!(info.table(TableIdx::new(0)), &TableType::new(RefType::FUNCREF, 1, Some(10)));
    assert_eq!(info.global(GlobalIdx::new(1)), &GlobalType::new(ValType::I64, true));
}

#[test]
fn concrete_references_name_canonical_types() {
    let bytes = wat(SAMPLE);
    let registry = TypeRegistry::new();
    let info = parse(&bytes, &ModuleConfig::default(), &registry).unwrap();
    let unary = HeapType::Concrete(info.type_id(TypeIdx::new(0)));
    let taker = info.func_type(TypeIdx::new(1));
    assert_eq!(taker.params(), [ValType::Ref(RefType::new(true, unary))]);
    assert_eq!(info.table(TableIdx::new(1)), &TableType::new64(RefType::new(true, unary), 2, None));
    assert_eq!(
        registry.lookup(info.func_type_id(FuncIdx::new(1))).as_ref(),
        Some(info.func_type(TypeIdx::new(0)))
    );
    let log = info.imports()[0].ty.to_extern(&registry).unwrap();
    assert_eq!(log.to_string(), "(func (param i32))");
    assert!(info.registry().same(&registry));
}

#[test]
fn modules_with_equal_types_share_ids_and_free_them() {
    let registry = TypeRegistry::new();
    let parse = |text| parse(&wat(text), &ModuleConfig::default(), &registry).unwrap();
    let a = parse("(module (type (func (param i32))) (type $t (func)) (type (func (param (ref $t)))))");
    let b = parse(
        "(module (type $u (func)) (type (func (param (ref $u)))) (type (func (param i32))) (type (func)))",
    );
    assert_eq!(a.type_id(TypeIdx::new(0)), b.type_id(TypeIdx::new(2)));
    assert_eq!(a.type_id(TypeIdx::new(1)), b.type_id(TypeIdx::new(0)));
    assert_eq!(a.type_id(TypeIdx::new(2)), b.type_id(TypeIdx::new(1)));
    assert_eq!(b.type_id(TypeIdx::new(0)), b.type_id(TypeIdx::new(3)));
    assert_eq!(registry.len(), 3);
    drop(a);
    assert_eq!(registry.len(), 3);
    drop(b);
    assert!(registry.is_empty());
}

#[test]
fn a_refused_module_leaves_no_types() {
    let registry = TypeRegistry::new();
    let bytes = wat("(module (type (func (param i64))) (func (result i32)))");
    assert!(parse(&bytes, &ModuleConfig::default(), &registry).is_err());
    assert!(registry.is_empty());
}

#[test]
fn exports_are_found_in_order_and_by_name() {
    let info = parse_default(&wat(SAMPLE)).unwrap();
    let names: Vec<_> = info.exports().map(|export| export.name).collect();
    assert_eq!(names, ["double", "again", "memory", "wide", "table", "count"]);
    for export in info.exports() {
        assert_eq!(info.export(export.name), Some(export.index));
    }
    assert_eq!(info.export("wide"), Some(EntityIndex::Memory(MemoryIdx::new(1))));
    assert_eq!(info.export("absent"), None);
    assert_eq!(
        info.extern_type(EntityIndex::Func(FuncIdx::new(1))).to_string(),
        "(func (param i32) (result i32))"
    );
    assert_eq!(info.entity_type(EntityIndex::Global(GlobalIdx::new(1))).kind(), "global");
}

#[test]
fn constant_expressions_keep_their_operators() {
    let info = parse_default(&wat(SAMPLE)).unwrap();
    let expected = [
        ConstExpr::new([ConstOp::I64Const(-1)]),
        ConstExpr::new([ConstOp::F64Const(0.5f64.to_bits())]),
        ConstExpr::new([ConstOp::RefNull(HeapType::Extern)]),
        ConstExpr::new([ConstOp::GlobalGet(GlobalIdx::new(0)), ConstOp::I32Const(4), ConstOp::I32Add]),
    ];
    assert_eq!(info.global_inits(), expected);
    let double = ConstExpr::new([ConstOp::RefFunc(FuncIdx::new(1))]);
    assert_eq!(info.table_inits(), [TableInit::Null, TableInit::Expr(double)]);
    assert_eq!(info.global_inits()[0].single(), Some(ConstOp::I64Const(-1)));
    assert_eq!(info.global_inits()[3].single(), None);
}

#[test]
fn segments_keep_mode_place_and_items() {
    let bytes = wat(SAMPLE);
    let info = parse_default(&bytes).unwrap();
    let func = FuncIdx::new;
    let [active, exprs, passive, declared] = info.elements() else { panic!() };
    let offset = ConstExpr::new([ConstOp::GlobalGet(GlobalIdx::new(0))]);
    assert_eq!(active.mode, ElementMode::Active { table: TableIdx::new(0), offset });
    assert_eq!(active.items, ElementItems::Funcs([func(1), func(3)].into()));
    let offset = ConstExpr::new([ConstOp::I64Const(0)]);
    assert_eq!(exprs.mode, ElementMode::Active { table: TableIdx::new(1), offset });
    let unary = HeapType::Concrete(info.type_id(TypeIdx::new(0)));
    let items = [ConstOp::RefFunc(func(1)), ConstOp::RefNull(unary)].map(|op| ConstExpr::new([op]));
    assert_eq!((exprs.ty, &exprs.items), (RefType::new(true, unary), &ElementItems::Exprs(items.into())));
    assert_eq!(
        (&passive.mode, passive.ty, passive.items.len()),
        (&ElementMode::Passive, RefType::FUNCREF, 1)
    );
    assert_eq!(declared.mode, ElementMode::Declared);

    let contents: Vec<_> = info.data_segments().iter().map(|data| &bytes[data.range.clone()]).collect();
    assert_eq!(contents, [&b"hello"[..], b"wide", b"later"]);
    let offset = ConstExpr::new([ConstOp::I64Const(1)]);
    assert_eq!(
        info.data_segment(DataIdx::new(1)).mode,
        DataMode::Active { memory: MemoryIdx::new(1), offset }
    );
    assert_eq!(info.data_segment(DataIdx::new(2)).mode, DataMode::Passive);
}

#[test]
fn functions_that_can_escape_are_declared() {
    let info = parse_default(&wat(SAMPLE)).unwrap();
    assert_eq!(info.declared_funcs(), [1, 2, 3].map(FuncIdx::new));
    assert!(info.is_declared_func(FuncIdx::new(2)) && !info.is_declared_func(FuncIdx::new(4)));
}

#[test]
fn bodies_are_places_in_the_bytes() {
    let bytes = wat(SAMPLE);
    let info = parse_default(&bytes).unwrap();
    for func in info.defined_funcs() {
        let range = info.body_range(func);
        assert_eq!(bytes[range.end - 1], 0x0b, "a body ends with `end`");
        assert_eq!(info.func_at(range.start), Some(func));
        assert_eq!(info.func_at(range.end - 1), Some(func));
        let body = info.func_body(&bytes, func);
        assert_eq!(body.range(), range.start as u64..range.end as u64);
        let first = body.get_operators_reader().unwrap().into_iter_with_offsets().next();
        let (_, at) = first.unwrap().unwrap();
        assert!(range.contains(&(at as usize)));
    }
    assert_eq!(info.func_at(0), None);
    assert_eq!(info.func_at(bytes.len()), None);
    assert!(info.body_ranges().all(|body| info.code_range().contains(&body.start)));
}

#[test]
fn custom_sections_are_places_in_the_bytes() {
    let bytes = wat(SAMPLE);
    let info = parse_default(&bytes).unwrap();
    let extra = info.custom_sections().iter().find(|section| &*section.name == "extra").unwrap();
    assert_eq!(&bytes[extra.range.clone()], [1, 2, 3]);
    assert!(info.custom_sections().iter().any(|section| &*section.name == "name"));
}

#[test]
fn all_kinds_of_names_are_found() {
    let bytes = wat(SAMPLE);
    let info = parse_default(&bytes).unwrap();
    let names = info.names(&bytes);
    assert_eq!(names.module(), Some("sample"));
    let functions: Vec<_> = names.functions().map(|(func, name)| (func.as_u32(), name)).collect();
    assert_eq!(functions, [(0, "log"), (1, "double"), (2, "start"), (3, "indirect"), (4, "hidden")]);
    assert_eq!(names.function(FuncIdx::new(3)), Some("indirect"));
    assert_eq!(names.function(FuncIdx::new(9)), None);
    assert_eq!(names.local(FuncIdx::new(1), LocalIdx::new(1)), Some("twice"));
    assert_eq!(names.local(FuncIdx::new(3), LocalIdx::new(0)), Some("f"));
    assert_eq!(names.local(FuncIdx::new(1), LocalIdx::new(0)), None);
    assert_eq!(names.label(FuncIdx::new(1), LabelIdx::new(0)), Some("out"));
    assert_eq!(names.ty(TypeIdx::new(1)), Some("taker"));
    assert_eq!(names.table(TableIdx::new(2)), Some("full"));
    assert_eq!(names.memory(MemoryIdx::new(1)), Some("wide"));
    assert_eq!(names.global(GlobalIdx::new(4)), Some("next"));
    assert_eq!(names.element(ElemIdx::new(2)), Some("passive"));
    assert_eq!(names.data(DataIdx::new(0)), Some("hello"));
    assert_eq!(names.tag(TagIdx::new(0)), None);
}

#[test]
fn lazy_modules_say_the_same() {
    let bytes = wat(SAMPLE);
    let (eager, lazy) =
        (parse_default(&bytes).unwrap(), parse_lazily(&bytes, &ModuleConfig::default()).unwrap());
    assert!(eager.bodies_are_validated() && !lazy.bodies_are_validated());
    assert!(eager.body_ranges().eq(lazy.body_ranges()));
    assert_eq!(eager.elements().len(), lazy.elements().len());
    let mut allocations = FuncValidatorAllocations::default();
    assert!(eager.validate_body(&bytes, DefinedFuncIdx::new(0), &mut allocations).is_ok());
}
