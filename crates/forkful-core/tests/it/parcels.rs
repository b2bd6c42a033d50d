//! Descriptors through the hatch: what workers fetch and leave there, and callers who are no workers.

use crate::watchdog::Watchdog;
use forkful_core::procs::parcels::{self, Delivery, Parcel};
use forkful_core::procs::watcher::{Supervised, Watch, Watcher};
use forkful_core::sys::{
    await_message, connect_abstract, receive_with_fds, send_with_fds, stands_for,
};
use forkful_core::wire::{Answer, Bell, Label, Link, Request, Shape, Token, hatch_name};
use forkful_core::worker::Desk;
use forkful_core::worker::parcel::{self, Undelivered};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

const ENOENT: Option<i32> = Some(2);
const EACCES: Option<i32> = Some(13);
const EINVAL: Option<i32> = Some(22);

/// A pool as the watcher sees it: while there is one, somebody is at the hatch.
struct Endless;

impl Supervised for Endless {
    fn event(&self, _: u32, _: &Watch) {}
    fn tick(&self, _: &Watch) -> Option<u64> {
        None
    }
    fn is_over(&self) -> bool {
        false
    }
}

/// One test at a time: they share the process's hatch, from which a crowd of callers drives the others out.
fn turn(test: &'static str) -> (Watchdog, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    static WATCHED: OnceLock<Watch> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    WATCHED.get_or_init(|| {
        Watcher::current()
            .unwrap()
            .register(Arc::new(Endless))
            .unwrap()
    });
    (Watchdog::over(test), turn)
}

fn fetch(label: Label) -> io::Result<Vec<OwnedFd>> {
    parcel::fetch::<()>(&label, &mut || Ok(())).map_err(failed)
}

fn failed(error: Undelivered<()>) -> io::Error {
    match error {
        Undelivered::Failed(error) => error,
        Undelivered::Interrupted(()) => unreachable!("nobody interrupts"),
    }
}

fn file() -> File {
    File::open("/dev/null").unwrap()
}

/// A parcel with a pipe's writing end; the reader sees the end when the last copy is gone.
fn pipe_parcel() -> (io::PipeReader, Parcel) {
    let (reader, writer) = io::pipe().unwrap();
    let mut parcel = Parcel::default();
    assert_eq!(parcel.add(writer.as_raw_fd()).unwrap(), 0);
    (reader, parcel)
}

fn connect(label: Label) -> OwnedFd {
    loop {
        match connect_abstract(&hatch_name(label.hatch)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            connected => return connected.unwrap(),
        }
    }
}

