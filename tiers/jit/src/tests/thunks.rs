//! Thunks of many signatures.

use super::setup::options;
use crate::{CallThunks, Compiler, EntryThunks, Scratch, results_in_memory, shape};
use crescendo_module::{FuncType, ValType};

const MIXED: [ValType; 5] = [ValType::I32, ValType::F64, ValType::I64, ValType::F32, ValType::FUNCREF];

fn types(count: usize, kinds: &[ValType]) -> impl Iterator<Item = ValType> {
    kinds.iter().copied().cycle().take(count)
}

#[test]
fn thunks_of_many_signatures() {
    let compiler = Compiler::new(options()[0]).unwrap();
    let mut scratch = Scratch::new();
    for params in 0..=20 {
        for results in [0, 1, 2, params % 13, 12] {
            let ty = FuncType::new(types(params, &MIXED), types(results, &MIXED));
            let EntryThunks { enter, tail, from_host } = compiler.entry_thunks(&mut scratch, &ty).unwrap();
            let CallThunks { to_interpreter, to_host } = compiler.call_thunks(&mut scratch, &ty).unwrap();
            for thunk in [enter, tail, from_host, to_interpreter, to_host] {
                assert!(!thunk.code.is_empty() && thunk.alignment.is_power_of_two());
            }
        }
    }
}

#[test]
fn thunks_of_the_largest_signatures() {
    let compiler = Compiler::new(options()[0]).unwrap();
    let mut scratch = Scratch::new();
    for kinds in [&MIXED[..], &[ValType::I32], &[ValType::F64]] {
        let ty = FuncType::new(types(1000, kinds), types(1000, kinds));
        compiler.entry_thunks(&mut scratch, &ty).unwrap();
        compiler.call_thunks(&mut scratch, &ty).unwrap();
    }
}

#[test]
fn results_beyond_the_registers_go_through_memory() {
    let with = |count, kind| FuncType::new([], types(count, &[kind]));
    for kind in [ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::EXTERNREF] {
        assert!(!results_in_memory(&with(8, kind)));
        assert!(results_in_memory(&with(9, kind)));
    }
    assert!(!results_in_memory(&FuncType::new([], types(16, &[ValType::I32, ValType::F32]))));
}

#[test]
fn shapes_keep_registers_and_slots() {
    let kinds = [MIXED[0], MIXED[1], MIXED[2], MIXED[3], MIXED[4], ValType::V128, ValType::EXTERNREF];
    let ty = FuncType::new(kinds, kinds);
    let wide = shape(&ty);
    let [int, float] = [ValType::I64, ValType::F64];
    assert_eq!(wide.params(), [int, float, int, float, int, ValType::V128, int]);
    let narrow = [ValType::I32, float, int, ValType::F32, int, ValType::V128, int];
    assert_eq!(wide.results(), narrow);
    assert_eq!((wide.param_slots(), wide.result_slots()), (ty.param_slots(), ty.result_slots()));
    for count in 0..20 {
        let ty = FuncType::new([], types(count, &MIXED));
        assert_eq!(results_in_memory(&ty), results_in_memory(&shape(&ty)));
    }
}

#[test]
fn vectors_go_where_floats_go() {
    let compiler = Compiler::new(options()[0]).unwrap();
    let mut scratch = Scratch::new();
    for count in [1, 8, 9, 100] {
        let ty = FuncType::new(types(count, &[ValType::V128, ValType::I32]), types(count, &[ValType::V128]));
        assert_eq!(results_in_memory(&ty), count > 8);
        compiler.entry_thunks(&mut scratch, &ty).unwrap();
        compiler.call_thunks(&mut scratch, &ty).unwrap();
    }
    assert!(results_in_memory(&FuncType::new([], types(9, &[ValType::V128, ValType::F32]))));
}
