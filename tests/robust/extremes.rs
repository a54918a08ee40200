//! Modules at and beyond what fits: nesting, counts, sizes.

use crescendo::{
    Config, Engine, ErrorKind, Linker, Module, Store, StoreLimits, StoreLimitsBuilder, Tiering, TieringMode,
    Val, Validation,
};

/// A number in LEB128.
fn leb(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(contents.len() as u64), contents].concat()
}

fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}

/// A module whose function `f`, without parameters and with a result of type `i32`, has these bytes.
fn with_body(locals: &[u8], code: &[u8]) -> Vec<u8> {
    let body = [locals, code, &[0x0b]].concat();
    module(&[
        section(1, &[1, 0x60, 0, 1, 0x7f]),
        section(3, &[1, 0]),
        section(5, &[1, 0, 1]),
        section(7, &[1, 1, b'f', 0, 0]),
        section(10, &[vec![1], leb(body.len() as u64), body].concat()),
    ])
}

fn engines() -> Vec<Engine> {
    let engine =
        |config: &mut Config| Engine::new(config.consume_fuel(true)).expect("the configuration is valid");
    vec![
        engine(&mut Config::new()),
        engine(Config::new().fusion(false).validation(Validation::Lazy)),
        engine(Config::new().signals_based_traps(false)),
        engine(Config::new().tiering(Tiering::new(TieringMode::Eager))),
        engine(Config::new().tiering(Tiering::new(TieringMode::Synchronous).calls(1).iterations(1))),
    ]
}

/// Loads the bytes and calls `f`, in every mode: a result or an error. Modes agree about which.
fn outcome(bytes: &[u8]) -> Result<Option<Val>, String> {
    let mut outcomes = engines().into_iter().map(|engine| {
        let module = Module::new(&engine, bytes).map_err(|error| error.to_string())?;
        let limits = StoreLimitsBuilder::new().memory_size(64 << 20).table_elements(1 << 20).build();
        let mut store = Store::new(&engine, limits);
        store.limiter(|limits: &mut StoreLimits| limits);
        store.set_fuel(20_000_000).expect("fuel is on");
        let instance =
            Linker::new(&engine).instantiate(&mut store, &module).map_err(|error| error.to_string())?;
        let Some(func) = instance.get_func(&store, "f") else { return Ok(None) };
        let mut results = vec![Val::I32(0); func.ty(&store).results().len()];
        match func.call(&mut store, &[], &mut results) {
            Ok(()) => Ok(results.first().copied()),
            Err(error) => {
                assert!(!matches!(error.kind(), ErrorKind::Bug(_)), "{error}");
                Err(error.to_string())
            }
        }
    });
    let first = outcomes.next().expect("there are engines");
    for other in outcomes {
        assert_eq!(first.is_ok(), other.is_ok(), "{first:?} {other:?}");
        if let (Ok(first), Ok(other)) = (&first, &other) {
            assert_eq!(format!("{first:?}"), format!("{other:?}"));
        }
    }
    first
}

