//! Flags of loads and stores: what may be assumed of each kind of place.
//!
//! Places of different regions never overlap, so that Cranelift keeps what it knows of one across stores to
//! another. Calls end all such knowledge.

use cranelift_codegen::ir::{AliasRegion, AliasRegionData, Function, MemFlagsData, TrapCode as ClifTrapCode};
use crescendo_abi::TrapCode;
use std::borrow::Cow;

/// A kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// Bytes of any linear memory: two memories of a module may be the same.
    Memory,
    /// Elements of any table.
    Elements,
    /// Bases and sizes of memories and tables, which growing changes.
    Sizes,
    /// Fields of entry records.
    Records,
    /// Fields of the store.
    Store,
    /// Slots of the value stack.
    Slots,
    /// Slots of the native frame.
    Frame,
    /// Values of imported globals: two may be the same.
    ImportedGlobals,
    /// The value of a defined global.
    Global(u32),
}

/// Defined globals with a region of their own; the others share one. Flags are numbered with 16 bits, and a
/// function may name more globals than that.
const OWN_REGIONS: u32 = 1000;
const FIRST_GLOBAL: u32 = 8;

impl Region {
    fn id(self) -> u32 {
        match self {
            Region::Memory => 0,
            Region::Elements => 1,
            Region::Sizes => 2,
            Region::Records => 3,
            Region::Store => 4,
            Region::Slots => 5,
            Region::Frame => 6,
            Region::ImportedGlobals => 7,
            Region::Global(index) => FIRST_GLOBAL + index.min(OWN_REGIONS),
        }
    }

    fn description(self) -> &'static str {
        match self {
            Region::Memory => "memory",
            Region::Elements => "table elements",
            Region::Sizes => "sizes",
            Region::Records => "records",
            Region::Store => "store",
            Region::Slots => "slots",
            Region::Frame => "frame",
            Region::ImportedGlobals => "imported globals",
            Region::Global(_) => "global",
        }
    }
}

/// The region in a function.
fn region_in(func: &mut Function, region: Region) -> AliasRegion {
    let user_id = region.id();
    match func.dfg.alias_regions.get(user_id) {
        Some(region) => region,
        None => {
            let description = Cow::Borrowed(region.description());
            func.dfg.alias_regions.insert(AliasRegionData { user_id, description })
        }
    }
}

/// An access that never faults. Vectors lie in slots, which are aligned to 8 bytes.
pub(crate) fn trusted() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// An access to a field or slot, which never faults.
pub(crate) fn place(func: &mut Function, region: Region) -> MemFlagsData {
    trusted().with_alias_region(Some(region_in(func, region)))
}

/// A load of what never changes and can be read from the function's start on: it may move to anywhere.
pub(crate) fn constant() -> MemFlagsData {
    trusted().with_readonly().with_can_move()
}

/// A load from an entry record that may be null, which then faults as this trap.
pub(crate) fn nullable_record(func: &mut Function, code: TrapCode) -> MemFlagsData {
    let code = crescendo_semantics::lower::clif_trap_code(code);
    place(func, Region::Records).with_trap_code(Some(code))
}

/// An access to linear memory: faults as this trap, or never.
pub(crate) fn memory(func: &mut Function, fault: Option<ClifTrapCode>) -> MemFlagsData {
    MemFlagsData::new().with_trap_code(fault).with_alias_region(Some(region_in(func, Region::Memory)))
}
