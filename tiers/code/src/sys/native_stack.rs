//! Where the calling thread's native stack begins and ends.
//!
//! Whoever enters wasm compares the stack pointer with the lower bound, so that a recursion through the host ends in a trap.
//! Whoever looks for references that native code holds reads the words in use.

use super::machine::stack_pointer;
use super::pages::{page_size, succeed};
use std::cell::Cell;
use std::ops::Range;
use std::{io, mem, ptr};

/// The ends of a native stack, which grows downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackBounds {
    /// The lowest address that may be used.
    pub low: usize,
    /// One past the highest address.
    pub high: usize,
}

/// Most that the stack of a main thread without a limit is said to have. The kernel keeps mappings far away from such a
/// stack, but not for ever.
const UNLIMITED_CAP: usize = 1 << 30;

/// Most that a main thread's stack is said to have when its mappings cannot be read: the kernel keeps 128 MiB below the
/// stack free even if the limit was small when the program started.
const UNKNOWN_CAP: usize = 64 << 20;

/// What the kernel keeps free below a stack that grows: 1 MiB, unless it was started with another number.
const GUARD_GAP: usize = 16 << 20;

/// The bounds of the calling thread's own native stack, as addresses. After a thread's first call it costs one test.
///
/// Guard pages lie outside. The stack of a main thread without a size limit is taken to end 1 GiB below its start. Code
/// that switches stacks (fibers) is between other bounds, which nobody tells the operating system.
///
/// # Errors
///
/// The operating system's error.
///
/// # Examples
///
/// ```
/// let bounds = crescendo_code::native_stack_bounds()?;
/// assert!((bounds.low..bounds.high).contains(&crescendo_code::stack_pointer()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn native_stack_bounds() -> io::Result<StackBounds> {
    thread_local! {
        static BOUNDS: Cell<Option<StackBounds>> = const { Cell::new(None) };
    }
    if let Some(bounds) = BOUNDS.get() {
        return Ok(bounds);
    }
    let bounds = ask()?;
    BOUNDS.set(Some(bounds));
    Ok(bounds)
}

/// Visits every word of the native stack from the caller's frame up to the address `high`, and the registers that calls preserve.
/// Answers whether it could: not if the calling code runs on another stack than the one that `high` is on.
///
/// # Safety
///
/// `high` lies on the stack of calls that led here, in the frame of a function that has not returned.
pub unsafe fn scan_native_stack(high: usize, visit: &mut dyn FnMut(u64)) -> bool {
    let registers = preserved_registers();
    let low = stack_pointer();
    let is_own = |address: usize| match native_stack_bounds() {
        Ok(bounds) => (bounds.low..bounds.high).contains(&address),
        Err(_) => false,
    };
    if low >= high || high - low > UNLIMITED_CAP || is_own(low) != is_own(high) {
        return false;
    }
    for register in registers {
        visit(register);
    }
    let mut at = low;
    while at < high {
        // SAFETY: the address is aligned and lies in frames of functions that have not returned (the caller's promise).
        visit(unsafe { word_at(at) });
        at += size_of::<u64>();
    }
    true
}

/// What registers hold that calls preserve. Only native code keeps references there.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn preserved_registers() -> [u64; 6] {
    let mut registers = [0; 6];
    // SAFETY: six words are written to where there are six.
    unsafe {
        std::arch::asm!(
            "mov [{0}], rbx",
            "mov [{0} + 8], rbp",
            "mov [{0} + 16], r12",
            "mov [{0} + 24], r13",
            "mov [{0} + 32], r14",
            "mov [{0} + 40], r15",
            in(reg) registers.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
    registers
}

/// There is no native code.
#[cfg(not(target_arch = "x86_64"))]
fn preserved_registers() -> [u64; 1] {
    [0]
}

/// A word of any frame, whoever owns it: tools that watch accesses to variables see none.
///
/// # Safety
///
/// The address is aligned and can be read.
#[cfg(target_arch = "x86_64")]
unsafe fn word_at(address: usize) -> u64 {
    let word;
    // SAFETY: the caller's promise.
    unsafe {
        std::arch::asm!("mov {}, [{}]", out(reg) word, in(reg) address, options(nostack, readonly, preserves_flags));
    }
    word
}

/// A word of any frame.
///
/// # Safety
///
/// The address is aligned and can be read.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn word_at(address: usize) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { ptr::with_exposed_provenance::<u64>(address).read_volatile() }
}

