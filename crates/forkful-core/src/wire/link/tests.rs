//! What opens, what is refused, and the quieter parts: library, area, pages, bells.

use super::*;
use crate::deadline::Deadline;
use crate::sys::{Slept, memfd};
use crate::wire::{Bell, MOST_ENTRIES, Status};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const SHAPE: Shape = Shape {
    workers: 70,
    slots: 16,
    ring: 4096,
    library: 10_000,
    area: 100_000,
    arena: 0,
};

fn made() -> Arc<Link> {
    Arc::new(Link::create(SHAPE).unwrap())
}

#[test]
fn an_opened_link_has_the_same_shape_and_memory() {
    let made = made();
    let opened = Link::open(made.fd().unwrap()).unwrap();
    assert_eq!(opened.shape(), &SHAPE);
    made.write_area(99_997, b"end");
    let mut bytes = Vec::new();
    opened.read_area(99_997, 3, &mut bytes).unwrap();
    assert_eq!(bytes, b"end");
    assert_eq!(opened.read_area(99_998, 3, &mut bytes), Err(Garbage));
    assert_eq!(opened.read_area(u64::MAX, 3, &mut bytes), Err(Garbage));
    assert!(!opened.is_closing());
    made.close();
    assert!(opened.is_closing());
}

#[test]
fn what_is_no_link_is_refused() {
    let empty = memfd("forkful-test", 8192).unwrap();
    assert!(matches!(Link::open(empty.as_fd()), Err(LinkError::Foreign)));
    let small = memfd("forkful-test", 1).unwrap();
    assert!(matches!(Link::open(small.as_fd()), Err(LinkError::Foreign)));
    let made = made();
    let file = File::from(made.fd().unwrap().try_clone_to_owned().unwrap());
    // Offsets of the header's words, and what they may not hold.
    for (offset, wrong) in [
        (12, 0u32),
        (12, 1025),
        (12, 71),
        (16, 3),
        (16, 32),
        (20, 5),
        (20, 1 << 31),
    ] {
        let mut right = [0; 4];
        file.read_exact_at(&mut right, offset).unwrap();
        file.write_all_at(&wrong.to_ne_bytes(), offset).unwrap();
        let result = Link::open(made.fd().unwrap());
        assert!(
            matches!(result, Err(LinkError::Size { .. })),
            "{wrong} at {offset}"
        );
        file.write_all_at(&right, offset).unwrap();
    }
    for offset in [24, 32] {
        file.write_all_at(&u64::MAX.to_ne_bytes(), offset).unwrap();
        let result = Link::open(made.fd().unwrap());
        assert!(matches!(result, Err(LinkError::Size { .. })));
    }
    file.write_all_at(&9u32.to_ne_bytes(), 8).unwrap();
    let result = Link::open(made.fd().unwrap());
    assert!(matches!(result, Err(LinkError::Version { found: 9 })));
}

#[test]
fn shapes_that_can_t_be_are_refused() {
    let wrong = [
        Shape {
            workers: 0,
            ..SHAPE
        },
        Shape {
            workers: 1025,
            ..SHAPE
        },
        Shape { slots: 0, ..SHAPE },
        Shape { slots: 12, ..SHAPE },
        Shape { ring: 64, ..SHAPE },
        Shape {
            ring: 1 << 31,
            ..SHAPE
        },
        Shape {
            area: u64::MAX,
            arena: 0,
            ..SHAPE
        },
        Shape {
            library: u64::MAX - 4096,
            area: 1 << 40,
            arena: 0,
            ..SHAPE
        },
        Shape {
            area: 1 << 63,
            arena: 0,
            ..SHAPE
        },
    ];
    for shape in wrong {
        assert!(Link::create(shape).is_err(), "{shape:?}");
    }
}

#[test]
fn the_library_keeps_what_it_was_told() {
    let link = made();
    let (mut library, mut bytes) = (link.library(), vec![1]);
    assert_eq!(link.entries(), 0);
    assert_eq!(library.append(b"one"), Some(0));
    assert_eq!(library.append(b""), Some(1));
    assert_eq!(library.append(&[7; 9997]), Some(2));
    assert_eq!(library.append(b"x"), None);
    assert_eq!((link.entries(), library.count()), (3, 3));
    link.entry(0, &mut bytes).unwrap();
    assert_eq!(bytes, b"one");
    link.entry(1, &mut bytes).unwrap();
    assert_eq!(bytes, b"");
    link.entry(2, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 9997]);
    assert_eq!(link.entry(3, &mut bytes), Err(Garbage));
    assert_eq!(link.entry(u32::MAX, &mut bytes), Err(Garbage));
    let full = (3..MOST_ENTRIES).all(|number| library.append(b"") == Some(number));
    assert!(full && library.append(b"").is_none());
}

