//! Native code: where it lies, and what an address in it belongs to.
//!
//! One arena serves the process. It is never unmapped and its index never moves, so that signal handlers can look up an address
//! without a lock; what frees a piece of code vouches that no thread runs it. An allocation takes whole granules, each of
//! which points to the piece's description.

use crate::Reservation;
use crate::sys::{CodePages, synchronize_cores};
use crescendo_abi::TrapCode;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Bytes of the unit of allocation: a cache line, so that functions do not share one.
const GRANULE: usize = 64;

/// Sizes of the arena that are tried, largest first: a limit on the address space may refuse some.
const ARENA_SIZES: [usize; 4] = [1 << 30, 1 << 28, 1 << 26, 1 << 24];

/// An instruction of native code that may fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeTrap {
    /// Bytes from the code's start to the instruction's first byte.
    pub offset: u32,
    /// What the fault means.
    pub code: TrapCode,
}

/// From a place in the code on, until the next one, code belongs to the operator at this offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeLocation {
    /// Bytes from the code's start.
    pub offset: u32,
    /// Byte offset of the operator in the module.
    pub wasm: u32,
}

/// A call whose callee is a part of the caller's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeInlinedCall {
    /// The callee's index in the module.
    pub func_index: u32,
    /// Byte offset of the call in the module.
    pub call_offset: u32,
    /// The inlined call that it is a part of: an earlier index of [`NativeInfo::inlined_calls`].
    pub caller: Option<u32>,
}

/// From a place in the code on, until the next one, code belongs to this inlined call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeInlined {
    /// Bytes from the code's start.
    pub offset: u32,
    /// An index of [`NativeInfo::inlined_calls`]; `None` for the function's own body.
    pub call: Option<u32>,
}

/// What a piece of native code is, for those who find a pc in it.
#[derive(Debug, Default)]
pub struct NativeInfo {
    /// Names the module for its owner; 0 for thunks, which belong to no module.
    pub module: usize,
    /// Index of the function in its module.
    pub func_index: u32,
    /// Every instruction that may fault, by offset.
    pub traps: Box<[NativeTrap]>,
    /// By offset.
    pub locations: Box<[NativeLocation]>,
    /// By offset; before the first the code is the function's own.
    pub inlined: Box<[NativeInlined]>,
    /// What `inlined` refers to.
    pub inlined_calls: Box<[NativeInlinedCall]>,
    /// The calls whose exceptions the code may catch, by the offset of their return address.
    pub landings: Box<[NativeLanding]>,
    /// What the landings refer to.
    pub tries: Box<[NativeTry]>,
    /// What `tries` refer to.
    pub clauses: Box<[NativeClause]>,
}

/// What follows a call when an exception comes out of it that the code catches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeLanding {
    /// Bytes from the code's start to the call's return address.
    pub return_offset: u32,
    /// Bytes from the code's start to where the code goes on. It expects the frame and stack pointers as they were at the call,
    /// the clause's number in the register of a C result, and nothing in others.
    pub offset: u32,
    /// Bytes from the stack pointer at the call to the frame pointer.
    pub frame_bytes: u32,
    /// Where the code keeps its context: bytes above the stack pointer at the call.
    pub context_at: u32,
    /// Whose clauses are asked first.
    pub innermost: u32,
}

/// Clauses that stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeTry {
    /// The clauses, in the order in which they are asked.
    pub clauses: Range<u32>,
    /// Whose clauses are asked after these.
    pub next: Option<u32>,
}

/// What of an exception native code catches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeClause {
    /// The tag, as the code's module numbers it; `None` for all.
    pub tag: Option<u32>,
    /// Whether a reference to the exception is wanted.
    pub with_ref: bool,
    /// The clause's number for the code.
    pub number: u32,
}

/// A landing, looked up.
#[derive(Clone, Copy, Debug)]
pub struct LandingPlace<'a> {
    /// Where the code goes on.
    pub pc: *const u8,
    /// As in [`NativeLanding`].
    pub frame_bytes: u32,
    /// As in [`NativeLanding`].
    pub context_at: u32,
    innermost: u32,
    info: &'a NativeInfo,
}

