//! The purse: a segment in it is had by one of the two who may take it, and what was answered is there.

use super::explore;
use forkful_core::wire::{Extent, Link, Shape};
use loom::thread;
use std::sync::Arc;

fn link() -> Arc<Link> {
    let shape = Shape {
        workers: 1,
        slots: 2,
        ring: 128,
        library: 0,
        area: 0,
        arena: 1 << 20,
    };
    Arc::new(Link::create(shape).unwrap())
}

fn segment(nth: u64) -> Extent {
    Extent {
        offset: nth << 17,
        len: 128 << 10,
    }
}

#[test]
fn a_segment_is_taken_once() {
    explore(|| {
        let link = link();
        assert!(link.purse(0).put(segment(1)));
        let other = link.clone();
        let worker = thread::spawn(move || other.purse(0).take(|_| true));
        let back = link.purse(0).take(|_| true);
        let taken = worker.join().unwrap();
        assert!(back.is_some() != taken.is_some());
        assert_eq!(back.or(taken), Some(segment(1)));
        assert_eq!(link.purse(0).content().count(), 0);
    });
}

#[test]
fn both_put_and_nothing_is_lost() {
    explore(|| {
        let link = link();
        let other = link.clone();
        let worker = thread::spawn(move || {
            let mine = other.purse(0).take(|_| true);
            other.purse(0).put(segment(2));
            mine
        });
        assert!(link.purse(0).put(segment(1)));
        let taken = worker.join().unwrap();
        let mut all: Vec<u64> = link
            .purse(0)
            .content()
            .chain(taken)
            .map(|extent| extent.offset)
            .collect();
        all.sort_unstable();
        assert_eq!(all, [segment(1).offset, segment(2).offset]);
    });
}

#[test]
fn what_was_answered_is_there() {
    explore(|| {
        let link = link();
        let other = link.clone();
        let worker = thread::spawn(move || {
            while other.purse(0).answers() == 0 {
                thread::yield_now();
            }
            other.purse(0).take(|_| true)
        });
        assert!(link.purse(0).put(segment(3)));
        link.purse(0).answer();
        assert_eq!(worker.join().unwrap(), Some(segment(3)));
    });
}
