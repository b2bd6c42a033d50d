//! Buffers as arguments and results.

use crate::{balanced, cold, kill_all, trial};
use forkful::{Bytes, Future, ProcessOptions, ProcessPoolExecutor, TaskError};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Every so many bytes one is changed.
const STEP: usize = 4093;

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "a_hundred_megabytes_there_and_back", there_and_back);
    trial(trials, "a_result_that_is_born_in_a_segment", born);
    trial(trials, "a_view_outlives_its_worker_and_its_pool", outlives);
    trial(trials, "many_at_a_time_of_all_sizes", many);
    trial(trials, "inside_of_structures_and_chunks", structures);
    trial(trials, "what_a_worker_keeps_is_its_own", kept);
    trial(trials, "workers_die_with_buffers_in_their_hands", deaths);
    trial(trials, "a_retry_has_its_buffers_again", retries);
    trial(trials, "more_than_the_arena_has", crowded);
    trial(trials, "long_texts_go_beside_as_well", texts);
    trial(
        trials,
        "a_future_that_nobody_reads_gives_its_segment_back",
        unread,
    );
}

#[forkful::task]
fn echo(bytes: Bytes) -> Bytes {
    bytes
}

#[forkful::task]
fn add_one(mut bytes: Bytes) -> Bytes {
    for byte in bytes.iter_mut().step_by(STEP) {
        *byte = byte.wrapping_add(1);
    }
    bytes
}

#[forkful::task]
fn zeros(len: usize) -> Bytes {
    let mut bytes = Bytes::zeroed(len);
    bytes[len - 1] = 7;
    bytes
}

#[forkful::task]
fn grown(len: usize) -> Bytes {
    let mut bytes = Bytes::with_capacity(len);
    while bytes.len() < len {
        let rest = (len - bytes.len()).min(1000);
        bytes.extend_from_slice(&[3; 1000][..rest]);
    }
    bytes
}

pub fn patterned(len: usize, seed: usize) -> Bytes {
    // Built of copies, as a loop over bytes takes its time in a build for tests.
    let pattern: Vec<u8> = (0..251).map(|nth| nth ^ seed as u8).collect();
    let mut bytes = pattern.repeat(len / 251 + 1);
    bytes.truncate(len);
    Bytes::from(bytes)
}

fn there_and_back() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let sent = patterned(100 * MIB, 1);
    let mut expected = sent.clone();
    for byte in expected.iter_mut().step_by(STEP) {
        *byte = byte.wrapping_add(1);
    }
    let back = pool.submit(add_one, (sent,)).result().unwrap();
    assert!(back == expected);
    let buffers = pool.stats().buffers.unwrap();
    assert_eq!((buffers.copied, buffers.lent, buffers.in_band), (1, 1, 0));
    assert_eq!(buffers.views, 1);
    // A view as an argument again.
    let mut again = pool.submit(add_one, (back,)).result().unwrap();
    assert_eq!(again[0], expected[0].wrapping_add(1));
    assert_eq!(again[5], expected[5]);
    again[5] = 1;
    assert_eq!(again[5], 1, "it can be written to where it lies");
    drop(again);
    balanced(&pool);
}

fn born() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    for len in [MIB, 3 * MIB + 5, 20 * MIB, 200_000] {
        for round in 0..3 {
            let before = pool.stats().buffers.unwrap();
            let bytes = pool.submit(zeros, (len,)).result().unwrap();
            assert_eq!((bytes.len(), bytes[len - 1]), (len, 7));
            assert!(bytes[..len - 1] == vec![0; len - 1], "{len}");
            let after = pool.stats().buffers.unwrap();
            // A small one is wished for, and there the next time.
            if len >= MIB || round == 2 {
                assert_eq!(after.lent - before.lent, 1, "{len}");
                assert_eq!(after.copied, before.copied, "{len}");
            }
            drop(bytes);
            let bytes = pool.submit(grown, (len,)).result().unwrap();
            assert!(bytes == vec![3; len]);
        }
    }
    balanced(&pool);
}

fn outlives() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let bytes = pool
        .submit(echo, (patterned(5 * MIB, 2),))
        .result()
        .unwrap();
    pool.kill_workers();
    drop(pool);
    let mut twin = bytes.clone();
    assert!(bytes == patterned(5 * MIB, 2));
    twin[0] ^= 1;
    assert!(bytes[0] != twin[0] && bytes[1..] == twin[1..]);
    drop(bytes);
    assert_eq!(twin.into_vec().len(), 5 * MIB);
}

