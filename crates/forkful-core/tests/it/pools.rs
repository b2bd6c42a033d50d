//! A pool whose nursery and worker are played by the test: step by step, what it asks for and when it ends.

use crate::watchdog::Watchdog;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::prim::Ordering::SeqCst;
use forkful_core::procs::nursery::Nursery;
use forkful_core::procs::pool::NOTE;
use forkful_core::procs::record::{Call, Payload};
use forkful_core::procs::watcher::{Watch, Watcher};
use forkful_core::procs::{End, Job, Kept, OnCrash, Pool, Settings, Spare};
use forkful_core::sys::{
    SIGINT, Stamp, pidfd_open, pidfd_signal, plain_memfd, receive_with_fds, send_with_fds,
};
use forkful_core::wire::{Bell, NO_TASK, OutcomeHead, OutcomeWriter, Report, Status};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
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
        House::who_hears(|_| {})
    }

    /// What a worker says that is no outcome is heard under the drainer's lock.
    fn who_hears(hear: impl Fn(u16) + Send + Sync + 'static) -> House {
        let bell = Arc::new(Bell::create().unwrap());
        let watcher = Watcher::current().unwrap();
        let settings = Settings {
            workers: 1,
            on_crash: OnCrash::Replace,
            memory_limit: None,
            sampling: Duration::from_secs(1),
            patience: None,
            arena: None,
        };
        let waker = watcher.clone();
        let wake = Box::new(move || waker.wake());
        let said = Box::new(move |kind, _| hear(kind));
        let pool = Pool::new(settings, bell.clone(), said, wake).unwrap();
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
            payload: Payload::new(),
            ..Call::default()
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

/// Something that is no outcome.
const WORD: OutcomeHead = OutcomeHead {
    position: NO_TASK,
    kind: 77,
    flags: 0,
    len: 0,
    wall: 0,
    cpu: 0,
    waited: 0,
};

#[test]
fn a_worker_that_never_stops_talking_holds_up_no_deadline() {
    let _watchdog = Watchdog::over("a_worker_that_never_stops_talking_holds_up_no_deadline");
    // Whatever it says, it has said something else before that is heard.
    let writer: Arc<Mutex<Option<OutcomeWriter>>> = Arc::default();
    let talker = writer.clone();
    let house = House::who_hears(move |_| {
        let mut talker = talker.lock().unwrap();
        talker.as_mut().unwrap().try_push(&WORD, &[7; 1000]);
    });
    let mut first = house.pool.link().writer(0);
    assert!(first.try_push(&WORD, b""));
    *writer.lock().unwrap() = Some(first);
    let seen = house.bell.now();
    house.pool.drain();
    assert!(house.bell.now() != seen, "nobody comes for the rest");
    let soon = Deadline::after(Duration::from_millis(50));
    let waited = house.pool.lead(|| false, soon, || Ok::<_, ()>(()));
    assert!(matches!(waited, Err(WaitError::TimedOut)), "{waited:?}");
    let interrupted = house.pool.lead(|| false, Deadline::NEVER, || Err("Ctrl-C"));
    assert!(matches!(interrupted, Err(WaitError::Interrupted("Ctrl-C"))));
}

#[test]
fn a_leader_has_his_deadline_and_his_signals_while_another_one_reads() {
    let _watchdog =
        Watchdog::over("a_leader_has_his_deadline_and_his_signals_while_another_one_reads");
    let (reads, reading) = channel();
    let (go_on, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let mut house = House::who_hears(move |kind| {
        if kind == WORD.kind {
            reads.send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
    });
    assert!(house.writer.try_push(&WORD, b""));
    std::thread::scope(|scope| {
        scope.spawn(|| house.pool.drain());
        reading.recv().unwrap();
        let soon = Deadline::after(Duration::from_millis(50));
        let waited = house.pool.lead(|| false, soon, || Ok::<_, ()>(()));
        let interrupted = house.pool.lead(|| false, Deadline::NEVER, || Err("Ctrl-C"));
        go_on.send(()).unwrap();
        assert!(matches!(waited, Err(WaitError::TimedOut)), "{waited:?}");
        assert!(matches!(interrupted, Err(WaitError::Interrupted("Ctrl-C"))));
    });
}

#[test]
fn a_worker_that_is_told_of_twice_lives() {
    let _watchdog = Watchdog::over("a_worker_that_is_told_of_twice_lives");
    let (heard, hears) = channel();
    let mut house = House::who_hears(move |kind| heard.send(kind).unwrap());
    assert!(house.submit(0));
    house.expect_request();
    let mut worker = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let born = Report::Started {
        worker: 0,
        generation: house.requests,
        pid: worker.id() as i32,
    };
    let pidfd = pidfd_open(worker.id() as i32).unwrap();
    // Asked for a descriptor that was lost, it has answered twice, late.
    for fds in [&[][..], &[pidfd.as_fd()], &[pidfd.as_fd()]] {
        send_with_fds(&house.nursery, &born.bytes(), fds).unwrap();
    }
    send_with_fds(&house.nursery, &Report::Note("so".into()).bytes(), &[]).unwrap();
    assert_eq!(hears.recv().unwrap(), NOTE);
    pidfd_signal(&pidfd, SIGINT).unwrap();
    assert_eq!(worker.wait().unwrap().signal(), Some(SIGINT));
    house.pool.end();
}

#[test]
fn the_background_leaves_a_pool_alone_that_is_being_fed() {
    let house = House::new();
    assert!(house.pool.fed_until().is_none());
    assert!(house.submit(0));
    assert!(house.pool.fed_until().is_some());
    // Somebody relies on it.
    let interest = house.pool.interest();
    assert!(house.submit(0) && house.pool.fed_until().is_none());
    drop(interest);
    std::thread::sleep(Duration::from_millis(5));
    assert!(house.pool.fed_until().is_none());
    house.pool.cancel_pending();
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
        patience: None,
        arena: None,
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
