//! Waits among threads: who is woken, who sleeps deep, and what a wake that was lost by a death costs.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

fn never() -> Result<(), ()> {
    Ok(())
}

fn take_one(words: &Sleepers) -> Result<(), u32> {
    words.update(|number| number.checked_sub(1)).map(drop)
}

fn wait(words: &Sleepers, deadline: Deadline) -> Result<(), WaitError<()>> {
    words.wait(|_| take_one(words), deadline, never)
}

fn post(words: &Sleepers) {
    words.post(Post::Add(1), 1, |_| true).unwrap();
}

fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_deep(words: &Sleepers) -> bool {
    words.word.load(Relaxed) as u32 & DEEP != 0 && words.word.sleepers() == Some(1)
}

#[test]
fn a_number_is_changed_as_it_may_be() {
    let words = Sleepers::default();
    assert_eq!(words.update(|number| number.checked_sub(1)), Err(0));
    assert_eq!(words.post(Post::Add(3), 1, |_| true), Ok(()));
    assert_eq!(words.post(Post::Add(3), 1, |number| number < 3), Err(3));
    assert_eq!(words.update(|number| number.checked_sub(1)), Ok(3));
    assert_eq!(words.number(), 2);
    words.post(Post::SetLowest, 1, |_| true).unwrap();
    assert_eq!(words.number(), 3);
    words.word.store(MOST.into(), Relaxed);
    post(&words);
    assert_eq!(words.number(), 0);
}

#[test]
fn all_that_is_posted_is_taken() {
    let words = Sleepers::default();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..3000).for_each(|_| wait(&words, Deadline::NEVER).unwrap()));
            scope.spawn(|| (0..3000).for_each(|_| post(&words)));
        }
    });
    assert_eq!((words.number(), words.waiters()), (0, 0));
}

#[test]
fn who_is_alone_sleeps_deep_and_is_woken() {
    let words = Sleepers::default();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(&words, Deadline::NEVER));
        until(|| is_deep(&words));
        post(&words);
        assert_eq!(waiter.join().unwrap(), Ok(()));
        // What is left of it disturbs nobody.
        post(&words);
        assert_eq!(wait(&words, Deadline::NEVER), Ok(()));
        let waiter = scope.spawn(|| wait(&words, Deadline::NEVER));
        until(|| is_deep(&words));
        post(&words);
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_second_one_ends_the_deep_sleep_and_a_lost_wake_is_found() {
    let words = Sleepers::default();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| wait(&words, Deadline::NEVER));
        until(|| is_deep(&words));
        let second = scope.spawn(|| wait(&words, Deadline::NEVER));
        until(|| words.word.sleepers() == Some(2) && words.word.load(Relaxed) as u32 & DEEP == 0);
        // As if somebody had been woken and killed: the number is there, and nobody is told.
        words.word.fetch_add(1, Relaxed);
        until(|| words.number() == 0);
        post(&words);
        assert_eq!(first.join().unwrap(), Ok(()));
        assert_eq!(second.join().unwrap(), Ok(()));
    });
}

#[test]
fn the_dead_who_are_counted_keep_nobody_from_sleeping_deep() {
    let words = Sleepers::default();
    words.word.fetch_add(5 * ONE, Relaxed);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(&words, Deadline::NEVER));
        until(|| is_deep(&words));
        post(&words);
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
    assert_eq!(words.waiters(), 5);
}

#[test]
fn a_deadline_ends_a_wait_and_so_does_an_interrupt() {
    let words = Sleepers::default();
    for millis in [1, 50] {
        let soon = Deadline::after(Duration::from_millis(millis));
        assert_eq!(wait(&words, soon), Err(WaitError::TimedOut));
    }
    let waited = words.wait(|_| take_one(&words), Deadline::NEVER, || Err(7));
    assert_eq!(waited, Err(WaitError::Interrupted(7)));
    assert_eq!(words.waiters(), 0);
}

#[test]
fn an_interrupt_between_two_sleeps_ends_a_wait_too() {
    let words = Sleepers::default();
    let mut asked = 0;
    let second = || {
        asked += 1;
        if asked == 2 { Err(7) } else { Ok(()) }
    };
    let late = Deadline::after(Duration::from_secs(30));
    let waited = words.wait(|_| take_one(&words), late, second);
    assert_eq!(waited, Err(WaitError::Interrupted(7)));
    assert_eq!(words.waiters(), 0);
    post(&words);
    assert_eq!(wait(&words, late), Ok(()));
}

#[test]
fn all_are_woken_by_one_call() {
    let (words, woken) = (Sleepers::default(), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                words
                    .wait(
                        |number| (number == 1).then_some(()).ok_or(number),
                        Deadline::NEVER,
                        never,
                    )
                    .unwrap();
                woken.fetch_add(1, Relaxed);
            });
        }
        until(|| words.waiters() == 5);
        words.post(Post::SetLowest, u32::MAX, |_| true).unwrap();
    });
    assert_eq!(woken.load(Relaxed), 5);
}

#[test]
fn comers_and_goers_lose_nothing() {
    // Waits that end in time, among waits that don't, while somebody posts: none of the posts may be left with a sleeper beside it.
    let (words, over) = (Sleepers::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for nth in 0..2 {
            let (words, over) = (&words, &over);
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    let soon = Deadline::after(Duration::from_micros(30 * (nth + 1)));
                    if wait(words, soon).is_ok() {
                        post(words);
                    }
                }
            });
        }
        for _ in 0..300 {
            post(&words);
            wait(&words, Deadline::NEVER).unwrap();
        }
        over.store(true, Relaxed);
    });
    assert_eq!((words.number(), words.waiters()), (0, 0));
}
