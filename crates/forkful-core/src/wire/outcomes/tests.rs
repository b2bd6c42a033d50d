//! The ring against a queue of frames.

use super::*;
use crate::wire::Shape;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;

fn ends(ring: u32) -> (OutcomeWriter, OutcomeReader) {
    let shape = Shape {
        workers: 2,
        slots: 2,
        ring,
        library: 0,
        area: 0,
        arena: 0,
    };
    let link = Arc::new(Link::create(shape).unwrap());
    (link.writer(1), link.reader(1))
}

fn head(nth: u64, len: usize) -> OutcomeHead {
    OutcomeHead {
        position: nth,
        kind: nth as u16,
        flags: !nth as u16,
        len: len as u32,
        wall: nth.wrapping_mul(3),
        cpu: !nth,
        waited: nth << 40,
    }
}

#[test]
fn the_largest_frame_fits_and_a_larger_one_never_does() {
    let (mut writer, mut reader) = ends(256);
    let (most, mut got) = (writer.max_frame(), Vec::new());
    for nth in 0..20 {
        assert!(!writer.try_push(&head(0, 0), &vec![1; most + 1]));
        assert!(writer.try_push(&head(nth, most), &vec![nth as u8; most]));
        assert_eq!(reader.next(&mut got), Ok(Some(head(nth, most))));
        assert_eq!(got, vec![nth as u8; most]);
    }
    assert!(reader.is_empty());
}

#[test]
fn a_full_ring_refuses_and_a_reset_empties_it() {
    let (mut writer, mut reader) = ends(256);
    let pushed = (0..100).take_while(|nth| writer.try_push(&head(*nth, 0), b""));
    // One word of the ring is always a mark.
    assert_eq!(pushed.count(), 256 / 40);
    assert_eq!(reader.next(&mut Vec::new()), Ok(Some(head(0, 0))));
    assert!(writer.has_room(0));
    reader.reset();
    writer.reset();
    assert!(reader.is_empty());
    assert!(writer.try_push(&head(7, 1), b"x"));
    assert_eq!(reader.next(&mut Vec::new()), Ok(Some(head(7, 1))));
    assert_eq!(reader.next(&mut Vec::new()), Ok(None));
}

#[test]
fn a_writer_without_room_sleeps_until_some_is_read() {
    let (mut writer, mut reader) = ends(128);
    let bell = Bell::create().unwrap();
    let at_once = Deadline::after(Duration::ZERO);
    assert!(writer.try_push(&head(0, 24), &[1; 24]));
    assert_eq!(
        writer.wait_for_room(24, &bell, || false, at_once),
        Slept::TimedOut
    );
    assert_eq!(bell.now(), 1);
    assert_eq!(
        writer.wait_for_room(24, &bell, || true, Deadline::NEVER),
        Slept::Woken
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for nth in 1..1000 {
                while !writer.try_push(&head(nth, 24), &[2; 24]) {
                    writer.wait_for_room(24, &bell, || false, Deadline::NEVER);
                }
            }
        });
        let (mut got, mut next) = (Vec::new(), 0);
        while next < 1000 {
            match reader.next(&mut got).unwrap() {
                Some(found) => {
                    assert_eq!(found, head(next, 24));
                    next += 1;
                }
                None => std::thread::yield_now(),
            }
        }
    });
}

#[test]
fn garbage_is_told_until_the_reset() {
    let (mut writer, mut reader) = ends(256);
    assert!(writer.try_push(&head(0, 0), b""));
    let mut got = vec![1];
    for first in [1 << 32, 90, u64::MAX, u64::from(u32::MAX)] {
        reader.ring.word(0).store(first, Ordering::Relaxed);
        assert_eq!(reader.next(&mut got), Err(Garbage));
        assert_eq!(reader.next(&mut got), Err(Garbage));
        assert!(reader.is_empty() && got.is_empty());
        reader.reset();
        assert_eq!(reader.next(&mut got), Ok(None));
    }
}

#[test]
fn a_reader_that_lies_gets_no_writer_into_its_frames() {
    let (mut writer, reader) = ends(256);
    while writer.try_push(&head(0, 0), b"") {}
    for lie in [u64::MAX, writer.written + 1, 1 << 63] {
        reader.ring.consumed().store(lie, Ordering::Relaxed);
        assert!(!writer.has_room(0), "after {lie}");
    }
}

proptest! {
    #[test]
    fn the_ring_is_a_queue(power in 7u32..11, steps in proptest::collection::vec((any::<bool>(), 0usize..700), 1..300)) {
        let (mut writer, mut reader) = ends(1 << power);
        let (mut queue, mut got) = (VecDeque::new(), Vec::new());
        for (nth, (push, len)) in (0..).zip(steps) {
            if push {
                let payload: Vec<u8> = (0..len).map(|byte| (nth as usize * 31 + byte) as u8 | 1).collect();
                let room = writer.has_room(len);
                prop_assert_eq!(writer.try_push(&head(nth, len), &payload), room);
                prop_assert!(room || len > writer.max_frame() || !queue.is_empty());
                if room {
                    queue.push_back((head(nth, len), payload));
                }
            } else {
                prop_assert_eq!(reader.is_empty(), queue.is_empty());
                let frame = reader.next(&mut got).unwrap();
                let expected = queue.pop_front();
                prop_assert_eq!(frame, expected.as_ref().map(|(head, _)| *head));
                if let Some((_, payload)) = expected {
                    prop_assert_eq!(&got, &payload);
                }
            }
        }
    }
}
