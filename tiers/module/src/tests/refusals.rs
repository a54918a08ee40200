//! Modules that use a proposal which is not supported or switched off are refused by its name.

use super::*;
use crate::{Proposal, Proposals};

fn refused(bytes: &[u8], config: &ModuleConfig, proposal: Proposal, what: &str) {
    let errors = [parse(bytes, config, &TypeRegistry::new()).err(), parse_lazily(bytes, config).err()];
    for error in errors {
        let error = error.unwrap_or_else(|| panic!("{proposal:?} let through: {what}"));
        assert_eq!(error.proposal(), Some(proposal), "{what}: {error}");
        let state = if proposal.is_supported() { "switched off" } else { "not supported" };
        assert!(
            error.message().starts_with(&format!("the {} proposal is {state}", proposal.name())),
            "{error}"
        );
    }
}

#[test]
fn proposals_that_are_not_supported_are_refused_by_name() {
    use Proposal::*;
    let cases: &[(Proposal, &str)] = &[
        (Gc, "(type (struct))"),
        (Gc, "(type (array i8))"),
        (Gc, "(type (sub (func)))"),
        (Gc, "(rec (type (func)) (type (func)))"),
        (Gc, "(rec (type (func)))"),
        (Gc, "(type $t (func (param (ref null $t))))"),
        (Gc, "(func (param anyref))"),
        (Gc, "(func (result (ref null nofunc)) unreachable)"),
        (Gc, "(func (local i31ref))"),
        (Gc, "(func unreachable ref.eq drop)"),
        (Gc, "(func i32.const 0 ref.i31 drop)"),
        (Gc, "(func unreachable ref.cast funcref drop)"),
        (Gc, "(global i32 (i32.const 0)) (global i32 (global.get 0))"),
        (Gc, "(table 1 eqref)"),
        (StackSwitching, "(type $f (func)) (type (cont $f))"),
        (MemoryControl, "(memory 1) (func unreachable memory.discard)"),
        (SharedEverythingThreads, "(global (shared i32) (i32.const 0))"),
        (SharedEverythingThreads, "(type (shared (func)))"),
        (SharedEverythingThreads, "(func (param (ref null (shared func))))"),
        (AcquireReleaseAtomics, "(func pause)"),
    ];
    for (proposal, text) in cases {
        refused(&wat(&format!("(module {text})")), &ModuleConfig::default(), *proposal, text);
    }
}

#[test]
fn components_are_refused_by_name() {
    refused(&wat("(component)"), &ModuleConfig::default(), Proposal::ComponentModel, "a component");
    // An older and an unknown version of the format.
    for version in [0x0a, 0x77] {
        let bytes = [0, b'a', b's', b'm', version, 0, 1, 0];
        refused(&bytes, &ModuleConfig::default(), Proposal::ComponentModel, "a component");
    }
}

#[test]
fn compact_imports_are_refused_by_name() {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    // Types: one `(func)`. Imports: a group of one function `f` of module `m`.
    bytes.extend([1, 4, 1, 0x60, 0, 0]);
    bytes.extend([2, 10, 1, 1, b'm', 0, 0x7f, 1, 1, b'f', 0, 0]);
    refused(&bytes, &ModuleConfig::default(), Proposal::CompactImports, "a group of imports");
}

