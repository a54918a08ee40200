//! Micro-operators, operand forms and keys: what a handler does.
//!
//! Shared by the crate and its build script. A *micro-operator* is a step of the bytecode: a value row, a memory access in
//! one addressing mode, or control. A *key* is a micro-operator with the forms of its operands. A *handler* runs a sequence
//! of keys; its cell holds the operands that the forms call for, in the order that [`MicroOp::shape`] gives.

use crescendo_semantics::{Kind, Op, Ty};

/// How a load or store finds its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Access {
    /// Guarded memory 0, offset 0.
    Zero,
    /// Guarded memory 0.
    Offset,
    /// Another guarded memory.
    Indexed,
    /// Any 32-bit memory, bounds checked.
    Checked32,
    /// Any 64-bit memory, bounds checked.
    Checked64,
}

impl Access {
    /// All modes, in the order of their numbers.
    pub const ALL: [Access; 5] =
        [Access::Zero, Access::Offset, Access::Indexed, Access::Checked32, Access::Checked64];

    /// The modes of atomic accesses: they are too slow for the place to matter.
    pub const ATOMIC: [Access; 3] = [Access::Indexed, Access::Checked32, Access::Checked64];

    /// The type of the address operand.
    pub const fn address(self) -> Ty {
        match self {
            Access::Checked64 => Ty::I64,
            _ => Ty::I32,
        }
    }
}

/// Where the callee of a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Callee {
    /// A function of the same instance.
    Defined,
    /// An imported function.
    Imported,
    /// A table element, found by a 32-bit index.
    Table32,
    /// A table element, found by a 64-bit index.
    Table64,
    /// A reference.
    Ref,
}

impl Callee {
    /// All, in the order of their numbers.
    pub const ALL: [Callee; 5] =
        [Callee::Defined, Callee::Imported, Callee::Table32, Callee::Table64, Callee::Ref];
}

/// A step of the bytecode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MicroOp {
    /// A value row: operands to result.
    Value(Op),
    /// A row with two results: operands and results lie in slots side by side.
    Wide(Op),
    /// A load row.
    Load(Op, Access),
    /// A store row.
    Store(Op, Access),
    /// An atomic row. Accesses use memory 0 as any other.
    Atomic(Op, Access),
    /// Orders accesses.
    Fence,
    /// The operand is the result.
    Copy(Ty),
    /// Operands: value if not zero, value if zero, condition.
    Select(Ty),
    /// Reads a global; imported ones through a pointer.
    GlobalGet(Ty, bool),
    /// Writes a global; imported ones through a pointer.
    GlobalSet(Ty, bool),
    /// Size of a memory in its pages, in its index type.
    MemorySize(Ty),
    /// Size of a table, in its index type.
    TableSize(Ty),
    /// Reads an element; the type is that of the index.
    TableGet(Ty),
    /// Writes an element; the type is that of the index.
    TableSet(Ty),
    /// The address of a function's entry record; imported ones through a pointer.
    RefFunc(bool),
    /// A row that extracts this lane.
    ExtractLane(Op, u8),
    /// A row that replaces this lane.
    ReplaceLane(Op, u8),
    /// Bytes of two vectors.
    Shuffle,
    /// Bytes of one vector.
    ShuffleOne,
    /// A constant of 128 bits.
    V128Const,
    /// Goes to a target.
    Br,
    /// Goes to a target if the operand is not zero.
    BrIf,
    /// Goes to a target if the operand is zero.
    BrUnless,
    /// Goes to one of several targets.
    BrTable,
    /// A function's entry that zeroes this many slots, or as many as an operand says for [`ENTER_LOOP`].
    Enter(u8),
    /// A function's entry for callers of another context.
    EnterCross(u8),
    /// Returns to the caller, with a single result of this type or with results that are in place already.
    Return(Option<Ty>),
    /// Calls.
    Call(Callee),
    /// Calls in tail position.
    ReturnCall(Callee),
    /// Calls a builtin with the common signature.
    Builtin,
    /// Traps.
    Unreachable,
    /// Charges fuel.
    Fuel,
    /// Counts how often a part of a region runs; only in builds that count regions.
    CountRegion,
    /// The base frame's return cell: leaves the handlers.
    Halt,
    /// The return cell of calls across contexts.
    ReturnSwitch,
    /// The entry of a function that is not translated.
    Untranslated,
    /// As `Untranslated`, for callers of another context.
    UntranslatedCross,
    /// The entry of a host function.
    HostCall,
    /// Goes on if the epoch has not reached the store's deadline.
    Epoch,
    /// A function's entry that counts calls, before its own entry.
    CountEntry,
    /// As `CountEntry`, for callers of another context.
    CountEntryCross,
    /// A loop's back edge: counts, and goes to the loop's header or, when the counter has run out, on to the next cell.
    CountLoop,
    /// A loop's back edge that no longer counts; as long as `CountLoop`.
    SkipLoop,
    /// A loop's back edge that waits for native code: goes on to the next cell when there is some; as long as `CountLoop`.
    PollLoop,
    /// Asks for native code that takes over the frame at a loop's header; goes on if there is none.
    LoopHot,
    /// The entry of a compiled function.
    EnterNative,
    /// As `EnterNative`, for callers of another context.
    EnterNativeCross,
}

