//! The loop of a worker.

use super::holdings::Holdings;
use crate::deadline::Deadline;
use crate::sys::{Lock, Slept, Stamp, crash_point, own_resident_bytes, spin_for};
use crate::wire::{
    Bell, Extent, Garbage, LENT, Link, MORE, NO_TASK, OutcomeHead, OutcomeWriter, RAISED,
    SAID_RETURNED, SAID_SEGMENT, Status, TaskHead,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The outcome of a task that takes longer is rung for at once; those of shorter ones when the worker has nothing to do, as a
/// parent that hands out one after the other reads them itself.
const LONG_NANOS: u64 = 1_000_000;

/// How long a worker looks for the next task before it sleeps: as long as a wake costs the parent on a virtual machine, where the
/// one who wakes pays 50 us if the other CPU is halted. With 20 us a worker that had just been woken was asleep again before its
/// waker came back from the kernel, and each of many small tasks cost a wake.
const SPIN_NANOS: u64 = 50_000;

/// How often is looked for an answer before it is asked for anew.
const PATIENCE: u32 = 400;

/// How long is waited between two looks for a segment, at most.
const PAUSE: Duration = Duration::from_millis(5);

/// How long a worker without room in its ring sleeps at a time.
const ROOM: Duration = Duration::from_millis(50);

/// What became of a task.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// [`RAISED`], or another kind that the two sides agree on.
    pub kind: u16,
    /// When it was over, its outcome's bytes included.
    pub ended: Stamp,
    /// CPU time that it used, where it was asked for.
    pub cpu: u64,
    /// Whether the worker shall leave after it.
    pub leave: bool,
    /// Whether the outcome hands segments over: it begins as [`LENT`] says.
    pub lends: bool,
}

/// Who knows what a task is.
pub trait Runner {
    /// Runs a task, at this moment; the outcome's bytes go into `outcome`, which is empty.
    fn run(
        &mut self,
        head: &TaskHead,
        payload: &mut Vec<u8>,
        outcome: &mut Vec<u8>,
        now: Stamp,
    ) -> Ran;
    /// Has the worker wait, in a way that lets others use the interpreter.
    fn away<R: Send>(&mut self, wait: impl FnOnce() -> R + Send) -> R;
    /// There is nothing to do now.
    fn rest(&mut self);
    /// Resident bytes past which the worker leaves rather than sleep, if they were not looked at after the last task.
    fn unseen_limit(&mut self) -> Option<u64> {
        None
    }
    /// A signal has come while the worker slept; whether it shall go on.
    fn interrupted(&mut self) -> bool;
}

/// A worker's place: what it shares with its parent, and its end of the ring, which several of its threads may use.
#[derive(Debug)]
pub struct Desk {
    link: Arc<Link>,
    bell: Arc<Bell>,
    worker: u32,
    writer: Lock<OutcomeWriter>,
    holdings: Arc<Holdings>,
    /// How many segments were asked for on this seat, its earlier workers included.
    asked: AtomicU64,
}

impl Desk {
    /// In the worker's process, once.
    pub fn new(link: Arc<Link>, bell: Arc<Bell>, worker: u32) -> Desk {
        let writer = Lock::new(link.writer(worker));
        let holdings = Holdings::new(link.clone(), worker);
        let asked = AtomicU64::new(link.purse(worker).answers());
        Desk {
            holdings,
            asked,
            link,
            bell,
            worker,
            writer,
        }
    }

    /// Says that this process has come up.
    pub fn arrive(&self) {
        self.link
            .page(self.worker)
            .start(std::process::id(), Stamp::now().nanos());
    }

    /// This worker's seat.
    pub fn seat(&self) -> u32 {
        self.worker
    }

    /// What is shared.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The segments that this worker has.
    pub fn holdings(&self) -> &Arc<Holdings> {
        &self.holdings
    }

    /// Asks the parent for a segment of so many bytes, which will lie in the purse if there is one to be had.
    pub fn ask_for_segment(&self, len: u64, wait: impl FnMut(&(dyn Fn() + Sync))) {
        self.say(SAID_SEGMENT, &len.to_le_bytes(), wait);
    }

    /// The same, if there is nothing to wait for: room in the ring, or the answer to an earlier request.
    pub fn wish_for_segment(&self, len: u64) {
        let answers = self.link.purse(self.worker).answers();
        let asked = self.asked.load(Ordering::Relaxed);
        if asked > answers {
            return;
        }
        let head = OutcomeHead {
            position: NO_TASK,
            kind: SAID_SEGMENT,
            ..OutcomeHead::default()
        };
        let Some(mut writer) = self.writer.try_lock() else {
            return;
        };
        if writer.try_push(&head, &len.to_le_bytes()) {
            drop(writer);
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.link.bells().ring(&self.bell);
            self.bell.ring();
        }
    }

    /// The same, and waits for the answer. `None`: it has none; then there are other ways.
    pub fn segment<E>(
        &self,
        len: u64,
        mut rest: impl FnMut(Duration) -> Result<(), E>,
        mut wait: impl FnMut(&(dyn Fn() + Sync)),
    ) -> Result<Option<Extent>, E> {
        if let Some(segment) = self.holdings.take(len) {
            return Ok(Some(segment));
        }
        let purse = self.link.purse(self.worker);
        // No end to it: the parent may be stopped, and when it is gone, so are we.
        loop {
            let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            self.ask_for_segment(len, &mut wait);
            let mut pause = Duration::from_micros(20);
            for _ in 0..PATIENCE {
                if purse.answers() >= number {
                    return Ok(self.holdings.take(len));
                }
                rest(pause)?;
                pause = (pause * 2).min(PAUSE);
            }
            // Somebody's stray write may have hit the count: from what it says now on.
            self.asked.store(purse.answers(), Ordering::Relaxed);
        }
    }

