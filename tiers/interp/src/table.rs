//! The handlers: their text, the tree that finds them, their trap rows.
//!
//! Everything but this file's few functions is made by the build script. The tree leads from a node by a key to a node, and, if
//! that node is a handler, to where in the text it lies. It begins with the [`Root`]s, which are the nodes with the numbers from 0 on;
//! where the others lie says `places.rs`.

use crate::micro::{Key, MicroOp, PackedKey, Root};
use crate::places;
use crescendo_code::{TextRegion, TrapRow};
use std::collections::HashMap;
use std::sync::OnceLock;

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// The tree: see `build/tree.rs`.
static TREE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tree.bin"));

const SLOT_BYTES: usize = 12;

/// The displacements, and the slots, 12 bytes each.
fn tree() -> (&'static [[u8; 2]; places::DISPLACEMENTS], &'static [[u8; SLOT_BYTES]; SLOTS]) {
    const {
        let (displacements, slots) = TREE.split_at(2 * places::DISPLACEMENTS);
        match (displacements.as_chunks().0.first_chunk(), slots.as_chunks().0.first_chunk()) {
            (Some(displacements), Some(slots)) => (displacements, slots),
            _ => panic!("the build script writes all"),
        }
    }
}

/// A slot's tag with the node's number, and its handler with the bit that says whether it has children.
const fn read_slot([a, b, c, d, e, f, g, h, i, j, k, l]: [u8; SLOT_BYTES]) -> (u64, u32) {
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]))
}

/// A node of the handler tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    number: u32,
    /// As [`read_slot`] gives it.
    handler: u32,
}

const HAS_CHILDREN: u32 = 1 << 31;

impl Node {
    /// The node without micro-operators.
    pub(crate) fn root(root: Root) -> Node {
        Node { number: root as u32, handler: HAS_CHILDREN }
    }

    /// The handler of the micro-operators that lead here, if there is one.
    pub(crate) fn handler(self) -> Option<Handler> {
        (self.handler & !HAS_CHILDREN).checked_sub(1).map(Handler)
    }

    /// The node with one more micro-operator.
    ///
    /// Cost: two reads that the cache may not have, none where nothing follows.
    pub(crate) fn child(self, key: PackedKey) -> Option<Node> {
        if self.handler & HAS_CHILDREN == 0 {
            return None;
        }
        let (displacements, slots) = tree();
        let tag = places::tag(self.number, key.0);
        let hash = places::hash(tag);
        let displacement = u16::from_le_bytes(displacements[places::displacement_of(hash)]);
        let (found, handler) = read_slot(slots[places::slot(hash, displacement, SLOTS)]);
        let number = (found >> places::TAG_BITS) as u32;
        (found == tag | u64::from(number) << places::TAG_BITS).then_some(Node { number, handler })
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
        let mut nodes: Vec<(u64, u32)> = tree().1.iter().map(|slot| read_slot(*slot)).collect();
        // By number: a parent comes before its children.
        nodes.sort_by_key(|(tag, _)| tag >> places::TAG_BITS);
        let mut paths: HashMap<u32, Vec<Key>> = HashMap::new();
        let mut listing = HashMap::new();
        for (tag, handler) in nodes.into_iter().filter(|(tag, _)| *tag != 0) {
            let (parent, key) = places::parent_and_key(tag);
            let key = PackedKey(key);
            let op = key.number().and_then(|number| by_number.get(&number));
            let mut path = paths.get(&parent).cloned().unwrap_or_default();
            path.extend(op.map(|op| key.with_op(*op)));
            let node = Node { number: (tag >> places::TAG_BITS) as u32, handler };
            if let Some(handler) = node.handler() {
                listing.insert(handler, path.clone());
            }
            paths.insert(node.number, path);
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
