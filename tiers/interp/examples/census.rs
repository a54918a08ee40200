//! Chooses superinstructions: `census scalar HANDLERS LENGTH FILE[=COUNTS]… > superinstructions.txt` (see `superinstructions.sh`), or `census vector …`
//! for those with a vector operator among them, `> superinstructions-vector.txt`.
//!
//! Takes in the micro-operators of the given modules, weighed by loop level, or by how often they ran if there is a file with the counts
//! of a build with the feature `count-regions`, which weighs more. Prints as many handlers as asked for that are there by no rule: those
//! that save the most dispatches. The choice is made twice: of four times as many candidates by how often they occur, then by how often
//! the translator would use them.
//!
//! `census score LIST FILE.wasm[=COUNTS]…` says how many micro-operators a dispatch programs have with a list.
//!
//! What only one module has says little of others: the module in which a sequence weighs most counts for a fifth.

#[path = "../build/forms.rs"]
mod forms;
#[path = "../src/micro.rs"]
#[allow(dead_code, reason = "the crate uses the rest")]
mod micro;
#[path = "../build/sequences.rs"]
mod sequences;

use crate::micro::{Key, Root};
use crescendo_abi::{ContextCounts, VmOffsets};
use crescendo_interp::{Arena, Census, ModuleEnv, Runs, Sequence, TranslateOptions};
use crescendo_module::{ModuleConfig, ModuleInfo, Proposal, TypeRegistry, parse};
use std::collections::{HashMap, HashSet};
use std::process::ExitCode;

/// What saves less than this in all modules together, as a part of all dispatches, gets no handler.
const RARE: f64 = 2e-7;

/// How much the module in which a sequence weighs most counts.
const HEAVIEST: f64 = 0.2;

/// How much a module with counts counts: so much that the programs with counts keep what they had beside five others.
const COUNTED: f64 = 6.0;

/// The part of the list that single micro-operators may take.
const SINGLES: f64 = 0.4;

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
    let usage = "census scalar|vector HANDLERS LENGTH FILE.wasm[=COUNTS]…";
    let of_vectors = match args.next().as_deref() {
        Some("scalar") => false,
        Some("vector") => true,
        Some("score") => return score(args),
        _ => return Err(usage.to_string()),
    };
    let mut number = || args.next().and_then(|n| n.parse::<usize>().ok()).ok_or(usage);
    let (count, length) = (number()?, number()?);
    let programs = args.map(|arg| program(&arg)).collect::<Result<Vec<_>, String>>()?;
    if programs.is_empty() {
        return Err(usage.to_string());
    }
    let mut known = by_rule();

    let wanted = |sequence: &Sequence, text: &str| {
        (sequence.length() > 1 || uses_registers(text)) && text.split(' ').any(on_vectors) == of_vectors
    };
    let mut chosen = best(&programs, length, None, &known, wanted);
    let mut singles: Vec<_> = chosen.extract_if(.., |(sequence, _)| sequence.length() == 1).collect();
    singles.truncate((count as f64 * SINGLES) as usize);
    chosen.truncate(count * 4);
    let candidates: HashSet<Sequence> =
        chosen.iter().chain(&singles).map(|(sequence, _)| *sequence).collect();
    known.retain(|sequence| !candidates.contains(sequence));
    let all = known.union(&candidates).copied().collect();
    let mut used = best(&programs, length, Some(&all), &known, wanted);
    used.retain(|(sequence, _)| sequence.length() > 1);
    used.truncate(count.saturating_sub(singles.len()));

    let kind = if of_vectors { " with vectors" } else { "" };
    let number = singles.len() + used.len();
    println!(
        "# Superinstructions{kind} of the guarded root, made by the census tool (examples/census.rs): {number} handlers."
    );
    for (_, text) in singles.iter().chain(&used) {
        println!("{text}");
    }
    Ok(())
}

/// Prints how many micro-operators a dispatch each program has with the handlers of a list and those that are there by rule.
fn score(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let list = args.next().ok_or("census score LIST FILE.wasm[=COUNTS]…")?;
    let text = std::fs::read_to_string(&list).map_err(|error| format!("{list}: {error}"))?;
    let mut handlers = by_rule();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        handlers.insert(Sequence::parse(line).ok_or_else(|| format!("{list}: no sequence: {line}"))?);
    }
    for arg in args {
        let (census, _) = program(&arg)?;
        println!("{:.3} {arg}", census.total() / census.dispatches(&handlers));
    }
    Ok(())
}

/// The sequences that have handlers by rule.
fn by_rule() -> HashSet<Sequence> {
    let rules = forms::needed().into_iter().chain(sequences::sequences());
    let texts = rules
        .filter(|(root, _)| *root == Root::Guarded)
        .map(|(_, keys)| keys.iter().map(Key::text).collect::<Vec<_>>().join(" "));
    texts.filter_map(|text| Sequence::parse(&text)).collect()
}

/// The sequences that are wanted and not known, with their texts, those first that save the most; equal ones in the order of their
/// text, so that the output does not depend on hashing.
fn best(
    programs: &[(Census, f64)],
    length: usize,
    handlers: Option<&HashSet<Sequence>>,
    known: &HashSet<Sequence>,
    wanted: impl Fn(&Sequence, &str) -> bool,
) -> Vec<(Sequence, String)> {
    let mut sums: HashMap<Sequence, (f64, f64)> = HashMap::new();
    for (program, factor) in programs {
        let total = program.total().max(1.0);
        for (sequence, saved) in program.savings(length, handlers) {
            let part = saved / total * factor;
            let (sum, most) = sums.entry(sequence).or_default();
            *sum += part;
            *most = most.max(part);
        }
    }
    let weights = sums.into_iter().map(|(sequence, (sum, most))| (sequence, sum - most * (1.0 - HEAVIEST)));
    let mut sorted: Vec<(f64, Sequence, String)> = weights
        .filter(|(sequence, weight)| *weight > RARE && !known.contains(sequence))
        .map(|(sequence, weight)| (weight, sequence, sequence.text()))
        .filter(|(_, sequence, text)| wanted(sequence, text))
        .collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.2.cmp(&b.2)));
    sorted.into_iter().map(|(_, sequence, text)| (sequence, text)).collect()
}

/// The census of a module, and how much it counts.
fn program(arg: &str) -> Result<(Census, f64), String> {
    let (path, counts) = arg.split_once('=').map_or((arg, None), |(path, counts)| (path, Some(counts)));
    let module = load(path)?;
    let (mut result, factor) = match counts {
        None => (Census::default(), 1.0),
        Some(counts) => (Census::of_runs(runs(counts)?), COUNTED),
    };
    census(&module, &mut result)?;
    Ok((result, factor))
}

/// Reads what a program wrote that counted its regions.
fn runs(path: &str) -> Result<Runs, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let mut runs = Runs::new();
    for line in text.lines() {
        let mut numbers = line.split(' ').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten().ok_or_else(|| format!("{path}: not four numbers: {line}"));
        let place = (next()? as u32, next()? as u32, next()? as u32);
        *runs.entry(place).or_default() += next()?;
    }
    Ok(runs)
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

fn load(path: &str) -> Result<Module, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let bytes = wat::parse_bytes(&bytes).map_err(|error| format!("{path}: {error}"))?.into_owned();
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

fn census(module: &Module, census: &mut Census) -> Result<(), String> {
    let env = ModuleEnv { info: &module.info, bytes: &module.bytes, offsets: &module.offsets };
    let mut arena = Arena::default();
    for func in module.info.defined_funcs() {
        (census.function(&env, func, &TranslateOptions::default(), &mut arena))
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