/// Byte offset in a counter: not zero when there is native code to go on with. Guests only read it, so that it cannot get lost
/// as counts can.
pub const COUNTER_READY: i32 = 4;

/// The counts of zeroed slots for which [`MicroOp::Enter`] has handlers of its own; a function rounds up.
pub const ENTER_COUNTS: [u8; 6] = [0, 1, 2, 4, 8, 16];
/// Stands for a count that the cell holds.
pub const ENTER_LOOP: u8 = 255;

/// An operand of a cell beyond sources and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// A slot's place: unsigned byte offset from fp.
    Slot,
    /// 32 bits, zero-extended.
    U32,
    /// 64 bits.
    U64,
    /// The address of a cell.
    Target,
    /// As many addresses of cells as the `U32` before it says, plus one.
    Targets,
}

/// The operands of a micro-operator, in the order in which a cell holds them: sources, extras, destination.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Types of the sources.
    pub sources: [Option<Ty>; 3],
    /// Further operands.
    pub extras: &'static [Extra],
    /// Type of the result.
    pub result: Option<Ty>,
    /// Whether the handler never goes on to the next cell.
    pub ends: bool,
}

impl MicroOp {
    /// The micro-operator's operands.
    pub fn shape(self) -> Shape {
        use Extra::{Slot, Target, Targets, U32, U64};
        let shape = |sources: [Option<Ty>; 3], extras, result| Shape { sources, extras, result, ends: false };
        let ends = |sources, extras| Shape { sources, extras, result: None, ends: true };
        let one = |ty| [Some(ty), None, None];
        const NONE: [Option<Ty>; 3] = [None; 3];
        const ENTER: &[Extra] = &[U32, U32, U32, U32, U64];
        match self {
            MicroOp::Value(op) => {
                let row = op.row();
                let source = |i: usize| row.params.get(i).copied();
                shape([source(0), source(1), source(2)], &[], row.result)
            }
            MicroOp::Wide(_) => shape(NONE, &[Slot], None),
            MicroOp::Load(op, access) => shape(one(access.address()), access_extras(access), op.row().result),
            MicroOp::Store(op, access) => {
                shape([Some(access.address()), Some(op.row().params[1]), None], access_extras(access), None)
            }
            MicroOp::Atomic(op, access) => {
                let row = op.row();
                let source = |i: usize| row.params.get(i).copied();
                shape([Some(access.address()), source(1), source(2)], access_extras(access), row.result)
            }
            MicroOp::Fence => shape(NONE, &[], None),
            MicroOp::Copy(ty) => shape(one(ty), &[], Some(ty)),
            MicroOp::Select(ty) => shape([Some(ty), Some(ty), Some(Ty::I32)], &[], Some(ty)),
            MicroOp::GlobalGet(ty, _) => shape(NONE, &[U32], Some(ty)),
            MicroOp::GlobalSet(ty, _) => shape(one(ty), &[U32], None),
            // The pointer to the memory in the context, the binary logarithm of the bytes in a page.
            MicroOp::MemorySize(ty) => shape(NONE, &[U32, U32], Some(ty)),
            MicroOp::TableSize(ty) => shape(NONE, &[U32], Some(ty)),
            MicroOp::TableGet(index) => shape(one(index), &[U32], Some(Ty::I64)),
            MicroOp::TableSet(index) => shape([Some(index), Some(Ty::I64), None], &[U32], None),
            MicroOp::RefFunc(_) => shape(NONE, &[U32], Some(Ty::I64)),
            MicroOp::ExtractLane(op, _) => shape(one(Ty::V128), &[], op.row().result),
            MicroOp::ReplaceLane(op, _) => {
                shape([Some(Ty::V128), Some(op.row().params[1]), None], &[], Some(Ty::V128))
            }
            // For each vector the bytes to take from it, where there are any.
            MicroOp::Shuffle => {
                shape([Some(Ty::V128), Some(Ty::V128), None], &[U64, U64, U64, U64], Some(Ty::V128))
            }
            MicroOp::ShuffleOne => shape(one(Ty::V128), &[U64, U64], Some(Ty::V128)),
            MicroOp::V128Const => shape(NONE, &[U64, U64], Some(Ty::V128)),
            MicroOp::Br => ends(NONE, &[Target]),
            MicroOp::BrIf | MicroOp::BrUnless => shape(one(Ty::I32), &[Target], None),
            MicroOp::BrTable => ends(one(Ty::I32), &[U32, Targets]),
            MicroOp::Enter(_) | MicroOp::EnterCross(_) => shape(NONE, ENTER, None),
            MicroOp::Return(ty) => ends([ty, None, None], &[Slot]),
            MicroOp::Call(Callee::Defined | Callee::Imported) => ends(NONE, &[U32, Slot]),
            MicroOp::Call(Callee::Table32) => ends(one(Ty::I32), &[U32, U32, Slot]),
            MicroOp::Call(Callee::Table64) => ends(one(Ty::I64), &[U32, U32, Slot]),
            MicroOp::Call(Callee::Ref) => ends(one(Ty::I64), &[Slot]),
            // Last four: own record, first argument, number of arguments, return-switch cell.
            MicroOp::ReturnCall(Callee::Defined | Callee::Imported) => {
                ends(NONE, &[U32, Slot, Slot, U32, U64])
            }
            MicroOp::ReturnCall(Callee::Table32) => ends(one(Ty::I32), &[U32, U32, Slot, Slot, U32, U64]),
            MicroOp::ReturnCall(Callee::Table64) => ends(one(Ty::I64), &[U32, U32, Slot, Slot, U32, U64]),
            MicroOp::ReturnCall(Callee::Ref) => ends(one(Ty::I64), &[Slot, Slot, U32, U64]),
            MicroOp::Builtin => shape(NONE, &[U32, Slot, U32, U32], None),
            MicroOp::Unreachable => ends(NONE, &[]),
            MicroOp::Fuel => shape(NONE, &[U32], None),
            MicroOp::CountRegion => shape(NONE, &[U64], None),
            MicroOp::Halt
            | MicroOp::ReturnSwitch
            | MicroOp::Untranslated
            | MicroOp::UntranslatedCross
            | MicroOp::HostCall => ends(NONE, &[]),
            MicroOp::Epoch => shape(NONE, &[], None),
            // The counter's address, the function's own entry. The cross entry reads the cell behind it.
            MicroOp::CountEntry => ends(NONE, &[U64, Target]),
            MicroOp::CountEntryCross | MicroOp::EnterNativeCross => ends(NONE, &[]),
            // The counter's address, the loop's header.
            MicroOp::CountLoop | MicroOp::PollLoop => shape(NONE, &[U64, Target], None),
            MicroOp::SkipLoop => ends(NONE, &[U64, Target]),
            // Function, loop, bytes of the frame, own record, return-switch cell.
            MicroOp::LoopHot => shape(NONE, &[U32, U32, U32, Slot, U64], None),
            // Thunk, thunk for tail calls, the cell to which native callers let interpreted functions return.
            MicroOp::EnterNative => ends(NONE, &[U64, U64, U64]),
        }
    }