#[test]
fn each_supported_proposal_is_refused_by_name_when_switched_off() {
    use Proposal::*;
    let cases: &[(Proposal, &str)] = &[
        (MutableGlobal, r#"(import "" "" (global (mut i32)))"#),
        (MutableGlobal, r#"(global (export "") (mut i32) (i32.const 0))"#),
        (SignExtension, "(func unreachable i32.extend8_s drop)"),
        (SaturatingFloatToInt, "(func unreachable i32.trunc_sat_f32_s drop)"),
        (MultiValue, "(type (func (result i32 i32)))"),
        (MultiValue, "(func i32.const 0 (block (param i32) drop))"),
        (BulkMemory, "(memory 1) (func unreachable memory.copy)"),
        (BulkMemory, "(memory 1) (func unreachable memory.fill)"),
        (BulkMemory, r#"(data "")"#),
        (BulkMemory, r#"(memory 1) (func unreachable memory.init 0) (data "")"#),
        (BulkMemory, "(elem funcref)"),
        (BulkMemory, "(table 1 funcref) (func unreachable table.copy)"),
        (ReferenceTypes, "(func (param externref))"),
        (ReferenceTypes, "(global funcref (ref.null func))"),
        (ReferenceTypes, "(table 1 externref)"),
        (ReferenceTypes, "(table 1 funcref) (table 1 funcref)"),
        (ReferenceTypes, r#"(import "" "" (table 1 funcref)) (table 1 funcref)"#),
        (ReferenceTypes, "(table 1 funcref) (func table.size drop)"),
        (ReferenceTypes, "(func unreachable select (result i32) drop)"),
        (TailCall, "(func return_call 0)"),
        (TailCall, "(table 1 funcref) (func unreachable return_call_indirect)"),
        (ExtendedConst, "(global i32 (i32.add (i32.const 1) (i32.const 2)))"),
        (ExtendedConst, r#"(memory 1) (data (i32.mul (i32.const 1) (i32.const 2)) "")"#),
        (MultiMemory, "(memory 1) (memory 1)"),
        (MultiMemory, r#"(import "" "" (memory 1)) (memory 1)"#),
        (Memory64, "(memory i64 1)"),
        (Memory64, "(memory i64 0x100000000000)"),
        (Memory64, "(table i64 1 funcref)"),
        (Memory64, r#"(import "" "" (memory i64 1))"#),
        (FunctionReferences, "(type $t (func)) (func (param (ref null $t)))"),
        (FunctionReferences, "(func (param (ref func)))"),
        (FunctionReferences, "(type $t (func)) (func unreachable call_ref $t)"),
        (FunctionReferences, "(func unreachable ref.as_non_null drop)"),
        (FunctionReferences, "(table 1 funcref (ref.null func))"),
        (Simd, "(func (param v128))"),
        (Simd, "(type (func (result v128)))"),
        (Simd, "(func (local v128))"),
        (Simd, "(func v128.const i32x4 0 0 0 0 drop)"),
        (Simd, "(func unreachable i8x16.swizzle drop)"),
        (Simd, "(func (block (result v128) unreachable) drop)"),
        (Simd, "(global v128 (v128.const i32x4 0 0 0 0))"),
        (Simd, r#"(import "" "" (global v128))"#),
        (RelaxedSimd, "(func unreachable i8x16.relaxed_swizzle drop)"),
        (WideArithmetic, "(func unreachable i64.add128 drop drop)"),
        (CustomPageSizes, "(memory 1 (pagesize 1))"),
        (CustomPageSizes, r#"(import "" "" (memory 1 (pagesize 65536)))"#),
        (Threads, "(memory 1 1 shared)"),
        (Threads, r#"(import "" "" (memory 1 1 shared))"#),
        (Threads, "(func atomic.fence)"),
        (Threads, "(memory 1) (func i32.const 0 i32.atomic.load drop)"),
        (Exceptions, "(tag)"),
        (Exceptions, r#"(import "" "" (tag))"#),
        (Exceptions, "(func (param exnref))"),
        (Exceptions, "(global exnref (ref.null exn))"),
        (Exceptions, "(func try_table end)"),
        (Exceptions, "(func unreachable throw_ref)"),
        (LegacyExceptions, "(func try catch_all end)"),
    ];
    for (proposal, text) in cases {
        let bytes = wat(&format!("(module {text})"));
        let mut features = Proposals::default();
        features.set(*proposal, true);
        parse(&bytes, &ModuleConfig { features, ..ModuleConfig::default() }, &TypeRegistry::new())
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        features.set(*proposal, false);
        refused(&bytes, &ModuleConfig { features, ..ModuleConfig::default() }, *proposal, text);
    }
    let tested: Vec<_> = cases.iter().map(|(proposal, _)| *proposal).collect();
    assert!(Proposal::SUPPORTED.iter().all(|proposal| tested.contains(proposal)));
}

#[test]
fn plainly_invalid_modules_are_not_blamed_on_a_proposal() {
    let mut features = Proposals::none();
    features.set(Proposal::MutableGlobal, true);
    let old = ModuleConfig { features, ..ModuleConfig::default() };
    for text in [
        "(func (result i32))",
        "(func local.get 3)",
        "(func call 9)",
        r#"(export "a" (func 0))"#,
        "(memory 3 2)",
        "(memory 70000)",
        "(global i32 (i64.const 0))",
        "(func unreachable i32.load)",
        r#"(func) (export "a" (func 0)) (export "a" (func 0))"#,
        "(func (param i32)) (start 0)",
    ] {
        let bytes = wat(&format!("(module {text})"));
        for config in [&ModuleConfig::default(), &old] {
            let error = parse(&bytes, config, &TypeRegistry::new()).unwrap_err();
            assert_eq!(error.proposal(), None, "{text}: {error}");
        }
    }
}
