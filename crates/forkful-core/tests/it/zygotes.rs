//! A zygote in a process of its own, and its pool here.

use crate::watchdog::Watchdog;
use forkful_core::procs::nursery::{Message, Nursery};
use forkful_core::sys::{
    SIGKILL, await_message, fork, hang_up, leave, pidfd_exited, pidfd_open, pidfd_signal,
    plain_memfd, read_text, send_with_fds, seqpacket_pair, stands_for,
};
use forkful_core::wire::{Ask, Report};
use forkful_core::worker::zygote::{Execute, Newborn, serve};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// What a worker does in these tests.
type Life = fn(Newborn) -> i32;

fn nursery(life: Life, execute: Option<Execute>) -> Nursery {
    let (ours, theirs) = seqpacket_pair().unwrap();
    let me = std::process::id() as i32;
    let parent = pidfd_open(me).unwrap();
    let extra = ["forkful-test-link", "forkful-test-bell"].map(|name| plain_memfd(name).unwrap());
    let request = plain_memfd("forkful-test-request").unwrap();
    let Some(pid) = fork().unwrap() else {
        drop(ours);
        let code = match serve(theirs, parent, execute) {
            Ok(newborn) => life(newborn),
            Err(_) => 98,
        };
        leave(code)
    };
    let pidfd = pidfd_open(pid).unwrap();
    Nursery::new(ours, pidfd, pid, request, extra.into(), true)
}

fn next(nursery: &Nursery) -> Option<(Report, Option<OwnedFd>)> {
    loop {
        await_message(nursery.control()).unwrap();
        match nursery.receive() {
            Ok(Some(Message::Report(report, fd))) => return Some((report, fd)),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

fn wait_for(nursery: &Nursery) {
    while !pidfd_exited(&nursery.pidfd) {
        std::thread::sleep(Duration::from_millis(1));
    }
    nursery.reap();
}

fn sleeps(_: Newborn) -> i32 {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// Writes how many descriptors it has, and whether its own are different files.
fn counts_descriptors(newborn: Newborn) -> i32 {
    let count = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let own = [
        &newborn.request,
        &newborn.dump,
        &newborn.link,
        &newborn.bell,
    ];
    let same = |fd: &OwnedFd| {
        let others = own.iter();
        others
            .filter(|other| stands_for(fd.as_raw_fd(), other.as_fd()))
            .count()
    };
    let apart = own.iter().all(|fd| same(fd) == 1);
    let mut file = std::fs::File::from(newborn.dump.try_clone().unwrap());
    write!(file, "{count} {apart};").unwrap();
    sleeps(newborn)
}

#[test]
fn a_worker_gets_its_descriptors_and_none_of_the_zygotes() {
    let _watchdog = Watchdog::over("a_worker_gets_its_descriptors_and_none_of_the_zygotes");
    let nursery = nursery(counts_descriptors, None);
    let dump = plain_memfd("forkful-test-dump").unwrap();
    assert_eq!(next(&nursery).unwrap().0, Report::Ready);
    // One after the other, so that the zygote has a descriptor of each when it forks the next.
    for count in 1..=3 {
        nursery.start(count, 1, &dump, None).unwrap();
        while read_text(&dump).unwrap().matches(';').count() < count as usize {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let told = read_text(&dump).unwrap();
    let told: Vec<&str> = told.split_terminator(';').collect();
    assert!(told[0].ends_with(" true"), "{told:?}");
    assert!(told.iter().all(|other| *other == told[0]), "{told:?}");
    pidfd_signal(&nursery.pidfd, SIGKILL).unwrap();
    wait_for(&nursery);
}

#[test]
fn messages_are_obeyed() {
    let _watchdog = Watchdog::over("messages_are_obeyed");
    let nursery = nursery(sleeps, None);
    let dump = plain_memfd("forkful-test-dump").unwrap();
    assert_eq!(next(&nursery).unwrap().0, Report::Ready);
    nursery.start(3, 7, &dump, None).unwrap();
    let (born, pidfd) = next(&nursery).unwrap();
    let pidfd = pidfd.unwrap();
    nursery.tell_again(3, 7);
    let (again, other) = next(&nursery).unwrap();
    assert_eq!(born, again);
    assert!(stands_for(other.unwrap().as_raw_fd(), pidfd.as_fd()));
    // Of another generation: not that one.
    nursery.undo(3, 6);
    nursery.quit();
    // It is not asked for more, and waits for those that it has.
    nursery.start(4, 8, &dump, None).unwrap();
    nursery.tell_again(3, 7);
    assert_eq!(next(&nursery).unwrap().0, born);
    nursery.undo(3, 7);
    let Report::Exited { status, .. } = next(&nursery).unwrap().0 else {
        panic!("another report");
    };
    assert_eq!(status, SIGKILL);
    assert!(next(&nursery).is_none());
    wait_for(&nursery);
}

#[test]
fn a_pool_that_hangs_up_ends_its_workers() {
    let _watchdog = Watchdog::over("a_pool_that_hangs_up_ends_its_workers");
    let nursery = nursery(sleeps, None);
    let dump = plain_memfd("forkful-test-dump").unwrap();
    assert_eq!(next(&nursery).unwrap().0, Report::Ready);
    nursery.start(0, 1, &dump, None).unwrap();
    let (_, worker) = next(&nursery).unwrap();
    hang_up(nursery.control());
    wait_for(&nursery);
    while !pidfd_exited(worker.as_ref().unwrap()) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_can_not_be_born_is_reported() {
    let _watchdog = Watchdog::over("what_can_not_be_born_is_reported");
    fn refuses(_: &Newborn) -> io::Result<(i32, OwnedFd)> {
        Err(io::Error::from_raw_os_error(11))
    }
    let nursery = nursery(sleeps, Some(refuses));
    let dump = plain_memfd("forkful-test-dump").unwrap();
    assert_eq!(next(&nursery).unwrap().0, Report::Ready);
    nursery.start(9, 5, &dump, None).unwrap();
    let (report, _) = next(&nursery).unwrap();
    assert!(
        matches!(
            report,
            Report::Failed {
                worker: 9,
                generation: 5,
                code: Some(11),
                ..
            }
        ),
        "{report:?}"
    );
    // Too few descriptors.
    let bytes = Ask::Start(1, 2).bytes();
    send_with_fds(nursery.control(), &bytes, &[dump.as_fd()]).unwrap();
    let Report::Failed { text, code, .. } = next(&nursery).unwrap().0 else {
        panic!("another report");
    };
    assert_eq!(
        (&*text, code),
        ("a worker needs 4 descriptors, 1 came", None)
    );
    nursery.quit();
    wait_for(&nursery);
}

#[test]
fn a_zygote_that_is_killed_takes_its_workers_along() {
    let _watchdog = Watchdog::over("a_zygote_that_is_killed_takes_its_workers_along");
    let nursery = nursery(sleeps, None);
    let dump = plain_memfd("forkful-test-dump").unwrap();
    assert_eq!(next(&nursery).unwrap().0, Report::Ready);
    nursery.start(0, 1, &dump, None).unwrap();
    let (_, worker) = next(&nursery).unwrap();
    pidfd_signal(&nursery.pidfd, SIGKILL).unwrap();
    assert!(next(&nursery).is_none());
    wait_for(&nursery);
    while !pidfd_exited(worker.as_ref().unwrap()) {
        std::thread::sleep(Duration::from_millis(1));
    }
}