impl<'a> LandingPlace<'a> {
    /// The clauses that are asked, first to last.
    pub fn clauses(&self) -> impl Iterator<Item = &'a NativeClause> + use<'a> {
        let info = self.info;
        let tries = std::iter::successors(info.tries.get(self.innermost as usize), |found| {
            info.tries.get(found.next? as usize)
        });
        tries.flat_map(|found| {
            let range = found.clauses.start as usize..found.clauses.end as usize;
            info.clauses.get(range).unwrap_or_default()
        })
    }
}

/// A call in native code, by a displacement of four bytes relative to where they end.
#[derive(Clone, Debug)]
pub struct NativeCall {
    /// Bytes from the code's start to the displacement.
    pub offset: u32,
    /// What is called; `None` for the code itself.
    pub callee: Option<Arc<NativeCode>>,
}

/// A piece of native code; its memory is given back on drop. It keeps the pieces that it calls.
#[derive(Debug)]
pub struct NativeCode {
    piece: Box<Piece>,
}

#[derive(Debug)]
struct Piece {
    /// Offset in the arena.
    start: usize,
    /// Bytes of code.
    len: usize,
    info: NativeInfo,
    /// Keeps what the code calls.
    callees: Vec<Arc<NativeCode>>,
}

struct Arena {
    pages: CodePages,
    len: usize,
    /// One `AtomicPtr<Piece>` a granule.
    index: Reservation,
    free: Mutex<FreeList>,
}

/// Ranges of granules that nobody uses.
struct FreeList {
    /// Length by start.
    ranges: BTreeMap<usize, usize>,
    /// From here on no granule was ever used.
    fresh: usize,
}

fn arena() -> io::Result<&'static Arena> {
    static ARENA: OnceLock<Result<Arena, i32>> = OnceLock::new();
    let arena = ARENA.get_or_init(|| {
        let mut last = None;
        for len in ARENA_SIZES {
            match Arena::new(len) {
                Ok(arena) => return Ok(arena),
                Err(error) => last = error.raw_os_error(),
            }
        }
        Err(last.unwrap_or(libc::ENOMEM))
    });
    arena.as_ref().map_err(|code| io::Error::from_raw_os_error(*code))
}

/// The arena, if there is one; for signal handlers.
fn existing_arena() -> Option<&'static Arena> {
    // SAFETY: null, or the arena, which is never dropped.
    unsafe { PUBLISHED.load(Ordering::Acquire).as_ref() }
}

static PUBLISHED: AtomicPtr<Arena> = AtomicPtr::new(ptr::null_mut());

/// Makes the arena for native code, once per process; later calls only answer whether there is one.
///
/// # Errors
///
/// The operating system's error when it refuses executable memory.
pub fn ensure_native_memory() -> io::Result<()> {
    let arena = arena()?;
    PUBLISHED.store(ptr::from_ref(arena).cast_mut(), Ordering::Release);
    Ok(())
}

impl Arena {
    fn new(len: usize) -> io::Result<Arena> {
        let words = len / GRANULE * size_of::<usize>();
        let mut index = Reservation::reserve(words)?;
        index.commit(0..words)?;
        let pages = CodePages::map(len)?;
        let free = Mutex::new(FreeList { ranges: BTreeMap::new(), fresh: 0 });
        Ok(Arena { pages, len, index, free })
    }

