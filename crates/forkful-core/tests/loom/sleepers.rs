//! Waits for a number: each that is posted is taken, whoever sleeps, for a while or without a limit.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::sync::Sleepers;
use forkful_core::sync::sleepers::Post;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

fn wait(words: &Sleepers) {
    let take = |_| words.update(|number| number.checked_sub(1));
    words
        .wait::<_, ()>(take, Deadline::NEVER, || Ok(()))
        .unwrap();
}

fn post(words: &Sleepers) {
    words.post(Post::Add(1), 1, |_| true).unwrap();
}

#[test]
fn a_deep_sleeper_is_woken_and_sees_what_was_done_before() {
    explore(|| {
        let words = Arc::new(Sleepers::default());
        let value = Arc::new(AtomicU32::new(0));
        let (theirs, written) = (words.clone(), value.clone());
        let poster = thread::spawn(move || {
            for nth in 1..3 {
                written.store(nth, Relaxed);
                post(&theirs);
            }
        });
        for nth in 1..3 {
            wait(&words);
            assert!(value.load(Relaxed) >= nth);
        }
        poster.join().unwrap();
        assert_eq!((words.number(), words.waiters()), (0, 0));
    });
}

#[test]
fn of_two_waiters_and_two_posts_nobody_is_left() {
    explore(|| {
        let words = Arc::new(Sleepers::default());
        let theirs = words.clone();
        let waiter = thread::spawn(move || wait(&theirs));
        let theirs = words.clone();
        let poster = thread::spawn(move || (0..2).for_each(|_| post(&theirs)));
        wait(&words);
        waiter.join().unwrap();
        poster.join().unwrap();
        assert_eq!((words.number(), words.waiters()), (0, 0));
    });
}

#[test]
fn one_change_lets_all_go() {
    explore(|| {
        let words = Arc::new(Sleepers::default());
        let theirs = words.clone();
        let pass = |words: &Sleepers| {
            words
                .wait::<_, ()>(
                    |number| (number == 1).then_some(()).ok_or(number),
                    Deadline::NEVER,
                    || Ok(()),
                )
                .unwrap();
        };
        let waiter = thread::spawn(move || pass(&theirs));
        let theirs = words.clone();
        let setter = thread::spawn(move || {
            theirs.post(Post::SetLowest, u32::MAX, |_| true).unwrap();
        });
        pass(&words);
        waiter.join().unwrap();
        setter.join().unwrap();
    });
}
