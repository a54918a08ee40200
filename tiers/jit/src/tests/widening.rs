//! Which locals have variables of 64 bits.

use super::setup::{Bench, Module};
use crate::widening::Widening;
use crate::{Entry, Scratch};
use crescendo_abi::Variant;
use crescendo_module::DefinedFuncIdx;

#[test]
fn locals_are_addresses_where_loads_and_stores_take_them() {
    // The locals that are addresses, of five that are there.
    let cases: [(&str, &[usize]); 11] = [
        ("(drop (i32.load (local.get 3)))", &[3]),
        ("(drop (i32.load8_u offset=70000 (local.tee 1 (i32.const 5))))", &[1]),
        ("(i32.store (local.get 2) (local.get 1))", &[2]),
        ("(i64.store16 (local.get 2) (i64.extend_i32_u (i32.add (local.get 1) (i32.const 4))))", &[2]),
        ("(f64.store (local.get 1) (f64.const 1.5)) (drop (f32.load (local.get 4)))", &[1, 4]),
        ("(drop (i32.load (i32.add (local.get 1) (local.get 2))))", &[]),
        ("(drop (i32.load (i32.load (local.get 2))))", &[2]),
        ("(i32.store (local.get 3) (select (local.get 0) (local.get 1) (local.get 2)))", &[3]),
        ("(i32.store (local.get 3) (call 0 (local.get 0)))", &[3]),
        (
            "(v128.store (local.get 3) (i32x4.add (v128.load (local.get 1)) (i32x4.splat (local.get 0))))",
            &[1, 3],
        ),
        // What lies below a block is not followed.
        (
            "(i32.store (local.get 3) (if (result i32) (local.get 0) (then (i32.const 1)) (else (i32.const 2))))",
            &[],
        ),
    ];
    let mut widening = Widening::default();
    for (body, addresses) in cases {
        let module = Module::text(&format!(
            "(module (memory 1) (func (param i32) (result i32) (local i32 i32 i32 i32) {body} (local.get 0)))"
        ));
        let body_of = module.info.func_body(&module.bytes, DefinedFuncIdx::new(0));
        widening.survey(&module.info, &body_of).unwrap();
        let found: Vec<usize> = (0..5).filter(|local| widening.is_address(*local)).collect();
        assert_eq!(found, addresses, "{body}");
    }
}

#[test]
fn what_goes_around_a_loop_is_extended_if_it_is_an_address_and_else_not() {
    let module = Module::text(
        "(module (memory 1)
            (func (param $at i32) (param $best i32) (result i32)
                (loop $next
                    (local.set $best
                        (select (i32.load (local.get $at)) (local.get $best)
                            (i32.lt_u (i32.load (local.get $at)) (local.get $best))))
                    (br_if $next (local.tee $at (i32.add (local.get $at) (i32.const 4)))))
                (local.get $best)))",
    );
    for bench in Bench::all() {
        let request = module.request(DefinedFuncIdx::new(0), Variant::Guarded, Entry::Call);
        let clif = bench.compiler.clif(&mut Scratch::new(), &request).unwrap();
        let params = |line: &str| ["i32", "i64"].map(|ty| line.matches(ty).count());
        let loops = |line: &&str| line.trim_start().starts_with("block") && params(line) == [1, 1];
        assert_eq!(clif.lines().filter(loops).count(), 1, "{clif}");
    }
}

#[test]
fn a_loaded_value_that_two_locals_have_stays() {
    // Local 1 is an address, the others are none.
    let uses = "(drop (i32.load (local.get 1))) (i32.add (local.get 1) (local.get 2))";
    for order in [
        "(local.set 1 (local.tee 2 (i32.load (local.get 0))))",
        "(local.set 2 (local.tee 1 (i32.load (local.get 0))))",
        "(local.set 2 (i32.load (local.get 0))) (local.set 3 (local.get 4)) (local.set 1 (local.get 2))",
    ] {
        let module = Module::text(&format!(
            "(module (memory 1) (func (param i32) (result i32) (local i32 i32 i32 i32) {order} {uses}))"
        ));
        for mut bench in Bench::all() {
            bench.compile(&module, DefinedFuncIdx::new(0), Variant::Guarded, Entry::Call);
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn addresses_that_go_around_a_loop_are_not_extended() {
    let walk = "(loop $l (br_if $l (local.tee 0 (i32.load (local.get 0)))))";
    let module =
        Module::text(&format!("(module (memory 1) (func (param i32) {walk}) (func (param i32) {walk}))"));
    let bench = &Bench::all()[0];
    let extensions = |func| {
        let request = module.request(DefinedFuncIdx::new(func), Variant::Guarded, Entry::Call);
        let text = bench.compiler.assembly(&mut Scratch::new(), &request).unwrap();
        let (_, in_loop) = text.split_once("block1:").expect("the loop");
        in_loop.lines().filter(|line| line.contains("movl") && line.matches('%').count() == 2).count()
    };
    assert_eq!((extensions(0), extensions(1)), (0, 1), "optimised and not");
}
