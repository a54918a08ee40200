//! Where a module's bytes lie: [`ModuleBytes`], and how a copy of them is made, piece by piece: [`Copying`].

use crate::error::Result;
use memmap2::{Advice, Mmap, MmapMut};
use std::ops::Deref;

/// Bytes from which on a copy has pages of its own, huge ones where the system has them. Of the 60 ms that 69 MB took to load, 30
/// were the faults of small pages.
const LARGE: usize = 4 << 20;

/// A module's bytes.
pub(crate) enum ModuleBytes {
    Owned(Vec<u8>),
    Mapped(Mmap),
}

impl Deref for ModuleBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            ModuleBytes::Owned(bytes) => bytes,
            ModuleBytes::Mapped(bytes) => bytes,
        }
    }
}

/// A copy of bytes that is made from the start on.
pub(crate) struct Copying<'a> {
    from: &'a [u8],
    done: usize,
    to: Target,
}

enum Target {
    Owned(Vec<u8>),
    Mapped(MmapMut),
}

impl<'a> Copying<'a> {
    pub(crate) fn new(from: &'a [u8]) -> Copying<'a> {
        let mapped = if from.len() >= LARGE { MmapMut::map_anon(from.len()).ok() } else { None };
        let to = match mapped {
            Some(mapped) => {
                // Without huge pages it is only slower.
                let _ = mapped.advise(Advice::HugePage);
                Target::Mapped(mapped)
            }
            None => Target::Owned(Vec::with_capacity(from.len())),
        };
        Copying { from, done: 0, to }
    }

    /// Copies what is in front of `end` and was not copied yet.
    pub(crate) fn up_to(&mut self, end: usize) {
        let Some(piece) = self.from.get(self.done..end) else { return };
        match &mut self.to {
            Target::Owned(bytes) => bytes.extend_from_slice(piece),
            Target::Mapped(bytes) => bytes[self.done..end].copy_from_slice(piece),
        }
        self.done = end;
    }

    /// The whole copy.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub(crate) fn finish(mut self) -> Result<ModuleBytes> {
        self.up_to(self.from.len());
        Ok(match self.to {
            Target::Owned(bytes) => ModuleBytes::Owned(bytes),
            Target::Mapped(bytes) => ModuleBytes::Mapped(bytes.make_read_only()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Copying, LARGE, ModuleBytes};

    #[test]
    fn copies_in_pieces_are_copies() {
        for len in [0, 1, 1000, LARGE - 1, LARGE, LARGE + 4097] {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + at / 300) as u8).collect();
            let mut copying = Copying::new(&bytes);
            [10, 5, len / 2, len / 2, len + 1].into_iter().for_each(|end| copying.up_to(end));
            let copy = copying.finish().unwrap();
            assert!(copy[..] == bytes[..], "{len}");
            assert_eq!(matches!(copy, ModuleBytes::Mapped(_)), len >= LARGE);
        }
    }
}
