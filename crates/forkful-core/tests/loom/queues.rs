//! The queue of several processes: each message is taken once and whole, in order, and nobody sleeps on while there is one, or room.
//!
//! A process that is killed is one that does no more; what a kill leaves, tests with real ones show.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::sync::queue::{Message, Queue, Tried};
use loom::thread;
use std::sync::Arc;

fn put(queue: &Queue, kind: u8) {
    let message = Message {
        kind,
        front: &[kind; 8],
        cargo: None,
    };
    queue
        .put::<()>(&message, Deadline::NEVER, || Ok(()))
        .unwrap();
}

fn get(queue: &Queue) -> u8 {
    let mut content = Vec::new();
    let kind = queue
        .get::<()>(&mut content, Deadline::NEVER, || Ok(()))
        .unwrap();
    assert_eq!(content, [kind; 8]);
    kind
}

#[test]
fn a_message_wakes_who_waits_and_comes_whole() {
    explore(|| {
        let queue = Arc::new(Queue::with(0, 1).unwrap());
        let theirs = queue.clone();
        let producer = thread::spawn(move || (1..3).for_each(|kind| put(&theirs, kind)));
        assert_eq!([get(&queue), get(&queue)], [1, 2]);
        producer.join().unwrap();
        assert!(queue.is_empty());
    });
}

#[test]
fn two_producers_and_one_who_waits() {
    explore(|| {
        let queue = Arc::new(Queue::with(0, 1).unwrap());
        let theirs = queue.clone();
        let producer = thread::spawn(move || put(&theirs, 1));
        let theirs = queue.clone();
        let consumer = thread::spawn(move || [get(&theirs), get(&theirs)]);
        put(&queue, 2);
        producer.join().unwrap();
        let mut got = consumer.join().unwrap();
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn two_who_take_get_one_each() {
    explore(|| {
        let queue = Arc::new(Queue::with(0, 1).unwrap());
        let theirs = queue.clone();
        let consumer = thread::spawn(move || get(&theirs));
        let theirs = queue.clone();
        let producer = thread::spawn(move || put(&theirs, 1));
        put(&queue, 2);
        let mine = get(&queue);
        producer.join().unwrap();
        assert_eq!(mine + consumer.join().unwrap(), 3);
    });
}

#[test]
fn room_wakes_who_waits_for_it() {
    explore(|| {
        let queue = Arc::new(Queue::with(1, 1).unwrap());
        let theirs = queue.clone();
        let producer = thread::spawn(move || (1..4).for_each(|kind| put(&theirs, kind)));
        assert_eq!([get(&queue), get(&queue), get(&queue)], [1, 2, 3]);
        producer.join().unwrap();
    });
}

#[test]
fn who_only_looks_takes_nobody_s_wake() {
    explore(|| {
        let queue = Arc::new(Queue::with(0, 1).unwrap());
        let theirs = queue.clone();
        let looks = thread::spawn(move || theirs.poll::<()>(Deadline::NEVER, || Ok(())).unwrap());
        let theirs = queue.clone();
        let takes = thread::spawn(move || get(&theirs));
        put(&queue, 1);
        assert_eq!(takes.join().unwrap(), 1);
        // Who came too late to see the first one sees this.
        put(&queue, 2);
        looks.join().unwrap();
    });
}

#[test]
fn who_only_tries_gets_it_or_hears_why_not() {
    explore(|| {
        let queue = Arc::new(Queue::with(0, 1).unwrap());
        let theirs = queue.clone();
        let producer = thread::spawn(move || put(&theirs, 7));
        let mut content = Vec::new();
        match queue.try_get(&mut content, 100).unwrap() {
            Tried::Done(kind) => assert_eq!((kind, &content[..]), (7, &[7; 8][..])),
            Tried::NotNow => assert!(content.is_empty()),
            Tried::Busy => unreachable!("nobody else takes"),
        }
        producer.join().unwrap();
        assert_eq!(queue.len() as usize, 1 - content.len() / 8);
    });
}

#[test]
fn what_is_finished_lets_go_who_joins() {
    explore(|| {
        let queue = Arc::new(Queue::with(0, 1).unwrap());
        put(&queue, 1);
        put(&queue, 2);
        let theirs = queue.clone();
        let worker = thread::spawn(move || {
            (0..2).for_each(|_| assert!(theirs.task_done::<()>(|| Ok(())).unwrap()))
        });
        queue.join::<()>(Deadline::NEVER, || Ok(())).unwrap();
        assert_eq!(queue.unfinished(), 0);
        worker.join().unwrap();
    });
}
