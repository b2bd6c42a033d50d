//! One holder at a time, who sees what the last one did.

use super::explore;
use forkful_core::sys::Lock;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

/// Counts in two relaxed steps, which only the lock makes one.
#[derive(Debug)]
struct Guarded {
    count: AtomicU32,
    inside: AtomicBool,
}

fn count(lock: &Lock<Guarded>) {
    let guarded = lock.lock();
    assert!(
        !guarded.inside.swap(true, Relaxed),
        "somebody else is inside"
    );
    let now = guarded.count.load(Relaxed);
    guarded.count.store(now + 1, Relaxed);
    guarded.inside.store(false, Relaxed);
}

#[test]
fn the_lock_excludes() {
    explore(|| {
        let lock = Arc::new(Lock::new(Guarded {
            count: AtomicU32::new(0),
            inside: AtomicBool::new(false),
        }));
        // Two threads only: of three, the model would let two yield to each other for ever.
        let other = lock.clone();
        let thread = thread::spawn(move || (0..2).for_each(|_| count(&other)));
        (0..2).for_each(|_| count(&lock));
        thread.join().unwrap();
        assert_eq!(lock.lock().count.load(Relaxed), 4);
    });
}
