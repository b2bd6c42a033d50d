//! A pool whose nursery and worker are played by the test: step by step, what it asks for and when it ends.

use crate::watchdog::Watchdog;
use forkful_core::prim::Ordering::SeqCst;
use forkful_core::procs::nursery::Nursery;
use forkful_core::procs::record::{Call, Payload};
use forkful_core::procs::watcher::{Watch, Watcher};
use forkful_core::procs::{End, Job, Kept, OnCrash, Pool, Settings, Spare};
use forkful_core::sys::{Stamp, pidfd_open, plain_memfd, receive_with_fds, send_with_fds};
use forkful_core::wire::{Bell, OutcomeHead, OutcomeWriter, Status};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How a task ended, and what keeps the pool while its owner thinks about it.
type Ended = (End, Kept<Task>);

struct Task {
    pool: Arc<OnceLock<Arc<Pool<Task>>>>,
    ended: Sender<Ended>,
}

impl Job for Task {
    fn is_cancelled(&self) -> bool {
        false
    }
    fn placed(&self, _place: u64) {}
    fn finish(self, end: End, _spare: Spare) {
        let kept = self.pool.get().unwrap().keep();
        self.ended.send((end, kept)).unwrap();
    }
    fn dismiss(self) {}
}

/// A pool of one worker.
struct House {
    pool: Arc<Pool<Task>>,
    itself: Arc<OnceLock<Arc<Pool<Task>>>>,
    bell: Arc<Bell>,
    /// The nursery's end of the control socket.
    nursery: OwnedFd,
    writer: OutcomeWriter,
    _watch: Watch,
    ended: (Sender<Ended>, Receiver<Ended>),
    requests: u64,
}

impl House {
    fn new() -> House {
        let bell = Arc::new(Bell::create().unwrap());
        let watcher = Watcher::current().unwrap();
        let settings = Settings {
            workers: 1,
            on_crash: OnCrash::Replace,
            memory_limit: None,
            sampling: Duration::from_secs(1),
        };
        let waker = watcher.clone();
        let wake = Box::new(move || waker.wake());
        let pool = Pool::new(settings, bell.clone(), Box::new(|_, _| {}), wake).unwrap();
        let watch = watcher.register(pool.clone()).unwrap();
        let (control, nursery) = forkful_core::sys::seqpacket_pair().unwrap();
        let here = pidfd_open(std::process::id() as i32).unwrap();
        let request = plain_memfd("forkful-test").unwrap();
        pool.set_nursery(
            Nursery::new(control, here, 0, request, Vec::new(), true),
            &watch,
        )
        .unwrap();
        let writer = pool.link().writer(0);
        let itself = Arc::new(OnceLock::new());
        let _ = itself.set(pool.clone());
        House {
            pool,
            itself,
            bell,
            nursery,
            writer,
            _watch: watch,
            ended: channel(),
            requests: 0,
        }
    }

    fn submit(&self, attempts: u32) -> bool {
        let task = Task {
            pool: self.itself.clone(),
            ended: self.ended.0.clone(),
        };
        let call = Call {
            function: 0,
            definitions: 0,
            flags: 0,
            payload: Payload::new(),
            limits: None,
            parcel: None,
        };
        self.pool.submit(task, call, attempts).is_ok()
    }

