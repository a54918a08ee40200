//! Why a guest stopped: the closed list of trap codes.
//!
//! Generated code names a trap by its number (rows of the trap table, explicit exits), Rust by its variant. The messages are
//! the ones of the specification's test suite.

macro_rules! trap_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $message:literal;)*) => {
        /// The reason of a trap.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum TrapCode { $($(#[$doc])* $name = $number,)* }

        impl TrapCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &[TrapCode] = &[$(TrapCode::$name),*];

            /// The code with this number, or `None` for a number that no code has.
            pub const fn from_u8(number: u8) -> Option<TrapCode> {
                match number { $($number => Some(TrapCode::$name),)* _ => None }
            }

            /// The message that the specification's test suite expects.
            pub const fn message(self) -> &'static str {
                match self { $(TrapCode::$name => $message,)* }
            }
        }
    };
}

trap_codes! {
    /// The operator `unreachable` was executed.
    UnreachableCodeReached = 1, "unreachable";
    /// A load, store or bulk operator touched bytes outside its linear memory.
    MemoryOutOfBounds = 2, "out of bounds memory access";
    /// A table operator touched elements outside its table.
    TableOutOfBounds = 3, "out of bounds table access";
    /// `call_indirect` with an index outside the table.
    UndefinedElement = 4, "undefined element";
    /// `call_indirect` found a null reference.
    UninitializedElement = 5, "uninitialized element";
    /// `call_indirect` found a function of another type.
    IndirectCallTypeMismatch = 6, "indirect call type mismatch";
    /// An integer division whose quotient does not fit, or a conversion out of range.
    IntegerOverflow = 7, "integer overflow";
    /// An integer division by zero.
    IntegerDivisionByZero = 8, "integer divide by zero";
    /// A conversion of NaN to an integer.
    BadConversionToInteger = 9, "invalid conversion to integer";
    /// The value stack or the native stack is used up.
    StackOverflow = 10, "call stack exhausted";
    /// The store's fuel is used up.
    OutOfFuel = 11, "all fuel consumed by WebAssembly";
    /// A null reference where an operator needs another.
    NullReference = 12, "null reference";
    /// A null function reference was called.
    NullFunctionReference = 13, "null function reference";
    /// The store's epoch deadline was reached.
    Interrupt = 14, "interrupt";
    /// An atomic operator with an address that is not a multiple of the bytes that it accesses.
    UnalignedAtomic = 15, "unaligned atomic";
    /// `memory.atomic.wait` on a memory that is not shared.
    ExpectedSharedMemory = 16, "expected shared memory";
}

impl core::fmt::Display for TrapCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::TrapCode;

    #[test]
    fn numbers_round_trip() {
        for code in TrapCode::ALL {
            assert_eq!(TrapCode::from_u8(*code as u8), Some(*code));
        }
        assert_eq!(TrapCode::from_u8(0), None);
    }
}
