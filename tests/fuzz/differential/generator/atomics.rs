//! Atomic accesses of shared memories, by a single thread.

use super::Num;
use super::expression::Address;
use super::function::Body;

impl Body<'_> {
    /// An address that atomic accesses may have, unless the program may trap here.
    pub(super) fn aligned_address(&mut self, depth: usize) -> Address {
        let mut address = self.address(depth);
        if !self.may_trap() {
            let ty = if self.shape.memories[address.memory] { "i64" } else { "i32" };
            self.op(format_args!("{ty}.const -8"));
            self.op(format_args!("{ty}.and"));
            address.offset &= !7;
        }
        address
    }

    /// An integer from a shared memory.
    pub(super) fn atomic(&mut self, ty: Num, depth: usize) {
        let Address { memory, offset } = self.aligned_address(depth - 1);
        let place = format!("$m{memory} offset={offset}");
        let sizes: &[&str] = if ty == Num::I32 { &["", "8", "16"] } else { &["", "", "8", "16", "32"] };
        let size = *self.random.pick(sizes);
        let unsigned = if size.is_empty() { "" } else { "_u" };
        let name = ty.name();
        match self.random.below(12) {
            0..=2 => self.op(format_args!("{name}.atomic.load{size}{unsigned} {place}")),
            3 | 4 => {
                self.value(ty, depth - 1);
                self.value(ty, depth - 1);
                self.op(format_args!("{name}.atomic.rmw{size}.cmpxchg{unsigned} {place}"));
            }
            5 if ty == Num::I32 => {
                self.value(Num::I32, 1);
                self.op(format_args!("memory.atomic.notify {place}"));
            }
            6 if ty == Num::I32 => {
                let (width, expected) =
                    if self.random.chance(50) { ("32", Num::I32) } else { ("64", Num::I64) };
                self.value(expected, 1);
                self.op(format_args!("i64.const 0"));
                self.op(format_args!("memory.atomic.wait{width} {place}"));
            }
            _ => {
                let operation = *self.random.pick(&["add", "sub", "and", "or", "xor", "xchg"]);
                self.value(ty, depth - 1);
                self.op(format_args!("{name}.atomic.rmw{size}.{operation}{unsigned} {place}"));
            }
        }
    }
}
