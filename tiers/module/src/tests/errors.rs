//! Errors: their place, their determinism, limits, and that no bytes make parsing panic.

use super::*;
use crate::{FuncIdx, LocalIdx, ModuleErrorKind, ModuleLimits};

#[test]
fn lazy_validation_finds_the_error_of_a_body_where_eager_does() {
    let bytes = wat(r#"(module
        (func $fine)
        (func $wrong (result i32) i64.const 0)
        (func (result i32) f32.const 0))"#);
    let eager = parse_default(&bytes).unwrap_err();
    let info = parse(&bytes, &lazy(), &TypeRegistry::new()).unwrap();
    let mut allocations = Default::default();
    info.validate_body(&bytes, DefinedFuncIdx::new(0), &mut allocations).unwrap();
    let first = info.validate_body(&bytes, DefinedFuncIdx::new(1), &mut allocations).unwrap_err();
    let second = info.validate_body(&bytes, DefinedFuncIdx::new(2), &mut allocations).unwrap_err();
    assert_eq!(eager.to_string(), first.to_string());
    assert_eq!((first.function(), first.function_name()), (Some(FuncIdx::new(1)), Some("wrong")));
    assert!(info.body_range(DefinedFuncIdx::new(1)).contains(&first.offset()));
    assert!(first.to_string().starts_with("function 1 `wrong`: type mismatch"), "{first}");
    assert_eq!(second.function_name(), None);
    assert!(second.to_string().starts_with("function 2: type mismatch"), "{second}");
    // An error must not spoil the allocations.
    info.validate_body(&bytes, DefinedFuncIdx::new(0), &mut allocations).unwrap();
}

