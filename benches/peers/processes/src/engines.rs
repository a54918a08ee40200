//! The engines as command lines: [`Engine`] finds the program and says how it is called.
//!
//! Validation and security settings are those of each command line by default; the only settings that are made are which compiler
//! Wasmtime uses, whether it may use its cache, and whether this engine compiles.

use crescendo_processes::{Result, checksum, machine, root};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An engine, with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This one.
    Crescendo,
    /// Wasmtime with Cranelift, nothing cached.
    Wasmtime,
    /// Wasmtime with its baseline compiler, nothing cached.
    Winch,
    /// Wasmi.
    Wasmi,
    /// Wasmtime with Cranelift, the module in its cache.
    Cached,
    /// node, with its own WASI.
    Node,
    /// This one, compiling nothing.
    Interpreter,
}

impl Kind {
    /// All of them, in the order of tables: this one, then those it is compared with, then the others.
    pub const ALL: [Kind; 7] = [
        Kind::Crescendo,
        Kind::Wasmtime,
        Kind::Winch,
        Kind::Wasmi,
        Kind::Cached,
        Kind::Node,
        Kind::Interpreter,
    ];

    /// The name in options and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Crescendo => "crescendo",
            Kind::Wasmtime => "wasmtime",
            Kind::Winch => "winch",
            Kind::Wasmi => "wasmi",
            Kind::Cached => "wasmtime-cached",
            Kind::Node => "node",
            Kind::Interpreter => "interpreter",
        }
    }

    /// The name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Wasmtime => "wasmtime cold",
            Kind::Winch => "Winch cold",
            Kind::Cached => "wasmtime cached",
            Kind::Interpreter => "crescendo interpreting",
            _ => self.name(),
        }
    }

    /// Whether it is this engine.
    pub fn is_own(self) -> bool {
        matches!(self, Kind::Crescendo | Kind::Interpreter)
    }

    /// Whether it is one of those whose best counts.
    pub fn is_rival(self) -> bool {
        matches!(self, Kind::Wasmtime | Kind::Winch | Kind::Wasmi)
    }

    /// Whether it is neither what is compared nor a rival: it is shown beside.
    pub fn is_beside(self) -> bool {
        self != Kind::Crescendo && !self.is_rival()
    }

    /// The program whose command line it is, by the name of its option.
    pub fn program(self) -> &'static str {
        match self {
            Kind::Winch | Kind::Cached => "wasmtime",
            Kind::Interpreter => "crescendo",
            _ => self.name(),
        }
    }
}

/// An engine that was found.
pub struct Engine {
    /// Which one.
    pub kind: Kind,
    /// What it says of its version.
    pub version: String,
    program: PathBuf,
}

/// How a module is started, by paths from the folder that the process runs in.
pub struct Start<'a> {
    /// The module's file.
    pub module: &'a str,
    /// The argument of `run`; a WASI program without.
    pub argument: Option<i64>,
    /// The arguments of a program.
    pub args: &'a [String],
    /// The folders that it sees under `/` and their own names.
    pub folders: Vec<&'a str>,
}

impl Engine {
    /// Finds an engine: `given` by an option, or else in `target/release` if it is this one, or else on PATH.
    ///
    /// # Errors
    ///
    /// If there is none, or it does not answer `--version`.
    pub fn find(kind: Kind, given: Option<&Path>) -> Result<Engine> {
        let name = kind.program();
        let built = root().join("target/release/crescendo");
        let program = match given {
            Some(path) => std::path::absolute(path)?,
            None if kind.is_own() && built.exists() => built,
            None => PathBuf::from(name),
        };
        let version = machine::first_line(Command::new(&program).arg("--version")).ok_or_else(|| {
            let without = match kind {
                kind if kind.is_own() => String::new(),
                kind => format!(", or leave it out with --without {}", kind.name()),
            };
            format!("{} --version says nothing: give --{name} PATH{without}", program.display())
        })?;
        // Builds of this engine differ more often than their version does.
        let version = match (kind, program.is_absolute()) {
            (kind, true) if kind.is_own() => {
                format!("{version} (sha256 {}…)", &checksum::of_path(&program)?[..12])
            }
            (Kind::Node, _) => format!("node {version}"),
            _ => version,
        };
        Ok(Engine { kind, version, program })
    }

