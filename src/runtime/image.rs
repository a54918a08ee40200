//! What a memory has in it before anything else is written: [`MemoryImage`], made of a module's data segments once and used by
//! all its instances.
//!
//! Only guarded memories have images. They lie in whole pages, in runs. When there is much, large runs are mappings of a file:
//! nothing is copied but the pages that an instance writes to. Otherwise runs are copied into pages that the pool keeps, which is
//! faster than taking faults. Whoever has an image does not look at segments again, so it is exactly what they say.

use super::pool::WARM_MEMORY;
use crescendo_code::{ImageFile, page_size};
use std::ops::Range;

/// Bytes of runs up to which all are copied. To overwrite 64 KiB takes 1.2 µs, 256 KiB 5.5 µs; to give back mapped pages takes
/// 1.3 µs, and 2.4 µs more for each that was written to, which most programs do to some.
const COPIED: usize = 128 << 10;

/// Bytes of a run from which on it is mapped when there is more. A mapping is 3 µs when the image is new to a memory, and then an
/// entry in the kernel's list for as long as it is in there.
const MAPPED: usize = 64 << 10;

/// Runs of an image at most.
const MOST_RUNS: usize = 16;

/// Bytes of zeros that are not worth a new run: the first number with which the runs are not too many.
const GAPS: [usize; 3] = [16 << 10, 256 << 10, 4 << 20];

/// Bytes of runs for a byte of segments, at most. The zeros between segments take memory too where runs are mapped.
const MOST_SPARSE: usize = 4;

/// The first contents of a memory; elsewhere it is zero.
#[derive(Debug)]
pub(crate) struct MemoryImage {
    /// By address, without overlaps.
    runs: Vec<Run>,
    /// What is mapped.
    file: Option<ImageFile>,
}

#[derive(Debug)]
struct Run {
    /// Bytes of the memory, whole pages.
    range: Range<usize>,
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    Copied(Box<[u8]>),
    /// The file's bytes from here on.
    Mapped(usize),
}

/// A part of a [`MemoryImage`].
pub(super) enum ImageRun<'a> {
    /// These bytes are to be copied.
    Copied(&'a [u8]),
    /// The file's bytes from an offset on are to be mapped.
    Mapped(&'a ImageFile, usize),
}

impl MemoryImage {
    /// The image that is left by writing `segments`, their first addresses and bytes, in this order; none when copying the
    /// segments is better, because they are few bytes or far apart, or when the system has no file for it.
    pub(crate) fn new(segments: &[(usize, &[u8])]) -> Option<MemoryImage> {
        let touched = touched_pages(segments);
        if touched.iter().all(|range| range.end <= WARM_MEMORY) {
            return None;
        }
        let data: usize = segments.iter().map(|(_, bytes)| bytes.len()).sum();
        let (ranges, total) = GAPS.iter().find_map(|gap| {
            let ranges = runs(&touched, *gap);
            let total: usize = ranges.iter().map(Range::len).sum();
            let copied: usize = ranges.iter().map(Range::len).filter(|len| *len < MAPPED).sum();
            let dense = total <= data.saturating_mul(MOST_SPARSE) + COPIED;
            (ranges.len() <= MOST_RUNS && copied <= COPIED && dense).then_some((ranges, total))
        })?;
        let (mut runs, mut mapped, mut parts) = (Vec::with_capacity(ranges.len()), 0, Vec::new());
        for range in ranges {
            // A segment lies in one run or outside.
            let inside = segments.iter().filter(|(at, bytes)| !bytes.is_empty() && range.contains(at));
            let inside = inside.map(|(at, bytes)| (at - range.start, *bytes));
            let contents = if total > COPIED && range.len() >= MAPPED {
                parts.extend(inside.map(|(at, bytes)| (mapped + at, bytes)));
                let offset = mapped;
                mapped += range.len();
                Contents::Mapped(offset)
            } else {
                let mut copied = vec![0; range.len()].into_boxed_slice();
                inside.for_each(|(at, bytes)| copied[at..at + bytes.len()].copy_from_slice(bytes));
                Contents::Copied(copied)
            };
            runs.push(Run { range, contents });
        }
        let file = if mapped == 0 { None } else { Some(ImageFile::new(mapped, parts).ok()?) };
        Some(MemoryImage { runs, file })
    }

    /// The runs by address, with what is to be done for each.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Range<usize>, ImageRun<'_>)> {
        self.runs.iter().filter_map(|run| {
            let contents = match &run.contents {
                Contents::Copied(bytes) => ImageRun::Copied(bytes),
                Contents::Mapped(offset) => ImageRun::Mapped(self.file.as_ref()?, *offset),
            };
            Some((run.range.clone(), contents))
        })
    }
}

