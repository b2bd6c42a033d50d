//! The parent's side of a pool of processes: who is alive, what waits, what runs, and what a death means.
//!
//! Knows: wire (the letter box), sys, stats, deadline. Does not know: futures, what a task is, how a process is made; a task's
//! owner is a [`Job`], a birth is a message to a nursery.
//!
//! | file | one sentence |
//! |---|---|
//! | [`record`] | a task on its way: whose it is, its bytes, its limits |
//! | [`backlog`] | what has not entered the ring, by priority |
//! | [`pool`] | the pool itself, and its one table |
//! | `submit` | the way in, and the way back out, cancelled |
//! | `stow` | what a task takes along is copied when its turn comes |
//! | [`arena`] | who has which segment, and how each comes back |
//! | [`drain`] | the way back: whoever waits reads |
//! | [`helm`] | who leads, and what wakes him |
//! | [`numbers`] | what it tells of itself |
//! | `ends` | closed, cancelled, broken |
//! | [`hands`] | what keeps it from ending |
//! | [`flow`] | how full the ring is kept |
//! | [`roster`] | the seats of the workers, and who sits there |
//! | [`hold`] | how a worker's process is reached |
//! | [`nursery`] | messages to and from the process that makes workers |
//! | [`policy`] | what a death, a deadline, a start that hangs lead to: pure |
//! | [`supervise`] | what the nursery and the kernel tell |
//! | `births` | nurseries come and are lost, workers are asked for, and refused |
//! | `unheard` | workers that are at work while nobody tells of their birth |
//! | `hangs` | starts that are looked at, and those that hang |
//! | [`starts`] | what a start that fails or hangs leads to: pure |
//! | `bury` | what a dead worker leaves |
//! | `garbage` | what is done where shared memory holds garbage |
//! | `strays` | tasks that garbage has made nobody's: how they are found |
//! | `limits` | deadlines, sizes, kills |
//! | [`watcher`] | the thread that sees deaths and deadlines |
//! | [`post`] | who serves all pools of a process, and until when |
//! | `hatch` | the socket at which it hands descriptors in and out |
//! | [`parcels`] | the descriptors that are held for tasks and outcomes |
//!
//! Locks: one yielding lock per pool for the table (backlog, ring, seats), one that makes a thread the drainer. Jobs are finished
//! under the drainer's lock at most, never under the table's.

pub mod arena;
pub mod backlog;
mod births;
mod bury;
pub mod drain;
mod ends;
pub mod flow;
mod garbage;
pub mod hands;
mod hangs;
mod hatch;
pub mod helm;
pub mod hold;
mod limits;
pub mod numbers;
pub mod nursery;
pub mod parcels;
pub mod policy;
pub mod pool;
pub mod post;
pub mod record;
pub mod roster;
pub mod starts;
mod stow;
mod strays;
mod submit;
pub mod supervise;
mod unheard;
pub mod watcher;

pub use ends::Struck;
pub use hands::Kept;
pub use policy::{Doom, Exit, OnCrash};
pub use pool::{Pool, Settings};
pub use record::{Death, End, Job, Limits, Spare};
