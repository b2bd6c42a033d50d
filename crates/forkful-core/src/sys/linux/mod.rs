//! Linux: one file per kernel service.
//!
//! Knows: prim, deadline. Does not know: the rest of the engine.

pub(super) mod clock;
pub(super) mod cover;
pub(super) mod cpus;
pub(super) mod futex;
pub(super) mod thread;
