//! A gate opens when all have come, for all of them or for none.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::sync::gate::{Arrival, BROKEN, Gate, OPENED};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

/// Comes and waits; what it was told, and as which number it came.
fn pass(gate: &Gate, parties: usize, acts: bool) -> (u32, usize) {
    loop {
        match gate.arrive(parties, acts) {
            Arrival::Inside(parker, index) => {
                parker.wait::<()>(Deadline::NEVER, || Ok(())).unwrap();
                return (parker.told(), index);
            }
            Arrival::Door(parker) => parker.wait::<()>(Deadline::NEVER, || Ok(())).unwrap(),
            Arrival::Last(index) => {
                if acts {
                    gate.open();
                }
                return (OPENED, index);
            }
            Arrival::Broken => return (BROKEN, 0),
        }
    }
}

#[test]
fn two_rounds_do_not_mix() {
    explore(|| {
        let shared = Arc::new((Gate::default(), AtomicU32::new(0)));
        let run = |shared: &(Gate, AtomicU32)| {
            let mut indexes = 0;
            for round in 1..=2 {
                shared.1.fetch_add(1, Relaxed);
                let (told, index) = pass(&shared.0, 2, false);
                assert_eq!(told, OPENED);
                // Nobody is past this before both have come to this round.
                assert!(shared.1.load(Relaxed) >= 2 * round);
                indexes += index;
            }
            indexes
        };
        let other = shared.clone();
        let thread = thread::spawn(move || run(&other));
        assert_eq!(run(&shared) + thread.join().unwrap(), 2);
    });
}

#[test]
fn whoever_comes_while_one_acts_belongs_to_the_next_round() {
    explore(|| {
        let gate = Arc::new(Gate::default());
        let threads = [(); 2].map(|()| {
            let gate = gate.clone();
            thread::spawn(move || pass(&gate, 1, true))
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap(), (OPENED, 0));
        }
        assert_eq!(gate.waiting(), 0);
    });
}

#[test]
fn a_breach_is_told_to_all_or_comes_too_late() {
    explore(|| {
        let gate = Arc::new(Gate::default());
        let Arrival::Inside(parker, 0) = gate.arrive(2, false) else {
            panic!("the first of two waits");
        };
        let other = gate.clone();
        let other = thread::spawn(move || pass(&other, 2, false).0);
        gate.break_down(false);
        parker.wait::<()>(Deadline::NEVER, || Ok(())).unwrap();
        assert_eq!(other.join().unwrap(), parker.told());
        assert!(gate.is_broken());
    });
}

#[test]
fn a_reset_sends_everybody_inside_away_and_nobody_else() {
    explore(|| {
        let gate = Arc::new(Gate::default());
        let other = gate.clone();
        let waiter = thread::spawn(move || {
            // The second time the reset is over, or comes while it waits and sends it away again.
            while pass(&other, 2, false).0 == BROKEN {}
        });
        gate.reset();
        assert_eq!(pass(&gate, 2, false).0, OPENED);
        waiter.join().unwrap();
        assert!(!gate.is_broken());
    });
}

#[test]
fn who_gives_up_takes_the_others_along_unless_the_gate_has_opened() {
    explore(|| {
        let gate = Arc::new(Gate::default());
        let Arrival::Inside(parker, 0) = gate.arrive(2, false) else {
            panic!("the first of two waits");
        };
        let other = gate.clone();
        let other = thread::spawn(move || pass(&other, 2, false).0);
        let told = match gate.give_up(&parker, true) {
            0 => BROKEN,
            told => told,
        };
        assert_eq!(other.join().unwrap(), told);
        assert_eq!(gate.is_broken(), told == BROKEN);
    });
}
