//! A queue between real processes, of which some are killed: at each instruction that matters, and at random ones.
//!
//! A process is this test binary once more, told by its environment to run one test, which puts or takes until it is killed.

use crate::watchdog::Watchdog;
use forkful_core::deadline::Deadline;
use forkful_core::sync::queue::{Message, Queue, Stopped};
use forkful_core::sys::{arm_crash, die_with};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const QUEUE: &str = "FORKFUL_TEST_QUEUE";
const ROLE: &str = "FORKFUL_TEST_ROLE";
const LOG: &str = "FORKFUL_TEST_LOG";
const PARENT: &str = "FORKFUL_TEST_PARENT";
/// What it calls itself. Not its process number: that comes again, on a busy machine within one storm.
const NAME: &str = "FORKFUL_TEST_NAME";
const CRASH: &str = "FORKFUL_TEST_CRASH";
/// How many kills a storm has.
const KILLS: &str = "FORKFUL_TEST_KILLS";

fn never() -> Result<(), Infallible> {
    Ok(())
}

/// What a producer sends: who it is, which of its messages that is, and as many bytes more as that says.
fn letter(who: u32, nth: u32) -> Vec<u8> {
    let mut bytes = [who, nth].map(u32::to_le_bytes).concat();
    let spread = (u64::from(nth) + u64::from(who) * 7919).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // Most are small, some are of several segments.
    let more = match spread >> 60 {
        0 => spread % 700_000,
        1..4 => spread % 9000,
        _ => spread % 50,
    };
    bytes.extend((0..more).map(|at| (spread >> (at % 50)) as u8));
    bytes
}

/// The same read: which one it is, and nothing is wrong with it.
fn checked(bytes: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (who, nth) = (word(0), word(4));
    assert!(
        bytes == letter(who, nth),
        "{who} {nth} of {} bytes",
        bytes.len()
    );
    (who, nth)
}

