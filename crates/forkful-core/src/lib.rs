//! The engine of forkful: futures, a thread pool and the ground that they stand on.
//!
//! The house, bottom up; a module imports only from the storeys below it, and `cargo xtask layers` fails an upward import:
//!
//! | storey | modules | one sentence |
//! |---|---|---|
//! | bottom | [`prim`], [`id`], [`deadline`], [`error`] | the switch to the model checker; who is who; until when; how submission fails |
//! | cellar | [`sys`] | futexes, clocks, CPUs, the exit cover: the only door to the kernel |
//! | meters, memory | [`stats`], [`shm`] | counters that everybody writes and nobody waits for; memory that two processes see |
//! | ground | [`future`], [`fork`], [`sync`] | a value that arrives once; what a fork leaves behind; locks and events of several processes |
//! | letter box | [`wire`] | tasks, outcomes and bells between a pool's parent and its workers |
//! | first | [`threads`] | the pool: a queue, a crew that sleeps and wakes, the nested wait |
//!
//! The engine moves opaque payloads. It never names an interpreter; what a task is, and who starts a thread, its user says.
//!
//! `unsafe` has three doors here: `sys`, `shm` and `future/cell.rs`.

pub mod deadline;
pub mod error;
pub mod fork;
pub mod future;
pub mod id;
pub mod prim;
pub mod procs;
pub mod shm;
pub mod stats;
pub mod sync;
pub mod sys;
pub mod threads;
pub mod wire;
pub mod worker;
