//! Worker processes of the plainest kind, and a parent that does for them what a pool does: shared by the tests that need both.
//!
//! A worker is this test binary once more, told by its environment to run one test, which is the worker's loop.

use forkful_core::deadline::Deadline;
use forkful_core::sys::{Stamp, arm_crash, die_with};
use forkful_core::wire::{
    Bell, Cursor, INLINE, Link, Look, OutcomeHead, OutcomeReader, Shape, Standing, Status, TaskHead,
};
use std::env;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

const LINK: &str = "FORKFUL_TEST_LINK";
const BELL: &str = "FORKFUL_TEST_BELL";
const PLACE: &str = "FORKFUL_TEST_WORKER";
const PARENT: &str = "FORKFUL_TEST_PARENT";
const CRASH: &str = "FORKFUL_TEST_CRASH";

/// What every task does to its payload, so that each outcome can be checked.
pub fn answer(payload: &[u8]) -> Vec<u8> {
    payload.iter().rev().map(|byte| byte ^ 0x5a).collect()
}

/// The payload of a task, of any length that a ring of 4096 bytes takes.
pub fn question(number: u64) -> Vec<u8> {
    let len = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55;
    let len = if number % 100 == 99 { 1500 } else { len };
    (0..len)
        .map(|nth| (number.wrapping_mul(31) + nth) as u8)
        .collect()
}

/// Not a test by itself: the worker's loop, in the processes that the tests start.
#[test]
fn worker_process() {
    let Ok(place) = env::var(PLACE) else { return };
    let place: u32 = place.parse().unwrap();
    let open = |name: &str| {
        let path = env::var(name).unwrap();
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap()
    };
    let link = Arc::new(Link::open(open(LINK).as_fd()).unwrap());
    let bell = Bell::open(open(BELL).as_fd()).unwrap();
    if !die_with(env::var(PARENT).unwrap().parse().unwrap()) {
        return;
    }
    arm_crash(&env::var(CRASH).unwrap_or_default());
    let (tasks, bells, page) = (link.tasks(), link.bells(), link.page(place));
    let mut writer = link.writer(place);
    let mut payload = Vec::new();
    page.start(std::process::id(), Stamp::now().nanos());
    page.set_status(Status::Idle);
    loop {
        while let Some(position) = tasks.claim(place) {
            let task = tasks.read(position, &mut payload).unwrap();
            let now = Stamp::now().nanos();
            page.begin(position, now, now.saturating_sub(task.submitted));
            let outcome = answer(&payload);
            page.writing(Stamp::now().nanos());
            let head = OutcomeHead {
                position,
                kind: 1,
                len: outcome.len() as u32,
                ..OutcomeHead::default()
            };
            while !writer.try_push(&head, &outcome) {
                writer.wait_for_room(outcome.len(), &bell, || false, Deadline::NEVER);
            }
            page.end(false, Stamp::now().nanos());
            bells.ring(&bell);
        }
        if link.is_closing() {
            page.set_status(Status::Leaving);
            return;
        }
        let ready = || tasks.is_ready() || link.is_closing();
        bells.sleep_until(place, ready, Deadline::NEVER);
    }
}

/// One place for a worker.
struct Seat {
    reader: OutcomeReader,
    /// Set by the thread that waits for the process.
    dead: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
}

/// How a death left its worker's tasks.
#[derive(Debug, PartialEq, Eq)]
pub struct Wreck {
    /// Tasks without an outcome.
    pub requeued: usize,
    /// How many of them had begun.
    pub begun: usize,
}

/// The parent's side of a pool.
pub struct Parent {
    pub link: Arc<Link>,
    bell: Arc<Bell>,
    seats: Vec<Seat>,
    cursor: Cursor,
    /// The number of the task in each slot, with its position.
    slots: Vec<Option<(u64, u64)>>,
    /// By number: whether its outcome has come.
    done: Vec<bool>,
    left: usize,
    pub wrecks: Vec<Wreck>,
}

impl Parent {
    /// A pool with so many workers, of which the first may be armed to crash.
    pub fn new(shape: Shape, crash: &str) -> Parent {
        let link = Arc::new(Link::create(shape).unwrap());
        let bell = Arc::new(Bell::create().unwrap());
        let mut parent = Parent {
            cursor: Cursor::new(shape.slots),
            slots: vec![None; shape.slots as usize],
            seats: Vec::new(),
            done: Vec::new(),
            left: 0,
            wrecks: Vec::new(),
            link,
            bell,
        };
        for place in 0..shape.workers {
            let spec = if place == 0 { crash } else { "" };
            let seat = parent.seat(place, parent.link.reader(place), spec);
            parent.seats.push(seat);
        }
        parent
    }

