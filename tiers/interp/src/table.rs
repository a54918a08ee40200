//! The handlers: their text, the tree that finds them, their trap rows.
//!
//! Everything but this file's few functions is made by the build script. The tree leads from a node by a key to a node, and, if
//! that node is a handler, to where in the text it lies. It begins with the [`Root`]s.

use crate::micro::{Key, MicroOp, PackedKey, Root};
use crescendo_code::{TextRegion, TrapRow};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// The tree: for each root and number of a micro-operator where its children begin (16 bits), then for each node its key, the
/// place of its handler plus one, and where its own children begin (32 bits). See `build/table.rs`.
static TREE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tree.bin"));

/// Starts that a root has: one for each number, and the end.
const STARTS: usize = (1 << PackedKey::NUMBER_BITS) + 1;

/// The 32-bit words of the tree: keys, handlers, children.
fn words() -> &'static [[u8; 4]] {
    let (_, words) = TREE.split_at(Root::ALL.len() * STARTS * 2);
    words.as_chunks::<4>().0
}

/// A node's last key, rotated so that it sorts by the micro-operator's number.
fn key_of(node: usize) -> u32 {
    u32::from_le_bytes(words()[node])
}

fn handler_of(node: usize) -> Option<Handler> {
    u32::from_le_bytes(words()[NODES + node]).checked_sub(1).map(Handler)
}

fn children_of(node: usize) -> Range<usize> {
    let start = |node: usize| u32::from_le_bytes(words()[2 * NODES + node]) as usize;
    start(node)..start(node + 1)
}

/// Children of a root whose micro-operators have this number plus one.
fn children_of_root(root: Root, number: u32) -> Range<usize> {
    let (starts, _) = TREE.as_chunks::<2>();
    let at = root as usize * STARTS + number as usize;
    usize::from(u16::from_le_bytes(starts[at]))..usize::from(u16::from_le_bytes(starts[at + 1]))
}

/// A node of the handler tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Without micro-operators.
    Root(Root),
    /// By its position.
    Inner(u32),
}

impl Node {
    /// The node with one more micro-operator and its handler, if it is one.
    ///
    /// Cost: a bisection; a root's children are found by their number first, so that it is over their forms alone.
    pub(crate) fn child(self, key: PackedKey) -> Option<(Node, Option<Handler>)> {
        let key = key.0.rotate_right(PackedKey::NUMBER_BITS);
        let mut range = match self {
            Node::Root(root) => children_of_root(root, key >> (32 - PackedKey::NUMBER_BITS)),
            Node::Inner(node) => children_of(node as usize),
        };
        while range.len() > 1 {
            let middle = range.start + range.len() / 2;
            if key_of(middle) <= key { range.start = middle } else { range.end = middle }
        }
        let node = (!range.is_empty() && key_of(range.start) == key).then_some(range.start)?;
        Some((Node::Inner(node as u32), handler_of(node)))
    }
}

/// A handler, by its offset in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handler(u32);

impl Handler {
    /// The only handler of a micro-operator with every operand in slots.
    pub(crate) fn single(root: Root, op: MicroOp) -> Option<Handler> {
        Node::Root(root).child(Key::all_slots(op).pack())?.1
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
        let mut listing = HashMap::new();
        let mut paths: Vec<Vec<Key>> = vec![Vec::new(); NODES];
        for node in 0..NODES {
            let key = PackedKey(key_of(node).rotate_left(PackedKey::NUMBER_BITS));
            let op = key.number().and_then(|number| by_number.get(&number));
            paths[node].extend(op.map(|op| key.with_op(*op)));
            if let Some(handler) = handler_of(node) {
                listing.insert(handler, paths[node].clone());
            }
            let path = std::mem::take(&mut paths[node]);
            for child in children_of(node) {
                paths[child].clone_from(&path);
            }
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
                assert_eq!(Handler::single(root, op).is_some(), root.has(op), "{root:?} {}", op.name());
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
