//! The books against a list of who has what, over an arena that nobody else looks at.

use super::*;
use crate::fork::Inherited;
use crate::shm::{Bytes, append};
use crate::wire::Shape;
use proptest::prelude::*;

const LEN: u64 = 256 << 10;

fn arena(cap: u64) -> Arc<Arena> {
    let shape = Shape {
        workers: 2,
        slots: 8,
        ring: 1024,
        library: 4096,
        area: 65536,
        arena: 64 << 20,
    };
    let link = Arc::new(Link::create(shape).unwrap());
    Arena::new(link, cap, Box::new(|| ()), Box::new(|| ()))
}

#[test]
fn a_loan_goes_its_way_and_comes_back() {
    let arena = arena(64 << 20);
    let segment = arena.alloc(LEN, false).unwrap();
    arena.place(segment.offset, Some(7));
    assert_eq!(arena.task_of(segment.offset), Some(7));
    // Not to be had by another task or worker.
    assert!(arena.returned(0, segment.offset, Some(8)).is_err());
    assert!(arena.accept(0, 8, &[segment.offset]).is_err());
    arena.withdraw(segment.offset, Some(8));
    arena.leave(segment.offset, 7, 1);
    assert!(arena.returned(0, segment.offset, None).is_err());
    assert!(arena.accept(0, 7, &[segment.offset]).is_err());
    let loans = arena.accept(1, 7, &[segment.offset]).unwrap();
    assert_eq!(arena.standing().views, 1);
    assert!(
        arena.accept(1, 7, &[segment.offset]).is_err(),
        "it is the parent's now"
    );
    arena.bury(1);
    assert_eq!(arena.standing().segments, 1, "a view outlives the worker");
    drop(loans);
    let standing = arena.standing();
    assert_eq!(
        (standing.segments, standing.lent, standing.warm),
        (0, 0, LEN)
    );
    arena.trim();
    assert_eq!(arena.standing().warm, 0);
}

#[test]
fn one_segment_is_not_handed_over_twice_in_one_message() {
    let arena = arena(64 << 20);
    let segment = arena.alloc(LEN, false).unwrap();
    arena.place(segment.offset, Some(1));
    assert!(
        arena
            .accept(0, 1, &[segment.offset, segment.offset])
            .is_err()
    );
    assert_eq!(arena.standing().segments, 0);
}

#[test]
fn a_purse_is_filled_once_and_emptied_for_whoever_finds_nothing() {
    let arena = arena(2 * LEN);
    arena.fill_purse(0, LEN);
    arena.fill_purse(0, LEN);
    assert_eq!(arena.standing().segments, 1);
    let one = arena.alloc(LEN, false).unwrap();
    // The purse gives way.
    let two = arena.alloc(LEN, false).unwrap();
    assert_ne!(one, two);
    assert_eq!(arena.alloc(LEN, false), None);
    assert!(arena.alloc(LEN, true).is_some());
    assert_eq!(arena.link.purse(0).content().count(), 0);
}

#[test]
fn a_fork_makes_views_private_and_their_pages_are_free() {
    let arena = arena(64 << 20);
    let segment = arena.alloc(LEN, false).unwrap();
    arena.place(segment.offset, Some(1));
    let mut loans = arena.accept(0, 1, &[segment.offset]).unwrap();
    let loan = loans.pop().unwrap();
    let at = loan.at(0, LEN).unwrap();
    assert!(loan.at(1, LEN).is_none());
    arena.link.stow(segment.offset, &Bytes::of(vec![7; 16]));
    arena.prepare();
    arena.prepare();
    let mut seen = Vec::new();
    append(&Bytes::at(at, 16), &mut seen).unwrap();
    assert_eq!(seen, [7; 16]);
    assert_eq!(arena.standing().views, 1);
    drop(loan);
    let standing = arena.standing();
    assert_eq!(
        (standing.segments, standing.warm),
        (0, 0),
        "its pages went at the fork"
    );
}

#[test]
fn what_came_in_just_before_a_fork_is_the_child_s_own() {
    let arena = arena(64 << 20);
    let parent = Link::open(arena.link.fd().unwrap()).unwrap();
    let segment = arena.alloc(LEN, false).unwrap();
    arena.place(segment.offset, Some(1));
    arena.prepare();
    let loans = arena.accept(0, 1, &[segment.offset]).unwrap();
    let at = loans[0].at(0, 16).unwrap();
    parent.stow(segment.offset, &Bytes::of(vec![7; 16]));
    let seen = || {
        let mut seen = Vec::new();
        append(&Bytes::at(at, 16), &mut seen).unwrap();
        seen
    };
    assert_eq!(seen(), [7; 16]);
    arena.disown();
    parent.stow(segment.offset, &Bytes::of(vec![8; 16]));
    assert_eq!(seen(), [7; 16]);
}

