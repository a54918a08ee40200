//! The table of WASI functions, and how a call gets from the guest to wasi-common.
//!
//! A row is a function's name and its core wasm signature (every parameter an `i32` or `i64`, the result an errno). Both
//! snapshots have the same rows, bar one; their differences (layouts, values of enums) are inside wasi-common.
//! Called by the embedder through [`add_to_linker`] or [`add_imports_to_linker`]; calls come back from guests through the closures defined here.

use crescendo::{Caller, Error, Extern, Linker, Memory, Module, Result, SharedMemory};
use wasi_common::WasiCtx;
use wiggle::GuestMemory;

use crate::outcome::{self, I32Exit, WasiError};
use crate::{PREVIEW_0, PREVIEW_1};

/// The longest list of buffers or subscriptions that one call may pass: wasi-common copies the list to the host's heap, five
/// bytes for each byte of guest memory, so without a bound a guest could use far more memory than it was granted.
const MAX_LIST_LENGTH: u32 = 1 << 16;

/// The errno `inval`.
const INVALID_ARGUMENT: i32 = 28;

/// Defines each function of the table that is wanted in `$linker`, under the module name `$module`, by calling its namesake in
/// `$target`.
macro_rules! define {
    ($linker:ident, $get:ident, $wanted:ident, $module:ident, $target:path,
     $($name:ident($($arg:ident: $ty:ty),*) -> $result:ty;)*) => {{
        use $target as target;
        $(if $wanted($module, stringify!($name)) {
            $linker.func_wrap(
                $module,
                stringify!($name),
                move |mut caller: Caller<'_, T> $(, $arg: $ty)*| -> Result<$result> {
                    $(define!(@bound $arg $arg);)*
                    let run = |ctx: &mut WasiCtx, mut memory: GuestMemory<'_>| {
                        outcome::conclude(stringify!($name), || {
                            wiggle::run_in_dummy_executor(target::$name(ctx, &mut memory $(, $arg)*))
                        })
                    };
                    match exported_memory(&mut caller, stringify!($name))? {
                        ExportedMemory::OfStore(memory) => {
                            let (bytes, data) = memory.data_and_store_mut(&mut caller);
                            run($get(data), GuestMemory::Unshared(bytes))
                        }
                        ExportedMemory::Shared(memory) => {
                            run($get(caller.data_mut()), GuestMemory::Shared(memory.data()))
                        }
                    }
                },
            )?;
        })*
    }};
    (@bound subscription_count $len:ident) => { define!(@bound iovs_len $len) };
    (@bound iovs_len $len:ident) => {
        if $len.cast_unsigned() > MAX_LIST_LENGTH {
            return Ok(INVALID_ARGUMENT);
        }
    };
    (@bound $other:ident $arg:ident) => {};
}

/// The functions that both snapshots have; calls the macro `$then` with the arguments given and the rows.
macro_rules! shared_functions {
    ($then:ident!($($before:tt)*)) => {
        $then! { $($before)*
            args_get(argv: i32, buf: i32) -> i32;
            args_sizes_get(count: i32, size: i32) -> i32;
            environ_get(environ: i32, buf: i32) -> i32;
            environ_sizes_get(count: i32, size: i32) -> i32;
            clock_res_get(id: i32, resolution: i32) -> i32;
            clock_time_get(id: i32, precision: i64, time: i32) -> i32;
            fd_advise(fd: i32, offset: i64, len: i64, advice: i32) -> i32;
            fd_allocate(fd: i32, offset: i64, len: i64) -> i32;
            fd_close(fd: i32) -> i32;
            fd_datasync(fd: i32) -> i32;
            fd_fdstat_get(fd: i32, stat: i32) -> i32;
            fd_fdstat_set_flags(fd: i32, flags: i32) -> i32;
            fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64) -> i32;
            fd_filestat_get(fd: i32, stat: i32) -> i32;
            fd_filestat_set_size(fd: i32, size: i64) -> i32;
            fd_filestat_set_times(fd: i32, accessed: i64, modified: i64, flags: i32) -> i32;
            fd_pread(fd: i32, iovs: i32, iovs_len: i32, offset: i64, read: i32) -> i32;
            fd_prestat_get(fd: i32, prestat: i32) -> i32;
            fd_prestat_dir_name(fd: i32, path: i32, path_len: i32) -> i32;
            fd_pwrite(fd: i32, iovs: i32, iovs_len: i32, offset: i64, written: i32) -> i32;
            fd_read(fd: i32, iovs: i32, iovs_len: i32, read: i32) -> i32;
            fd_readdir(fd: i32, buf: i32, buf_len: i32, cookie: i64, used: i32) -> i32;
            fd_renumber(fd: i32, to: i32) -> i32;
            fd_seek(fd: i32, offset: i64, whence: i32, position: i32) -> i32;
            fd_sync(fd: i32) -> i32;
            fd_tell(fd: i32, position: i32) -> i32;
            fd_write(fd: i32, iovs: i32, iovs_len: i32, written: i32) -> i32;
            path_create_directory(fd: i32, path: i32, path_len: i32) -> i32;
            path_filestat_get(fd: i32, flags: i32, path: i32, path_len: i32, stat: i32) -> i32;
            path_filestat_set_times(
                fd: i32, flags: i32, path: i32, path_len: i32, accessed: i64, modified: i64, which: i32
            ) -> i32;
            path_link(
                old_fd: i32, flags: i32, old_path: i32, old_len: i32, new_fd: i32, new_path: i32, new_len: i32
            ) -> i32;
            path_open(
                fd: i32, dirflags: i32, path: i32, path_len: i32, oflags: i32, base: i64, inheriting: i64, flags: i32,
                opened: i32
            ) -> i32;
            path_readlink(fd: i32, path: i32, path_len: i32, buf: i32, buf_len: i32, used: i32) -> i32;
            path_remove_directory(fd: i32, path: i32, path_len: i32) -> i32;
            path_rename(fd: i32, old_path: i32, old_len: i32, new_fd: i32, new_path: i32, new_len: i32) -> i32;
            path_symlink(old_path: i32, old_len: i32, fd: i32, new_path: i32, new_len: i32) -> i32;
            path_unlink_file(fd: i32, path: i32, path_len: i32) -> i32;
            poll_oneoff(subscriptions: i32, events: i32, subscription_count: i32, occurred: i32) -> i32;
            proc_raise(signal: i32) -> i32;
            sched_yield() -> i32;
            random_get(buf: i32, buf_len: i32) -> i32;
            sock_recv(fd: i32, iovs: i32, iovs_len: i32, flags: i32, read: i32, out_flags: i32) -> i32;
            sock_send(fd: i32, iovs: i32, iovs_len: i32, flags: i32, sent: i32) -> i32;
            sock_shutdown(fd: i32, how: i32) -> i32;
        }
    };
}

