//! The tree that finds handlers, as a perfect hash: see `src/places.rs`.

use crate::forms::Sequence;
use crate::micro::Root;
use crate::places;
use std::collections::HashMap;

/// The tree of sequences. Its nodes have numbers: the roots come first, and a parent before its children.
pub struct Tree {
    displacements: Vec<u16>,
    /// For each slot the node's tag and number, and its handler's place plus one with [`HAS_CHILDREN`]. A free slot is 0.
    slots: Vec<(u64, u32)>,
}

/// A node that no other lies below lacks this bit.
const HAS_CHILDREN: u32 = 1 << 31;

/// Slots for each hundred nodes.
const SLOTS_PERCENT: usize = 106;

struct Node {
    tag: u64,
    handler: u32,
}

impl Tree {
    /// The tree that has these handlers at these places in the text.
    ///
    /// # Panics
    /// When there are too many nodes, or no displacements are found: the build must not go on.
    pub fn new(sequences: &[Sequence], places: &[u32]) -> Tree {
        let roots = Root::ALL.len();
        let mut nodes: Vec<Node> = Vec::new();
        let mut numbers: HashMap<u64, u32> = HashMap::new();
        for ((root, keys), place) in sequences.iter().zip(places) {
            let mut parent = *root as u32;
            for key in keys {
                if let Some(above) = (parent as usize).checked_sub(roots) {
                    nodes[above].handler |= HAS_CHILDREN;
                }
                let tag = places::tag(parent, key.pack().0);
                parent = *numbers.entry(tag).or_insert_with(|| {
                    nodes.push(Node { tag, handler: 0 });
                    (roots + nodes.len() - 1) as u32
                });
            }
            assert!(place + 1 < HAS_CHILDREN, "the text is too large");
            nodes[parent as usize - roots].handler |= place + 1;
        }
        assert!(roots + nodes.len() <= places::MOST_NODES, "{} nodes are too many", nodes.len());
        let mut tree = Tree {
            displacements: vec![0; places::DISPLACEMENTS],
            slots: vec![(0, 0); nodes.len() * SLOTS_PERCENT / 100],
        };
        tree.place(&nodes, roots);
        tree
    }

    /// Finds a displacement for each bucket of nodes whose hashes share one, large buckets first.
    fn place(&mut self, nodes: &[Node], roots: usize) {
        let mut buckets: Vec<Vec<usize>> = vec![Vec::new(); places::DISPLACEMENTS];
        for (index, node) in nodes.iter().enumerate() {
            buckets[places::displacement_of(places::hash(node.tag))].push(index);
        }
        let mut order: Vec<usize> = (0..buckets.len()).collect();
        order.sort_by_key(|bucket| std::cmp::Reverse(buckets[*bucket].len()));
        for bucket in order {
            let members = &buckets[bucket];
            let slots_with = |displacement: u16| -> Option<Vec<usize>> {
                let mut taken = Vec::with_capacity(members.len());
                for index in members {
                    let hash = places::hash(nodes[*index].tag);
                    let slot = places::slot(hash, displacement, self.slots.len());
                    if self.slots[slot] != (0, 0) || taken.contains(&slot) {
                        return None;
                    }
                    taken.push(slot);
                }
                Some(taken)
            };
            let found = (0..=u16::MAX).find_map(|d| slots_with(d).map(|slots| (d, slots)));
            let (displacement, taken) = found.expect("no displacement keeps the nodes apart");
            self.displacements[bucket] = displacement;
            for (index, slot) in members.iter().zip(taken) {
                let number = (roots + index) as u64;
                self.slots[slot] = (nodes[*index].tag | number << places::TAG_BITS, nodes[*index].handler);
            }
        }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The tree as the crate reads it: the displacements, then 12 bytes a slot.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.displacements.iter().flat_map(|d| d.to_le_bytes()).collect();
        for (tag, handler) in &self.slots {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(handler.to_le_bytes());
        }
        bytes
    }
}
