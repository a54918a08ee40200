//! Telling `perf` the names of compiled functions.
//!
//! Two forms that Linux's `perf` reads: a map of addresses to names, `/tmp/perf-PID.map`, and a dump with the code itself,
//! `jit-PID.dump` in the current directory, for `perf inject --jit`. Formats: `tools/perf/Documentation` of the kernel's sources
//! (`jit-interface.txt`, `jitdump-specification.txt`). Writing is best effort: a profile is not worth a guest.

use crescendo_code::NativeCode;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

/// How a profiler learns the names of compiled functions; see [`crate::Config::profiler`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProfilingStrategy {
    /// Not at all.
    #[default]
    None,
    /// By `/tmp/perf-PID.map`, which `perf report` reads.
    PerfMap,
    /// By `jit-PID.dump` in the current directory, which `perf inject --jit` reads. Record with `perf record -k mono`.
    JitDump,
}

/// Machine code number of x86-64 in ELF files.
const EM_X86_64: u32 = 62;
/// The first word of a dump: "JiTD", in this machine's byte order.
const MAGIC: u32 = 0x4a69_5444;
const VERSION: u32 = 1;
const HEADER_BYTES: u32 = 40;
/// The record of a function that was loaded.
const CODE_LOAD: u32 = 0;
/// Bytes of such a record before the name.
const CODE_LOAD_BYTES: u32 = 56;

/// Notes a function that was compiled.
pub(super) fn note(strategy: ProfilingStrategy, name: &str, code: &NativeCode) {
    let result = match strategy {
        ProfilingStrategy::None => return,
        ProfilingStrategy::PerfMap => write_map(name, code),
        ProfilingStrategy::JitDump => write_dump(name, code),
    };
    if let Err(error) = result {
        tracing::warn!(target: "crescendo::tiering", %error, "cannot write for the profiler");
    }
}

fn write_map(name: &str, code: &NativeCode) -> io::Result<()> {
    static MAP: OnceLock<Mutex<Option<File>>> = OnceLock::new();
    let map = MAP.get_or_init(|| {
        let path = format!("/tmp/perf-{}.map", std::process::id());
        Mutex::new(OpenOptions::new().create(true).append(true).open(path).ok())
    });
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(map) = map.as_mut() else { return Err(io::ErrorKind::NotFound.into()) };
    // One write a line: other engines of the process may write the same file.
    map.write_all(format!("{:x} {:x} {name}\n", code.start().addr(), code.len()).as_bytes())
}

struct Dump {
    file: File,
    functions: u64,
    /// `perf` finds the dump by this mapping of its first page.
    _marker: memmap2::Mmap,
}

fn write_dump(name: &str, code: &NativeCode) -> io::Result<()> {
    let bytes = code.bytes();
    static DUMP: OnceLock<Mutex<Option<Dump>>> = OnceLock::new();
    let dump = DUMP.get_or_init(|| Mutex::new(Dump::create().ok()));
    let mut dump = dump.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(dump) = dump.as_mut() else { return Err(io::ErrorKind::NotFound.into()) };
    let index = dump.functions;
    dump.functions += 1;
    let address = code.start().addr() as u64;
    let size = CODE_LOAD_BYTES as usize + name.len() + 1 + bytes.len();
    let mut record = Vec::with_capacity(size);
    for word in [CODE_LOAD, size as u32] {
        record.extend_from_slice(&word.to_ne_bytes());
    }
    record.extend_from_slice(&crescendo_code::monotonic_nanoseconds().to_ne_bytes());
    for word in [std::process::id(), crescendo_code::thread_id()] {
        record.extend_from_slice(&word.to_ne_bytes());
    }
    for word in [address, address, bytes.len() as u64, index] {
        record.extend_from_slice(&word.to_ne_bytes());
    }
    record.extend_from_slice(name.as_bytes());
    record.push(0);
    record.extend_from_slice(bytes);
    dump.file.write_all(&record)
}

impl Dump {
    fn create() -> io::Result<Dump> {
        let path = format!("jit-{}.dump", std::process::id());
        let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        for word in [MAGIC, VERSION, HEADER_BYTES, EM_X86_64, 0, std::process::id()] {
            header.extend_from_slice(&word.to_ne_bytes());
        }
        header.extend_from_slice(&crescendo_code::monotonic_nanoseconds().to_ne_bytes());
        header.extend_from_slice(&0u64.to_ne_bytes());
        file.write_all(&header)?;
        // SAFETY: nobody reads the mapping; its being there is what `perf` looks for.
        let marker = unsafe { memmap2::MmapOptions::new().len(HEADER_BYTES as usize).map_exec(&file) }?;
        Ok(Dump { file, functions: 0, _marker: marker })
    }
}
