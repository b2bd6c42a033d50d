//! The lock among threads, and with owners that are made up or dead.

use super::*;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const SOON: Duration = Duration::from_millis(3);

fn never() -> Result<(), ()> {
    Ok(())
}

/// Somebody who has lived.
fn dead() -> Owner {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    Owner::from_word(u64::from(pid) | 7 << 32).unwrap()
}

#[test]
fn one_takes_and_anybody_gives_back() {
    let (lock, me) = (LockCell::default(), Owner::me());
    assert_eq!(lock.release(), Err(NotHeld));
    assert_eq!(lock.try_acquire(me), Some(Taken::Clean));
    assert_eq!(lock.owner(), Some(me));
    assert_eq!(lock.try_acquire(me), None);
    assert_eq!(lock.try_recover(me), None);
    let soon = Deadline::after(SOON);
    assert_eq!(lock.acquire(me, soon, never), Err(WaitError::TimedOut));
    let parent = Owner::from_word(std::os::unix::process::parent_id().into()).unwrap();
    assert_eq!(lock.release_own(parent), Err(NotHeld));
    assert_eq!(lock.release_own(me), Ok(()));
    assert_eq!(lock.release(), Err(NotHeld));
    assert_eq!(lock.owner(), None);
    assert_eq!(lock.last_death(), None);
}

#[test]
fn threads_count() {
    let (lock, count, me) = (LockCell::default(), AtomicU32::new(0), Owner::me());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for nth in 0..2000 {
                    let taken = lock.acquire(me, Deadline::NEVER, never).unwrap();
                    assert_eq!(taken, Taken::Clean);
                    let seen = count.load(Relaxed);
                    if nth % 500 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    count.store(seen + 1, Relaxed);
                    lock.release().unwrap();
                }
            });
        }
    });
    assert_eq!(count.load(Relaxed), 8000);
}

#[test]
fn a_dead_holder_is_followed_and_named() {
    let (lock, me, dead) = (LockCell::default(), Owner::me(), dead());
    for flag in [0, FLAG] {
        lock.holder.store(dead.word() | flag, Relaxed);
        assert_eq!(
            lock.acquire(me, Deadline::NEVER, never),
            Ok(Taken::Recovered(dead))
        );
        assert_eq!(lock.owner(), Some(me));
        assert_eq!(lock.last_death(), Some(dead));
        lock.release().unwrap();
        lock.holder.store(dead.word() | flag, Relaxed);
        assert_eq!(lock.try_recover(me), Some(Taken::Recovered(dead)));
        lock.release().unwrap();
    }
}

#[test]
fn of_many_one_follows() {
    let (lock, me, dead) = (LockCell::default(), Owner::me(), dead());
    let recoveries = AtomicU32::new(0);
    lock.holder.store(dead.word(), Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                if let Taken::Recovered(_) = lock.acquire(me, Deadline::NEVER, never).unwrap() {
                    recoveries.fetch_add(1, Relaxed);
                }
                lock.release().unwrap();
            });
        }
    });
    assert_eq!(recoveries.load(Relaxed), 1);
}

#[test]
fn a_namesake_of_another_birth_is_dead() {
    let (lock, me) = (LockCell::default(), Owner::me());
    let namesake = Owner::from_word(me.word() ^ (1 << 40)).unwrap();
    lock.holder.store(namesake.word(), Relaxed);
    assert_eq!(
        lock.acquire(me, Deadline::NEVER, never),
        Ok(Taken::Recovered(namesake))
    );
}

#[test]
fn an_interrupt_ends_the_wait() {
    let (lock, me) = (LockCell::default(), Owner::me());
    assert_eq!(lock.try_acquire(me), Some(Taken::Clean));
    let waited = lock.acquire(me, Deadline::NEVER, || Err("now"));
    assert_eq!(waited, Err(WaitError::Interrupted("now")));
    // One that comes between two sleeps interrupts neither, and is asked for all the same.
    let mut asked = 0;
    let second = || {
        asked += 1;
        if asked == 2 { Err("then") } else { Ok(()) }
    };
    let waited = lock.acquire(me, Deadline::after(Duration::from_secs(30)), second);
    assert_eq!(waited, Err(WaitError::Interrupted("then")));
    lock.release().unwrap();
}
