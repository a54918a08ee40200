//! The bytes of cells while they are written.

use super::{Stop, TranslateError};
use crate::table::Handler;
use crescendo_abi::SLOT_SIZE;

/// A slot's byte offset in a cell takes 16 bits where this is more than its number, otherwise 32 bits.
const NARROW_SLOTS: u32 = (u16::MAX as u32 + 1) / SLOT_SIZE as u32;
/// Byte offsets of slots fit 31 bits.
const MOST_SLOTS: u32 = (i32::MAX as u32 + 1) / SLOT_SIZE as u32;
const _: () = assert!(NARROW_SLOTS.is_power_of_two() && MOST_SLOTS.is_power_of_two());

/// Writes cells one behind the other.
#[derive(Default)]
pub(crate) struct CellWriter {
    bytes: Vec<u8>,
    wide: bool,
    /// All numbers of slots that were written, or'ed: the limits are powers of two.
    slots: u32,
}

impl CellWriter {
    /// Begins the cells of another function, with wide slots or narrow ones.
    pub(crate) fn restart(&mut self, wide: bool) {
        *self = CellWriter { bytes: std::mem::take(&mut self.bytes), wide, slots: 0 };
        self.bytes.clear();
    }

    /// Bytes that are written, which is where the next ones come.
    pub(crate) fn len(&self) -> u32 {
        self.bytes.len() as u32
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Starts the next cell at a multiple of so many bytes.
    pub(crate) fn align(&mut self, bytes: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(bytes), 0);
    }

    /// Begins a cell and says where.
    pub(crate) fn begin(&mut self, handler: Handler) -> u32 {
        let cell = self.len();
        self.u64(handler.address());
        cell
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a slot's byte offset. Whether it fits says [`CellWriter::check`].
    pub(crate) fn slot(&mut self, slot: u32) {
        self.slots |= slot;
        let bytes = slot.wrapping_mul(SLOT_SIZE as u32);
        if self.wide {
            self.u32(bytes);
        } else {
            self.bytes.extend_from_slice(&(bytes as u16).to_le_bytes());
        }
    }

    /// Replaces bytes.
    pub(crate) fn patch(&mut self, at: u32, bytes: &[u8]) {
        self.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    /// Whether all slots that were written are where they should be.
    ///
    /// # Errors
    /// When one does not fit.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        match self.slots {
            0..NARROW_SLOTS => Ok(()),
            slots if slots >= MOST_SLOTS => {
                Err(TranslateError::FrameTooLarge { slots: u64::from(slots) }.into())
            }
            _ if self.wide => Ok(()),
            _ => Err(Stop::NeedsWide),
        }
    }
}
