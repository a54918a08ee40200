//! Values: what they hold, which types they have, and calls with them.

use crate::setup::{engines, instance};
use crescendo::{
    Engine, ErrorKind, ExternRef, Func, FuncType, HeapType, Linker, Module, Ref, RefType, Store, V128, Val,
    ValType,
};

#[test]
fn accessors_give_values_of_their_own_type_only() {
    let vals =
        [Val::from(-1), Val::from(-1_i64), Val::from(1.5_f32), Val::from(1.5_f64), Val::from(None::<Func>)];
    for (index, val) in vals.iter().enumerate() {
        assert_eq!(val.i32(), (index == 0).then_some(-1));
        assert_eq!(val.i64(), (index == 1).then_some(-1));
        assert_eq!(val.f32(), (index == 2).then_some(1.5));
        assert_eq!(val.f64(), (index == 3).then_some(1.5));
        assert_eq!(val.func_ref(), (index == 4).then_some(None));
        assert_eq!(val.ref_().is_some(), index == 4);
        assert_eq!(val.extern_ref(), None);
    }
    assert_eq!(Val::from(u32::MAX).unwrap_i32(), -1);
    assert_eq!(Val::from(u64::MAX).unwrap_i64(), -1);
    assert_eq!(Val::from(None::<ExternRef>).unwrap_extern_ref(), None);
}

#[test]
#[should_panic(expected = "expected i32, found I64(1)")]
fn unwrapping_another_type_panics() {
    Val::I64(1).unwrap_i32();
}

#[test]
fn defaults_are_zero_and_null() {
    use ValType::{F32, F64, I32, I64, V128};
    let default = Val::default_for_ty;
    assert_eq!(default(&I32).unwrap().i32(), Some(0));
    assert_eq!(default(&I64).unwrap().i64(), Some(0));
    assert_eq!(default(&F32).unwrap().f32().map(f32::to_bits), Some(0));
    assert_eq!(default(&F64).unwrap().f64().map(f64::to_bits), Some(0));
    assert_eq!(default(&ValType::FUNCREF).unwrap().func_ref(), Some(None));
    assert_eq!(default(&ValType::EXTERNREF).unwrap().extern_ref(), Some(None));
    assert_eq!(default(&V128).unwrap().v128(), Some(0.into()));
    assert!(default(&ValType::Ref(RefType::new(false, HeapType::Func))).is_none());
    assert!(Val::null_ref(&HeapType::NoFunc).func_ref().is_some());
    assert!(Ref::null(&HeapType::NoExtern).as_extern().is_some());
}

#[test]
fn values_match_their_types_and_no_others() {
    let mut store = Store::new(&Engine::default(), ());
    let func = Func::wrap(&mut store, |x: i32| x);
    let other = Func::wrap(&mut store, |x: i64| x);
    let external = ExternRef::new(&mut store, ()).unwrap();
    let own = |func: Func| Val::from(func).ty(&store).unwrap();
    let reference = |nullable, heap| ValType::Ref(RefType::new(nullable, heap));
    let nullable = |ty: ValType| match ty {
        ValType::Ref(ty) => ValType::Ref(RefType { nullable: true, ..ty }),
        other => other,
    };
    let (own_func, own_other) = (own(func), own(other));
    assert_ne!(own_func, own_other);
    let types = [
        ValType::I32,
        ValType::F64,
        ValType::V128,
        ValType::FUNCREF,
        reference(false, HeapType::Func),
        own_func,
        nullable(own_func),
        own_other,
        reference(true, HeapType::NoFunc),
        ValType::EXTERNREF,
        reference(false, HeapType::Extern),
        reference(true, HeapType::NoExtern),
    ];
    let table: [(Val, &[usize]); 6] = [
        (Val::I32(0), &[0]),
        (Val::F64(0), &[1]),
        (func.into(), &[3, 4, 5, 6]),
        (None::<Func>.into(), &[3, 6, 8]),
        (external.into(), &[9, 10]),
        (None::<ExternRef>.into(), &[9, 11]),
    ];
    for (val, matching) in table {
        for (index, ty) in types.iter().enumerate() {
            let expected = matching.contains(&index);
            assert_eq!(val.matches_ty(&store, ty).unwrap(), expected, "{val:?} as {ty}");
        }
        assert!(val.matches_ty(&store, &val.ty(&store).unwrap()).unwrap(), "{val:?} has its own type");
    }
}

