//! Names for what modules import: [`Linker`], and a module with all its imports found, [`InstancePre`].
//!
//! Definitions are host functions that belong to no store yet, or objects of one store. A host function becomes an object of a
//! store each time an instance imports it. Invariant: a name has one definition at a time, and replacing one needs
//! [`Linker::allow_shadowing`].

use crate::error::UnknownImport;
use crate::host_func::HostFunc;
use crate::{
    AsContext, AsContextMut, Caller, Engine, Error, ErrorKind, Extern, ExternType, FuncType, ImportType,
    Instance, IntoFunc, Module, Result, Val,
};
use std::collections::BTreeMap;
use std::fmt;

/// What a name stands for.
enum Definition<T: 'static> {
    Host(HostFunc<T>),
    Extern(Extern),
}

impl<T> Clone for Definition<T> {
    fn clone(&self) -> Definition<T> {
        match self {
            Definition::Host(func) => Definition::Host(func.clone()),
            Definition::Extern(item) => Definition::Extern(item.clone()),
        }
    }
}

impl<T> Definition<T> {
    /// The definition as an object of the store.
    fn materialize(&self, store: impl AsContextMut<Data = T>) -> Extern {
        match self {
            Definition::Host(func) => Extern::Func(func.clone().into_func(store)),
            Definition::Extern(item) => item.clone(),
        }
    }
}

/// Definitions by their second name.
type Namespace<T> = BTreeMap<Box<str>, Definition<T>>;

/// Gives modules their imports by name.
///
/// Host functions can be defined once and used with any number of stores. Other definitions (memories, globals, exports of
/// instances) belong to a store, and then the linker works with that store only; shared memories belong to none.
///
/// # Examples
///
/// ```
/// # use crescendo::{Caller, Engine, Linker, Result, Store};
/// # fn main() -> Result<()> {
/// let engine = Engine::default();
/// let mut linker = Linker::<Vec<u32>>::new(&engine);
/// linker.func_wrap("host", "push", |mut caller: Caller<'_, Vec<u32>>, value: u32| {
///     caller.data_mut().push(value);
/// })?;
///
/// let mut store = Store::new(&engine, Vec::new());
/// let push = linker.get(&mut store, "host", "push").and_then(|item| item.into_func()).unwrap();
/// push.typed::<u32, ()>(&store)?.call(&mut store, 7)?;
/// assert_eq!(store.data(), &[7]);
/// # Ok(())
/// # }
/// ```
pub struct Linker<T: 'static> {
    engine: Engine,
    modules: BTreeMap<Box<str>, Namespace<T>>,
    allow_shadowing: bool,
}

impl<T> Clone for Linker<T> {
    fn clone(&self) -> Linker<T> {
        Linker {
            engine: self.engine.clone(),
            modules: self.modules.clone(),
            allow_shadowing: self.allow_shadowing,
        }
    }
}

impl<T> fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .modules
            .iter()
            .flat_map(|(module, names)| names.keys().map(move |name| format!("{module}::{name}")));
        f.write_str("Linker ")?;
        f.debug_set().entries(names).finish()
    }
}

impl<T> Linker<T> {
    /// A linker without definitions, for modules of this engine.
    pub fn new(engine: &Engine) -> Linker<T> {
        Linker { engine: engine.clone(), modules: BTreeMap::new(), allow_shadowing: false }
    }

    /// The engine whose modules the linker serves.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a name may be defined again, which replaces its definition. Off by default: a second definition is an error.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Engine, Linker};
    /// let mut linker = Linker::<()>::new(&Engine::default());
    /// linker.func_wrap("host", "f", || 1)?;
    /// assert!(linker.func_wrap("host", "f", || 2).is_err());
    /// linker.allow_shadowing(true).func_wrap("host", "f", || 2)?;
    /// # Ok::<(), crescendo::Error>(())
    /// ```
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Linker<T> {
        self.allow_shadowing = allow;
        self
    }