/// The next message; `None` for the end.
fn heard(socket: &OwnedFd) -> Option<Answer> {
    let mut bytes = [0; 64];
    loop {
        match receive_with_fds(socket, &mut bytes, &mut Vec::new()) {
            Ok(received) if received.len == 0 => return None,
            Ok(received) => return Answer::of_bytes(&bytes[..received.len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                await_message(socket).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_parcel_is_fetched_as_often_as_it_may_be() {
    let _turn = turn("a_parcel_is_fetched_as_often_as_it_may_be");
    let (mut reader, mut parcel) = pipe_parcel();
    parcel.close(76, false);
    for word in [b"one", b"two"] {
        let fds = fetch(parcel.open().unwrap()).unwrap();
        File::from(fds.into_iter().next().unwrap())
            .write_all(word)
            .unwrap();
    }
    drop(parcel);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"onetwo");
    let (mut reader, mut parcel) = pipe_parcel();
    let label = parcel.open().unwrap();
    parcel.close(77, true);
    let last = fetch(label).unwrap();
    // The worker may have them a moment before the parent has crossed them out.
    let again = std::iter::repeat_with(|| fetch(label)).find_map(Result::err);
    assert_eq!(again.unwrap().raw_os_error(), ENOENT);
    drop(last);
    // The end comes with the worker's copy, though the parcel is there.
    reader.read_to_end(&mut all).unwrap();
    drop(parcel);
}

#[test]
fn what_nobody_fetches_goes_with_its_task_or_its_owner() {
    let _turn = turn("what_nobody_fetches_goes_with_its_task_or_its_owner");
    let (mut reader, mut parcel) = pipe_parcel();
    let label = parcel.open().unwrap();
    drop(parcel);
    reader.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(fetch(label).unwrap_err().raw_os_error(), ENOENT);
    let (mut reader, mut parcel) = pipe_parcel();
    parcel.close(78, true);
    parcels::withdraw(79);
    fetch(parcel.open().unwrap()).unwrap();
    let (mut other, parcel) = pipe_parcel();
    parcel.close(78, false);
    parcels::withdraw(78);
    reader.read_to_end(&mut Vec::new()).unwrap();
    other.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn more_than_a_message_takes_arrive_in_order() {
    let _turn = turn("more_than_a_message_takes_arrive_in_order");
    let files: Vec<File> = (0..260).map(|_| file()).collect();
    let mut parcel = Parcel::default();
    for file in &files {
        parcel.add(file.as_raw_fd()).unwrap();
    }
    parcel.close(1, true);
    let fetched = fetch(parcel.open().unwrap()).unwrap();
    assert_eq!(fetched.len(), 260);
    for (file, fd) in files.iter().zip(&fetched) {
        assert!(stands_for(file.as_raw_fd(), fd.as_fd()));
    }
}

#[test]
fn a_file_that_comes_again_and_again_is_copied_once() {
    let _turn = turn("a_file_that_comes_again_and_again_is_copied_once");
    let (mut reader, writer) = io::pipe().unwrap();
    let mut parcels = Vec::new();
    for _ in 0..10 {
        let mut parcel = Parcel::default();
        for _ in 0..10 {
            parcel.add(writer.as_raw_fd()).unwrap();
        }
        parcels.push(parcel);
    }
    let path = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    let pipe = path(writer.as_raw_fd());
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = all
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|path| *path == pipe)
        .count();
    assert_eq!(open, 3);
    let fetched = fetch(parcels[9].open().unwrap()).unwrap();
    assert_eq!(fetched.len(), 10);
    drop((parcels, fetched, writer));
    reader.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(
        Parcel::default().add(-1).unwrap_err().raw_os_error(),
        Some(9)
    );
}

#[test]
fn callers_who_are_no_workers_cost_their_own_connection() {
    let _turn = turn("callers_who_are_no_workers_cost_their_own_connection");
    let (mut reader, mut parcel) = pipe_parcel();
    let label = parcel.open().unwrap();
    let silent: Vec<_> = (0..200).map(|_| connect(label)).collect();
    let wrong = connect(label);
    let token = Token([1; 16]);
    let request = Request::Fetch { token, first: 0 };
    send_with_fds(&wrong, &request.to_bytes(), &[]).unwrap();
    assert_eq!(heard(&wrong).map(|answer| answer.errno as i32), ENOENT);
    let token = label.parcel;
    let whole = Request::Fetch { token, first: 0 }.to_bytes();
    for nonsense in [&whole[..16], &[0; 48], &[b'F'; 4000]] {
        let caller = connect(label);
        // It may be away before it has read it.
        let _ = send_with_fds(&caller, nonsense, &[]);
        assert_eq!(heard(&caller), None);
    }
    let past = Request::Fetch { token, first: 2 };
    send_with_fds(&wrong, &past.to_bytes(), &[]).unwrap();
    assert_eq!(heard(&wrong).map(|answer| answer.errno as i32), ENOENT);
    let generous = connect(label);
    send_with_fds(&generous, &whole, &[file().as_fd()]).unwrap();
    assert_eq!(heard(&generous), None);
    // Never reads, and asks until there is no room for an answer.
    let flood = connect(label);
    let asked = (0..1_000_000).find(|_| match send_with_fds(&flood, &whole, &[]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            std::thread::yield_now();
            false
        }
        sent => sent.is_err(),
    });
    assert!(asked.is_some(), "the flood was never hung up on");
    drop(flood);
    // The first to come were the first to go.
    assert_eq!(heard(&silent[0]), None);
    parcel.close(3, true);
    assert_eq!(fetch(label).unwrap().len(), 1);
    drop(silent);
    reader.read_to_end(&mut Vec::new()).unwrap();
}

fn desk() -> (Desk, Delivery, Token) {
    let shape = Shape {
        workers: 4,
        slots: 16,
        ring: 4096,
        library: 0,
        area: 0,
        arena: 0,
    };
    let link = Arc::new(Link::create(shape).unwrap());
    let name = Watcher::current().unwrap().open_hatch().unwrap();
    let delivery = Delivery::new().unwrap();
    link.answer_hatch(Ok((name, delivery.key)));
    let bell = Arc::new(Bell::create().unwrap());
    (Desk::new(link, bell, 3), delivery, name)
}

fn push(desk: &Desk, token: Token, files: &[impl AsFd]) -> io::Result<()> {
    let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    parcel::push::<()>(desk, token, &fds, &mut || Ok(())).map_err(failed)
}

/// With a parent that answers once, when it is asked.
fn answered<R>(link: &Link, answer: Result<(Token, Token), i32>, run: impl FnOnce() -> R) -> R {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while link.hatch().is_some() {
                std::thread::yield_now();
            }
            link.answer_hatch(answer);
        });
        run()
    })
}