#[cold]
fn ask() -> io::Result<StackBounds> {
    if is_main() && size_limit().is_ok_and(|limit| limit <= UNKNOWN_CAP as libc::rlim_t) {
        // The C library would read a list of all mappings, which takes a tenth of the time that a small program does.
        if let Ok(bounds) = main_without_proc() {
            return Ok(bounds);
        }
    }
    let attributes = match Attributes::of_this_thread() {
        // The C library reads a main thread's bounds from `/proc`, which a sandbox may lack.
        Err(_) if is_main() => return main_without_proc(),
        attributes => attributes?,
    };
    let (mut start, mut len, mut guard) = (ptr::null_mut(), 0, 0);
    // SAFETY: the attributes are initialized, and the pointers point to variables of the right types.
    check(unsafe { libc::pthread_attr_getstack(&attributes.0, &mut start, &mut len) })?;
    // SAFETY: as above.
    check(unsafe { libc::pthread_attr_getguardsize(&attributes.0, &mut guard) })?;
    let high = start.addr().saturating_add(len);
    // glibc before 2.27 counted the guard as part of the stack. A page too few is better than one too many.
    let low = start.addr().saturating_add(guard).min(high);
    let cap = if is_main() && size_limit()? == libc::RLIM_INFINITY { UNLIMITED_CAP } else { usize::MAX };
    Ok(StackBounds { low: low.max(high.saturating_sub(cap)), high })
}

fn is_main() -> bool {
    // SAFETY: no preconditions.
    let process = unsafe { libc::getpid() };
    // SAFETY: no preconditions.
    let thread = unsafe { libc::gettid() };
    process == thread
}

/// The main thread's bounds as the kernel sets them: the stack begins right above the program's file name and may grow to
/// its size limit.
fn main_without_proc() -> io::Result<StackBounds> {
    let (high, page) = (main_high()?, page_size());
    let len = usize::try_from(size_limit()?).unwrap_or(usize::MAX).min(UNKNOWN_CAP);
    Ok(StackBounds { low: high.saturating_sub(len).saturating_add(page).min(high), high })
}

/// One past the highest address of the main thread's stack.
fn main_high() -> io::Result<usize> {
    // SAFETY: no preconditions; the answer is 0 for what the kernel does not tell.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
    if name == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok((name / page_size() + 1) * page_size())
}

/// The addresses that the main thread's stack may grow to, and what the kernel keeps free below them: a mapping there would stop
/// it before its limit. All addresses where that is not known.
pub(super) fn main_stack_room() -> Range<usize> {
    let (Ok(high), Ok(limit)) = (main_high(), size_limit()) else { return 0..usize::MAX };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(UNLIMITED_CAP);
    high.saturating_sub(limit).saturating_sub(GUARD_GAP)..high
}

/// The size limit of the main thread's stack, in bytes.
fn size_limit() -> io::Result<libc::rlim_t> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is an `rlimit`.
    succeed(unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) })?;
    Ok(limit.rlim_cur)
}

/// What the C library knows about a thread; freed on drop.
struct Attributes(libc::pthread_attr_t);

impl Attributes {
    fn of_this_thread() -> io::Result<Attributes> {
        // SAFETY: zeros are valid for a type of plain words; the next call initializes it.
        let mut attributes: libc::pthread_attr_t = unsafe { mem::zeroed() };
        // SAFETY: no preconditions.
        let thread = unsafe { libc::pthread_self() };
        // SAFETY: the thread is the running one, and `attributes` is a place for its attributes.
        check(unsafe { libc::pthread_getattr_np(thread, &mut attributes) })?;
        Ok(Attributes(attributes))
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: `of_this_thread` initialized it, and it is destroyed once.
        unsafe { libc::pthread_attr_destroy(&mut self.0) };
    }
}

/// Turns the result of a call that returns its error into a `Result`.
fn check(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_scan_finds_what_a_caller_holds() {
        let held = std::hint::black_box([0x5ca7_7e57_u64, 1]);
        let (mut found, high) = (false, held.as_ptr().wrapping_add(2).addr());
        // SAFETY: the place is in this frame.
        assert!(unsafe { scan_native_stack(high, &mut |word| found |= word == held[0]) });
        assert!(found);
        // SAFETY: nothing is read.
        assert!(!unsafe { scan_native_stack(8, &mut |_| {}) });
    }

    #[test]
    fn the_main_stack_is_found_without_proc() {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
        let end = line.split(['-', ' ']).nth(1).unwrap();
        let bounds = main_without_proc().unwrap();
        assert_eq!(bounds.high, usize::from_str_radix(end, 16).unwrap());
        assert!(bounds.low < bounds.high && bounds.high - bounds.low <= UNKNOWN_CAP);
        let room = main_stack_room();
        assert!(room.start < bounds.low && room.end == bounds.high);
    }
}
