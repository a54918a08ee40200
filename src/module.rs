//! Modules: [`Module`], validated bytes with the code that was made of them so far.
//!
//! Owns the bytes, what `crescendo_module` found in them, the layout of contexts, and the table of bytecode. Instances keep
//! their module alive. Function bodies stay as bytes until they are called first.

use crate::error::{Error, Result, limit};
use crate::externs::{ExportType, ImportType};
use crate::instance::{ContextPool, ModuleImages};
use crate::module_bytes::{Copying, ModuleBytes};
use crate::runtime::{CodeTable, has_guard};
use crate::tiering::ModuleTiering;
use crate::{Engine, ExternType, FuncType, TagType, Validation};
use crescendo_abi::{ContextCounts, VmOffsets};
use crescendo_interp::{Bytecode, ModuleEnv, TranslateError, Variant};
use crescendo_module::{
    DefinedFuncIdx, EntityIndex, EntityType, FuncIdx, GlobalIdx, MemoryIdx, ModuleInfo, Name, TableIdx,
    TagIdx,
};
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
#[cfg(feature = "cranelift")]
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A valid module, from which instances are made. Cheap to clone: clones are the same module.
///
/// Functions are translated when they are called first, once for all instances.
///
/// # Examples
///
/// ```
/// use crescendo::{Engine, Module};
///
/// # fn main() -> crescendo::Result<()> {
/// let module = Module::new(&Engine::default(), b"\0asm\x01\0\0\0")?;
/// assert_eq!((module.imports().count(), module.exports().count()), (0, 0));
/// let error = Module::new(&Engine::default(), b"\0asm\x07\0\0\0").unwrap_err();
/// assert!(error.to_string().contains("offset 0x4"), "{error}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Module {
    inner: Arc<ModuleInner>,
}

struct ModuleInner {
    engine: Engine,
    info: ModuleInfo,
    bytes: ModuleBytes,
    offsets: VmOffsets,
    code: CodeTable,
    tiering: ModuleTiering,
    contexts: ContextPool,
    /// Whether there was an instance already.
    instantiated: AtomicBool,
    images: OnceLock<ModuleImages>,
}

impl Drop for ModuleInner {
    fn drop(&mut self) {
        for image in self.images.get().iter().flat_map(|images| images.all()) {
            self.engine.pool().forget_image(image);
        }
        if let Some(engine) = self.engine.tiering() {
            self.tiering.release(engine);
        }
    }
}

/// A module that may be gone.
#[cfg(feature = "cranelift")]
pub(crate) struct WeakModule(Weak<ModuleInner>);

#[cfg(feature = "cranelift")]
impl WeakModule {
    pub(crate) fn upgrade(&self) -> Option<Module> {
        self.0.upgrade().map(|inner| Module { inner })
    }
}

/// Making modules.
impl Module {
    /// Parses and validates a module, of which it keeps a copy.
    ///
    /// `bytes` are the binary format or, with the crate's feature `wat`, the text format. Takes time in proportion to the
    /// module's size; function bodies are validated on several threads, or with [`Validation::Lazy`] later.
    ///
    /// # Errors
    ///
    /// When the bytes are not a valid module, use a proposal that is switched off or not supported, or exceed one of the
    /// [`crate::ModuleLimits`].
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Module> {
        match to_binary(bytes.as_ref())? {
            Cow::Owned(bytes) => Module::from_bytes(engine, ModuleBytes::Owned(bytes)),
            Cow::Borrowed(bytes) => {
                let mut copy = Copying::new(bytes);
                let config = engine.config().module_config();
                let copied = |end| copy.up_to(end);
                let info = crescendo_module::parse_and_copy(bytes, &config, engine.types(), copied)?;
                Module::from_info(engine, info, copy.finish()?)
            }
        }
    }

