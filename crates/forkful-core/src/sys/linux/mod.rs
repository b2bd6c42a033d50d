//! Linux: one file per kernel service.
//!
//! Knows: prim, deadline. Does not know: the rest of the engine.

pub(super) mod atfork;
pub(super) mod birth;
pub(super) mod children;
pub(super) mod clock;
pub(super) mod cover;
pub(super) mod cpus;
pub(super) mod crash;
pub(super) mod descriptor;
pub(super) mod environment;
pub(super) mod fork_hooks;
pub(super) mod futex;
pub(super) mod futex64;
pub(super) mod groups;
pub(super) mod guard;
pub(super) mod interrupts;
pub(super) mod lack;
pub(super) mod limits;
pub(super) mod map;
pub(super) mod memfd;
pub(super) mod pidfd;
pub(super) mod poll;
pub(super) mod process;
pub(super) mod signals;
pub(super) mod socket;
pub(super) mod spawn;
pub mod stream;
pub(super) mod thread;
