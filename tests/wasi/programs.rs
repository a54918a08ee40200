//! The real programs of `tests/programs`: what they print is what other engines printed.

use crate::{Outcome, modes, run_in};
use crescendo::Config;
use crescendo_wasi::WasiCtxBuilder;
use crescendo_wasi::pipe::ReadPipe;
use std::fs;
use std::path::Path;

fn file(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs").join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn run_program(config: &Config, name: &str, args: &[&str], input: Vec<u8>) -> Outcome {
    run_in(config, &file(&format!("{name}.wasm")), &|builder: &mut WasiCtxBuilder| {
        builder.stdin(Box::new(ReadPipe::from(input.clone())));
        for arg in [name].iter().chain(args) {
            builder.arg(arg).expect("arguments have no NUL");
        }
    })
}

/// Runs a workload from standard input and compares with the checked-in output.
fn check(config: &Config, name: &str, workload: &str, expected: &str) {
    let output = run_program(config, name, &[], file(&format!("workloads/{workload}"))).success();
    assert!(output.as_bytes() == file(&format!("expected/{expected}")), "{name} prints:\n{output}");
}

#[test]
fn sqlite_gives_the_expected_rows() {
    check(&Config::new(), "sqlite", "sql100k.sql", "sql100k.txt");
}

#[test]
fn lua_prints_the_expected_results() {
    check(&Config::new(), "lua", "kernels.lua", "kernels.txt");
}

#[test]
fn quickjs_prints_the_expected_results() {
    check(&Config::new(), "quickjs", "suite.js", "suite.txt");
}

#[test]
fn bzip2_restores_what_it_compressed() {
    let output = run_program(&Config::new(), "bzip2", &["selftest", "10000000"], Vec::new()).success();
    assert!(output.as_bytes() == file("expected/bzip2.txt"), "{output}");
}

/// The long workloads run in the default mode above; these are short ones of the same programs.
#[test]
fn programs_do_the_same_in_every_mode() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("bzip2", &["selftest", "150000"], ""),
        (
            "lua",
            &[],
            "local t = {} for i = 1, 20000 do t[i % 97] = (t[i % 97] or 0) + i * 1.5 end print(t[5], #t)",
        ),
        (
            "quickjs",
            &[],
            "let s = 0n; for (let i = 0n; i < 5000n; i++) s += i * i; print(s, /a+b/.exec('xaab')[0]);",
        ),
        (
            "sqlite",
            &[],
            "create table t(a, b); with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) \
             insert into t select i, i * i % 101 from n; select b, count(*), sum(a) from t group by b order by 2, 1 limit 3;",
        ),
    ];
    for (name, args, input) in cases {
        let mut outputs = modes().into_iter().map(|config| {
            let output = run_program(&config, name, args, input.as_bytes().to_vec()).success();
            assert!(!output.is_empty(), "{name} prints nothing");
            output
        });
        let first = outputs.next().expect("there are modes");
        assert!(outputs.all(|other| other == first), "{name}");
    }
}