    /// Whether the translator orders the two operands, which are vectors, by their forms, so that there are fewer. Scalars are
    /// put in order by what they are, before forms are known.
    pub const fn orders_by_form(self) -> bool {
        matches!(self, MicroOp::Value(op) if op.commutes() && matches!(op.row().params[0], Ty::V128))
    }

    /// The micro-operator's number, below 2^14.
    pub const fn number(self) -> u16 {
        /// Operators come first, in blocks of as many as there may be.
        const MAX_OPS: u16 = 1 << 10;
        const _: () = assert!(Op::ALL.len() <= MAX_OPS as usize);
        const BLOCKS: u16 = 11;
        const fn operator(block: u16, op: Op) -> u16 {
            block * MAX_OPS + op as u16
        }
        const fn tag(tag: u16, low: u8) -> u16 {
            BLOCKS * MAX_OPS + ((tag - BLOCKS) << 8) + low as u16
        }
        const fn lane(op: Op, lane: u8) -> u8 {
            /// The most that a vector has.
            const LANES: u16 = 16;
            ((op as u16 - Op::I8x16ExtractLaneS as u16) * LANES) as u8 + lane
        }
        match self {
            MicroOp::Value(op) | MicroOp::Wide(op) => operator(0, op),
            MicroOp::Load(op, access) | MicroOp::Atomic(op, access) => operator(1 + access as u16, op),
            MicroOp::Store(op, access) => operator(6 + access as u16, op),
            MicroOp::Copy(ty) => tag(11, ty as u8),
            MicroOp::Select(ty) => tag(12, ty as u8),
            MicroOp::GlobalGet(ty, imported) => tag(13, ty as u8 * 2 + imported as u8),
            MicroOp::GlobalSet(ty, imported) => tag(14, ty as u8 * 2 + imported as u8),
            MicroOp::MemorySize(ty) => tag(15, ty as u8),
            MicroOp::TableSize(ty) => tag(16, ty as u8),
            MicroOp::TableGet(ty) => tag(17, ty as u8),
            MicroOp::TableSet(ty) => tag(18, ty as u8),
            MicroOp::RefFunc(imported) => tag(19, imported as u8),
            MicroOp::Br => tag(20, 0),
            MicroOp::BrIf => tag(20, 1),
            MicroOp::BrUnless => tag(20, 2),
            MicroOp::BrTable => tag(20, 3),
            MicroOp::Enter(count) => tag(21, count),
            MicroOp::EnterCross(count) => tag(22, count),
            MicroOp::Return(None) => tag(23, 255),
            MicroOp::Return(Some(ty)) => tag(23, ty as u8),
            MicroOp::Call(callee) => tag(24, callee as u8),
            MicroOp::ReturnCall(callee) => tag(25, callee as u8),
            MicroOp::Builtin => tag(26, 0),
            MicroOp::Unreachable => tag(26, 1),
            MicroOp::Fuel => tag(26, 2),
            MicroOp::CountRegion => tag(26, 21),
            MicroOp::Halt => tag(26, 3),
            MicroOp::ReturnSwitch => tag(26, 4),
            MicroOp::Untranslated => tag(26, 5),
            MicroOp::UntranslatedCross => tag(26, 6),
            MicroOp::HostCall => tag(26, 7),
            MicroOp::Epoch => tag(26, 8),
            MicroOp::CountEntry => tag(26, 9),
            MicroOp::CountEntryCross => tag(26, 10),
            MicroOp::CountLoop => tag(26, 11),
            MicroOp::SkipLoop => tag(26, 12),
            MicroOp::LoopHot => tag(26, 13),
            MicroOp::EnterNative => tag(26, 14),
            MicroOp::EnterNativeCross => tag(26, 15),
            MicroOp::PollLoop => tag(26, 16),
            MicroOp::Shuffle => tag(26, 17),
            MicroOp::V128Const => tag(26, 18),
            MicroOp::ExtractLane(op, index) => tag(27, lane(op, index)),
            MicroOp::ReplaceLane(op, index) => tag(28, lane(op, index)),
            MicroOp::Fence => tag(26, 19),
            MicroOp::ShuffleOne => tag(26, 20),
        }
    }

