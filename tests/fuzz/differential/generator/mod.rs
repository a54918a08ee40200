//! Programs with hot loops: bounded loops, calls and branches over a few locals that are read, overwritten and kept on
//! the operand stack at once.
//!
//! `wasm-smith` finds odd modules; it rarely makes code that runs long enough for a register that was assigned wrongly to
//! show. [`program`] makes such code. It is written as text, one instruction a line, so that a reducer can delete lines.
//!
//! Every program ends: loops count down locals that nothing else writes, and calls spend a global budget. A program may trap.
//! [`Shape`] holds what a whole program has in common; `function` writes functions, `statement` and `expression` their
//! contents.

mod atomics;
mod exceptions;
mod expression;
mod function;
mod operators;
mod random;
mod statement;

use super::Extra;
pub use random::Random;
use std::fmt::Write;

/// The numeric types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Num {
    /// 32 bit integer.
    I32,
    /// 64 bit integer.
    I64,
    /// 32 bit float.
    F32,
    /// 64 bit float.
    F64,
    /// Vector.
    V128,
}

impl Num {
    const SCALARS: &[Num] = &[Num::I32, Num::I64, Num::F32, Num::F64];
    const ALL: &[Num] = &[Num::I32, Num::I64, Num::F32, Num::F64, Num::V128];

    fn name(self) -> &'static str {
        match self {
            Num::I32 => "i32",
            Num::I64 => "i64",
            Num::F32 => "f32",
            Num::F64 => "f64",
            Num::V128 => "v128",
        }
    }

    fn is_float(self) -> bool {
        matches!(self, Num::F32 | Num::F64)
    }
}

/// A type of functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    params: Vec<Num>,
    results: Vec<Num>,
}

impl Signature {
    /// `(param i32) (result i32)`.
    fn text(&self) -> String {
        words("param", &self.params) + &words("result", &self.results)
    }
}

fn words(keyword: &str, types: &[Num]) -> String {
    if types.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = types.iter().map(|ty| ty.name()).collect();
    format!(" ({keyword} {})", names.join(" "))
}

/// What a program may contain.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether NaNs lose their bits wherever these would show, so that engines can be compared.
    pub canonical_nans: bool,
    /// Whether functions are also called by typed references.
    pub references: bool,
    /// Whether there are vectors.
    pub vectors: bool,
    /// Whether exceptions are thrown and caught.
    pub exceptions: bool,
    /// Whether memories are shared and accessed atomically.
    pub threads: bool,
    /// Whether memories have pages of one byte.
    pub small_pages: bool,
    /// Whether integers of 128 bits are computed with.
    pub wide: bool,
}

impl Options {
    /// The options of a seed. Every fifth program uses references, every third vectors, every fourth exceptions, and so on. From
    /// seed 100,000 on, every fourth shows the bits of NaNs, which engines may choose: such programs are for a person to judge.
    pub fn of(seed: u64) -> Options {
        Options {
            canonical_nans: seed < 100_000 || !seed.is_multiple_of(4),
            references: seed % 5 == 1,
            vectors: seed % 3 == 2,
            exceptions: seed % 4 == 3,
            threads: seed % 7 == 5,
            small_pages: seed % 7 == 3,
            wide: seed % 5 == 2,
        }
    }

    /// What the programs may use that not every engine has.
    pub fn extras(&self) -> Vec<Extra> {
        let mut extras = Vec::new();
        for (used, extra) in [
            (self.references, Extra::FunctionReferences),
            (self.vectors, Extra::Simd),
            (self.vectors, Extra::RelaxedSimd),
            (self.exceptions, Extra::Exceptions),
            (self.threads, Extra::Threads),
            (self.small_pages, Extra::CustomPageSizes),
            (self.wide, Extra::WideArithmetic),
        ] {
            if used {
                extras.push(extra);
            }
        }
        extras
    }

    /// The types of values.
    fn types(&self) -> &'static [Num] {
        if self.vectors { Num::ALL } else { Num::SCALARS }
    }
}

