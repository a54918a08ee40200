//! What a guest stopped with, and where: [`Trap`], [`WasmBacktrace`], [`FrameInfo`].
//!
//! A [`Trap`] is small and `Copy`; it names the code and the place. The functions that were running are a
//! [`WasmBacktrace`], which travels in the [`crate::Error`]. The core collects frames as (module, function, offset);
//! names are looked up when they are asked for, since the name section is parsed only then.

use crate::{Module, TrapCode};
use std::fmt;

/// Why and where a guest stopped.
///
/// # Examples
///
/// ```
/// # use crescendo::{Trap, TrapCode};
/// // A host function may stop its guest with a trap of its own.
/// let trap = Trap::new(TrapCode::OutOfFuel);
/// assert_eq!(trap.to_string(), "wasm trap: all fuel consumed by WebAssembly");
/// assert_eq!(trap.func_index(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trap {
    code: TrapCode,
    location: Option<Location>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Location {
    func_index: u32,
    module_offset: u32,
}

impl Trap {
    /// A trap without a place in wasm code.
    pub const fn new(code: TrapCode) -> Trap {
        Trap { code, location: None }
    }

    /// A trap at a byte offset of a module, inside the function with this index.
    pub(crate) const fn at(code: TrapCode, func_index: u32, module_offset: u32) -> Trap {
        Trap { code, location: Some(Location { func_index, module_offset }) }
    }

    /// Why the guest stopped.
    pub const fn code(&self) -> TrapCode {
        self.code
    }

    /// The index, in its module, of the function that trapped. `None` when the trap did not arise in wasm code, as for one
    /// that a host function returned.
    pub const fn func_index(&self) -> Option<u32> {
        match self.location {
            Some(location) => Some(location.func_index),
            None => None,
        }
    }

    /// The byte offset of the operator that trapped, from the start of the module's bytes.
    pub const fn module_offset(&self) -> Option<usize> {
        match self.location {
            Some(location) => Some(location.module_offset as usize),
            None => None,
        }
    }
}

impl From<TrapCode> for Trap {
    fn from(code: TrapCode) -> Trap {
        Trap::new(code)
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm trap: {}", self.code)
    }
}

impl std::error::Error for Trap {}

/// One wasm function on the stack, and where it stands.
#[derive(Clone)]
pub struct FrameInfo {
    module: Module,
    func_index: u32,
    module_offset: Option<u32>,
}

impl FrameInfo {
    /// A frame of the function `func_index` of `module`, which stands at the operator at `module_offset` if that is known.
    pub(crate) fn new(module: Module, func_index: u32, module_offset: Option<u32>) -> FrameInfo {
        FrameInfo { module, func_index, module_offset }
    }

    /// The module that the function belongs to.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The function's index in its module, imported functions counted first.
    pub fn func_index(&self) -> u32 {
        self.func_index
    }

    /// The function's name in the module's name section.
    pub fn func_name(&self) -> Option<&str> {
        self.module.func_name(self.func_index)
    }

    /// The module's name in its name section.
    pub fn module_name(&self) -> Option<&str> {
        self.module.name()
    }

    /// The byte offset of the operator that the function stands at, from the start of the module's bytes.
    pub fn module_offset(&self) -> Option<usize> {
        self.module_offset.map(|offset| offset as usize)
    }

    /// The same place counted from the first byte of the function's body.
    pub fn func_offset(&self) -> Option<usize> {
        self.module_offset()?.checked_sub(self.module.func_start(self.func_index)?)
    }
}

impl fmt::Display for FrameInfo {
    /// `0x1a2b - module!func`, with `<unknown>` for a module without a name and `<wasm function 7>` for such a function.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_frame(f, self.module_offset, self.module_name(), self.func_name(), self.func_index)
    }
}

impl fmt::Debug for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameInfo")
            .field("func_index", &self.func_index)
            .field("func_name", &self.func_name())
            .field("module_name", &self.module_name())
            .field("module_offset", &self.module_offset)
            .finish_non_exhaustive()
    }
}

fn fmt_frame(
    f: &mut fmt::Formatter<'_>,
    offset: Option<u32>,
    module: Option<&str>,
    func: Option<&str>,
    index: u32,
) -> fmt::Result {
    match offset {
        Some(offset) => write!(f, "{offset:#6x} - ")?,
        None => f.write_str("     ? - ")?,
    }
    // Names are any text that the module's author likes: no control characters for the reader's terminal.
    write!(f, "{}!", module.unwrap_or("<unknown>").escape_debug())?;
    match func {
        Some(name) => write!(f, "{}", name.escape_debug()),
        None => write!(f, "<wasm function {index}>"),
    }
}

/// The wasm functions that were running, innermost first.
///
/// Host functions between them do not show. Of very deep stacks only the innermost frames are kept: see
/// [`WasmBacktrace::omitted`].
#[derive(Clone, Debug)]
pub struct WasmBacktrace {
    frames: Vec<FrameInfo>,
    omitted: usize,
}

impl WasmBacktrace {
    /// A backtrace of the frames that were kept, and the number of outer frames that were not.
    pub(crate) fn new(frames: Vec<FrameInfo>, omitted: usize) -> WasmBacktrace {
        WasmBacktrace { frames, omitted }
    }

    /// The frames, innermost first.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// How many outer frames are left out.
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

impl fmt::Display for WasmBacktrace {
    /// A heading, then one line a frame; no newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wasm backtrace:")?;
        let width = self.frames.len().saturating_sub(1).to_string().len();
        for (number, frame) in self.frames.iter().enumerate() {
            write!(f, "\n  {number:>width$}: {frame}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n  and {} outer frames", self.omitted)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Frame(Option<u32>, Option<&'static str>, Option<&'static str>);

    impl fmt::Display for Frame {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt_frame(f, self.0, self.1, self.2, 7)
        }
    }

    #[test]
    fn frames_print_with_and_without_names() {
        let table = [
            (Frame(Some(0x1a2b), Some("lib"), Some("add")), "0x1a2b - lib!add"),
            (Frame(Some(0x2b), None, Some("add")), "  0x2b - <unknown>!add"),
            (Frame(Some(0x1234567), Some("lib"), None), "0x1234567 - lib!<wasm function 7>"),
            (Frame(Some(1), Some("a\x1b[2J"), Some("b\nc")), "   0x1 - a\\u{1b}[2J!b\\nc"),
            (Frame(None, None, None), "     ? - <unknown>!<wasm function 7>"),
        ];
        for (frame, text) in table {
            assert_eq!(frame.to_string(), text);
        }
    }

    #[test]
    fn a_trap_knows_its_place() {
        let trap = Trap::at(TrapCode::UnreachableCodeReached, 3, 0x40);
        assert_eq!((trap.func_index(), trap.module_offset()), (Some(3), Some(0x40)));
        assert_eq!(trap.to_string(), "wasm trap: unreachable");
        assert!(size_of::<Trap>() <= 16);
    }
}
