//! SHA-256 of files, folders and texts, as 64 hexadecimal digits.
//!
//! Files are read in pieces: the peak memory of a child process is at least that of its parent when it was started, so that the
//! harness must stay small.

use crate::Result;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are read at a time.
const PIECE: usize = 1 << 16;

/// The checksum of bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The checksum of a file, or of a folder: that of the lines `sha256sum` prints for its files, sorted by path.
///
/// A folder's is what `find . -type f | sed 's|^\./||' | LC_ALL=C sort | xargs sha256sum | sha256sum` prints in it.
///
/// # Errors
///
/// Of reading, with the path.
pub fn of_path(path: &Path) -> Result<String> {
    let within = |error: std::io::Error| format!("{}: {error}", path.display());
    if !path.is_dir() {
        return of_file(path);
    }
    let (mut files, mut folders) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().map_err(within)? {
            let entry = entry.map_err(within)?;
            if entry.file_type().map_err(within)?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    let mut named: Vec<(String, PathBuf)> = Vec::new();
    for file in files {
        let name =
            file.strip_prefix(path)?.to_str().ok_or_else(|| format!("{}: no UTF-8", file.display()))?;
        named.push((name.to_string(), file));
    }
    named.sort();
    let mut lines = String::new();
    for (name, file) in named {
        writeln!(lines, "{}  {name}", of_file(&file)?)?;
    }
    Ok(of_bytes(lines.as_bytes()))
}

fn of_file(path: &Path) -> Result<String> {
    let within = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = std::fs::File::open(path).map_err(within)?;
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece).map_err(within)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&piece[..count]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_sha256sum() {
        assert_eq!(of_bytes(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of_bytes(b""), empty);
    }

    #[test]
    fn a_folder_has_the_checksum_of_its_list() {
        let folder = std::env::temp_dir().join(format!("crescendo-checksum-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("b")).expect("a folder for temporary files");
        std::fs::write(folder.join("b/c"), "abc").expect("a file");
        std::fs::write(folder.join("a"), "").expect("a file");
        let list = format!("{}  a\n{}  b/c\n", of_bytes(b""), of_bytes(b"abc"));
        let found = of_path(&folder).map_err(|error| error.to_string());
        std::fs::remove_dir_all(&folder).expect("the folder made above");
        assert_eq!(found, Ok(of_bytes(list.as_bytes())));
    }
}
