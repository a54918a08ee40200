//! Where processes run: [`Stage`] is a folder of its own, in which modules stand in the binary format and programs find their folders.
//!
//! Invariant: what a run can write is made anew before each run, so that all runs see the same.

use crate::engines::Start;
use crescendo_processes::Result;
use crescendo_processes::corpus::{self, Case, Envelope, Folder, Point};
use std::path::{Path, PathBuf};

/// The folder with the engines' programs; guests' folders have other names.
const PROGRAMS: &str = "engines";

/// A folder that is removed in the end.
pub struct Stage {
    folder: PathBuf,
}

/// A module that stands on the stage, and all that a run of it needs.
pub struct Job {
    /// The name in messages.
    pub name: String,
    module: String,
    argument: Option<i64>,
    args: Vec<String>,
    /// The file on stdin.
    pub stdin: Option<PathBuf>,
    folders: Vec<Folder>,
}

impl Stage {
    /// An empty stage among the system's temporary files.
    ///
    /// # Errors
    ///
    /// Of making it.
    pub fn new() -> Result<Stage> {
        let folder = std::env::temp_dir().join(format!("crescendo-processes-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        std::fs::create_dir_all(folder.join(PROGRAMS))?;
        let cache = folder.join("cache");
        std::fs::write(
            folder.join("cache.toml"),
            format!("[cache]\ndirectory = {:?}\n", cache.display().to_string()),
        )?;
        Ok(Stage { folder })
    }

    /// Where copies of the engines' programs stand.
    pub fn programs(&self) -> PathBuf {
        self.folder.join(PROGRAMS)
    }

    /// Where processes run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The settings of Wasmtime's cache, which lies on the stage too.
    pub fn cache_settings(&self) -> PathBuf {
        self.folder.join("cache.toml")
    }

    /// Puts a case on the stage.
    ///
    /// # Errors
    ///
    /// Of reading and writing.
    pub fn case(&self, case: &Case) -> Result<Job> {
        Ok(Job {
            name: case.name.clone(),
            module: self.put_module(&case.module)?,
            argument: case.argument,
            args: case.args.clone(),
            stdin: case.stdin.as_deref().map(corpus::path),
            folders: case.folders.clone(),
        })
    }

    /// Puts a point of an envelope on the stage.
    ///
    /// # Errors
    ///
    /// As for [`Stage::case`].
    pub fn point(&self, envelope: &Envelope, point: Point) -> Result<Job> {
        let text = envelope.stdin(point.argument)?;
        let stdin = text.as_ref().map(|_| self.folder.join("stdin"));
        if let (Some(path), Some(text)) = (&stdin, &text) {
            std::fs::write(path, text)?;
        }
        Ok(Job {
            name: format!("{} {}", envelope.name, point.argument),
            module: self.put_module(&envelope.module)?,
            argument: text.is_none().then_some(point.argument),
            args: Vec::new(),
            stdin,
            folders: Vec::new(),
        })
    }

    /// Makes a program's folders as they are before a run.
    ///
    /// # Errors
    ///
    /// Of the file system.
    pub fn prepare(&self, job: &Job) -> Result<()> {
        for folder in &job.folders {
            let place = self.folder.join(&folder.name);
            remove(&place)?;
            if let Some(source) = &folder.read {
                std::os::unix::fs::symlink(corpus::path(source).canonicalize()?, &place)?;
                continue;
            }
            std::fs::create_dir(&place)?;
            for file in &folder.files {
                let source = corpus::path(file);
                let name = source.file_name().ok_or_else(|| format!("{file}: no name"))?;
                std::fs::copy(&source, place.join(name))?;
            }
        }
        Ok(())
    }

    /// What a run wrote to a file of the stage.
    ///
    /// # Errors
    ///
    /// Of reading, with the name.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        std::fs::read(self.folder.join(name)).map_err(|error| format!("{name}: {error}").into())
    }

    /// Text modules are made binary; binary ones stay where they are, which for one of 69 MB saves the copy.
    fn put_module(&self, module: &str) -> Result<String> {
        let source = corpus::path(module);
        let place = if source.extension().is_some_and(|extension| extension == "wasm") {
            source.canonicalize()?
        } else {
            let place = self.folder.join("module.wasm");
            std::fs::write(&place, corpus::binary(module)?)?;
            place
        };
        place.into_os_string().into_string().map_err(|path| format!("{}: no UTF-8", path.display()).into())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A folder that stays behind among temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Job {
    /// How engines start it.
    pub fn start(&self) -> Start<'_> {
        Start {
            module: &self.module,
            argument: self.argument,
            args: &self.args,
            folders: self.folders.iter().map(|folder| folder.name.as_str()).collect(),
        }
    }
}

/// Removes a folder with what is in it, or a link to one.
fn remove(place: &Path) -> Result<()> {
    match place.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(found) if found.is_symlink() => Ok(std::fs::remove_file(place)?),
        Ok(_) => Ok(std::fs::remove_dir_all(place)?),
    }
}
