//! A scope ends when all that it lent is back, and sees what was done with it.

use super::explore;
use forkful_core::sys::scoped::Latch;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

#[test]
fn the_scope_sees_what_was_done() {
    explore(|| {
        let latch = Arc::new(Latch::default());
        let sum = Arc::new(AtomicU32::new(0));
        let threads = [1, 2].map(|n| {
            latch.add();
            let (latch, sum) = (latch.clone(), sum.clone());
            thread::spawn(move || {
                sum.fetch_add(n, Relaxed);
                latch.remove();
            })
        });
        latch.wait();
        assert!(latch.is_open());
        assert_eq!(sum.load(Relaxed), 3);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn whatever_is_counted_may_count_more() {
    explore(|| {
        let latch = Arc::new(Latch::default());
        let done = Arc::new(AtomicU32::new(0));
        latch.add();
        let (first, first_done) = (latch.clone(), done.clone());
        let thread = thread::spawn(move || {
            first.add();
            let (second, second_done) = (first.clone(), first_done.clone());
            let inner = thread::spawn(move || {
                second_done.fetch_add(1, Relaxed);
                second.remove();
            });
            first_done.fetch_add(1, Relaxed);
            first.remove();
            inner
        });
        latch.wait();
        assert_eq!(done.load(Relaxed), 2);
        thread.join().unwrap().join().unwrap();
    });
}
