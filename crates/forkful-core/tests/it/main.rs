//! The engine from outside, as its users drive it: one room per subject.
//!
//! Empty in a build for the model checker, whose atomics work inside a model only.

#![cfg(not(forkful_loom))]

mod counters;
mod hostile;
mod kills;
mod leaving;
mod letters;
mod parcels;
mod pools;
mod queues;
mod scribble;
mod stress;
mod watchdog;
mod zygotes;