fn many() {
    let pool = ProcessPoolExecutor::new(3).unwrap();
    let sizes = [
        0,
        1,
        23,
        24,
        25,
        500,
        65_535,
        65_536,
        65_537,
        131_072,
        300_000,
        MIB,
        3 * MIB,
    ];
    let mut futures = Vec::new();
    for round in 0..20 {
        for (nth, len) in sizes.iter().enumerate() {
            let sent = patterned(*len, round * 31 + nth);
            futures.push((*len, round * 31 + nth, pool.submit(echo, (sent,))));
        }
    }
    for (len, seed, future) in futures {
        assert!(
            future.result().unwrap() == patterned(len, seed),
            "{len} {seed}"
        );
    }
    balanced(&pool);
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
enum Picture {
    Empty,
    Layers {
        name: String,
        layers: Vec<(u16, Bytes)>,
    },
    Nested(Option<Box<Picture>>, Bytes),
}

#[forkful::task]
fn turned(picture: Picture, many: u32) -> Result<(u32, Picture), String> {
    match picture {
        Picture::Layers { name, mut layers } => {
            layers.reverse();
            Ok((many + layers.len() as u32, Picture::Layers { name, layers }))
        }
        Picture::Nested(inner, bytes) => {
            let (many, inner) = turned(*inner.unwrap(), many)?;
            Ok((many, Picture::Nested(Some(Box::new(inner)), bytes)))
        }
        Picture::Empty => Err("nothing to turn".to_owned()),
    }
}

fn structures() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let layers = |sizes: &[usize]| -> Vec<(u16, Bytes)> {
        let numbered = sizes.iter().enumerate();
        numbered
            .map(|(nth, len)| (nth as u16, patterned(*len, nth)))
            .collect()
    };
    let picture = Picture::Nested(
        Some(Box::new(Picture::Layers {
            name: "x".into(),
            layers: layers(&[10, 70_000, 0, MIB, 65_536]),
        })),
        patterned(2 * MIB, 9),
    );
    let back = pool.submit(turned, (picture.clone(), 3)).result().unwrap();
    let (many, turned_once) = back.unwrap();
    assert_eq!(many, 8);
    let (_, twice) = pool
        .submit(turned, (turned_once, 0))
        .result()
        .unwrap()
        .unwrap();
    assert!(twice == picture);
    assert!(
        pool.submit(turned, (Picture::Empty, 0))
            .result()
            .unwrap()
            .is_err()
    );
    drop(twice);
    let inputs = (0..12_usize).map(|nth| (patterned(nth * 50_000, nth),));
    for (nth, back) in pool.map(echo, inputs).chunk(5).enumerate() {
        assert!(back.unwrap() == patterned(nth * 50_000, nth), "{nth}");
    }
    balanced(&pool);
}

#[forkful::task]
fn keep(bytes: Bytes, other: Bytes) -> (Bytes, Bytes) {
    static KEPT: Mutex<Vec<Bytes>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().unwrap();
    let before = kept.pop().unwrap_or_default();
    kept.push(bytes.clone());
    // The clone shares its memory with what is returned, which therefore is copied.
    drop(other);
    (bytes, before)
}

fn kept() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let mut last = Bytes::new();
    for round in 0..6 {
        let sent = patterned(MIB, round);
        let (back, before) = pool
            .submit(keep, (sent.clone(), patterned(MIB, 77)))
            .result()
            .unwrap();
        assert!(back == sent && before == last, "{round}");
        last = sent;
    }
    drop(pool);
}

#[forkful::task]
fn dies(bytes: Bytes, how: u32) -> Bytes {
    let born = Bytes::zeroed(2 * MIB);
    match how {
        0 => std::process::abort(),
        1 => std::process::exit(3),
        2 => panic!("with {} and {}", bytes.len(), born.len()),
        3 => std::thread::sleep(Duration::from_secs(100)),
        _ => {}
    }
    if bytes.len().is_multiple_of(2) {
        bytes
    } else {
        born
    }
}

