//! WebAssembly bytes to module information.
//!
//! [`parse()`] takes the bytes of a module and gives a [`ModuleInfo`]: all that instantiation and translation ask about the
//! module, without any runtime state and without a copy of the bytes. wasmparser reads and validates; the types here are
//! the engine's own and name function types by ids that are canonical for the engine. The crate imports nothing of ours.
//! Its invariant: no bytes, however malformed, make it panic, and what `parse` accepts is valid (with
//! [`Validation::Lazy`], but for the bodies that [`ModuleInfo::validate_body`] has not seen).
//!
//! | type | what |
//! |---|---|
//! | [`ModuleInfo`] | a parsed module |
//! | [`ModuleConfig`], [`Proposals`], [`Validation`], [`ModuleLimits`] | what is accepted, and when bodies are checked |
//! | [`ModuleError`] | why a module is refused, and where |
//! | [`TypeRegistry`], [`TypeId`] | engine-wide ids of function types |
//! | [`ValType`], [`RefType`], [`FuncType`] … | types of values and functions, with matching |
//! | [`ExternType`], [`EntityType`] | types of imports and exports, with matching |
//! | [`FuncIdx`], [`TypeIdx`] … | an index newtype for each index space |
//! | [`ConstExpr`], [`ElementSegment`], [`DataSegment`] | what instantiation runs and copies |
//! | [`Names`] | the name section |
//! | [`Hints`] | what custom sections tell compilers |
#![forbid(unsafe_code)]

mod const_expr;
mod effects;
mod entity;
mod error;
mod hints;
mod index;
mod info;
mod limits;
mod names;
mod packed;
mod parse;
mod probe;
mod proposals;
mod quick;
mod read;
mod registry;
mod segments;
#[cfg(test)]
mod tests;
mod types;
mod validate;

pub use const_expr::{ConstExpr, ConstOp};
pub use entity::{
    EntityIndex, EntityType, ExternType, GlobalType, MemoryType, MemoryTypeBuilder, MemoryTypeError,
    TableType, TagType, max_memory_pages,
};
pub use error::{ModuleError, ModuleErrorKind};
pub use hints::{Hints, Priority};
pub use index::{
    DataIdx, DefinedFuncIdx, ElemIdx, FieldIdx, FuncIdx, GlobalIdx, LabelIdx, LocalIdx, MemoryIdx, TableIdx,
    TagIdx, TypeIdx,
};
pub use info::{CustomSection, Export, Import, ModuleInfo};
pub use limits::ModuleLimits;
pub use names::{Name, Names};
pub use parse::{ModuleConfig, Validation, parse, parse_and_copy};
pub use proposals::{Proposal, Proposals};
pub use registry::{RegisterError, TypeHandle, TypeId, TypeRegistry};
pub use segments::{DataMode, DataSegment, ElementItems, ElementMode, ElementSegment, TableInit};
pub use types::{FuncType, HeapType, RefType, ValType};
pub use validate::FuncValidatorAllocations;