    /// The next message to the nursery.
    fn hear(&self) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        loop {
            match receive_with_fds(&self.nursery, &mut bytes, &mut Vec::new()) {
                Ok(received) => return bytes[..received.len].to_vec(),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// A worker is asked for.
    fn expect_request(&mut self) {
        self.requests += 1;
        let mut expected = vec![b'S', 0, 0, 0, 0, 0, 0, 0];
        expected.extend(self.requests.to_le_bytes());
        assert_eq!(self.hear(), expected);
    }

    /// None could be made.
    fn refuse(&self, why: &str) {
        let mut message = vec![b'f', 0, 0, 0, 0, 0, 0, 0];
        message.extend(self.requests.to_le_bytes());
        message.extend(why.as_bytes());
        send_with_fds(&self.nursery, &message, &[]).unwrap();
    }

    /// As a worker does it.
    fn work(&mut self) {
        let link = self.pool.link();
        let position = link.tasks().claim(0).expect("no task");
        link.page(0).set_status(Status::Writing);
        let head = OutcomeHead {
            position,
            kind: 1,
            ..OutcomeHead::default()
        };
        assert!(self.writer.try_push(&head, b""));
        link.page(0).end(false, Stamp::now().nanos());
        link.bells().ring(&self.bell);
        self.pool.drain();
    }
}

#[test]
fn a_start_that_fails_is_tried_again_and_the_fifth_failure_is_told() {
    let _watchdog =
        Watchdog::over("a_start_that_fails_is_tried_again_and_the_fifth_failure_is_told");
    let mut house = House::new();
    assert!(house.submit(0));
    let why = "because ".repeat(5000);
    for _ in 0..5 {
        // Nobody submits or drains meanwhile: that it failed is reason enough to ask, a little later.
        house.expect_request();
        house.refuse(&why);
    }
    let (end, _) = house.ended.1.recv().unwrap();
    match end {
        End::Broken(breakage) => assert!(breakage.text.ends_with(&why), "{}", breakage.text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_closed_pool_ends_when_nobody_has_a_task_in_hand() {
    let _watchdog = Watchdog::over("a_closed_pool_ends_when_nobody_has_a_task_in_hand");
    let mut house = House::new();
    assert!(house.submit(0));
    house.expect_request();
    house.work();
    let (_, kept) = house.ended.1.recv().unwrap();
    house.pool.close();
    // Its owner has not decided yet: the worker must stay.
    house.pool.drain();
    assert!(!house.pool.link().is_closing());
    assert!(!house.submit(0), "it takes no new task");
    assert!(house.submit(1), "but an old one again");
    drop(kept);
    assert!(!house.pool.link().is_closing());
    house.work();
    let (_, kept) = house.ended.1.recv().unwrap();
    assert!(!house.pool.link().is_closing());
    drop(kept);
    assert!(house.pool.link().is_closing());
    // The worker was never born, and so it can't end.
    house.refuse("no");
    assert_eq!(house.hear()[0], b'Q');
    assert!(!house.pool.is_finished());
    drop(house.nursery);
    while !house.pool.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_pool_that_was_never_used_ends_at_once_and_lets_a_late_nursery_go() {
    let _watchdog = Watchdog::over("a_pool_that_was_never_used_ends_at_once");
    let rung = Arc::new(AtomicBool::new(false));
    let ring = rung.clone();
    let settings = Settings {
        workers: 1,
        on_crash: OnCrash::Replace,
        memory_limit: None,
        sampling: Duration::from_secs(1),
    };
    let bell = Arc::new(Bell::create().unwrap());
    let pool: Arc<Pool<Task>> = Pool::new(
        settings,
        bell.clone(),
        Box::new(|_, _| {}),
        Box::new(move || ring.store(true, SeqCst)),
    )
    .unwrap();
    let seen = bell.now();
    pool.close();
    assert!(pool.is_finished() && rung.load(SeqCst) && bell.now() != seen);
    let (control, nursery) = forkful_core::sys::seqpacket_pair().unwrap();
    let here = pidfd_open(std::process::id() as i32).unwrap();
    let request = plain_memfd("forkful-test").unwrap();
    let watch = Watcher::current().unwrap().register(pool.clone()).unwrap();
    pool.set_nursery(
        Nursery::new(control, here, 0, request, Vec::new(), false),
        &watch,
    )
    .unwrap();
    let (mut bytes, mut fds) = ([0; 16], Vec::new());
    assert_eq!(
        receive_with_fds(&nursery, &mut bytes, &mut fds)
            .unwrap()
            .len,
        4,
        "it is told to leave"
    );
    assert_eq!(
        receive_with_fds(&nursery, &mut bytes, &mut fds)
            .unwrap()
            .len,
        0,
        "and nobody holds the other end"
    );
}