/// What the functions of a program have in common.
#[derive(Debug)]
pub(crate) struct Shape {
    options: Options,
    signatures: Vec<Signature>,
    /// The signature of each function; the first parameter of all is the depth of calls.
    functions: Vec<usize>,
    /// The signatures of the imported functions.
    imports: Vec<Signature>,
    /// Whether each memory has 64 bit addresses.
    memories: Vec<bool>,
    globals: Vec<Num>,
    /// The function in each element of the table.
    table: Vec<Option<usize>>,
    /// What each tag carries.
    tags: Vec<Vec<Num>>,
    /// Whether the last function neither calls nor loops, so that it may be called freely.
    leaf: bool,
    /// Whether a function of its own makes NaNs canonical; else it is done in place, with a local that gets hot.
    canonical_call: bool,
    /// In how many of a thousand cases an operation that may trap goes without a guard.
    traps: usize,
}

/// The text of the program of a seed.
pub fn program(seed: u64, options: Options) -> String {
    let mut random = Random::new(seed);
    let shape = Shape::draw(&mut random, options);
    let mut text = String::from("(module\n");
    shape.write_header(&mut random, &mut text);
    for index in 0..shape.functions.len() {
        function::write(&shape, index, &mut random, &mut text);
    }
    text.push_str(")\n");
    text
}

impl Shape {
    fn draw(random: &mut Random, options: Options) -> Shape {
        let types = |random: &mut Random, most: usize| -> Vec<Num> {
            (0..random.between(0, most)).map(|_| *random.pick(options.types())).collect()
        };
        let signatures: Vec<Signature> = (0..random.between(2, 4))
            .map(|_| {
                let most = if random.chance(10) { 12 } else { 4 };
                let mut params = types(random, most);
                params.insert(0, Num::I32);
                let results = match random.below(4) {
                    0 => types(random, 5),
                    _ => vec![*random.pick(options.types())],
                };
                Signature { params, results }
            })
            .collect();
        let functions: Vec<usize> =
            (0..random.between(2, 5)).map(|_| random.below(signatures.len())).collect();
        let imports = (0..random.between(0, 2))
            .map(|_| Signature { params: types(random, 4), results: types(random, 2) })
            .collect();
        let memory64 = random.chance(15);
        let mut memories = vec![memory64];
        if random.chance(15) {
            memories.push(random.chance(30));
        }
        let globals = (0..random.between(2, 6)).map(|_| *random.pick(options.types())).collect();
        let traps = if random.chance(60) { 0 } else { random.between(2, 20) };
        let table = (0..8)
            .map(|_| (traps == 0 || !random.chance(10)).then(|| random.below(functions.len())))
            .collect();
        let leaf = random.chance(60);
        let canonical_call = random.chance(50);
        let tags = match options.exceptions {
            true => (0..random.between(1, 3)).map(|_| types(random, 3)).collect(),
            false => Vec::new(),
        };
        Shape {
            options,
            signatures,
            functions,
            imports,
            memories,
            globals,
            table,
            tags,
            leaf,
            canonical_call,
            traps,
        }
    }

