//! Each operator, from the rows or from the text of `snippets.wat`.

use super::setup::{Bench, Module};
use crate::{Entry, Scratch};
use crescendo_abi::{TrapCode, Variant};
use crescendo_module::DefinedFuncIdx;
use crescendo_semantics::{Kind, Op};
use std::collections::BTreeSet;
use std::fmt::Write;

pub(crate) const SNIPPETS: &str = include_str!("snippets.wat");
pub(crate) const SNIPPETS64: &str = include_str!("snippets64.wat");
pub(crate) const EXCEPTIONS: &str = include_str!("exceptions.wat");

/// A module with a function for each row with a lowering of its own, and each access.
fn rows() -> String {
    let mut text = "(module (memory 1) (memory 1)\n".to_string();
    for op in Op::ALL {
        let row = op.row();
        let params: Vec<&str> = row.params.iter().map(|ty| ty.name()).collect();
        let results = if row.kind == Kind::Wide { 2 } else { 1 };
        let result = row.result.map_or(String::new(), |ty| format!("(result {})", ty.name()).repeat(results));
        let gets: String = (0..params.len()).map(|i| format!("local.get {i} ")).collect();
        match row.kind {
            Kind::Control => {}
            _ if matches!(op, Op::RefIsNull | Op::RefAsNonNull) => {}
            Kind::Load { .. }
            | Kind::Atomic { .. }
            | Kind::Store { .. }
            | Kind::LoadLane { .. }
            | Kind::StoreLane { .. } => {
                let lane = matches!(row.kind, Kind::LoadLane { .. } | Kind::StoreLane { .. });
                let lane = if lane { " 0" } else { "" };
                for place in ["", "offset=16", "offset=0xfffffff0", "1 offset=3"] {
                    let name = row.name;
                    let params = params.join(" ");
                    writeln!(text, "(func (param {params}) {result} {gets} {name} {place}{lane})").unwrap();
                }
            }
            Kind::ExtractLane { .. } | Kind::ReplaceLane { .. } => {
                // The lane stands behind the operator.
                let params = params.join(" ");
                writeln!(text, "(func (param {params}) {result} {gets} {} 1)", row.name).unwrap();
            }
            _ => {
                writeln!(text, "(func (param {}) {result} {gets} {})", params.join(" "), row.name).unwrap();
            }
        }
    }
    text.push(')');
    text
}

/// Compiles everything in a module in every way, and gives the operators that were there.
pub(crate) fn compile_all(text: &str) -> BTreeSet<Op> {
    let module = Module::text(text);
    let mut seen = BTreeSet::new();
    for mut bench in Bench::all() {
        for variant in module.variants() {
            for func in module.info.defined_funcs() {
                bench.compile(&module, func, *variant, Entry::Call);
                for loop_offset in module.loops(func) {
                    if let Err(error) = bench.try_compile(&module, func, *variant, Entry::Osr { loop_offset })
                    {
                        assert!(error.to_string().contains("no loop"), "{error}");
                    }
                }
                seen.extend(module.operators(func).into_iter().map(|(_, op)| op));
            }
        }
    }
    seen
}

