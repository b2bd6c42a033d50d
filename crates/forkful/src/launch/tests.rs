//! Zygotes and workers as their pool's process sees them; what a worker does is said by the request here.

use super::*;
use crate::init;
use crate::worker::Berth;
use forkful_core::procs::nursery::Message;
use forkful_core::sys::{
    EventFd, SIGINT, SIGKILL, arm_crash, await_message, leave, pidfd_exited, pidfd_signal,
    plain_memfd, process_state, read_text,
};
use forkful_core::wire::Report;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

// --- in zygotes and workers ---

/// By which this program is entered in these tests: not by the one that real pools use.
#[test]
fn entrance() {
    init::enter(work, true);
}

/// The same where threads run already.
#[test]
fn entrance_with_threads() {
    let (says, hears) = channel::<()>();
    let thread = std::thread::spawn(move || while hears.recv_timeout(BEAT) != Err(GONE) {});
    init::enter(work, true);
    drop(says);
    thread.join().unwrap();
}

const BEAT: Duration = Duration::from_millis(20);
const GONE: RecvTimeoutError = RecvTimeoutError::Disconnected;

/// The same where it takes a while until it is entered.
#[test]
fn entrance_that_is_slow() {
    if std::env::var_os(VARIABLE).is_some() {
        std::thread::sleep(Duration::from_millis(300));
    }
    init::enter(work, true);
}

/// The same in a process that dies at a chosen instruction.
macro_rules! entrances_that_crash {
    ($($name:ident $point:literal)*) => {
        $(#[test]
        fn $name() {
            if std::env::var_os(VARIABLE).is_some() {
                arm_crash($point);
            }
            init::enter(work, true);
        })*
        const CRASHES: &[(&str, &str)] = &[$(($point, stringify!($name))),*];
    };
}

entrances_that_crash! {
    crash_when_ready "zygote.ready"
    crash_when_asked "zygote.asked"
    crash_when_born "zygote.born"
    crash_when_reaped "zygote.reaped"
    crash_when_forked "worker.forked"
}

/// What a worker does: its request says.
fn work(berth: Berth) -> ! {
    match &*berth.start {
        b"exit" => leave(7),
        b"abort" => std::process::abort(),
        b"tell" => {
            let told = tell(&berth);
            let told = File::from(berth.dump).write_all(told.as_bytes());
            leave(i32::from(told.is_err()))
        }
        b"sleep" => loop {
            std::thread::sleep(Duration::from_secs(60));
        },
        _ => leave(99),
    }
}