    fn write_header(&self, random: &mut Random, text: &mut String) {
        for (index, signature) in self.signatures.iter().enumerate() {
            line(text, format_args!("(type $t{index} (func{}))", signature.text()));
        }
        for (index, signature) in self.imports.iter().enumerate() {
            line(text, format_args!("(import \"host\" \"h{index}\" (func $h{index}{}))", signature.text()));
        }
        let limits = match self.options {
            Options { small_pages: true, .. } => "65536 131072 (pagesize 1)",
            Options { threads: true, .. } => "1 2 shared",
            _ => "1 2",
        };
        for (index, memory64) in self.memories.iter().enumerate() {
            let ty = if *memory64 { "i64 " } else { "" };
            line(text, format_args!("(memory $m{index} (export \"m{index}\") {ty}{limits})"));
            let mut bytes = String::new();
            for _ in 0..random.between(16, 64) {
                let _ = write!(bytes, "\\{:02x}", random.bits() as u8);
            }
            let ty = if *memory64 { "i64" } else { "i32" };
            let at = random.below(256);
            line(text, format_args!("(data (memory $m{index}) ({ty}.const {at}) \"{bytes}\")"));
        }
        for (index, types) in self.tags.iter().enumerate() {
            line(text, format_args!("(tag $e{index}{})", words("param", types)));
        }
        line(text, format_args!("(global $budget (mut i32) (i32.const 300))"));
        for (index, ty) in self.globals.iter().enumerate() {
            let value = constant(*ty, random);
            line(
                text,
                format_args!("(global $g{index} (export \"g{index}\") (mut {}) ({value}))", ty.name()),
            );
        }
        line(text, format_args!("(table $table {} funcref)", self.table.len()));
        let mut elements = String::new();
        for element in &self.table {
            match element {
                Some(function) => {
                    let _ = write!(elements, " (ref.func $f{function})");
                }
                None => elements.push_str(" (ref.null func)"),
            }
        }
        line(text, format_args!("(elem (table $table) (i32.const 0) funcref{elements})"));
        for ty in ["f32", "f64"] {
            let pick =
                format!("(select (local.get 0) ({ty}.const nan) ({ty}.eq (local.get 0) (local.get 0)))");
            line(text, format_args!("(func $canonical_{ty} (param {ty}) (result {ty}) {pick})"));
        }
        for ty in ["f32x4", "f64x2"].iter().filter(|_| self.options.vectors) {
            let nans = if *ty == "f32x4" { "nan nan nan nan" } else { "nan nan" };
            let pick = format!(
                "(v128.bitselect (local.get 0) (v128.const {ty} {nans}) ({ty}.eq (local.get 0) (local.get 0)))"
            );
            line(text, format_args!("(func $canonical_{ty} (param v128) (result v128) {pick})"));
        }
        line(text, format_args!("(func $reset (global.set $budget (i32.const 300)))"));
        for index in 0..self.functions.len() {
            line(text, format_args!("(export \"r{index}\" (func $reset))"));
            line(text, format_args!("(export \"f{index}\" (func $f{index}))"));
        }
    }

    fn signature(&self, function: usize) -> &Signature {
        &self.signatures[self.functions[function]]
    }
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "  {what}");
}

/// A constant of a type, often at an edge.
fn constant(ty: Num, random: &mut Random) -> String {
    match ty {
        Num::I32 => format!("i32.const {}", random.interesting() as i32),
        Num::I64 => format!("i64.const {}", random.interesting() as i64),
        Num::F32 => float_text("f32", u64::from(random.interesting_f32()), 8, 23),
        Num::F64 => float_text("f64", random.interesting_f64(), 11, 52),
        Num::V128 => {
            let lanes: Vec<u64> = (0..2)
                .map(|_| match random.below(4) {
                    0 => random.interesting(),
                    1 => random.interesting_f64(),
                    2 => u64::from(random.interesting_f32()) << 32 | u64::from(random.interesting_f32()),
                    _ => random.bits(),
                })
                .collect();
            format!("v128.const i64x2 {} {}", lanes[0], lanes[1])
        }
    }
}

/// A float constant by its bits.
fn float_text(ty: &str, bits: u64, exponent_bits: u32, mantissa_bits: u32) -> String {
    let sign = if bits >> (exponent_bits + mantissa_bits) & 1 == 1 { "-" } else { "" };
    let mantissa = bits & ((1 << mantissa_bits) - 1);
    let exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
    let bias = (1 << (exponent_bits - 1)) - 1;
    // Hexadecimal digits hold four bits each; the first has the bit before the point.
    let digits = mantissa_bits.div_ceil(4);
    let fraction = mantissa << (digits * 4 - mantissa_bits);
    let width = digits as usize;
    if exponent == (1 << exponent_bits) - 1 {
        if mantissa == 0 {
            format!("{ty}.const {sign}inf")
        } else {
            format!("{ty}.const {sign}nan:{mantissa:#x}")
        }
    } else if exponent == 0 {
        format!("{ty}.const {sign}0x0.{fraction:0width$x}p{}", 1 - bias)
    } else {
        format!("{ty}.const {sign}0x1.{fraction:0width$x}p{}", exponent as i64 - bias)
    }
}
