//! Value, reference and function types, and when one matches (is a subtype of) another.
//!
//! References to a module's own types name them by [`TypeId`], which means the same type in every module of an engine, so
//! that all comparisons here are structural. `Display` writes the text format.
//!
//! Matching needs no registry: all concrete types are function types without declared supertypes, hence a concrete type
//! matches itself and `func` only.

use crate::TypeId;
use core::fmt;
use std::sync::Arc;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValType {
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
    /// A 32-bit float.
    F32,
    /// A 64-bit float.
    F64,
    /// A 128-bit vector.
    V128,
    /// A reference.
    Ref(RefType),
}

impl ValType {
    /// `(ref null func)`.
    pub const FUNCREF: ValType = ValType::Ref(RefType::FUNCREF);
    /// `(ref null extern)`.
    pub const EXTERNREF: ValType = ValType::Ref(RefType::EXTERNREF);
    /// `(ref null exn)`.
    pub const EXNREF: ValType = ValType::Ref(RefType::EXNREF);

    /// Slots of 8 bytes that a value takes where generated code keeps it.
    pub const fn slots(self) -> usize {
        match self {
            ValType::V128 => 2,
            _ => 1,
        }
    }

    /// Whether a value of this type may stand where `expected` is asked for.
    pub fn matches(self, expected: ValType) -> bool {
        match (self, expected) {
            (ValType::Ref(actual), ValType::Ref(expected)) => actual.matches(expected),
            (actual, expected) => actual == expected,
        }
    }

    /// Whether the type has a default value: zero, or null. Non-nullable references have none.
    pub fn is_defaultable(self) -> bool {
        match self {
            ValType::Ref(ty) => ty.nullable,
            _ => true,
        }
    }

    /// The reference type, when it is one.
    pub fn as_ref_type(self) -> Option<RefType> {
        match self {
            ValType::Ref(ty) => Some(ty),
            _ => None,
        }
    }

    /// Whether it is a reference type.
    pub fn is_ref(self) -> bool {
        matches!(self, ValType::Ref(_))
    }

    pub(crate) fn concrete(self) -> Option<TypeId> {
        match self {
            ValType::Ref(RefType { heap: HeapType::Concrete(id), .. }) => Some(id),
            _ => None,
        }
    }
}

impl From<RefType> for ValType {
    fn from(ty: RefType) -> ValType {
        ValType::Ref(ty)
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValType::I32 => f.write_str("i32"),
            ValType::I64 => f.write_str("i64"),
            ValType::F32 => f.write_str("f32"),
            ValType::F64 => f.write_str("f64"),
            ValType::V128 => f.write_str("v128"),
            ValType::Ref(ty) => ty.fmt(f),
        }
    }
}

/// The type of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType {
    /// Whether null belongs to the type.
    pub nullable: bool,
    /// What the reference refers to when it is not null.
    pub heap: HeapType,
}

impl RefType {
    /// `(ref null func)`.
    pub const FUNCREF: RefType = RefType { nullable: true, heap: HeapType::Func };
    /// `(ref null extern)`.
    pub const EXTERNREF: RefType = RefType { nullable: true, heap: HeapType::Extern };
    /// `(ref null exn)`.
    pub const EXNREF: RefType = RefType { nullable: true, heap: HeapType::Exn };

    /// A reference type.
    pub const fn new(nullable: bool, heap: HeapType) -> RefType {
        RefType { nullable, heap }
    }

    /// Whether a reference of this type may stand where `expected` is asked for.
    pub fn matches(self, expected: RefType) -> bool {
        (expected.nullable || !self.nullable) && self.heap.matches(expected.heap)
    }

    /// Whether its references are functions (or null).
    pub fn is_func(self) -> bool {
        self.heap.matches(HeapType::Func)
    }

    /// Whether its references are exceptions (or null).
    pub fn is_exn(self) -> bool {
        self.heap.matches(HeapType::Exn)
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(ref {}{})", if self.nullable { "null " } else { "" }, self.heap)
    }
}

/// What a reference can refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeapType {
    /// Any function.
    Func,
    /// Anything of the host.
    Extern,
    /// No function: only null.
    NoFunc,
    /// Nothing of the host: only null.
    NoExtern,
    /// Any exception.
    Exn,
    /// No exception: only null.
    NoExn,
    /// A function of this type.
    Concrete(TypeId),
}

impl HeapType {
    /// Whether everything of this type is also of the type `expected`.
    pub fn matches(self, expected: HeapType) -> bool {
        match (self, expected) {
            (HeapType::Concrete(_) | HeapType::NoFunc, HeapType::Func) => true,
            (HeapType::NoFunc, HeapType::Concrete(_)) => true,
            (HeapType::NoExtern, HeapType::Extern) => true,
            (HeapType::NoExn, HeapType::Exn) => true,
            (actual, expected) => actual == expected,
        }
    }