fn is_i32(outcome: Result<Option<Val>, String>, expected: i32) {
    match outcome {
        Ok(Some(Val::I32(value))) => assert_eq!(value, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn deeply_nested_blocks_run() {
    for (open, close, depth) in [
        (&[0x02, 0x40][..], &[0x0b][..], 200_000),
        (&[0x03, 0x40], &[0x0b], 200_000),
        (&[0x41, 1, 0x04, 0x40], &[0x0b], 200_000),
        (&[0x41, 1, 0x04, 0x40], &[0x05, 0x0b], 100_000),
        (&[0x02, 0x7f], &[0x0b, 0x1a, 0x41, 0], 0),
    ] {
        let code = [open.repeat(depth), close.repeat(depth), vec![0x41, 7]].concat();
        is_i32(outcome(&with_body(&[0], &code)), 7);
    }
    // A value handed out through all of them.
    let depth = 200_000;
    let code = [[0x02, 0x7f].repeat(depth), vec![0x41, 9], vec![0x0b; depth]].concat();
    is_i32(outcome(&with_body(&[0], &code)), 9);
    // Each catches what the next one inside does not.
    let tries =
        [&[0x02, 0x40][..], &[0x1f, 0x40, 1, 0x02, 0x00].repeat(depth), &vec![0x0b; depth + 1]].concat();
    is_i32(outcome(&with_body(&[0], &[tries, vec![0x41, 7]].concat())), 7);
    // And a branch from the innermost to the outermost.
    let branch = [vec![0x41, 11, 0x0c], leb(depth as u64 - 1)].concat();
    let code = [[0x02, 0x7f].repeat(depth), branch, vec![0x0b; depth]].concat();
    is_i32(outcome(&with_body(&[0], &code)), 11);
}

#[test]
fn a_tall_operand_stack_runs_or_is_a_trap() {
    for height in [1_000usize, 30_000, 300_000] {
        let code = [[0x41, 1].repeat(height), vec![0x6a; height - 1]].concat();
        match outcome(&with_body(&[0], &code)) {
            Ok(Some(Val::I32(sum))) => assert_eq!(sum, height as i32),
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(height > 200_000 && error.contains("stack"), "{height}: {error}"),
        }
        // The same with what a block is given.
        let code = [[0x41, 1].repeat(height), vec![0x02, 0x40, 0x0b], vec![0x6a; height - 1]].concat();
        let _ = outcome(&with_body(&[0], &code));
    }
}

#[test]
fn the_most_locals_run_and_one_more_is_refused() {
    for kind in [0x7f, 0x7e, 0x7d, 0x7c, 0x70, 0x6f] {
        let locals = |count: u64| [vec![1], leb(count), vec![kind]].concat();
        is_i32(outcome(&with_body(&locals(50_000), &[0x41, 3])), 3);
        assert!(outcome(&with_body(&locals(50_001), &[0x41, 3])).is_err());
        assert!(outcome(&with_body(&locals(u32::MAX.into()), &[0x41, 3])).is_err());
    }
    // In many groups whose sum overflows.
    let group = [leb(u32::MAX.into()), vec![0x7f]].concat();
    assert!(outcome(&with_body(&[vec![3], group.repeat(3)].concat(), &[0x41, 3])).is_err());
    // The last local of 50,000, in a loop.
    let last = leb(49_999);
    let (get, tee) = ([vec![0x20], last.clone()].concat(), [vec![0x22], last].concat());
    let step = [get.clone(), vec![0x41, 1, 0x6a], tee, vec![0x41, 50, 0x48, 0x0d, 0]].concat();
    let code = [vec![0x03, 0x40], step, vec![0x0b], get].concat();
    is_i32(outcome(&with_body(&[vec![1], leb(50_000), vec![0x7f]].concat(), &code)), 50);
}

#[test]
fn a_large_branch_table_runs() {
    for targets in [0u64, 1, 255, 65_520] {
        let table = [vec![0x0e], leb(targets), vec![0; targets as usize], vec![0]].concat();
        let code = [vec![0x02, 0x40, 0x41, 0x7f], table, vec![0x0b, 0x41, 5]].concat();
        is_i32(outcome(&with_body(&[0], &code)), 5);
    }
    let table = [vec![0x0e], leb(u32::MAX.into()), vec![0]].concat();
    assert!(outcome(&with_body(&[0], &[vec![0x41, 0], table].concat())).is_err());
}

#[test]
fn the_most_parameters_and_results_are_passed() {
    let types = |count: usize| [leb(count as u64), vec![0x7f; count]].concat();
    for (params, results, fits) in [(1000, 1000, true), (1001, 1, false), (1, 1001, false)] {
        let signature = [vec![0x60], types(params), types(results)].concat();
        let returned: Vec<u8> =
            (0..results).flat_map(|at| [vec![0x20], leb(at as u64 % params as u64)].concat()).collect();
        let callee = [vec![0], returned, vec![0x0b]].concat();
        let constants: Vec<u8> =
            (0..params).flat_map(|at| [vec![0x41], leb(at as u64 % 64)].concat()).collect();
        let caller = [vec![0], constants, vec![0x10, 1], vec![0x1a; results - 1], vec![0x0b]].concat();
        let bytes = module(&[
            section(1, &[vec![2, 0x60, 0, 1, 0x7f], signature].concat()),
            section(3, &[2, 0, 1]),
            section(7, &[1, 1, b'f', 0, 0]),
            section(
                10,
                &[vec![2], leb(caller.len() as u64), caller, leb(callee.len() as u64), callee].concat(),
            ),
        ]);
        if fits { is_i32(outcome(&bytes), 0) } else { assert!(outcome(&bytes).is_err()) }
    }
}

#[test]
fn counts_without_contents_are_refused_at_once() {
    for id in 0..14u8 {
        for count in [1u64, 1000, 1_000_000, u32::MAX.into(), u64::MAX] {
            let count = leb(count);
            for tail in [&[][..], &[0x60], &[0, 0, 0], &[0xff; 20]] {
                let bytes = module(&[section(id, &[&count[..], tail].concat())]);
                let _ = outcome(&bytes);
                // A section that says it is longer than the module.
                let bytes = module(&[[&[id][..], &count, tail].concat()]);
                let _ = outcome(&bytes);
            }
        }
    }
    // Functions without bodies and bodies without functions.
    let bytes =
        module(&[section(1, &[1, 0x60, 0, 0]), section(3, &[leb(100_000), vec![0; 100_000]].concat())]);
    assert!(outcome(&bytes).is_err());
    let bytes = module(&[section(10, &[leb(100_000), [2, 0, 0x0b].repeat(100_000)].concat())]);
    assert!(outcome(&bytes).is_err());
}

#[test]
fn many_functions_exports_and_globals_run() {
    let count = 100_000u64;
    let exports: Vec<u8> = (0..count)
        .flat_map(|at| {
            let name = format!("f{at}");
            [leb(name.len() as u64), name.into_bytes(), vec![0], leb(at)].concat()
        })
        .collect();
    let bytes = module(&[
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[leb(count), vec![0; count as usize]].concat()),
        section(6, &[leb(count), [0x7f, 1, 0x41, 0, 0x0b].repeat(count as usize)].concat()),
        section(7, &[leb(count), exports].concat()),
        section(10, &[leb(count), [2, 0, 0x0b].repeat(count as usize)].concat()),
    ]);
    assert_eq!(outcome(&bytes).map(|value| value.is_none()), Ok(true));
}

#[test]
fn memories_and_tables_too_large_for_the_host_are_errors() {
    for text in [
        "(module (memory 65536))",
        "(module (memory i64 0x1000000000000))",
        "(module (memory i64 281474976710656))",
        "(module (memory 1025) (memory 1025) (memory 1025))",
        "(module (table 4294967295 funcref))",
        "(module (table i64 0xffffffffffffffff funcref))",
        "(module (table 10000000 externref))",
        "(module (memory 1) (data (i32.const -1) \"x\"))",
        "(module (memory i64 1) (data (i64.const -1) \"x\"))",
        "(module (table 1 funcref) (func $f) (elem (i32.const -1) func $f))",
    ] {
        let bytes = wat::parse_str(text).expect("the text is well-formed");
        assert!(outcome(&bytes).is_err(), "{text}");
    }
}

#[test]
fn a_long_function_runs() {
    // 7 MB, close to the limit.
    let step = [0x20, 0, 0x41, 1, 0x6a, 0x21, 0];
    let code = [step.repeat(1_000_000), vec![0x20, 0]].concat();
    is_i32(outcome(&with_body(&[1, 1, 0x7f], &code)), 1_000_000);
    let code = [step.repeat(1_100_000), vec![0x20, 0]].concat();
    assert!(outcome(&with_body(&[1, 1, 0x7f], &code)).is_err());
}
