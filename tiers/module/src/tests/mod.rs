//! Tests of parsing through the public interface, by subject.

mod errors;
mod hints;
mod info;
mod quick;
mod refusals;

use crate::{DefinedFuncIdx, ModuleConfig, ModuleError, ModuleInfo, TypeRegistry, Validation, parse};

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn lazy() -> ModuleConfig {
    ModuleConfig { validation: Validation::Lazy, ..ModuleConfig::default() }
}

fn parse_default(bytes: &[u8]) -> Result<ModuleInfo, ModuleError> {
    parse(bytes, &ModuleConfig::default(), &TypeRegistry::new())
}

/// Parses with the configuration made lazy, then validates every body up to the first error.
fn parse_lazily(bytes: &[u8], config: &ModuleConfig) -> Result<ModuleInfo, ModuleError> {
    let config = ModuleConfig { validation: Validation::Lazy, ..config.clone() };
    let info = parse(bytes, &config, &TypeRegistry::new())?;
    let mut allocations = Default::default();
    for func in 0..info.body_ranges().len() {
        info.validate_body(bytes, DefinedFuncIdx::new(func as u32), &mut allocations)?;
    }
    Ok(info)
}

/// A module with a bit of everything that is supported.
const SAMPLE: &str = r#"(module $sample
    (type $unary (func (param i32) (result i32)))
    (type $taker (func (param (ref null $unary))))
    (import "env" "log" (func $log (param i32)))
    (import "env" "table" (table $imported 1 10 funcref))
    (import "env" "memory" (memory $mem 1))
    (import "env" "base" (global $base i32))
    (table $own i64 2 (ref null $unary))
    (table $full 3 (ref $unary) (ref.func $double))
    (memory $wide i64 1 4)
    (global $count (mut i64) (i64.const -1))
    (global $half f64 (f64.const 0.5))
    (global $null externref (ref.null extern))
    (global $next i32 (i32.add (global.get $base) (i32.const 4)))
    (func $double (type $unary) (local $twice i64)
        block $out
            local.get 0
            br_if $out
        end
        local.get 0
        i32.const 1
        i32.shl)
    (func $start
        i32.const 7
        return_call $log)
    (func $indirect (param $f (ref $unary)) (result i32)
        i32.const 2
        local.get $f
        call_ref $unary)
    (func $hidden (result i32 i64)
        i32.const 0
        i64.const 0
        memory.size $wide
        drop)
    (export "double" (func $double))
    (export "again" (func $double))
    (export "memory" (memory $mem))
    (export "wide" (memory $wide))
    (export "table" (table $own))
    (export "count" (global $count))
    (start $start)
    (elem $active (table $imported) (offset (global.get $base)) func $double $indirect)
    (elem $exprs (table $own) (i64.const 0) (ref null $unary) (item ref.func $double) (item ref.null $unary))
    (elem $passive funcref (item ref.func $start))
    (elem $declared declare func $indirect)
    (data $hello (memory $mem) (i32.const 8) "hello")
    (data $at64 (memory $wide) (i64.const 1) "wide")
    (data $later "later")
    (@custom "extra" "\01\02\03"))"#;
