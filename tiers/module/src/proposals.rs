//! Which proposals a module may use, and which one a refused module needs.
//!
//! wasmparser validates with exactly the features that [`Proposals`] allows. Most of its errors about a missing feature name
//! it; [`crate::probe`] finds the others.

use wasmparser::WasmFeatures;

macro_rules! proposals {
    (
        supported { $($(#[$doc:meta])* $name:ident, $words:literal, $setter:ident, $getter:ident, $flag:ident;)* }
        refused { $($(#[$rdoc:meta])* $rname:ident, $rwords:literal, $rflag:ident;)* }
    ) => {
        /// An extension of WebAssembly 1.0, known by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Proposal {
            $($(#[$doc])* $name,)*
            $($(#[$rdoc])* $rname,)*
        }

        impl Proposal {
            /// The proposals that the engine supports; each can be switched off in [`Proposals`].
            pub const SUPPORTED: &[Proposal] = &[$(Proposal::$name),*];
            /// The supported proposals that are forbidden until the embedder allows them: no version of the standard has them.
            pub const OFF_AT_FIRST: &[Proposal] = &[Proposal::WideArithmetic, Proposal::CustomPageSizes, Proposal::LegacyExceptions];
            /// The proposals that are recognised and refused.
            pub const REFUSED: &[Proposal] = &[$(Proposal::$rname),*];

            /// The name in words, as in "the SIMD proposal".
            pub fn name(self) -> &'static str {
                match self {
                    $(Proposal::$name => $words,)*
                    $(Proposal::$rname => $rwords,)*
                }
            }

            /// Whether the engine supports it.
            pub fn is_supported(self) -> bool {
                Proposal::SUPPORTED.contains(&self)
            }

            pub(crate) fn feature(self) -> WasmFeatures {
                match self {
                    $(Proposal::$name => WasmFeatures::$flag,)*
                    $(Proposal::$rname => WasmFeatures::$rflag,)*
                }
            }
        }

        impl Proposals {
            $(
                #[doc = concat!("Allows or forbids the ", $words, " proposal.")]
                pub fn $setter(&mut self, allow: bool) -> &mut Proposals {
                    self.set(Proposal::$name, allow)
                }

                #[doc = concat!("Whether the ", $words, " proposal is allowed.")]
                pub fn $getter(&self) -> bool {
                    self.allows(Proposal::$name)
                }
            )*
        }
    };
}

proposals! {
    supported {
        /// Import and export of mutable globals.
        MutableGlobal, "mutable globals", wasm_mutable_global, mutable_global, MUTABLE_GLOBAL;
        /// `i32.extend8_s` and its like.
        SignExtension, "sign extension", wasm_sign_extension, sign_extension, SIGN_EXTENSION;
        /// `i32.trunc_sat_f32_s` and its like.
        SaturatingFloatToInt, "saturating float to int", wasm_saturating_float_to_int, saturating_float_to_int, SATURATING_FLOAT_TO_INT;
        /// Functions and blocks with several results, blocks with parameters.
        MultiValue, "multi-value", wasm_multi_value, multi_value, MULTI_VALUE;
        /// `memory.copy` and its like, passive segments.
        BulkMemory, "bulk memory", wasm_bulk_memory, bulk_memory, BULK_MEMORY;
        /// `externref`, several tables, `table.get` and its like.
        ReferenceTypes, "reference types", wasm_reference_types, reference_types, REFERENCE_TYPES;
        /// `return_call` and its like.
        TailCall, "tail call", wasm_tail_call, tail_call, TAIL_CALL;
        /// Addition, subtraction and multiplication in constant expressions.
        ExtendedConst, "extended const", wasm_extended_const, extended_const, EXTENDED_CONST;
        /// Several linear memories.
        MultiMemory, "multi-memory", wasm_multi_memory, multi_memory, MULTI_MEMORY;
        /// Memories and tables with 64-bit indices.
        Memory64, "memory64", wasm_memory64, memory64, MEMORY64;
        /// `(ref $type)`, `call_ref` and its like.
        FunctionReferences, "typed function references", wasm_function_references, function_references, FUNCTION_REFERENCES;
        /// `v128` and its operators.
        Simd, "SIMD", wasm_simd, simd, SIMD;
        /// Vector operators whose results may differ.
        RelaxedSimd, "relaxed SIMD", wasm_relaxed_simd, relaxed_simd, RELAXED_SIMD;
        /// `i64.add128` and its like.
        WideArithmetic, "wide arithmetic", wasm_wide_arithmetic, wide_arithmetic, WIDE_ARITHMETIC;
        /// Memories with pages of one byte.
        CustomPageSizes, "custom page sizes", wasm_custom_page_sizes, custom_page_sizes, CUSTOM_PAGE_SIZES;
        /// Shared memories and atomic operators.
        Threads, "threads", wasm_threads, threads, THREADS;
        /// Tags, `throw` and `try_table`.
        Exceptions, "exception handling", wasm_exceptions, exceptions, EXCEPTIONS;
        /// `try` and `catch`, which `try_table` replaces. Forbidden at first.
        LegacyExceptions, "legacy exception handling", wasm_legacy_exceptions, legacy_exceptions, LEGACY_EXCEPTIONS;
    }
    refused {
        /// Structures, arrays, recursive types.
        Gc, "GC", GC;
        /// Continuations.
        StackSwitching, "stack switching", STACK_SWITCHING;
        /// `memory.discard`.
        MemoryControl, "memory control", MEMORY_CONTROL;
        /// Shared tables, globals and references.
        SharedEverythingThreads, "shared-everything threads", SHARED_EVERYTHING_THREADS;
        /// Atomic operators with acquire and release order.
        AcquireReleaseAtomics, "acquire-release atomics", ACQUIRE_RELEASE_ATOMICS;
        /// Structure types described by values.
        CustomDescriptors, "custom descriptors", CUSTOM_DESCRIPTORS;
        /// Import sections that group by module name.
        CompactImports, "compact import section", COMPACT_IMPORTS;
        /// Loads and stores of several bytes of an array.
        MultibyteArrayAccess, "multibyte array access", MULTIBYTE_ARRAY_ACCESS;
        /// Components instead of modules.
        ComponentModel, "component model", COMPONENT_MODEL;
    }
}

impl Proposal {
    /// The proposal that one of wasmparser's features belongs to.
    pub(crate) fn of_feature(feature: WasmFeatures) -> Option<Proposal> {
        let all = Proposal::SUPPORTED.iter().chain(Proposal::REFUSED).copied();
        // wasmparser splits two proposals into parts; a part is contained in its proposal's flags.
        all.into_iter().find(|proposal| proposal.feature().contains(feature))
    }

    /// Why a module that uses the proposal is refused.
    pub(crate) fn refusal(self) -> String {
        let reason = if self.is_supported() { "switched off" } else { "not supported" };
        format!("the {} proposal is {reason}", self.name())
    }
}

/// The proposals that modules may use. All that the engine supports are allowed at first, but for [`Proposal::OFF_AT_FIRST`].
///
/// # Examples
///
/// ```
/// let mut proposals = crescendo_module::Proposals::default();
/// proposals.wasm_tail_call(false).wasm_memory64(false);
/// assert!(!proposals.tail_call() && proposals.multi_value());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposals {
    features: WasmFeatures,
}

impl Proposals {
    /// WebAssembly 1.0 without mutable globals in imports and exports.
    pub fn none() -> Proposals {
        Proposals { features: WasmFeatures::MVP }
    }

    /// Allows or forbids a proposal. One that the engine does not support stays forbidden.
    pub fn set(&mut self, proposal: Proposal, allow: bool) -> &mut Proposals {
        if proposal.is_supported() {
            self.features.set(proposal.feature(), allow);
        }
        self
    }

    /// Whether a proposal is allowed.
    pub fn allows(&self, proposal: Proposal) -> bool {
        self.features.contains(proposal.feature())
    }

    pub(crate) fn features(&self) -> WasmFeatures {
        self.features
    }
}

impl Default for Proposals {
    fn default() -> Proposals {
        let mut proposals = Proposals::none();
        for &proposal in Proposal::SUPPORTED {
            proposals.set(proposal, !Proposal::OFF_AT_FIRST.contains(&proposal));
        }
        proposals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_supported_proposal_can_be_switched() {
        for &proposal in Proposal::SUPPORTED {
            let mut proposals = Proposals::default();
            assert_eq!(proposals.allows(proposal), !Proposal::OFF_AT_FIRST.contains(&proposal));
            assert!(proposals.set(proposal, true).allows(proposal));
            assert!(!proposals.set(proposal, false).allows(proposal));
            let others = Proposal::SUPPORTED.iter().filter(|other| **other != proposal);
            assert!(
                others
                    .into_iter()
                    .all(|other| proposals.allows(*other) == Proposals::default().allows(*other)),
                "{proposal:?}"
            );
        }
    }

    #[test]
    fn unsupported_proposals_stay_forbidden() {
        for &proposal in Proposal::REFUSED {
            assert!(!Proposals::default().set(proposal, true).allows(proposal));
        }
    }

    #[test]
    fn parts_of_proposals_belong_to_them() {
        assert_eq!(Proposal::of_feature(WasmFeatures::BULK_MEMORY_OPT), Some(Proposal::BulkMemory));
        assert_eq!(
            Proposal::of_feature(WasmFeatures::CALL_INDIRECT_OVERLONG),
            Some(Proposal::ReferenceTypes)
        );
        assert_eq!(Proposal::of_feature(WasmFeatures::SIMD), Some(Proposal::Simd));
    }
}
