//! forkful beside other crates: the comparisons are the benches of this crate, which has no code of its own.
