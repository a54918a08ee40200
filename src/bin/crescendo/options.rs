//! The arguments of the command line, and the configuration that they ask for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use crescendo::{Config, Engine, Proposal, Result, Tiering, TieringMode, Validation};

/// A WebAssembly engine that starts every function at once.
#[derive(Parser)]
#[command(name = "crescendo", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

// The arguments of commands that are not called are not made: a process would take 0.04 ms longer to start.
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Run a WASI program, or one function of a module.
    Run(Run),
    /// Check that a module is valid; says nothing if it is.
    Validate(Validate),
    /// Run scripts of the specification's test suite.
    Wast(Wast),
    /// Show a module's imports, exports, sections and sizes.
    Inspect(Inspect),
    /// Show the bytecode of a module's functions.
    Disas(Disas),
    /// Show what the compiler makes of a function.
    Compile(Compile),
}

#[derive(Args)]
pub(crate) struct Run {
    /// Give the guest a directory, under the name GUEST or its own.
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = preopen)]
    pub(crate) dirs: Vec<Preopen>,
    /// Set a variable in the guest's environment, which starts empty.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Call this exported function with ARGS, and print its results one a line.
    #[arg(long, value_name = "NAME")]
    pub(crate) invoke: Option<String>,
    /// Stop the guest after about N operators.
    #[arg(long, value_name = "N")]
    pub(crate) fuel: Option<u64>,
    /// Say on stderr, when the guest has ended, what was compiled.
    #[arg(long)]
    pub(crate) tier_report: bool,
    /// Tell Linux's perf the names of compiled functions.
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) profile: Option<Profile>,
    #[command(flatten)]
    pub(crate) mode: Mode,
    /// The module, binary or text.
    pub(crate) file: PathBuf,
    /// The guest's arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) proposals: Proposals,
    /// The module, binary or text.
    pub(crate) file: PathBuf,
}

#[derive(Args)]
pub(crate) struct Wast {
    /// Skip what needs this proposal instead of failing, for example `SIMD`.
    #[arg(long = "skip", value_name = "PROPOSAL")]
    pub(crate) skip: Vec<String>,
    #[command(flatten)]
    pub(crate) mode: Mode,
    /// The scripts.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Inspect {
    /// List the functions with their sizes, types and names.
    #[arg(long)]
    pub(crate) functions: bool,
    /// The module, binary or text.
    pub(crate) file: PathBuf,
}

#[derive(Args)]
pub(crate) struct Disas {
    #[command(flatten)]
    pub(crate) mode: Mode,
    /// The module, binary or text.
    pub(crate) file: PathBuf,
    /// The function: its index, or its name in the name section. All functions without it.
    pub(crate) func: Option<String>,
}

#[derive(Args)]
pub(crate) struct Compile {
    /// What to show.
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Emit::Asm)]
    pub(crate) emit: Emit,
    /// Check memory accesses explicitly instead of with guard pages.
    #[arg(long)]
    pub(crate) checked: bool,
    #[command(flatten)]
    pub(crate) proposals: Proposals,
    /// The module, binary or text.
    pub(crate) file: PathBuf,
    /// The function: its index, or its name in the name section. All functions without it.
    pub(crate) func: Option<String>,
}

// Which extensions of WebAssembly modules may use. (A documentation comment would become that of the command.)
#[derive(Args)]
pub(crate) struct Proposals {
    /// Let modules use a proposal that is off by default, for example `legacy-exception-handling`.
    #[arg(long, value_name = "PROPOSAL", value_parser = proposal)]
    allow: Vec<Proposal>,
    /// Refuse modules that use a proposal.
    #[arg(long, value_name = "PROPOSAL", value_parser = proposal)]
    forbid: Vec<Proposal>,
}

impl Proposals {
    pub(crate) fn apply(&self, config: &mut Config) {
        for proposal in &self.allow {
            config.wasm_proposal(*proposal, true);
        }
        for proposal in &self.forbid {
            config.wasm_proposal(*proposal, false);
        }
    }
}

/// A proposal's name as one word.
fn word(proposal: Proposal) -> String {
    proposal.name().to_lowercase().replace(' ', "-")
}

