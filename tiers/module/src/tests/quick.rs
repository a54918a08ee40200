//! The quick check of bodies accepts nothing that wasmparser does not, and most of what real programs have.

use super::{lazy, wat};
use crate::quick::{self, QuickScratch};
use crate::{DefinedFuncIdx, ModuleInfo, ModuleLimits, TypeRegistry, parse, validate};

/// A module whose last function has nothing but `nop`s, which tests overwrite.
const FRAME: &str = r#"(module
    (type $v (func)) (type $i (func (param i32))) (type $ii (func (param i32 i32) (result i32)))
    (type $two (func (param i64) (result i32 f64))) (type $r (func (param externref) (result v128)))
    (import "h" "f" (func (type $ii)))
    (global i32 (i32.const 0)) (global (mut i64) (i64.const 0)) (global (mut f32) (f32.const 0))
    (global (mut externref) (ref.null extern))
    (table 1 funcref) (table 1 externref)
    (memory MEMORY)
    (tag (type $v)) (tag (type $i)) (tag (param exnref)) (tag (param v128))
    (func (type $two) unreachable)
    (func (type $r) unreachable)
    (func (param i32 i64 f32) (result i32) (local f32 f64 i32 exnref) NOPS))"#;

const NOPS: usize = 200;

/// Operators and what often follows them: bytes that are put together at random.
#[rustfmt::skip]
const PIECES: &[&[u8]] = &[
    &[0x00], &[0x01], &[0x02, 0x40], &[0x02, 0x7f], &[0x02, 0x02], &[0x02, 0x03], &[0x03, 0x40], &[0x03,
    0x7e], &[0x03, 0x01], &[0x03, 0x02], &[0x04, 0x40], &[0x04, 0x7f], &[0x04, 0x02], &[0x04, 0x00], &[0x05],
    &[0x0b], &[0x0c, 0x00], &[0x0c, 0x01], &[0x0c, 0x02], &[0x0d, 0x00], &[0x0d, 0x01], &[0x0d, 0x02], &[0x0e,
    0x01, 0x00, 0x01], &[0x0e, 0x02, 0x01, 0x00, 0x00], &[0x0e, 0x00, 0x00], &[0x0f], &[0x10, 0x00], &[0x10,
    0x01], &[0x10, 0x02], &[0x10, 0x03], &[0x11, 0x00, 0x00], &[0x11, 0x02, 0x00], &[0x11, 0x03, 0x00],
    &[0x11, 0x01, 0x01], &[0x1a], &[0x1a], &[0x1b], &[0x20, 0x00], &[0x20, 0x01], &[0x20, 0x02], &[0x20,
    0x03], &[0x20, 0x04], &[0x20, 0x05], &[0x21, 0x00], &[0x21, 0x01], &[0x22, 0x00], &[0x22, 0x03], &[0x21,
    0x06], &[0x23, 0x00], &[0x23, 0x01], &[0x24, 0x00], &[0x24, 0x01], &[0x24, 0x02], &[0x24, 0x03], &[0x23,
    0x04], &[0x28, 0x02, 0x08], &[0x29, 0x03, 0x00], &[0x2a, 0x03, 0x00], &[0x2d, 0x00, 0x80, 0x01], &[0x35,
    0x02, 0x00], &[0x36, 0x02, 0x00], &[0x37, 0x02, 0x04], &[0x3b, 0x02, 0x00], &[0x39, 0x03, 0x00], &[0x28,
    0x42, 0x00, 0x00], &[0x3f, 0x00], &[0x40, 0x00], &[0x41, 0x00], &[0x41, 0x7f], &[0x41, 0xff, 0xff, 0xff,
    0xff, 0x0f], &[0x41, 0x80, 0x80, 0x80, 0x80, 0x78], &[0x42, 0x01], &[0x42, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0x7f], &[0x43, 0, 0, 0, 0], &[0x44, 0, 0, 0, 0, 0, 0, 0, 0], &[0x45], &[0x46],
    &[0x50], &[0x51], &[0x5b], &[0x61], &[0x67], &[0x6a], &[0x6a], &[0x78], &[0x79], &[0x7c], &[0x8a],
    &[0x8b], &[0x92], &[0x99], &[0xa0], &[0xa7], &[0xa8], &[0xac], &[0xad], &[0xb2], &[0xb6], &[0xb7],
    &[0xbb], &[0xbc], &[0xbd], &[0xbe], &[0xbf], &[0xc0], &[0xc2], &[0xc4], &[0xc5], &[0xfc, 0x00], &[0xfc,
    0x03], &[0xfc, 0x06], &[0xfc, 0x0a, 0x00, 0x00], &[0xfc, 0x0b, 0x00], &[0xfc, 0x0c, 0, 0], &[0xd0, 0x70],
    &[0xd1], &[0xfd, 0x0c], &[0x06, 0x40], &[0x12, 0x00], &[0x1c, 0x01, 0x7f], &[0x02, 0x69], &[0x20,
    0x06], &[0x22, 0x06], &[0x03, 0x69], &[0x02, 0x69], &[0x08, 0x00], &[0x08, 0x01], &[0x08, 0x02], &[0x08, 0x03], &[0x0a], &[0x1f,
    0x40, 0x00], &[0x1f, 0x69, 0x00], &[0x1f, 0x40, 0x01, 0x02, 0x00], &[0x1f, 0x40, 0x01, 0x02, 0x01], &[0x1f, 0x40,
    0x01, 0x03, 0x00], &[0x1f, 0x7f, 0x01, 0x03, 0x01], &[0x1f, 0x40, 0x01, 0x00, 0x00, 0x00], &[0x1f, 0x40, 0x01, 0x00, 0x01,
    0x00], &[0x1f, 0x02, 0x01, 0x01, 0x00, 0x00], &[0x1f, 0x40, 0x01, 0x00, 0x02, 0x00], &[0x1f, 0x40, 0x01, 0x01, 0x01,
    0x00], &[0x1f, 0x40, 0x02, 0x02, 0x00, 0x03, 0x00], &[0x1f, 0x40, 0x01, 0x04, 0x00],
];

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

