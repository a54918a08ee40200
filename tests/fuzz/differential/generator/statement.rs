//! Statements: what they leave on the operand stack they also take off.

use super::function::{Body, Label, Local, Role};
use super::operators::STORES;
use super::{Num, words};

/// How often the innermost code of a function may run.
const MOST_REPEATS: usize = 1500;

impl Body<'_> {
    /// Up to `most` statements.
    pub(super) fn statements(&mut self, most: usize) {
        for _ in 0..self.random.between(0, most) {
            self.statement();
        }
    }

    /// One statement.
    pub(super) fn statement(&mut self) {
        if self.room <= 0 {
            return;
        }
        if self.shape.options.exceptions && self.random.chance(12) {
            return self.exceptional();
        }
        if self.shape.options.wide && self.random.chance(4) {
            return self.wide();
        }
        let shallow = self.nesting < 7;
        match self.random.below(40) {
            0..=13 => self.assign(),
            14..=17 => self.store(),
            18 | 19 => self.move_address(),
            20 | 21 => self.set_global(),
            22..=24 if shallow => self.branch_around(),
            25 | 26 if shallow => self.counted_loop(),
            27..=29 if shallow => self.conditional(),
            30 | 31 if shallow => self.switch(),
            32 if shallow => self.several_values(),
            33 | 34 => self.call_statement(),
            35 | 36 => self.leave(),
            37 => self.bulk(),
            38 => self.call_host(),
            _ => {
                let ty = *self.random.pick(self.shape.options.types());
                self.value(ty, 2);
                self.op(format_args!("drop"));
            }
        }
    }

    /// Runs `inner` with one more label.
    pub(super) fn with_label(
        &mut self,
        name: &str,
        types: &[Num],
        free: bool,
        inner: impl FnOnce(&mut Self),
    ) {
        self.labels.push(Label { name: name.to_string(), types: types.to_vec(), free });
        inner(self);
        self.labels.pop();
    }

    /// Takes values of the types off the stack, into locals or nowhere.
    pub(super) fn consume(&mut self, types: &[Num]) {
        for ty in types.iter().rev() {
            match self.local(*ty, true) {
                Some(name) if self.random.chance(70) => self.op(format_args!("local.set {name}")),
                _ => self.op(format_args!("drop")),
            }
        }
    }

    fn assign(&mut self) {
        let mut ty = *self.random.pick(&[Num::I32, Num::I32, Num::I64, Num::F64, Num::F32]);
        if self.shape.options.vectors && self.random.chance(30) {
            ty = Num::V128;
        }
        let Some(name) = self.local(ty, true) else { return };
        if self.random.chance(10)
            && let Some(other) = self.local(ty, false)
        {
            self.op(format_args!("local.get {other}"));
        } else {
            let depth = self.random.between(1, 4);
            self.value(ty, depth);
        }
        self.op(format_args!("local.set {name}"));
    }

    fn store(&mut self) {
        let scalars = &STORES[..STORES.len() - 1];
        let (name, ty) = *self.random.pick(if self.shape.options.vectors { STORES } else { scalars });
        if self.shape.options.threads && matches!(ty, Num::I32 | Num::I64) && self.random.chance(30) {
            let address = self.aligned_address(2);
            self.value(ty, 2);
            let name = name.replace(".store", ".atomic.store");
            return self.op(format_args!("{name} $m{} offset={}", address.memory, address.offset));
        }
        let address = self.address(2);
        self.value(ty, 2);
        self.canonical(ty);
        self.op(format_args!("{name} $m{} offset={}", address.memory, address.offset));
    }

    /// Integers of 128 bits, of which both halves may go to locals.
    fn wide(&mut self) {
        let name = *self.random.pick(&["add128", "sub128", "mul_wide_s", "mul_wide_u"]);
        let takes = if name.ends_with("128") { 4 } else { 2 };
        self.values(&[Num::I64; 4][..takes]);
        self.op(format_args!("i64.{name}"));
        self.consume(&[Num::I64; 2]);
    }

    fn move_address(&mut self) {
        let Some((name, ty)) = self.address_local() else { return };
        if self.random.chance(60) {
            let step = *self.random.pick(&[1, 2, 4, 8, 8, 16]);
            self.op(format_args!("local.get {name}"));
            self.op(format_args!("{}.const {step}", ty.name()));
            self.op(format_args!("{}.add", ty.name()));
        } else {
            self.value(ty, 2);
        }
        self.in_bounds(ty);
        self.op(format_args!("local.set {name}"));
    }

    fn set_global(&mut self) {
        let global = self.random.below(self.shape.globals.len());
        self.value(self.shape.globals[global], 2);
        self.op(format_args!("global.set $g{global}"));
    }

    /// A block without results that parts of it leave.
    fn branch_around(&mut self) {
        let name = self.fresh("b");
        self.open(format_args!("block {name}"));
        self.with_label(&name, &[], true, |body| {
            body.statements(2);
            body.condition(3);
            body.op(format_args!("br_if {name}"));
            body.statements(3);
        });
        self.close();
    }

    fn conditional(&mut self) {
        let name = self.fresh("i");
        let params: Vec<Num> = if self.random.chance(20) {
            (0..self.random.between(1, 3)).map(|_| *self.random.pick(self.shape.options.types())).collect()
        } else {
            Vec::new()
        };
        self.values(&params);
        self.condition(3);
        self.open(format_args!("if {name}{}", words("param", &params)));
        self.with_label(&name, &[], true, |body| {
            body.consume(&params);
            body.statements(3);
        });
        if !params.is_empty() || self.random.chance(50) {
            self.otherwise();
            self.with_label(&name, &[], true, |body| {
                body.consume(&params);
                body.statements(3);
            });
        }
        self.close();
    }

    /// A loop that a counter of its own bounds.
    pub(super) fn counted_loop(&mut self) {
        let most = (MOST_REPEATS / self.repeats).min(if self.nesting > 2 { 12 } else { 60 });
        if self.is_leaf || most < 2 {
            return self.assign();
        }
        let count = self.random.between(1, most);
        let before = self.repeats;
        let kept = self.labels.len();
        self.repeats *= count;
        match self.random.below(4) {
            0 => self.loop_tested_first(count),
            1 => self.loop_up(count),
            2 => self.loop_with_values(count),
            _ => self.loop_down(count),
        }
        self.repeats = before;
        self.labels.truncate(kept);
    }

    fn counter(&mut self, ty: Num, start: usize) -> String {
        let name = self.fresh("c");
        self.locals.push(Local { name: name.clone(), ty, role: Role::Counter });
        self.op(format_args!("{}.const {start}", ty.name()));
        self.op(format_args!("local.set {name}"));
        name
    }

    /// `do { … } while (--counter)`.
    fn loop_down(&mut self, count: usize) {
        let ty = *self.random.pick(&[Num::I32, Num::I32, Num::I64]);
        let counter = self.counter(ty, count);
        let name = self.fresh("l");
        self.open(format_args!("loop {name}"));
        self.with_label(&name, &[], false, |body| {
            body.loop_contents();
            body.op(format_args!("local.get {counter}"));
            if body.random.chance(50) {
                body.op(format_args!("{}.const 1", ty.name()));
                body.op(format_args!("{}.sub", ty.name()));
            } else {
                body.op(format_args!("{}.const -1", ty.name()));
                body.op(format_args!("{}.add", ty.name()));
            }
            body.op(format_args!("local.tee {counter}"));
            if ty == Num::I64 {
                body.op(format_args!("i64.const 0"));
                body.op(format_args!("i64.ne"));
            }
            body.op(format_args!("br_if {name}"));
        });
        self.close();
    }

    /// The counter is tested at the head, so any branch to the head is fine.
    fn loop_tested_first(&mut self, count: usize) {
        let counter = self.counter(Num::I32, count);
        let (exit, name) = (self.fresh("x"), self.fresh("l"));
        self.open(format_args!("block {exit}"));
        self.open(format_args!("loop {name}"));
        self.with_label(&exit, &[], true, |body| {
            body.with_label(&name, &[], true, |body| {
                body.op(format_args!("local.get {counter}"));
                body.op(format_args!("i32.eqz"));
                body.op(format_args!("br_if {exit}"));
                body.op(format_args!("local.get {counter}"));
                body.op(format_args!("i32.const 1"));
                body.op(format_args!("i32.sub"));
                body.op(format_args!("local.set {counter}"));
                body.loop_contents();
                body.op(format_args!("br {name}"));
            });
        });
        self.close();
        self.close();
    }

    /// `for (i = 0; i < count; i += step)`, the test at the end.
    fn loop_up(&mut self, count: usize) {
        let ty = *self.random.pick(&[Num::I32, Num::I32, Num::I64]);
        let counter = self.counter(ty, 0);
        let step = self.random.between(1, 4);
        let name = self.fresh("l");
        let compare = *self.random.pick(&["lt_s", "lt_u", "le_s", "le_u"]);
        self.open(format_args!("loop {name}"));
        self.with_label(&name, &[], false, |body| {
            body.loop_contents();
            body.op(format_args!("local.get {counter}"));
            body.op(format_args!("{}.const {step}", ty.name()));
            body.op(format_args!("{}.add", ty.name()));
            body.op(format_args!("local.tee {counter}"));
            body.op(format_args!("{}.const {}", ty.name(), count * step));
            body.op(format_args!("{}.{compare}", ty.name()));
            body.op(format_args!("br_if {name}"));
        });
        self.close();
    }

    /// A loop with parameters and results on the operand stack.
    fn loop_with_values(&mut self, count: usize) {
        let types: Vec<Num> =
            (0..self.random.between(1, 4)).map(|_| *self.random.pick(self.shape.options.types())).collect();
        let counter = self.counter(Num::I32, count);
        let name = self.fresh("l");
        self.values(&types);
        self.open(format_args!("loop {name}{}{}", words("param", &types), words("result", &types)));
        self.with_label(&name, &types, false, |body| {
            if body.random.chance(70) {
                body.consume(&types);
                body.loop_contents();
                body.values(&types);
            } else {
                // They stay where they are while the body runs.
                body.loop_contents();
            }
            body.op(format_args!("local.get {counter}"));
            body.op(format_args!("i32.const 1"));
            body.op(format_args!("i32.sub"));
            body.op(format_args!("local.tee {counter}"));
            body.op(format_args!("br_if {name}"));
        });
        self.close();
        self.consume(&types);
    }

    fn loop_contents(&mut self) {
        let most = self.random.between(2, 9);
        for _ in 0..most {
            self.statement();
        }
    }

    /// A branch table over blocks, or over labels around.
    fn switch(&mut self) {
        let cases = self.random.between(1, 4);
        let types: Vec<Num> = if self.random.chance(30) {
            vec![*self.random.pick(self.shape.options.types())]
        } else {
            Vec::new()
        };
        let names: Vec<String> = (0..=cases).map(|_| self.fresh("s")).collect();
        for name in &names {
            self.open(format_args!("block {name}{}", words("result", &types)));
            self.labels.push(Label { name: name.clone(), types: types.clone(), free: true });
        }
        self.values(&types);
        self.value(Num::I32, 2);
        if self.random.chance(60) {
            self.op(format_args!("i32.const {}", cases.next_power_of_two() * 2 - 1));
            self.op(format_args!("i32.and"));
        }
        let mut targets = names.clone();
        for label in &self.labels {
            if label.free && label.types == types && label.name != "$all" {
                targets.push(label.name.clone());
            }
        }
        let mut list = String::new();
        for _ in 0..self.random.between(1, 6) {
            list.push(' ');
            list.push_str(self.random.pick::<String>(&targets));
        }
        self.op(format_args!("br_table{list}"));
        for _ in &names {
            self.labels.pop();
            self.close();
            self.consume(&types);
            self.statements(2);
            self.values(&types);
        }
        self.consume(&types);
    }

    fn several_values(&mut self) {
        let types: Vec<Num> =
            (0..self.random.between(2, 5)).map(|_| *self.random.pick(self.shape.options.types())).collect();
        self.block_of_values(&types);
        self.consume(&types);
    }

    /// A branch to a label around, mostly under a condition.
    fn leave(&mut self) {
        let free: Vec<Label> = self.labels.iter().filter(|label| label.free).cloned().collect();
        if free.is_empty() || self.nesting == 0 {
            return self.assign();
        }
        let label = self.random.pick(&free).clone();
        match self.random.below(8) {
            0 | 1 => {
                let name = self.fresh("i");
                self.condition(3);
                self.open(format_args!("if {name}"));
                self.with_label(&name, &[], true, |body| {
                    body.values(&label.types);
                    body.op(format_args!("br {}", label.name));
                    body.statements(1);
                });
                self.close();
            }
            2 => {
                let results = self.labels[0].types.clone();
                self.rarely();
                self.open(format_args!("if"));
                self.values(&results);
                self.op(format_args!("return"));
                self.close();
            }
            3 => self.tail_call(),
            4 if self.may_trap() => self.op(format_args!("unreachable")),
            _ => {
                self.values(&label.types);
                self.condition(3);
                self.op(format_args!("br_if {}", label.name));
                self.consume(&label.types);
            }
        }
    }

    /// An `i32` that is mostly 0.
    pub(super) fn rarely(&mut self) {
        self.value(Num::I32, 2);
        self.op(format_args!("i32.const 15"));
        self.op(format_args!("i32.and"));
        self.op(format_args!("i32.eqz"));
    }

    fn tail_call(&mut self) {
        let shape = self.shape;
        let results = &shape.signature(self.index).results;
        let fitting: Vec<usize> = (0..shape.functions.len())
            .filter(|function| shape.signature(*function).results == *results)
            .collect();
        if self.is_leaf || fitting.is_empty() {
            return;
        }
        let function = *self.random.pick(&fitting);
        self.rarely();
        self.op(format_args!("global.get $budget"));
        self.op(format_args!("i32.and"));
        self.open(format_args!("if"));
        self.spend();
        self.arguments(shape.signature(function));
        self.transfer(function, "return_call");
        self.close();
    }

    fn spend(&mut self) {
        self.op(format_args!("global.get $budget"));
        self.op(format_args!("i32.const 1"));
        self.op(format_args!("i32.sub"));
        self.op(format_args!("global.set $budget"));
    }

    fn call_statement(&mut self) {
        if self.is_leaf {
            return self.assign();
        }
        let function = self.random.below(self.shape.functions.len());
        self.call(function);
        let results = self.shape.signature(function).results.clone();
        self.consume(&results);
    }

    /// A call; its results remain on the stack.
    pub(super) fn call(&mut self, function: usize) {
        let shape = self.shape;
        let signature = shape.signature(function);
        let is_leaf = shape.leaf && function + 1 == shape.functions.len();
        if is_leaf || (function > self.index && self.repeats < 4 && self.random.chance(50)) {
            self.arguments(signature);
            let how = if is_leaf && self.random.chance(80) { "direct" } else { "call" };
            return self.transfer(function, how);
        }
        self.op(format_args!("global.get $budget"));
        self.open(format_args!("if{}", words("result", &signature.results)));
        self.spend();
        self.arguments(signature);
        self.transfer(function, "call");
        self.otherwise();
        self.values(&signature.results);
        self.close();
    }

    /// The call instruction itself: direct, through the table or through a reference.
    fn transfer(&mut self, function: usize, how: &str) {
        let shape = self.shape;
        let prefix = if how == "return_call" { "return_call" } else { "call" };
        let ty = shape.functions[function];
        let alike: Vec<usize> = (0..shape.table.len())
            .filter(|at| shape.table[*at].is_some_and(|callee| shape.functions[callee] == ty))
            // A function that runs freely must not be exchanged for one that does not.
            .filter(|at| how != "call" || shape.table[*at].is_some_and(|callee| callee >= function))
            .collect();
        match self.random.below(4) {
            0 if how != "direct" && !alike.is_empty() => {
                if self.may_trap() {
                    self.value(Num::I32, 1);
                } else {
                    let (one, other) = (*self.random.pick(&alike), *self.random.pick(&alike));
                    self.op(format_args!("i32.const {one}"));
                    self.op(format_args!("i32.const {other}"));
                    self.condition(1);
                    self.op(format_args!("select"));
                }
                self.op(format_args!("{prefix}_indirect $table (type $t{ty})"));
            }
            1 if shape.options.references => {
                self.op(format_args!("ref.func $f{function}"));
                self.op(format_args!("{prefix}_ref $t{ty}"));
            }
            _ => self.op(format_args!("{prefix} $f{function}")),
        }
    }

    fn call_host(&mut self) {
        if self.shape.imports.is_empty() {
            return self.assign();
        }
        let host = self.random.below(self.shape.imports.len());
        let signature = self.shape.imports[host].clone();
        self.arguments(&signature);
        self.op(format_args!("call $h{host}"));
        self.consume(&signature.results);
    }

    /// Operators over ranges of memory, and growth.
    fn bulk(&mut self) {
        let ty = if self.shape.memories[0] { Num::I64 } else { Num::I32 };
        let length = self.random.below(200);
        self.value(ty, 1);
        self.in_bounds(ty);
        match self.random.below(6) {
            0 if self.random.chance(20) => {
                self.op(format_args!("drop"));
                self.op(format_args!("{}.const {}", ty.name(), length % 3));
                self.op(format_args!("memory.grow $m0"));
                self.consume(&[ty]);
            }
            0..=2 => {
                self.value(Num::I32, 1);
                self.op(format_args!("{}.const {length}", ty.name()));
                self.op(format_args!("memory.fill $m0"));
            }
            _ => {
                self.value(ty, 1);
                self.in_bounds(ty);
                self.op(format_args!("{}.const {length}", ty.name()));
                self.op(format_args!("memory.copy $m0 $m0"));
            }
        }
    }
}
