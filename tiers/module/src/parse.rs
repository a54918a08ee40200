//! Parsing: bytes in, [`ModuleInfo`] out.
//!
//! Drives wasmparser over the sections. Each is first validated as a whole, then read into the module's information, so that
//! reading may rely on valid contents. Bodies are located on the way and validated after the last section; of all errors
//! the one with the lowest byte offset is reported, whatever thread found it.

use crate::index::{narrow, offset, range, widen};
use crate::info::{Exports, ModuleInfo};
use crate::probe::Fault;
use crate::registry::ModuleTypes;
use crate::validate::{self, LazyBodies};
use crate::{FuncIdx, ModuleError, ModuleLimits, Proposal, Proposals, TypeRegistry};
use std::sync::OnceLock;
use wasmparser::{FunctionBody, Parser, Payload, Validator, ValidatorResources};

/// When function bodies are validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Validation {
    /// While parsing, on several threads when there is much code.
    #[default]
    Eager,
    /// When [`ModuleInfo::validate_body`] is called, which must be before a body is used.
    Lazy,
}

/// What [`parse`] accepts and when it checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleConfig {
    /// The proposals that modules may use. Default: all that are supported.
    pub features: Proposals,
    /// When function bodies are validated. Default: [`Validation::Eager`].
    pub validation: Validation,
    /// How large modules may be.
    pub limits: ModuleLimits,
}

/// Parses and validates a module in the binary format.
///
/// Takes time linear in the size of the module; function bodies are neither copied nor, with [`Validation::Lazy`], read.
///
/// # Errors
/// When the bytes are not a valid module, use a proposal that is not supported or switched off, or exceed a limit. Of several
/// errors the one with the lowest byte offset is reported.
///
/// # Examples
///
/// ```
/// use crescendo_module::{ModuleConfig, TypeRegistry, parse};
///
/// let bytes = b"\0asm\x01\0\0\0";
/// let info = parse(bytes, &ModuleConfig::default(), &TypeRegistry::new())?;
/// assert_eq!(info.func_count(), 0);
/// # Ok::<(), crescendo_module::ModuleError>(())
/// ```
pub fn parse(
    bytes: &[u8],
    config: &ModuleConfig,
    registry: &TypeRegistry,
) -> Result<ModuleInfo, ModuleError> {
    parse_and_copy(bytes, config, registry, |_| {})
}

/// As [`parse`]. Before bodies are located, `copy` is told up to where the bytes are looked at next: a caller that wants a copy makes
/// it piece by piece, and what it has just read is at hand when the parser reads it. Reading 10 MB of code at one place in 340 takes
/// 2.4 ms otherwise, of 5 in all.
///
/// # Errors
/// As for [`parse`].
pub fn parse_and_copy(
    bytes: &[u8],
    config: &ModuleConfig,
    registry: &TypeRegistry,
    mut copy: impl FnMut(usize),
) -> Result<ModuleInfo, ModuleError> {
    // Offsets are kept as `u32`.
    let max_size = config.limits.module_size.min(u64::from(u32::MAX) - 1);
    if bytes.len() as u64 > max_size {
        return Err(ModuleError::limit("bytes in the module", bytes.len() as u64, max_size, 0));
    }
    if let [0, b'a', b's', b'm', _, _, 1, 0, ..] = bytes {
        let kind = crate::ModuleErrorKind::Proposal(Proposal::ComponentModel);
        return Err(ModuleError::new(kind, Proposal::ComponentModel.refusal(), 4));
    }
    let mut loader = Loader::new(config, registry);
    let header = loader.sections(bytes, &mut copy).err();
    copy(bytes.len());
    let Loader { mut info, resources, .. } = loader;
    let body = match (&resources, config.validation) {
        (Some(resources), Validation::Eager) => {
            validate::first_fault(&info, bytes, resources, &config.limits)
        }
        _ => None,
    };
    let (func, fault) = match (body, header) {
        (Some((_, body)), Some(header)) if header.offset() <= body.offset() => (None, header),
        (Some((func, body)), _) => (Some(func), body),
        (None, Some(header)) => (None, header),
        (None, None) => {
            info.lazy = match config.validation {
                Validation::Eager => None,
                Validation::Lazy => resources.map(|resources| LazyBodies::new(resources, &config.limits)),
            };
            return Ok(info);
        }
    };
    Err(info.explain(fault, bytes, func))
}

/// Bytes that are copied at a time: they fit the second cache.
const AHEAD: usize = 64 << 10;

/// The state of parsing. Sections are read in `read.rs`.
pub(crate) struct Loader<'c> {
    pub(crate) config: &'c ModuleConfig,
    pub(crate) validator: Validator,
    pub(crate) info: ModuleInfo,
    /// What body validation needs to know about the module, from the first body on.
    resources: Option<ValidatorResources>,
}

