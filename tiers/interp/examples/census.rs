//! Chooses superinstructions: `census scalar HANDLERS LENGTH FILE.wasm… > superinstructions.txt`, or `census vector …` for those
//! with a vector operator among them, `> superinstructions-vector.txt`.
//!
//! Counts the micro-operator sequences of the given modules, up to a length, and prints as many as asked for: first the
//! single micro-operators with operands in registers (of vectors two fifths at most), then the sequences that save the most
//! dispatches. The choice is made twice: of four times as many candidates by how often they occur, then by how often the
//! translator would use them.
//!
//! What only one module has says little of others: the module in which a sequence weighs most counts for a fifth.

use crescendo_abi::{ContextCounts, VmOffsets};
use crescendo_interp::{Arena, Census, ModuleEnv, TranslateOptions};
use crescendo_module::{ModuleConfig, ModuleInfo, Proposal, TypeRegistry, parse};
use std::collections::HashMap;
use std::process::ExitCode;

/// Sequences that are rarer than this in all modules together, as a part of all, get no handler.
const RARE: f64 = 2e-7;

struct Module {
    bytes: Vec<u8>,
    info: ModuleInfo,
    offsets: VmOffsets,
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let usage = "census scalar|vector HANDLERS LENGTH FILE.wasm…";
    let of_vectors = match args.next().as_deref() {
        Some("scalar") => false,
        Some("vector") => true,
        _ => return Err(usage.to_string()),
    };
    let mut number = || args.next().and_then(|n| n.parse::<usize>().ok()).ok_or(usage);
    let (handlers, length) = (number()?, number()?);
    let modules = args.map(|path| load(&path)).collect::<Result<Vec<Module>, String>>()?;
    if modules.is_empty() {
        return Err(usage.to_string());
    }
    let mut all = count(&modules, None)?;
    all.retain(|keys, _| keys.iter().any(|key| on_vectors(key)) == of_vectors);
    let (mut singles, mut longer): (Vec<_>, Vec<_>) = all.into_iter().partition(|(keys, _)| keys.len() == 1);
    singles.retain(|(keys, weight)| uses_registers(&keys[0]) && *weight > RARE);
    sort(&mut singles);
    sort(&mut longer);
    if of_vectors {
        // Most scalar ones have a handler by rule, so that their number hardly matters; those of vectors are too many.
        singles.truncate(handlers * 2 / 5);
    }
    longer.retain(|(keys, _)| keys.len() <= length);
    longer.truncate(handlers * 4);
    let candidates: Vec<Vec<String>> = longer.into_iter().map(|(keys, _)| keys).collect();
    let mut used: Vec<_> =
        count(&modules, Some(&candidates))?.into_iter().filter(|(keys, _)| keys.len() > 1).collect();
    used.retain(|(keys, weight)| *weight > RARE && keys.iter().any(|key| on_vectors(key)) == of_vectors);
    sort(&mut used);
    used.truncate(handlers.saturating_sub(singles.len()));
    let kind = if of_vectors { " with vectors" } else { "" };
    println!(
        "# Superinstructions{kind} of the guarded root, made by the census tool (`cargo run --release --example census`)."
    );
    println!(
        "# Of {} handlers, {} are single micro-operators with operands in registers.",
        singles.len() + used.len(),
        singles.len()
    );
    for (keys, _) in singles.iter().chain(&used) {
        println!("{}", keys.join(" "));
    }
    Ok(())
}

/// Whether a key has a register among its operands: the others have handlers anyway.
fn uses_registers(key: &str) -> bool {
    key.split_once('(').is_some_and(|(_, operands)| operands.contains('r'))
}

/// Whether a key is a vector operator's.
fn on_vectors(key: &str) -> bool {
    ["v128.", "i8x16.", "i16x8.", "i32x4.", "i64x2.", "f32x4.", "f64x2."]
        .iter()
        .any(|lanes| key.starts_with(lanes))
}

/// Most saved dispatches first; equal ones in the order of their text, so that the output does not depend on hashing.
fn sort(sequences: &mut [(Vec<String>, f64)]) {
    let saved = |(keys, weight): &(Vec<String>, f64)| weight * (keys.len().max(2) - 1) as f64;
    sequences.sort_by(|a, b| saved(b).total_cmp(&saved(a)).then_with(|| a.0.cmp(&b.0)));
}

fn load(path: &str) -> Result<Module, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let mut config = ModuleConfig::default();
    // Deployed modules have them.
    config.features.set(Proposal::LegacyExceptions, true);
    let info = parse(&bytes, &config, &TypeRegistry::new()).map_err(|error| format!("{path}: {error}"))?;
    let len = |n: usize| n as u32;
    let counts = ContextCounts {
        memories: len(info.memories().len()),
        tables: len(info.tables().len()),
        imported_globals: info.imported_global_count(),
        defined_globals: len(info.globals().len()) - info.imported_global_count(),
        imported_funcs: info.imported_func_count(),
        defined_funcs: info.defined_func_count(),
    };
    let offsets = VmOffsets::new(counts).ok_or_else(|| format!("{path}: too large"))?;
    Ok(Module { bytes, info, offsets })
}

/// How much the module in which a sequence weighs most counts.
const HEAVIEST: f64 = 0.2;

/// The weight of each sequence as a part of its module's, added up over the modules.
fn count(modules: &[Module], handlers: Option<&[Vec<String>]>) -> Result<HashMap<Vec<String>, f64>, String> {
    let mut sums: HashMap<Vec<String>, (f64, f64)> = HashMap::new();
    let mut known = Census::default();
    if handlers.is_some() {
        // The texts of keys mean nothing to a census that has not seen them.
        for module in modules {
            census(module, &mut known)?;
        }
    }
    for module in modules {
        let mut census_of_one = match handlers {
            None => Census::default(),
            Some(handlers) => known.with_handlers(handlers.iter().map(Vec::as_slice)),
        };
        census(module, &mut census_of_one)?;
        let total: f64 =
            census_of_one.sequences().filter(|(keys, _)| keys.len() == 1).map(|(_, weight)| weight).sum();
        for (keys, weight) in census_of_one.sequences() {
            let part = weight / total.max(1.0);
            let (sum, most) = sums.entry(keys).or_default();
            *sum += part;
            *most = most.max(part);
        }
    }
    Ok(sums.into_iter().map(|(keys, (sum, most))| (keys, sum - most * (1.0 - HEAVIEST))).collect())
}

fn census(module: &Module, census: &mut Census) -> Result<(), String> {
    let env = ModuleEnv { info: &module.info, bytes: &module.bytes, offsets: &module.offsets };
    let mut arena = Arena::default();
    for func in module.info.defined_funcs() {
        (census.function(&env, func, &TranslateOptions::default(), &mut arena))
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