    /// Every micro-operator.
    pub fn all() -> Vec<MicroOp> {
        let mut all = Vec::new();
        for &op in Op::ALL {
            match op.row().kind {
                Kind::Value | Kind::Compare | Kind::Trapping => all.push(MicroOp::Value(op)),
                Kind::Wide => all.push(MicroOp::Wide(op)),
                Kind::Load { .. } => all.extend(Access::ALL.map(|access| MicroOp::Load(op, access))),
                Kind::Store { .. } => all.extend(Access::ALL.map(|access| MicroOp::Store(op, access))),
                Kind::ExtractLane { bytes, .. } => {
                    all.extend((0..16 / bytes).map(|lane| MicroOp::ExtractLane(op, lane)));
                }
                Kind::ReplaceLane { bytes } => {
                    all.extend((0..16 / bytes).map(|lane| MicroOp::ReplaceLane(op, lane)));
                }
                // Made of the other two.
                Kind::LoadLane { .. } | Kind::StoreLane { .. } => {}
                Kind::Atomic { .. } => all.extend(Access::ATOMIC.map(|access| MicroOp::Atomic(op, access))),
                Kind::Control => {}
            }
        }
        for ty in Ty::ALL {
            all.extend([MicroOp::Copy(ty), MicroOp::Select(ty), MicroOp::Return(Some(ty))]);
            for imported in [false, true] {
                all.extend([MicroOp::GlobalGet(ty, imported), MicroOp::GlobalSet(ty, imported)]);
            }
        }
        for index in [Ty::I32, Ty::I64] {
            all.extend([
                MicroOp::MemorySize(index),
                MicroOp::TableSize(index),
                MicroOp::TableGet(index),
                MicroOp::TableSet(index),
            ]);
        }
        all.extend([MicroOp::RefFunc(false), MicroOp::RefFunc(true), MicroOp::Fence]);
        all.extend([MicroOp::Shuffle, MicroOp::ShuffleOne, MicroOp::V128Const]);
        all.extend([MicroOp::Br, MicroOp::BrIf, MicroOp::BrUnless, MicroOp::BrTable, MicroOp::Return(None)]);
        for count in ENTER_COUNTS.into_iter().chain([ENTER_LOOP]) {
            all.extend([MicroOp::Enter(count), MicroOp::EnterCross(count)]);
        }
        for callee in Callee::ALL {
            all.extend([MicroOp::Call(callee), MicroOp::ReturnCall(callee)]);
        }
        all.extend([
            MicroOp::Builtin,
            MicroOp::Unreachable,
            MicroOp::Fuel,
            MicroOp::CountRegion,
            MicroOp::Halt,
            MicroOp::ReturnSwitch,
        ]);
        all.extend([MicroOp::Untranslated, MicroOp::UntranslatedCross, MicroOp::HostCall, MicroOp::Epoch]);
        all.extend([MicroOp::CountEntry, MicroOp::CountEntryCross, MicroOp::CountLoop, MicroOp::SkipLoop]);
        all.extend([MicroOp::PollLoop, MicroOp::LoopHot]);
        all.extend([MicroOp::EnterNative, MicroOp::EnterNativeCross]);
        all
    }