    fn free(&self) -> MutexGuard<'_, FreeList> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds granules for so many bytes. Says whether they held code before.
    fn allocate(&self, len: usize) -> io::Result<(usize, bool)> {
        let granules = len.div_ceil(GRANULE).max(1);
        let mut free = self.free();
        if let Some((&start, &found)) = free.ranges.iter().find(|(_, found)| **found >= granules) {
            free.ranges.remove(&start);
            if found > granules {
                free.ranges.insert(start + granules, found - granules);
            }
            return Ok((start, true));
        }
        if granules > self.len / GRANULE - free.fresh {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let start = free.fresh;
        free.fresh += granules;
        Ok((start, false))
    }

    fn release(&self, start: usize, granules: usize) {
        let mut free = self.free();
        let (mut start, mut granules) = (start, granules);
        if let Some((&before, &len)) = free.ranges.range(..start).next_back()
            && before + len == start
        {
            free.ranges.remove(&before);
            (start, granules) = (before, granules + len);
        }
        if let Some(len) = free.ranges.remove(&(start + granules)) {
            granules += len;
        }
        free.ranges.insert(start, granules);
        let page = crate::page_size();
        let whole = (start * GRANULE).next_multiple_of(page)..(start + granules) * GRANULE / page * page;
        if whole.start < whole.end {
            // Memory that is not given back is used again later.
            let _ = self.pages.discard(whole);
        }
    }

    fn cell(&self, granule: usize) -> &AtomicPtr<Piece> {
        let cells = self.index.base().cast::<AtomicPtr<Piece>>();
        debug_assert!(granule < self.len / GRANULE, "granules lie in the arena");
        // SAFETY: the index has a zeroed, aligned word for each granule of the arena and is never unmapped.
        unsafe { &*cells.wrapping_add(granule) }
    }

    fn find(&self, pc: usize) -> Option<&Piece> {
        let offset = pc.checked_sub(self.pages.base().addr()).filter(|offset| *offset < self.len)?;
        let piece = self.cell(offset / GRANULE).load(Ordering::Acquire);
        // SAFETY: null, or a piece that lives until its code is freed, which is not while a thread has a pc in it.
        let piece = unsafe { piece.as_ref() }?;
        (offset - piece.start < piece.len).then_some(piece)
    }
}

impl NativeCode {
    /// Copies code into executable memory. It must not depend on where it lies but for its calls, whose displacements
    /// are filled in.
    ///
    /// # Errors
    ///
    /// When there is no executable memory left, or the operating system refuses it, or a displacement is not in the code.
    pub fn install(code: &[u8], calls: &[NativeCall], info: NativeInfo) -> io::Result<NativeCode> {
        ensure_native_memory()?;
        let arena = arena()?;
        let (first, used) = arena.allocate(code.len())?;
        let granules = code.len().div_ceil(GRANULE).max(1);
        let start = first * GRANULE;
        // What lies behind the code in its last granule traps if anything ever ran into it.
        let mut padded = code.to_vec();
        padded.resize(granules * GRANULE, 0xcc);
        let linked = link(&mut padded[..code.len()], start, calls);
        if let Err(error) = linked.and_then(|()| arena.pages.write(start, &padded)) {
            arena.release(first, granules);
            return Err(error);
        }
        if used {
            synchronize_cores();
        }
        let mut callees: Vec<_> = calls.iter().filter_map(|call| call.callee.clone()).collect();
        callees.sort_unstable_by_key(|callee| callee.piece.start);
        callees.dedup_by_key(|callee| callee.piece.start);
        callees.shrink_to_fit();
        let piece = Box::new(Piece { start, len: code.len(), info, callees });
        let address = ptr::from_ref(&*piece).cast_mut();
        for granule in first..first + granules {
            arena.cell(granule).store(address, Ordering::Release);
        }
        Ok(NativeCode { piece })
    }

    /// The first instruction.
    pub fn start(&self) -> *const u8 {
        existing_arena().map_or(ptr::null(), |arena| arena.pages.base().wrapping_add(self.piece.start))
    }

    /// The code as it lies there.
    pub fn bytes(&self) -> &[u8] {
        if existing_arena().is_none() {
            return &[];
        }
        // SAFETY: the code can be read, and nobody writes to it before this is dropped.
        unsafe { std::slice::from_raw_parts(self.start(), self.len()) }
    }

    /// Bytes of code.
    pub fn len(&self) -> usize {
        self.piece.len
    }

    /// Whether there is no code.
    pub fn is_empty(&self) -> bool {
        self.piece.len == 0
    }
}

/// Fills in the displacements of calls in code that is to lie at an offset of the arena.
fn link(code: &mut [u8], start: usize, calls: &[NativeCall]) -> io::Result<()> {
    for call in calls {
        let offset = call.offset as usize;
        let callee = call.callee.as_ref().map_or(start, |callee| callee.piece.start);
        let end = start + offset + size_of::<i32>();
        let field = code.get_mut(offset..offset + size_of::<i32>());
        let distance = i32::try_from(callee as i64 - end as i64);
        let (Some(field), Ok(distance)) = (field, distance) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        field.copy_from_slice(&distance.to_le_bytes());
    }
    Ok(())
}

impl NativeCode {
    /// Gives the memory back.
    fn release(&self) {
        let Some(arena) = existing_arena() else { return };
        let first = self.piece.start / GRANULE;
        let granules = self.piece.len.div_ceil(GRANULE).max(1);
        for granule in first..first + granules {
            arena.cell(granule).store(ptr::null_mut(), Ordering::Release);
        }
        arena.release(first, granules);
    }
}

impl Drop for NativeCode {
    fn drop(&mut self) {
        self.release();
        // Not one inside the other: chains of calls are as long as a guest likes.
        let mut callees = std::mem::take(&mut self.piece.callees);
        while let Some(callee) = callees.pop() {
            if let Some(mut last) = Arc::into_inner(callee) {
                callees.append(&mut last.piece.callees);
            }
        }
    }
}

/// A place in native code, looked up.
#[derive(Clone, Copy, Debug)]
pub struct NativePlace<'a> {
    info: &'a NativeInfo,
    offset: u32,
}

