//! The handlers: their text, the tree that finds them, their trap rows.
//!
//! Everything but this file's few functions is made by the build script. The tree is an open-addressing table of edges: from
//! a node by a packed key to a node, and, if that node is a handler, where in the text it lies. The first nodes are the
//! [`Root`]s.

use crate::micro::{Key, MicroOp, Root};
use crescendo_code::{TextRegion, TrapRow};
use std::collections::HashMap;
use std::sync::OnceLock;

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// Edges of the tree: node, packed key, target node, place of the target's handler plus one.
static EDGES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/edges.bin"));

/// A node of the handler tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(u32);

impl Node {
    /// The node without micro-operators.
    pub(crate) const fn root(root: Root) -> Node {
        Node(root as u32)
    }

    /// The node with one more micro-operator and its handler, if it is one.
    pub(crate) fn child(self, key: u32) -> Option<(Node, Option<Handler>)> {
        let (edges, _) = EDGES.as_chunks::<16>();
        let mask = edges.len() - 1;
        let mut at = edge_hash(self.0, key) as usize & mask;
        loop {
            let edge = &edges[at];
            let word = |i: usize| u32::from_le_bytes([edge[i], edge[i + 1], edge[i + 2], edge[i + 3]]);
            let found = word(4);
            if found == 0 {
                return None;
            }
            if found == key && word(0) == self.0 {
                return Some((Node(word(8)), word(12).checked_sub(1).map(Handler)));
            }
            at = (at + 1) & mask;
        }
    }
}

/// Where an edge is looked for first; the build script places them by the same function.
const fn edge_hash(node: u32, key: u32) -> u64 {
    let mixed = ((node as u64) << 32 | key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> 32
}

/// A handler, by its offset in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handler(u32);

impl Handler {
    /// The only handler of a micro-operator with every operand in slots.
    pub(crate) fn single(root: Root, op: MicroOp) -> Option<Handler> {
        Node::root(root).child(Key::all_slots(op).pack())?.1
    }

    /// The handler's address, as cells hold it.
    pub(crate) fn address(self) -> u64 {
        (text().0 as u64) + u64::from(self.0)
    }

    /// The handler at an address that a cell holds.
    pub(crate) fn at(address: u64) -> Option<Handler> {
        let offset = address.checked_sub(text().0 as u64)?;
        (offset < text().1 as u64).then_some(Handler(offset as u32))
    }
}

/// Start and length of the text.
fn text() -> (*const u8, usize) {
    crate::run::text()
}

/// The handlers' text with its trap rows, to be registered with `crescendo_code::register_text`.
pub fn handler_text() -> &'static TextRegion {
    static REGION: OnceLock<TextRegion> = OnceLock::new();
    REGION.get_or_init(|| {
        let (start, len) = text();
        crate::run::text_region(start, len, &TRAP_ROWS)
    })
}

/// What each handler does, for listings: its micro-operators by its place in the text. Made when first asked for.
pub(crate) fn listing() -> &'static HashMap<Handler, Vec<Key>> {
    static LISTING: OnceLock<HashMap<Handler, Vec<Key>>> = OnceLock::new();
    LISTING.get_or_init(|| {
        let by_number: HashMap<u16, MicroOp> =
            MicroOp::all().into_iter().map(|op| (op.number(), op)).collect();
        let word =
            |edge: &[u8; 16], i: usize| u32::from_le_bytes([edge[i], edge[i + 1], edge[i + 2], edge[i + 3]]);
        let edges = || EDGES.as_chunks::<16>().0.iter().filter(move |edge| word(edge, 4) != 0);
        let parents: HashMap<u32, (u32, u32)> =
            edges().map(|edge| (word(edge, 8), (word(edge, 0), word(edge, 4)))).collect();
        let mut listing = HashMap::new();
        for edge in edges() {
            let Some(offset) = word(edge, 12).checked_sub(1) else { continue };
            let mut keys = Vec::new();
            let mut node = word(edge, 8);
            while let Some(&(parent, key)) = parents.get(&node) {
                keys.extend(Key::unpack(key, |number| by_number.get(&number).copied()));
                node = parent;
            }
            keys.reverse();
            listing.insert(Handler(offset), keys);
        }
        listing
    })
}

/// Every handler's offset in the text and its micro-operators, by offset: for tools that read profiles.
pub fn handlers() -> Vec<(u32, String)> {
    let text = |keys: &Vec<Key>| keys.iter().map(Key::text).collect::<Vec<_>>().join(" ");
    let mut handlers: Vec<(u32, String)> =
        listing().iter().map(|(handler, keys)| (handler.0, text(keys))).collect();
    handlers.sort();
    handlers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_fit_a_key() {
        let mut seen = std::collections::HashMap::new();
        for op in MicroOp::all() {
            assert!(op.number() < (1 << 14) - 1, "{}", op.name());
            if let Some(other) = seen.insert(op.number(), op) {
                panic!("{} and {} have the same number", op.name(), other.name());
            }
        }
    }

    #[test]
    fn every_micro_operator_of_a_root_has_a_handler_with_slots() {
        for root in Root::ALL {
            for op in MicroOp::all() {
                let fits = match op {
                    MicroOp::Load(_, access) | MicroOp::Store(_, access) | MicroOp::Atomic(_, access) => {
                        root.checked()
                            == matches!(
                                access,
                                crate::micro::Access::Checked32 | crate::micro::Access::Checked64
                            )
                    }
                    MicroOp::Halt
                    | MicroOp::ReturnSwitch
                    | MicroOp::Untranslated
                    | MicroOp::UntranslatedCross
                    | MicroOp::HostCall
                    | MicroOp::EnterNative
                    | MicroOp::EnterNativeCross => root == Root::Guarded,
                    _ => true,
                };
                assert_eq!(Handler::single(root, op).is_some(), fits, "{root:?} {}", op.name());
            }
        }
    }

    #[test]
    fn keys_round_trip() {
        let ops = MicroOp::all();
        for (root, keys) in listing().values().map(|keys| (Root::Guarded, keys)) {
            for key in keys {
                let parsed = Key::parse(&key.text(), |name| ops.iter().copied().find(|op| op.name() == name));
                assert_eq!(parsed, Some(*key), "{root:?} {}", key.text());
            }
        }
    }
}
