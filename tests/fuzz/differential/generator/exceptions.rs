//! Exceptions: code that is protected, and throws here and there.
//!
//! A throw only leaves blocks, loops and functions, so that programs end as they do without.

use super::function::{Body, Label};
use super::{Num, words};

impl Body<'_> {
    /// Something with exceptions.
    pub(super) fn exceptional(&mut self) {
        if self.nesting < 7 && self.random.chance(60) {
            self.protected();
        } else {
            self.throw();
        }
    }

    /// Throws in some cases: anew, or what was caught before.
    fn throw(&mut self) {
        if self.random.chance(60) {
            self.rarely();
        } else {
            self.condition(2);
        }
        self.open(format_args!("if"));
        if self.random.chance(25) {
            let name = self.fresh("n");
            self.open(format_args!("block {name}"));
            if !self.may_trap() {
                self.op(format_args!("local.get $caught"));
                self.op(format_args!("ref.is_null"));
                self.op(format_args!("br_if {name}"));
            }
            self.op(format_args!("local.get $caught"));
            self.op(format_args!("throw_ref"));
            self.close();
        } else {
            let shape = self.shape;
            let tag = self.random.below(shape.tags.len());
            self.values(&shape.tags[tag]);
            self.op(format_args!("throw $e{tag}"));
        }
        self.close();
    }

    /// Statements and one to three clauses for what they throw.
    ///
    /// A clause's label is a block around, which the code is left by without an exception too, or a label further out.
    fn protected(&mut self) {
        let shape = self.shape;
        let tag = self.random.below(shape.tags.len());
        // By a tag or any, with or without the reference.
        let (by_tag, by_reference) = (self.random.chance(70), self.random.chance(40));
        let carried: &[Num] = if by_tag { &shape.tags[tag] } else { &[] };
        let name = self.fresh("c");
        let reference = if by_reference { " (result exnref)" } else { "" };
        self.open(format_args!("block {name}{}{reference}", words("result", carried)));
        let clause = match (by_tag, by_reference) {
            (true, true) => format!("(catch_ref $e{tag} {name})"),
            (true, false) => format!("(catch $e{tag} {name})"),
            (false, true) => format!("(catch_all_ref {name})"),
            (false, false) => format!("(catch_all {name})"),
        };
        let clauses = self.more_clauses(clause);
        let results: Vec<Num> = if self.random.chance(50) { carried.to_vec() } else { Vec::new() };
        let inside = self.fresh("t");
        self.open(format_args!("try_table {inside}{} {clauses}", words("result", &results)));
        self.with_label(&inside, &results, true, |body| {
            body.statements(4);
            body.throw();
            body.statements(2);
            body.values(&results);
        });
        self.close();
        if results.is_empty() {
            self.values(carried);
        }
        if by_reference {
            self.op(format_args!("ref.null exn"));
        }
        self.close();
        if by_reference {
            self.op(format_args!("local.set $caught"));
        }
        self.consume(carried);
    }

    /// The clause with others before or behind it, that go to labels around.
    fn more_clauses(&mut self, clause: String) -> String {
        let mut clauses = vec![clause];
        for _ in 0..*self.random.pick(&[0, 0, 1, 2]) {
            let tag = self.random.below(self.shape.tags.len());
            let types = &self.shape.tags[tag];
            let fitting: Vec<&Label> =
                self.labels.iter().filter(|label| label.free && label.types == *types).collect();
            let any: Vec<&Label> =
                self.labels.iter().filter(|label| label.free && label.types.is_empty()).collect();
            let at = self.random.below(clauses.len() + 1);
            if !fitting.is_empty() {
                let label = &self.random.pick(&fitting).name;
                clauses.insert(at, format!("(catch $e{tag} {label})"));
            } else if !any.is_empty() && self.random.chance(30) {
                clauses.insert(at, format!("(catch_all {})", self.random.pick(&any).name));
            }
        }
        clauses.join(" ")
    }
}
