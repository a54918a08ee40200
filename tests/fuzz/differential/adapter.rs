//! [`engine_adapter`]: how a script is run, written once for engines whose APIs have the same names and other types.

/// Writes `run`, `kinds` and `to_val` for an engine. Values come back through `from_val`.
///
/// - `$engine`: the engine's crate
/// - `instantiate`: the method of its linker that makes an instance and runs its start function
/// - `null`: a null reference inside its `Val`s
/// - `exceptions`: the variant of its `Val` for references to exceptions, if it has one
/// - `traps`: its enumeration of traps, with the names that only some engines have
///
/// The file that calls it adds what each engine tells in its own way: `reference_kind` (of a value type that is no number), `stop`
/// (of an error, with `stop_of` for a trap), `frames` (of an error) and `shared` (the contents of a shared memory).
macro_rules! engine_adapter {
    (
        $engine:ident,
        instantiate: $instantiate:ident,
        null: $null:path,
        exceptions: [$($exception:ident)?],
        traps: $trap:ident { $($code:ident => $stop:ident),* $(,)? }
    ) => {
        /// Runs the script. An error says why the module cannot be run.
        pub fn run(
            engine: &$engine::Engine,
            script: &$crate::differential::Script,
        ) -> Result<$crate::differential::Observation, String> {
            use $crate::differential::{Observation, Stop};
            let module =
                $engine::Module::new(engine, &script.wasm).map_err(|error| format!("{error:#}"))?;
            let mut store = $engine::Store::new(engine, 0u64);
            let refuel = |store: &mut $engine::Store<u64>| {
                // Without fuel this is an error, and meant.
                let _ = store.set_fuel(script.fuel);
            };
            refuel(&mut store);
            let linker = linker(engine, &module)?;
            let (made, instance) = match linker.$instantiate(&mut store, &module) {
                Ok(instance) => (Ok(Vec::new()), Some(instance)),
                Err(error) => (Err(error), None),
            };
            let start = record(made, &mut store);
            if let Err(Stop::Other(message)) = start.outcome {
                return Err(message);
            }
            let mut observation = Observation {
                start,
                calls: Vec::new(),
                memories: Vec::new(),
                globals: Vec::new(),
                tables: Vec::new(),
                host: 0,
            };
            let Some(instance) = instance else { return Ok(observation) };
            for (name, arguments) in &script.calls {
                let func = instance.get_func(&mut store, name).ok_or("an export is gone")?;
                let arguments: Vec<$engine::Val> = arguments.iter().map(to_val).collect();
                let mut results = vec![$engine::Val::I32(0); func.ty(&store).results().len()];
                refuel(&mut store);
                let called = func.call(&mut store, &arguments, &mut results);
                let call = record(called.map(|()| results.iter().map(from_val).collect()), &mut store);
                let ends = matches!(call.outcome, Err(Stop::OutOfFuel | Stop::StackOverflow));
                observation.calls.push(call);
                if ends {
                    break;
                }
            }
            add_exports(&mut observation, &mut store, &module, instance);
            observation.host = *store.data();
            observation.sort();
            Ok(observation)
        }

        /// What came of a call, and the fuel that is left in the store.
        fn record(
            called: Result<Vec<$crate::differential::Value>, $engine::Error>,
            store: &mut $engine::Store<u64>,
        ) -> $crate::differential::CallRecord {
            let frames = called.as_ref().err().map_or(Vec::new(), frames);
            let outcome = called.map_err(|error| stop(&error, store));
            $crate::differential::CallRecord { outcome, fuel: store.get_fuel().ok(), frames }
        }

        /// Adds what is in exported memories, globals and tables.
        fn add_exports(
            observation: &mut $crate::differential::Observation,
            store: &mut $engine::Store<u64>,
            module: &$engine::Module,
            instance: $engine::Instance,
        ) {
            for export in module.exports() {
                let name = export.name().to_string();
                match instance.get_export(&mut *store, &name) {
                    Some($engine::Extern::Memory(memory)) => {
                        let contents = memory.data(&*store).to_vec();
                        observation.memories.push((name, $crate::differential::Contents(contents)));
                    }
                    Some($engine::Extern::Global(global)) => {
                        let value = global.get(&mut *store);
                        observation.globals.push((name, from_val(&value)));
                    }
                    Some($engine::Extern::Table(table)) => {
                        let len = table.size(&*store).min(100);
                        let null = |at| table.get(&mut *store, at).is_none_or(|element| element.is_null());
                        let nulls = (0..len).map(null).collect();
                        observation.tables.push((name, nulls));
                    }
                    Some(other) => {
                        if let Some(contents) = shared(&other) {
                            observation.memories.push((name, $crate::differential::Contents(contents)));
                        }
                    }
                    None => {}
                }
            }
        }

        /// A linker with the host functions that the module imports.
        fn linker(
            engine: &$engine::Engine,
            module: &$engine::Module,
        ) -> Result<$engine::Linker<u64>, String> {
            let mut linker = $engine::Linker::new(engine);
            linker.allow_shadowing(true);
            for import in module.imports() {
                let $engine::ExternType::Func(ty) = import.ty() else {
                    return Err("an import that is no function".to_string());
                };
                let results = kinds(ty.results()).ok_or("an import with results of odd types")?;
                let name = import.name().to_string();
                linker
                    .func_new(import.module(), import.name(), ty.clone(), move |mut caller, params, out| {
                        let params: Vec<_> = params.iter().map(from_val).collect();
                        let digest = caller.data_mut();
                        let answers = $crate::differential::host_call(digest, &name, &params, &results);
                        for (slot, answer) in out.iter_mut().zip(&answers) {
                            *slot = to_val(answer);
                        }
                        Ok(())
                    })
                    .map_err(|error| error.to_string())?;
            }
            Ok(linker)
        }

        /// The kinds of the types, if arguments of them can be made.
        pub fn kinds<T: std::borrow::Borrow<$engine::ValType>>(
            types: impl IntoIterator<Item = T>,
        ) -> Option<Vec<$crate::differential::Kind>> {
            use $crate::differential::Kind;
            types
                .into_iter()
                .map(|ty| match ty.borrow() {
                    $engine::ValType::I32 => Some(Kind::I32),
                    $engine::ValType::I64 => Some(Kind::I64),
                    $engine::ValType::F32 => Some(Kind::F32),
                    $engine::ValType::F64 => Some(Kind::F64),
                    $engine::ValType::V128 => Some(Kind::V128),
                    other => reference_kind(other),
                })
                .collect()
        }

        /// The value for the engine; references are null.
        pub fn to_val(value: &$crate::differential::Value) -> $engine::Val {
            use $crate::differential::Value;
            match *value {
                Value::I32(value) => $engine::Val::I32(value),
                Value::I64(value) => $engine::Val::I64(value),
                Value::F32(bits) => $engine::Val::from(f32::from_bits(bits)),
                Value::F64(bits) => $engine::Val::from(f64::from_bits(bits)),
                Value::V128(bits) => $engine::Val::V128($engine::V128::from(bits)),
                Value::Func(_) => $engine::Val::FuncRef($null),
                Value::Extern(_) => $engine::Val::ExternRef($null),
                $(Value::Exn(_) => $engine::Val::$exception($null),)?
                #[allow(unreachable_patterns, reason = "engines without exceptions have no functions to give these to")]
                Value::Exn(_) => $engine::Val::ExternRef($null),
            }
        }

        fn from_val(value: &$engine::Val) -> $crate::differential::Value {
            use $crate::differential::Value;
            match value {
                $engine::Val::I32(value) => Value::I32(*value),
                $engine::Val::I64(value) => Value::I64(*value),
                $engine::Val::F32(_) => Value::F32(value.f32().map_or(0, |value| value.to_bits())),
                $engine::Val::F64(_) => Value::F64(value.f64().map_or(0, |value| value.to_bits())),
                $engine::Val::V128(value) => Value::V128(value.as_u128()),
                $engine::Val::FuncRef($null) => Value::Func(true),
                $engine::Val::FuncRef(_) => Value::Func(false),
                $engine::Val::ExternRef($null) => Value::Extern(true),
                $engine::Val::ExternRef(_) => Value::Extern(false),
                $($engine::Val::$exception(reference) => Value::Exn(reference.is_none()),)?
                #[allow(unreachable_patterns, reason = "not every engine has more")]
                _ => Value::Extern(true),
            }
        }

        /// What a trap is called here.
        fn stop_of(trap: $engine::$trap) -> $crate::differential::Stop {
            use $crate::differential::Stop;
            match trap {
                $engine::$trap::UnreachableCodeReached => Stop::Unreachable,
                $engine::$trap::MemoryOutOfBounds => Stop::MemoryOutOfBounds,
                $engine::$trap::TableOutOfBounds => Stop::TableOutOfBounds,
                $engine::$trap::IntegerOverflow => Stop::IntegerOverflow,
                $engine::$trap::IntegerDivisionByZero => Stop::DivisionByZero,
                $engine::$trap::BadConversionToInteger => Stop::BadConversion,
                $engine::$trap::StackOverflow => Stop::StackOverflow,
                $engine::$trap::OutOfFuel => Stop::OutOfFuel,
                $($engine::$trap::$code => Stop::$stop,)*
                other => Stop::Other(format!("{other:?}")),
            }
        }
    };
}

pub(crate) use engine_adapter;
