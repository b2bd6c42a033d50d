//! Claims, cancels and laps, step by step and against a plain model.

use super::*;
use crate::prim::AtomicU64;
use crate::wire::{Cursor, Shape, Standing};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn link(slots: u32) -> Link {
    let shape = Shape {
        workers: 3,
        slots,
        ring: 128,
        library: 0,
        area: 65536,
        arena: 0,
    };
    Link::create(shape).unwrap()
}

fn put(tasks: Tasks<'_>, position: u64, payload: &[u8]) {
    let head = TaskHead {
        position,
        function: 5,
        definitions: 6,
        flags: 7,
        len: payload.len() as u32,
        place: 4096,
        submitted: 8,
        loan: !position,
    };
    if payload.len() > INLINE {
        tasks.link.write_area(4096, payload);
    }
    tasks.write(&head, payload);
    tasks.publish(position);
}

#[test]
fn a_task_travels_whole() {
    let link = link(4);
    let (tasks, mut payload) = (link.tasks(), vec![9; 9]);
    for (position, len) in [(0, 0), (1, 1), (2, INLINE), (3, INLINE + 1)] {
        let sent: Vec<u8> = (0..len).map(|nth| nth as u8).collect();
        put(tasks, position, &sent);
        assert!(tasks.is_ready());
        assert_eq!(tasks.claim(2), Some(position));
        let head = tasks.read(position, &mut payload).unwrap();
        assert_eq!(payload, sent);
        assert_eq!(
            (head.position, head.function, head.definitions, head.flags),
            (position, 5, 6, 7)
        );
        assert_eq!((head.submitted, head.loan), (8, !position));
        assert_eq!(tasks.look(position), Look::Taken(2));
        assert!(!tasks.is_ready());
    }
    assert_eq!(tasks.read(4, &mut payload), Err(Garbage));
}

#[test]
fn a_cancelled_task_is_nobodys() {
    let link = link(4);
    let tasks = link.tasks();
    (0..3).for_each(|position| put(tasks, position, b""));
    assert!(tasks.cancel(1));
    assert!(!tasks.cancel(1));
    assert_eq!(tasks.look(1), Look::Cancelled);
    assert_eq!(
        [tasks.claim(0), tasks.claim(0), tasks.claim(0)],
        [Some(0), Some(2), None]
    );
    assert!(!tasks.cancel(0));
    tasks.free(1);
    assert_eq!(tasks.look(1), Look::Free);
    // The next lap of the slot is another task.
    put(tasks, 5, b"");
    assert!(!tasks.cancel(1));
    assert_eq!(tasks.look(1), Look::Garbage);
    assert_eq!(tasks.claim(1), Some(5));
}

#[test]
fn a_claim_that_finds_nothing_lets_its_worker_sleep() {
    let link = link(4);
    let tasks = link.tasks();
    put(tasks, 0, b"");
    // As if the claimer had died before it moved the hint.
    let taken = tasks.state(0, 1, TAKEN);
    tasks.slot(0).1.state.store(taken, Ordering::Relaxed);
    assert!(tasks.is_ready());
    assert_eq!(tasks.claim(0), None);
    assert!(!tasks.is_ready());
}

#[test]
fn a_hint_that_lies_is_healed() {
    let link = link(4);
    let tasks = link.tasks();
    put(tasks, 0, b"");
    let hint: &AtomicU64 = &link.control().hint;
    hint.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(tasks.claim(0), Some(0));
    put(tasks, 1, b"");
    hint.store(2, Ordering::Relaxed);
    assert_eq!(tasks.claim(0), None);
    tasks.rewind(2);
    assert_eq!(tasks.claim(0), Some(1));
    assert_eq!((tasks.hint(2), tasks.hint(1), tasks.hint(9)), (2, 1, 5));
}

#[test]
fn positions_near_the_end_of_numbers_do_no_harm() {
    let link = link(4);
    let tasks = link.tasks();
    for position in [u64::MAX, u64::MAX - 1, 1 << 63] {
        put(tasks, position, b"");
        tasks.look(position);
        tasks.cancel(position);
        tasks.free(position);
        let _ = tasks.claim(0);
        let _ = tasks.read(position, &mut Vec::new());
    }
    link.header().tail.store(u64::MAX, Ordering::Relaxed);
    link.control().hint.store(0, Ordering::Relaxed);
    assert_eq!(tasks.claim(0), None);
}

#[test]
fn the_refill_mark_is_told_once() {
    let link = link(4);
    assert!(!link.refill_reached(1 << 60));
    link.set_refill(2);
    assert!(!link.refill_reached(1));
    assert!(link.refill_reached(3));
    assert!(!link.refill_reached(3));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit,
    Claim(u32),
    Cancel(usize),
    Finish(usize),
    /// A claimer dies before it moves the hint.
    ClaimAndDie(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Submit),
        3 => (0..3u32).prop_map(Step::Claim),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::Finish),
        1 => (0..3u32).prop_map(Step::ClaimAndDie),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    /// Tasks are claimed in their order, each once, whatever is cancelled, taken for long, or claimed by the dying.
    #[test]
    fn slots_are_a_queue(steps in steps()) {
        const SLOTS: u32 = 8;
        let link = link(SLOTS);
        let (tasks, mut cursor) = (link.tasks(), Cursor::new(SLOTS));
        let (mut ready, mut taken) = (BTreeMap::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Submit => {
                    let of = |index: u32| move |position: &&u64| **position as u32 % SLOTS == index;
                    let position = cursor.next_position(|index| {
                        if ready.keys().any(|position| of(index)(&position)) {
                            Standing::Ready
                        } else if taken.keys().any(|position| of(index)(&position)) {
                            Standing::Taken
                        } else {
                            Standing::Free
                        }
                    });
                    match position {
                        Some(position) => {
                            prop_assert_eq!(cursor.tail(), position + 1);
                            put(tasks, position, b"x");
                            ready.insert(position, ());
                        }
                        None => prop_assert!(ready.len() + taken.len() > 0),
                    }
                }
                Step::Claim(worker) => {
                    let first = ready.pop_first().map(|(position, ())| position);
                    prop_assert_eq!(tasks.claim(worker), first);
                    if let Some(position) = first {
                        prop_assert_eq!(tasks.look(position), Look::Taken(worker));
                        taken.insert(position, ());
                    }
                }
                Step::ClaimAndDie(worker) => {
                    let hint = link.control().hint.load(Ordering::Relaxed);
                    let first = ready.pop_first().map(|(position, ())| position);
                    prop_assert_eq!(tasks.claim(worker), first);
                    link.control().hint.store(hint, Ordering::Relaxed);
                    taken.extend(first.map(|position| (position, ())));
                }
                Step::Cancel(nth) if !ready.is_empty() => {
                    let position = *ready.keys().nth(nth % ready.len()).unwrap();
                    prop_assert_eq!(tasks.look(position), Look::Ready);
                    prop_assert!(tasks.cancel(position));
                    tasks.free(position);
                    ready.remove(&position);
                }
                Step::Finish(nth) if !taken.is_empty() => {
                    let position = *taken.keys().nth(nth % taken.len()).unwrap();
                    prop_assert!(!tasks.cancel(position));
                    tasks.free(position);
                    taken.remove(&position);
                }
                Step::Cancel(_) | Step::Finish(_) => {}
            }
        }
        while let Some((position, ())) = ready.pop_first() {
            prop_assert_eq!(tasks.claim(0), Some(position));
        }
        prop_assert_eq!(tasks.claim(0), None);
    }
}