    /// Reads a file and makes a module of its contents; see [`Module::new`].
    ///
    /// # Errors
    ///
    /// When the file cannot be read, and as for [`Module::new`].
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        let path = path.as_ref();
        let made = std::fs::read(path).map_err(Error::from).and_then(|bytes| {
            let bytes = match to_binary(&bytes)? {
                Cow::Borrowed(_) => bytes,
                Cow::Owned(binary) => binary,
            };
            Module::from_bytes(engine, ModuleBytes::Owned(bytes))
        });
        made.map_err(|error| error.context(path.display()))
    }

    /// Maps a file into memory and makes a module of it without a copy. The file must be in the binary format.
    ///
    /// # Errors
    ///
    /// When the file cannot be mapped, and as for [`Module::new`].
    ///
    /// # Safety
    ///
    /// As long as the module or an instance of it lives, nobody may change or shorten the file: what was validated would no
    /// longer be what runs.
    pub unsafe fn from_file_mmap(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        let path = path.as_ref();
        let mapped = File::open(path).and_then(|file| {
            // SAFETY: the caller vouches for the file.
            unsafe { memmap2::Mmap::map(&file) }
        });
        let made = mapped.map_err(Error::from);
        let made = made.and_then(|bytes| Module::from_bytes(engine, ModuleBytes::Mapped(bytes)));
        made.map_err(|error| error.context(path.display()))
    }

    /// Validates a module, bodies included whatever [`crate::Config::validation`] says, and makes nothing of it.
    ///
    /// # Errors
    ///
    /// As for [`Module::new`].
    pub fn validate(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<()> {
        let bytes = to_binary(bytes.as_ref())?;
        let mut config = engine.config().module_config();
        config.validation = Validation::Eager;
        crescendo_module::parse(&bytes, &config, engine.types())?;
        Ok(())
    }

    fn from_bytes(engine: &Engine, bytes: ModuleBytes) -> Result<Module> {
        let info = crescendo_module::parse(&bytes, &engine.config().module_config(), engine.types())?;
        Module::from_info(engine, info, bytes)
    }

    /// Makes a module of what parsing its bytes has given.
    fn from_info(engine: &Engine, info: ModuleInfo, bytes: ModuleBytes) -> Result<Module> {
        let offsets = layout(&info)?;
        let code = CodeTable::new(info.defined_func_count());
        Ok(Module {
            inner: Arc::new(ModuleInner {
                engine: engine.clone(),
                info,
                bytes,
                offsets,
                code,
                tiering: ModuleTiering::new(),
                contexts: ContextPool::default(),
                instantiated: AtomicBool::new(false),
                images: OnceLock::new(),
            }),
        })
    }
}

/// What a module consists of.
impl Module {
    /// The engine that the module was made with.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The module's name, from its name section.
    pub fn name(&self) -> Option<&str> {
        self.inner.info.names(&self.inner.bytes).module()
    }

    /// The module's bytes in the binary format.
    pub fn bytes(&self) -> &[u8] {
        &self.inner.bytes
    }

    /// The imports, in order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> {
        let info = &self.inner.info;
        let mut indices = ImportIndices::default();
        info.imports().iter().map(move |import| {
            let ty = info.extern_type(indices.next(&import.ty));
            ImportType::new(&import.module, &import.name, ty)
        })
    }

    /// The exports, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> {
        let info = &self.inner.info;
        info.exports().map(|export| ExportType::new(export.name, info.extern_type(export.index)))
    }

    /// The type of what is exported under a name.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        let index = self.inner.info.export(name)?;
        Some(self.inner.info.extern_type(index))
    }

    /// The custom sections, in order, the name section included.
    pub fn custom_sections(&self) -> impl ExactSizeIterator<Item = CustomSection<'_>> {
        let sections = self.inner.info.custom_sections().iter();
        sections.map(|section| CustomSection {
            name: &section.name,
            data: self.inner.bytes.get(section.range.clone()).unwrap_or_default(),
        })
    }

    /// All functions in the order of their indices, imported ones first.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = ModuleFunction<'_>> {
        (0..self.inner.info.func_count()).map(|index| ModuleFunction { module: self, index })
    }

    /// The types of the exception tags, imported ones first.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = TagType> + '_ {
        let info = &self.inner.info;
        (0..info.tag_count()).map(|tag| TagType::new(info.type_of_tag(TagIdx::new(tag)).clone()))
    }

    /// The name of a function, from the name section.
    pub(crate) fn func_name(&self, index: u32) -> Option<&str> {
        self.inner.info.names(&self.inner.bytes).function(FuncIdx::new(index))
    }

    /// The names that the name section gives to parts of the module, the module itself aside: functions, types, tables,
    /// memories, globals, segments and tags, then locals, labels and fields.
    pub fn names(&self) -> impl Iterator<Item = Name<'_>> {
        self.inner.info.names(&self.inner.bytes).all()
    }

    /// The kind of instances that the module gets where the system does not refuse, for texts.
    pub(crate) fn usual_variant(&self) -> Variant {
        let config = self.inner.engine.config();
        let guarded = config.guarded_memories() && self.inner.info.memories().iter().all(has_guard);
        if guarded { Variant::Guarded } else { Variant::Checked }
    }

    /// The byte offset of a function's body; `None` for an imported function.
    pub(crate) fn func_start(&self, index: u32) -> Option<usize> {
        let func = self.inner.info.defined_func(FuncIdx::new(index))?;
        Some(self.inner.info.body_range(func).start)
    }

    /// The bytecode of a function as text, one line per instruction, for reading only: the form changes with every version.
    /// The function is translated if it was not.
    ///
    /// # Errors
    ///
    /// When the module defines no such function (imported ones have no bytecode), or the function cannot be translated.
    pub fn disassemble(&self, func_index: u32) -> Result<String> {
        let Some(func) = self.inner.info.defined_func(FuncIdx::new(func_index)) else {
            return Err(crate::error::arguments!("the module defines no function {func_index}"));
        };
        let bytecode = self.bytecode(self.usual_variant(), func)?;
        Ok(crescendo_interp::disassemble(bytecode))
    }
}

