//! Barriers among threads, and after deaths in their gate.

use super::*;
use crate::sync::LockCell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

fn never() -> Result<(), ()> {
    Ok(())
}

fn barrier(parties: u32) -> BarrierCell {
    let barrier = BarrierCell::default();
    barrier.init(parties);
    barrier
}

fn pass(barrier: &BarrierCell, deadline: Deadline) -> Result<u32, Broken> {
    let me = Owner::me();
    match barrier.arrive(me, false, never).unwrap()? {
        Arrival::Early(place) => {
            barrier.wait(me, place, deadline, never).unwrap()?;
            Ok(place.index)
        }
        Arrival::Last(place) | Arrival::Act(place) => Ok(place.index),
    }
}

fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        std::thread::yield_now();
    }
}

#[test]
fn rounds_follow_each_other() {
    let (barrier, sum, rounds) = (barrier(3), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..500 {
                    rounds.fetch_add(1, Relaxed);
                    let index = pass(&barrier, Deadline::NEVER).unwrap();
                    assert!(rounds.load(Relaxed) >= 3 * (round + 1));
                    sum.fetch_add(index, Relaxed);
                    pass(&barrier, Deadline::NEVER).unwrap();
                }
            });
        }
    });
    assert_eq!(sum.load(Relaxed), 500 * 3);
    assert_eq!((barrier.arrived(), barrier.is_broken()), (0, false));
}

#[test]
fn a_deadline_breaks_it_for_all_and_a_reset_mends_it() {
    let barrier = barrier(3);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| pass(&barrier, Deadline::NEVER));
        until(|| barrier.arrived() == 1);
        let soon = Deadline::after(Duration::from_millis(2));
        assert_eq!(pass(&barrier, soon), Err(Broken));
        assert_eq!(other.join().unwrap(), Err(Broken));
        assert!(barrier.is_broken());
        assert_eq!(pass(&barrier, Deadline::NEVER), Err(Broken));
        barrier.reset(Owner::me(), never).unwrap();
        assert!(!barrier.is_broken());
        // And one that somebody waits at.
        let other = scope.spawn(|| pass(&barrier, Deadline::NEVER));
        until(|| barrier.arrived() == 1);
        barrier.reset(Owner::me(), never).unwrap();
        assert_eq!(other.join().unwrap(), Err(Broken));
        assert_eq!((barrier.arrived(), barrier.is_broken()), (0, false));
        let other = scope.spawn(|| pass(&barrier, Deadline::NEVER));
        until(|| barrier.arrived() == 1);
        barrier.abort(Owner::me(), never).unwrap();
        assert_eq!(other.join().unwrap(), Err(Broken));
        assert!(barrier.is_broken());
    });
}

#[test]
fn an_interrupt_takes_the_arrival_back() {
    let (barrier, me) = (barrier(2), Owner::me());
    let Ok(Arrival::Early(place)) = barrier.arrive(me, false, never).unwrap() else {
        panic!("first of two");
    };
    let waited = barrier.wait(me, place, Deadline::NEVER, || Err(7));
    assert_eq!(waited, Err(WaitError::Interrupted(7)));
    assert_eq!((barrier.arrived(), barrier.is_broken()), (0, false));
}

#[test]
fn all_wait_for_the_action() {
    let (barrier, me) = (barrier(2), Owner::me());
    for well in [true, false] {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| pass(&barrier, Deadline::NEVER));
            until(|| barrier.arrived() == 1);
            let Ok(Arrival::Act(place)) = barrier.arrive(me, true, never).unwrap() else {
                panic!("last of two, with an action");
            };
            std::thread::sleep(Duration::from_millis(5));
            assert!(!other.is_finished());
            barrier.acted(place, well);
            assert_eq!(other.join().unwrap().is_ok(), well);
        });
        assert_eq!(barrier.is_broken(), !well);
    }
}

#[test]
fn a_death_in_the_action_breaks_the_round() {
    let (barrier, me) = (barrier(2), Owner::me());
    let dead = Owner::from_word(me.word() ^ (1 << 40)).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| pass(&barrier, Deadline::NEVER));
        until(|| barrier.arrived() == 1);
        assert!(matches!(
            barrier.arrive(dead, true, never),
            Ok(Ok(Arrival::Act(_)))
        ));
        assert_eq!(other.join().unwrap(), Err(Broken));
    });
    assert!(barrier.is_broken());
    barrier.reset(me, never).unwrap();
    assert_eq!(barrier.gate.owner(), None::<Owner>);
}

#[test]
fn a_death_in_the_gate_before_the_round_is_over_breaks_nothing() {
    let (barrier, me) = (barrier(1), Owner::me());
    let dead = Owner::from_word(me.word() ^ (1 << 40)).unwrap();
    let gate: &LockCell = &barrier.gate;
    assert!(gate.try_acquire(dead).is_some());
    barrier.acting.store(tagged(0, 1), Relaxed);
    assert_eq!(pass(&barrier, Deadline::NEVER), Ok(0));
    assert!(!barrier.is_broken());
}