fn proposal(text: &str) -> Result<Proposal, String> {
    let wanted = text.to_lowercase().replace(' ', "-");
    let found = Proposal::SUPPORTED.iter().copied().find(|proposal| word(*proposal) == wanted);
    found.ok_or_else(|| {
        let names: Vec<String> = Proposal::SUPPORTED.iter().map(|proposal| word(*proposal)).collect();
        format!("no supported proposal; there are {}", names.join(", "))
    })
}

/// A form of a compiled function.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Emit {
    /// Cranelift's intermediate representation, before it is optimised.
    Clif,
    /// Machine code of this machine.
    Asm,
}

/// How a profiler learns the names of compiled functions.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Profile {
    /// By /tmp/perf-PID.map.
    Perfmap,
    /// By jit-PID.dump in the current directory.
    Jitdump,
}

// How the engine runs guests.
#[derive(Args)]
pub(crate) struct Mode {
    #[command(flatten)]
    pub(crate) proposals: Proposals,
    /// Translate each operator on its own: no superinstructions, no locals in registers.
    #[arg(long)]
    pub(crate) no_fusion: bool,
    /// Check memory accesses explicitly instead of with guard pages.
    #[arg(long)]
    pub(crate) checked: bool,
    /// Validate a function when it is first called instead of beforehand.
    #[arg(long)]
    pub(crate) lazy: bool,
    /// When to compile functions.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Tier::Dynamic)]
    pub(crate) tier: Tier,
    /// Compile a function after this many calls.
    #[arg(long, value_name = "N")]
    pub(crate) tier_calls: Option<u32>,
    /// Let native code take over a loop after this many iterations.
    #[arg(long, value_name = "N")]
    pub(crate) tier_iterations: Option<u32>,
    /// Inline functions with bodies of up to this many bytes; 0 inlines none.
    #[arg(long, value_name = "BYTES")]
    pub(crate) inline: Option<u32>,
}

/// When functions are compiled.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Tier {
    /// Never.
    Interpreter,
    /// All of them before anything runs.
    Eager,
    /// Hot ones, in the background.
    Dynamic,
    /// Hot ones, while the guest waits; the same in each run.
    Synchronous,
}

impl From<Tier> for TieringMode {
    fn from(tier: Tier) -> TieringMode {
        match tier {
            Tier::Interpreter => TieringMode::InterpreterOnly,
            Tier::Eager => TieringMode::Eager,
            Tier::Dynamic => TieringMode::Dynamic,
            Tier::Synchronous => TieringMode::Synchronous,
        }
    }
}

impl Mode {
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new();
        config.fusion(!self.no_fusion).signals_based_traps(!self.checked);
        let mut tiering = Tiering::new(self.tier.into());
        if let Some(calls) = self.tier_calls {
            tiering = tiering.calls(calls);
        }
        if let Some(iterations) = self.tier_iterations {
            tiering = tiering.iterations(iterations);
        }
        if let Some(bytes) = self.inline {
            tiering = tiering.max_inlined_bytes(bytes);
        }
        config.tiering(tiering);
        self.proposals.apply(&mut config);
        if self.lazy {
            config.validation(Validation::Lazy);
        }
        config
    }

    pub(crate) fn engine(&self) -> Result<Engine> {
        Engine::new(&self.config())
    }
}

/// A directory of the host, and the name that the guest knows it by.
#[derive(Clone)]
pub(crate) struct Preopen {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
}

fn preopen(text: &str) -> Result<Preopen, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("expected HOST or HOST::GUEST".to_owned());
    }
    Ok(Preopen { host: host.into(), guest: guest.to_owned() })
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn preopens_split_at_the_double_colon() {
        let table = [("a", "a", "a"), ("a::b", "a", "b"), ("C:/a::/b", "C:/a", "/b"), (".::/", ".", "/")];
        for (text, host, guest) in table {
            let preopen = preopen(text).unwrap();
            assert_eq!((preopen.host.to_str(), &*preopen.guest), (Some(host), guest));
        }
        assert!(preopen("::b").is_err() && preopen("a::").is_err());
    }
}