/// What running needs.
impl Module {
    pub(crate) fn info(&self) -> &ModuleInfo {
        &self.inner.info
    }

    /// The layout of the module's contexts.
    pub(crate) fn offsets(&self) -> &VmOffsets {
        &self.inner.offsets
    }

    pub(crate) fn code(&self) -> &CodeTable {
        &self.inner.code
    }

    /// The module's native code and its instances.
    pub(crate) fn tiering(&self) -> &ModuleTiering {
        &self.inner.tiering
    }

    /// The contexts that dropped instances have left.
    pub(crate) fn contexts(&self) -> &ContextPool {
        &self.inner.contexts
    }

    /// The first contents of the memories of a new instance; none for the first one, since making them takes longer than
    /// copying, and most processes have no second.
    pub(crate) fn images_for_new_instance(&self) -> Option<&ModuleImages> {
        if self.inner.info.data_segments().is_empty() {
            return None;
        }
        let again = self.inner.instantiated.swap(true, Ordering::Relaxed);
        again.then(|| self.inner.images.get_or_init(|| ModuleImages::new(self)))
    }

    /// The first contents of the memories of instances, if they were made.
    pub(crate) fn images(&self) -> Option<&ModuleImages> {
        self.inner.images.get()
    }

    /// A number that no other live module has.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }

    #[cfg(feature = "cranelift")]
    pub(crate) fn downgrade(&self) -> WeakModule {
        WeakModule(Arc::downgrade(&self.inner))
    }

    pub(crate) fn env(&self) -> ModuleEnv<'_> {
        ModuleEnv { info: &self.inner.info, bytes: &self.inner.bytes, offsets: &self.inner.offsets }
    }

    /// The bytecode of a function, translated now if it was not.
    ///
    /// # Errors
    ///
    /// When the body is not valid (with lazy validation) or exceeds a limit of the translator.
    pub(crate) fn bytecode(&self, variant: Variant, func: DefinedFuncIdx) -> Result<&Bytecode> {
        let code = &self.inner.code;
        if let Some(bytecode) = code.get(variant, func) {
            return Ok(bytecode);
        }
        if !code.claim(variant, func)
            && let Some(bytecode) = code.wait(variant, func)
        {
            return Ok(bytecode);
        }
        self.translate(variant, func)
    }

    /// Translates a function that was claimed.
    pub(crate) fn translate(&self, variant: Variant, func: DefinedFuncIdx) -> Result<&Bytecode> {
        let code = &self.inner.code;
        let tiered = self.inner.engine.tiering().is_some();
        let options = self.inner.engine.config().translate_options(variant, tiered);
        let result = self.inner.engine.with_scratch(|scratch| {
            self.inner.info.validate_body(&self.inner.bytes, func, &mut scratch.validator)?;
            crescendo_interp::translate(&self.env(), func, &options, &mut scratch.arena)
                .map_err(|error| self.translate_error(func, error))
        });
        let bytecode = result.inspect_err(|_| code.give_back(variant, func))?;
        code.insert(variant, func, bytecode).ok_or_else(|| crate::error::bug!("no cell for function {func}"))
    }

    #[cold]
    fn translate_error(&self, func: DefinedFuncIdx, error: TranslateError) -> Error {
        let index = self.inner.info.func_idx(func);
        let offset = self.inner.info.body_range(func).start;
        match error {
            TranslateError::Invalid { .. } => crate::error::bug!("function {index}: {error}"),
            error => limit!("function {index}: {error} (body at offset {offset:#x})"),
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.name())
            .field("info", &self.inner.info)
            .finish_non_exhaustive()
    }
}

