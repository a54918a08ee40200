//! One script in the modes of Crescendo and in other engines.
//!
//! [`check()`] gives a [`Report`]: a [`Verdict`], and for each other engine what part it [`Took`], so that nothing is left out
//! unseen. Where a mode or an engine runs out of stack depends on the size of its frames; what came before is compared.

use super::{CallRecord, Extra, Observation, PEER_FUEL, Script, Stop, Value, ours};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a comparison ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All agree. How many calls came to their end, and how many trapped.
    Same {
        /// Calls with results.
        returned: usize,
        /// Calls with a trap.
        trapped: usize,
        /// Calls with an exception that nobody caught.
        thrown: usize,
    },
    /// There was nothing to compare: the reason.
    Skipped(String),
    /// Two engines disagree: which, and about what.
    Different(String),
    /// Another engine stands alone against all others.
    PeerAlone(String),
}

/// What part another engine took in a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Took {
    /// It ran the script and was compared.
    Part,
    /// Its fuel or stack did not last, or Crescendo's fuel did not last for the start function.
    Exhausted,
    /// The module uses a proposal that the engine lacks.
    Lacks,
    /// It has other limits, or an import is too odd for it.
    Refused(String),
    /// It panicked.
    Panicked(String),
}

/// What came of comparing one script.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// The modes that ran out of stack where the first one did not.
    pub overflowed: Vec<&'static str>,
    /// Each peer that was asked.
    pub peers: Vec<(&'static str, Took)>,
}

impl Report {
    /// A report of nothing but a verdict.
    pub fn of(verdict: Verdict) -> Report {
        Report { verdict, overflowed: Vec::new(), peers: Vec::new() }
    }
}

/// Another engine to compare with.
pub struct Peer<'a> {
    /// What it is called.
    pub name: &'static str,
    /// What it lacks.
    pub lacks: &'static [Extra],
    /// Runs a script. An error says why the engine cannot.
    pub run: &'a dyn Fn(&Script) -> Result<Observation, String>,
}

impl Peer<'_> {
    /// Whether it may lack what the script's module uses.
    pub fn may_lack(&self, script: &Script) -> bool {
        script.extras.iter().any(|extra| self.lacks.contains(extra))
    }
}