    /// Tells the parent which segments nobody here holds any more.
    fn give_back(&self, mut wait: impl FnMut(&(dyn Fn() + Sync))) -> bool {
        let returns = self.holdings.returns();
        if returns.is_empty() {
            return false;
        }
        let head = OutcomeHead {
            position: NO_TASK,
            kind: SAID_RETURNED,
            ..OutcomeHead::default()
        };
        // One frame each, as parts of longer words may come in between.
        for few in returns.chunks(8) {
            let words: Vec<u8> = few.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.send(head, &words, &mut wait);
        }
        true
    }

    /// Sends in as many frames as it takes; `wait` is given what to wait for where the parent is slow.
    pub fn send(
        &self,
        head: OutcomeHead,
        payload: &[u8],
        mut wait: impl FnMut(&(dyn Fn() + Sync)),
    ) {
        let most = self.writer.lock().max_frame();
        let mut rest = payload;
        loop {
            let (part, more) = rest.split_at(rest.len().min(most));
            let flags = if more.is_empty() {
                head.flags
            } else {
                head.flags | MORE
            };
            let frame = OutcomeHead { flags, ..head };
            while !self.writer.lock().try_push(&frame, part) {
                self.link.bells().ring(&self.bell);
                wait(&|| {
                    let lack = self.writer.lock().lack_room(part.len());
                    if let Some(lack) = lack {
                        // For a while at most, as two threads may wait by one word.
                        lack.sleep(&self.bell, Deadline::after(ROOM));
                    }
                });
            }
            if more.is_empty() {
                return;
            }
            rest = more;
        }
    }

    /// Has the parent's background read what nobody waits for, so that it keeps nothing of finished work.
    fn ring_if_unread(&self) {
        if !self.writer.lock().is_read() {
            self.bell.ring();
        }
    }

    /// Says something that is no outcome. One thread at a time: what takes several frames is put together by their order.
    pub fn say(&self, kind: u16, payload: &[u8], wait: impl FnMut(&(dyn Fn() + Sync))) {
        let head = OutcomeHead {
            position: NO_TASK,
            kind,
            ..OutcomeHead::default()
        };
        self.send(head, payload, wait);
        self.link.bells().ring(&self.bell);
        self.bell.ring();
    }
}

/// Works until the parent closes the pool or the runner wants to leave.
pub fn work<R: Runner>(desk: &Desk, runner: &mut R) -> Result<(), Garbage> {
    let (link, bell, worker) = (&desk.link, &*desk.bell, desk.worker);
    let (tasks, bells, page) = (link.tasks(), link.bells(), link.page(worker));
    let (mut payload, mut outcome) = (Vec::new(), Vec::new());
    page.set_status(Status::Idle);
    loop {
        let Some(position) = tasks.claim(worker) else {
            if link.is_closing() {
                page.set_status(Status::Leaving);
                return Ok(());
            }
            // Whoever wakes all workers wants them to rest anew, and may do so while this one does.
            let calls = bells.calls(worker);
            runner.rest();
            desk.holdings.rest(true);
            if desk.give_back(|wait| runner.away(wait)) {
                bells.ring(bell);
                bell.ring();
            }
            let ready = || tasks.is_ready() || link.is_closing() || bells.calls(worker) != calls;
            let (limit, mut leave) = (runner.unseen_limit(), false);
            let slept = runner.away(|| {
                if spin_for(SPIN_NANOS, ready) {
                    return Slept::Woken;
                }
                desk.ring_if_unread();
                let size = limit.and_then(|_| own_resident_bytes());
                leave = size > limit;
                if leave {
                    Slept::Woken
                } else {
                    bells.sleep_until(worker, ready, Deadline::NEVER)
                }
            });
            desk.holdings.rest(false);
            if leave || slept == Slept::Interrupted && !runner.interrupted() {
                page.set_status(Status::Leaving);
                return Ok(());
            }
            continue;
        };
        if link.refill_reached(position) {
            bells.ring(bell);
            bell.ring();
        }
        let head = tasks.read(position, &mut payload)?;
        crash_point("task.read");
        let began = Stamp::now();
        let waited = began.since(Stamp::from_nanos(head.submitted));
        page.begin(position, began.nanos(), waited);
        crash_point("task.begun");
        outcome.clear();
        let ran = runner.run(&head, &mut payload, &mut outcome, began);
        crash_point("task.ran");
        let ended = ran.ended;
        page.writing(ended.nanos());
        // Before the outcome: what the task came with is free when its end is known.
        desk.give_back(|wait| runner.away(wait));
        let answer = OutcomeHead {
            position,
            kind: ran.kind,
            flags: if ran.lends { LENT } else { 0 },
            wall: ended.since(began),
            cpu: ran.cpu,
            waited,
            ..OutcomeHead::default()
        };
        desk.send(answer, &outcome, |wait| runner.away(wait));
        page.end(ran.kind & RAISED != 0, ended.nanos());
        if ran.leave {
            page.set_status(Status::Leaving);
            bells.ring(bell);
            return Ok(());
        }
        if !bells.ring(bell) && answer.wall > LONG_NANOS {
            bell.ring();
        }
        if outcome.capacity() > 1 << 20 {
            (payload, outcome) = (Vec::new(), Vec::new());
        }
    }
}