impl<'a> NativePlace<'a> {
    /// The code that the place is in.
    pub fn info(&self) -> &'a NativeInfo {
        self.info
    }

    /// The functions of the module that run there, callees before their callers: the index of each, and the byte offset in the
    /// module of the operator that runs or calls.
    pub fn frames(&self) -> impl Iterator<Item = (u32, Option<u32>)> + use<'a> {
        let info = self.info;
        let wasm = before(&info.locations, self.offset, |location| location.offset).map(|found| found.wasm);
        let call = before(&info.inlined, self.offset, |inlined| inlined.offset).and_then(|found| found.call);
        let called = |index: u32| info.inlined_calls.get(index as usize);
        let inlined =
            std::iter::successors(call.and_then(called), move |found| found.caller.and_then(called));
        let (functions, offsets) = (inlined.clone(), inlined);
        let functions = functions.map(|found| found.func_index).chain([info.func_index]);
        let offsets = std::iter::once(wasm).chain(offsets.map(|found| Some(found.call_offset)));
        functions.zip(offsets)
    }
}

/// The last of the sorted items that is not behind an offset.
fn before<T>(items: &[T], offset: u32, offset_of: impl Fn(&T) -> u32) -> Option<&T> {
    let after = items.partition_point(|item| offset_of(item) <= offset);
    after.checked_sub(1).and_then(|index| items.get(index))
}

/// What the native code at a pc is.
///
/// The pc of a frame that called is its return address less one. `None` outside of native code.
pub fn native_code_at<'a>(pc: *const u8) -> Option<NativePlace<'a>> {
    let arena = existing_arena()?;
    let piece = arena.find(pc.addr())?;
    let offset = pc.addr() - arena.pages.base().addr() - piece.start;
    Some(NativePlace { info: &piece.info, offset: u32::try_from(offset).ok()? })
}

/// What follows the call with this return address when an exception comes out of it; `None` if the native code there catches none,
/// and outside of native code.
pub fn native_landing_at<'a>(return_address: *const u8) -> Option<LandingPlace<'a>> {
    let arena = existing_arena()?;
    let piece = arena.find(return_address.addr().checked_sub(1)?)?;
    let start = arena.pages.base().wrapping_add(piece.start);
    let offset = u32::try_from(return_address.addr() - start.addr()).ok()?;
    let landings = &piece.info.landings;
    let landing =
        landings.get(landings.binary_search_by_key(&offset, |landing| landing.return_offset).ok()?)?;
    Some(LandingPlace {
        pc: start.wrapping_add(landing.offset as usize),
        frame_bytes: landing.frame_bytes,
        context_at: landing.context_at,
        innermost: landing.innermost,
        info: &piece.info,
    })
}

