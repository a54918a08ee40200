//! What Cranelift leaves, in the engine's terms: code, trap rows, the map to wasm offsets.

use crate::compiler::{Entry, Request, Scratch};
use crate::error::{CompileError, Step, invalid};
use crate::exceptions::OpenTry;
use crate::inline::Places;
use crate::memory::{access_place, is_access};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::function::FunctionParameters;
use cranelift_codegen::ir::{ExternalName, TrapCode as ClifTrapCode, UserExternalName};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{
    ExceptionContextLoc, Final, FinalizedMachExceptionHandler, FinalizedMachReloc, FinalizedRelocTarget,
    MachBufferFinalized,
};
use crescendo_abi::TrapCode;
use crescendo_module::{DefinedFuncIdx, TypeId};
use crescendo_semantics::lower::trap_code;

/// An instruction that may trap by a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The instruction's byte offset in the code.
    pub offset: u32,
    /// What the fault means.
    pub code: TrapCode,
}

/// From which operator code comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Byte offset in the code; the location holds from there until the next.
    pub offset: u32,
    /// Byte offset of the operator in the module. Prologues have the start of the function's body, or the
    /// loop that they enter.
    pub wasm: u32,
    /// The inlined call that the operator belongs to: an index of [`Compiled::inlined`].
    pub inlined: Option<u32>,
}

/// A call whose callee is a part of the caller's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlinedCall {
    /// The callee's index in the module.
    pub func_index: u32,
    /// Byte offset of the call in the module.
    pub call_offset: u32,
    /// The inlined call that it is a part of itself: an earlier index of [`Compiled::inlined`].
    pub caller: Option<u32>,
}

/// What follows a call when an exception comes out of it that the function catches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Byte offset in the code of the call's return address.
    pub return_offset: u32,
    /// Byte offset of the code that goes on, with the clause's number in the register of a C result.
    pub offset: u32,
    /// Bytes from the stack pointer at the call to the frame pointer.
    pub frame_bytes: u32,
    /// Bytes from the stack pointer at the call to where the frame holds the context.
    pub context_at: u32,
    /// Whose clauses are asked first: an index of [`Compiled::tries`].
    pub innermost: u32,
}

/// The clauses of a `try` or `try_table`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// In the order in which they are asked.
    pub clauses: Vec<Clause>,
    /// Whose clauses are asked after these: an index of [`Compiled::tries`].
    pub next: Option<u32>,
}

/// What catches an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The tag; `None` for all.
    pub tag: Option<u32>,
    /// Whether a reference to the exception is wanted.
    pub with_ref: bool,
    /// The clause's number.
    pub number: u32,
}

/// A call that goes straight to a function's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectCall {
    /// Byte offset in the code of the call's displacement: four bytes, relative to where they end.
    pub offset: u32,
    /// The callee, which has code by [`Callees::has_code`](crate::Callees::has_code); `None` for this code's own start. Code for a loop
    /// that calls its function has the function here: its own start is something else.
    pub callee: Option<DefinedFuncIdx>,
}

/// A compiled function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The machine code, constants included: position-independent but for `calls`. It is entered at its start.
    pub code: Vec<u8>,
    /// What the code's address has to be a multiple of, in bytes.
    pub alignment: u32,
    /// The instructions that may trap, by offset.
    pub traps: Vec<Trap>,
    /// Where the code comes from, by offset. The first location is at offset 0.
    pub locations: Vec<Location>,
    /// The calls that are a part of the code.
    pub inlined: Vec<InlinedCall>,
    /// The displacements that whoever places the code has to fill in.
    pub calls: Vec<DirectCall>,
    /// Canonical ids of the signatures that the code calls, sorted, each once.
    pub called: Vec<TypeId>,
    /// The calls whose exceptions the code may catch, by their return addresses.
    pub landings: Vec<Landing>,
    /// What the landings refer to.
    pub tries: Vec<Try>,
    /// Bytes of the native frame below the frame pointer.
    pub frame_size: u32,
}

impl Compiled {
    /// The module byte offset of the operator that the code at this offset comes from.
    pub fn wasm_offset(&self, code_offset: u32) -> u32 {
        self.location(code_offset).wasm
    }

    /// From which operator the code at this offset comes.
    pub fn location(&self, code_offset: u32) -> Location {
        let after = self.locations.partition_point(|location| location.offset <= code_offset);
        self.locations[after.saturating_sub(1)]
    }
}

/// From a byte offset in the code on, until the next, code comes from the operator at a place; see [`Places`].
#[derive(Clone, Copy)]
struct Spot {
    offset: u32,
    place: u32,
}

fn lookup(spots: &[Spot], code_offset: u32) -> u32 {
    let after = spots.partition_point(|spot| spot.offset <= code_offset);
    spots[after.saturating_sub(1)].place
}

/// The operators at the places.
fn locations(spots: &[Spot], places: &Places) -> Vec<Location> {
    let location = |spot: &Spot| {
        let (wasm, inlined) = places.operator(spot.place);
        Location { offset: spot.offset, wasm, inlined }
    };
    spots.iter().map(location).collect()
}