fn deaths() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let quick = pool.with_options(ProcessOptions::new().timeout(Duration::from_millis(50)));
    let mut futures: Vec<(u32, Future<Bytes>)> = Vec::new();
    for round in 0..40_u32 {
        let bytes = patterned(MIB + round as usize, round as usize);
        let future = match round % 5 {
            3 => quick.submit(dies, (bytes, 3)),
            how => pool.submit(dies, (bytes, how)),
        };
        futures.push((round, future));
    }
    std::thread::sleep(Duration::from_millis(5));
    kill_all(&pool);
    // Some fell to that kill; the others ended each in its way.
    for (round, future) in futures {
        let struck = |error: &TaskError| matches!(error, TaskError::WorkerDied(_));
        match (round % 5, future.result()) {
            (_, Err(error)) if struck(&error) => {}
            (2, Err(TaskError::Panicked(panic))) => {
                assert!(panic.message().starts_with("with 104"), "{panic}");
            }
            (3, Err(TaskError::DeadlineExceeded { .. })) => {}
            (4, Ok(bytes)) => assert!(bytes.len() >= MIB),
            (how, other) => panic!("{how}: {other:?}"),
        }
    }
    let alive = pool.submit(echo, (patterned(MIB, 3),)).result();
    assert!(alive.unwrap() == patterned(MIB, 3));
    cold(&pool);
}

#[forkful::task]
fn dies_once(mut bytes: Bytes, path: String) -> Bytes {
    // What the first attempt has written is not seen by the second.
    bytes[0] = bytes[0].wrapping_add(1);
    if std::fs::remove_file(path).is_ok() {
        std::process::abort();
    }
    bytes
}

fn retries() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let mut sent = patterned(MIB, 4);
    let view = pool.with_options(ProcessOptions::new().retries(2));
    let future = view.submit(dies_once, (sent.clone(), path));
    // The task keeps what it was given.
    sent.iter_mut().for_each(|byte| *byte = 0);
    let back = future.result().unwrap();
    let expected = patterned(MIB, 4);
    assert_eq!(back[0], expected[0].wrapping_add(1));
    assert!(back[1..] == expected[1..]);
    drop((back, file.into_temp_path().keep()));
    balanced(&pool);
}

fn crowded() {
    let pool = ProcessPoolExecutor::builder()
        .workers(2)
        .arena_limit(8 << 20)
        .build()
        .unwrap();
    // Held views fill the arena, and the others take the slower way.
    let mut held = Vec::new();
    for round in 0..12 {
        let bytes = pool
            .submit(echo, (patterned(2 * MIB, round),))
            .result()
            .unwrap();
        held.push(bytes);
        let born = pool.submit(zeros, (MIB,)).result().unwrap();
        assert_eq!(born[MIB - 1], 7);
    }
    for (round, bytes) in held.iter().enumerate() {
        assert!(*bytes == patterned(2 * MIB, round), "{round}");
    }
    assert!(pool.stats().buffers.unwrap().in_band > 0);
    drop(held);
    balanced(&pool);
    let lent = pool.stats().buffers.unwrap().lent;
    drop(
        pool.submit(echo, (patterned(2 * MIB, 0),))
            .result()
            .unwrap(),
    );
    assert_eq!(
        pool.stats().buffers.unwrap().lent,
        lent + 1,
        "it is there again"
    );
}

#[forkful::task]
fn doubled(text: String, numbers: Vec<f64>) -> (String, Vec<f64>) {
    let twice = numbers.iter().map(|number| number * 2.0).collect();
    (text.clone() + &text, twice)
}

fn texts() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let text = "grün ".repeat(400_000);
    let numbers: Vec<f64> = (0..500_000).map(f64::from).collect();
    let (long, twice) = pool
        .submit(doubled, (text.clone(), numbers))
        .result()
        .unwrap();
    assert!(long.len() == 2 * text.len() && long.starts_with(&text));
    assert_eq!(twice[499_999], 999_998.0);
    balanced(&pool);
}

fn unread() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let futures: Vec<_> = (0..10)
        .map(|nth| pool.submit(echo, (patterned(MIB, nth),)))
        .collect();
    drop(futures);
    let future = pool.submit(echo, (patterned(MIB, 0),));
    forkful::wait(vec![future], forkful::ReturnWhen::AllCompleted, None);
    // Nobody waits for the first ten: something has to read them.
    crate::eventually("they are done", || pool.stats().done >= 11);
    cold(&pool);
}