/// Runs the script in all the modes of Crescendo and in the peers.
pub fn check(modes: &ours::Modes, script: &Script, peers: &[Peer<'_>]) -> Report {
    let mut report = Report::of(Verdict::Skipped(String::new()));
    report.verdict = match compare(modes, script.clone(), peers, &mut report) {
        Ok(verdict) | Err(verdict) => verdict,
    };
    report
}

/// The whole comparison; a verdict that comes early is an error.
fn compare(
    modes: &ours::Modes,
    mut script: Script,
    peers: &[Peer<'_>],
    report: &mut Report,
) -> Result<Verdict, Verdict> {
    let first_mode = &modes.fueled[0];
    let mut first =
        ours::run(&first_mode.1, &script).map_err(|reason| refused(first_mode.0, reason, &script, peers))?;
    if first.ended_by(&Stop::StackOverflow) {
        // Frames differ in size between modes and engines, so this call shows nothing.
        if first.calls.is_empty() {
            return Err(Verdict::Skipped("the start function overflows the stack".to_string()));
        }
        script.calls.truncate(first.calls.len() - 1);
        first = again(first_mode, &script)?;
    } else {
        script.calls.truncate(first.calls.len());
    }
    for mode in &modes.fueled[1..] {
        compare_mode(first_mode, mode, &first, &script, true, report)?;
    }
    for call in &first.calls {
        if let Err(Stop::Other(message)) = &call.outcome {
            return Err(Verdict::Different(format!("{}: {message}", first_mode.0)));
        }
    }
    let returned = first.calls.iter().filter(|call| call.outcome.is_ok()).count();
    let throws = |call: &&CallRecord| matches!(call.outcome, Err(Stop::Exception(_)));
    let thrown = first.calls.iter().filter(throws).count();
    let same = Verdict::Same { returned, trapped: first.calls.len() - returned - thrown, thrown };
    if first.ended_by(&Stop::OutOfFuel) {
        // Without fuel, or with another engine's, that call has another end.
        let Some(kept) = first.calls.len().checked_sub(1) else {
            report.peers.extend(peers.iter().map(|peer| (peer.name, Took::Exhausted)));
            return Ok(same);
        };
        script.calls.truncate(kept);
        first = again(first_mode, &script)?;
    }
    for mode in &modes.unfueled {
        compare_mode(first_mode, mode, &first, &script, false, report)?;
    }
    script.fuel = PEER_FUEL;
    compare_peers(first_mode.0, &first, &script, peers, report)?;
    Ok(same)
}

/// What it means that Crescendo cannot run a script: nothing, if nobody can.
fn refused(first_name: &str, reason: String, script: &Script, peers: &[Peer<'_>]) -> Verdict {
    let runs = |peer: &&Peer<'_>| matches!(catch_unwind(AssertUnwindSafe(|| (peer.run)(script))), Ok(Ok(_)));
    match peers.iter().find(runs) {
        Some(peer) => Verdict::Different(format!("{} runs it, {first_name} does not: {reason}", peer.name)),
        None => Verdict::Skipped(reason),
    }
}

/// Runs a script once more that ran before.
fn again(mode: &ours::Mode, script: &Script) -> Result<Observation, Verdict> {
    ours::run(&mode.1, script).map_err(|reason| Verdict::Different(format!("{} runs once: {reason}", mode.0)))
}

fn compare_mode(
    first_mode: &ours::Mode,
    mode: &ours::Mode,
    first: &Observation,
    script: &Script,
    detail: bool,
    report: &mut Report,
) -> Result<(), Verdict> {
    let (first_name, name) = (first_mode.0, mode.0);
    let only_first = |reason| Verdict::Different(format!("only {first_name} runs: {name}: {reason}"));
    let differ = |difference| Verdict::Different(format!("{first_name} and {name}: {difference}"));
    let other = ours::run(&mode.1, script).map_err(only_first)?;
    let Some(found) = difference(first, &other, detail) else { return Ok(()) };
    if !other.ended_by(&Stop::StackOverflow) {
        return Err(differ(found));
    }
    // Native frames are larger than the interpreter's, most of all where recursion alternates between tiers.
    report.overflowed.push(name);
    if other.calls.is_empty() {
        return Ok(());
    }
    let mut script = script.clone();
    script.calls.truncate(other.calls.len() - 1);
    let (first, other) = (again(first_mode, &script)?, again(mode, &script)?);
    difference(&first, &other, detail).map_or(Ok(()), |found| Err(differ(found)))
}

fn compare_peers(
    first_name: &str,
    first: &Observation,
    script: &Script,
    peers: &[Peer<'_>],
    report: &mut Report,
) -> Result<(), Verdict> {
    let mut differences = Vec::new();
    let mut agree = Vec::new();
    for peer in peers {
        let took = match catch_unwind(AssertUnwindSafe(|| (peer.run)(script))) {
            Ok(Ok(other)) if other.ended_by(&Stop::OutOfFuel) || other.ended_by(&Stop::StackOverflow) => {
                Took::Exhausted
            }
            Ok(Ok(other)) => {
                match difference(first, &other, false) {
                    Some(difference) => differences.push(format!("{}: {difference}", peer.name)),
                    None => agree.push(peer.name),
                }
                Took::Part
            }
            Ok(Err(_)) if peer.may_lack(script) => Took::Lacks,
            Ok(Err(reason)) => Took::Refused(reason),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
                Took::Panicked(text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_default())
            }
        };
        report.peers.push((peer.name, took));
    }
    if differences.is_empty() {
        return Ok(());
    }
    let differences = differences.join("; ");
    Err(if agree.is_empty() {
        Verdict::Different(format!("{first_name} and {differences}"))
    } else {
        Verdict::PeerAlone(format!("{first_name} agrees with {}, not with {differences}", agree.join(", ")))
    })
}

/// Whether both are traps at an atomic access that is unaligned and out of bounds: the specification looks at the alignment first,
/// wasmtime 48 last where address and offset together pass 2^64.
fn both_name_a_fault(one: &Result<Vec<Value>, Stop>, other: &Result<Vec<Value>, Stop>) -> bool {
    let fault =
        |outcome: &Result<_, Stop>| matches!(outcome, Err(Stop::UnalignedAtomic | Stop::MemoryOutOfBounds));
    fault(one) && fault(other)
}

/// What two observations disagree about. Fuel and frames count only in `detail`, if both know frames.
fn difference(one: &Observation, other: &Observation, detail: bool) -> Option<String> {
    let call = |place: String, one: &CallRecord, other: &CallRecord| {
        if one.outcome != other.outcome && (detail || !both_name_a_fault(&one.outcome, &other.outcome)) {
            return Some(format!("{place}: {:?} and {:?}", one.outcome, other.outcome));
        }
        if detail && one.fuel != other.fuel {
            return Some(format!("{place}: fuel {:?} and {:?}", one.fuel, other.fuel));
        }
        // Other engines keep only some of the innermost frames, or none, and Cranelift may give a trap to a later operator
        // that the faulting load was sunk into.
        let shown = if detail { usize::MAX } else { one.frames.len().min(other.frames.len()).min(20) };
        let frames = |record: &CallRecord| {
            let mut frames: Vec<_> = record.frames.iter().take(shown).copied().collect();
            if let (Some(innermost), false) = (frames.first_mut(), detail) {
                innermost.1 = None;
            }
            frames
        };
        if frames(one) != frames(other) {
            return Some(format!("{place}: frames {:?} and {:?}", one.frames, other.frames));
        }
        None
    };
    if let Some(difference) = call("start".to_string(), &one.start, &other.start) {
        return Some(difference);
    }
    for (at, (one, other)) in one.calls.iter().zip(&other.calls).enumerate() {
        if let Some(difference) = call(format!("call {at}"), one, other) {
            return Some(difference);
        }
    }
    if one.calls.len() != other.calls.len() {
        return Some(format!("{} and {} calls", one.calls.len(), other.calls.len()));
    }
    for ((name, one), (_, other)) in one.memories.iter().zip(&other.memories) {
        if one != other {
            let at = one.0.iter().zip(&other.0).position(|(one, other)| one != other);
            return Some(match at {
                Some(at) => format!(
                    "memory {name} at {at}: {:02x?} and {:02x?}",
                    &one.0[at..one.0.len().min(at + 8)],
                    &other.0[at..other.0.len().min(at + 8)]
                ),
                None => format!("memory {name}: {one:?} and {other:?}"),
            });
        }
    }
    if one.globals != other.globals {
        return Some(format!("globals {:?} and {:?}", one.globals, other.globals));
    }
    if one.tables != other.tables {
        return Some("tables".to_string());
    }
    (one.host != other.host).then(|| "calls of host functions".to_string())
}