    /// The micro-operator's name in listings and in the list of superinstructions.
    pub fn name(self) -> String {
        let imported = |yes| if yes { ".imported" } else { "" };
        let access = |a| match a {
            Access::Zero => ".0",
            Access::Offset => "",
            Access::Indexed => ".memory",
            Access::Checked32 => ".checked",
            Access::Checked64 => ".checked64",
        };
        let callee = |c| match c {
            Callee::Defined => "",
            Callee::Imported => "_imported",
            Callee::Table32 => "_indirect",
            Callee::Table64 => "_indirect64",
            Callee::Ref => "_ref",
        };
        match self {
            MicroOp::Value(op) | MicroOp::Wide(op) => op.row().name.to_string(),
            MicroOp::ExtractLane(op, lane) | MicroOp::ReplaceLane(op, lane) => {
                format!("{}.{lane}", op.row().name)
            }
            MicroOp::Shuffle => "i8x16.shuffle".to_string(),
            MicroOp::ShuffleOne => "i8x16.shuffle.one".to_string(),
            MicroOp::V128Const => "v128.const".to_string(),
            MicroOp::Fence => "atomic.fence".to_string(),
            MicroOp::Load(op, a) | MicroOp::Store(op, a) | MicroOp::Atomic(op, a) => {
                format!("{}{}", op.row().name, access(a))
            }
            MicroOp::Copy(ty) => format!("{}.copy", ty.name()),
            MicroOp::Select(ty) => format!("{}.select", ty.name()),
            MicroOp::GlobalGet(ty, i) => format!("{}.global.get{}", ty.name(), imported(i)),
            MicroOp::GlobalSet(ty, i) => format!("{}.global.set{}", ty.name(), imported(i)),
            MicroOp::MemorySize(ty) => format!("{}.memory.size", ty.name()),
            MicroOp::TableSize(ty) => format!("{}.table.size", ty.name()),
            MicroOp::TableGet(ty) => format!("{}.table.get", ty.name()),
            MicroOp::TableSet(ty) => format!("{}.table.set", ty.name()),
            MicroOp::RefFunc(i) => format!("ref.func{}", imported(i)),
            MicroOp::Br => "br".to_string(),
            MicroOp::BrIf => "br_if".to_string(),
            MicroOp::BrUnless => "br_unless".to_string(),
            MicroOp::BrTable => "br_table".to_string(),
            MicroOp::Enter(ENTER_LOOP) => "enter".to_string(),
            MicroOp::Enter(count) => format!("enter.{count}"),
            MicroOp::EnterCross(ENTER_LOOP) => "enter_cross".to_string(),
            MicroOp::EnterCross(count) => format!("enter_cross.{count}"),
            MicroOp::Return(None) => "return".to_string(),
            MicroOp::Return(Some(ty)) => format!("{}.return", ty.name()),
            MicroOp::Call(c) => format!("call{}", callee(c)),
            MicroOp::ReturnCall(c) => format!("return_call{}", callee(c)),
            MicroOp::Builtin => "builtin".to_string(),
            MicroOp::Unreachable => "unreachable".to_string(),
            MicroOp::Fuel => "fuel".to_string(),
            MicroOp::CountRegion => "count_region".to_string(),
            MicroOp::Halt => "halt".to_string(),
            MicroOp::ReturnSwitch => "return_switch".to_string(),
            MicroOp::Untranslated => "untranslated".to_string(),
            MicroOp::UntranslatedCross => "untranslated_cross".to_string(),
            MicroOp::HostCall => "host_call".to_string(),
            MicroOp::Epoch => "epoch".to_string(),
            MicroOp::CountEntry => "count_entry".to_string(),
            MicroOp::CountEntryCross => "count_entry_cross".to_string(),
            MicroOp::CountLoop => "count_loop".to_string(),
            MicroOp::SkipLoop => "skip_loop".to_string(),
            MicroOp::PollLoop => "poll_loop".to_string(),
            MicroOp::LoopHot => "loop_hot".to_string(),
            MicroOp::EnterNative => "enter_native".to_string(),
            MicroOp::EnterNativeCross => "enter_native_cross".to_string(),
        }
    }
}

