//! One module, many engines: what a module does is written down and compared.
//!
//! [`Script`] is a module with the calls to make, [`Observation`] what came of it: results, traps, memories, globals, what the
//! host was called with. [`ours`] runs a script in the modes of Crescendo, [`peer`] in wasmi; the fuzzing program beside this
//! adds wasmtime. How an engine runs a script is written once, in [`adapter`]. [`check()`] is the whole comparison of one script.
//! Modules come from [`generator`] and [`smith`].
//!
//! This folder is compiled into two programs: the robustness tests of the root crate and the fuzzing program.

pub mod adapter;
pub mod check;
pub mod generator;
pub mod ours;
pub mod peer;
pub mod smith;
mod tame;

pub use check::{Peer, Verdict, check};
use generator::Random;
use std::fmt;

/// Fuel of a call in Crescendo for programs that end by themselves.
pub const FUEL: u64 = 3_000_000;
/// Fuel of a call in Crescendo for modules that may have endless loops.
pub const LITTLE_FUEL: u64 = 50_000;
/// Fuel of a call in other engines: enough for whatever ends in Crescendo.
pub const PEER_FUEL: u64 = 300_000_000;

/// A value that leaves or enters a guest. NaNs of a type are equal; of references only null is told apart.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A 32 bit integer.
    I32(i32),
    /// A 64 bit integer.
    I64(i64),
    /// The bits of a 32 bit float.
    F32(u32),
    /// The bits of a 64 bit float.
    F64(u64),
    /// A vector.
    V128(u128),
    /// A function reference, null or not.
    Func(bool),
    /// An external reference, null or not.
    Extern(bool),
    /// A reference to an exception, null or not.
    Exn(bool),
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Value {}

impl Value {
    /// Tag and bits, all NaNs alike.
    fn key(&self) -> (u8, u128) {
        match *self {
            Value::I32(value) => (0, u128::from(value as u32)),
            Value::I64(value) => (1, u128::from(value as u64)),
            Value::F32(bits) if f32::from_bits(bits).is_nan() => (2, u128::MAX),
            Value::F32(bits) => (2, u128::from(bits)),
            Value::F64(bits) if f64::from_bits(bits).is_nan() => (3, u128::MAX),
            Value::F64(bits) => (3, u128::from(bits)),
            Value::Func(null) => (4, u128::from(null)),
            Value::Extern(null) => (5, u128::from(null)),
            // Modules make their NaNs canonical themselves.
            Value::V128(bits) => (6, bits),
            Value::Exn(null) => (7, u128::from(null)),
        }
    }
}

/// The types of values that can cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; only a library reports it")]
pub enum Kind {
    I32,
    I64,
    F32,
    F64,
    V128,
    Func,
    Extern,
    Exn,
}

/// What a module may use that not every engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; only a library reports it")]
pub enum Extra {
    FunctionReferences,
    Simd,
    RelaxedSimd,
    Exceptions,
    Threads,
    WideArithmetic,
    CustomPageSizes,
}

/// Why a call did not return.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; only a library reports it")]
pub enum Stop {
    Unreachable,
    MemoryOutOfBounds,
    TableOutOfBounds,
    NullElement,
    SignatureMismatch,
    IntegerOverflow,
    DivisionByZero,
    BadConversion,
    NullReference,
    UnalignedAtomic,
    NotShared,
    StackOverflow,
    OutOfFuel,
    /// An exception that nobody caught, with what it carries.
    Exception(Vec<Value>),
    /// Anything else, with its message.
    Other(String),
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// Its results.
    pub outcome: Result<Vec<Value>, Stop>,
    /// The fuel that was left.
    pub fuel: Option<u64>,
    /// Function index and module offset of each frame at a trap, innermost first.
    pub frames: Vec<(u32, Option<usize>)>,
}

/// The contents of a memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents(pub Vec<u8>);

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What a module did.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Making the instance, with its start function.
    pub start: CallRecord,
    /// The calls of the script, up to one that ran out of fuel or stack.
    pub calls: Vec<CallRecord>,
    /// Exported memories by name, as they were at the end.
    pub memories: Vec<(String, Contents)>,
    /// Exported globals.
    pub globals: Vec<(String, Value)>,
    /// Lengths of exported tables, and which elements are null.
    pub tables: Vec<(String, Vec<bool>)>,
    /// A digest of all calls of host functions.
    pub host: u64,
}

/// A module and the calls to make.
#[derive(Clone, Debug)]
pub struct Script {
    /// The binary.
    pub wasm: Vec<u8>,
    /// What it may use; engines that lack one of these may refuse it.
    pub extras: Vec<Extra>,
    /// Fuel of each call.
    pub fuel: u64,
    /// Exports to call, with arguments.
    pub calls: Vec<(String, Vec<Value>)>,
}

/// Arguments for a function, from edges.
pub fn arguments(kinds: &[Kind], random: &mut Random) -> Vec<Value> {
    kinds
        .iter()
        .map(|kind| match kind {
            Kind::I32 => Value::I32(random.interesting() as i32),
            Kind::I64 => Value::I64(random.interesting() as i64),
            Kind::F32 => Value::F32(random.interesting_f32()),
            Kind::F64 => Value::F64(random.interesting_f64()),
            Kind::V128 => {
                Value::V128(u128::from(random.interesting()) | u128::from(random.interesting()) << 64)
            }
            Kind::Func => Value::Func(true),
            Kind::Extern => Value::Extern(true),
            Kind::Exn => Value::Exn(true),
        })
        .collect()
}

/// What host functions do in every engine: results that depend on the arguments, and a digest of all calls.
pub fn host_call(digest: &mut u64, name: &str, arguments: &[Value], results: &[Kind]) -> Vec<Value> {
    let mut mix = |word: u64| {
        *digest = (*digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        *digest
    };
    for byte in name.bytes() {
        mix(byte.into());
    }
    for argument in arguments {
        let (tag, bits) = argument.key();
        mix(tag.into());
        mix(bits as u64);
        if tag == 6 {
            mix((bits >> 64) as u64);
        }
    }
    results
        .iter()
        .map(|kind| {
            let bits = mix(7);
            match kind {
                Kind::I32 => Value::I32(bits as i32),
                Kind::I64 => Value::I64(bits as i64),
                Kind::F32 => Value::F32(f32::from(bits as i16).to_bits()),
                Kind::F64 => Value::F64(f64::from(bits as i32).to_bits()),
                Kind::V128 => Value::V128(u128::from(bits) * 0x1_0000_0001),
                Kind::Func => Value::Func(true),
                Kind::Extern => Value::Extern(true),
                Kind::Exn => Value::Exn(true),
            }
        })
        .collect()
}

impl Observation {
    /// Whether its last call ended so.
    pub fn ended_by(&self, stop: &Stop) -> bool {
        self.calls.last().unwrap_or(&self.start).outcome.as_ref().err() == Some(stop)
    }

    /// Sorts what was exported by name: engines list exports in different orders.
    pub fn sort(&mut self) {
        self.memories.sort_by(|one, other| one.0.cmp(&other.0));
        self.globals.sort_by(|one, other| one.0.cmp(&other.0));
        self.tables.sort_by(|one, other| one.0.cmp(&other.0));
    }
}