/// Defines every function of WASI preview 1, and of the snapshot before it, in `linker`.
///
/// `get` finds the [`WasiCtx`] in the store's data. A function works on the memory that its caller exports as `memory`.
/// A guest that calls `proc_exit` gets no return value: the call into the guest ends with an error that downcasts to
/// [`I32Exit`]. Calls block the thread (reads of stdin, sleeps).
///
/// # Errors
///
/// When the linker already defines one of the names and does not allow shadowing.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
) -> Result<()> {
    add(linker, get, |_, _| true)
}

/// Defines those functions that `module` imports, as [`add_to_linker`] defines all: 0.1 ms sooner, for linkers of one module.
///
/// # Errors
///
/// When the linker already defines one of the names and does not allow shadowing.
pub fn add_imports_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    module: &Module,
    get: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
) -> Result<()> {
    // Few enough for no better order.
    let imports: Vec<(&str, &str)> = module
        .imports()
        .filter(|import| [PREVIEW_1, PREVIEW_0].contains(&import.module()))
        .map(|import| (import.module(), import.name()))
        .collect();
    add(linker, get, |module, name| imports.contains(&(module, name)))
}

/// Defines the functions of which `wanted` says so, by module and name.
fn add<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
    wanted: impl Fn(&str, &str) -> bool,
) -> Result<()> {
    shared_functions!(define!(
        linker,
        get,
        wanted,
        PREVIEW_1,
        wasi_common::snapshots::preview_1::wasi_snapshot_preview1,
    ));
    define!(linker, get, wanted, PREVIEW_1, wasi_common::snapshots::preview_1::wasi_snapshot_preview1,
        sock_accept(fd: i32, flags: i32, accepted: i32) -> i32;
    );
    shared_functions!(define!(
        linker,
        get,
        wanted,
        PREVIEW_0,
        wasi_common::snapshots::preview_0::wasi_unstable,
    ));
    for module in [PREVIEW_1, PREVIEW_0].into_iter().filter(|module| wanted(module, "proc_exit")) {
        // Not wasi-common's, which refuses codes above 125.
        linker
            .func_wrap(module, "proc_exit", |code: i32| -> Result<()> { Err(Error::host(I32Exit(code))) })?;
    }
    Ok(())
}

/// The memory of a caller: its own store's, or one of several threads.
enum ExportedMemory {
    OfStore(Memory),
    Shared(SharedMemory),
}

/// The memory that a WASI function of this caller works on.
fn exported_memory<T>(caller: &mut Caller<'_, T>, function: &'static str) -> Result<ExportedMemory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(ExportedMemory::OfStore(memory)),
        Some(Extern::SharedMemory(memory)) => Ok(ExportedMemory::Shared(memory)),
        _ => Err(WasiError::missing_memory(function).into_error()),
    }
}