    /// The type at the top of the hierarchy that this one belongs to.
    pub fn top(self) -> HeapType {
        match self {
            HeapType::Func | HeapType::NoFunc | HeapType::Concrete(_) => HeapType::Func,
            HeapType::Extern | HeapType::NoExtern => HeapType::Extern,
            HeapType::Exn | HeapType::NoExn => HeapType::Exn,
        }
    }
}

impl fmt::Display for HeapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeapType::Func => f.write_str("func"),
            HeapType::Extern => f.write_str("extern"),
            HeapType::NoFunc => f.write_str("nofunc"),
            HeapType::NoExtern => f.write_str("noextern"),
            HeapType::Exn => f.write_str("exn"),
            HeapType::NoExn => f.write_str("noexn"),
            HeapType::Concrete(id) => write!(f, "$type{id}"),
        }
    }
}

/// The type of a function: its parameters and results. Cheap to clone.
///
/// Two types are equal when they are the same type; functions have no other subtypes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FuncType {
    /// The parameters, then the results.
    values: Arc<[ValType]>,
    params: usize,
}

impl FuncType {
    /// A function type.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> FuncType {
        let mut values: Vec<ValType> = params.into_iter().collect();
        let params = values.len();
        values.extend(results);
        FuncType { values: values.into(), params }
    }

    /// The types of the parameters, first to last.
    pub fn params(&self) -> &[ValType] {
        &self.values[..self.params]
    }

    /// The types of the results, first to last.
    pub fn results(&self) -> &[ValType] {
        &self.values[self.params..]
    }

    /// Slots that the parameters take.
    pub fn param_slots(&self) -> usize {
        self.params().iter().map(|ty| ty.slots()).sum()
    }

    /// Slots that the results take.
    pub fn result_slots(&self) -> usize {
        self.results().iter().map(|ty| ty.slots()).sum()
    }

    /// The types that the parameters and results refer to, with repetitions.
    pub(crate) fn mentions(&self) -> impl Iterator<Item = TypeId> + '_ {
        self.values.iter().filter_map(|ty| ty.concrete())
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(func")?;
        for (keyword, types) in [("param", self.params()), ("result", self.results())] {
            if !types.is_empty() {
                write!(f, " ({keyword}")?;
                for ty in types {
                    write!(f, " {ty}")?;
                }
                f.write_str(")")?;
            }
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HeapType = HeapType::Concrete(TypeId::new(1));
    const B: HeapType = HeapType::Concrete(TypeId::new(2));

    #[test]
    fn heap_types_match_along_their_hierarchy() {
        use HeapType::{Extern, Func, NoExtern, NoFunc};
        let all = [Func, Extern, NoFunc, NoExtern, A, B];
        let expected = [(NoFunc, Func), (NoFunc, A), (NoFunc, B), (A, Func), (B, Func), (NoExtern, Extern)];
        for sub in all {
            for sup in all {
                assert_eq!(sub.matches(sup), sub == sup || expected.contains(&(sub, sup)), "{sub} <: {sup}");
            }
        }
    }

    #[test]
    fn null_does_not_match_a_type_without_null() {
        let nullable = RefType::new(true, A);
        let non_null = RefType::new(false, A);
        assert!(non_null.matches(nullable) && non_null.matches(RefType::FUNCREF));
        assert!(nullable.matches(RefType::FUNCREF) && !nullable.matches(non_null));
        assert!(!RefType::FUNCREF.matches(nullable) && !RefType::FUNCREF.matches(RefType::EXTERNREF));
        assert!(ValType::Ref(nullable).matches(ValType::FUNCREF) && !ValType::I32.matches(ValType::I64));
        assert!(nullable.is_func() && !RefType::EXTERNREF.is_func());
        assert!(!ValType::Ref(non_null).is_defaultable() && ValType::F64.is_defaultable());
        assert_eq!((A.top(), HeapType::NoExtern.top()), (HeapType::Func, HeapType::Extern));
    }

    #[test]
    fn types_print_as_text_format() {
        let ty = FuncType::new([ValType::I32, ValType::FUNCREF], [ValType::I64]);
        assert_eq!(ty.to_string(), "(func (param i32 (ref null func)) (result i64))");
        assert_eq!(FuncType::new([], []).to_string(), "(func)");
        assert_eq!(RefType::new(false, A).to_string(), "(ref $type1)");
        assert_eq!(ValType::EXTERNREF.to_string(), "(ref null extern)");
    }

    #[test]
    fn equal_values_split_differently_are_different_types() {
        assert_ne!(FuncType::new([ValType::I32], []), FuncType::new([], [ValType::I32]));
    }
}
