//! The tree that finds handlers: see `src/table.rs` for how it is read.
//!
//! The children of a node are a block of slots, in which a key is found by its hash; a block of one child is full, the others have free slots.
//! Behind a block come those of its nodes, in their order, so that a chain of only children is in neighbouring slots: 17,000
//! of 20,400 nodes with children have one.

use crate::forms::Sequence;
use crate::micro::{PackedKey, Root};
use std::collections::BTreeMap;

/// A child of a node: three words of the tree.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// 0 if the slot is free.
    key: u32,
    /// The place of the handler plus one, 0 if the sequence has none.
    handler: u32,
    block: u32,
}

/// The tree of sequences.
pub struct Tree {
    slots: Vec<Slot>,
    /// The blocks of the roots.
    pub roots: Vec<u32>,
}

#[derive(Default)]
struct Node {
    handler: u32,
    children: BTreeMap<u32, Node>,
}

impl Tree {
    /// The tree that has these handlers at these places in the text.
    pub fn new(sequences: &[Sequence], places: &[u32]) -> Tree {
        let mut roots: Vec<Node> = Root::ALL.iter().map(|_| Node::default()).collect();
        for ((root, keys), place) in sequences.iter().zip(places) {
            let node = keys
                .iter()
                .fold(&mut roots[*root as usize], |node, key| node.children.entry(key.pack().0).or_default());
            node.handler = place + 1;
        }
        let mut tree = Tree { slots: Vec::new(), roots: Vec::new() };
        tree.roots = roots.iter().map(|root| tree.add(root)).collect();
        tree
    }

    /// Adds the children of a node and all below, and gives their block.
    fn add(&mut self, node: &Node) -> u32 {
        if node.children.is_empty() {
            return 0;
        }
        let bits = match node.children.len() {
            1 => 0,
            // Three of four slots are taken at most.
            n => (n * 4).div_ceil(3).next_power_of_two().ilog2(),
        };
        let (first, mask) = (self.slots.len(), (1 << bits) - 1);
        self.slots.resize(first + (1 << bits), Slot::default());
        for (key, child) in &node.children {
            let mut at = PackedKey(*key).hash(bits);
            while self.slots[first + at].key != 0 {
                at = (at + 1) & mask;
            }
            self.slots[first + at] = Slot { key: *key, handler: child.handler, block: 0 };
        }
        for at in first..first + (1 << bits) {
            if let Some(child) = node.children.get(&self.slots[at].key) {
                self.slots[at].block = self.add(child);
            }
        }
        let block = (first as u32) << PackedKey::BLOCK_BITS | bits;
        assert!(block != 0, "the first root has more than one child");
        block
    }

    /// The tree as the crate reads it: slot by slot.
    pub fn bytes(&self) -> Vec<u8> {
        let words = self.slots.iter().flat_map(|slot| [slot.key, slot.handler, slot.block]);
        words.flat_map(u32::to_le_bytes).collect()
    }
}
