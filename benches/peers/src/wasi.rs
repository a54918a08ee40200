//! A small WASI preview 1 that gives the same answers in every run and in every engine.
//!
//! Owns what a guest may see of the world: arguments, the bytes of stdin, a clock that advances by a millisecond a look,
//! random bytes from a fixed seed. stdout and stderr are kept. There are no files. [`World::call`] is the whole of it: the
//! engines pass the name of the function, the bytes of the guest's memory and the arguments, each as a `u64`.
//!
//! Invariant: an answer depends on the calls before it only, so that two engines that behave alike end with equal memories.

use std::fmt;
use std::ops::Range;

/// The name under which programs import these functions.
pub const MODULE: &str = "wasi_snapshot_preview1";

const SUCCESS: u32 = 0;
const BAD_FD: u32 = 8;
const FAULT: u32 = 21;
const INVALID: u32 = 28;
const UNSUPPORTED: u32 = 58;
const NOT_SEEKABLE: u32 = 70;

/// Nanoseconds that pass from one look at the clock to the next.
const TICK: u64 = 1_000_000;
/// 2026-01-01, where the clock starts.
const EPOCH: u64 = 1_767_225_600_000_000_000;

/// What a guest sees and what it left.
pub struct World {
    args: Vec<Vec<u8>>,
    stdin: Vec<u8>,
    stdin_read: usize,
    /// What the guest wrote to stdout.
    pub stdout: Vec<u8>,
    /// What the guest wrote to stderr.
    pub stderr: Vec<u8>,
    now: u64,
    random: u64,
}

/// The guest ended itself with `proc_exit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the program exited with {}", self.0)
    }
}

impl std::error::Error for Exit {}
impl wasmi::errors::HostError for Exit {}

/// An error number of WASI, as the error of a call that goes on.
struct Errno(u32);

type Answer = Result<(), Errno>;

impl World {
    /// A world with these arguments, the program's name first, and these bytes on stdin.
    pub fn new(args: &[&str], stdin: &[u8]) -> World {
        World {
            args: args.iter().map(|arg| [arg.as_bytes(), b"\0"].concat()).collect(),
            stdin: stdin.to_vec(),
            stdin_read: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            now: EPOCH,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Calls a function of WASI and answers its error number, 0 for success.
    pub fn call(&mut self, function: &str, memory: &mut [u8], args: &[u64]) -> Result<u32, Exit> {
        if function == "proc_exit" {
            return Err(Exit(word(args, 0)));
        }
        Ok(match self.answer(function, memory, args) {
            Ok(()) => SUCCESS,
            Err(Errno(number)) => number,
        })
    }

    fn answer(&mut self, function: &str, memory: &mut [u8], args: &[u64]) -> Answer {
        let at = |index| word(args, index);
        match function {
            "args_sizes_get" => {
                put(memory, at(0), &(self.args.len() as u32).to_le_bytes())?;
                let bytes: usize = self.args.iter().map(Vec::len).sum();
                put(memory, at(1), &(bytes as u32).to_le_bytes())
            }
            "args_get" => self.args_get(memory, at(0), at(1)),
            "environ_sizes_get" => {
                put(memory, at(0), &[0; 4])?;
                put(memory, at(1), &[0; 4])
            }
            "environ_get" | "sched_yield" => Ok(()),
            "clock_res_get" => put(memory, at(1), &TICK.to_le_bytes()),
            "clock_time_get" => {
                self.now += TICK;
                put(memory, at(2), &self.now.to_le_bytes())
            }
            "random_get" => self.random_get(memory, at(0), at(1)),
            "fd_read" => self.fd_read(memory, args),
            "fd_write" => self.fd_write(memory, args),
            "fd_fdstat_get" => fd_fdstat_get(memory, at(0), at(1)),
            "fd_seek" | "fd_tell" if at(0) < 3 => Err(Errno(NOT_SEEKABLE)),
            "fd_close" | "fd_fdstat_set_flags" | "fd_sync" if at(0) < 3 => Ok(()),
            _ if function.starts_with("fd_") => Err(Errno(BAD_FD)),
            _ if function.starts_with("path_") => Err(Errno(BAD_FD)),
            _ => Err(Errno(UNSUPPORTED)),
        }
    }

    fn args_get(&self, memory: &mut [u8], pointers: u32, buffer: u32) -> Answer {
        let (mut pointer, mut target) = (pointers, buffer);
        for arg in &self.args {
            put(memory, pointer, &target.to_le_bytes())?;
            put(memory, target, arg)?;
            pointer = pointer.wrapping_add(4);
            target = target.wrapping_add(arg.len() as u32);
        }
        Ok(())
    }

    fn random_get(&mut self, memory: &mut [u8], buffer: u32, len: u32) -> Answer {
        for byte in slice(memory, buffer, len)? {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            *byte = self.random as u8;
        }
        Ok(())
    }

    fn fd_read(&mut self, memory: &mut [u8], args: &[u64]) -> Answer {
        if word(args, 0) != 0 {
            return Err(Errno(BAD_FD));
        }
        let mut read = 0;
        for (buffer, len) in buffers(memory, word(args, 1), word(args, 2))? {
            let target = slice(memory, buffer, len)?;
            let rest = self.stdin.get(self.stdin_read..).unwrap_or_default();
            let count = rest.len().min(target.len());
            target[..count].copy_from_slice(&rest[..count]);
            self.stdin_read += count;
            read += count;
        }
        put(memory, word(args, 3), &(read as u32).to_le_bytes())
    }

    fn fd_write(&mut self, memory: &mut [u8], args: &[u64]) -> Answer {
        let mut written = 0;
        for (buffer, len) in buffers(memory, word(args, 1), word(args, 2))? {
            let source = slice(memory, buffer, len)?;
            match word(args, 0) {
                1 => self.stdout.extend_from_slice(source),
                2 => self.stderr.extend_from_slice(source),
                _ => return Err(Errno(BAD_FD)),
            }
            written += source.len();
        }
        put(memory, word(args, 3), &(written as u32).to_le_bytes())
    }
}

/// Standard streams are character devices with all rights that reading and writing needs.
fn fd_fdstat_get(memory: &mut [u8], fd: u32, target: u32) -> Answer {
    const CHARACTER_DEVICE: u8 = 2;
    const READ_AND_WRITE: u64 = 1 << 1 | 1 << 6;
    if fd > 2 {
        return Err(Errno(BAD_FD));
    }
    let mut stat = [0; 24];
    stat[0] = CHARACTER_DEVICE;
    stat[8..16].copy_from_slice(&READ_AND_WRITE.to_le_bytes());
    put(memory, target, &stat)
}

/// The low half of an argument.
fn word(args: &[u64], index: usize) -> u32 {
    args.get(index).copied().unwrap_or_default() as u32
}

/// The buffers of a list of them: address and length of each.
fn buffers(memory: &mut [u8], list: u32, count: u32) -> Result<Vec<(u32, u32)>, Errno> {
    let len = count.checked_mul(8).ok_or(Errno(INVALID))?;
    let bytes = slice(memory, list, len)?;
    let words: Vec<u32> = bytes
        .chunks_exact(4)
        .map(|word| word.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
        .collect();
    Ok(words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn put(memory: &mut [u8], address: u32, bytes: &[u8]) -> Answer {
    slice(memory, address, bytes.len() as u32)?.copy_from_slice(bytes);
    Ok(())
}

fn slice(memory: &mut [u8], address: u32, len: u32) -> Result<&mut [u8], Errno> {
    let start = address as usize;
    let range: Range<usize> = start..start + len as usize;
    memory.get_mut(range).ok_or(Errno(FAULT))
}
