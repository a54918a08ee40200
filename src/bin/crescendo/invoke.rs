//! `--invoke`: finds a function, reads its arguments by its type, prints its results.

use crescendo::{Error, ExternType, FuncType, Instance, Module, Result, Store, Val, ValType};

use crate::output;

/// The most exported functions that a message lists.
const LISTED: usize = 20;

/// A call that fits the function's type.
pub(crate) struct Invocation {
    name: String,
    args: Vec<Val>,
    results: usize,
}

impl Invocation {
    /// A call of the module's exported function `name` with arguments as written on the command line.
    pub(crate) fn new(module: &Module, name: &str, args: &[String]) -> Result<Invocation> {
        let ty = match module.get_export(name) {
            Some(ExternType::Func(ty)) => ty,
            Some(other) => {
                return Err(Error::msg(format_args!("the export `{name}` is not a function: {other}")));
            }
            None => return Err(unknown(module, name)),
        };
        Ok(Invocation {
            name: name.to_owned(),
            args: parse_args(name, &ty, args)?,
            results: ty.results().len(),
        })
    }

    /// Calls the function and prints its results.
    pub(crate) fn call<T>(self, store: &mut Store<T>, instance: Instance) -> Result<()> {
        let Some(func) = instance.get_func(&mut *store, &self.name) else {
            return Err(Error::msg(format_args!("the instance has no function `{}`", self.name)));
        };
        let mut results = vec![Val::I32(0); self.results];
        func.call(&mut *store, &self.args, &mut results)?;
        output::print(|out| results.iter().try_for_each(|value| writeln!(out, "{}", format(value))))
    }
}

/// The names of a module's exported functions, ready for a message; empty if there are none.
pub(crate) fn exported_funcs(module: &Module) -> String {
    let mut exports = module.exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
    let mut names: Vec<String> =
        exports.by_ref().take(LISTED).map(|export| format!("`{}`", export.name())).collect();
    let more = exports.count();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

fn unknown(module: &Module, name: &str) -> Error {
    let names = exported_funcs(module);
    if names.is_empty() {
        return Error::msg(format_args!("no function `{name}`: the module exports none"));
    }
    Error::msg(format_args!("no function `{name}`; the module exports {names}"))
}

fn parse_args(name: &str, ty: &FuncType, args: &[String]) -> Result<Vec<Val>> {
    let params = ty.params();
    if params.len() != args.len() {
        let types: Vec<String> = params.iter().map(ValType::to_string).collect();
        let expected = match types.len() {
            0 => "no arguments".to_owned(),
            1 => format!("1 argument ({})", types[0]),
            count => format!("{count} arguments ({})", types.join(", ")),
        };
        return Err(Error::msg(format_args!("`{name}` takes {expected}, {} given", args.len())));
    }
    let parse = |(position, (ty, arg)): (usize, (&ValType, &String))| {
        parse_arg(ty, arg).ok_or_else(|| {
            let (position, expected) = (position + 1, expected(ty));
            Error::msg(format_args!("argument {position} of `{name}`: expected {expected}, found `{arg}`"))
        })
    };
    params.iter().zip(args).enumerate().map(parse).collect()
}

/// What the command line accepts for a parameter of this type.
fn expected(ty: &ValType) -> String {
    match ty {
        ValType::I32 => "an i32 (decimal or 0x)".to_owned(),
        ValType::I64 => "an i64 (decimal or 0x)".to_owned(),
        ValType::F32 => "an f32".to_owned(),
        ValType::F64 => "an f64".to_owned(),
        ValType::V128 => "a v128 (decimal or 0x, lane 0 lowest)".to_owned(),
        ValType::Ref(reference) if reference.nullable => format!("`null` for {ty}"),
        _ => format!("{ty}, which cannot be written on the command line"),
    }
}

fn parse_arg(ty: &ValType, text: &str) -> Option<Val> {
    match ty {
        // Both readings of a bit pattern: signed and unsigned.
        ValType::I32 => {
            let value = parse_integer(text)?;
            let signed = i32::try_from(value).ok();
            signed.or_else(|| u32::try_from(value).ok().map(u32::cast_signed)).map(Val::I32)
        }
        ValType::I64 => {
            let value = parse_integer(text)?;
            let signed = i64::try_from(value).ok();
            signed.or_else(|| u64::try_from(value).ok().map(u64::cast_signed)).map(Val::I64)
        }
        ValType::F32 => text.parse().ok().map(|value: f32| Val::F32(value.to_bits())),
        ValType::F64 => text.parse().ok().map(|value: f64| Val::F64(value.to_bits())),
        ValType::V128 => parse_unsigned(text).map(|value| Val::V128(value.into())),
        ValType::Ref(reference) if reference.nullable && text == "null" => {
            Some(Val::null_ref(&reference.heap))
        }
        _ => None,
    }
}

fn parse_unsigned(text: &str) -> Option<u128> {
    let (radix, digits) = radix_of(text);
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u128::from_str_radix(&digits.replace('_', ""), radix).ok()
}

/// The base of a number and its digits.
fn radix_of(text: &str) -> (u32, &str) {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None => (10, text),
    }
}

fn parse_integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = radix_of(digits);
    // No further sign, and `_` between digits as in the text format.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    i128::from_str_radix(&digits.replace('_', ""), radix).ok()?.checked_mul(sign)
}

/// A result as it is printed. Integers are signed; a float prints so that reading it back gives the same value.
fn format(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(value) => format!("{:#034x}", value.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) => "null".to_owned(),
        Val::FuncRef(Some(_)) => "funcref".to_owned(),
        Val::ExternRef(Some(_)) => "externref".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_signed_or_unsigned() {
        let table: [(&str, Option<i32>); 12] = [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("4294967295", Some(-1)),
            ("0xffffffff", Some(-1)),
            ("-0x80000000", Some(i32::MIN)),
            ("1_000", Some(1000)),
            ("+7", Some(7)),
            ("4294967296", None),
            ("-2147483649", None),
            ("", None),
            ("--1", None),
            ("1.5", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_arg(&ValType::I32, text).and_then(|v| v.i32()), expected, "{text}");
        }
        assert_eq!(parse_arg(&ValType::I64, "18446744073709551615").and_then(|v| v.i64()), Some(-1));
        assert!(parse_arg(&ValType::I64, "340282366920938463463374607431768211456").is_none());
    }

    #[test]
    fn floats_and_references() {
        assert_eq!(parse_arg(&ValType::F64, "1e3").and_then(|v| v.f64()), Some(1000.0));
        assert_eq!(parse_arg(&ValType::F32, "-inf").and_then(|v| v.f32()), Some(f32::NEG_INFINITY));
        assert!(parse_arg(&ValType::F32, "x").is_none());
        assert!(matches!(parse_arg(&ValType::EXTERNREF, "null"), Some(Val::ExternRef(None))));
        assert!(parse_arg(&ValType::FUNCREF, "0").is_none());
        assert_eq!(parse_arg(&ValType::V128, "0x1_0").and_then(|v| v.v128()), Some(16.into()));
        assert!(parse_arg(&ValType::V128, "-1").is_none());
    }
}
