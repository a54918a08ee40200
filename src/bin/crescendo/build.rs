//! How the command line is linked: statically where that is possible, which makes its process start sooner.
//!
//! Nothing has to be found, mapped and linked then when the process starts: 1.72 ms instead of 2.07 for a module that does nothing (600
//! runs in turns). It is still a position-independent program, at random addresses. rustc does the same with
//! `-C target-feature=+crt-static`, but cargo gives that to all crates or to none, and procedural macros cannot be built with it.
//!
//! rustc asks for the C library and its companions as it does for any program; here `-l` finds a linker script first, which names the
//! archive. Where archives are missing (Fedora has them in `glibc-static`), for other targets, under sanitizers, and with
//! `CRESCENDO_LINK=dynamic` in the environment, the command line is linked as rustc does it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What the standard library is linked with, and the archives that take the places.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("c", &["libc.a", "libgcc_eh.a", "libgcc.a"]),
    ("gcc_s", &["libgcc_eh.a", "libgcc.a"]),
    ("m", &["libm.a"]),
    ("dl", &["libdl.a"]),
    ("pthread", &["libpthread.a"]),
    ("rt", &["librt.a"]),
    ("util", &["libutil.a"]),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CRESCENDO_LINK");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let Some(folder) = variable("OUT_DIR").map(PathBuf::from) else { return };
    if is_wanted() && write_scripts(&folder).is_some() {
        println!("cargo::rustc-link-arg-bin=crescendo=-L{}", folder.display());
        println!("cargo::rustc-link-arg-bin=crescendo=-static-pie");
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Whether the target is one that this was tried on, and nothing is asked for that excludes it.
fn is_wanted() -> bool {
    let is = |name: &str, expected: &str| variable(name).is_some_and(|value| value == expected);
    let features = variable("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    is("TARGET", "x86_64-unknown-linux-gnu")
        && is("HOST", "x86_64-unknown-linux-gnu")
        && !is("CRESCENDO_LINK", "dynamic")
        && variable("CARGO_CFG_SANITIZE").is_none()
        && !features.split(',').any(|feature| feature == "crt-static")
}

/// Writes a script for each library; none if an archive is missing.
fn write_scripts(folder: &Path) -> Option<()> {
    for (library, archives) in LIBRARIES {
        let places = archives.iter().map(|archive| find(archive)).collect::<Option<Vec<_>>>()?;
        let script = format!("GROUP ( \"{}\" )\n", places.join("\" \""));
        fs::write(folder.join(format!("lib{library}.so")), script).ok()?;
    }
    Some(())
}

/// Where the linker's driver finds an archive.
fn find(archive: &str) -> Option<String> {
    let driver = variable("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let output = Command::new(driver).arg(format!("-print-file-name={archive}")).output().ok()?;
    let place = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    // What it does not find it answers as it was asked.
    Path::new(&place).is_absolute().then_some(place)
}