/// What a worker finds, a fact in each line.
fn tell(berth: &Berth) -> String {
    let target = |number: i32| {
        let target = std::fs::read_link(format!("/proc/self/fd/{number}"));
        target.map_or("-".into(), |target| target.display().to_string())
    };
    let mut others: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter_map(|fd| fd.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .map(target)
        .filter(|target| !target.starts_with("/proc/"))
        .collect();
    others.sort();
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let mask = status.lines().find(|line| line.starts_with("SigBlk"));
    // The listing's own descriptor is one of those that a program finds.
    let inherited = Command::new("ls").arg("/proc/self/fd").output().unwrap();
    let inherited = String::from_utf8(inherited.stdout).unwrap();
    let variable = Command::new("env").output().unwrap();
    let variable = String::from_utf8(variable.stdout).unwrap();
    format!(
        "place {} {}\nworker {}\nmask {}\nstdin {}\nothers {}\nprogram's {}\nvariable {} {}\nown {}\nin {}\n",
        berth.seat,
        berth.generation,
        init::is_worker(),
        mask.unwrap(),
        target(0),
        others.join(" "),
        inherited.split_whitespace().count(),
        std::env::var_os(VARIABLE).is_some(),
        variable.contains(VARIABLE),
        [&berth.link, &berth.bell, &berth.dump]
            .map(|fd| target(fd.as_raw_fd()))
            .join(" "),
        std::env::current_dir().unwrap().display(),
    )
}

// --- in the pool's process ---

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

fn held_by(entrance: &str, told: &str) -> Held {
    let entrance = Entrance::Test(format!("launch::tests::{entrance}"));
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

fn held(told: &str) -> Held {
    held_by("entrance", told)
}

impl Held {
    /// The next report, and the descriptor that comes with it; `None` when there will be none.
    fn next(&self) -> Option<(Report, Option<OwnedFd>)> {
        loop {
            await_message(self.nursery.control()).unwrap();
            match self.nursery.receive() {
                Ok(Some(Message::Report(report, fd))) => return Some((report, fd)),
                Ok(Some(Message::Unknown)) => panic!("a message that nobody knows"),
                Ok(None) => {}
                Err(_) => return None,
            }
        }
    }

    fn ready(self) -> Held {
        assert_eq!(self.next().unwrap().0, Report::Ready);
        self
    }

    fn ask(&self, seat: u32, generation: u64) {
        self.nursery
            .start(seat, generation, &self.dump, None)
            .unwrap();
    }

    /// A worker on this seat: its number, and its pidfd.
    fn start(&self, seat: u32, generation: u64) -> (i32, OwnedFd) {
        self.ask(seat, generation);
        match self.next() {
            Some((
                Report::Started {
                    worker,
                    generation: told,
                    pid,
                },
                Some(pidfd),
            )) => {
                assert_eq!((worker, told), (seat, generation));
                (pid, pidfd)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Which worker ends next, and how.
    fn exit(&self) -> (i32, i32) {
        match self.next() {
            Some((Report::Exited { pid, status, peak }, _)) => {
                assert!(peak > 0);
                (pid, status)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Lets it go, and sees to it that it is gone.
    fn end(self) {
        self.nursery.quit();
        assert!(self.next().is_none());
        self.bury();
    }

    fn bury(&self) {
        wait_for(&self.nursery.pidfd);
        self.nursery.reap();
        assert_eq!(process_state(self.nursery.pid), None, "it is a zombie");
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
    for entrance in ["entrance", "entrance_with_threads"] {
        let held = held_by(entrance, "exit").ready();
        for seat in 0..3 {
            let (pid, _) = held.start(seat, u64::from(seat) << 40);
            assert_eq!(held.exit(), (pid, 7 << 8), "{entrance}");
            assert_eq!(process_state(pid), None, "{entrance}");
        }
        held.end();
    }
}

#[test]
fn a_signal_is_reported() {
    let _watchdog = watchdog("a_signal_is_reported");
    let held = held("abort").ready();
    let (pid, _) = held.start(0, 1);
    let (ended, status) = held.exit();
    assert_eq!((ended, status & 0x7f), (pid, 6));
    held.end();
}

/// The number of a line `name N`, or what it says.
fn said<'a>(told: &'a str, name: &str) -> &'a str {
    let line = told.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is not in {told}"))
        .trim()
}

#[test]
fn a_worker_has_what_it_was_given_and_nothing_else() {
    let _watchdog = watchdog("a_worker_has_what_it_was_given_and_nothing_else");
    let own =
        "/memfd:forkful-test (deleted) anon_inode:[eventfd] /memfd:forkful-test-dump (deleted)";
    let others =
        "/memfd:forkful-test (deleted) /memfd:forkful-test-dump (deleted) anon_inode:[eventfd]";
    for entrance in ["entrance", "entrance_with_threads"] {
        let held = held_by(entrance, "tell").ready();
        held.start(5, 77);
        assert_eq!(held.exit().1, 0);
        let told = read_text(&held.dump).unwrap();
        assert_eq!(said(&told, "place"), "5 77");
        assert_eq!(said(&told, "worker"), "true");
        assert_eq!(said(&told, "mask"), "SigBlk:\t0000000000000000");
        assert_eq!(said(&told, "stdin"), "/dev/null");
        assert_eq!(said(&told, "own"), own);
        assert_eq!(said(&told, "others"), others, "{entrance}");
        assert_eq!(said(&told, "program's"), "4", "{entrance}");
        assert_eq!(said(&told, "variable"), "false false");
        held.end();
    }
}

#[test]
fn ctrl_c_is_the_parents_to_decide() {
    let _watchdog = watchdog("ctrl_c_is_the_parents_to_decide");
    let held = held("sleep").ready();
    let (_, worker) = held.start(0, 1);
    for _ in 0..3 {
        pidfd_signal(&held.nursery.pidfd, SIGINT).unwrap();
        pidfd_signal(&worker, SIGINT).unwrap();
    }
    // Both are still there to be asked and to answer.
    held.nursery.tell_again(0, 1);
    assert!(matches!(
        held.next(),
        Some((Report::Started { .. }, Some(_)))
    ));
    assert!(!pidfd_exited(&worker));
    held.nursery.undo(0, 1);
    assert_eq!(held.exit().1, SIGKILL);
    held.end();
}

#[test]
fn ctrl_c_while_it_starts_does_not_end_it() {
    let _watchdog = watchdog("ctrl_c_while_it_starts_does_not_end_it");
    let held = held_by("entrance_that_is_slow", "exit");
    for _ in 0..20 {
        pidfd_signal(&held.nursery.pidfd, SIGINT).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    let held = held.ready();
    held.start(0, 1);
    assert_eq!(held.exit().1, 7 << 8);
    held.end();
}

#[test]
fn a_death_at_any_point_is_seen() {
    let _watchdog = watchdog("a_death_at_any_point_is_seen");
    for (point, entrance) in CRASHES {
        let held = held_by(entrance, "exit");
        if *point == "worker.forked" {
            let held = held.ready();
            let (pid, _) = held.start(0, 1);
            assert_eq!(held.exit(), (pid, SIGKILL), "{point}");
            held.end();
            continue;
        }
        if *point != "zygote.ready" {
            assert_eq!(held.next().unwrap().0, Report::Ready);
            held.ask(0, 1);
        }
        let mut worker = None;
        while let Some((report, pidfd)) = held.next() {
            assert!(
                matches!(report, Report::Started { .. }),
                "{point}: {report:?}"
            );
            worker = pidfd;
        }
        assert_eq!(worker.is_some(), *point == "zygote.reaped", "{point}");
        held.bury();
    }
}

// --- where the pool's process dies or is odd: another one, which these tests start ---

/// Says which case that is.
const CASE: &str = "FORKFUL_TEST_CASE";

/// What that process does.
#[test]
fn parent() {
    // Its zygote has the variable, too.
    let case = std::env::var(CASE)
        .ok()
        .filter(|_| std::env::var_os(VARIABLE).is_none());
    let Some(case) = case else { return };
    match &*case {
        "dies" | "dies early" => {
            let early = case == "dies early";
            let held = held_by(
                if early {
                    "entrance_that_is_slow"
                } else {
                    "entrance"
                },
                "sleep",
            );
            if early {
                println!("\npids {}", held.nursery.pid);
            } else {
                let held = held.ready();
                let workers = [0, 1].map(|seat| held.start(seat, 1).0);
                println!("\npids {} {} {}", held.nursery.pid, workers[0], workers[1]);
                std::mem::forget(held);
            }
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        }
        "moves" => {
            let program = std::env::current_exe().unwrap();
            std::fs::remove_file(&program).unwrap();
            std::fs::write(&program, "another one").unwrap();
            std::env::set_current_dir("/").unwrap();
            let files: Vec<File> = (0..600)
                .map_while(|_| File::open("/dev/null").ok())
                .collect();
            let held = held("tell").ready();
            held.start(0, 1);
            assert_eq!(held.exit().1, 0);
            let told = read_text(&held.dump).unwrap();
            assert_eq!(said(&told, "in "), "/");
            assert_eq!(said(&told, "program's"), "4");
            held.end();
            println!("\nmoved with {} files", files.len());
        }
        _ => panic!("another case: {case}"),
    }
}

fn parent_of(case: &str, program: &std::path::Path) -> Command {
    let mut command = Command::new(program);
    command
        .args([
            "--exact",
            "launch::tests::parent",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CASE, case)
        .stdout(Stdio::piped());
    command
}

/// The first line of its output that begins so.
fn line_of(child: &mut Child, start: &str) -> String {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let line = lines.find_map(|line| line.strip_prefix(start).map(str::to_owned));
    line.expect("the process says so before it ends")
}

#[test]
fn everybody_ends_with_the_parent() {
    let _watchdog = watchdog("everybody_ends_with_the_parent");
    let program = std::env::current_exe().unwrap();
    for (case, number) in [("dies", 3), ("dies early", 1)] {
        let mut parent = parent_of(case, &program).spawn().unwrap();
        let pids = line_of(&mut parent, "pids ");
        let pidfds: Vec<OwnedFd> = pids
            .split_whitespace()
            .map(|pid| pidfd_open(pid.parse().unwrap()).unwrap())
            .collect();
        assert_eq!(pidfds.len(), number);
        assert!(!pidfds.iter().any(pidfd_exited), "{case}");
        parent.kill().unwrap();
        parent.wait().unwrap();
        pidfds.iter().for_each(wait_for);
    }
}

#[test]
fn a_program_that_was_replaced_and_has_moved_is_run_as_it_was() {
    let _watchdog = watchdog("a_program_that_was_replaced_and_has_moved_is_run_as_it_was");
    let program = std::env::current_exe().unwrap();
    let place = program.with_file_name(format!("forkful-test-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    // No copy: while it was written, another test's new process may have held it open for writing, and it could not be run.
    std::fs::hard_link(program, place.join("program")).unwrap();
    let output = parent_of("moves", &place.join("program"))
        .arg0("./program")
        .current_dir(&place)
        .output();
    std::fs::remove_dir_all(&place).unwrap();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("moved with 600 files"), "{output:?}");
}