/// What is checked, with memory for it.
struct Bodies {
    info: ModuleInfo,
    bytes: Vec<u8>,
    scratch: QuickScratch,
    allocations: validate::FuncValidatorAllocations,
}

impl Bodies {
    fn new(bytes: Vec<u8>) -> Bodies {
        let info = parse(&bytes, &lazy(), &TypeRegistry::new()).unwrap();
        Bodies { info, bytes, scratch: QuickScratch::default(), allocations: Default::default() }
    }

    /// Whether the quick check accepts a body; then wasmparser has to.
    fn accepts(&mut self, func: DefinedFuncIdx) -> bool {
        let quick =
            quick::is_valid(&self.info, &self.bytes, func, ModuleLimits::MAX.locals, &mut self.scratch);
        if quick {
            let thorough = self.thorough(func);
            assert!(thorough, "accepted: {:02x?}", &self.bytes[self.info.body_range(func)]);
        }
        quick
    }

    fn thorough(&mut self, func: DefinedFuncIdx) -> bool {
        validate::check_thoroughly(&self.info, &self.bytes, func, &mut self.allocations).is_ok()
    }
}

fn rounds(default: usize) -> usize {
    std::env::var("CRESCENDO_QUICK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_invalid_is_accepted_of_random_operators() {
    let mut random = Random(1);
    for memory in ["1", "i64 1"] {
        let mut bodies =
            Bodies::new(wat(&FRAME.replace("MEMORY", memory).replace("NOPS", &"nop ".repeat(NOPS))));
        let func = DefinedFuncIdx::new(2);
        let range = bodies.info.body_range(func);
        let (mut accepted, mut valid) = (0, 0);
        for round in 0..rounds(60_000) {
            // `nop`s, perhaps `unreachable`, perhaps operands that fill a word or two but for a few, what is drawn, perhaps a result
            // or `unreachable`.
            let mut body = if random.below(2) == 0 { vec![0x00] } else { Vec::new() };
            let many = [0, 0, 0, 18, 39][random.below(5)];
            for _ in 0..if many > 0 { many + random.below(4) } else { 0 } {
                body.extend([[0x41, 0x00], [0x20, 0x01]][usize::from(random.below(8) == 0)]);
            }
            for _ in 0..1 + random.below(9) {
                body.extend(PIECES[random.below(PIECES.len())]);
            }
            let ends: [&[u8]; 4] = [&[], &[0x41, 0x00], &[0x00], &[0x0b, 0x41, 0x00]];
            body.extend(ends[random.below(4)]);
            body.truncate(NOPS);
            let end = range.end - 1;
            bodies.bytes[end - NOPS..end].fill(0x01);
            bodies.bytes[end - body.len()..end].copy_from_slice(&body);
            let quick = bodies.accepts(func);
            accepted += usize::from(quick);
            if round % 16 == 0 {
                valid += usize::from(!quick && bodies.thorough(func));
            }
        }
        assert!(
            accepted > rounds(60_000) / 200,
            "{accepted} accepted, {valid} of a sixteenth valid but not known"
        );
    }
}

#[test]
fn nothing_invalid_is_accepted_of_damaged_programs() {
    let mut random = Random(2);
    for name in ["lua", "bzip2"] {
        let path = format!("{}/../../tests/programs/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
        let mut bodies = Bodies::new(std::fs::read(path).unwrap());
        let funcs = bodies.info.defined_func_count();
        let known = (0..funcs).filter(|func| bodies.accepts(DefinedFuncIdx::new(*func))).count();
        assert!(known * 100 >= 98 * funcs as usize, "{known} of {funcs} bodies of {name}");
        for _ in 0..rounds(20_000) {
            let func = DefinedFuncIdx::new(random.below(funcs as usize) as u32);
            let range = bodies.info.body_range(func);
            if range.len() > 2000 {
                continue;
            }
            let original = bodies.bytes[range.clone()].to_vec();
            for _ in 0..1 + random.below(2) {
                let at = range.start + random.below(range.len());
                let pieces = [PIECES[random.below(PIECES.len())], &[random.below(256) as u8]];
                let piece = pieces[random.below(2)];
                let len = piece.len().min(range.end - at);
                bodies.bytes[at..at + len].copy_from_slice(&piece[..len]);
            }
            bodies.accepts(func);
            bodies.bytes[range].copy_from_slice(&original);
        }
    }
}

#[test]
fn modules_that_may_not_use_a_proposal_are_left_to_wasmparser() {
    let bytes = wat("(module (func (param i32) (result i32) (i32.extend8_s (local.get 0))))");
    let mut config = lazy();
    let valid = |config: &crate::ModuleConfig| {
        let info = parse(&bytes, config, &TypeRegistry::new()).unwrap();
        quick::is_valid(&info, &bytes, DefinedFuncIdx::new(0), 10, &mut QuickScratch::default())
    };
    assert!(valid(&config));
    config.features.wasm_sign_extension(false);
    assert!(!valid(&config));
}

#[test]
fn exceptions_are_known_where_they_may_be_used() {
    let bytes = wat("(module (tag $t (param i32))
            (func (result i32) (local exnref)
                (block (result i32 exnref)
                    (try_table (result i32 exnref) (catch_ref $t 0) (throw $t (i32.const 1))))
                local.set 0
                (block (result exnref) (try_table (catch_all_ref 0) (throw_ref (local.get 0))) unreachable)
                throw_ref))");
    let mut config = lazy();
    let mut bodies = Bodies::new(bytes);
    assert!(bodies.accepts(DefinedFuncIdx::new(0)));
    let bytes = wat("(module (func (block (try_table (catch_all 0)))))");
    for may in [true, false] {
        config.features.wasm_exceptions(may);
        let info = parse(&bytes, &config, &TypeRegistry::new()).unwrap();
        let scratch = &mut QuickScratch::default();
        assert_eq!(quick::is_valid(&info, &bytes, DefinedFuncIdx::new(0), 10, scratch), may);
    }
}

/// Every operator on numbers and every access, with operands of all types, one, two or none: the quick check accepts what is valid.
#[test]
fn every_operator_on_numbers_is_known_with_its_types_only() {
    let padding = "nop ".repeat(NOPS);
    let mut bodies = Bodies::new(wat(&format!("(module (memory 1) (func {padding}))")));
    let func = DefinedFuncIdx::new(0);
    let end = bodies.info.body_range(func).end - 1;
    let constants: [&[u8]; 4] =
        [&[0x41, 0], &[0x42, 0], &[0x43, 0, 0, 0, 0], &[0x44, 0, 0, 0, 0, 0, 0, 0, 0]];
    let mut operands: Vec<Vec<u8>> = vec![Vec::new()];
    for one in constants {
        operands.push(one.to_vec());
        operands.extend(constants.map(|two| [one, two].concat()));
    }
    let (accesses, numbers) = ((0x28..=0x3e).map(|op| vec![op, 0, 0]), (0x45..=0xc4).map(|op| vec![op]));
    for op in accesses.chain(numbers) {
        let mut valid = 0;
        for operands in &operands {
            // As it is, with one result, and where nothing is reached.
            for (before, after) in [(&[][..], &[][..]), (&[], &[0x1a]), (&[0x00], &[]), (&[0x00], &[0x1a])] {
                let body = [before, operands, &op, after].concat();
                bodies.bytes[end - NOPS..end].fill(0x01);
                bodies.bytes[end - body.len()..end].copy_from_slice(&body);
                assert_eq!(bodies.accepts(func), bodies.thorough(func), "{body:02x?}");
                valid += usize::from(before.is_empty() && bodies.accepts(func));
            }
        }
        assert_eq!(valid, 1, "{op:02x?}");
    }
}

/// Any number of operands is known, in each block, and of parameters of a function as many as fit a word.
#[test]
fn many_operands_are_known() {
    let known = |text: &str| {
        let mut bodies = Bodies::new(wat(text));
        let func = DefinedFuncIdx::new(bodies.info.defined_func_count() - 1);
        assert_eq!(bodies.accepts(func), bodies.thorough(func), "{text}");
        bodies.accepts(func)
    };
    let constants =
        |count: usize| "(f64.const 1) (i32.const 1)".repeat(count / 2) + &"(f64.const 1)".repeat(count % 2);
    let drops = |count: usize| "drop ".repeat(count);
    let selects = |count: usize| "select ".repeat(count);
    for count in [20, 21, 22, 41, 42, 43, 44, 63, 64, 100] {
        for drop in [count - 1, count, count + 1] {
            let outer = format!("{} {}", constants(count), drops(drop));
            assert_eq!(known(&format!("(module (func {outer}))")), drop == count);
            let inner = format!("{} (block (result f64) {outer} (f64.const 1))", constants(7));
            assert_eq!(known(&format!("(module (func {inner} {}))", drops(8))), drop == count);
        }
        // Operands of one type stay right across a word's end, taken by three and by two.
        let same = "(i32.const 1)".repeat(2 * count + 1);
        assert!(known(&format!("(module (func (result i32) {same} {}))", selects(count))));
        let mixed =
            format!("{} {}", "(i32.const 1) (f32.const 1)".repeat(count), "f32.add ".repeat(2 * count - 1));
        assert!(!known(&format!("(module (func (result f32) {mixed}))")));
        assert!(!known(&format!(
            "(module (func (result i32) {} {}))",
            constants(2 * count + 1),
            selects(count)
        )));
        let branch = format!("(block (result i32) {same} br 0)");
        assert!(known(&format!("(module (func (result i32) {branch}))")));
        let branch = format!("(block (result i32) {same} (br_if 0 (i32.const 0)) {})", drops(2 * count));
        assert!(known(&format!("(module (func (result i32) {branch}))")));
    }
    for (count, expected) in [(21, true), (22, false)] {
        let params = "f64 ".repeat(count);
        let callee = format!("(type $t (func (param {params}))) (func $f (type $t))");
        let operands = "(f64.const 1)".repeat(count);
        let module = format!("(module {callee} (func {operands} {operands} call $f call $f))");
        let mut bodies = Bodies::new(wat(&module));
        assert_eq!(bodies.accepts(DefinedFuncIdx::new(1)), expected);
        assert_eq!(bodies.accepts(DefinedFuncIdx::new(0)), expected);
        assert!(bodies.thorough(DefinedFuncIdx::new(1)));
    }
    // Locals whose index takes two bytes, and the last of each.
    for index in [127, 128, 299] {
        let body = format!("(local.set {index} (local.tee {index} (local.get {index})))");
        assert!(known(&format!("(module (func (local {}) {body}))", "i64 ".repeat(300))));
    }
}
