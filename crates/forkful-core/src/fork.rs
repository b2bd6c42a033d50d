//! What a fork leaves behind: a generation number, and the list of what must be reset in the child.
//!
//! Knows: prim, sys. Does not know: what is registered.
//!
//! A child has one thread, and memory in whatever state the others left it. Nothing is locked before a fork (a hook of another
//! library that gives the interpreter's lock up between our "before" and the fork deadlocked 2 runs of 4); instead the child
//! declares every engine lock free and empties what it guards.

use crate::sys::{Lock, Spin, at_forks};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// How many forks lie between the first process and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Something with locks and threads, that a forked child must put into an honest state.
pub trait Inherited: Send + Sync {
    /// Runs before a fork, in the thread that forks. Takes no lock with it.
    fn prepare(&self) {}
    /// Runs in the child, on its only thread: declares locks free, forgets the threads, refuses work from now on.
    fn disown(&self);
}

type Registry = Lock<Vec<Weak<dyn Inherited>>>;

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| Lock::new(Vec::new()))
}

/// The current generation; a number kept from before a fork differs from it in the child.
#[inline]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Registers something to be disowned in forked children, as long as it lives.
pub fn register(inherited: &Arc<impl Inherited + 'static>) {
    let weak = Arc::downgrade(inherited);
    let mut list = registry().lock();
    list.retain(|known| known.strong_count() > 0);
    list.push(weak);
}

/// Has the process call [`before`] and [`after_in_child`] at each fork, whoever forks. For programs whose language has no hooks of its
/// own for that; where it has, they call these two themselves.
pub fn watch() {
    at_forks(before, after_in_child);
}

/// Call this before a fork.
pub fn before() {
    let list = registry().lock().clone();
    for inherited in list {
        if let Some(inherited) = inherited.upgrade() {
            inherited.prepare();
        }
    }
}

/// Call this in a forked child, before anything else uses the engine there.
pub fn after_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    Spin::reset();
    // A list that was cut in half by the fork can't be told from a whole one: registering happens under the caller's
    // interpreter lock where there is one, and the forking thread holds it.
    for inherited in registry().reset(Vec::new()) {
        if let Some(inherited) = inherited.upgrade() {
            inherited.disown();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    struct Flag(AtomicBool);
    impl Inherited for Flag {
        fn disown(&self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_registered_are_disowned_and_the_generation_rises() {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        register(&flag);
        let before = generation();
        after_in_child();
        assert!(flag.0.load(Ordering::Relaxed));
        assert!(generation() > before);
    }

    #[test]
    fn a_watched_fork_disowns_what_it_leaves_behind() {
        use crate::sys::{fork, leave, reap};
        watch();
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        register(&flag);
        let before = generation();
        let Some(pid) = fork().unwrap() else {
            let disowned = flag.0.load(Ordering::Relaxed);
            leave(i32::from(!disowned || generation() == before))
        };
        let ended = loop {
            if let Some(ended) = reap(pid).unwrap() {
                break ended;
            }
            std::thread::yield_now();
        };
        assert_eq!(ended.status, 0);
    }
}