const fn access_extras(access: Access) -> &'static [Extra] {
    match access {
        Access::Zero => &[],
        Access::Offset => &[Extra::U32],
        // The pointer to the memory in the context, the offset.
        Access::Indexed => &[Extra::U32, Extra::U32],
        Access::Checked32 | Access::Checked64 => &[Extra::U32, Extra::U64],
    }
}

/// Where a source comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// No such source.
    None,
    /// A slot of the frame; the cell holds its place.
    Slot,
    /// The cell holds the value.
    Imm,
    /// The cell holds 32 bits of an `i64` that are sign-extended.
    Imm32,
    /// A register: 0 accumulator, 1 and 2 hot locals.
    Reg(u8),
    /// The result of an earlier micro-operator of the same handler, by its position.
    Inner(u8),
}

/// Most micro-operators in one handler.
pub const MAX_FUSED: usize = 5;

impl Form {
    /// The form's number in a packed key.
    pub const fn number(self) -> u32 {
        match self {
            Form::None => 0,
            Form::Slot => 1,
            Form::Imm => 2,
            Form::Imm32 => 3,
            Form::Reg(r) => 4 + r as u32,
            Form::Inner(j) => 7 + j as u32,
        }
    }

    /// The form with this number, which is below 16.
    pub const fn from_number(number: u32) -> Form {
        match number {
            0 => Form::None,
            1 => Form::Slot,
            2 => Form::Imm,
            3 => Form::Imm32,
            4..=6 => Form::Reg((number - 4) as u8),
            _ => Form::Inner((number - 7) as u8),
        }
    }
}

