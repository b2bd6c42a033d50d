//! How threads and processes wait for each other.
//!
//! Knows: prim, deadline, error, sys, fork (the generation). Does not know: pools, futures, what is guarded.

pub mod flag;
pub mod gate;
pub mod line;
pub mod park;
pub mod permits;

pub use flag::Flag;
pub use gate::Gate;
pub use line::Line;
pub use park::Parker;
pub use permits::Permits;