#[test]
fn the_error_with_the_lowest_offset_is_reported() {
    // The data segment is wrong too, and comes after the body.
    let bytes = wat(r#"(module (memory 1) (func (result i32)) (data (i64.const 0) ""))"#);
    let error = parse_default(&bytes).unwrap_err();
    assert_eq!(error.function(), Some(FuncIdx::new(0)));
    let lazy = parse(&bytes, &lazy(), &TypeRegistry::new()).unwrap_err();
    assert_eq!(lazy.function(), None);
    assert!(lazy.offset() > error.offset());
    // Bytes missing after the wrong body do not hide it.
    let cut = parse_default(&bytes[..lazy.offset() - 3]).unwrap_err();
    assert_eq!(cut.to_string(), error.to_string());
}

/// A module of `count` functions of about 100 bytes each; those in `wrong` leave an operand too few.
fn many_functions(count: usize, wrong: &[usize]) -> Vec<u8> {
    let mut text = String::from("(module\n");
    for func in 0..count {
        text.push_str("(func (result i32) i32.const 0\n");
        text.push_str(&"i32.const 70000 i32.add\n".repeat(24));
        text.push_str(if wrong.contains(&func) { "drop)\n" } else { ")\n" });
    }
    wat(&(text + ")"))
}

#[test]
fn threads_report_the_error_that_comes_first() {
    let good = many_functions(3000, &[]);
    assert!(good.len() > 256 << 10);
    assert_eq!(parse_default(&good).unwrap().func_count(), 3000);
    for wrong in [&[2999][..], &[0, 2999], &[1500, 1501, 2000], &[777, 2500]] {
        let bytes = many_functions(3000, wrong);
        for _ in 0..5 {
            let error = parse_default(&bytes).unwrap_err();
            assert_eq!(error.function(), Some(FuncIdx::new(wrong[0] as u32)));
        }
        assert_eq!(
            parse_default(&bytes).unwrap_err().to_string(),
            parse_lazily(&bytes, &lazy()).unwrap_err().to_string()
        );
    }
}

#[test]
fn limits_name_themselves_and_the_value() {
    type Set = fn(&mut ModuleLimits);
    let cases: &[(Set, &str, &str)] = &[
        (|l| l.module_size = 7, "(module)", "bytes in the module: 8 exceeds the limit of 7"),
        (|l| l.types = 1, "(module (type (func)) (type (func)))", "types: 2 exceeds the limit of 1"),
        (
            |l| l.imports = 1,
            r#"(module (import "" "" (func)) (import "" "" (func)))"#,
            "imports: 2 exceeds the limit of 1",
        ),
        (
            |l| l.exports = 1,
            r#"(module (func) (export "a" (func 0)) (export "b" (func 0)))"#,
            "exports: 2 exceeds the limit of 1",
        ),
        (
            |l| l.functions = 1,
            r#"(module (import "" "" (func)) (func))"#,
            "functions: 2 exceeds the limit of 1",
        ),
        (|l| l.functions = 0, r#"(module (import "" "" (func)))"#, "functions: 1 exceeds the limit of 0"),
        (
            |l| l.locals = 3,
            "(module (func (param i32 i32) (local i32 i64)))",
            "function 0: parameters and locals of a function: 4 exceeds the limit of 3",
        ),
        (
            |l| l.locals = 1,
            "(module (func (param i32 i32)))",
            "parameters and locals of a function: 2 exceeds",
        ),
        (
            |l| l.function_size = 3,
            "(module (func nop nop))",
            "function 0: bytes in a function body: 4 exceeds the limit of 3",
        ),
        (
            |l| l.tables = 1,
            "(module (table 1 funcref) (table 1 funcref))",
            "tables: 2 exceeds the limit of 1",
        ),
        (
            |l| l.tables = 0,
            r#"(module (import "" "" (table 1 funcref)))"#,
            "tables: 1 exceeds the limit of 0",
        ),
        (|l| l.memories = 1, "(module (memory 1) (memory 1))", "memories: 2 exceeds the limit of 1"),
        (
            |l| l.globals = 1,
            r#"(module (import "" "" (global i32)) (global i32 (i32.const 0)))"#,
            "globals: 2 exceeds the limit of 1",
        ),
        (|l| l.element_segments = 0, "(module (elem funcref))", "element segments: 1 exceeds the limit of 0"),
        (
            |l| l.data_segments = 1,
            r#"(module (data "") (data ""))"#,
            "data segments: 2 exceeds the limit of 1",
        ),
    ];
    for (set, text, message) in cases {
        let bytes = wat(text);
        parse_default(&bytes).unwrap();
        let mut config = ModuleConfig::default();
        set(&mut config.limits);
        for error in [
            parse(&bytes, &config, &TypeRegistry::new()).unwrap_err(),
            parse_lazily(&bytes, &config).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ModuleErrorKind::Limit, "{error}");
            assert!(error.to_string().contains(message), "{error}\nexpected {message}");
        }
    }
}

#[test]
fn more_locals_than_can_be_counted_are_a_limit() {
    // Two groups of 2^32 - 1 locals.
    let mut bytes = wat("(module (func (local i32 i64)))");
    let group = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let info = parse_default(&bytes).unwrap();
    let body = info.body_range(DefinedFuncIdx::new(0));
    let replaced: Vec<u8> = [&[2][..], &group, &[0x7f], &group, &[0x7e, 0x0b]].concat();
    bytes.splice(body.start..body.end, replaced.iter().copied());
    // Sizes of the body and of the section.
    bytes[body.start - 1] = replaced.len() as u8;
    bytes[body.start - 3] = replaced.len() as u8 + 2;
    let error = parse_default(&bytes).unwrap_err();
    assert!(error.message().contains("8589934590 exceeds the limit of 50000"), "{error}");
}

#[test]
fn malformed_headers_are_errors_with_offsets() {
    let cases: &[(&[u8], usize)] = &[
        (b"", 0),
        (b"\0as", 0),
        (b"\x7fELF\x01\0\0\0", 0),
        (b"\0asm\x02\0\0\0", 4),
        (b"\0asm\x01\0\0\0\x0e\0", 8),
        (b"\0asm\x01\0\0\0\x01\x05", 10),
        (b"\0asm\x01\0\0\0\0asm", 8),
    ];
    for (bytes, offset) in cases {
        let error = parse_default(bytes).unwrap_err();
        assert_eq!(error.kind(), ModuleErrorKind::Invalid, "{bytes:?}: {error}");
        assert!(error.offset().abs_diff(*offset) <= 2, "{bytes:?}: {error}");
    }
}

fn must_not_panic(bytes: &[u8]) {
    let _ = parse_default(bytes);
    if let Ok(info) = parse(bytes, &lazy(), &TypeRegistry::new()) {
        let mut allocations = Default::default();
        for func in info.defined_funcs() {
            let _ = info.validate_body(bytes, func, &mut allocations);
        }
        let names = info.names(bytes);
        let _ = names.functions().count();
        let _ = names.local(FuncIdx::new(1), LocalIdx::new(1));
    }
}

#[test]
fn truncated_modules_never_panic() {
    let bytes = wat(SAMPLE);
    for end in 0..bytes.len() {
        must_not_panic(&bytes[..end]);
    }
}

#[test]
fn mutated_modules_never_panic() {
    let bytes = wat(SAMPLE);
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 0x40, bytes[at].wrapping_add(1)] {
            let mut mutated = bytes.clone();
            mutated[at] = value;
            must_not_panic(&mutated);
        }
    }
}
