//! The ledger among threads, and with holders that are made up or dead.

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

fn ledger(permits: u32, most: u32) -> LedgerCell {
    let ledger = LedgerCell::default();
    ledger.init(permits, most);
    ledger
}

#[test]
fn permits_are_taken_given_and_forgotten() {
    let (ledger, me) = (ledger(2, 2), Owner::me());
    let one = ledger.try_acquire(me).unwrap();
    let two = ledger.try_acquire(me).unwrap();
    assert_eq!((ledger.try_acquire(me), ledger.free()), (None, 0));
    let soon = Deadline::after(SOON);
    assert_eq!(ledger.acquire(me, soon, never), Err(WaitError::TimedOut));
    ledger.release(me, one);
    assert_eq!((ledger.free(), ledger.add(me, 1)), (1, Err(TooMany)));
    ledger.forget(me, two);
    assert_eq!((ledger.free(), ledger.add(me, 2)), (1, Err(TooMany)));
    assert_eq!((ledger.add(me, 1), ledger.free()), (Ok(()), 2));
    assert!(ledger.rows.iter().all(|row| row.owner().is_none()));
}

#[test]
fn what_a_dead_one_holds_comes_back() {
    let (ledger, me, gone) = (ledger(3, 3), Owner::me(), dead());
    let kept = ledger.try_acquire(me).unwrap();
    for _ in 0..2 {
        let _ = ledger.try_acquire(gone).unwrap();
    }
    assert_eq!(ledger.free(), 0);
    let permit = ledger.acquire(me, Deadline::NEVER, never).unwrap();
    assert_eq!((ledger.free(), ledger.last_death()), (1, Some(gone)));
    ledger.release(me, permit);
    ledger.release(me, kept);
    assert_eq!(ledger.free(), 3);
}

#[test]
fn a_dead_one_at_the_gate_is_followed() {
    let (ledger, me, gone) = (ledger(1, 1), Owner::me(), dead());
    // It has named itself, and written nothing.
    assert!(ledger.gate.try_acquire(gone).is_some());
    ledger.used.store(1, Relaxed);
    ledger.rows[0].owner.store(gone.word(), Relaxed);
    let permit = ledger.acquire(me, Deadline::NEVER, never).unwrap();
    assert_eq!((permit, ledger.free()), (Permit::Noted, 0));
    ledger.release(me, permit);
    assert_eq!(ledger.free(), 1);
}

#[test]
fn without_a_row_a_permit_is_loose() {
    let (ledger, me) = (ledger(2, 2), Owner::me());
    let parent = Owner::from_word(std::os::unix::process::parent_id().into()).unwrap();
    ledger.used.store(u64::MAX, Relaxed);
    for row in ledger.rows.iter() {
        row.owner.store(parent.word(), Relaxed);
    }
    let permit = ledger.try_acquire(me).unwrap();
    assert_eq!((permit, ledger.free()), (Permit::Loose, 1));
    ledger.release(me, permit);
    assert_eq!(ledger.free(), 2);
}

#[test]
fn never_more_than_there_are() {
    let (ledger, me) = (ledger(2, 2), Owner::me());
    let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for nth in 0..500 {
                    let permit = ledger.acquire(me, Deadline::NEVER, never).unwrap();
                    let now = inside.fetch_add(1, Relaxed) + 1;
                    most.fetch_max(now, Relaxed);
                    if nth % 50 == 0 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    inside.fetch_sub(1, Relaxed);
                    ledger.release(me, permit);
                }
            });
        }
    });
    assert_eq!((ledger.free(), most.into_inner()), (2, 2));
}