    /// Defines a host function by a closure over Rust types; see [`crate::Func::wrap`].
    ///
    /// # Errors
    ///
    /// When the name is defined already.
    pub fn func_wrap<Params, Results>(
        &mut self,
        module: &str,
        name: &str,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Result<&mut Linker<T>> {
        self.insert(module, name, Definition::Host(func.into_host_func()))
    }

    /// Defines a host function by its type and a closure over [`Val`]s; see [`crate::Func::new`].
    ///
    /// # Errors
    ///
    /// When the name is defined already.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Engine, FuncType, Linker, Val, ValType};
    /// let mut linker = Linker::<()>::new(&Engine::default());
    /// let ty = FuncType::new([ValType::I64], [ValType::I64]);
    /// linker.func_new("host", "negate", ty, |_caller, params, results| {
    ///     results[0] = Val::I64(params[0].unwrap_i64().wrapping_neg());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), crescendo::Error>(())
    /// ```
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Linker<T>> {
        self.insert(module, name, Definition::Host(HostFunc::untyped(ty, func)))
    }

    /// Defines a name as an object of `store`.
    ///
    /// # Errors
    ///
    /// When the name is defined already, or the object belongs to another store.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Engine, Linker, Memory, MemoryType, Store};
    /// # fn main() -> crescendo::Result<()> {
    /// let engine = Engine::default();
    /// let mut store = Store::new(&engine, ());
    /// let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
    /// let mut linker = Linker::new(&engine);
    /// linker.define(&store, "env", "memory", memory)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn define(
        &mut self,
        store: impl AsContext<Data = T>,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Linker<T>> {
        let item = item.into();
        item.check_store(store.as_context().opaque())
            .map_err(|error| error.context(format_args!("cannot define `{module}::{name}`")))?;
        self.insert(module, name, Definition::Extern(item))
    }

    /// Defines all exports of an instance under one module name.
    ///
    /// # Errors
    ///
    /// When one of the names is defined already; the names before it stay defined.
    pub fn instance(
        &mut self,
        store: impl AsContextMut<Data = T>,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Linker<T>> {
        let exports: Vec<(String, Extern)> =
            instance.exports(&store).map(|export| (export.name().to_owned(), export.into_extern())).collect();
        for (name, item) in exports {
            self.insert(module, &name, Definition::Extern(item))?;
        }
        Ok(self)
    }

    /// Defines under the module name `as_module` everything that is defined under `module`.
    ///
    /// # Errors
    ///
    /// When nothing is defined under `module`, or one of the new names is defined already; the names before it stay defined.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Engine, Linker, Store};
    /// let engine = Engine::default();
    /// let mut linker = Linker::<()>::new(&engine);
    /// linker.func_wrap("wasi_snapshot_preview1", "sched_yield", || 0)?;
    /// linker.alias_module("wasi_snapshot_preview1", "wasi_unstable")?;
    /// assert!(linker.get(Store::new(&engine, ()), "wasi_unstable", "sched_yield").is_some());
    /// # Ok::<(), crescendo::Error>(())
    /// ```
    pub fn alias_module(&mut self, module: &str, as_module: &str) -> Result<&mut Linker<T>> {
        let Some(names) = self.modules.get(module) else {
            return Err(link_error(format!("nothing is defined in the module `{module}`")));
        };
        for (name, definition) in names.clone() {
            self.insert(as_module, &name, definition)?;
        }
        Ok(self)
    }

    /// Defines each function that `module` imports and nothing defines as one that fails when it is called, with an
    /// [`ErrorKind::UnknownImports`]. Imports of other kinds stay undefined.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<&mut Linker<T>> {
        for import in module.imports() {
            let ExternType::Func(ty) = import.ty() else { continue };
            if self.definition(import.module(), import.name()).is_some() {
                continue;
            }
            let unknown = unknown_import(&import);
            let func =
                move |_: Caller<'_, T>, _: &[Val], _: &mut [Val]| Err(unknown_imports(vec![unknown.clone()]));
            let definition = Definition::Host(HostFunc::untyped(ty.clone(), func));
            self.insert(import.module(), import.name(), definition)?;
        }
        Ok(self)
    }

    /// Makes an instance of `module`, and runs its start function.
    ///
    /// # Errors
    ///
    /// When imports are not defined (all of them are listed, with their types) or have another type, when memories or
    /// tables cannot be allocated or are limited by the store, when a data or element segment does not fit, or when the start
    /// function fails.
    pub fn instantiate(&self, store: impl AsContextMut<Data = T>, module: &Module) -> Result<Instance> {
        self.instantiate_pre(module)?.instantiate(store)
    }

    /// Finds the imports of `module`, for making many instances quickly. Their types are checked when an instance is made.
    ///
    /// # Errors
    ///
    /// When imports are not defined: all of them are listed, with their types.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>> {
        let mut definitions = Vec::new();
        let mut unknown = Vec::new();
        for import in module.imports() {
            match self.definition(import.module(), import.name()) {
                Some(definition) => definitions.push(definition.clone()),
                None => unknown.push(unknown_import(&import)),
            }
        }
        if !unknown.is_empty() {
            return Err(unknown_imports(unknown));
        }
        Ok(InstancePre { module: module.clone(), definitions })
    }

