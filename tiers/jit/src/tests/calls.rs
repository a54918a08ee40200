//! Which calls go straight to code.

use super::setup::{Bench, Module};
use crate::{Callees, Compiled, Entry, OptLevel, Request, UnknownCallees};
use crescendo_abi::Variant;
use crescendo_module::{DefinedFuncIdx, FuncIdx};

/// Functions 0 and 2 are optimised and called from everywhere; by the test bench function 1 has code and function 2 has none. Nothing is
/// small enough to be inlined.
fn calls_module() -> Module {
    let long = "(drop (i32.mul (local.get 0) (i32.const 123456789)))".repeat(20);
    Module::text(&format!(
        "(module
            (func $zero (param i32)
                {long} (loop $l (call $zero (local.get 0)) (call $one (local.get 0)) (call $two (local.get 0)) (br_if $l (local.get 0)))
                (return_call $one (local.get 0)))
            (func $one (param i32) {long} (call $one (local.get 0)))
            (func $two (param i32) {long} (return_call $two (local.get 0))))"
    ))
}

/// The callees of the direct calls, `None` for the code itself, each behind an operator that has such a displacement.
fn callees(compiled: &Compiled) -> Vec<Option<u32>> {
    let callee = |call: &crate::DirectCall| {
        let operator = compiled.code[call.offset as usize - 1];
        assert!([0xe8, 0xe9].contains(&operator), "neither call nor jump: {operator:x}");
        assert!(call.offset as usize + 4 <= compiled.code.len());
        call.callee.map(DefinedFuncIdx::as_u32)
    };
    compiled.calls.iter().map(callee).collect()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn optimised_code_calls_itself_and_what_has_code() {
    let module = calls_module();
    for mut bench in Bench::all() {
        for variant in [Variant::Guarded, Variant::Checked] {
            let mut of = |func, entry| {
                let compiled = bench.compile(&module, DefinedFuncIdx::new(func), variant, entry);
                callees(&compiled)
            };
            assert_eq!(of(0, Entry::Call), [None, Some(1), Some(1)]);
            assert_eq!(of(2, Entry::Call), [None]);
            let loop_offset = module.loops(DefinedFuncIdx::new(0))[0];
            // Code for a loop has no start of its own, and its frame's tail calls leave it by a record.
            assert_eq!(of(0, Entry::Osr { loop_offset }), [Some(1)]);
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn code_for_a_loop_calls_its_function_and_not_itself() {
    let module = calls_module();
    let loop_offset = module.loops(DefinedFuncIdx::new(0))[0];
    for mut bench in Bench::all() {
        let entry = Entry::Osr { loop_offset };
        let request = Request {
            callees: &AllHaveCode,
            ..module.request(DefinedFuncIdx::new(0), Variant::Guarded, entry)
        };
        let compiled = bench.compiler.compile(&mut bench.scratch, &request).unwrap();
        assert_eq!(callees(&compiled), [Some(0), Some(1), Some(2)]);
    }
}

#[derive(Debug)]
struct AllHaveCode;

impl Callees for AllHaveCode {
    fn most_inlined_bytes(&self, _callee: DefinedFuncIdx) -> usize {
        0
    }

    fn has_code(&self, _callee: DefinedFuncIdx) -> bool {
        true
    }
}

#[test]
fn baseline_code_calls_by_records() {
    let module = calls_module();
    for mut bench in Bench::all() {
        let request = Request {
            opt_level: OptLevel::None,
            callees: &UnknownCallees,
            ..module.request(DefinedFuncIdx::new(0), Variant::Guarded, Entry::Call)
        };
        let compiled = bench.compiler.compile(&mut bench.scratch, &request).unwrap();
        assert!(compiled.calls.is_empty() && module.info.func_type_id(FuncIdx::new(0)) == compiled.called[0]);
    }
}