fn put(queue: &Queue, who: u32, nth: u32, deaths: &mut Vec<u32>) {
    let front = letter(who, nth);
    let message = Message {
        kind: 1,
        front: &front,
        cargo: None,
    };
    loop {
        match queue.put(&message, Deadline::NEVER, never) {
            Ok(()) => return,
            Err(Stopped::Recovered(owner)) => deaths.push(owner.pid()),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn get(queue: &Queue, deadline: Deadline, deaths: &mut Vec<u32>) -> Option<(u32, u32)> {
    let mut bytes = Vec::new();
    loop {
        match queue.get(&mut bytes, deadline, never) {
            Ok(1) => return Some(checked(&bytes)),
            Err(Stopped::Recovered(owner)) => deaths.push(owner.pid()),
            Err(Stopped::TimedOut) => return None,
            other => panic!("{other:?}"),
        }
    }
}

/// Not a test by itself: what the processes do that the tests start.
#[test]
fn queue_process() {
    let Ok(role) = env::var(ROLE) else { return };
    let open = |name: &str| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(env::var(name).unwrap())
    };
    let queue = Queue::open(open(QUEUE).unwrap().as_fd(), None).unwrap();
    let mut log = OpenOptions::new()
        .append(true)
        .open(env::var(LOG).unwrap())
        .unwrap();
    if !die_with(env::var(PARENT).unwrap().parse().unwrap()) {
        return;
    }
    arm_crash(&env::var(CRASH).unwrap_or_default());
    let (me, mut deaths) = (env::var(NAME).unwrap().parse().unwrap(), Vec::new());
    // One write for each, after it is done: what a kill leaves is whole.
    if role == "put" {
        for nth in 0.. {
            put(&queue, me, nth, &mut deaths);
            log.write_all(&[me, nth].map(u32::to_le_bytes).concat())
                .unwrap();
        }
    } else {
        while let Some((who, nth)) = get(&queue, Deadline::NEVER, &mut deaths) {
            log.write_all(&[who, nth].map(u32::to_le_bytes).concat())
                .unwrap();
            if role == "finish" {
                queue.task_done(never).unwrap();
            }
        }
    }
}

/// A process that puts or takes.
struct Party {
    name: u32,
    child: Child,
    log: PathBuf,
}

impl Party {
    fn start(queue: &Queue, role: &str, crash: &str) -> Party {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = env::temp_dir().join(format!("forkful-test-{}-{number}", std::process::id()));
        File::create(&log).unwrap();
        let fd = queue.fd().unwrap().as_raw_fd();
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "queues::queue_process", "--nocapture"])
            .env(QUEUE, format!("/proc/{}/fd/{fd}", std::process::id()))
            .env(ROLE, role)
            .env(LOG, &log)
            .env(NAME, number.to_string())
            .env(PARENT, std::process::id().to_string())
            .env(CRASH, crash)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Party {
            name: number,
            child,
            log,
        }
    }

    /// What it had done, for certain.
    fn done(&self) -> Vec<(u32, u32)> {
        let bytes = std::fs::read(&self.log).unwrap();
        let word = |at: &[u8]| u32::from_le_bytes(at.try_into().unwrap());
        let records = bytes.as_chunks::<8>().0;
        records
            .iter()
            .map(|record| (word(&record[..4]), word(&record[4..])))
            .collect()
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        let end = self.child.wait().unwrap();
        assert_eq!(end.code(), None, "it ended by itself");
    }

    /// Waits for its crash.
    fn crashed(&mut self) {
        let end = self.child.wait().unwrap();
        assert_eq!(end.code(), None, "it ended by itself");
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

/// Where a producer dies, and whether its message is there then.
const PRODUCER_POINTS: [(&str, u32); 8] = [
    ("queue.taken", 0),
    ("queue.before_link", 0),
    ("queue.linked", 0),
    ("queue.written", 0),
    ("queue.before_put", 0),
    ("queue.put", 1),
    ("queue.unlinked", 1),
    ("queue.cooling", 1),
];

#[test]
fn a_producer_s_death_at_any_point_leaves_a_queue() {
    let _watchdog = Watchdog::over("a_producer_s_death_at_any_point_leaves_a_queue");
    for (point, there) in PRODUCER_POINTS {
        for count in [1, 2, 5] {
            let queue = Queue::create(0).unwrap();
            let mut deaths = Vec::new();
            if ["queue.unlinked", "queue.cooling"].contains(&point) {
                // Surplus segments, which the producer gives back: only what comes while nobody else does.
                let large = vec![1; 40 << 20];
                let message = Message {
                    kind: 1,
                    front: &large,
                    cargo: None,
                };
                queue.put(&message, Deadline::NEVER, never).unwrap();
                // A consumer that can't: it is killed before it may.
                let mut taker = Party::start(&queue, "get", "queue.got");
                taker.crashed();
            }
            let mut party = Party::start(&queue, "put", &format!("{point}:{count}"));
            party.crashed();
            let done = party.done().len() as u32;
            // Its successor's first message comes behind all of its own.
            put(&queue, 0, 0, &mut deaths);
            assert_eq!(deaths, [party.pid()], "{point}:{count}");
            for nth in 0..done + there {
                let got = get(&queue, Deadline::NEVER, &mut deaths);
                assert_eq!(got, Some((party.name, nth)), "{point}:{count}");
            }
            assert_eq!(
                get(&queue, Deadline::NEVER, &mut deaths),
                Some((0, 0)),
                "{point}:{count}"
            );
            assert!(queue.is_empty());
            for nth in 1..30 {
                put(&queue, 0, nth, &mut deaths);
                assert_eq!(get(&queue, Deadline::NEVER, &mut deaths), Some((0, nth)));
            }
        }
    }
}

#[test]
fn a_consumer_s_death_at_any_point_leaves_a_queue() {
    let _watchdog = Watchdog::over("a_consumer_s_death_at_any_point_leaves_a_queue");
    // Where it dies, and whether the message is gone with it.
    for (point, gone) in [("queue.read", 0), ("queue.before_get", 0), ("queue.got", 1)] {
        for count in [1, 2, 20] {
            let queue = Queue::create(0).unwrap();
            let mut deaths = Vec::new();
            for nth in 0..40 {
                put(&queue, 0, nth, &mut deaths);
            }
            let mut party = Party::start(&queue, "get", &format!("{point}:{count}"));
            party.crashed();
            let done = party.done().len() as u32;
            assert_eq!(done, count - 1);
            for nth in done + gone..40 {
                assert_eq!(
                    get(&queue, Deadline::NEVER, &mut deaths),
                    Some((0, nth)),
                    "{point}:{count}"
                );
            }
            assert_eq!(deaths, [party.pid()], "{point}:{count}");
            assert_eq!(
                queue.owner_died().map(|owner| owner.pid()),
                Some(party.pid())
            );
            assert!(queue.is_empty());
        }
    }
}

#[test]
fn a_death_between_a_message_and_its_wake_is_no_matter() {
    let _watchdog = Watchdog::over("a_death_between_a_message_and_its_wake_is_no_matter");
    // Somebody sleeps, and the producer dies right before the one call that puts and wakes, or right after.
    for point in ["sync.sleepers.post", "queue.put"] {
        let queue = Queue::create(0).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| {
                tell.send(std::fs::read_link("/proc/thread-self").unwrap())
                    .unwrap();
                let mut deaths = Vec::new();
                let first = get(&queue, Deadline::NEVER, &mut deaths);
                if point == "queue.put" {
                    assert_ne!(first, Some((0, 0)));
                    assert_eq!(get(&queue, Deadline::NEVER, &mut deaths), Some((0, 0)));
                } else {
                    assert_eq!(first, Some((0, 0)));
                }
            });
            let stat = Path::new("/proc").join(told.recv().unwrap()).join("stat");
            while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
                std::thread::yield_now();
            }
            // And mostly until it does so without a limit.
            std::thread::sleep(Duration::from_millis(60));
            let mut party = Party::start(&queue, "put", point);
            party.crashed();
            let mut deaths = Vec::new();
            put(&queue, 0, 0, &mut deaths);
            assert_eq!(deaths, [party.pid()]);
            taker.join().unwrap();
        });
    }
}