#[test]
fn references_know_what_they_are() {
    let mut store = Store::new(&Engine::default(), ());
    let func = Func::wrap(&mut store, || ());
    let external = ExternRef::new(&mut store, 7).unwrap();
    let reference = Ref::from(func);
    assert!(!reference.is_null() && reference.as_extern().is_none());
    assert!(reference.unwrap_func().is_some());
    let reference = Ref::from(external);
    assert!(!reference.is_null() && reference.as_func().is_none());
    assert_eq!(reference.unwrap_extern(), Some(external));
    assert!(Ref::from(None::<Func>).is_null() && Ref::from(None::<ExternRef>).is_null());
    assert_eq!(Val::from(reference).unwrap_ref().ty(&store).unwrap(), RefType::new(false, HeapType::Extern));
}

#[test]
fn calls_check_number_and_types_of_their_arguments() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance =
            instance(&mut store, r#"(module (func (export "f") (param i32 f64) (result f64) local.get 1))"#);
        let func = instance.get_func(&mut store, "f").unwrap();
        let good = [Val::I32(1), Val::from(2.5)];
        let mut results = [Val::I32(0)];
        func.call(&mut store, &good, &mut results).unwrap();
        assert_eq!(results[0].f64(), Some(2.5), "{mode}");
        let cases: [(&[Val], usize, &str); 5] = [
            (&good[..1], 1, "the function has 2 parameters, 1 were given"),
            (&[], 1, "the function has 2 parameters, 0 were given"),
            (&good, 0, "the function has 1 results, 0 were given"),
            (&good, 2, "the function has 1 results, 2 were given"),
            (&[good[1], good[0]], 1, "type mismatch in parameter 0: expected i32, found f64"),
        ];
        for (params, results, message) in cases {
            let mut results = vec![Val::I32(0); results];
            let error = func.call(&mut store, params, &mut results).unwrap_err();
            assert_eq!(error.to_string(), message, "{mode}");
            assert!(matches!(error.kind(), ErrorKind::Arguments(_)), "{mode}");
        }
    }
}

#[test]
fn references_of_another_store_are_refused() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut other = Store::new(&engine, ());
    let func = Func::wrap(&mut store, |_: Option<Func>, _: Option<ExternRef>| ());
    let foreign: [Val; 2] =
        [Func::wrap(&mut other, || ()).into(), ExternRef::new(&mut other, 1).unwrap().into()];
    let null = [Val::from(None::<Func>), Val::from(None::<ExternRef>)];
    func.call(&mut store, &null, &mut []).unwrap();
    assert!(func.call(&mut store, &[foreign[0], null[1]], &mut []).is_err());
    assert!(func.call(&mut store, &[null[0], foreign[1]], &mut []).is_err());
    assert!(func.call(&mut other, &null, &mut []).is_err());
    for val in foreign {
        assert!(val.ty(&store).is_err() && val.ty(&other).is_ok());
        assert!(val.matches_ty(&store, &ValType::I32).is_ok_and(|matches| !matches) || val.ref_().is_some());
    }
}

#[test]
fn host_values_live_in_their_store() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let value = std::sync::Arc::new(String::from("kept"));
    let reference = ExternRef::new(&mut store, value.clone()).unwrap();
    let other = ExternRef::new(&mut store, 5_u8).unwrap();
    assert_ne!(reference, other);
    assert_eq!(other.data(&store).unwrap().downcast_ref(), Some(&5_u8));
    assert!(reference.data(&store).unwrap().is::<std::sync::Arc<String>>());
    assert!(reference.data(&Store::new(&engine, ())).is_err());
    assert_eq!(std::sync::Arc::strong_count(&value), 2);
    drop(store);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn an_untyped_host_function_must_set_results_that_cannot_be_null() {
    let mut store = Store::new(&Engine::default(), ());
    let ty = FuncType::new([], [ValType::Ref(RefType::new(false, HeapType::Func))]);
    let forgets = Func::new(&mut store, ty.clone(), |_, _, _| Ok(()));
    let target = Func::wrap(&mut store, || 7);
    let sets = Func::new(&mut store, ty, move |_, _, results| {
        results[0] = target.into();
        Ok(())
    });
    let mut results = [Val::I32(0)];
    let error = forgets.call(&mut store, &[], &mut results).unwrap_err();
    assert_eq!(
        error.to_string(),
        "type mismatch in result 0 of a host function: expected (ref func), found a null funcref"
    );
    sets.call(&mut store, &[], &mut results).unwrap();
    assert_eq!(results[0].func_ref(), Some(Some(target)));
}