#[test]
fn what_a_worker_leaves_is_collected_or_buried_with_it() {
    let _turn = turn("what_a_worker_leaves_is_collected_or_buried_with_it");
    let (desk, delivery, _) = desk();
    let files: Vec<File> = (0..300).map(|_| file()).collect();
    let token = Token::random().unwrap();
    push(&desk, token, &files).unwrap();
    let twice = push(&desk, token, &files[..1]).unwrap_err();
    assert_eq!(twice.raw_os_error(), EINVAL);
    let collected = parcels::collect(token).unwrap();
    assert!(parcels::collect(token).is_none());
    for (file, fd) in files.iter().zip(&collected) {
        assert!(stands_for(file.as_raw_fd(), fd.as_fd()));
    }
    assert_eq!(collected.len(), 300);
    let mut readers = Vec::new();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let (reader, writer) = io::pipe().unwrap();
        let token = Token::random().unwrap();
        push(&desk, token, &[writer]).unwrap();
        readers.push(reader);
        tokens.push(token);
    }
    delivery.bury(2);
    drop(parcels::collect(tokens[0]).unwrap());
    delivery.bury(3);
    for reader in &mut readers {
        reader.read_to_end(&mut Vec::new()).unwrap();
    }
    let (mut reader, writer) = io::pipe().unwrap();
    push(&desk, token, &[writer]).unwrap();
    drop(delivery);
    reader.read_to_end(&mut Vec::new()).unwrap();
    let open = desk.link().hatch().unwrap();
    let late = answered(desk.link(), open, || push(&desk, token, &files[..1])).unwrap_err();
    assert_eq!(late.raw_os_error(), EACCES);
}

#[test]
fn a_word_that_somebody_has_written_over_is_asked_for_again() {
    let _turn = turn("a_word_that_somebody_has_written_over_is_asked_for_again");
    let (desk, _delivery, name) = desk();
    let link = desk.link().clone();
    let Some(Ok(open)) = link.hatch() else {
        unreachable!("it was answered")
    };
    for stray in [
        Ok((Token([1; 16]), open.1)),
        Ok((name, Token([1; 16]))),
        Err(4711),
    ] {
        link.answer_hatch(stray);
        let token = Token::random().unwrap();
        answered(&link, Ok(open), || push(&desk, token, &[file()])).unwrap();
        assert_eq!(parcels::collect(token).unwrap().len(), 1);
    }
}

#[test]
fn a_push_that_contradicts_itself_is_dropped() {
    let _turn = turn("a_push_that_contradicts_itself_is_dropped");
    let (_desk, delivery, hatch) = desk();
    let token = Token::random().unwrap();
    let label = Label {
        hatch,
        parcel: token,
    };
    let request = |token, total| Request::Push {
        key: delivery.key,
        token,
        seat: 0,
        total,
    };
    let other = Token::random().unwrap();
    let file = file();
    let one = [file.as_fd()];
    for (nth, (first, second)) in [
        (request(token, 2), request(other, 2)),
        (request(token, 3), request(token, 2)),
        (request(token, 1 << 20), request(token, 1 << 20)),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut reader, writer) = io::pipe().unwrap();
        let caller = connect(label);
        send_with_fds(&caller, &first.to_bytes(), &[writer.as_fd()]).unwrap();
        drop(writer);
        let mut said = heard(&caller).unwrap();
        if nth < 2 {
            assert_eq!(said.errno, 0);
            send_with_fds(&caller, &second.to_bytes(), &one).unwrap();
            said = heard(&caller).unwrap();
        }
        assert_eq!(Some(said.errno as i32), EINVAL);
        assert_eq!(heard(&caller), None);
        reader.read_to_end(&mut Vec::new()).unwrap();
    }
    let empty = connect(label);
    send_with_fds(&empty, &request(token, 1).to_bytes(), &[]).unwrap();
    assert_eq!(heard(&empty).map(|answer| answer.errno as i32), EINVAL);
    let many = connect(label);
    send_with_fds(&many, &request(token, 1).to_bytes(), &[one[0], one[0]]).unwrap();
    assert_eq!(heard(&many).map(|answer| answer.errno as i32), EINVAL);
    assert!(parcels::collect(token).is_none() && parcels::collect(other).is_none());
}

#[test]
fn a_worker_that_asks_in_vain_is_told_why() {
    let _turn = turn("a_worker_that_asks_in_vain_is_told_why");
    let (desk, _delivery, _) = desk();
    desk.link().answer_hatch(Err(24));
    // Asked again, as it may work by now: a parent that still has no room.
    let error = answered(desk.link(), Err(23), || {
        push(&desk, Token([0; 16]), &[file()])
    })
    .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(23));
    let stopped = parcel::push::<&str>(&desk, Token([0; 16]), &[], &mut || Err("stopped"));
    assert!(matches!(stopped, Err(Undelivered::Interrupted("stopped"))));
}