/// A micro-operator with the forms of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// What to do.
    pub op: MicroOp,
    /// Where the sources come from.
    pub sources: [Form; 3],
    /// Whether the result goes to a slot; the cell holds its place.
    pub to_slot: bool,
    /// The register that the result goes to.
    pub to_reg: Option<u8>,
}

impl Key {
    /// A key whose sources are all slots and whose result goes to a slot.
    pub fn all_slots(op: MicroOp) -> Key {
        let shape = op.shape();
        let sources = shape.sources.map(|s| if s.is_some() { Form::Slot } else { Form::None });
        Key { op, sources, to_slot: shape.result.is_some(), to_reg: None }
    }

    /// The key in 32 bits.
    pub const fn pack(&self) -> PackedKey {
        let [first, second, third] = self.sources;
        let key = PackedKey::new(self.op.number());
        let key = key.with_source(0, first).with_source(1, second).with_source(2, third);
        let key = if self.to_slot { key.to_slot() } else { key };
        match self.to_reg {
            None => key,
            Some(r) => key.to_reg(r),
        }
    }

    /// The key as one word of a listing: `i32.add(s,r0)>s,r1`.
    pub fn text(&self) -> String {
        let forms: Vec<String> = (self.sources.iter())
            .filter_map(|form| match form {
                Form::None => None,
                Form::Slot => Some("s".to_string()),
                Form::Imm => Some("i".to_string()),
                Form::Imm32 => Some("j".to_string()),
                Form::Reg(r) => Some(format!("r{r}")),
                Form::Inner(j) => Some(format!("@{j}")),
            })
            .collect();
        let to = match (self.to_slot, self.to_reg) {
            (false, None) => String::new(),
            (true, None) => ">s".to_string(),
            (false, Some(r)) => format!(">r{r}"),
            (true, Some(r)) => format!(">s,r{r}"),
        };
        format!("{}({}){to}", self.op.name(), forms.join(","))
    }

    /// Reads what [`Key::text`] wrote; `by_name` finds micro-operators.
    pub fn parse(text: &str, by_name: impl Fn(&str) -> Option<MicroOp>) -> Option<Key> {
        let (name, rest) = text.split_once('(')?;
        let (forms, to) = rest.split_once(')')?;
        let mut sources = [Form::None; 3];
        for (source, form) in sources.iter_mut().zip(forms.split(',').filter(|f| !f.is_empty())) {
            *source = match form.as_bytes() {
                b"s" => Form::Slot,
                b"i" => Form::Imm,
                b"j" => Form::Imm32,
                [b'r', digit @ b'0'..=b'2'] => Form::Reg(digit - b'0'),
                [b'@', digit @ b'0'..=b'4'] => Form::Inner(digit - b'0'),
                _ => return None,
            };
        }
        let (to_slot, to_reg) = match to.as_bytes() {
            b"" => (false, None),
            b">s" => (true, None),
            [b'>', b'r', digit @ b'0'..=b'2'] => (false, Some(digit - b'0')),
            [b'>', b's', b',', b'r', digit @ b'0'..=b'2'] => (true, Some(digit - b'0')),
            _ => return None,
        };
        Some(Key { op: by_name(name)?, sources, to_slot, to_reg })
    }
}

/// A key in 32 bits, never 0: from bit 0 the micro-operator's number plus one (14 bits), three forms (4 bits each), whether the
/// result goes to a slot, the register that it goes to plus one (2 bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackedKey(pub u32);

impl PackedKey {
    /// Bits of the micro-operator's number plus one.
    pub const NUMBER_BITS: u32 = 14;
    const TO_SLOT: u32 = 26;
    const TO_REG: u32 = 27;

    /// The key of the micro-operator with this number, without sources and result.
    pub const fn new(number: u16) -> PackedKey {
        PackedKey(number as u32 + 1)
    }

