//! The table of handlers: which there are, their text, the tree that finds them, their trap rows.

use crate::forms::{self, Sequence};
use crate::generate::{Compiled, Generator};
use crate::micro::{Key, MicroOp, Root};
use crate::proof::ProofError;
use crate::tree::Tree;
use crate::{a64, sequences, x64};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use std::collections::{HashMap, HashSet};

/// An instruction set that handlers are generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    X64,
    A64,
}

impl Isa {
    /// Cranelift's code generator with the engine's CPU baseline.
    fn build(self) -> OwnedTargetIsa {
        let mut flags = settings::builder();
        for (name, value) in [
            ("opt_level", "speed"),
            ("enable_pinned_reg", "true"),
            // On x86-64 a tail call needs the frame; on aarch64 it would only get in the way.
            ("preserve_frame_pointers", if self == Isa::X64 { "true" } else { "false" }),
            ("is_pic", "true"),
            ("unwind_info", "false"),
            ("enable_probestack", "false"),
            ("enable_heap_access_spectre_mitigation", "false"),
            ("enable_table_access_spectre_mitigation", "false"),
            ("machine_code_cfg_info", "false"),
            ("enable_verifier", "false"),
        ] {
            flags.set(name, value).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let triple = match self {
            Isa::X64 => "x86_64-unknown-linux-gnu",
            Isa::A64 => "aarch64-unknown-linux-gnu",
        };
        let mut isa =
            cranelift_codegen::isa::lookup_by_name(triple).unwrap_or_else(|e| panic!("{triple}: {e}"));
        if self == Isa::X64 {
            isa.enable("x86-64-v2").unwrap_or_else(|e| panic!("x86-64-v2: {e}"));
        }
        isa.finish(settings::Flags::new(flags)).unwrap_or_else(|e| panic!("{triple}: {e}"))
    }

    /// Removes a handler's frame if it has one that it does not need, rewrites what has none, and proves the handler.
    fn check(self, handler: &mut Compiled) -> Result<(), String> {
        let frameless = match self {
            Isa::X64 => match x64::strip(&mut handler.code) {
                Ok(stripped) => {
                    rewrite(handler, stripped.entry).map_err(|e| e.to_string())?;
                    true
                }
                Err(x64::WhyNot::Calls { .. } | x64::WhyNot::Spills { .. }) if handler.framed => false,
                Err(why) => return Err(why.to_string()),
            },
            Isa::A64 => !handler.framed,
        };
        let traps: Vec<(u32, u8)> = handler.traps.iter().map(|(at, code, _)| (*at, *code as u8)).collect();
        let prove = match self {
            Isa::X64 => x64::prove,
            Isa::A64 => a64::prove,
        };
        prove(&handler.code, 0, frameless, &traps).map_err(|e| e.to_string())
    }
}

fn rewrite(handler: &mut Compiled, entry: usize) -> Result<(), ProofError> {
    let places: Vec<u32> = handler.traps.iter().map(|(at, ..)| *at).collect();
    let rewritten = x64::rewrite(&handler.code, entry, &places)?;
    for (trap, place) in handler.traps.iter_mut().zip(rewritten.places) {
        trap.0 = place;
    }
    (handler.code, handler.hot) = (rewritten.code, rewritten.hot);
    if !rewritten.has_constants {
        handler.align = DENSE;
    }
    Ok(())
}

/// Alignment of handlers without constants.
const DENSE: usize = 4;

/// What a processor fetches, and keeps decoded, at once.
const LINE: usize = 64;

/// Where the next handler begins that is to lie behind `end`: it touches no more lines than it must.
fn place(end: usize, handler: &Compiled) -> usize {
    let lines = |start: usize| (start % LINE + handler.hot).div_ceil(LINE);
    let first = end.next_multiple_of(handler.align);
    let mut starts = (first..).step_by(handler.align);
    starts.find(|start| lines(*start) <= handler.hot.div_ceil(LINE)).unwrap_or(first)
}

/// What makes two handlers one: what they do, the code, and offset, trap code and micro-operator of each trap. Handlers that
/// do different things with the same code stay two, for the sake of listings.
type Identity = (Vec<Key>, Vec<u8>, Vec<(u32, u8, u8)>);

/// Everything that the crate links.
pub struct Table {
    pub text: Vec<u8>,
    /// Offset in the text, trap code, micro-operator; by offset.
    pub rows: Vec<(u32, u8, u8)>,
    pub tree: Tree,
    /// Different handlers.
    pub handlers: usize,
}

impl Table {
    /// Generates every handler.
    ///
    /// # Panics
    /// When a handler cannot be compiled or proved: the build must not go on.
    pub fn build(isa: Isa, superinstructions: &str) -> Table {
        let mut sequences = forms::needed();
        let needed = sequences.len();
        sequences.extend(sequences::sequences());
        let known: HashSet<Sequence> = sequences.iter().cloned().collect();
        sequences.extend(parse(superinstructions).into_iter().filter(|sequence| !known.contains(sequence)));
        let (sequences, compiled) = compile(isa, sequences, needed);
        let mut text = Vec::new();
        let mut rows = Vec::new();
        let mut places = Vec::new();
        let mut seen: HashMap<Identity, u32> = HashMap::new();
        for (handler, (_, keys)) in compiled.into_iter().zip(&sequences) {
            let traps: Vec<(u32, u8, u8)> =
                (handler.traps.iter()).map(|(at, code, micro_op)| (*at, *code as u8, *micro_op)).collect();
            // The same code for two sequences, such as one without slots under two roots, is kept once.
            let identity = (keys.clone(), handler.code.clone(), traps);
            let start = *seen.entry(identity).or_insert_with_key(|(_, code, traps)| {
                let start = place(text.len(), &handler);
                text.resize(start, 0xcc);
                text.extend_from_slice(code);
                rows.extend(traps.iter().map(|(at, code, micro_op)| (start as u32 + at, *code, *micro_op)));
                start as u32
            });
            places.push(start);
        }
        rows.sort_unstable();
        let tree = Tree::new(&sequences, &places);
        Table { text, rows, tree, handlers: seen.len() }
    }
}

/// Compiles the sequences, on as many threads as there are processors, in order.
///
/// The first `needed` must all be sound. A superinstruction that Cranelift gives a frame or for which it moves ip away before
/// a trap is left out: the translator then uses its parts. More than one in fifty is a fault of the list or of this script.
fn compile(isa: Isa, sequences: Vec<Sequence>, needed: usize) -> (Vec<Sequence>, Vec<Compiled>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let chunk = sequences.len().div_ceil(threads);
    let results: Vec<Result<Compiled, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (sequences.chunks(chunk))
            .map(|part| {
                scope.spawn(move || {
                    let mut generator = Generator::new(isa.build());
                    let one = |(root, keys): &Sequence| {
                        let mut handler = generator.handler(*root, keys);
                        isa.check(&mut handler).map_err(|error| {
                            let text: Vec<String> = keys.iter().map(Key::text).collect();
                            format!("{isa:?} {root:?} {}: {error}\n{:02x?}", text.join(" "), handler.code)
                        })?;
                        Ok(handler)
                    };
                    part.iter().map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    });
    let total = sequences.len();
    let mut kept = (Vec::new(), Vec::new());
    let mut last_error = String::new();
    for (index, (sequence, result)) in sequences.into_iter().zip(results).enumerate() {
        match result {
            Ok(handler) => {
                kept.0.push(sequence);
                kept.1.push(handler);
            }
            Err(error) if index < needed => panic!("{error}"),
            Err(error) => last_error = error,
        }
    }
    let left_out = total - kept.0.len();
    assert!(
        left_out * 50 <= total,
        "{left_out} of {total} handlers cannot be proved, the last: {last_error}"
    );
    kept
}

const MAX_THREADS: usize = 8;

/// Reads the list of superinstructions: a sequence a line, `#` begins a comment.
fn parse(list: &str) -> Vec<Sequence> {
    let by_name: HashMap<String, MicroOp> = MicroOp::all().into_iter().map(|op| (op.name(), op)).collect();
    let mut sequences = Vec::new();
    for line in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let keys: Option<Vec<Key>> =
            line.split(' ').map(|word| Key::parse(word, |name| by_name.get(name).copied())).collect();
        let keys = keys.unwrap_or_else(|| panic!("not a sequence of micro-operators: {line}"));
        sequences.push((Root::Guarded, keys));
    }
    sequences
}
