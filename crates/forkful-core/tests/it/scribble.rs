//! Any bytes in the memory that a worker can write, and every question that the parent asks of it.
//!
//! `hostile.rs` feeds it with random bytes, `make fuzz` with many more. The fuzz target, which searches by coverage and needs a nightly
//! compiler, includes this file, so it rests on the engine alone.

use forkful_core::deadline::Deadline;
use forkful_core::sys::Slept;
use forkful_core::wire::{Answer, Bell, Label, Library, Link, Look, OutcomeReader, Request, Shape};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

const SHAPE: Shape = Shape {
    workers: 3,
    slots: 8,
    ring: 512,
    library: 4096,
    area: 8192,
    arena: 0,
};

/// Writes `noise` over parts of a link's memory, and asks everything. The first bytes say where; the rest is repeated as far
/// as it must reach. Nothing may panic, overflow or run for ever.
pub fn ask_everything(noise: &[u8]) {
    // What comes by the hatch instead of by the memory.
    let _ = (
        Request::of_bytes(noise),
        Answer::of_bytes(noise),
        Label::of_bytes(noise),
    );
    let link = Arc::new(Link::create(SHAPE).unwrap());
    let file = File::from(link.fd().unwrap().try_clone_to_owned().unwrap());
    let size = file.metadata().unwrap().len();
    let mut readers: Vec<_> = (0..SHAPE.workers)
        .map(|worker| link.reader(worker))
        .collect();
    let library = prepare(&link);
    let (places, fill) = noise.split_at(noise.len().min(8));
    // Small parts at chosen places, or everything but the directory of the library, which is a megabyte of zeros.
    for place in places.chunks_exact(2) {
        let offset = u64::from(place[0]) * 97 * 8 % size;
        scribble(
            &file,
            offset,
            (u64::from(place[1]) * 64).min(size - offset),
            fill,
        );
    }
    if noise.first().is_some_and(|first| first % 4 == 0) {
        scribble(&file, 0, size.min(64 << 10), fill);
    }
    ask(&link, &mut readers);
    // A worker that maps what it was given finds a link or an error, never something in between.
    if let Ok(opened) = Link::open(link.fd().unwrap()) {
        let mut bytes = Vec::new();
        for number in [0, 1, 2, u32::MAX] {
            let _ = opened.entry(number, &mut bytes);
        }
    }
    // What the parent has said it can say again.
    library.restore();
    link.restore(false);
    let opened = Link::open(link.fd().unwrap()).unwrap();
    assert!(!opened.is_closing() && opened.entries() == 3);
    let mut bytes = Vec::new();
    for (number, entry) in (0..).zip([b"entry".as_slice(), b"", b"another"]) {
        opened.entry(number, &mut bytes).unwrap();
        assert_eq!(bytes, entry);
    }
}

/// Some life, so that garbage lies beside what is right.
fn prepare(link: &Arc<Link>) -> Library {
    let tasks = link.tasks();
    for position in 0..5 {
        let head = forkful_core::wire::TaskHead {
            position,
            len: 300 * (position as u32 % 2),
            ..Default::default()
        };
        tasks.write(&head, b"");
        tasks.publish(position);
    }
    tasks.claim(1);
    tasks.cancel(1);
    let mut library = link.library();
    for bytes in [b"entry".as_slice(), b"", b"another"] {
        library.append(bytes);
    }
    let mut writer = link.writer(0);
    for len in [0, 40, 100] {
        writer.try_push(&Default::default(), &vec![3; len]);
    }
    library
}

fn scribble(file: &File, offset: u64, len: u64, fill: &[u8]) {
    if !fill.is_empty() {
        let bytes: Vec<u8> = fill.iter().copied().cycle().take(len as usize).collect();
        file.write_all_at(&bytes, offset).unwrap();
    }
}

fn ask(link: &Arc<Link>, readers: &mut [OutcomeReader]) {
    let (tasks, bells, mut bytes) = (link.tasks(), link.bells(), Vec::new());
    for position in [0, 1, 2, 3, 4, 5, 8, 1 << 40, u64::MAX] {
        tasks.look(position);
        let _ = tasks.read(position, &mut bytes);
        tasks.cancel(position);
        tasks.hint(position);
        link.refill_reached(position);
    }
    for reader in readers.iter_mut() {
        // Each frame wipes a word: garbage can't last longer than the ring is.
        let mut frames = 0;
        while let Ok(Some(head)) = reader.next(&mut bytes) {
            assert_eq!(head.len as usize, bytes.len());
            frames += 1;
            assert!(frames <= SHAPE.ring / 8, "the ring never ends");
        }
        reader.is_empty();
    }
    for worker in 0..SHAPE.workers {
        let page = link.page(worker);
        // As many as there can be workers.
        let other = page.snapshot().runs;
        let mut sum = other.clone();
        for _ in 0..1024 {
            sum.merge(&other);
        }
        sum.count();
        page.running();
        page.status();
        bells.wake(worker);
        bells.forget(worker);
    }
    while bells.wake_one() {}
    bells.sleepers();
    let expected = bells.listen();
    bells.sleep(expected, Deadline::after(Duration::ZERO));
    bells.unlisten();
    // Whoever is kicked looks again, whatever his word says.
    let expected = bells.listen();
    bells.kick();
    let slept = bells.sleep(expected, Deadline::after(Duration::from_secs(60)));
    assert_eq!(slept, Slept::Woken);
    bells.ring(&Bell::create().unwrap());
    link.is_closing();
    link.entries();
    let _ = link.hatch();
    let _ = link.read_area(u64::MAX, u64::MAX, &mut bytes);
    // And then it goes on: what was broken is put right, and the next task gets through.
    tasks.rewind(5);
    let ready = (0..5).filter(|position| tasks.look(*position) == Look::Ready);
    let mut due: Vec<u64> = ready.collect();
    let head = forkful_core::wire::TaskHead {
        position: 5,
        ..Default::default()
    };
    tasks.free(5);
    tasks.write(&head, b"");
    tasks.publish(5);
    due.push(5);
    let claimed: Vec<u64> = std::iter::from_fn(|| tasks.claim(0)).take(16).collect();
    assert!(
        due.iter().all(|position| claimed.contains(position)),
        "{due:?} were ready, and {claimed:?} were found"
    );
    // Nobody goes on looking for what is not there.
    assert!(!tasks.is_ready());
    for (worker, reader) in readers.iter_mut().enumerate() {
        reader.reset();
        assert!(
            link.writer(worker as u32)
                .try_push(&Default::default(), b"x")
        );
        assert!(matches!(reader.next(&mut bytes), Ok(Some(_))));
    }
}
