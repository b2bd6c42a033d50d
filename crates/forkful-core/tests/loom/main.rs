//! The engine's hand-overs between threads in every interleaving that the model checker finds, with one room per mechanism.
//!
//! Empty unless built for the model checker: `make loom`, or
//! `RUSTFLAGS="--cfg forkful_loom" cargo test -p forkful-core --release --test loom`.
//!
//! What a model can't see: the queues of crossbeam, which are not loom's, count as one step that everybody sees at once; a slot's
//! plain memory likewise, which is why values here carry a relaxed atomic, whose old value a reader without the handshake
//! would still find. Payload bytes in shared memory too: the words of a slot or a frame around them speak for them.

#![cfg(forkful_loom)]

mod arrivals;
mod bells;
mod conditions;
mod crew;
mod gate;
mod hands;
mod helm;
mod hooks;
mod line;
mod lock;
mod locks;
mod outcomes;
mod permits;
mod post;
mod purse;
mod queues;
mod race;
mod scoped;
mod sleepers;
mod slots;
mod stack;
mod taken;
mod value;

/// Explores `room` with at most two preemptions, or as many as `LOOM_MAX_PREEMPTIONS` says: known bugs of this kind need no more.
fn explore(room: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(room);
}

/// The same with three preemptions at least: a bell that took the flag of a later sleep lost its wake at three and not at two.
fn explore_deeper(room: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let bound = builder.preemption_bound.unwrap_or(0).max(3);
    builder.preemption_bound = Some(bound);
    builder.check(room);
}
