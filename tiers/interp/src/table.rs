//! The handlers: their text, the tree that finds them, their trap rows.
//!
//! Everything but this file's few functions is made by the build script. The tree leads from a node by a key to a node, and, if
//! that node is a handler, to where in the text it lies. It begins with the [`Root`]s.

use crate::micro::{Key, MicroOp, PackedKey, Root};
use crescendo_code::{TextRegion, TrapRow};
use std::collections::HashMap;
use std::sync::OnceLock;

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// The tree's slots: see `build/tree.rs`. Each has a key or 0, the place of its handler plus one or 0, and the block of its children
/// ([`PackedKey::BLOCK_BITS`]).
static TREE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tree.bin"));

const BLOCK_BITS: u32 = PackedKey::BLOCK_BITS;
const SLOT_BYTES: usize = 12;

/// A node of the handler tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    key: u32,
    handler: u32,
    block: u32,
}

impl Node {
    /// The node without micro-operators.
    pub(crate) fn root(root: Root) -> Node {
        Node { key: 0, handler: 0, block: ROOTS[root as usize] }
    }

    /// The handler of the micro-operators that lead here, if there is one.
    pub(crate) fn handler(self) -> Option<Handler> {
        self.handler.checked_sub(1).map(Handler)
    }

    fn in_slot(slot: usize) -> Node {
        let (slots, _) = TREE.as_chunks::<SLOT_BYTES>();
        let [a, b, c, d, e, f, g, h, i, j, k, l] = slots[slot];
        let word = u32::from_le_bytes;
        Node { key: word([a, b, c, d]), handler: word([e, f, g, h]), block: word([i, j, k, l]) }
    }

    /// The slots of its children.
    fn children(self) -> std::ops::Range<usize> {
        let first = (self.block >> BLOCK_BITS) as usize;
        let length = if self.block == 0 { 0 } else { 1 << (self.block & ((1 << BLOCK_BITS) - 1)) };
        first..first + length
    }

    /// The node with one more micro-operator.
    ///
    /// Cost: one line of the cache that may be far, or the next slot.
    pub(crate) fn child(self, key: PackedKey) -> Option<Node> {
        if self.block == 0 {
            return None;
        }
        let bits = self.block & ((1 << BLOCK_BITS) - 1);
        let (first, mask) = ((self.block >> BLOCK_BITS) as usize, (1 << bits) - 1);
        let mut at = key.hash(bits);
        loop {
            let node = Node::in_slot(first + at);
            if node.key == key.0 {
                return Some(node);
            }
            // A block of one child has no free slot.
            if node.key == 0 || mask == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
    }
}

/// A handler, by its offset in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handler(u32);

impl Handler {
    /// The only handler of a micro-operator with every operand in slots.
    pub(crate) fn single(root: Root, op: MicroOp) -> Option<Handler> {
        Node::root(root).child(Key::all_slots(op).pack())?.handler()
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
        let mut open: Vec<(Node, Vec<Key>)> =
            Root::ALL.iter().map(|root| (Node::root(*root), Vec::new())).collect();
        while let Some((node, path)) = open.pop() {
            if let Some(handler) = node.handler() {
                listing.insert(handler, path.clone());
            }
            for child in node.children().map(Node::in_slot) {
                let key = PackedKey(child.key);
                if let Some(op) = key.number().and_then(|number| by_number.get(&number)) {
                    open.push((child, path.iter().copied().chain([key.with_op(*op)]).collect()));
                }
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
