//! Expressions: each leaves one value on the operand stack.

use super::function::Body;
use super::operators::{Danger, Immediate, LOADS, NUM_OPS, NumOp};
use super::{Num, Signature, constant, words};

/// How an address is written: its memory and the constant offset of the access.
pub(super) struct Address {
    pub(super) memory: usize,
    pub(super) offset: u64,
}

impl Body<'_> {
    /// Values of the types, in order.
    pub(super) fn values(&mut self, types: &[Num]) {
        for ty in types {
            self.value(*ty, 2);
        }
    }

    /// A value of a type; `depth` bounds how large its expression gets.
    pub(super) fn value(&mut self, ty: Num, depth: usize) {
        if depth == 0 || self.room <= 0 {
            return self.leaf(ty);
        }
        if self.nesting < 6 && self.random.chance(3) {
            // A statement while operands wait on the stack.
            self.statement();
        }
        if self.shape.options.threads && matches!(ty, Num::I32 | Num::I64) && self.random.chance(8) {
            return self.atomic(ty, depth);
        }
        match self.random.below(40) {
            0..=5 => self.leaf(ty),
            6..=22 => self.numeric(ty, depth),
            23..=25 => self.load(ty, depth),
            26 | 27 => self.tee(ty, depth),
            28..=30 => self.overwritten(ty, depth),
            31 | 32 => self.select(ty, depth),
            33 if self.nesting < 6 => self.if_value(ty, depth),
            34 | 35 if self.nesting < 6 => self.block_value(ty),
            36 | 37 => self.call_value(ty),
            38 => self.global(ty),
            _ => self.odd(ty, depth),
        }
    }

    /// A local or a constant.
    fn leaf(&mut self, ty: Num) {
        if self.random.chance(70)
            && let Some(name) = self.local(ty, false)
        {
            return self.op(format_args!("local.get {name}"));
        }
        let constant = constant(ty, self.random);
        self.op(format_args!("{constant}"));
    }

    fn numeric(&mut self, ty: Num, depth: usize) {
        let fitting: Vec<&NumOp> = self.operators().filter(|op| op.gives == ty).collect();
        let mut op = *self.random.pick(&fitting);
        if op.takes.len() == 1 || op.takes[0] != ty {
            // Operators of two operands of the type more often: they make chains.
            op = *self.random.pick(&fitting);
        }
        let unguarded = self.may_trap();
        match op.danger {
            Danger::Divides if !unguarded => {
                self.value(op.takes[0], depth - 1);
                self.value(op.takes[1], depth - 1);
                let ty = op.takes[1].name();
                self.op(format_args!("{ty}.const 0x7fffffff"));
                self.op(format_args!("{ty}.and"));
                self.op(format_args!("{ty}.const 1"));
                self.op(format_args!("{ty}.or"));
            }
            Danger::Truncates if !unguarded => {
                // What an unsigned small integer became is an integer again.
                self.value(Num::I32, depth - 1);
                self.op(format_args!("i32.const 0xffff"));
                self.op(format_args!("i32.and"));
                self.op(format_args!("{}.convert_i32_u", op.takes[0].name()));
            }
            _ => {
                for ty in op.takes {
                    self.value(*ty, depth - 1);
                    if op.shows_bits {
                        self.canonical(*ty);
                    }
                }
            }
        }
        self.operator(op);
    }

    /// The operators that the program may use.
    fn operators(&self) -> impl Iterator<Item = &'static NumOp> + use<> {
        let vectors = self.shape.options.vectors;
        NUM_OPS.iter().filter(move |op| vectors || !op.is_vector())
    }

    /// Writes an operator whose operands are on the stack.
    fn operator(&mut self, op: &NumOp) {
        match op.immediate {
            Immediate::None => self.op(format_args!("{}", op.name)),
            Immediate::Lane(lanes) => {
                let lane = self.random.below(lanes);
                self.op(format_args!("{} {lane}", op.name));
            }
            Immediate::Shuffle => {
                let lanes: Vec<String> = (0..16).map(|_| self.random.below(32).to_string()).collect();
                self.op(format_args!("{} {}", op.name, lanes.join(" ")));
            }
        }
        if op.makes_nans && self.shape.options.canonical_nans {
            self.op(format_args!("call $canonical_{}", &op.name[..5]));
        }
    }

    /// Makes a NaN on the stack the canonical one.
    pub(super) fn canonical(&mut self, ty: Num) {
        if !self.shape.options.canonical_nans || !ty.is_float() {
            return;
        }
        let ty = ty.name();
        if self.shape.canonical_call {
            return self.op(format_args!("call $canonical_{ty}"));
        }
        self.op(format_args!("local.tee $nan_{ty}"));
        self.op(format_args!("{ty}.const nan"));
        self.op(format_args!("local.get $nan_{ty}"));
        self.op(format_args!("local.get $nan_{ty}"));
        self.op(format_args!("{ty}.eq"));
        self.op(format_args!("select"));
    }

    /// An address on the stack, in bounds unless the program may trap here.
    pub(super) fn address(&mut self, depth: usize) -> Address {
        let memory = self.random.below(self.shape.memories.len());
        let ty = if self.shape.memories[memory] { Num::I64 } else { Num::I32 };
        if self.may_trap() {
            self.value(ty, depth);
            let offset = self.random.interesting() as u32;
            return Address { memory, offset: offset.into() };
        }
        let offset = if self.random.chance(50) { 0 } else { self.random.below(24) as u64 };
        match self.address_local() {
            Some((name, local)) if local == ty && self.random.chance(70) => {
                self.op(format_args!("local.get {name}"));
                if self.random.chance(30) {
                    self.op(format_args!("{}.const {}", ty.name(), self.shape.globals.len() * 8));
                    self.op(format_args!("{}.add", ty.name()));
                }
            }
            _ if self.random.chance(20) => {
                let at = self.random.below(0xff00);
                self.op(format_args!("{}.const {at}", ty.name()));
            }
            _ => {
                self.value(ty, depth);
                self.in_bounds(ty);
            }
        }
        Address { memory, offset }
    }

    /// Makes the integer on the stack an address with 256 bytes behind it.
    pub(super) fn in_bounds(&mut self, ty: Num) {
        let mask = *self.random.pick(&[0xfeff, 0xfef8, 0xff, 0xfe0]);
        self.op(format_args!("{}.const {mask}", ty.name()));
        self.op(format_args!("{}.and", ty.name()));
    }

    fn load(&mut self, ty: Num, depth: usize) {
        let fitting: Vec<&str> =
            LOADS.iter().filter(|(_, gives)| *gives == ty).map(|(name, _)| *name).collect();
        let name = *self.random.pick(&fitting);
        let address = self.address(depth - 1);
        self.op(format_args!("{name} $m{} offset={}", address.memory, address.offset));
    }

    fn tee(&mut self, ty: Num, depth: usize) {
        self.value(ty, depth - 1);
        if let Some(name) = self.local(ty, true) {
            self.op(format_args!("local.tee {name}"));
        }
    }

    /// A local is read, then written while what was read is still on the stack.
    fn overwritten(&mut self, ty: Num, depth: usize) {
        let Some(name) = self.local(ty, true) else { return self.leaf(ty) };
        let pairs: Vec<&NumOp> = (self.operators())
            .filter(|op| op.takes == [ty, ty] && op.gives == ty && op.danger == Danger::No && !op.shows_bits)
            .collect();
        let (first, second) = (*self.random.pick(&pairs), *self.random.pick(&pairs));
        self.op(format_args!("local.get {name}"));
        match self.random.below(5) {
            0 => {
                self.value(ty, depth - 1);
                self.op(format_args!("local.tee {name}"));
            }
            1 => {
                self.value(ty, depth - 1);
                self.op(format_args!("local.set {name}"));
                self.op(format_args!("local.get {name}"));
            }
            2 => {
                self.op(format_args!("local.get {name}"));
                self.value(ty, depth - 1);
                self.operator(second);
                self.op(format_args!("local.tee {name}"));
            }
            3 => {
                self.op(format_args!("local.get {name}"));
                self.value(ty, depth - 1);
                self.op(format_args!("local.set {name}"));
                self.value(ty, depth - 1);
                self.operator(second);
            }
            _ => {
                let other = self.local(ty, true).unwrap_or_else(|| name.clone());
                self.op(format_args!("local.get {other}"));
                self.op(format_args!("local.set {name}"));
                self.value(ty, depth - 1);
                self.op(format_args!("local.tee {other}"));
            }
        }
        self.operator(first);
    }

    fn select(&mut self, ty: Num, depth: usize) {
        self.value(ty, depth - 1);
        self.value(ty, depth - 1);
        self.condition(depth - 1);
        if self.random.chance(30) {
            self.op(format_args!("select (result {})", ty.name()));
        } else {
            self.op(format_args!("select"));
        }
    }

    /// An `i32` for a branch, most often what a comparison gave.
    pub(super) fn condition(&mut self, depth: usize) {
        if depth == 0 || self.random.chance(25) {
            return self.value(Num::I32, depth);
        }
        let fitting: Vec<&NumOp> = (self.operators())
            .filter(|op| op.gives == Num::I32 && (op.takes.len() == 2 || op.name.ends_with("eqz")))
            .filter(|op| op.danger == Danger::No && !op.name.ends_with(".mul"))
            .collect();
        let op = *self.random.pick(&fitting);
        for ty in op.takes {
            self.value(*ty, depth - 1);
        }
        self.op(format_args!("{}", op.name));
        if self.random.chance(20) {
            self.op(format_args!("i32.eqz"));
        }
    }

    fn if_value(&mut self, ty: Num, depth: usize) {
        self.condition(depth - 1);
        let name = self.fresh("v");
        self.open(format_args!("if {name} (result {})", ty.name()));
        self.with_label(&name, &[ty], true, |body| {
            body.statements(2);
            body.value(ty, depth - 1);
        });
        self.otherwise();
        self.with_label(&name, &[ty], true, |body| {
            body.statements(1);
            body.value(ty, depth - 1);
        });
        self.close();
    }

    /// A block with one or more results, of which the first remains.
    fn block_value(&mut self, ty: Num) {
        let mut types = vec![ty];
        for _ in 0..*self.random.pick(&[0, 0, 1, 3]) {
            types.push(*self.random.pick(self.shape.options.types()));
        }
        self.block_of_values(&types);
        self.consume(&types[1..]);
    }

    pub(super) fn block_of_values(&mut self, types: &[Num]) {
        let name = self.fresh("b");
        self.open(format_args!("block {name}{}", words("result", types)));
        self.with_label(&name, types, true, |body| {
            body.statements(2);
            if body.random.chance(70) {
                body.values(types);
                body.condition(2);
                body.op(format_args!("br_if {name}"));
                body.consume(types);
                body.statements(1);
            }
            body.values(types);
        });
        self.close();
    }

    fn call_value(&mut self, ty: Num) {
        let shape = self.shape;
        let fitting: Vec<usize> = (0..shape.functions.len())
            .filter(|function| shape.signature(*function).results.first() == Some(&ty))
            .collect();
        if self.is_leaf || fitting.is_empty() {
            return self.leaf(ty);
        }
        let function = *self.random.pick(&fitting);
        let results = shape.signature(function).results.clone();
        self.call(function);
        self.consume(&results[1..]);
    }

    /// Arguments for a function.
    pub(super) fn arguments(&mut self, signature: &Signature) {
        for ty in &signature.params {
            self.value(*ty, 1);
        }
    }

    fn global(&mut self, ty: Num) {
        let fitting: Vec<usize> =
            (0..self.shape.globals.len()).filter(|at| self.shape.globals[*at] == ty).collect();
        if fitting.is_empty() {
            return self.leaf(ty);
        }
        let global = *self.random.pick(&fitting);
        self.op(format_args!("global.get $g{global}"));
    }

    /// Operators that fit nowhere else.
    fn odd(&mut self, ty: Num, depth: usize) {
        match (ty, self.random.below(3)) {
            (Num::I32, 0) if !self.shape.memories[0] => self.op(format_args!("memory.size $m0")),
            (Num::I64, 0) if self.shape.memories[0] => self.op(format_args!("memory.size $m0")),
            (Num::I32, 1) => self.op(format_args!("table.size $table")),
            (Num::I32, _) => {
                self.value(Num::I32, depth - 1);
                self.op(format_args!("i32.const {}", self.shape.table.len() - 1));
                self.op(format_args!("i32.and"));
                self.op(format_args!("table.get $table"));
                self.op(format_args!("ref.is_null"));
            }
            _ => self.leaf(ty),
        }
    }
}