    /// With a form for a source that has none.
    #[must_use]
    pub const fn with_source(self, index: u32, form: Form) -> PackedKey {
        PackedKey(self.0 | form.number() << (Self::NUMBER_BITS + 4 * index))
    }

    /// With another form for a source.
    #[must_use]
    pub const fn replace_source(self, index: u32, form: Form) -> PackedKey {
        let shift = Self::NUMBER_BITS + 4 * index;
        PackedKey(self.0 & !(15 << shift) | form.number() << shift)
    }

    /// Without a place for the result, which only the next micro-operator of the same handler reads.
    #[must_use]
    pub const fn without_place(self) -> PackedKey {
        PackedKey(self.0 & !(7 << Self::TO_SLOT))
    }

    /// With a result that goes to a slot.
    #[must_use]
    pub const fn to_slot(self) -> PackedKey {
        PackedKey(self.0 | 1 << Self::TO_SLOT)
    }

    /// With a result that goes to a register.
    #[must_use]
    pub const fn to_reg(self, register: u8) -> PackedKey {
        PackedKey(self.0 | (register as u32 + 1) << Self::TO_REG)
    }

    /// Bits of a block's number in the handler tree that hold the binary logarithm of its length; its first slot is above. 0 is no
    /// block.
    pub const BLOCK_BITS: u32 = 5;

    /// Where to look for the key first in a block of the handler tree with 2^`bits` slots, `bits` being below 32.
    pub const fn hash(self, bits: u32) -> usize {
        let mixed = self.0.wrapping_mul(0x9e37_79b1);
        ((mixed as u64) << bits >> 32) as usize
    }

    /// The micro-operator's number.
    pub fn number(self) -> Option<u16> {
        (self.0 & ((1 << Self::NUMBER_BITS) - 1)).checked_sub(1).map(|number| number as u16)
    }

    /// Where a source comes from.
    pub const fn source(self, index: u32) -> Form {
        Form::from_number(self.0 >> (Self::NUMBER_BITS + 4 * index) & 15)
    }

    /// Whether the result goes to a slot.
    pub const fn goes_to_slot(self) -> bool {
        self.0 >> Self::TO_SLOT & 1 == 1
    }

    /// The key, whose micro-operator is known.
    pub fn with_op(self, op: MicroOp) -> Key {
        Key {
            op,
            sources: [self.source(0), self.source(1), self.source(2)],
            to_slot: self.goes_to_slot(),
            to_reg: (self.0 >> Self::TO_REG & 3).checked_sub(1).map(|register| register as u8),
        }
    }
}

/// Which handlers an instance's bytecode uses; one root of the handler tree each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Root {
    /// Memories with guard regions, faults are traps; slots in 16 bits.
    Guarded,
    /// As `Guarded`, slots in 32 bits, every operand a slot.
    GuardedWide,
    /// Every access and division checked, no fault is a trap; slots in 16 bits.
    Checked,
    /// As `Checked`, slots in 32 bits, every operand a slot.
    CheckedWide,
}

impl Root {
    /// All, in the order of their numbers.
    pub const ALL: [Root; 4] = [Root::Guarded, Root::GuardedWide, Root::Checked, Root::CheckedWide];

    /// Whether slots take 32 bits.
    pub const fn wide(self) -> bool {
        matches!(self, Root::GuardedWide | Root::CheckedWide)
    }

    /// Whether the root has handlers of this micro-operator.
    pub const fn has(self, op: MicroOp) -> bool {
        match op {
            MicroOp::Load(_, access) | MicroOp::Store(_, access) | MicroOp::Atomic(_, access) => {
                self.checked() == matches!(access, Access::Checked32 | Access::Checked64)
            }
            // Static cells, the same for all.
            MicroOp::Halt
            | MicroOp::ReturnSwitch
            | MicroOp::Untranslated
            | MicroOp::UntranslatedCross
            | MicroOp::HostCall
            | MicroOp::EnterNative
            | MicroOp::EnterNativeCross => matches!(self, Root::Guarded),
            _ => true,
        }
    }

    /// Whether everything that may trap is checked.
    pub const fn checked(self) -> bool {
        matches!(self, Root::Checked | Root::CheckedWide)
    }
}
