//! Hints for compilers in custom sections, read when one is asked for first.
//!
//! The sections are `metadata.code.branch_hint` of the branch-hinting proposal, `metadata.code.compilation_priority`,
//! `metadata.code.instr_freq` and `metadata.code.call_targets` of the compilation-hints proposal, and `compilationHints` of its
//! predecessor. Hints never change what a module does. A section that is malformed, or stands behind the code, gives none; of
//! two sections of a name the first counts. Out come [`Hints`], looked up by function and offset in its body.

use crate::{FuncIdx, ModuleInfo};
use std::collections::BTreeMap;
use wasmparser::BinaryReader;

/// How early a function should be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// Functions with a smaller number come before those with a larger one.
    pub compilation: u32,
    /// The smaller, the more of its time the program spends in the function; [`Priority::RUNS_ONCE`] is no such measure.
    pub optimization: Option<u32>,
}

impl Priority {
    /// The optimization priority of functions that run once.
    pub const RUNS_ONCE: u32 = 127;
}

/// By function and byte offset in its body.
type Positions<T> = BTreeMap<(u32, u32), T>;

/// The hints of a module.
#[derive(Debug, Default)]
pub struct Hints {
    branches: Positions<bool>,
    priorities: BTreeMap<u32, Priority>,
    frequencies: Positions<u8>,
    targets: Positions<Vec<(FuncIdx, u32)>>,
    /// The most that any call expects of the function as its target, in percent.
    expected: BTreeMap<u32, u32>,
}

impl Hints {
    pub(crate) fn read(info: &ModuleInfo, bytes: &[u8]) -> Hints {
        let mut hints = Hints::default();
        let mut seen: Vec<&str> = Vec::new();
        let before_code = |start: usize| info.code_range().is_empty() || start < info.code_range().start;
        for section in info.custom_sections() {
            let (name, range) = (&*section.name, section.range.clone());
            let Some(contents) = bytes.get(range.clone()) else { continue };
            if seen.contains(&name) || !before_code(range.start) {
                continue;
            }
            let mut reader = BinaryReader::new(contents, range.start as u64);
            // What a malformed section said before its bad point does not count either.
            match name {
                "metadata.code.branch_hint" => {
                    hints.branches = read_positions(&mut reader, read_branch).unwrap_or_default();
                }
                "metadata.code.compilation_priority" => {
                    let priorities = read_positions(&mut reader, read_priority).unwrap_or_default();
                    let of_functions = priorities.into_iter().filter(|((_, at), _)| *at == 0);
                    hints.priorities.extend(of_functions.map(|((func, _), priority)| (func, priority)));
                }
                "metadata.code.instr_freq" => {
                    hints.frequencies = read_positions(&mut reader, byte).unwrap_or_default();
                }
                "metadata.code.call_targets" => {
                    hints.targets = read_positions(&mut reader, read_targets).unwrap_or_default();
                }
                "compilationHints" => {
                    let eager = read_strategies(&mut reader, info).unwrap_or_default();
                    for func in eager {
                        let priority = Priority { compilation: 0, optimization: None };
                        hints.priorities.entry(func).or_insert(priority);
                    }
                }
                _ => continue,
            }
            seen.push(name);
        }
        for (func, percent) in hints.targets.values().flatten() {
            let most = hints.expected.entry(func.as_u32()).or_default();
            *most = (*most).max(*percent);
        }
        hints
    }

    /// Whether the `if` or `br_if` at a byte offset of a function's body is likely to find its condition true.
    pub fn branch(&self, func: FuncIdx, at: u32) -> Option<bool> {
        self.branches.get(&(func.as_u32(), at)).copied()
    }

    /// How early a function should be compiled.
    pub fn priority(&self, func: FuncIdx) -> Option<Priority> {
        self.priorities.get(&func.as_u32()).copied()
    }

    /// How often the operator at a byte offset of a function's body runs in a call of the function: 32 plus the binary
    /// logarithm of the number, from 1 to 64; 0 never optimize, 127 always.
    pub fn frequency(&self, func: FuncIdx, at: u32) -> Option<u8> {
        self.frequencies.get(&(func.as_u32(), at)).copied()
    }

    /// The highest frequency of a function's operators; see [`Hints::frequency`].
    pub fn highest_frequency(&self, func: FuncIdx) -> Option<u8> {
        let func = func.as_u32();
        self.frequencies.range((func, 0)..=(func, u32::MAX)).map(|(_, frequency)| *frequency).max()
    }

    /// The functions that the indirect call at a byte offset of a function's body calls most, each with a part of the
    /// calls in percent.
    pub fn call_targets(&self, func: FuncIdx, at: u32) -> &[(FuncIdx, u32)] {
        self.targets.get(&(func.as_u32(), at)).map_or(&[], Vec::as_slice)
    }

    /// The largest part, in percent, that a function has of the calls of any indirect call.
    pub fn largest_part(&self, func: FuncIdx) -> u32 {
        self.expected.get(&func.as_u32()).copied().unwrap_or(0)
    }
}

/// Reads the common form of `metadata.code` sections; `None` when it is malformed. Functions, and the offsets in each, ascend.
fn read_positions<T>(
    reader: &mut BinaryReader<'_>,
    read: fn(&mut BinaryReader<'_>) -> Option<T>,
) -> Option<Positions<T>> {
    let mut positions = Positions::new();
    let mut last_func = None;
    for _ in 0..number(reader)? {
        let func = number(reader)?;
        if last_func >= Some(func) {
            return None;
        }
        last_func = Some(func);
        let mut last = None;
        for _ in 0..number(reader)? {
            let at = number(reader)?;
            if last >= Some(at) {
                return None;
            }
            last = Some(at);
            // What is longer than known is from a later version of the proposal.
            let mut value = reader.read_reader().ok()?;
            positions.insert((func, at), read(&mut value)?);
        }
    }
    reader.eof().then_some(positions)
}

fn number(reader: &mut BinaryReader<'_>) -> Option<u32> {
    reader.read_var_u32().ok()
}

fn byte(reader: &mut BinaryReader<'_>) -> Option<u8> {
    reader.read_u8().ok()
}

fn read_branch(value: &mut BinaryReader<'_>) -> Option<bool> {
    match (byte(value)?, value.eof()) {
        (likely @ (0 | 1), true) => Some(likely == 1),
        _ => None,
    }
}

fn read_priority(value: &mut BinaryReader<'_>) -> Option<Priority> {
    let compilation = number(value)?;
    let optimization = if value.eof() { None } else { Some(number(value)?) };
    Some(Priority { compilation, optimization })
}

fn read_targets(value: &mut BinaryReader<'_>) -> Option<Vec<(FuncIdx, u32)>> {
    let (mut targets, mut sum) = (Vec::new(), 0u32);
    while !value.eof() {
        let (func, percent) = (number(value)?, number(value)?);
        sum = sum.saturating_add(percent);
        targets.push((FuncIdx::new(func), percent));
    }
    // No more than all calls.
    (sum <= 100).then_some(targets)
}

/// The functions that `compilationHints` wants compiled eagerly. A byte for each function that the module defines: two bits each
/// of strategy, lower tier, upper tier.
fn read_strategies(reader: &mut BinaryReader<'_>, info: &ModuleInfo) -> Option<Vec<u32>> {
    const EAGER: u8 = 2;
    if number(reader)? != info.defined_func_count() {
        return None;
    }
    let mut eager = Vec::new();
    for func in info.defined_funcs() {
        if byte(reader)? & 3 == EAGER {
            eager.push(info.func_idx(func).as_u32());
        }
    }
    reader.eof().then_some(eager)
}