/// A custom section of a [`Module`].
#[derive(Clone, Copy, Debug)]
pub struct CustomSection<'a> {
    name: &'a str,
    data: &'a [u8],
}

impl<'a> CustomSection<'a> {
    /// The section's name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The section's contents, without the name.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

/// A function of a [`Module`].
#[derive(Clone, Copy, Debug)]
pub struct ModuleFunction<'a> {
    module: &'a Module,
    index: u32,
}

impl<'a> ModuleFunction<'a> {
    /// The function's index.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The function's name, from the name section.
    pub fn name(&self) -> Option<&'a str> {
        self.module.func_name(self.index)
    }

    /// The function's type.
    pub fn ty(&self) -> &'a FuncType {
        self.module.inner.info.type_of_func(FuncIdx::new(self.index))
    }

    /// Where the function's body lies in [`Module::bytes`]; `None` for an imported function.
    pub fn body(&self) -> Option<Range<usize>> {
        let info = &self.module.inner.info;
        Some(info.body_range(info.defined_func(FuncIdx::new(self.index))?))
    }
}

/// Counts imports per index space: the imports of a space have its first indices, in order.
#[derive(Default)]
struct ImportIndices {
    funcs: u32,
    tables: u32,
    memories: u32,
    globals: u32,
    tags: u32,
}

impl ImportIndices {
    /// The index of the next import, which is of this type.
    fn next(&mut self, ty: &EntityType) -> EntityIndex {
        let take = |counter: &mut u32| {
            *counter += 1;
            *counter - 1
        };
        match ty {
            EntityType::Table(_) => EntityIndex::Table(TableIdx::new(take(&mut self.tables))),
            EntityType::Memory(_) => EntityIndex::Memory(MemoryIdx::new(take(&mut self.memories))),
            EntityType::Global(_) => EntityIndex::Global(GlobalIdx::new(take(&mut self.globals))),
            EntityType::Func(_) => EntityIndex::Func(FuncIdx::new(take(&mut self.funcs))),
            EntityType::Tag(_) => EntityIndex::Tag(TagIdx::new(take(&mut self.tags))),
        }
    }
}

/// The bytes in the binary format, if they are in the text format.
#[cfg(feature = "wat")]
fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    if bytes.starts_with(b"\0asm") {
        Ok(Cow::Borrowed(bytes))
    } else {
        wat::parse_bytes(bytes).map_err(Error::host)
    }
}

/// The bytes, which must be in the binary format.
#[cfg(not(feature = "wat"))]
#[expect(clippy::unnecessary_wraps, reason = "the text format, where it is read, can be wrong")]
fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    Ok(Cow::Borrowed(bytes))
}

/// The layout of a module's contexts.
fn layout(info: &ModuleInfo) -> Result<VmOffsets> {
    // Every count is the length of an index space, which `u32` indexes.
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let counts = ContextCounts {
        memories: count(info.memories().len()),
        tables: count(info.tables().len()),
        imported_globals: info.imported_global_count(),
        defined_globals: count(info.global_inits().len()),
        imported_funcs: info.imported_func_count(),
        defined_funcs: info.defined_func_count(),
    };
    VmOffsets::new(counts)
        .ok_or_else(|| limit!("the module's instances would take 2 GiB or more: {counts:?}"))
}