    fn seat(&self, place: u32, reader: OutcomeReader, crash: &str) -> Seat {
        let pid = std::process::id();
        let path = |fd: BorrowedFd<'_>| format!("/proc/{pid}/fd/{}", fd.as_raw_fd());
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["letters::worker_process", "--exact", "--nocapture"])
            .env(LINK, path(self.link.fd().unwrap()))
            .env(BELL, path(self.bell.fd().unwrap()))
            .env(PLACE, place.to_string())
            .env(PARENT, pid.to_string())
            .env(CRASH, crash)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let dead = Arc::new(AtomicBool::new(false));
        let (told, link) = (dead.clone(), self.link.clone());
        // The supervisor: the kick is what a lost wake is healed by.
        let watcher = thread::spawn(move || {
            reap(&mut child);
            told.store(true, Ordering::SeqCst);
            link.bells().kick();
        });
        Seat {
            reader,
            dead,
            watcher,
        }
    }

    /// Submits the next task, draining where there is no slot.
    pub fn submit(&mut self) {
        let number = self.done.len() as u64;
        self.done.push(false);
        self.left += 1;
        self.send(number);
    }

    fn send(&mut self, number: u64) {
        let position = loop {
            let (link, slots) = (&self.link, &self.slots);
            let standing = |index: u32| match slots[index as usize] {
                None => Standing::Free,
                Some((_, position)) => match link.tasks().look(position) {
                    Look::Taken(_) => Standing::Taken,
                    _ => Standing::Ready,
                },
            };
            match self.cursor.next_position(standing) {
                Some(position) => break position,
                None => self.wait(),
            }
        };
        let payload = question(number);
        let index = position % self.slots.len() as u64;
        let place = index * 4096;
        if payload.len() > INLINE {
            self.link.write_area(place, &payload);
        }
        let head = TaskHead {
            position,
            len: payload.len() as u32,
            place,
            submitted: Stamp::now().nanos(),
            loan: number,
            ..TaskHead::default()
        };
        self.slots[index as usize] = Some((number, position));
        self.link.tasks().write(&head, &payload);
        self.link.tasks().publish(position);
        self.link.bells().wake_one();
    }

    /// Drains until every task has its outcome.
    pub fn finish(&mut self) {
        while self.left > 0 {
            self.wait();
        }
    }

    /// Drains, sleeping first if there is nothing to drain, and buries the dead.
    fn wait(&mut self) {
        if self.drain_all() {
            return;
        }
        let link = self.link.clone();
        let expected = link.bells().listen();
        let seats = &self.seats;
        let is_quiet = |seat: &Seat| seat.reader.is_empty() && !seat.dead.load(Ordering::SeqCst);
        if seats.iter().all(is_quiet) {
            link.bells().sleep(expected, Deadline::NEVER);
        }
        link.bells().unlisten();
        for place in 0..self.seats.len() {
            if self.seats[place].dead.load(Ordering::SeqCst) {
                self.bury(place);
            }
        }
        self.drain_all();
    }

    fn drain_all(&mut self) -> bool {
        // All of them, not up to the first that had something.
        let drained = (0..self.seats.len()).filter(|place| self.drain(*place));
        drained.count() > 0
    }

    fn drain(&mut self, place: usize) -> bool {
        let (mut payload, mut any) = (Vec::new(), false);
        while let Some(head) = self.seats[place].reader.next(&mut payload).unwrap() {
            let index = (head.position % self.slots.len() as u64) as usize;
            let (number, position) = self.slots[index].take().expect("an outcome of nothing");
            assert_eq!(position, head.position);
            let taken = Look::Taken(place as u32);
            assert_eq!(self.link.tasks().look(position), taken);
            assert_eq!(payload, answer(&question(number)), "task {number}");
            assert!(!self.done[number as usize], "task {number} came twice");
            self.done[number as usize] = true;
            self.left -= 1;
            self.link.tasks().free(position);
            any = true;
        }
        any
    }

    /// A death: what was committed counts, what was taken goes out again, everybody is woken, and a new one sits down.
    fn bury(&mut self, place: usize) {
        self.drain(place);
        let link = self.link.clone();
        let (tasks, bells) = (link.tasks(), link.bells());
        let running = link
            .page(place as u32)
            .running()
            .map(|(position, _)| position);
        let held: Vec<_> = self.slots.iter().flatten().copied().collect();
        let mut lost: Vec<_> = held
            .into_iter()
            .filter(|(_, position)| tasks.look(*position) == Look::Taken(place as u32))
            .collect();
        lost.sort_unstable();
        let begun = lost
            .iter()
            .filter(|(_, position)| running == Some(*position));
        self.wrecks.push(Wreck {
            requeued: lost.len(),
            begun: begun.count(),
        });
        for (_, position) in &lost {
            let index = *position as usize % self.slots.len();
            self.slots[index] = None;
            tasks.free(*position);
        }
        bells.forget(place as u32);
        tasks.rewind(self.cursor.tail());
        link.page(place as u32).clear();
        let mut reader = link.reader(place as u32);
        reader.reset();
        let seat = self.seat(place as u32, reader, "");
        let old = std::mem::replace(&mut self.seats[place], seat);
        old.watcher.join().unwrap();
        bells.wake_all();
        for (number, _) in lost {
            self.send(number);
        }
    }

    /// Kills a worker, as anybody may at any time.
    pub fn kill(&self, place: u32) {
        let pid = self.link.page(place).pid();
        if pid != 0 {
            let fd = forkful_core::sys::pidfd_open(pid as i32);
            let _ = fd.map(|fd| forkful_core::sys::pidfd_signal(fd, 9));
        }
    }

    /// Lets everybody leave, and says how many tasks they have counted.
    pub fn close(self) -> u64 {
        assert!(self.slots.iter().all(Option::is_none), "a slot is not free");
        self.link.close();
        self.link.bells().wake_all();
        let mut counted = 0;
        for (place, seat) in (0..).zip(self.seats) {
            seat.watcher.join().unwrap();
            counted += self.link.page(place).snapshot().done;
        }
        counted
    }
}

fn reap(child: &mut Child) {
    child.wait().unwrap();
}
