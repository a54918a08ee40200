//! Arguments and expected results of scripts, as values of the engine.

use std::fmt;

use crescendo::{ExternRef, Store, Val};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

use crate::messages::Stop;

const GC: &str = "GC";

/// The value of an argument. `(ref.extern n)` becomes a host value that holds `n`.
pub(crate) fn argument(store: &mut Store<()>, arg: &WastArg<'_>) -> Result<Val, Stop> {
    let WastArg::Core(arg) = arg else {
        return Err(Stop::Missing("component model".to_owned()));
    };
    Ok(match arg {
        WastArgCore::I32(value) => Val::I32(*value),
        WastArgCore::I64(value) => Val::I64(*value),
        WastArgCore::F32(value) => Val::F32(value.bits),
        WastArgCore::F64(value) => Val::F64(value.bits),
        WastArgCore::V128(value) => Val::V128(u128::from_le_bytes(value.to_le_bytes()).into()),
        WastArgCore::RefNull(heap) => null(heap)?,
        WastArgCore::RefExtern(value) => Val::ExternRef(Some(extern_ref(store, *value)?)),
        WastArgCore::RefHost(_) => return Err(Stop::Missing(GC.to_owned())),
    })
}

fn extern_ref(store: &mut Store<()>, value: u32) -> Result<ExternRef, Stop> {
    ExternRef::new(store, value).map_err(|error| Stop::unexpected("cannot make an externref", &error))
}

fn null(heap: &HeapType<'_>) -> Result<Val, Stop> {
    match heap {
        HeapType::Abstract { shared: false, ty } => match ty {
            AbstractHeapType::Func | AbstractHeapType::NoFunc => Ok(Val::FuncRef(None)),
            AbstractHeapType::Extern | AbstractHeapType::NoExtern => Ok(Val::ExternRef(None)),
            AbstractHeapType::Exn | AbstractHeapType::NoExn => Ok(Val::ExnRef(None)),
            AbstractHeapType::Cont | AbstractHeapType::NoCont => {
                Err(Stop::Missing("stack switching".to_owned()))
            }
            _ => Err(Stop::Missing(GC.to_owned())),
        },
        HeapType::Concrete(_) => Ok(Val::FuncRef(None)),
        _ => Err(Stop::Missing(GC.to_owned())),
    }
}

/// Checks the results of a call, first to last.
pub(crate) fn check_results(store: &Store<()>, found: &[Val], expected: &[WastRet<'_>]) -> Result<(), Stop> {
    if found.len() != expected.len() {
        let (expected, found) = (expected.len(), found.len());
        return Err(Stop::failed(format!("expected {expected} results, found {found}")));
    }
    for (position, (found, expected)) in found.iter().zip(expected).enumerate() {
        let WastRet::Core(expected) = expected else {
            return Err(Stop::Missing("component model".to_owned()));
        };
        if !matches(store, found, expected)? {
            let (expected, found) = (Expected(expected), Found(store, found));
            return Err(Stop::failed(format!("result {position}: expected {expected}, found {found}")));
        }
    }
    Ok(())
}

/// Whether a value is what a script expects.
fn matches(store: &Store<()>, found: &Val, expected: &WastRetCore<'_>) -> Result<bool, Stop> {
    Ok(match (expected, found) {
        (WastRetCore::I32(expected), Val::I32(found)) => expected == found,
        (WastRetCore::I64(expected), Val::I64(found)) => expected == found,
        (WastRetCore::F32(expected), Val::F32(found)) => f32_matches(*found, expected),
        (WastRetCore::F64(expected), Val::F64(found)) => f64_matches(*found, expected),
        (WastRetCore::RefNull(None), Val::FuncRef(found)) => found.is_none(),
        (WastRetCore::RefNull(None), Val::ExternRef(found)) => found.is_none(),
        (WastRetCore::RefNull(None), Val::ExnRef(found)) => found.is_none(),
        (WastRetCore::RefNull(Some(heap)), found) => matches!(
            (null(heap)?, found),
            (Val::FuncRef(_), Val::FuncRef(None))
                | (Val::ExternRef(_), Val::ExternRef(None))
                | (Val::ExnRef(_), Val::ExnRef(None))
        ),
        // Scripts name no particular function: `(ref.func)`.
        (WastRetCore::RefFunc(None), Val::FuncRef(found)) => found.is_some(),
        (WastRetCore::RefExtern(None), Val::ExternRef(found)) => found.is_some(),
        (WastRetCore::RefExtern(Some(expected)), Val::ExternRef(Some(found))) => {
            extern_value(store, *found) == Some(*expected)
        }
        (WastRetCore::Either(choices), found) => {
            for choice in choices {
                if matches(store, found, choice)? {
                    return Ok(true);
                }
            }
            false
        }
        (WastRetCore::V128(expected), Val::V128(found)) => v128_matches(found.as_u128(), expected),
        (
            WastRetCore::RefHost(_)
            | WastRetCore::RefAny
            | WastRetCore::RefEq
            | WastRetCore::RefArray
            | WastRetCore::RefStruct
            | WastRetCore::RefI31
            | WastRetCore::RefI31Shared,
            _,
        ) => return Err(Stop::Missing(GC.to_owned())),
        _ => false,
    })
}

/// The number in a host value that [`argument`] made.
fn extern_value(store: &Store<()>, reference: ExternRef) -> Option<u32> {
    reference.data(store).ok()?.downcast_ref::<u32>().copied()
}

/// A canonical NaN has only the top bit of its payload set, an arithmetic one has at least that.
fn f32_matches(found: u32, expected: &NanPattern<F32>) -> bool {
    const CANONICAL: u32 = 0x7fc0_0000;
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff == CANONICAL,
        NanPattern::ArithmeticNan => found & CANONICAL == CANONICAL,
        NanPattern::Value(value) => found == value.bits,
    }
}

