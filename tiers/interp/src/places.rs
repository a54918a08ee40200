//! Where the nodes of the handler tree lie: a perfect hash of a node's parent and key.
//!
//! A hash leads to a displacement, which leads with the hash to one slot: no other node's hash and displacement lead there. So a
//! step down the tree reads two places, whether there is such a node or not. The build script finds the displacements.
//!
//! Next to a bisection over sorted children, which took as much memory: 4.1 of 114 million instructions to translate Lua, and a sixth of
//! the branches that were predicted wrongly.

/// How many displacements there are: one for about four nodes.
pub const DISPLACEMENTS: usize = 1 << DISPLACEMENT_BITS;
const DISPLACEMENT_BITS: u32 = 14;

/// Bits of a packed key.
const KEY_BITS: u32 = 29;
/// Bits of a node's number.
const NODE_BITS: u32 = 17;

/// A node by its parent's number and its key, in the low [`TAG_BITS`] bits of a word.
pub const fn tag(parent: u32, key: u32) -> u64 {
    key as u64 | (parent as u64) << KEY_BITS
}

/// What a tag was made of; what lies above it does not count.
pub const fn parent_and_key(tag: u64) -> (u32, u32) {
    ((tag >> KEY_BITS) as u32 & ((1 << NODE_BITS) - 1), tag as u32 & ((1 << KEY_BITS) - 1))
}

/// Bits of a tag; the node's own number lies above it.
pub const TAG_BITS: u32 = KEY_BITS + NODE_BITS;

/// The numbers of nodes are below.
pub const MOST_NODES: usize = 1 << NODE_BITS;

/// The first hash of a tag.
pub const fn hash(tag: u64) -> u64 {
    let mixed = tag.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

/// Which displacement a hash leads to.
pub const fn displacement_of(hash: u64) -> usize {
    (hash >> (64 - DISPLACEMENT_BITS)) as usize
}

/// Which of so many slots, less than 2^32, a hash and a displacement lead to.
pub const fn slot(hash: u64, displacement: u16, slots: usize) -> usize {
    let displaced = hash ^ (displacement as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = displaced.wrapping_mul(0xff51_afd7_ed55_8ccd);
    ((mixed >> 32) * slots as u64 >> 32) as usize
}
