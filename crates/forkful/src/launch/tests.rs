//! Zygotes and workers as their pool's process sees them; what a worker does is said by the request here.

use super::*;
use crate::init;
use crate::worker::Berth;
use forkful_core::procs::nursery::Message;
use forkful_core::sys::{
    EventFd, SIGINT, SIGKILL, await_message, leave, pidfd_exited, pidfd_signal, plain_memfd,
    process_state, receive_with_fds,
};
use forkful_core::wire::Report;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// By which this program is entered in these tests: not by the one that real pools use.
#[test]
fn entrance_of_these_tests() {
    init::enter(work, true);
}

/// What a worker does: its request says.
fn work(berth: Berth) -> ! {
    let told = String::from_utf8(berth.start.clone()).unwrap();
    let say = |text: String| File::from(berth.dump.try_clone().unwrap()).write_all(text.as_bytes());
    match &*told {
        "exit" => leave(7),
        "panic" => std::process::abort(),
        "sleep" => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        "tell" => {
            let variable = std::env::var_os(VARIABLE).is_some();
            let fds = std::fs::read_dir("/proc/self/fd").unwrap();
            let mut fds: Vec<String> = fds
                .flatten()
                .filter_map(|fd| std::fs::read_link(fd.path()).ok())
                .map(|target| target.display().to_string())
                .collect();
            fds.sort();
            let own = [&berth.link, &berth.bell, &berth.dump].map(|fd| {
                let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
                std::fs::read_link(name).unwrap().display().to_string()
            });
            let inherited = Command::new("ls").arg("/proc/self/fd").output().unwrap();
            let inherited = String::from_utf8(inherited.stdout).unwrap();
            let signals = std::fs::read_to_string("/proc/self/status").unwrap();
            let blocked = signals
                .lines()
                .find(|line| line.starts_with("SigBlk"))
                .unwrap();
            say(format!(
                "seat {} generation {} variable {variable} worker {} {blocked}\n{fds:?}\n{own:?}\n{}",
                berth.seat,
                berth.generation,
                init::is_worker(),
                inherited.split_whitespace().count(),
            ))
            .unwrap();
            leave(0)
        }
        _ => leave(99),
    }
}

struct Watchdog(#[expect(dead_code, reason = "its end is the signal")] Sender<()>);

fn watchdog(test: &'static str) -> Watchdog {
    let (leash, end) = channel();
    std::thread::spawn(move || {
        if end.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs");
            std::process::abort();
        }
    });
    Watchdog(leash)
}

/// A nursery, and what its workers share.
struct Held {
    nursery: Nursery,
    dump: OwnedFd,
}

fn held(told: &str) -> Held {
    let entrance = Entrance::Test("launch::tests::entrance_of_these_tests".into());
    let (link, bell) = (
        plain_memfd("forkful-test").unwrap(),
        EventFd::new().unwrap(),
    );
    let nursery = launch_by(&entrance, link.as_fd(), bell.as_fd(), told.as_bytes()).unwrap();
    Held {
        nursery,
        dump: plain_memfd("forkful-test-dump").unwrap(),
    }
}

impl Held {
    /// The next report, and the descriptor that comes with it.
    fn next(&self) -> io::Result<(Report, Option<OwnedFd>)> {
        loop {
            await_message(self.nursery.control())?;
            match self.nursery.receive()? {
                Some(Message::Report(report, fd)) => return Ok((report, fd)),
                Some(Message::Unknown) => panic!("a message that nobody knows"),
                None => {}
            }
        }
    }

    fn ready(self) -> Held {
        assert_eq!(self.next().unwrap().0, Report::Ready);
        self
    }

    /// A worker on this seat: its number, and its pidfd.
    fn start(&self, seat: u32, generation: u64) -> (i32, OwnedFd) {
        self.nursery
            .start(seat, generation, &self.dump, None)
            .unwrap();
        match self.next().unwrap() {
            (
                Report::Started {
                    worker,
                    generation: told,
                    pid,
                },
                Some(pidfd),
            ) => {
                assert_eq!((worker, told), (seat, generation));
                (pid, pidfd)
            }
            other => panic!("{other:?}"),
        }
    }

    /// How the worker has ended that does so next.
    fn exit(&self) -> (i32, i32) {
        match self.next().unwrap().0 {
            Report::Exited { pid, status, peak } => {
                assert!(peak > 0);
                (pid, status)
            }
            other => panic!("{other:?}"),
        }
    }

    fn told(&self) -> String {
        let mut text = String::new();
        let name = format!("/proc/self/fd/{}", self.dump.as_raw_fd());
        File::open(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

fn wait_for(ended: &OwnedFd) {
    while !pidfd_exited(ended) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn workers_are_born_and_their_ends_reported() {
    let _watchdog = watchdog("workers_are_born_and_their_ends_reported");
    let held = held("exit").ready();
    for seat in 0..3 {
        let (pid, _) = held.start(seat, u64::from(seat) << 40);
        assert_eq!(held.exit(), (pid, 7 << 8));
        assert_eq!(process_state(pid), None);
    }
    held.nursery.quit();
    wait_for(&held.nursery.pidfd);
    assert!(held.next().is_err());
    held.nursery.reap();
    assert_eq!(process_state(held.nursery.pid), None);
}

#[test]
fn a_signal_is_reported() {
    let _watchdog = watchdog("a_signal_is_reported");
    let held = held("panic").ready();
    let (pid, _) = held.start(0, 1);
    let (ended, status) = held.exit();
    assert_eq!((ended, status & 0x7f), (pid, 6));
    held.nursery.quit();
    wait_for(&held.nursery.pidfd);
    held.nursery.reap();
}

#[test]
fn a_worker_has_what_it_was_given_and_nothing_else() {
    let _watchdog = watchdog("a_worker_has_what_it_was_given_and_nothing_else");
    let held = held("tell").ready();
    held.start(5, 77);
    assert_eq!(held.exit().1, 0);
    let told = held.told();
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("seat 5 generation 77 variable false worker true"),
        "{told}"
    );
    assert!(lines[0].ends_with(" SigBlk:\t0000000000000000"), "{told}");
    eprintln!("{told}");
    held.nursery.quit();
    wait_for(&held.nursery.pidfd);
    held.nursery.reap();
}