#[test]
fn a_death_while_counting_what_is_finished_loses_no_count() {
    let _watchdog = Watchdog::over("a_death_while_counting_what_is_finished_loses_no_count");
    let queue = Queue::create(0).unwrap();
    let mut deaths = Vec::new();
    for nth in 0..40 {
        put(&queue, 0, nth, &mut deaths);
    }
    let mut party = Party::start(&queue, "finish", "queue.done:7");
    party.crashed();
    assert_eq!(queue.unfinished(), 33);
    assert!(
        matches!(queue.task_done(never), Err(Stopped::Recovered(owner)) if owner.pid() == party.pid())
    );
    std::thread::scope(|scope| {
        scope.spawn(|| queue.join(Deadline::NEVER, never).unwrap());
        for _ in 0..33 {
            assert!(queue.task_done(never).unwrap());
        }
    });
    assert!(!queue.task_done(never).unwrap());
}

/// Numbers that look random, the same ones each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Kills at random, and afterwards looks for every message.
fn storm(maxsize: u32, producers: usize, consumers: usize, kills: u64, dice: &mut Dice) {
    let queue = Queue::create(maxsize).unwrap();
    let role = |place: usize| if place < producers { "put" } else { "get" };
    let mut parties: Vec<_> = (0..producers + consumers)
        .map(|place| Party::start(&queue, role(place), ""))
        .collect();
    let (mut put_by, mut taken_by): (Vec<Party>, Vec<Party>) = (Vec::new(), Vec::new());
    let (mut killed_takers, mut own) = (0, Vec::new());
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(500 + dice.roll(9000)));
        let place = dice.roll(parties.len() as u64) as usize;
        let fresh = Party::start(&queue, role(place), "");
        let mut dead = std::mem::replace(&mut parties[place], fresh);
        dead.kill();
        if place < producers {
            put_by.push(dead);
        } else {
            killed_takers += 1;
            taken_by.push(dead);
        }
        // Else nothing would stop an unbounded one from growing while its takers are dying.
        if queue.len() > 20_000 {
            let mut deaths = Vec::new();
            put_by.push(std::mem::replace(
                &mut parties[0],
                Party::start(&queue, "put", ""),
            ));
            put_by.last_mut().unwrap().kill();
            while queue.len() > 100 {
                let end = Deadline::after(Duration::from_secs(20));
                own.extend(get(&queue, end, &mut deaths));
            }
        }
    }
    // Everybody who puts is killed, and then what waits is taken by those who are left.
    for party in parties.drain(..producers) {
        put_by.push(party);
        put_by.last_mut().unwrap().kill();
    }
    let mut deaths = Vec::new();
    put(&queue, 0, 0, &mut deaths);
    while !queue.is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // They have taken the last one; killed now they may not have said so.
    std::thread::sleep(Duration::from_millis(50));
    for party in parties {
        taken_by.push(party);
        taken_by.last_mut().unwrap().kill();
    }
    let mut all: Vec<(u32, u32)> = own;
    for party in &taken_by {
        let taken = party.done();
        let mut last: HashMap<u32, u32> = HashMap::new();
        for (who, nth) in &taken {
            let before = last.insert(*who, *nth);
            assert!(before.is_none_or(|before| before < *nth), "out of order");
        }
        all.extend(taken);
    }
    let distinct: HashSet<_> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "taken twice");
    let mut lost = 0;
    for party in &put_by {
        let certain = party.done().len() as u32;
        let mine: Vec<u32> = distinct
            .iter()
            .filter(|(who, _)| *who == party.name)
            .map(|(_, nth)| *nth)
            .collect();
        // The last one may have been put without anybody having been told.
        let most = mine.iter().max().map_or(0, |most| most + 1);
        assert!(
            most <= certain + 1,
            "what was never put: {most} of {certain}"
        );
        lost += u64::from(certain) - (mine.iter().filter(|nth| **nth < certain).count() as u64);
    }
    // A taker that was killed had one at most that it had not told of.
    assert!(
        lost <= killed_takers,
        "{lost} lost, {killed_takers} takers killed"
    );
    // The queue goes on.
    assert!(queue.is_empty());
    for nth in 1..200 {
        put(&queue, 0, nth, &mut deaths);
        assert_eq!(get(&queue, Deadline::NEVER, &mut deaths), Some((0, nth)));
    }
}

#[test]
fn random_kills_lose_and_double_nothing() {
    let kills: u64 = env::var(KILLS).map_or(160, |kills| kills.parse().unwrap());
    let _watchdog = (kills <= 1000).then(|| Watchdog::over("random_kills_lose_and_double_nothing"));
    let mut dice = Dice(kills);
    let rounds = 4;
    for round in 0..rounds {
        let (producers, consumers) = ([2, 1, 2, 1][round], [2, 1, 1, 2][round]);
        let maxsize = if round % 2 == 0 { 50 } else { 0 };
        storm(
            maxsize,
            producers,
            consumers,
            kills / rounds as u64,
            &mut dice,
        );
    }
}