fn f64_matches(found: u64, expected: &NanPattern<F64>) -> bool {
    const CANONICAL: u64 = 0x7ff8_0000_0000_0000;
    match expected {
        NanPattern::CanonicalNan => found & (u64::MAX >> 1) == CANONICAL,
        NanPattern::ArithmeticNan => found & CANONICAL == CANONICAL,
        NanPattern::Value(value) => found == value.bits,
    }
}

/// Compares lane by lane, since lanes may be patterns.
fn v128_matches(found: u128, expected: &V128Pattern) -> bool {
    let lane = |index: usize, bits: usize| (found >> (index * bits)) as u64;
    let all = |count: usize, same: &dyn Fn(usize) -> bool| (0..count).all(same);
    match expected {
        V128Pattern::I8x16(lanes) => all(16, &|i| lane(i, 8) as i8 == lanes[i]),
        V128Pattern::I16x8(lanes) => all(8, &|i| lane(i, 16) as i16 == lanes[i]),
        V128Pattern::I32x4(lanes) => all(4, &|i| lane(i, 32) as i32 == lanes[i]),
        V128Pattern::I64x2(lanes) => all(2, &|i| lane(i, 64) as i64 == lanes[i]),
        V128Pattern::F32x4(lanes) => all(4, &|i| f32_matches(lane(i, 32) as u32, &lanes[i])),
        V128Pattern::F64x2(lanes) => all(2, &|i| f64_matches(lane(i, 64), &lanes[i])),
    }
}

/// Prints a value as messages show it.
struct Found<'a>(&'a Store<()>, &'a Val);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Val::I32(value) => write!(f, "i32 {value}"),
            Val::I64(value) => write!(f, "i64 {value}"),
            Val::F32(bits) => write!(f, "f32 {:?} ({bits:#010x})", f32::from_bits(*bits)),
            Val::F64(bits) => write!(f, "f64 {:?} ({bits:#018x})", f64::from_bits(*bits)),
            Val::V128(value) => write!(f, "v128 {:#034x}", value.as_u128()),
            Val::FuncRef(None) => f.write_str("a null funcref"),
            Val::FuncRef(Some(_)) => f.write_str("a funcref"),
            Val::ExternRef(None) => f.write_str("a null externref"),
            Val::ExnRef(None) => f.write_str("a null exnref"),
            Val::ExnRef(Some(_)) => f.write_str("an exnref"),
            Val::ExternRef(Some(reference)) => match extern_value(self.0, *reference) {
                Some(value) => write!(f, "externref {value}"),
                None => f.write_str("an externref"),
            },
            other => write!(f, "{other:?}"),
        }
    }
}

/// Prints an expectation as messages show it.
struct Expected<'a, 'b>(&'a WastRetCore<'b>);

impl fmt::Display for Expected<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            WastRetCore::I32(value) => write!(f, "i32 {value}"),
            WastRetCore::I64(value) => write!(f, "i64 {value}"),
            WastRetCore::F32(NanPattern::Value(F32 { bits })) => {
                write!(f, "f32 {:?} ({bits:#010x})", f32::from_bits(*bits))
            }
            WastRetCore::F64(NanPattern::Value(F64 { bits })) => {
                write!(f, "f64 {:?} ({bits:#018x})", f64::from_bits(*bits))
            }
            WastRetCore::F32(NanPattern::CanonicalNan) => f.write_str("f32 nan:canonical"),
            WastRetCore::F32(NanPattern::ArithmeticNan) => f.write_str("f32 nan:arithmetic"),
            WastRetCore::F64(NanPattern::CanonicalNan) => f.write_str("f64 nan:canonical"),
            WastRetCore::F64(NanPattern::ArithmeticNan) => f.write_str("f64 nan:arithmetic"),
            WastRetCore::RefNull(_) => f.write_str("a null reference"),
            WastRetCore::RefFunc(_) => f.write_str("a funcref"),
            WastRetCore::RefExtern(Some(value)) => write!(f, "externref {value}"),
            WastRetCore::RefExtern(None) => f.write_str("an externref"),
            WastRetCore::Either(choices) => {
                for (position, choice) in choices.iter().enumerate() {
                    write!(f, "{}{}", if position > 0 { " or " } else { "" }, Expected(choice))?;
                }
                Ok(())
            }
            other => write!(f, "{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_patterns() {
        let table = [
            (0x7fc0_0000, 0x7ff8 << 48, true, true),
            (0xffc0_0000, 0xfff8 << 48, true, true),
            (0x7fc0_0001, (0x7ff8 << 48) | 1, false, true),
            (0x7fa0_0000, 0x7ff4 << 48, false, false),
            (0x7f80_0000, 0x7ff0 << 48, false, false),
            (0x3f80_0000, 0x3ff0 << 48, false, false),
        ];
        for (narrow, wide, canonical, arithmetic) in table {
            assert_eq!(f32_matches(narrow, &NanPattern::CanonicalNan), canonical, "{narrow:#x}");
            assert_eq!(f32_matches(narrow, &NanPattern::ArithmeticNan), arithmetic, "{narrow:#x}");
            assert_eq!(f64_matches(wide, &NanPattern::CanonicalNan), canonical, "{wide:#x}");
            assert_eq!(f64_matches(wide, &NanPattern::ArithmeticNan), arithmetic, "{wide:#x}");
        }
    }

    #[test]
    fn zeros_differ_by_sign() {
        assert!(!f32_matches(0, &NanPattern::Value(F32 { bits: 0x8000_0000 })));
        assert!(f64_matches(1 << 63, &NanPattern::Value(F64 { bits: 1 << 63 })));
    }
}