/// The pages that each segment touches, by address.
fn touched_pages(segments: &[(usize, &[u8])]) -> Vec<Range<usize>> {
    let page = page_size();
    let mut touched: Vec<Range<usize>> = segments
        .iter()
        .filter(|(_, bytes)| !bytes.is_empty())
        .map(|(start, bytes)| start / page * page..(start + bytes.len()).next_multiple_of(page))
        .collect();
    touched.sort_unstable_by_key(|range| range.start);
    touched
}

/// Ranges by address as runs that are more than `gap` apart.
fn runs(touched: &[Range<usize>], gap: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for range in touched {
        match runs.last_mut() {
            Some(last) if range.start <= last.end + gap => last.end = last.end.max(range.end),
            _ => runs.push(range.clone()),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an image says that a memory of this size has in it.
    fn contents(image: &MemoryImage, len: usize) -> Vec<u8> {
        let mut memory = vec![0; len];
        for (range, run) in image.runs() {
            match run {
                ImageRun::Copied(bytes) => memory[range].copy_from_slice(bytes),
                ImageRun::Mapped(file, offset) => {
                    let mut reservation = crescendo_code::Reservation::reserve(range.len()).unwrap();
                    reservation.map_image(0..range.len(), file, offset).unwrap();
                    // SAFETY: so many bytes are accessible.
                    let bytes = unsafe { std::slice::from_raw_parts(reservation.base(), range.len()) };
                    memory[range].copy_from_slice(bytes);
                }
            }
        }
        memory
    }

    #[test]
    fn images_are_what_writing_the_segments_in_order_leaves() {
        let len = 4 << 20;
        let (large, small) = (vec![1; 700_001], [2; 5000]);
        let many: Vec<(usize, &[u8])> = (0..40).map(|n| (100_000 + n * 36_000, &large[..12_000])).collect();
        let cases: [&[(usize, &[u8])]; 8] = [
            &many,
            &[(1 << 20, &small), ((1 << 20) + 4999, &[3, 4])],
            &[(70_000, &large), (70_500, &small), (0, &[9]), (71_000, &[5, 0, 6])],
            &[(2 << 20, &large), (10, &large), (2 << 20, &small), (len - 1, &[7])],
            &[(len - small.len(), &small), (5, &[]), (len, &[])],
            &[(1_048_575, &[8, 8]), (1_048_576, &[9]), (3 << 20, &large)],
            &[(100_000, &large), (100_000, &large[..700_000]), (800_002, &small)],
            &[(64 << 10, &[1]), (68 << 10, &[2]), (200 << 10, &[3]), (3 << 20, &[4])],
        ];
        for (number, segments) in cases.into_iter().enumerate() {
            let image = MemoryImage::new(segments).unwrap();
            let mut expected = vec![0; len];
            for (start, bytes) in segments {
                expected[*start..][..bytes.len()].copy_from_slice(bytes);
            }
            assert!(contents(&image, len) == expected, "case {number}");
            let ends: Vec<_> = image.runs().flat_map(|(range, _)| [range.start, range.end]).collect();
            assert!(ends.is_sorted() && ends.iter().all(|end| end.is_multiple_of(page_size())));
        }
    }

    #[test]
    fn large_runs_are_mapped_and_few_or_sparse_bytes_have_no_image() {
        let large = vec![1; 1 << 20];
        let image = MemoryImage::new(&[(0, &large), (3 << 20, b"apart")]).unwrap();
        let kinds: Vec<_> =
            image.runs().map(|(range, run)| (range, matches!(run, ImageRun::Mapped(..)))).collect();
        assert_eq!(kinds, [(0..1 << 20, true), (3 << 20..(3 << 20) + page_size(), false)]);
        let far: Vec<(usize, &[u8])> = (1..4000).map(|n| (n << 20, &large[..1])).collect();
        let none: [&[(usize, &[u8])]; 4] = [&[], &[(0, &large[..1 << 16])], &[(1 << 21, &[])], &far];
        assert!(none.iter().all(|segments| MemoryImage::new(segments).is_none()));
    }
}