#[derive(Clone, Debug)]
enum Step {
    Alloc(u64),
    Withdraw(usize),
    Leave(usize, u32),
    Return(usize, u32),
    Accept(usize, u32),
    Drop(usize),
    Fill(u32, u64),
    Take(u32),
    Bury(u32),
    Trim,
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0u32..2;
    prop_oneof![
        (1u64..(3 << 20)).prop_map(Step::Alloc),
        (0usize..8).prop_map(Step::Withdraw),
        (0usize..8, worker.clone()).prop_map(|(nth, worker)| Step::Leave(nth, worker)),
        (0usize..8, worker.clone()).prop_map(|(nth, worker)| Step::Return(nth, worker)),
        (0usize..8, worker.clone()).prop_map(|(nth, worker)| Step::Accept(nth, worker)),
        (0usize..8).prop_map(Step::Drop),
        (worker.clone(), 1u64..(3 << 20)).prop_map(|(worker, len)| Step::Fill(worker, len)),
        worker.clone().prop_map(Step::Take),
        worker.prop_map(Step::Bury),
        Just(Step::Trim),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Has {
    Task(u64),
    Worker(u32),
}

proptest! {
    /// Whoever says that he has what he has not is refused; whoever has it is believed; and no two have the same.
    #[test]
    fn everybody_has_his_own(steps in prop::collection::vec(step(), 1..80)) {
        let arena = arena(16 << 20);
        let (mut held, mut views): (Vec<(Extent, Has)>, Vec<Loan>) = (Vec::new(), Vec::new());
        for (position, step) in (1u64..).zip(steps) {
            match step {
                Step::Alloc(len) => {
                    if let Some(segment) = arena.alloc(len, false) {
                        arena.place(segment.offset, Some(position));
                        held.push((segment, Has::Task(position)));
                    }
                }
                Step::Withdraw(nth) => {
                    if let Some(&(segment, Has::Task(at))) = held.get(nth) {
                        arena.withdraw(segment.offset, Some(at));
                        held.remove(nth);
                    }
                }
                Step::Leave(nth, worker) => {
                    if let Some((segment, has)) = held.get_mut(nth)
                        && let Has::Task(at) = *has
                    {
                        arena.leave(segment.offset, at, worker);
                        *has = Has::Worker(worker);
                    }
                }
                Step::Return(nth, worker) => {
                    if let Some(&(segment, has)) = held.get(nth) {
                        let own = has == Has::Worker(worker);
                        prop_assert_eq!(arena.returned(worker, segment.offset, None).is_ok(), own);
                        if own {
                            held.remove(nth);
                        }
                    }
                }
                Step::Accept(nth, worker) => {
                    if let Some(&(segment, has)) = held.get(nth) {
                        let own = has == Has::Worker(worker);
                        let loans = arena.accept(worker, 0, &[segment.offset]);
                        prop_assert_eq!(loans.is_ok(), own);
                        if own {
                            held.remove(nth);
                            views.extend(loans.unwrap());
                        }
                    }
                }
                Step::Drop(nth) => {
                    if nth < views.len() {
                        views.remove(nth);
                    }
                }
                Step::Fill(worker, len) => arena.fill_purse(worker, len),
                Step::Take(worker) => {
                    if let Some(segment) = arena.link.purse(worker).take(|_| true) {
                        held.push((segment, Has::Worker(worker)));
                    }
                }
                Step::Bury(worker) => {
                    arena.bury(worker);
                    held.retain(|(_, has)| *has != Has::Worker(worker));
                }
                Step::Trim => arena.trim(),
            }
            let views = views.iter().map(|loan| loan.segment);
            let purses = (0..2).flat_map(|worker| arena.link.purse(worker).content().collect::<Vec<_>>());
            let mut all: Vec<Extent> = held.iter().map(|(segment, _)| *segment).chain(views).chain(purses).collect();
            prop_assert_eq!(arena.standing().segments, all.len());
            prop_assert_eq!(arena.standing().lent, all.iter().map(|segment| segment.len).sum::<u64>());
            all.sort_by_key(|segment| segment.offset);
            for pair in all.windows(2) {
                prop_assert!(pair[0].offset + pair[0].len <= pair[1].offset);
            }
        }
        views.clear();
        for (segment, has) in held {
            match has {
                Has::Task(at) => arena.withdraw(segment.offset, Some(at)),
                Has::Worker(_) => {}
            }
        }
        arena.bury(0);
        arena.bury(1);
        arena.trim();
        let cap = arena.cap();
        prop_assert_eq!(arena.standing().segments, 0);
        prop_assert!(cap == 16 << 20 && arena.standing().warm == 0);
    }
}
