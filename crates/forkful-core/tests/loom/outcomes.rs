//! The outcome ring: whole frames in their order, and no writer that sleeps on while there is room.

use super::explore_deeper;
use forkful_core::deadline::Deadline;
use forkful_core::wire::{Bell, Link, OutcomeHead, OutcomeReader, OutcomeWriter, Shape};
use loom::thread;
use std::sync::Arc;

fn ends() -> (OutcomeWriter, OutcomeReader) {
    let shape = Shape {
        workers: 1,
        slots: 1,
        ring: 128,
        library: 0,
        area: 0,
        arena: 0,
    };
    let link = Arc::new(Link::create(shape).unwrap());
    (link.writer(0), link.reader(0))
}

fn head(nth: u64) -> OutcomeHead {
    OutcomeHead {
        position: nth,
        wall: nth + 1,
        cpu: nth + 2,
        waited: nth + 3,
        len: 0,
        ..OutcomeHead::default()
    }
}

/// Reads so many frames, and checks each.
fn read(reader: &mut OutcomeReader, from: u64, count: u64) {
    let mut next = from;
    while next < from + count {
        match reader.next(&mut Vec::new()).unwrap() {
            Some(found) => {
                assert_eq!(found, head(next));
                next += 1;
            }
            None => thread::yield_now(),
        }
    }
}

#[test]
fn frames_arrive_whole_and_in_order() {
    explore_deeper(|| {
        let (mut writer, mut reader) = ends();
        let pusher = thread::spawn(move || {
            for nth in 0..4 {
                while !writer.try_push(&head(nth), b"") {
                    thread::yield_now();
                }
            }
        });
        read(&mut reader, 0, 4);
        pusher.join().unwrap();
        assert!(reader.is_empty());
    });
}

#[test]
fn a_writer_without_room_wakes_when_there_is_some() {
    explore_deeper(|| {
        let (mut writer, mut reader) = ends();
        let bell = Bell::create().unwrap();
        (0..3).for_each(|nth| assert!(writer.try_push(&head(nth), b"")));
        let pusher = thread::spawn(move || {
            // Not asked again after the sleep: whoever sleeps on here has missed his wake, and the model is stuck.
            writer.wait_for_room(0, &bell, || false, Deadline::NEVER);
            assert!(writer.try_push(&head(3), b""));
        });
        read(&mut reader, 0, 3);
        // As every drain ends.
        let last = reader.next(&mut Vec::new()).unwrap();
        pusher.join().unwrap();
        if last.is_none() {
            read(&mut reader, 3, 1);
        }
    });
}
