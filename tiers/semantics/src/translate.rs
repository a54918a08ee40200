//! From an operator of wasm to what a tier does for it: one match for all tiers.
//!
//! A tier implements the traits of [`Translate`], keeps a [`Reach`] and calls [`translate`] for each operator of a body, in
//! order. What is reachable, what an operator costs and where runs of fuel start is decided here, because
//! remaining fuel must not depend on the tier.

use crate::ops::{Kind, Op, Ty};
use crescendo_abi::Builtin;
use wasmparser::{BlockType, BrTable, MemArg, MemArgTarget, Operator, TryTable};

/// What opened a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// The function's body.
    Function,
    /// `block`
    Block,
    /// `loop`
    Loop,
    /// `if`, before its `else`.
    If,
    /// `if`, behind its `else`.
    Else,
    /// `try_table`
    TryTable,
    /// `try`, before its first `catch`.
    Try,
    /// `try`, behind a `catch` or `catch_all`.
    Catch,
}

/// Whether the code that is translated can be reached, and what of it is skipped otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    reachable: bool,
    /// Blocks opened since the code became unreachable.
    dead_blocks: u32,
}

impl Reach {
    /// At the start of a body, which is reachable.
    pub fn new() -> Reach {
        Reach { reachable: true, dead_blocks: 0 }
    }

    /// Whether control comes here.
    pub fn is_reachable(&self) -> bool {
        self.reachable
    }

    /// Says whether control comes to what follows.
    pub fn set(&mut self, reachable: bool) {
        *self = Reach { reachable, dead_blocks: 0 };
    }

    /// Whether an operator has no effect because nothing comes to it. `else`, `catch` and `end` of blocks that are open have one.
    fn skips(&mut self, operator: &Operator<'_>) -> bool {
        if self.reachable {
            return false;
        }
        match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => self.dead_blocks += 1,
            Operator::Else
            | Operator::End
            | Operator::Catch { .. }
            | Operator::CatchAll
            | Operator::Delegate { .. }
                if self.dead_blocks == 0 =>
            {
                return false;
            }
            Operator::End | Operator::Delegate { .. } => self.dead_blocks -= 1,
            _ => {}
        }
        true
    }

    /// How control comes to what follows the `end` that is translated now, of a block of this kind.
    pub fn join(&self, kind: FrameKind, branched: bool) -> Join {
        Join {
            falls_through: self.reachable,
            skipped: kind == FrameKind::If,
            branched: branched && kind != FrameKind::Loop,
            sides: matches!(kind, FrameKind::Else | FrameKind::Catch),
        }
    }
}

impl Default for Reach {
    fn default() -> Reach {
        Reach::new()
    }
}

/// The ways on which control comes to what follows a block.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    /// From the operator before the block's end.
    pub falls_through: bool,
    /// From an `if` without `else` whose condition is zero, with its params for results.
    pub skipped: bool,
    /// By a branch to the block's label, which then stands behind it.
    pub branched: bool,
    /// Whether the block has sides: an `if` with an `else`, a `try` with a `catch`.
    sides: bool,
}

impl Join {
    /// Whether control comes there at all.
    pub fn is_reachable(&self) -> bool {
        self.falls_through || self.skipped || self.branched
    }

    /// Whether a run of fuel starts there: the run before it may not have been passed through.
    pub fn starts_run(&self) -> bool {
        self.is_reachable() && (self.skipped || self.branched || self.sides)
    }
}

/// A clause of a `try_table`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchClause {
    /// The tag whose exceptions it takes; `None` for all.
    pub tag: Option<u32>,
    /// Whether a reference to the exception follows what the exception carries.
    pub with_ref: bool,
    /// Where it branches, from outside of the `try_table`.
    pub label: u32,
}