impl<'c> Loader<'c> {
    fn new(config: &'c ModuleConfig, registry: &TypeRegistry) -> Loader<'c> {
        let features = config.features.features();
        let info = ModuleInfo {
            types: ModuleTypes::new(registry),
            imports: Vec::new(),
            exports: Exports::default(),
            funcs: Vec::new(),
            imported_funcs: 0,
            tables: Vec::new(),
            table_inits: Vec::new(),
            memories: Vec::new(),
            imported_memories: 0,
            tags: Vec::new(),
            imported_tags: 0,
            globals: Vec::new(),
            global_inits: Vec::new(),
            elements: Vec::new(),
            data: Vec::new(),
            data_count: None,
            start: None,
            declared_funcs: Vec::new(),
            code: 0..0,
            bodies: Vec::new(),
            custom_sections: Vec::new(),
            name_section: None,
            names: OnceLock::new(),
            hints: OnceLock::new(),
            features,
            lazy: None,
        };
        Loader { config, validator: Validator::new_with_features(features), info, resources: None }
    }

    /// Reads all sections. After an error the information holds what came before it.
    fn sections(&mut self, bytes: &[u8], copy: &mut impl FnMut(usize)) -> Result<(), Fault> {
        let mut parser = Parser::new(0);
        parser.set_features(self.info.features);
        let mut ahead = 0;
        for payload in parser.parse_all(bytes) {
            let payload = payload?;
            if let Payload::CodeSectionEntry(body) = &payload {
                let end = offset(body.range().end);
                if end + AHEAD / 2 > ahead && end < bytes.len() {
                    ahead = end.saturating_add(AHEAD).min(bytes.len());
                    copy(ahead);
                }
            }
            self.payload(payload)?;
        }
        let declared = &mut self.info.declared_funcs;
        declared.sort_unstable();
        declared.dedup();
        Ok(())
    }

    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Fault> {
        match payload {
            Payload::TypeSection(section) => self.types(section),
            Payload::ImportSection(section) => self.imports(section),
            Payload::FunctionSection(section) => self.functions(section),
            Payload::TableSection(section) => self.tables(section),
            Payload::MemorySection(section) => self.memories(section),
            Payload::TagSection(section) => self.tags(section),
            Payload::GlobalSection(section) => self.globals(section),
            Payload::ExportSection(section) => self.exports(section),
            Payload::StartSection { func, range } => {
                self.validator.start_section(func, &range)?;
                self.info.start = Some(FuncIdx::new(func));
                Ok(())
            }
            Payload::ElementSection(section) => self.elements(section),
            Payload::DataCountSection { count, range } => {
                self.check_limit("data segments", count, self.config.limits.data_segments, range.start)?;
                self.validator.data_count_section(count, &range)?;
                self.info.data_count = Some(count);
                Ok(())
            }
            Payload::DataSection(section) => self.data(section),
            Payload::CodeSectionStart { count, unchecked_range, .. } => {
                self.validator.code_section_start(&unchecked_range)?;
                // The parser has found as many entries in the function section.
                self.info.bodies.reserve(widen(count));
                self.info.code = range(unchecked_range);
                Ok(())
            }
            Payload::CodeSectionEntry(body) => self.body(&body),
            Payload::CustomSection(section) => {
                self.custom(&section);
                Ok(())
            }
            // Versions, unknown sections and the end hold nothing for the module's information.
            other => Ok(self.validator.payload(&other).map(|_| ())?),
        }
    }

    /// Locates a body. All bodies share what the validator gives for the first.
    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Fault> {
        let place = body.range();
        let size = place.end - place.start;
        let limit = u64::from(self.config.limits.function_size.min(ModuleLimits::MAX.function_size));
        if size > limit {
            let func = self.info.imported_funcs + narrow(self.info.bodies.len());
            let error = ModuleError::limit("bytes in a function body", size, limit, offset(place.start));
            return Err(error.in_function(FuncIdx::new(func), None).into());
        }
        if self.resources.is_none() {
            self.resources = Some(self.validator.code_section_entry(body)?.resources);
        }
        let place = range(place);
        self.info.bodies.push(narrow(place.start)..narrow(place.end));
        Ok(())
    }

    /// Refuses `count` of `what` beyond the configured limit, or beyond the default, which is the validator's own.
    pub(crate) fn check_limit(&self, what: &str, count: u32, limit: u32, at: u64) -> Result<(), Fault> {
        if count > limit {
            return Err(ModuleError::limit(what, u64::from(count), u64::from(limit), offset(at)).into());
        }
        Ok(())
    }
}