/// The trap that a fault of the native instruction at `pc` means. Async-signal-safe.
pub(crate) fn native_trap_at(pc: usize) -> Option<TrapCode> {
    let arena = existing_arena()?;
    let piece = arena.find(pc)?;
    let offset = u32::try_from(pc - arena.pages.base().addr() - piece.start).ok()?;
    let traps = &piece.info.traps;
    let index = traps.binary_search_by_key(&offset, |trap| trap.offset).ok()?;
    traps.get(index).map(|trap| trap.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(module: usize) -> NativeInfo {
        let traps = [NativeTrap { offset: 4, code: TrapCode::UnreachableCodeReached }];
        let locations = [NativeLocation { offset: 0, wasm: 10 }, NativeLocation { offset: 5, wasm: 20 }];
        NativeInfo {
            module,
            func_index: 1,
            traps: traps.into(),
            locations: locations.into(),
            ..NativeInfo::default()
        }
    }

    /// Whether there is code of a module at an address: other tests use the arena at the same time.
    fn is_there(pc: *const u8, module: usize) -> bool {
        native_code_at(pc).is_some_and(|place| place.info().module == module)
    }

    #[test]
    fn a_place_in_an_inlined_call_has_all_its_frames() {
        let inlined = [
            NativeInlined { offset: 6, call: Some(0) },
            NativeInlined { offset: 8, call: Some(1) },
            NativeInlined { offset: 10, call: None },
        ];
        let call = |func_index, call_offset, caller| NativeInlinedCall { func_index, call_offset, caller };
        let info = NativeInfo {
            inlined: inlined.into(),
            inlined_calls: [call(7, 22, None), call(8, 33, Some(0))].into(),
            ..info(1)
        };
        let frames = |offset| NativePlace { info: &info, offset }.frames().collect::<Vec<_>>();
        assert_eq!(frames(4), [(1, Some(10))]);
        assert_eq!(frames(6), [(7, Some(20)), (1, Some(22))]);
        assert_eq!(frames(9), [(8, Some(20)), (7, Some(33)), (1, Some(22))]);
        assert_eq!(frames(10), [(1, Some(20))]);
    }

    #[test]
    fn addresses_lead_to_their_piece_while_it_lives() {
        let first = NativeCode::install(&[0xc3; 100], &[], info(1)).unwrap();
        let second = NativeCode::install(&[0xc3; 64], &[], info(2)).unwrap();
        let at = |code: &NativeCode, offset| native_code_at(code.start().wrapping_add(offset));
        let found = |code: &NativeCode, offset| {
            at(code, offset).map(|place| (place.info().module, place.frames().next().unwrap().1))
        };
        assert_eq!(found(&first, 0), Some((1, Some(10))));
        assert_eq!(found(&first, 99), Some((1, Some(20))));
        assert_eq!(found(&first, 100), None, "padding");
        assert_eq!(found(&second, 63), Some((2, Some(20))));
        assert_eq!(native_trap_at(first.start().addr() + 4), Some(TrapCode::UnreachableCodeReached));
        assert_eq!(native_trap_at(first.start().addr() + 5), None);
        let start = first.start();
        drop(first);
        assert!(!is_there(start, 1));
        // Freed granules are used again.
        let third = NativeCode::install(&[0xc3; 128], &[], info(3)).unwrap();
        assert_eq!(found(&third, 127), Some((3, Some(20))));
    }

    #[test]
    fn code_keeps_what_it_calls_and_finds_it() {
        let callee = Arc::new(NativeCode::install(&[0xc3; 100], &[], info(11)).unwrap());
        let target = callee.start();
        // call itself; call the other; return
        let code = [0xe8, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0xc3];
        let calls = [
            NativeCall { offset: 1, callee: None },
            NativeCall { offset: 6, callee: Some(Arc::clone(&callee)) },
        ];
        let caller = NativeCode::install(&code, &calls, info(12)).unwrap();
        let called = |offset: usize| {
            let displacement = i32::from_le_bytes(caller.bytes()[offset..offset + 4].try_into().unwrap());
            caller.start().wrapping_add(offset + 4).wrapping_offset(displacement as isize)
        };
        assert_eq!(called(1), caller.start());
        assert_eq!(called(6), target);
        drop((callee, calls));
        assert!(is_there(target, 11), "the caller keeps it");
        drop(caller);
        assert!(!is_there(target, 11));
    }

    #[test]
    fn long_chains_of_calls_are_freed_on_a_small_stack() {
        let mut code = NativeCode::install(&[0xc3], &[], info(13)).unwrap();
        let first = code.start();
        for _ in 0..20_000 {
            let calls = [NativeCall { offset: 1, callee: Some(Arc::new(code)) }];
            code = NativeCode::install(&[0xe8, 0, 0, 0, 0, 0xc3], &calls, info(13)).unwrap();
        }
        assert!(is_there(first, 13));
        std::thread::Builder::new().stack_size(64 << 10).spawn(|| drop(code)).unwrap().join().unwrap();
        assert!(!is_there(first, 13));
    }

    #[test]
    fn a_displacement_outside_of_the_code_is_an_error() {
        let calls = [NativeCall { offset: 3, callee: None }];
        let error = NativeCode::install(&[0xe8, 0, 0, 0, 0, 0xc3], &calls, info(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
