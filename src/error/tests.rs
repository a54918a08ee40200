//! Tests of what errors print and give back.

use super::*;
use crate::{FuncType, MemoryType, ValType};

/// An error of a host, with a source.
#[derive(Debug)]
struct Jam(io::Error);

impl fmt::Display for Jam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("paper jam")
    }
}

impl StdError for Jam {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

fn jam() -> Jam {
    Jam(io::Error::other("gripper stuck"))
}

#[test]
fn an_error_is_one_pointer() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Error>();
}

#[test]
fn a_host_error_comes_back_whole() {
    let error = Error::host(jam()).context("inner").context("outer");
    assert_eq!(error.to_string(), "outer: inner: paper jam");
    assert!(error.is::<Jam>() && !error.is::<io::Error>());
    assert_eq!(format!("{error:?}"), "outer: inner: paper jam\ncaused by: gripper stuck");
    let error = error.downcast::<fmt::Error>().unwrap_err();
    assert_eq!(error.to_string(), "outer: inner: paper jam", "a failed downcast changes nothing");
    assert_eq!(error.downcast::<Jam>().unwrap().0.to_string(), "gripper stuck");
}

#[test]
fn an_error_boxed_as_a_host_error_stays_itself() {
    let boxed: Box<dyn StdError + Send + Sync> = Box::new(Error::from(TrapCode::OutOfFuel).context("boxed"));
    let error = Error::from(boxed);
    assert_eq!(error.trap().map(|trap| trap.code()), Some(TrapCode::OutOfFuel));
    assert_eq!(error.to_string(), "boxed: wasm trap: all fuel consumed by WebAssembly");
    assert!(Error::host(error).trap().is_some());
}

#[test]
fn downcasts_find_the_values_of_other_kinds() {
    let error = Error::from(Trap::new(TrapCode::StackOverflow));
    assert_eq!(error.downcast_ref::<Trap>(), error.trap().as_ref());
    assert!(!error.is::<io::Error>());
    assert_eq!(error.downcast::<Trap>().unwrap().code(), TrapCode::StackOverflow);

    let error = Error::from(io::Error::from(io::ErrorKind::NotFound));
    assert!(error.is::<io::Error>() && error.trap().is_none());
    let error = error.downcast::<Trap>().unwrap_err();
    assert_eq!(error.downcast::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);

    assert!(Error::msg("no value inside").downcast::<Trap>().is_err());
}

#[test]
fn unknown_imports_are_listed_with_their_types() {
    let func = ExternType::Func(FuncType::new([ValType::I32], []));
    let memory = ExternType::Memory(MemoryType::new(1, None));
    let one = vec![UnknownImport::new("env", "f", func)];
    let mut two = one.clone();
    two.push(UnknownImport::new("env", "m", memory));
    let print = |imports| Error::new(ErrorKind::UnknownImports(imports)).to_string();
    assert_eq!(print(one), "unknown import: `env::f` (func (param i32))");
    assert_eq!(print(two), "2 unknown imports:\n  `env::f` (func (param i32))\n  `env::m` (memory 1)");
}

#[test]
fn an_incompatible_import_names_both_types() {
    let func = |params: &[ValType]| ExternType::Func(FuncType::new(params.iter().copied(), []));
    let error = Error::incompatible_import("env", "f", func(&[ValType::I32]), func(&[]));
    assert_eq!(
        error.to_string(),
        "incompatible import type for `env::f`: expected (func (param i32)), found (func)"
    );
    match error.kind() {
        ErrorKind::IncompatibleImport(import) => {
            assert_eq!((import.module(), import.name()), ("env", "f"));
            assert_ne!(import.expected().to_string(), import.found().to_string());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_backtrace_stays() {
    let error = Error::msg("x").with_backtrace(|| WasmBacktrace::new(Vec::new(), 1));
    let error = error.with_backtrace(|| unreachable!("there is one"));
    assert_eq!(error.backtrace().map(WasmBacktrace::omitted), Some(1));
    assert_eq!(error.to_string(), "x", "a backtrace without frames does not print");
}

#[test]
fn a_bug_names_its_place() {
    let message = bug!("slot {} is missing", 3).to_string();
    assert!(message.starts_with("bug in the engine, please report it: slot 3 is missing (at "), "{message}");
    assert!(message.contains("error"), "{message}");
}
