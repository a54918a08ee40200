//! Which data segments of a module are parts of images, and the images: [`ModuleImages`].
//!
//! Active segments in front of all that may trap or whose offset is not known yet are parts of the images of the memories that
//! they are for. The rest is copied at each instantiation, as it is where a memory cannot have an image, so that order and
//! partial effects are those of copying all.

use crate::Module;
use crate::runtime::{MemoryImage, has_guard};
use crescendo_module::{ConstExpr, ConstOp, DataMode, MemoryIdx};
use std::sync::Arc;

/// The first contents of the memories that a module defines.
pub(crate) struct ModuleImages {
    /// How many segments, from the first on, are parts of images or passive.
    segments: usize,
    /// By [`MemoryIdx`]; no image where a memory cannot have one or where it is not worth it.
    images: Vec<Option<Arc<MemoryImage>>>,
}

impl ModuleImages {
    /// Makes the images of a module; takes about as long as copying its data segments twice.
    pub(crate) fn new(module: &Module) -> ModuleImages {
        let info = module.info();
        let mut segments = 0;
        let mut contents: Vec<Vec<(usize, &[u8])>> = vec![Vec::new(); info.memories().len()];
        for segment in info.data_segments() {
            if let DataMode::Active { memory, offset } = &segment.mode {
                let bytes = module.bytes().get(segment.range.clone()).unwrap_or_default();
                let Some(start) = place(module, *memory, offset, bytes.len()) else { break };
                contents[memory.index()].push((start, bytes));
            }
            segments += 1;
        }
        let guarded = module.engine().config().guarded_memories();
        let images = contents.iter().zip(info.memories()).map(|(contents, ty)| {
            let qualifies = guarded && !ty.shared && has_guard(ty);
            qualifies.then(|| MemoryImage::new(contents)).flatten().map(Arc::new)
        });
        ModuleImages { images: images.collect(), segments }
    }

    /// The image of a memory.
    pub(super) fn of(&self, memory: MemoryIdx) -> Option<&Arc<MemoryImage>> {
        self.images.get(memory.index())?.as_ref()
    }

    /// All images.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<MemoryImage>> {
        self.images.iter().flatten()
    }

    /// How many segments, from the first on, need not be copied to memories that have their image.
    pub(super) fn segments(&self) -> usize {
        self.segments
    }
}

/// Where a segment's bytes go in a memory that the module defines; `None` when that is not known before instantiation, or they
/// do not fit the memory's first size.
fn place(module: &Module, memory: MemoryIdx, offset: &ConstExpr, len: usize) -> Option<usize> {
    let info = module.info();
    if memory.as_u32() < info.imported_memory_count() {
        return None;
    }
    let start = match offset.single()? {
        ConstOp::I32Const(start) => u64::from(start as u32),
        ConstOp::I64Const(start) => start as u64,
        _ => return None,
    };
    let ty = info.memory(memory);
    let end = start.checked_add(len as u64)?;
    (end <= ty.minimum.checked_mul(ty.page_size())?).then_some(())?;
    usize::try_from(start).ok()
}