#[test]
fn every_operator_that_has_a_row_is_translated() {
    let mut seen = compile_all(&rows());
    seen.extend(compile_all(SNIPPETS));
    seen.extend(compile_all(SNIPPETS64));
    seen.extend(compile_all(EXCEPTIONS));
    let missing: Vec<&Op> = Op::ALL.iter().filter(|op| !seen.contains(op)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

macro_rules! operator_names {
    ($(@$proposal:ident $op:ident $({ $($payload:tt)* })? => $visit:ident ($($ann:tt)*))*) => {
        &[$(stringify!($op)),*]
    };
}

/// With the test above: all operators of wasmparser, but those that no tier supports, are translated.
#[test]
fn every_operator_of_the_parser_has_a_row_or_a_reason() {
    let names: &[&str] = wasmparser::for_each_operator!(operator_names);
    for name in names {
        let has_row = Op::ALL.iter().any(|op| format!("{op:?}") == *name);
        assert!(has_row != crescendo_semantics::reason(name).is_some(), "{name}");
    }
}

#[test]
fn loops_that_cannot_be_reached_are_no_entries() {
    let module = Module::text("(module (func unreachable loop end) (func loop end))");
    let bench = &mut Bench::all()[0];
    let variant = module.variants()[0];
    let func = DefinedFuncIdx::new(0);
    let loop_offset = module.loops(func)[0];
    let mut fails = |entry| {
        let request = module.request(func, variant, entry);
        bench.compiler.compile(&mut bench.scratch, &request).unwrap_err().to_string()
    };
    assert!(fails(Entry::Osr { loop_offset }).contains("no loop"));
    assert!(fails(Entry::Osr { loop_offset: 0 }).contains("no loop"));
    bench.compile(&module, DefinedFuncIdx::new(1), variant, Entry::Call);
}

#[test]
fn code_can_be_looked_at() {
    let module = Module::text("(module (memory 1) (func (param i32) (result i32) local.get 0 i32.load))");
    let bench = &Bench::all()[0];
    let mut scratch = Scratch::new();
    let func = DefinedFuncIdx::new(0);
    let request = module.request(func, module.variants()[0], Entry::Call);
    let clif = bench.compiler.clif(&mut scratch, &request).unwrap();
    let load = module.operators(func)[1].0;
    assert!(clif.contains(&format!("@{load:04x}")), "{clif}");
    assert!(bench.compiler.assembly(&mut scratch, &request).unwrap().contains("block0"));
    // What was made for looking is no different.
    let compiled = bench.compiler.compile(&mut scratch, &request).unwrap();
    assert_eq!(compiled, bench.compiler.compile(&mut Scratch::new(), &request).unwrap());
}

#[test]
fn a_load_that_is_joined_with_its_user_traps_at_its_own_offset() {
    let text = "(module (memory 1) (func (param i32 i32) (result i32)
        local.get 1 local.get 0 i32.load i32.load offset=4 i32.add unreachable))";
    let module = Module::text(text);
    let func = DefinedFuncIdx::new(0);
    let compiled = Bench::all()[0].compile(&module, func, Variant::Guarded, Entry::Call);
    let operators = module.operators(func);
    let loads = operators.iter().filter(|(_, op)| *op == Op::I32Load).map(|(at, _)| *at);
    let traps = compiled.traps.iter().filter(|trap| trap.code == TrapCode::MemoryOutOfBounds);
    let traps: Vec<u32> = traps.map(|trap| compiled.wasm_offset(trap.offset)).collect();
    assert_eq!(traps, loads.collect::<Vec<u32>>());
}

#[test]
fn a_load_that_is_joined_with_operator_and_store_traps_at_its_own_offset() {
    let ops = [("local.get 0", "i32.add"), ("i32.const 3", "i32.xor"), ("local.get 1", "i32.sub")];
    for (operand, op) in ops {
        let text = format!(
            "(module (memory 1) (func (param i32 i32)
                local.get 0 local.get 0 i32.load offset=8 {operand} {op} i32.store offset=8
                i32.const 4 {operand} i32.const 4 i32.load i32.or i32.store))"
        );
        let module = Module::text(&text);
        let func = DefinedFuncIdx::new(0);
        let compiled = Bench::all()[0].compile(&module, func, Variant::Guarded, Entry::Call);
        let operators = module.operators(func);
        let loads = operators.iter().filter(|(_, op)| *op == Op::I32Load).map(|(at, _)| *at);
        let traps: Vec<u32> = compiled.traps.iter().map(|trap| compiled.wasm_offset(trap.offset)).collect();
        assert_eq!(traps, loads.collect::<Vec<u32>>(), "{op}");
    }
}

#[test]
fn branches_to_unreachable_trap_at_its_offset() {
    let module = Module::text("(module (func (param i32) local.get 0 if unreachable end))");
    let func = DefinedFuncIdx::new(0);
    let compiled = Bench::all()[0].compile(&module, func, Variant::Guarded, Entry::Call);
    let operators = module.operators(func);
    let expected = operators.iter().find(|(_, op)| *op == Op::Unreachable).unwrap().0;
    assert_eq!(compiled.traps.len(), 1);
    assert_eq!(compiled.wasm_offset(compiled.traps[0].offset), expected);
}

