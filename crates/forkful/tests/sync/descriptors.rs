//! Descriptors that travel with tasks and results.

use crate::{pool, trial};
use forkful::{Fd, ProcessOptions, TaskError};
use libtest_mimic::Trial;
use std::fs::{self, File};
use std::io::{PipeReader, Read, Write};

#[forkful::task]
fn write(fd: Fd, text: String) {
    fd.into_file().write_all(text.as_bytes()).unwrap();
}

#[forkful::task]
fn open(path: String) -> (Fd, u32) {
    (Fd::new(File::open(path).unwrap()), std::process::id())
}

#[forkful::task]
fn pass_on(fds: Vec<Option<Fd>>) -> Vec<Option<Fd>> {
    fds
}

#[forkful::task]
fn write_at_second(fd: Fd, file: String) {
    let begun = fs::read_to_string(&file).unwrap_or_default();
    fs::write(&file, format!("{begun}x")).unwrap();
    if begun.is_empty() {
        std::process::abort();
    }
    fd.into_file().write_all(b"at the second").unwrap();
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "descriptors::a_pipe_is_written_by_a_worker", there);
    trial(trials, "descriptors::a_file_is_opened_by_a_worker", back);
    trial(trials, "descriptors::many_at_once", many);
    trial(trials, "descriptors::a_retry_gets_them_again", retried);
    trial(
        trials,
        "descriptors::a_cancelled_task_closes_them",
        cancelled,
    );
}

fn pipe() -> (PipeReader, Fd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, Fd::new(writer))
}

/// All that comes until nobody has the other end any more.
fn all(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

fn there() {
    let pool = pool(1);
    let (reader, writer) = pipe();
    let future = pool.submit(write, (writer, "over there".to_owned()));
    assert_eq!(all(reader), "over there");
    future.result().unwrap();
}

fn back() {
    let pool = pool(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "what it says").unwrap();
    let args = (path.to_str().unwrap().to_owned(),);
    let (fd, pid) = pool.submit(open, args).result().unwrap();
    assert_ne!(pid, std::process::id());
    fs::remove_file(path).unwrap();
    drop(pool);
    assert_eq!(all(fd.into_file()), "what it says");
}

fn many() {
    let pool = pool(2);
    let futures: Vec<_> = (0..20)
        .map(|_| {
            let (reader, writer) = pipe();
            let fds: Vec<_> = vec![Some(writer), None, Some(Fd::new(reader))];
            pool.submit(pass_on, (fds,))
        })
        .collect();
    for future in futures {
        let mut fds = future.result().unwrap();
        let (reader, writer) = (fds.pop().unwrap(), fds.swap_remove(0));
        assert!(fds.pop().unwrap().is_none());
        writer.unwrap().into_file().write_all(b"home").unwrap();
        assert_eq!(all(reader.unwrap().into_file()), "home");
    }
}

fn retried() {
    let pool = pool(1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attempts").to_str().unwrap().to_owned();
    let (reader, writer) = pipe();
    let twice = pool.with_options(ProcessOptions::new().retries(1));
    let future = twice.submit(write_at_second, (writer, file));
    assert_eq!(all(reader), "at the second");
    future.result().unwrap();
}

fn cancelled() {
    let pool = pool(1);
    let busy = pool.submit(crate::objects::sleep, (60_000,));
    while !busy.is_running() {
        std::thread::yield_now();
    }
    let futures: Vec<_> = (0..50)
        .map(|_| {
            let (reader, writer) = pipe();
            (reader, pool.submit(write, (writer, String::new())))
        })
        .collect();
    let (reader, last) = futures.into_iter().next_back().unwrap();
    assert!(last.cancel());
    assert!(matches!(last.result(), Err(TaskError::Cancelled)));
    assert_eq!(all(reader), "");
    busy.kill();
}
