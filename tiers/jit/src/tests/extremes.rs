//! Functions that no one writes by hand: compiled, or refused with a limit, but never a panic. Cranelift
//! takes more than linear time for some of them, and its verifier more than that, which bounds the sizes
//! here.

use super::setup::{Bench, Module};
use crate::{CompileError, Entry};
use crescendo_module::DefinedFuncIdx;

/// Compiles the only function from its start and from its last loop, in each variant.
fn compile(body: &str) {
    let module = Module::text(&format!("(module (memory 1) (global (mut i32) (i32.const 0)) (func {body}))"));
    let func = DefinedFuncIdx::new(0);
    let mut bench = Bench::all().remove(1);
    let last = module.loops(func).last().map(|loop_offset| Entry::Osr { loop_offset: *loop_offset });
    for variant in module.variants() {
        for entry in std::iter::once(Entry::Call).chain(last) {
            match bench.try_compile(&module, func, *variant, entry) {
                Ok(_) | Err(CompileError::TooLarge { .. }) => {}
                Err(error) => assert!(error.to_string().contains("no loop"), "{error}"),
            }
        }
    }
}

#[test]
fn fifty_thousand_locals() {
    let gets = |from: usize| -> String {
        (from..from + 300).map(|i| format!("local.get {i} i32.add ", i = i * 160)).collect()
    };
    let sets: String = (0..300).map(|i| format!("local.get 0 local.set {} ", i * 160 + 1)).collect();
    let locals = "i32 ".repeat(50_000);
    let body = gets(0);
    compile(&format!("(result i32) (local {locals}) {sets} i32.const 0 loop {sets} end {body}"));
}

#[test]
fn deep_nesting() {
    let depth = 300;
    for open in ["block ", "loop ", "i32.const 1 if "] {
        let body = format!("{} br 7 {}", open.repeat(depth), "end ".repeat(depth));
        compile(&body);
        let body = format!(
            "(param i32) {} local.get 0 br_if 2 global.get 0 local.set 0 {}",
            open.repeat(depth),
            "local.get 0 br_if 0 end ".repeat(depth)
        );
        compile(&body);
    }
}

#[test]
fn deeply_nested_tries() {
    let depth = 300;
    for open in ["try_table ", "try_table (catch_all 0) ", "try_table (catch_all 0) (catch_all 0) call 0 "] {
        compile(&format!("{} call 0 {}", open.repeat(depth), "end ".repeat(depth)));
    }
    compile(&format!("{} call 0 {}", "try ".repeat(depth), "catch_all call 0 end ".repeat(depth)));
    compile(&format!("{} call 0 {}", "try ".repeat(depth), "delegate 0 ".repeat(depth)));
    compile(&format!("try_table (catch_all 0) {} end", "call 0 ".repeat(5000)));
}

#[test]
fn values_below_deep_nesting() {
    let depth = 300;
    let body = format!(
        "(param i32) (result i32) {} loop local.get 0 br_if 0 end {}",
        "local.get 0 block ".repeat(depth),
        "end drop ".repeat(depth - 1) + "end"
    );
    compile(&body);
}

#[test]
fn wide_tables_of_branches() {
    let targets = (0..5000).map(|i| (i % 3).to_string()).collect::<Vec<_>>().join(" ");
    compile(&format!("(param i32) block block local.get 0 br_table {targets} end end"));
    let results = "(result i32 i32 i32)";
    compile(&format!(
        "(param i32) {results} block {results} block {results} i32.const 1 i32.const 2 i32.const 3 \
         local.get 0 br_table {targets} end end"
    ));
}

#[test]
fn long_functions() {
    compile(&format!(
        "(param i32) (result i32) local.get 0 {}",
        "i32.const 3 i32.add local.tee 0 ".repeat(8_000)
    ));
    compile(&format!("(param i32) {}", "local.get 0 if nop else nop end ".repeat(800)));
    compile(&format!("(param i32) {}", "local.get 0 local.get 0 i32.load i32.store ".repeat(800)));
}

#[test]
fn many_operands() {
    let count = 800;
    let body = format!(
        "(param i32) (result i32) {} loop local.get 0 br_if 0 end {}",
        "local.get 0 i32.load ".repeat(count),
        "i32.add ".repeat(count - 1)
    );
    compile(&body);
}

#[test]
fn nothing_but_dead_code() {
    compile(&format!(
        "unreachable {}",
        "block loop i32.const 1 if else end br 0 end end unreachable drop i32.add return ".repeat(2000)
    ));
}

#[test]
fn locals_that_many_loops_keep() {
    // Each local that is read inside is a value of each header.
    let (locals, depth) = (200, 200);
    let gets: String = (0..locals).map(|i| format!("local.get {i} drop ")).collect();
    let ends = "local.get 0 br_if 0 end ".repeat(depth);
    let body = format!("(local {}) {} {gets} {ends}", "i32 ".repeat(locals), "loop ".repeat(depth));
    compile(&body);
}