/// Takes over what Cranelift has compiled.
pub(crate) fn collect(
    scratch: &mut Scratch,
    request: &Request<'_>,
    target: &dyn TargetIsa,
) -> Step<Compiled> {
    let code = (scratch.context.compiled_code())
        .ok_or_else(|| CompileError::Codegen { message: "there is no code".to_string() })?;
    let buffer = &code.buffer;
    let start = match request.entry {
        Entry::Call => request.info.body_range(request.func).start as u32,
        Entry::Osr { loop_offset } => loop_offset,
    };
    let mut spots = vec![Spot { offset: 0, place: start }];
    for range in buffer.get_srclocs_sorted() {
        let spot = Spot { offset: range.start, place: range.loc.bits() };
        match spots.last_mut() {
            _ if range.loc.is_default() => {}
            Some(last) if last.place == spot.place => {}
            Some(last) if last.offset == spot.offset => *last = spot,
            _ => spots.push(spot),
        }
    }
    let mut traps = Vec::with_capacity(buffer.traps().len());
    let mut corrections = Vec::new();
    for trap in buffer.traps() {
        let (offset, place) = (trap.offset, lookup(&spots, trap.offset));
        let (code, right) = if is_access(trap.code) {
            let access = access_place(&scratch.buffers.accesses, trap.code, place);
            (TrapCode::MemoryOutOfBounds, access.unwrap_or(place))
        } else {
            let code = trap_code(trap.code).ok_or_else(|| invalid(start, "a trap code without a meaning"))?;
            // Instructions of the prologue come from no operator.
            (code, if trap.code == ClifTrapCode::STACK_OVERFLOW { start } else { place })
        };
        if right != place {
            corrections.push((Spot { offset, place: right }, place));
        }
        traps.push(Trap { offset, code });
    }
    traps.sort_unstable_by_key(|trap| trap.offset);
    correct(&mut spots, &corrections);
    let landings = landings(buffer, start)?;
    let tries = scratch.buffers.tries.iter().map(OpenTry::closed).collect();
    let called = &mut scratch.buffers.called;
    called.sort_unstable();
    called.dedup();
    let places = &scratch.buffers.places;
    let calls = direct_calls(buffer, &scratch.context.func.params)?;
    Ok(Compiled {
        code: code.code_buffer().to_vec(),
        alignment: buffer.alignment.max(target.function_alignment().preferred),
        traps,
        locations: locations(&spots, places),
        inlined: places.calls().to_vec(),
        calls,
        called: called.clone(),
        landings,
        tries,
        frame_size: buffer.frame_layout().map_or(0, |layout| layout.frame_to_fp_offset),
    })
}

/// The name of a direct call's callee for Cranelift.
pub(crate) fn name_of(callee: Option<DefinedFuncIdx>) -> UserExternalName {
    match callee {
        Some(callee) => UserExternalName::new(0, callee.as_u32()),
        None => UserExternalName::new(1, 0),
    }
}

fn callee_of(name: &UserExternalName) -> Option<DefinedFuncIdx> {
    (name.namespace == 0).then(|| DefinedFuncIdx::new(name.index))
}

/// What Cranelift leaves to be filled in.
fn direct_calls(buffer: &MachBufferFinalized<Final>, names: &FunctionParameters) -> Step<Vec<DirectCall>> {
    let call = |reloc: &FinalizedMachReloc| match (reloc.kind, reloc.addend, &reloc.target) {
        (Reloc::X86CallPCRel4, -4, FinalizedRelocTarget::ExternalName(ExternalName::User(name))) => {
            let callee = names.user_named_funcs().get(*name).ok_or_else(refers_outside)?;
            Ok(DirectCall { offset: reloc.offset, callee: callee_of(callee) })
        }
        _ => Err(refers_outside()),
    };
    buffer.relocs().iter().map(call).collect()
}

pub(crate) fn refers_outside() -> CompileError {
    CompileError::Codegen { message: "the code refers to something outside".to_string() }
}

/// The call sites that have landings, sorted.
fn landings(buffer: &MachBufferFinalized<Final>, start: u32) -> Step<Vec<Landing>> {
    let mut landings = Vec::new();
    for site in buffer.call_sites() {
        let mut context = None;
        for handler in site.exception_handlers {
            match *handler {
                FinalizedMachExceptionHandler::Context(ExceptionContextLoc::SPOffset(at)) => {
                    context = Some(at)
                }
                FinalizedMachExceptionHandler::Tag(index, offset) => {
                    let (Some(context_at), Some(frame_bytes)) = (context, site.frame_offset) else {
                        return Err(invalid(start, "a landing without a frame"));
                    };
                    let (return_offset, innermost) = (site.ret_addr, index.as_u32());
                    landings.push(Landing { return_offset, offset, frame_bytes, context_at, innermost });
                }
                _ => return Err(invalid(start, "a landing of an unknown kind")),
            }
        }
    }
    landings.sort_unstable_by_key(|landing| landing.return_offset);
    Ok(landings)
}

/// Gives single instructions another location: a load that was joined with the operator that uses its value,
/// the prologue's trap.
fn correct(spots: &mut Vec<Spot>, corrections: &[(Spot, u32)]) {
    if corrections.is_empty() {
        return;
    }
    // No instruction is shorter than a byte; nobody asks for the place inside of one that traps.
    for (spot, rest) in corrections {
        spots.push(Spot { offset: spot.offset + 1, place: *rest });
    }
    spots.extend(corrections.iter().map(|(spot, _)| *spot));
    let mut order: Vec<(u32, usize, u32)> =
        spots.iter().enumerate().map(|(i, spot)| (spot.offset, i, spot.place)).collect();
    order.sort_unstable();
    spots.clear();
    for (offset, _, place) in order {
        match spots.last_mut() {
            // The later of two at one offset is the correction, or what follows it.
            Some(last) if last.offset == offset => last.place = place,
            _ => spots.push(Spot { offset, place }),
        }
    }
}
