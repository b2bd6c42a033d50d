//! Tasks and outcomes between real processes, and workers that die at chosen instructions and at random ones.

use crate::letters::{Parent, Wreck};
use crate::watchdog::Watchdog;
use forkful_core::wire::Shape;
use std::thread;
use std::time::Duration;

fn shape(workers: u32, slots: u32, ring: u32) -> Shape {
    Shape {
        workers,
        slots,
        ring,
        library: 0,
        area: u64::from(slots) * 4096,
        arena: 0,
    }
}

#[test]
fn a_hundred_thousand_letters_between_two_processes() {
    let _watchdog = Watchdog::over("a_hundred_thousand_letters_between_two_processes");
    let mut parent = Parent::new(shape(1, 256, 65536), "");
    (0..100_000).for_each(|_| parent.submit());
    parent.finish();
    assert_eq!(parent.close(), 100_000);
}

#[test]
fn a_small_ring_holds_up_workers_but_loses_nothing() {
    let _watchdog = Watchdog::over("a_small_ring_holds_up_workers_but_loses_nothing");
    let mut parent = Parent::new(shape(2, 64, 4096), "");
    for _ in 0..100 {
        // Nobody reads meanwhile, until there is no slot either.
        (0..100).for_each(|_| parent.submit());
        thread::yield_now();
    }
    parent.finish();
    assert_eq!(parent.close(), 10_000);
}

/// Each instruction, and what its death leaves: tasks without outcome, and how many of them had begun.
const POINTS: [(&str, usize, usize); 8] = [
    ("claim.before_hint", 1, 0),
    ("claim.done", 1, 0),
    ("outcome.written", 1, 1),
    ("outcome.committed", 0, 0),
    ("bell.swapped", 0, 0),
    ("sleep.armed", 0, 0),
    ("sleep.bit", 0, 0),
    ("sleep.before_wait", 0, 0),
];

#[test]
fn a_death_at_any_point_costs_nothing_but_its_own_task() {
    let _watchdog = Watchdog::over("a_death_at_any_point_costs_nothing_but_its_own_task");
    for (point, requeued, begun) in POINTS {
        for count in [1, 3, 20] {
            let mut parent = Parent::new(shape(1, 16, 4096), &format!("{point}:{count}"));
            // In ones, so that it sleeps and the leader is armed, until it has died; then once more for its successor.
            while parent.wrecks.is_empty() {
                parent.submit();
                parent.finish();
            }
            (0..50).for_each(|_| parent.submit());
            parent.finish();
            assert_eq!(
                parent.wrecks,
                [Wreck { requeued, begun }],
                "{point}:{count}"
            );
            parent.close();
        }
    }
}

#[test]
fn the_others_go_on_when_one_dies() {
    let _watchdog = Watchdog::over("the_others_go_on_when_one_dies");
    for (point, requeued, begun) in POINTS {
        let mut parent = Parent::new(shape(2, 16, 4096), &format!("{point}:5"));
        for round in 0.. {
            (0..1 + round % 7).for_each(|_| parent.submit());
            parent.finish();
            if !parent.wrecks.is_empty() {
                break;
            }
        }
        assert_eq!(parent.wrecks, [Wreck { requeued, begun }], "{point}");
        (0..50).for_each(|_| parent.submit());
        parent.finish();
        parent.close();
    }
}

#[test]
fn random_kills_lose_nothing() {
    let _watchdog = Watchdog::over("random_kills_lose_nothing");
    let mut parent = Parent::new(shape(2, 64, 4096), "");
    for round in 0u32..60 {
        for nth in 0..200 {
            parent.submit();
            if nth == round * 7 % 200 {
                parent.kill(round % 2);
            }
        }
        if round % 3 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    parent.finish();
    assert!(!parent.wrecks.is_empty());
    assert!(parent.wrecks.iter().all(|wreck| wreck.requeued <= 1));
    parent.close();
}
