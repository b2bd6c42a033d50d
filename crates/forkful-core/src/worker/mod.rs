//! The child's side of a pool of processes: take a task, run it, send the outcome, sleep.
//!
//! Knows: wire, sys. Does not know: the parent, what a task is ([`Runner`] does), how this process was born. It needs no file
//! descriptor: a task may close them all. What a task brings of them is fetched when it is read ([`parcel`]). Its
//! large buffers lie in segments, which it has for a while ([`holdings`]). Where no interpreter forks workers of its own, they
//! come from a [`zygote`].

pub mod holdings;
mod line;
pub mod parcel;
mod run;
pub mod zygote;

pub use run::{Desk, Ran, Runner, work};
