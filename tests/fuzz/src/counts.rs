//! What became of the modules of a run, per generator and per engine: nothing is left out uncounted.

use crate::differential::check::{Report, Took, Verdict};
use std::collections::BTreeMap;

/// Counts of one generator.
#[derive(Default)]
pub struct Counts {
    same: usize,
    returned: usize,
    trapped: usize,
    thrown: usize,
    skipped: usize,
    alone: usize,
    /// Modules about which engines disagree.
    pub different: usize,
    overflowed: usize,
    peers: BTreeMap<&'static str, PeerCounts>,
}

#[derive(Default)]
struct PeerCounts {
    part: usize,
    exhausted: usize,
    lacks: usize,
    refused: usize,
    panicked: usize,
}

/// How many modules of a kind are printed with the reason.
const SHOWN: usize = 10;

impl Counts {
    /// Counts a report and prints it if it is interesting.
    pub fn add(&mut self, what: &str, seed: u64, report: Report) {
        for (name, took) in report.peers {
            let peer = self.peers.entry(name).or_default();
            match took {
                Took::Part => peer.part += 1,
                Took::Exhausted => peer.exhausted += 1,
                Took::Lacks => peer.lacks += 1,
                Took::Refused(reason) => {
                    peer.refused += 1;
                    if peer.refused <= SHOWN {
                        println!("{what} {seed}: {name} refuses it: {reason}");
                    }
                }
                Took::Panicked(message) => {
                    peer.panicked += 1;
                    println!("{what} {seed}: {name} panics: {message}");
                }
            }
        }
        if !report.overflowed.is_empty() {
            self.overflowed += 1;
            println!("{what} {seed}: out of stack in {} alone", report.overflowed.join(", "));
        }
        match report.verdict {
            Verdict::Same { returned, trapped, thrown } => {
                self.same += 1;
                self.returned += returned;
                self.trapped += trapped;
                self.thrown += thrown;
            }
            Verdict::Skipped(reason) => {
                self.skipped += 1;
                if self.skipped <= SHOWN {
                    println!("{what} {seed}: skipped: {reason}");
                }
            }
            Verdict::PeerAlone(difference) => {
                self.alone += 1;
                println!("{what} {seed}: a peer alone: {difference}");
            }
            Verdict::Different(difference) => {
                self.different += 1;
                println!("{what} {seed}: DIFFERENT: {difference}");
            }
        }
    }

    /// Prints all counts.
    pub fn print(&self, what: &str) {
        println!(
            "{what}: {} same ({} calls returned, {} trapped, {} thrown), {} skipped, {} peer alone, {} different; {} out of stack in some modes alone",
            self.same,
            self.returned,
            self.trapped,
            self.thrown,
            self.skipped,
            self.alone,
            self.different,
            self.overflowed
        );
        for (name, peer) in &self.peers {
            println!(
                "{what}: {name} compared {}, without end {}, lacks a proposal {}, refused {}, panicked {}",
                peer.part, peer.exhausted, peer.lacks, peer.refused, peer.panicked
            );
        }
    }
}