    /// Runs a copy of the program in `folder` from now on, so that all programs lie in the system's memory in the same way: a linker
    /// leaves a new one there in small pieces, and a process of it takes 0.2 ms longer to start than one of a copy. What is no binary
    /// stays where it is.
    ///
    /// # Errors
    ///
    /// Of reading and writing.
    pub fn copy_to(mut self, folder: &Path) -> Result<Engine> {
        let name = self.program.clone();
        let on_path = || {
            std::env::split_paths(&std::env::var_os("PATH")?)
                .map(|dir| dir.join(&name))
                .find(|path| path.is_file())
        };
        let original = if name.is_absolute() { Some(name.clone()) } else { on_path() };
        let Some(original) = original else { return Ok(self) };
        let mut start = [0; 4];
        // What this process has in memory would count as its children's peak: so no program is read as a whole.
        if File::open(&original)?.read(&mut start)? < start.len() || start != *b"\x7fELF" {
            return Ok(self);
        }
        let copy = folder.join(self.kind.program());
        if !copy.exists() {
            std::fs::copy(&original, &copy)?;
        }
        self.program = copy;
        Ok(self)
    }

    /// The command that runs a module. `cache` is the file with the settings of Wasmtime's cache.
    pub fn command(&self, start: &Start<'_>, cache: &Path) -> Command {
        let mut command = Command::new(&self.program);
        match self.kind {
            Kind::Crescendo | Kind::Wasmi => command.arg("run"),
            Kind::Interpreter => command.args(["run", "--tier", "interpreter"]),
            Kind::Wasmtime => command.args(["run", "-C", "cache=n"]),
            Kind::Winch => command.args(["run", "-C", "cache=n", "-C", "compiler=winch"]),
            Kind::Cached => {
                let mut setting = OsString::from("cache-config=");
                setting.push(cache);
                command.args(["run", "-C", "cache=y", "-C"]).arg(setting)
            }
            Kind::Node => command.arg("--no-warnings").arg(root().join("benches/peers/processes/node.mjs")),
        };
        for folder in &start.folders {
            // Wasmi gives a folder its own name; programs find `/name` in it all the same.
            let mapping =
                if self.kind == Kind::Wasmi { folder.to_string() } else { format!("{folder}::/{folder}") };
            command.arg("--dir").arg(mapping);
        }
        if start.argument.is_some() {
            command.args(["--invoke", "run"]);
        }
        command.arg(start.module).args(start.argument.map(|argument| argument.to_string())).args(start.args);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(kind: Kind, start: &Start<'_>) -> String {
        let engine = Engine { kind, version: String::new(), program: PathBuf::from("program") };
        let command = engine.command(start, Path::new("cache.toml"));
        let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
        args.filter(|arg| !arg.ends_with(".mjs")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn command_lines() {
        let args = ["-x".to_string()];
        let program = Start { module: "m.wasm", argument: None, args: &args, folders: vec!["work"] };
        let kernel = Start { module: "m.wasm", argument: Some(7), args: &[], folders: Vec::new() };
        for (kind, expected) in [
            (Kind::Crescendo, "run --dir work::/work m.wasm -x"),
            (Kind::Wasmtime, "run -C cache=n --dir work::/work m.wasm -x"),
            (Kind::Winch, "run -C cache=n -C compiler=winch --dir work::/work m.wasm -x"),
            (Kind::Wasmi, "run --dir work m.wasm -x"),
            (Kind::Cached, "run -C cache=y -C cache-config=cache.toml --dir work::/work m.wasm -x"),
            (Kind::Node, "--no-warnings --dir work::/work m.wasm -x"),
            (Kind::Interpreter, "run --tier interpreter --dir work::/work m.wasm -x"),
        ] {
            assert_eq!(words(kind, &program), expected);
        }
        assert_eq!(words(Kind::Wasmi, &kernel), "run --invoke run m.wasm 7");
    }

    #[test]
    fn programs_are_copied_and_scripts_are_not() {
        let folder = std::env::temp_dir().join(format!("crescendo-programs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        let (script, own) = (folder.join("script"), std::env::current_exe().expect("this program"));
        std::fs::write(&script, "#!/bin/sh\n").expect("a file");
        let copied = |kind, program| {
            let engine = Engine { kind, version: String::new(), program };
            engine.copy_to(&folder).expect("a copy").program
        };
        assert_eq!(copied(Kind::Wasmi, script.clone()), script);
        let copy = copied(Kind::Winch, own.clone());
        assert_eq!(copy, folder.join("wasmtime"));
        assert_eq!(std::fs::read(&copy).expect("the copy"), std::fs::read(&own).expect("this program"));
        assert_eq!(copied(Kind::Node, "sh".into()), folder.join("node"), "found on PATH");
        let status =
            Command::new(folder.join("node")).args(["-c", "exit 3"]).status().expect("a program that runs");
        assert_eq!(status.code(), Some(3));
        std::fs::remove_dir_all(&folder).expect("the folder made above");
    }

    #[test]
    fn a_missing_engine_is_an_error() {
        let found = Engine::find(Kind::Wasmi, Some(Path::new("/nowhere/wasmi")));
        let message = found.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("--without wasmi"), "{message}");
    }
}
