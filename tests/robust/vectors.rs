//! Every vector operator with its operands and results in every place: slots, the accumulator, locals in registers.
//!
//! The specification's tests have no loops around vector operators, and without a loop no local stays in a register.

use crescendo::{Config, Engine, Instance, Module, Store, Tiering, TieringMode};
use crescendo_semantics::{Kind, Op, Ty};
use std::fmt::Write;

/// Vectors that are in registers 1 and 2, in a slot, and in the accumulator.
const VECTORS: [&str; 4] =
    ["(local.get $a)", "(local.get $b)", "(local.get $c)", "(v128.xor (local.get $c) (local.get $d))"];
const I32S: [&str; 4] =
    ["(local.get $i)", "(local.get $k)", "(i32.const 13)", "(i32.add (local.get $k) (local.get $i))"];
const I64S: [&str; 2] = ["(local.get $l)", "(i64.mul (local.get $l) (local.get $l))"];
const F32S: [&str; 2] = ["(local.get $f)", "(f32.neg (local.get $f))"];
const F64S: [&str; 2] = ["(local.get $g)", "(f64.neg (local.get $g))"];
const BYTES: usize = 1 << 20;

fn operands(ty: Ty) -> &'static [&'static str] {
    match ty {
        Ty::I32 => &I32S,
        Ty::I64 => &I64S,
        Ty::F32 => &F32S,
        Ty::F64 => &F64S,
        Ty::V128 => &VECTORS,
    }
}

/// The operator as it is written, once for each lane that is tried.
fn spellings(op: Op) -> Vec<String> {
    let row = op.row();
    let lanes = |bytes: u8| vec![format!("{} 0", row.name), format!("{} {}", row.name, 16 / bytes - 1)];
    match row.kind {
        Kind::ExtractLane { bytes, .. } | Kind::ReplaceLane { bytes } => lanes(bytes),
        _ => vec![row.name.to_string()],
    }
}

/// Every way to put operands into the places that there are.
fn combinations(params: &[Ty]) -> Vec<String> {
    params.iter().fold(vec![String::new()], |all, ty| {
        all.iter().flat_map(|one| operands(*ty).iter().map(move |other| format!("{one} {other}"))).collect()
    })
}

/// A function whose loop runs an operator in all places and writes each result to memory. NaNs become those with all bits set:
/// which one comes out is not determined.
fn function(body: &mut String, number: usize, spelling: &str, params: &[Ty], result: Ty) {
    let nan_free = |value: &str| match spelling.split('.').next() {
        Some(lanes @ ("f32x4" | "f64x2")) if result == Ty::V128 => {
            let ones = "(v128.const i64x2 -1 -1)";
            format!("(v128.bitselect {value} {ones} ({lanes}.eq {value} {value}))")
        }
        _ => value.to_string(),
    };
    let _ = write!(
        body,
        "(func (export \"{number}\") (param $p i32) (result i32)
           (local $a v128) (local $b v128) (local $c v128) (local $d v128)
           (local $i i32) (local $k i32) (local $l i64) (local $f f32) (local $g f64)
           (local.set $a (v128.const i32x4 0x3f8ccccd 0xc1234567 0x00000007 0x7fffffff))
           (local.set $b (v128.const i32x4 0x80000001 0x40400000 0x41424344 0xff00ff00))
           (local.set $c (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 255))
           (local.set $d (v128.const f64x2 1.5 -2.25))
           (local.set $i (i32.const 3)) (local.set $k (i32.const -2)) (local.set $l (i64.const 0x123456789))
           (local.set $f (f32.const 1.25)) (local.set $g (f64.const -3.5))
           (loop $again\n"
    );
    // What is read more often stays in registers.
    for _ in 0..200 {
        body.push_str(
            "(drop (local.get $a)) (drop (local.get $b)) (drop (local.get $i)) (drop (local.get $p))\n",
        );
    }
    for operands in combinations(params) {
        let value = format!("({spelling} {operands})");
        let next = "(local.set $p (i32.add (local.get $p) (i32.const 16)))";
        if result == Ty::V128 {
            for local in ["$a", "$b", "$c"] {
                let read = format!("(local.get {local})");
                let clean = nan_free(&read);
                let _ = writeln!(body, "(local.set {local} {value}) (local.set {local} {clean})");
                let _ = writeln!(body, "(v128.store (local.get $p) {read}) {next}");
            }
        } else {
            let _ = writeln!(body, "({}.store (local.get $p) {value}) {next}", result.name());
        }
    }
    body.push_str(
        "(local.set $i (i32.add (local.get $i) (i32.const 1)))
         (br_if $again (i32.lt_u (local.get $i) (i32.const 5))))
         (local.get $p))\n",
    );
}

/// All that the functions write, one after the other.
fn written(engine: &Engine, wasm: &[u8], functions: usize) -> Vec<Vec<u8>> {
    let module = Module::new(engine, wasm).expect("the module is valid");
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("it needs no imports");
    let memory = instance.get_memory(&mut store, "memory").expect("the module has a memory");
    (0..functions)
        .map(|number| {
            let name = number.to_string();
            let run = instance.get_typed_func::<i32, i32>(&mut store, &name).expect("each is exported");
            let end = run.call(&mut store, 0).expect("no operator on vectors traps");
            memory.data(&store)[..end as usize].to_vec()
        })
        .collect()
}

#[test]
fn vector_operators_do_the_same_wherever_their_operands_are() {
    let mut text = format!("(module (memory (export \"memory\") {})\n", BYTES >> 16);
    let mut names = Vec::new();
    let mut add = |spelling: String, params: &[Ty], result: Ty| {
        function(&mut text, names.len(), &spelling, params, result);
        names.push(spelling);
    };
    for op in Op::ALL {
        let row = op.row();
        let (Kind::Value | Kind::Compare | Kind::ExtractLane { .. } | Kind::ReplaceLane { .. }, Some(result)) =
            (row.kind, row.result)
        else {
            continue;
        };
        if row.params.contains(&Ty::V128) || result == Ty::V128 {
            for spelling in spellings(*op) {
                add(spelling, row.params, result);
            }
        }
    }
    add("i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31".to_string(), &[Ty::V128; 2], Ty::V128);
    add("i8x16.shuffle 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0".to_string(), &[Ty::V128; 2], Ty::V128);
    add(
        "i8x16.shuffle 16 17 16 17 18 19 31 30 29 28 27 26 25 24 23 22".to_string(),
        &[Ty::V128; 2],
        Ty::V128,
    );
    text.push(')');
    assert!(names.len() > 230, "only {} operators", names.len());
    let wasm = wat::parse_str(&text).expect("the text is well-formed");

    let engine = |mode, fusion| {
        let mut config = Config::new();
        config.fusion(fusion).tiering(Tiering::new(mode));
        Engine::new(&config).expect("the configuration is valid")
    };
    let plain = written(&engine(TieringMode::InterpreterOnly, false), &wasm, names.len());
    for (mode, other) in
        [("fused", engine(TieringMode::InterpreterOnly, true)), ("native", engine(TieringMode::Eager, true))]
    {
        let results = written(&other, &wasm, names.len());
        for ((name, expected), result) in names.iter().zip(&plain).zip(&results) {
            assert!(expected.iter().any(|byte| *byte != 0) || name.contains("true"), "{name} writes nothing");
            let different = expected.chunks(16).zip(result.chunks(16)).position(|(a, b)| a != b);
            assert_eq!(different, None, "{mode}: {name}: the number of the result that is different");
        }
    }
}
