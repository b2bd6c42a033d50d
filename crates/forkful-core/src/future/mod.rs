//! A value that arrives once: its states, who waits for it, what it calls.
//!
//! Knows: prim, deadline, error, sys (the futex word). Does not know: pools, threads, what the value is.
//!
//! ```text
//!                 begin                     finish
//!     PENDING ------------> RUNNING ------------------> FINISHED (returned or RAISED)
//!        |                                                 ^
//!        | cancel            notify                        | finish without begin: for futures that their maker completes
//!        +-------> CANCELLED ------> CANCELLED_AND_NOTIFIED
//! ```
//!
//! One word holds the phase and four flags ([`state`]); a waiter sleeps on that word itself, so a future that nobody waits for
//! in a special way is one allocation. Who may touch what:
//!
//! 1. The maker puts the task in before anybody else sees the future.
//! 2. Whoever wins PENDING -> RUNNING or PENDING -> CANCELLED owns the task: a [`Claim`] is the proof, and is used up by taking
//!    it.
//! 3. Whoever wins the SEIZED flag writes the value, once, before the phase says FINISHED; meanwhile nobody begins or cancels.
//! 4. From FINISHED on everybody may read the value; it does not change any more.
//! 5. Hooks are a lock-free stack: whoever pushes looks at the phase afterwards, whoever changes the phase takes the stack
//!    afterwards, so a hook fires exactly once, in the thread that completed the future or in the one that came too late.

pub mod cell;
pub mod hooks;
pub mod state;
pub mod taken;
pub mod wait;

pub use cell::{Core, Slot};
pub use hooks::{Arrivals, Hook, Hooks};
pub use state::{Cancel, Claim, Finish, Phase, Seized, State};
pub use taken::TakeOnce;
pub use wait::{sleep_until, wait_until};
