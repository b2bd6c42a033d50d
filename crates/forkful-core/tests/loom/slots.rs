//! The slots: every task is claimed once or cancelled, and its claimer sees all of it.

use super::explore_deeper;
use forkful_core::wire::{Cursor, Link, Look, Shape, Standing, TaskHead};
use loom::thread;
use std::sync::Arc;

fn link() -> Arc<Link> {
    let shape = Shape {
        workers: 2,
        slots: 2,
        ring: 128,
        library: 0,
        area: 0,
        arena: 0,
    };
    Arc::new(Link::create(shape).unwrap())
}

fn put(link: &Link, position: u64) {
    let head = TaskHead {
        position,
        loan: position + 100,
        ..TaskHead::default()
    };
    link.tasks().write(&head, b"");
    link.tasks().publish(position);
}

/// Claims once, and looks at what it got.
fn claim(link: &Link, worker: u32) -> Option<u64> {
    let position = link.tasks().claim(worker)?;
    let head = link.tasks().read(position, &mut Vec::new());
    assert_eq!(head.map(|head| head.loan), Ok(position + 100));
    Some(position)
}

#[test]
fn two_claimers_and_a_cancel_share_no_task() {
    explore_deeper(|| {
        let link = link();
        put(&link, 0);
        put(&link, 1);
        let claimers: Vec<_> = (0..2)
            .map(|worker| {
                let link = link.clone();
                thread::spawn(move || claim(&link, worker))
            })
            .collect();
        let cancelled = link.tasks().cancel(0);
        let mut got: Vec<u64> = claimers
            .into_iter()
            .filter_map(|claimer| claimer.join().unwrap())
            .collect();
        let look = link.tasks().look(0);
        assert_eq!(look == Look::Cancelled, cancelled);
        // What is left is found by whoever looks afterwards: nothing is stranded behind the hint.
        got.extend(std::iter::from_fn(|| claim(&link, 0)));
        got.sort_unstable();
        assert_eq!(got, if cancelled { vec![1] } else { vec![0, 1] });
    });
}

#[test]
fn what_is_published_while_others_look_is_found() {
    explore_deeper(|| {
        let link = link();
        put(&link, 0);
        let other = link.clone();
        let claimer = thread::spawn(move || [claim(&other, 0), claim(&other, 0)]);
        put(&link, 1);
        let mut got: Vec<u64> = claimer.join().unwrap().into_iter().flatten().collect();
        assert!(got.len() == 2 || link.tasks().is_ready());
        got.extend(std::iter::from_fn(|| claim(&link, 1)));
        assert_eq!(got, [0, 1]);
        assert!(!link.tasks().is_ready());
    });
}

#[test]
fn a_slot_s_next_lap_is_another_task() {
    explore_deeper(|| {
        let link = link();
        let mut cursor = Cursor::new(2);
        for _ in 0..2 {
            put(&link, cursor.next_position(|_| Standing::Free).unwrap());
        }
        let threads: Vec<_> = (0..2)
            .map(|worker| {
                let link = link.clone();
                thread::spawn(move || claim(&link, worker))
            })
            .collect();
        // The parent withdraws the first and puts another one into its slot, under the eyes of both.
        let mut tasks = vec![0, 1];
        if link.tasks().cancel(0) {
            link.tasks().free(0);
            let next = cursor.next_position(|index| match index {
                0 => Standing::Free,
                _ => Standing::Ready,
            });
            assert_eq!(next, Some(2));
            put(&link, 2);
            tasks = vec![1, 2];
        }
        let mut got: Vec<u64> = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap())
            .collect();
        got.extend(std::iter::from_fn(|| claim(&link, 0)));
        got.sort_unstable();
        assert_eq!(got, tasks);
    });
}

#[test]
fn a_refill_mark_or_the_parent_s_look_sees_the_claim() {
    explore_deeper(|| {
        let link = link();
        put(&link, 0);
        let other = link.clone();
        let claimer = thread::spawn(move || {
            let position = claim(&other, 1).unwrap();
            other.refill_reached(position)
        });
        link.set_refill(0);
        let seen = link.tasks().look(0) == Look::Taken(1);
        let told = claimer.join().unwrap();
        assert!(seen || told, "nobody refills");
    });
}