#[test]
fn a_page_says_what_its_worker_does() {
    let link = made();
    let page = link.page(69);
    assert_eq!(
        (page.pid(), page.status(), page.running()),
        (0, Some(Status::Starting), None)
    );
    page.start(42, 1000);
    page.begin(0, 1500, 300);
    assert_eq!(page.running(), Some((0, 1500)));
    page.writing(1800);
    assert_eq!(page.status(), Some(Status::Writing));
    page.end(true, 2000);
    page.set_status(Status::Leaving);
    let seen = page.snapshot();
    assert_eq!(
        (seen.pid, seen.status, seen.running),
        (42, Some(Status::Leaving), None)
    );
    assert_eq!(
        (seen.done, seen.failed, seen.busy, seen.idle),
        (1, 1, 300, 500)
    );
    assert_eq!(
        (seen.waits.total, seen.runs.total, seen.runs.count()),
        (300, 300, 1)
    );
    page.clear();
    assert_eq!((page.pid(), page.snapshot().runs.count()), (0, 0));
}

#[test]
fn one_waker_wakes_one_sleeper() {
    let link = made();
    let bells = link.bells();
    assert!(!bells.wake_one());
    // Both say that they sleep, and look once more: whoever publishes now wakes them one by one.
    let slept = bells.sleep_until(
        3,
        || {
            bells.sleep_until(
                68,
                || {
                    assert_eq!(bells.sleepers(), 2);
                    assert!(bells.wake_one());
                    assert_eq!(bells.sleepers(), 1);
                    assert!(!bells.wake(3));
                    assert!(bells.wake(68));
                    assert!(!bells.wake_one());
                    false
                },
                Deadline::NEVER,
            );
            false
        },
        Deadline::NEVER,
    );
    assert_eq!(slept, Slept::Woken);
    let at_once = Deadline::after(Duration::ZERO);
    assert_eq!(bells.sleep_until(0, || false, at_once), Slept::TimedOut);
    bells.sleep_until(
        5,
        || {
            bells.forget(5);
            assert!(!bells.wake_one());
            bells.wake_all();
            false
        },
        Deadline::NEVER,
    );
    assert_eq!(bells.sleepers(), 0);
}

#[test]
fn an_outcome_is_told_to_the_leader_or_to_the_background() {
    let link = made();
    let (bells, bell) = (link.bells(), Bell::create().unwrap());
    let other = Bell::open(bell.fd().unwrap()).unwrap();
    bells.ring(&other);
    assert_eq!(bell.now(), 0);
    bells.arm_background(true);
    let expected = bells.listen();
    bells.ring(&other);
    assert_eq!(
        (bells.sleep(expected, Deadline::NEVER), bell.now()),
        (Slept::Woken, 0)
    );
    bells.ring(&other);
    assert_eq!(bell.now(), 1);
    assert_eq!(bell.sleep(0, Deadline::NEVER), Slept::Woken);
    let soon = Deadline::after(Duration::from_millis(1));
    assert_eq!(bell.sleep(1, soon), Slept::TimedOut);
    let expected = bells.listen();
    bells.kick();
    assert_eq!(bells.sleep(expected, Deadline::NEVER), Slept::Woken);
    bells.listen();
    bells.unlisten();
    let seen = bell.now();
    bells.ring(&other);
    assert_ne!(bell.now(), seen);
    let seen = other.now();
    bell.kick();
    assert_ne!(other.now(), seen);
}

#[test]
fn bits_past_the_last_worker_wake_nobody() {
    let link = made();
    for word in link.control().sleepers.iter() {
        word.store(u64::MAX << 6, Ordering::Relaxed);
    }
    link.control().sleepers[0].store(0, Ordering::Relaxed);
    assert!(!link.bells().wake_one());
    assert!(link.bells().sleepers() <= 70);
}

#[test]
fn the_hatch_is_asked_for_and_found() {
    let made = made();
    let opened = Link::open(made.fd().unwrap()).unwrap();
    assert_eq!(opened.hatch(), None);
    made.answer_hatch(Err(24));
    assert_eq!(opened.hatch(), Some(Err(24)));
    opened.ask_hatch();
    assert_eq!(opened.hatch(), None);
    let (name, key) = (Token([7; 16]), Token(std::array::from_fn(|nth| nth as u8)));
    made.answer_hatch(Ok((name, key)));
    assert_eq!(opened.hatch(), Some(Ok((name, key))));
}
