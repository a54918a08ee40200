//! A function: its locals, its labels, and what every part of its body needs.

use super::{Num, Random, Shape, words};
use std::fmt::{Arguments, Write};

/// What a local is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Anything may write it.
    Free,
    /// It counts a loop down; only that loop writes it.
    Counter,
    /// It holds an address that is in bounds.
    Address,
}

/// A local.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub(super) name: String,
    pub(super) ty: Num,
    pub(super) role: Role,
}

/// A place that a branch may go to.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) name: String,
    /// What a branch carries.
    pub(super) types: Vec<Num>,
    /// Whether a branch from anywhere keeps the program's end in sight.
    pub(super) free: bool,
}

/// A function that is being written.
pub(super) struct Body<'a> {
    pub(super) shape: &'a Shape,
    pub(super) index: usize,
    pub(super) random: &'a mut Random,
    pub(super) locals: Vec<Local>,
    pub(super) labels: Vec<Label>,
    /// How many lines may still be written, about.
    pub(super) room: isize,
    /// How often the code that is written now runs when the function runs once.
    pub(super) repeats: usize,
    /// How deep blocks are nested.
    pub(super) nesting: usize,
    pub(super) is_leaf: bool,
    params: usize,
    names: usize,
    text: String,
}

/// Appends a function to the text of a program.
pub(super) fn write(shape: &Shape, index: usize, random: &mut Random, text: &mut String) {
    let signature = shape.signature(index).clone();
    let is_leaf = shape.leaf && index + 1 == shape.functions.len();
    let room = match random.below(4) {
        0 => random.between(10, 60),
        1 | 2 => random.between(60, 250),
        _ => random.between(200, 700),
    };
    let room = if is_leaf { room.min(40) } else { room };
    let mut body = Body {
        shape,
        index,
        random,
        locals: Vec::new(),
        labels: Vec::new(),
        room: room as isize,
        repeats: 1,
        nesting: 0,
        is_leaf,
        params: signature.params.len(),
        names: 0,
        text: String::new(),
    };
    for (at, ty) in signature.params.iter().enumerate() {
        body.locals.push(Local { name: format!("$p{at}"), ty: *ty, role: Role::Free });
    }
    let most = *body.random.pick(&[1, 2, 2, 3, 6]);
    for &ty in shape.options.types() {
        for at in 0..body.random.between(usize::from(ty == Num::I32), most) {
            body.locals.push(Local { name: format!("${}_{at}", ty.name()), ty, role: Role::Free });
        }
    }
    let address = if shape.memories[0] { Num::I64 } else { Num::I32 };
    for at in 0..body.random.between(1, 2) {
        body.locals.push(Local { name: format!("$a{at}"), ty: address, role: Role::Address });
    }
    body.labels.push(Label { name: "$all".to_string(), types: signature.results.clone(), free: true });
    if !is_leaf && body.random.chance(80) {
        // Most of the work happens in a loop, where locals are hot.
        body.statements(2);
        body.counted_loop();
    }
    while body.room > 0 && body.random.chance(90) {
        body.statement();
    }
    body.values(&signature.results);
    body.labels.pop();
    let Body { locals, params, text: lines, random, .. } = body;

    let _ = write!(text, "  (func $f{index} (type $t{})", shape.functions[index]);
    for local in &locals[..params] {
        let _ = write!(text, " (param {} {})", local.name, local.ty.name());
    }
    let _ = writeln!(text, "{}", words("result", &signature.results));
    if random.chance(4) {
        // Operands past what 16 bits address.
        text.push_str("    (local");
        for _ in 0..random.between(8_150, 8_300) {
            text.push_str(" i64");
        }
        text.push_str(")\n");
    }
    for local in &locals[params..] {
        let _ = writeln!(text, "    (local {} {})", local.name, local.ty.name());
    }
    text.push_str("    (local $nan_f32 f32) (local $nan_f64 f64)\n");
    if shape.options.exceptions {
        text.push_str("    (local $caught exnref)\n");
    }
    let _ = writeln!(text, "    block $all{}\n{lines}    end\n  )", words("result", &signature.results));
}

impl Body<'_> {
    /// Writes an instruction.
    pub(super) fn op(&mut self, instruction: Arguments<'_>) {
        self.room -= 1;
        for _ in 0..self.nesting + 3 {
            self.text.push_str("  ");
        }
        let _ = writeln!(self.text, "{instruction}");
    }

    /// Begins a block.
    pub(super) fn open(&mut self, instruction: Arguments<'_>) {
        self.op(instruction);
        self.nesting += 1;
    }

    /// `else`.
    pub(super) fn otherwise(&mut self) {
        self.nesting -= 1;
        self.op(format_args!("else"));
        self.nesting += 1;
    }

    /// Ends a block.
    pub(super) fn close(&mut self) {
        self.nesting -= 1;
        self.op(format_args!("end"));
    }

    /// A name that is new.
    pub(super) fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("${prefix}{}", self.names)
    }

    /// A local of a type, early ones more often than others. `written` asks for one that may be written.
    pub(super) fn local(&mut self, ty: Num, written: bool) -> Option<String> {
        let fits = |local: &&Local| local.ty == ty && (!written || local.role == Role::Free);
        let count = self.locals.iter().filter(fits).count();
        if count == 0 {
            return None;
        }
        let at = self.random.below(count).min(self.random.below(count));
        self.locals.iter().filter(fits).nth(at).map(|local| local.name.clone())
    }

    /// A local that holds an address.
    pub(super) fn address_local(&mut self) -> Option<(String, Num)> {
        let addresses: Vec<&Local> = self.locals.iter().filter(|local| local.role == Role::Address).collect();
        if addresses.is_empty() {
            return None;
        }
        let local = *self.random.pick(&addresses);
        Some((local.name.clone(), local.ty))
    }

    /// Whether an operation here may go without its guard.
    pub(super) fn may_trap(&mut self) -> bool {
        self.random.below(1000) < self.shape.traps
    }
}
