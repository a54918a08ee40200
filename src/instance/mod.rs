//! Instances: [`Instance`] for embedders, [`InstanceData`] behind it.
//!
//! ```text
//! module + imports ──► imports.rs (check) ──► allocate.rs (context, memories, tables, records)
//!                                               │ contexts.rs (those of dropped instances), image.rs (memories' contents)
//!                                               └──► initialize.rs (globals, tables, segments, start)
//! ```
//!
//! An instance is its context, which generated code sees, and a Rust side for what it does not see. From `allocate` on it
//! belongs to the store, whatever happens after: other instances may have got hold of its functions by then.

mod allocate;
mod const_expr;
mod contexts;
mod data;
mod image;
mod imports;
mod initialize;
mod segments;

pub(crate) use contexts::ContextPool;
pub(crate) use data::InstanceData;
pub(crate) use image::ModuleImages;
pub(crate) use segments::{init_memory, init_table};

use crate::error::{Error, Result};
use crate::externs::Export;
use crate::store::Stored;
use crate::typed::{WasmParams, WasmResults};
use crate::{
    AsContext, AsContextMut, ErrorKind, Extern, Func, Global, Memory, Module, SharedMemory, Table, Tag,
    TypedFunc,
};

/// A module that has its imports and its state in a store.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "wat")] {
/// use crescendo::{Engine, Func, Instance, Module, Store};
///
/// # fn main() -> crescendo::Result<()> {
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"
///     (module
///         (import "host" "double" (func $double (param i32) (result i32)))
///         (func (export "quadruple") (param i32) (result i32)
///             (call $double (call $double (local.get 0)))))
/// "#)?;
/// let mut store = Store::new(&engine, ());
/// let double = Func::wrap(&mut store, |n: i32| n * 2);
/// let instance = Instance::new(&mut store, &module, &[double.into()])?;
/// let quadruple = instance.get_typed_func::<i32, i32>(&store, "quadruple")?;
/// assert_eq!(quadruple.call(&mut store, 10)?, 40);
/// # Ok(())
/// # }
/// # main().unwrap();
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance(Stored<InstanceData>);

impl Instance {
    /// Makes an instance: `imports` in the order of the module's imports. Runs the module's start function.
    ///
    /// [`crate::Linker`] finds imports by name.
    ///
    /// # Errors
    ///
    /// When imports are missing (all are listed) or have a type that does not fit; when the store's limiter refuses a
    /// memory, a table or the instance, or there is no memory left for them; when a segment does not fit its memory or
    /// table, or the start function traps. In the last two cases, memories and tables that the module imports keep what
    /// was written to them before, as the specification wants.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a host function that the start function called.
    pub fn new(mut store: impl AsContextMut, module: &Module, imports: &[Extern]) -> Result<Instance> {
        let inner = store.as_context_mut().0;
        let imports = imports::check(&inner.opaque, module, imports)?;
        let data = allocate::allocate(inner, module, &imports)?;
        // SAFETY: the store took the instance over.
        let instance = Instance(unsafe { Stored::new(inner.opaque.id(), data) });
        initialize::initialize(inner, data)?;
        Ok(instance)
    }

    /// The module that the instance was made of.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn module<'a>(&self, store: &'a impl AsContext) -> &'a Module {
        self.0.get(store.as_context().opaque()).module()
    }

    /// What is exported under a name.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn get_export(&self, store: impl AsContext, name: &str) -> Option<Extern> {
        self.0.get(store.as_context().opaque()).export(name)
    }

    /// The exports, in the module's order.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn exports<'a>(&self, store: &'a impl AsContext) -> impl ExactSizeIterator<Item = Export<'a>> + 'a {
        let instance = self.0.get(store.as_context().opaque());
        let exports = instance.module().info().exports();
        exports.map(move |export| Export::new(export.name, instance.entity(export.index)))
    }

    /// The function that is exported under a name; `None` also when something else is.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn get_func(&self, store: impl AsContext, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// The function that is exported under a name, as a function of Rust types; see [`Func::typed`].
    ///
    /// # Errors
    ///
    /// When no function is exported under the name, or it has another type.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn get_typed_func<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>> {
        let Some(func) = self.get_func(&store, name) else {
            return Err(Error::new(ErrorKind::Link(format!("no function is exported as `{name}`").into())));
        };
        func.typed(store).map_err(|error| error.context(format_args!("export `{name}`")))
    }

    /// The memory that is exported under a name; `None` also when something else is, as a shared memory.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn get_memory(&self, store: impl AsContext, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// The shared memory that is exported under a name; `None` also when something else is.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn get_shared_memory(&self, store: impl AsContext, name: &str) -> Option<SharedMemory> {
        self.get_export(store, name)?.into_shared_memory()
    }

    /// The table that is exported under a name; `None` also when something else is.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn get_table(&self, store: impl AsContext, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// The global that is exported under a name; `None` also when something else is.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn get_global(&self, store: impl AsContext, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// The exception tag that is exported under a name; `None` also when something else is.
    ///
    /// # Panics
    ///
    /// When the instance belongs to another store.
    pub fn get_tag(&self, store: impl AsContext, name: &str) -> Option<Tag> {
        self.get_export(store, name)?.into_tag()
    }
}