impl From<wasmparser::Catch> for CatchClause {
    fn from(catch: wasmparser::Catch) -> CatchClause {
        use wasmparser::Catch;
        let clause = |tag, with_ref, label| CatchClause { tag, with_ref, label };
        match catch {
            Catch::One { tag, label } => clause(Some(tag), false, label),
            Catch::OneRef { tag, label } => clause(Some(tag), true, label),
            Catch::All { label } => clause(None, false, label),
            Catch::AllRef { label } => clause(None, true, label),
        }
    }
}

/// Whether a function has a `rethrow`. Then the code of its `catch`es has, below what the exception carries, an operand that
/// wasm does not see: a reference to the exception. All tiers must agree on it, since frames move between them.
///
/// # Errors
/// When the body is malformed.
pub fn rethrows(body: &wasmparser::FunctionBody<'_>) -> Result<bool, wasmparser::Error> {
    for operator in body.get_operators_reader()? {
        if let Operator::Rethrow { .. } = operator? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a translation step answers.
pub type Step<T> = Result<(), <T as Tier>::Error>;

/// A tier that translates operators. The traits below have a method for each operator or kind of operator; the methods
/// are called for reachable operators only, in the order of the body.
pub trait Tier {
    /// Why translation stops.
    type Error;

    /// An error for what validation rules out.
    fn impossible(&self, message: &str) -> Self::Error;

    /// What can be reached.
    fn reach(&mut self) -> &mut Reach;

    /// Adds the weight of the operator that follows to the current run of fuel.
    fn charge(&mut self, weight: u8);
}

/// Operators on values and the operand stack.
#[allow(missing_docs, reason = "methods without a text of their own are the operators of their names")]
pub trait Values: Tier {
    /// A row of kind `Value`, `Compare` or `Trapping`.
    fn value(&mut self, op: Op) -> Step<Self>;
    /// A row of kind `ExtractLane`.
    fn extract_lane(&mut self, op: Op, lane: u8) -> Step<Self>;
    /// A row of kind `ReplaceLane`.
    fn replace_lane(&mut self, op: Op, lane: u8) -> Step<Self>;
    /// `i8x16.shuffle`
    fn shuffle(&mut self, lanes: [u8; 16]) -> Step<Self>;
    /// `v128.const`, the byte of the lowest address first.
    fn vector_constant(&mut self, bytes: [u8; 16]) -> Step<Self>;
    /// `a * b + c`, or `c - a * b` if `negated`, of four `f32` or two `f64` (by `lane`), rounded once.
    fn multiply_add(&mut self, lane: Ty, negated: bool) -> Step<Self>;
    /// A row of kind `Wide`.
    fn wide(&mut self, op: Op) -> Step<Self>;
    fn constant(&mut self, ty: Ty, bits: u64) -> Step<Self>;
    fn drop_(&mut self) -> Step<Self>;
    fn select(&mut self) -> Step<Self>;
}

/// Locals, globals, tables and references to functions.
#[allow(missing_docs, reason = "methods without a text of their own are the operators of their names")]
pub trait Variables: Tier {
    fn local_get(&mut self, local: u32) -> Step<Self>;
    fn local_set(&mut self, local: u32) -> Step<Self>;
    fn local_tee(&mut self, local: u32) -> Step<Self>;
    fn global_get(&mut self, global: u32) -> Step<Self>;
    fn global_set(&mut self, global: u32) -> Step<Self>;
    fn ref_func(&mut self, func: u32) -> Step<Self>;
    fn table_get(&mut self, table: u32) -> Step<Self>;
    fn table_set(&mut self, table: u32) -> Step<Self>;
    fn table_size(&mut self, table: u32) -> Step<Self>;
    /// The type of a table's indices: `I32` or `I64`.
    fn table_index_ty(&self, table: u32) -> Ty;
}

/// Linear memory.
#[allow(missing_docs, reason = "methods without a text of their own are the operators of their names")]
pub trait Memories: Tier {
    /// A row of kind `Load` or `Store`.
    fn access(&mut self, op: Op, memarg: &MemArg) -> Step<Self>;
    /// A row of kind `LoadLane` or `StoreLane`.
    fn access_lane(&mut self, op: Op, memarg: &MemArg, lane: u8) -> Step<Self>;
    /// A row of kind `Atomic`.
    fn atomic(&mut self, op: Op, memarg: &MemArg) -> Step<Self>;
    fn fence(&mut self) -> Step<Self>;
    fn memory_size(&mut self, memory: u32) -> Step<Self>;
    /// The type of a memory's addresses: `I32` or `I64`.
    fn memory_index_ty(&self, memory: u32) -> Ty;
}

/// Blocks, branches and returns.
#[allow(missing_docs, reason = "methods without a text of their own are the operators of their names")]
pub trait Control: Tier {
    fn unreachable(&mut self) -> Step<Self>;
    fn block(&mut self, ty: BlockType) -> Step<Self>;
    fn loop_(&mut self, ty: BlockType) -> Step<Self>;
    fn if_(&mut self, ty: BlockType) -> Step<Self>;
    fn else_(&mut self) -> Step<Self>;
    fn end(&mut self) -> Step<Self>;
    fn br(&mut self, depth: u32) -> Step<Self>;
    fn br_if(&mut self, depth: u32) -> Step<Self>;
    fn br_table(&mut self, table: &BrTable<'_>) -> Step<Self>;
    fn br_on_null(&mut self, depth: u32) -> Step<Self>;
    fn br_on_non_null(&mut self, depth: u32) -> Step<Self>;
    fn return_(&mut self) -> Step<Self>;
}

/// Exceptions. Where one is caught, control comes by a branch to the clause's label, which a `try_table` branches to by being
/// there; the code of a `catch` starts a run of fuel.
#[allow(missing_docs, reason = "methods without a text of their own are the operators of their names")]
pub trait Exceptions: Tier {
    fn try_table(&mut self, table: &TryTable) -> Step<Self>;
    fn throw(&mut self, tag: u32) -> Step<Self>;
    fn throw_ref(&mut self) -> Step<Self>;
    fn try_(&mut self, ty: BlockType) -> Step<Self>;
    /// `catch`, and `catch_all` without a tag.
    fn catch(&mut self, tag: Option<u32>) -> Step<Self>;
    fn delegate(&mut self, depth: u32) -> Step<Self>;
    fn rethrow(&mut self, depth: u32) -> Step<Self>;
}

/// Calls; tail calls are those with `tail`.
pub trait Calls: Tier {
    /// `call` and `return_call`.
    fn call_func(&mut self, func: u32, tail: bool) -> Step<Self>;
    /// `call_indirect` and `return_call_indirect`.
    fn call_indirect(&mut self, ty: u32, table: u32, tail: bool) -> Step<Self>;
    /// `call_ref` and `return_call_ref`.
    fn call_ref(&mut self, ty: u32, tail: bool) -> Step<Self>;
    /// Calls a builtin with the topmost operands and two numbers; the result takes the operands' place.
    fn call_builtin(
        &mut self,
        builtin: Builtin,
        operands: usize,
        result: Option<Ty>,
        numbers: [u32; 2],
    ) -> Step<Self>;
}

/// A tier that translates every operator.
pub trait Translate: Values + Variables + Memories + Control + Exceptions + Calls {}

impl<T: Values + Variables + Memories + Control + Exceptions + Calls> Translate for T {}

/// Translates one operator.
///
/// # Errors
/// Those of the tier, and an impossible state for operators without a row.
pub fn translate<T: Translate>(tier: &mut T, operator: &Operator<'_>) -> Step<T> {
    if tier.reach().skips(operator) {
        return Ok(());
    }
    let Some(op) = Op::from_operator(operator) else {
        return Err(tier.impossible("an operator that is not supported"));
    };
    let row = op.row();
    tier.charge(row.weight);
    match row.kind {
        Kind::Value | Kind::Compare | Kind::Trapping => tier.value(op),
        Kind::Wide => tier.wide(op),
        Kind::Load { .. } | Kind::Store { .. } => match Op::memarg(operator) {
            Some(memarg) => tier.access(op, &memarg),
            None => Err(tier.impossible("an access without a place")),
        },
        Kind::ExtractLane { .. } => tier.extract_lane(op, Op::lane(operator).unwrap_or(0)),
        Kind::ReplaceLane { .. } => tier.replace_lane(op, Op::lane(operator).unwrap_or(0)),
        Kind::LoadLane { .. } | Kind::StoreLane { .. } => match (Op::memarg(operator), Op::lane(operator)) {
            (Some(memarg), Some(lane)) => tier.access_lane(op, &memarg, lane),
            _ => Err(tier.impossible("an access without a place")),
        },
        Kind::Atomic { .. } => match Op::memarg(operator) {
            Some(memarg) => tier.atomic(op, &memarg),
            None => Err(tier.impossible("an atomic access without a place")),
        },
        Kind::Control => control(tier, operator),
    }
}

fn control<T: Translate>(tier: &mut T, operator: &Operator<'_>) -> Step<T> {
    match *operator {
        Operator::Unreachable => tier.unreachable(),
        Operator::Nop => Ok(()),
        Operator::Block { blockty } => tier.block(blockty),
        Operator::Loop { blockty } => tier.loop_(blockty),
        Operator::If { blockty } => tier.if_(blockty),
        Operator::Else => tier.else_(),
        Operator::End => tier.end(),
        Operator::Br { relative_depth } => tier.br(relative_depth),
        Operator::BrIf { relative_depth } => tier.br_if(relative_depth),
        Operator::BrTable { ref targets } => tier.br_table(targets),
        Operator::BrOnNull { relative_depth } => tier.br_on_null(relative_depth),
        Operator::BrOnNonNull { relative_depth } => tier.br_on_non_null(relative_depth),
        Operator::Return => tier.return_(),
        Operator::Call { function_index } => tier.call_func(function_index, false),
        Operator::ReturnCall { function_index } => tier.call_func(function_index, true),
        Operator::CallIndirect { type_index, table_index } => {
            tier.call_indirect(type_index, table_index, false)
        }
        Operator::ReturnCallIndirect { type_index, table_index } => {
            tier.call_indirect(type_index, table_index, true)
        }
        Operator::CallRef { type_index } => tier.call_ref(type_index, false),
        Operator::ReturnCallRef { type_index } => tier.call_ref(type_index, true),
        _ => exception(tier, operator),
    }
}

/// Operators that throw and catch.
fn exception<T: Translate>(tier: &mut T, operator: &Operator<'_>) -> Step<T> {
    match *operator {
        Operator::TryTable { ref try_table } => tier.try_table(try_table),
        Operator::Throw { tag_index } => tier.throw(tag_index),
        Operator::ThrowRef => tier.throw_ref(),
        Operator::Try { blockty } => tier.try_(blockty),
        Operator::Catch { tag_index } => tier.catch(Some(tag_index)),
        Operator::CatchAll => tier.catch(None),
        Operator::Delegate { relative_depth } => tier.delegate(relative_depth),
        Operator::Rethrow { relative_depth } => tier.rethrow(relative_depth),
        _ => variable(tier, operator),
    }
}

/// Operators on the stack, locals, constants and globals.
fn variable<T: Translate>(tier: &mut T, operator: &Operator<'_>) -> Step<T> {
    match *operator {
        Operator::Drop => tier.drop_(),
        Operator::Select | Operator::TypedSelect { .. } => tier.select(),
        Operator::LocalGet { local_index } => tier.local_get(local_index),
        Operator::LocalSet { local_index } => tier.local_set(local_index),
        Operator::LocalTee { local_index } => tier.local_tee(local_index),
        Operator::I32Const { value } => tier.constant(Ty::I32, u64::from(value as u32)),
        Operator::I64Const { value } => tier.constant(Ty::I64, value as u64),
        Operator::F32Const { value } => tier.constant(Ty::F32, u64::from(value.bits())),
        Operator::F64Const { value } => tier.constant(Ty::F64, value.bits()),
        Operator::V128Const { value } => tier.vector_constant(*value.bytes()),
        Operator::I8x16Shuffle { lanes } => tier.shuffle(lanes),
        Operator::F32x4RelaxedMadd => tier.multiply_add(Ty::F32, false),
        Operator::F32x4RelaxedNmadd => tier.multiply_add(Ty::F32, true),
        Operator::F64x2RelaxedMadd => tier.multiply_add(Ty::F64, false),
        Operator::F64x2RelaxedNmadd => tier.multiply_add(Ty::F64, true),
        Operator::RefNull { .. } => tier.constant(Ty::I64, 0),
        Operator::RefFunc { function_index } => tier.ref_func(function_index),
        Operator::GlobalGet { global_index } => tier.global_get(global_index),
        Operator::GlobalSet { global_index } => tier.global_set(global_index),
        _ => storage(tier, operator),
    }
}

/// Operators on tables and memories, but for loads and stores.
fn storage<T: Translate>(tier: &mut T, operator: &Operator<'_>) -> Step<T> {
    match *operator {
        Operator::TableGet { table } => tier.table_get(table),
        Operator::TableSet { table } => tier.table_set(table),
        Operator::TableSize { table } => tier.table_size(table),
        Operator::TableGrow { table } => {
            let ty = tier.table_index_ty(table);
            tier.call_builtin(Builtin::TableGrow, 2, Some(ty), [table, 0])
        }
        Operator::TableFill { table } => tier.call_builtin(Builtin::TableFill, 3, None, [table, 0]),
        Operator::TableCopy { dst_table, src_table } => {
            tier.call_builtin(Builtin::TableCopy, 3, None, [dst_table, src_table])
        }
        Operator::TableInit { elem_index, table } => {
            tier.call_builtin(Builtin::TableInit, 3, None, [table, elem_index])
        }
        Operator::ElemDrop { elem_index } => tier.call_builtin(Builtin::ElemDrop, 0, None, [elem_index, 0]),
        Operator::MemorySize { mem } => tier.memory_size(mem),
        Operator::MemoryGrow { mem } => {
            let ty = tier.memory_index_ty(mem);
            tier.call_builtin(Builtin::MemoryGrow, 1, Some(ty), [mem, 0])
        }
        Operator::MemoryFill { mem } => tier.call_builtin(Builtin::MemoryFill, 3, None, [mem, 0]),
        Operator::MemoryCopy { dst_mem, src_mem } => {
            tier.call_builtin(Builtin::MemoryCopy, 3, None, [dst_mem, src_mem])
        }
        Operator::MemoryInit { data_index, mem } => {
            tier.call_builtin(Builtin::MemoryInit, 3, None, [mem, data_index])
        }
        Operator::DataDrop { data_index } => tier.call_builtin(Builtin::DataDrop, 0, None, [data_index, 0]),
        Operator::AtomicFence { .. } => tier.fence(),
        Operator::MemoryAtomicNotify { memarg } => parking(tier, Builtin::AtomicNotify, 2, &memarg),
        Operator::MemoryAtomicWait32 { memarg } => parking(tier, Builtin::AtomicWait32, 3, &memarg),
        Operator::MemoryAtomicWait64 { memarg } => parking(tier, Builtin::AtomicWait64, 3, &memarg),
        _ => Err(tier.impossible("an operator that is not translated")),
    }
}

/// Waiting and notifying: the offset, which may have 64 bits, becomes the last operand of the builtin.
fn parking<T: Translate>(tier: &mut T, builtin: Builtin, operands: usize, memarg: &MemArg) -> Step<T> {
    let MemArgTarget::Memory(memory) = memarg.target else {
        return Err(tier.impossible("waiting at something else than a memory"));
    };
    tier.constant(Ty::I64, memarg.offset)?;
    tier.call_builtin(builtin, operands + 1, Some(Ty::I32), [memory, 0])
}