    /// What a name stands for. A host function becomes a new object of the store each time.
    pub fn get(&self, store: impl AsContextMut<Data = T>, module: &str, name: &str) -> Option<Extern> {
        Some(self.definition(module, name)?.materialize(store))
    }

    /// What an import would be given, without a look at its type; see [`Linker::get`].
    pub fn get_by_import(
        &self,
        store: impl AsContextMut<Data = T>,
        import: &ImportType<'_>,
    ) -> Option<Extern> {
        self.get(store, import.module(), import.name())
    }

    /// All definitions as (module, name, object), ordered by their names. Host functions become new objects of the store.
    pub fn iter<'a>(
        &'a self,
        mut store: impl AsContextMut<Data = T> + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a str, Extern)> + 'a {
        self.modules.iter().flat_map(|(module, names)| names.iter().map(move |entry| (module, entry))).map(
            move |(module, (name, definition))| {
                (&**module, &**name, definition.materialize(store.as_context_mut()))
            },
        )
    }

    fn definition(&self, module: &str, name: &str) -> Option<&Definition<T>> {
        self.modules.get(module)?.get(name)
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition<T>) -> Result<&mut Linker<T>> {
        if !self.allow_shadowing && self.definition(module, name).is_some() {
            return Err(link_error(format!("`{module}::{name}` is defined already")));
        }
        match self.modules.get_mut(module) {
            Some(names) => names.insert(name.into(), definition),
            None => self.modules.entry(module.into()).or_default().insert(name.into(), definition),
        };
        Ok(self)
    }
}

#[cold]
fn link_error(message: String) -> Error {
    Error::new(ErrorKind::Link(message.into()))
}

fn unknown_import(import: &ImportType<'_>) -> UnknownImport {
    UnknownImport::new(import.module(), import.name(), import.ty().clone())
}

#[cold]
fn unknown_imports(unknown: Vec<UnknownImport>) -> Error {
    Error::new(ErrorKind::UnknownImports(unknown))
}

/// A module whose imports are found: from [`Linker::instantiate_pre`].
///
/// # Examples
///
/// ```
/// # use crescendo::{Engine, Linker, Module, Store};
/// # fn main() -> crescendo::Result<()> {
/// let engine = Engine::default();
/// let module = Module::new(&engine, b"\0asm\x01\0\0\0")?;
/// let prepared = Linker::<u32>::new(&engine).instantiate_pre(&module)?;
/// for number in 0..3 {
///     let mut store = Store::new(&engine, number);
///     prepared.instantiate(&mut store)?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct InstancePre<T: 'static> {
    module: Module,
    definitions: Vec<Definition<T>>,
}

impl<T> Clone for InstancePre<T> {
    fn clone(&self) -> InstancePre<T> {
        InstancePre { module: self.module.clone(), definitions: self.definitions.clone() }
    }
}

impl<T> fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstancePre").field("imports", &self.definitions.len()).finish_non_exhaustive()
    }
}

impl<T> InstancePre<T> {
    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Makes an instance, and runs its start function.
    ///
    /// # Errors
    ///
    /// As [`Linker::instantiate`], except for imports that are not defined.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let imports: Vec<Extern> = self
            .definitions
            .iter()
            .map(|definition| definition.materialize(store.as_context_mut()))
            .collect();
        Instance::new(store, &self.module, &imports)
    }
}
