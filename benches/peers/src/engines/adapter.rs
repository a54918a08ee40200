//! [`engine_adapter`]: how a case is run, written once for engines whose APIs have the same names and other types.

/// Implements [`Run`](super::Run) for the modules of an engine.
///
/// - `$engine`: the engine's crate
/// - `instantiate`: the method of its linker that makes an instance and runs its start function
/// - `message`: makes its error of a text
/// - `host`: makes its error of a host's one, which `downcast_ref` finds again
macro_rules! engine_adapter {
    ($engine:ident, instantiate: $instantiate:ident, message: $message:path, host: $host:path) => {
        impl $crate::engines::Run for $engine::Module {
            fn run(&self, case: &$crate::cases::Case) -> $crate::Result<$crate::engines::Outcome> {
                let mut store = $engine::Store::new(self.engine(), case.world());
                let instance = linker(self)?.$instantiate(&mut store, self)?;
                let (name, params) = case.call();
                let func =
                    instance.get_func(&mut store, name).ok_or_else(|| format!("no function `{name}`"))?;
                let ty = func.ty(&store);
                let params: Vec<$engine::Val> = (params.into_iter().zip(ty.params()))
                    .map(|(param, ty)| match ty {
                        $engine::ValType::I64 => $engine::Val::I64(param),
                        _ => $engine::Val::I32(param as i32),
                    })
                    .collect();
                let mut results = vec![$engine::Val::I32(0); ty.results().len()];
                let (called, elapsed, done) =
                    $crate::engines::timed(|| func.call(&mut store, &params, &mut results));
                let result = match called {
                    Ok(()) => results.first().map_or(0, bits),
                    Err(error) => match error.downcast_ref::<$crate::wasi::Exit>() {
                        Some(exit) => u64::from(exit.0),
                        None => return Err(error.into()),
                    },
                };
                let memory = instance.get_memory(&mut store, "memory");
                let memory = memory.map_or(Vec::new(), |memory| memory.data(&store).to_vec());
                let $crate::wasi::World { stdout, stderr, .. } = store.into_data();
                let end = $crate::engines::End { result, stdout, stderr, memory };
                Ok($crate::engines::Outcome { elapsed, done, end })
            }
        }

        /// A linker with all functions of WASI that the module imports.
        fn linker(module: &$engine::Module) -> $crate::Result<$engine::Linker<$crate::wasi::World>> {
            const WASI: &str = $crate::wasi::MODULE;
            let mut linker = $engine::Linker::new(module.engine());
            for import in module.imports().filter(|import| import.module() == WASI) {
                let $engine::ExternType::Func(ty) = import.ty() else { continue };
                let name = import.name().to_string();
                linker.func_new(WASI, import.name(), ty.clone(), move |mut caller, params, results| {
                    call(&mut caller, &name, params, results)
                })?;
            }
            Ok(linker)
        }

        /// Calls a function of WASI.
        fn call(
            caller: &mut $engine::Caller<'_, $crate::wasi::World>,
            name: &str,
            params: &[$engine::Val],
            results: &mut [$engine::Val],
        ) -> Result<(), $engine::Error> {
            let Some($engine::Extern::Memory(memory)) = caller.get_export("memory") else {
                return Err($message("no memory"));
            };
            let params: Vec<u64> = params.iter().map(bits).collect();
            let (memory, world) = memory.data_and_store_mut(caller);
            let errno = world.call(name, memory, &params).map_err($host)?;
            if let Some(result) = results.first_mut() {
                *result = $engine::Val::I32(errno as i32);
            }
            Ok(())
        }

        /// The bits of a number; 0 for anything else.
        fn bits(value: &$engine::Val) -> u64 {
            match value {
                $engine::Val::I32(value) => u64::from(*value as u32),
                $engine::Val::I64(value) => *value as u64,
                $engine::Val::F32(_) => value.f32().map_or(0, |value| value.to_bits().into()),
                $engine::Val::F64(_) => value.f64().map_or(0, |value| value.to_bits()),
                _ => 0,
            }
        }
    };
}

pub(super) use engine_adapter;
