//! What the harnesses share: the corpus with its checksums, samples, the machine's description, and plots.
//!
//! | module | what |
//! |---|---|
//! | [`corpus`] | the manifest of `benches/corpus`: every case, its inputs, what must come out |
//! | [`checksum`] | SHA-256 of files and folders |
//! | [`sample`] | repeated measurements, ties, geometric means |
//! | [`machine`] | what the numbers were measured on |
//! | [`envelope`] | time to finish over amount of work: points, tables, CSV |
//! | [`chart`] | a plot with logarithmic axes |
//! | [`svg`] | elements and texts of SVG |

pub mod chart;
pub mod checksum;
pub mod corpus;
pub mod envelope;
pub mod machine;
pub mod sample;
pub mod svg;

use std::path::Path;

/// Errors end the program with their message.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The root of the source tree.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(3).unwrap_or(own)
}
