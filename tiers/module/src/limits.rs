//! How large a module may be.
//!
//! The defaults are those that browsers share (<https://webassembly.github.io/spec/js-api/#limits>), which are also the
//! largest that the validator can handle: a limit set higher counts as the default.

/// Upper bounds for the parts of a module; imported entities count too. A module beyond a limit is refused with an error
/// that names the limit and the value met.
///
/// # Examples
///
/// ```
/// let mut limits = crescendo_module::ModuleLimits::default();
/// limits.functions = 1_000;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleLimits {
    /// Bytes of the whole module. Default 1 GiB; less than 4 GiB in any case.
    pub module_size: u64,
    /// Types in the type section. Default 1,000,000.
    pub types: u32,
    /// Imports. Default 1,000,000.
    pub imports: u32,
    /// Exports. Default 1,000,000.
    pub exports: u32,
    /// Functions. Default 1,000,000.
    pub functions: u32,
    /// Parameters and locals of a function. Default 50,000.
    pub locals: u32,
    /// Bytes of a function body. Default 7,654,321.
    pub function_size: u32,
    /// Tables. Default 100,000.
    pub tables: u32,
    /// Linear memories. Default 100.
    pub memories: u32,
    /// Exception tags. Default 1,000,000.
    pub tags: u32,
    /// Globals. Default 1,000,000.
    pub globals: u32,
    /// Element segments. Default 100,000.
    pub element_segments: u32,
    /// Data segments. Default 100,000.
    pub data_segments: u32,
}

impl ModuleLimits {
    /// The defaults.
    pub const MAX: ModuleLimits = ModuleLimits {
        module_size: 1 << 30,
        types: 1_000_000,
        imports: 1_000_000,
        exports: 1_000_000,
        functions: 1_000_000,
        locals: 50_000,
        function_size: 7_654_321,
        tables: 100_000,
        memories: 100,
        tags: 1_000_000,
        globals: 1_000_000,
        element_segments: 100_000,
        data_segments: 100_000,
    };
}

impl Default for ModuleLimits {
    fn default() -> ModuleLimits {
        ModuleLimits::MAX
    }
}
