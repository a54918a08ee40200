//! Prints every handler: its offset in the handlers' text and its micro-operators.
//!
//! A profiler shows the handlers as one symbol, `crescendo_handlers_start`; this list says what runs at an offset from it.

fn main() {
    for (offset, keys) in crescendo_interp::handlers() {
        println!("{offset:#x} {keys}");
    }
}