#[test]
fn vectors_take_two_slots() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let wasm = wat::parse_str(
            r#"(module
                (type $many (func (param i32 v128 f64 v128) (result v128 i32 v128 f64)))
                (import "" "swap" (func $swap (type $many)))
                (global $g (export "g") (mut v128) (v128.const i64x2 1 2))
                (table funcref (elem $turn))
                (func $turn (param i32 v128 f64 v128) (result v128 i32 v128 f64)
                    (local v128)
                    local.get 1 local.set 4
                    local.get 3 local.get 0 local.get 4 local.get 2)
                (func (export "swap") (type $many)
                    local.get 0 local.get 1 local.get 2 local.get 3 call $swap)
                (func (export "turn") (type $many)
                    local.get 0 local.get 1 local.get 2 local.get 3 i32.const 0 call_indirect (type $many))
                (func (export "tail") (type $many)
                    local.get 0 local.get 1 local.get 2 local.get 3 i32.const 0
                    return_call_indirect (type $many))
                (func (export "pick") (param i32 v128 v128) (result v128)
                    (block (param) (result v128 v128)
                        local.get 1 local.get 2
                        (br_if 0 (local.get 0)) drop
                        global.get $g
                        local.get 1 global.set $g)
                    drop)
                (func (export "sum") (param $n i32) (param $step v128) (result v128) (local $sum v128)
                    (loop $again
                        (local.set $sum (i32x4.add (local.get $sum) (local.get $step)))
                        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                    local.get $sum))"#,
        )
        .unwrap();
        let module = Module::new(&engine, wasm).unwrap();
        let mut linker = Linker::new(&engine);
        linker.func_wrap("", "swap", |a: i32, b: V128, c: f64, d: V128| (d, a, b, c)).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let (low, high) = (V128::from(0x0123_4567_89ab_cdef_u128), V128::from(7 << 100));
        for name in ["swap", "turn", "tail"] {
            type Params = (i32, V128, f64, u128);
            let func = instance.get_typed_func::<Params, (V128, i32, V128, f64)>(&mut store, name).unwrap();
            for _ in 0..3 {
                let results = func.call(&mut store, (5, low, 2.5, high.into())).unwrap();
                assert_eq!(results, (high, 5, low, 2.5), "{mode} {name}");
            }
            let func = instance.get_func(&mut store, name).unwrap();
            let mut results = [Val::I32(0); 4];
            let params = [Val::I32(5), Val::V128(low), Val::from(2.5), high.into()];
            func.call(&mut store, &params, &mut results).unwrap();
            assert_eq!((results[0].v128(), results[2].v128()), (Some(high), Some(low)), "{mode} {name}");
        }
        let pick = instance.get_typed_func::<(i32, V128, V128), V128>(&mut store, "pick").unwrap();
        assert_eq!(pick.call(&mut store, (1, low, high)).unwrap(), low, "{mode}");
        assert_eq!(pick.call(&mut store, (0, low, high)).unwrap(), low, "{mode}");
        let global = instance.get_global(&mut store, "g").unwrap();
        assert_eq!(global.get(&store).v128(), Some(low), "{mode}");
        global.set(&mut store, high.into()).unwrap();
        assert_eq!(global.get(&store).v128(), Some(high), "{mode}");
        let sum = instance.get_typed_func::<(i32, V128), V128>(&mut store, "sum").unwrap();
        let step = V128::from(1 | 2 << 32 | 3 << 64 | 4 << 96);
        let expected = V128::from(1000 | 2000 << 32 | 3000 << 64 | 4000 << 96);
        assert_eq!(sum.call(&mut store, (1000, step)).unwrap(), expected, "{mode}");
    }
}

#[test]
fn vectors_are_checked_like_other_values() {
    let mut store = Store::new(&Engine::default(), ());
    let func = Func::new(&mut store, FuncType::new([ValType::V128], []), |_, _, _| Ok(()));
    let error = func.call(&mut store, &[Val::I64(1)], &mut []).unwrap_err();
    assert_eq!(error.to_string(), "type mismatch in parameter 0: expected v128, found i64");
    let func = Func::new(&mut store, FuncType::new([], [ValType::V128]), |_, _, results| {
        results[0] = Val::I32(0);
        Ok(())
    });
    assert!(func.call(&mut store, &[], &mut [Val::I32(0)]).is_err());
}
