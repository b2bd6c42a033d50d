//! The bells: nobody sleeps on while there is something to do.

use super::explore_deeper;
use forkful_core::deadline::Deadline;
use forkful_core::wire::{Bell, Link, OutcomeHead, Shape, TaskHead};
use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
use loom::thread;
use std::sync::Arc;

fn link(workers: u32) -> Arc<Link> {
    let shape = Shape {
        workers,
        slots: 2,
        ring: 128,
        library: 0,
        area: 0,
        arena: 0,
    };
    Arc::new(Link::create(shape).unwrap())
}

/// As the parent submits.
fn submit(link: &Link, position: u64) {
    let head = TaskHead {
        position,
        ..TaskHead::default()
    };
    link.tasks().write(&head, b"");
    link.tasks().publish(position);
    link.bells().wake_one();
}

/// As a worker looks for something to do; `None` when it may leave.
fn work(link: &Link, worker: u32) -> Option<u64> {
    loop {
        if let Some(position) = link.tasks().claim(worker) {
            return Some(position);
        }
        if link.is_closing() {
            return None;
        }
        let ready = || link.tasks().is_ready() || link.is_closing();
        link.bells().sleep_until(worker, ready, Deadline::NEVER);
    }
}

#[test]
fn a_submitted_task_wakes_its_worker() {
    explore_deeper(|| {
        let link = link(1);
        let other = link.clone();
        let worker = thread::spawn(move || [work(&other, 0), work(&other, 0)]);
        submit(&link, 0);
        submit(&link, 1);
        assert_eq!(worker.join().unwrap(), [Some(0), Some(1)]);
        assert_eq!(link.bells().sleepers(), 0);
    });
}

#[test]
fn two_tasks_wake_two_workers() {
    explore_deeper(|| {
        let link = link(2);
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let link = link.clone();
                thread::spawn(move || work(&link, worker))
            })
            .collect();
        submit(&link, 0);
        submit(&link, 1);
        let mut got: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect();
        got.sort_unstable();
        assert_eq!(got, [Some(0), Some(1)]);
    });
}

#[test]
fn a_closing_pool_lets_its_worker_go() {
    explore_deeper(|| {
        let link = link(1);
        let other = link.clone();
        let worker = thread::spawn(move || work(&other, 0));
        link.close();
        link.bells().wake_all();
        assert_eq!(worker.join().unwrap(), None);
    });
}

/// As a worker sends.
fn send(link: &Arc<Link>, worker: u32, bell: &Bell) {
    let mut writer = link.writer(worker);
    assert!(writer.try_push(&OutcomeHead::default(), b""));
    link.bells().ring(bell);
}

#[test]
fn the_leader_hears_of_every_outcome() {
    explore_deeper(|| {
        let (link, bell) = (link(2), Arc::new(Bell::create().unwrap()));
        let senders: Vec<_> = (0..2)
            .map(|worker| {
                let (link, bell) = (link.clone(), bell.clone());
                thread::spawn(move || send(&link, worker, &bell))
            })
            .collect();
        let mut readers = [link.reader(0), link.reader(1)];
        let (bells, mut got) = (link.bells(), 0);
        while got < 2 {
            let expected = bells.listen();
            if readers.iter().all(|reader| reader.is_empty()) {
                bells.sleep(expected, Deadline::NEVER);
            }
            bells.unlisten();
            for reader in &mut readers {
                got += usize::from(reader.next(&mut Vec::new()).unwrap().is_some());
            }
        }
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn without_a_leader_the_process_s_bell_rings() {
    explore_deeper(|| {
        let (link, bell) = (link(1), Arc::new(Bell::create().unwrap()));
        let (other, rung) = (link.clone(), bell.clone());
        let sender = thread::spawn(move || send(&other, 0, &rung));
        let mut reader = link.reader(0);
        let seen = bell.now();
        link.bells().arm_background(true);
        while reader.next(&mut Vec::new()).unwrap().is_none() {
            bell.sleep(seen, Deadline::NEVER);
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_bell_that_has_rung_lets_nobody_sleep() {
    explore_deeper(|| {
        let bell = Arc::new(Bell::create().unwrap());
        let rung = Arc::new(AtomicU32::new(0));
        let ringers: Vec<_> = (0..2)
            .map(|_| {
                let (bell, rung) = (bell.clone(), rung.clone());
                thread::spawn(move || {
                    rung.fetch_add(1, SeqCst);
                    bell.ring();
                })
            })
            .collect();
        // Both rings are heard, in one wake or in two; whoever rings also says so in a word of his own.
        while rung.load(SeqCst) < 2 {
            let seen = bell.now();
            if rung.load(SeqCst) < 2 {
                bell.sleep(seen, Deadline::NEVER);
            }
        }
        ringers
            .into_iter()
            .for_each(|ringer| ringer.join().unwrap());
    });
}