#[test]
fn protected_calls_have_landings_and_others_none() {
    let text = "(module (import \"m\" \"f\" (func $f)) (tag $a) (tag $b (param i32))
        (func
            call $f
            block
                try_table (catch $a 0) (catch_all 0)
                    call $f
                    block (result i32) try_table (catch $b 0) call $f end unreachable end
                    drop
                end
            end
            call $f))";
    let module = Module::text(text);
    for variant in module.variants() {
        let compiled = Bench::all()[0].compile(&module, DefinedFuncIdx::new(0), *variant, Entry::Call);
        let innermost: Vec<u32> = compiled.landings.iter().map(|landing| landing.innermost).collect();
        assert_eq!(innermost, [0, 1]);
        assert!(compiled.landings.iter().all(|landing| landing.frame_bytes == compiled.frame_size));
        let clauses = |index: usize| -> Vec<Option<u32>> {
            compiled.tries[index].clauses.iter().map(|clause| clause.tag).collect()
        };
        assert_eq!((clauses(0), clauses(1)), (vec![Some(0), None], vec![Some(1)]));
        assert_eq!((compiled.tries[0].next, compiled.tries[1].next), (None, Some(0)));
    }
}

#[test]
fn signatures_that_are_called_are_listed_once() {
    let text = "(module (type $a (func (param i32))) (type $b (func (param i64))) (type $c (func)) (type $own (func (param f32)))
        (func $f (type $a)) (func $g (type $a)) (func $h (type $c))
        (func (type $own) call $h i32.const 1 call $f i32.const 1 call $g))";
    let module = Module::text(text);
    let ids = module.info.types();
    let compiled = Bench::all()[0].compile(&module, DefinedFuncIdx::new(3), Variant::Guarded, Entry::Call);
    let mut expected = vec![ids[0], ids[2]];
    expected.sort_unstable();
    assert_eq!(compiled.called, expected);
}

#[test]
fn the_unlikely_side_of_a_branch_is_a_cold_block() {
    let text = |hint: &str| {
        format!(
            r#"(module (func (param i32) (result i32) (local $i i32)
                (loop $l
                    (block $out
                        local.get 0
                        (@metadata.code.branch_hint "{hint}") br_if $out
                        (local.set $i (i32.add (local.get $i) (i32.const 3))))
                    local.get $i
                    (@metadata.code.branch_hint "{hint}") if (local.set 0 (i32.const 1)) else
                        (local.set 0 (i32.const 2)) end
                    (br_if $l (i32.lt_u (local.get $i) (i32.const 9))))
                (local.get $i)))"#
        )
    };
    let clif = |bench: &Bench, hint: &str| {
        let module = Module::text(&text(hint));
        let request = module.request(DefinedFuncIdx::new(0), Variant::Guarded, Entry::Call);
        bench.compiler.clif(&mut Scratch::new(), &request).unwrap()
    };
    let cold = |clif: &str| {
        clif.lines().filter(|line| line.trim_start().starts_with("block") && line.contains(" cold")).count()
    };
    let [hinted, unhinted]: [Bench; 2] = Bench::all().try_into().ok().unwrap();
    for hint in ["\\00", "\\01"] {
        let found = clif(&hinted, hint);
        assert_eq!(cold(&found), 2, "{hint}: {found}");
        // Those that ask for the deadline, at the function's start and in the loop.
        let plain = clif(&unhinted, hint);
        assert_eq!(cold(&plain), 2, "{hint}: {plain}");
    }
}

#[test]
fn calls_are_inlined_up_to_their_limits() {
    let text = "(module
        (func $a (call $b) (call $b))
        (func $b (call $c) (call $c))
        (func $c (call $c))
        (func $tail (return_call $c))
        (func (call $a) (call $tail)))";
    let module = Module::text(text);
    let calls = |func| {
        let mut bench = Bench::all().swap_remove(0);
        let compiled = bench.compile(&module, DefinedFuncIdx::new(func), Variant::Guarded, Entry::Call);
        let called = bench.scratch.context.compiled_code().unwrap().buffer.call_sites().count();
        (compiled.inlined.iter().map(|call| (call.func_index, call.caller)).collect::<Vec<_>>(), called)
    };
    // `c` is inlined into itself once.
    assert_eq!(
        calls(0).0,
        [
            (1, None),
            (2, Some(0)),
            (2, Some(1)),
            (2, Some(0)),
            (2, Some(3)),
            (1, None),
            (2, Some(5)),
            (2, Some(6)),
            (2, Some(5)),
            (2, Some(8)),
        ]
    );
    assert_eq!(calls(0).1, 4);
    // A function that makes a tail call is called.
    assert_eq!(calls(4).1, 5);
    assert!(calls(4).0.iter().all(|(func, _)| *func != 3));
    // The requests of these functions inline nothing.
    assert_eq!(calls(2), (vec![], 1));
}
