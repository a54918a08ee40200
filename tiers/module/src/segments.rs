//! Element and data segments, and how tables start.
//!
//! Contents of data segments stay in the module's bytes; only their place is kept here.

use crate::{ConstExpr, FuncIdx, MemoryIdx, RefType, TableIdx};
use core::ops::Range;

/// How a table's elements start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableInit {
    /// All null.
    Null,
    /// All the value of this expression.
    Expr(ConstExpr),
}

/// When a segment of elements is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementMode {
    /// By `table.init`.
    Passive,
    /// Copied into a table at instantiation.
    Active {
        /// The table.
        table: TableIdx,
        /// Where in the table, `i32` (unsigned) or `i64` as the table's indices are.
        offset: ConstExpr,
    },
    /// Never: the segment only declares functions that `ref.func` names.
    Declared,
}

/// The items of an element segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementItems {
    /// References to these functions.
    Funcs(Box<[FuncIdx]>),
    /// The values of these expressions.
    Exprs(Box<[ConstExpr]>),
}

impl ElementItems {
    /// Number of items.
    pub fn len(&self) -> usize {
        match self {
            ElementItems::Funcs(items) => items.len(),
            ElementItems::Exprs(items) => items.len(),
        }
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An element segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementSegment {
    /// When it is used.
    pub mode: ElementMode,
    /// The type of its items.
    pub ty: RefType,
    /// Its items.
    pub items: ElementItems,
}

/// When a data segment is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataMode {
    /// By `memory.init`.
    Passive,
    /// Copied into a memory at instantiation.
    Active {
        /// The memory.
        memory: MemoryIdx,
        /// Where in the memory, `i32` (unsigned) or `i64` as the memory's addresses are.
        offset: ConstExpr,
    },
}

/// A data segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSegment {
    /// When it is used.
    pub mode: DataMode,
    /// Where in the module's bytes its contents are.
    pub range: Range<usize>,
}
