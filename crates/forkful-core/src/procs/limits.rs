//! Deadlines, sizes, kills: what a worker is killed for, and how nobody else pays for it.

use super::hold::Hold;
use super::policy::{Doom, deadline};
use super::pool::Pool;
use super::record::Job;
use super::roster::Sitter;
use super::watcher::Watch;
use crate::sys::{
    Delivery, SIGCONT, SIGKILL, SIGSTOP, Stamp, delivery, dump_signal, hears, pidfd_signal,
    process_state, read_text, resident_bytes, truncate,
};
use crate::wire::Status;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// How long a nursery may take to leave.
const QUIT_NANOS: u64 = 2_000_000_000;

/// Two looks lie so far apart at least, whatever somebody has set.
const LEAST_NANOS: u64 = 1_000_000;

fn nanos(time: Duration) -> u64 {
    time.as_nanos().min(1 << 62) as u64
}

/// A task that its worker shall be killed for.
type Charge = (u32, u64, Doom);

/// How long workers may take to write down their stacks, all that are due together: looks, and what lies between two.
const STACKS: (u32, Duration) = (200, Duration::from_micros(500));
/// What lies between two more, for those that are at it, or that the kernel has not let run yet: on a busy machine these are no silence.
const SLOW_STACKS: Duration = Duration::from_millis(2);
/// How long all of it may take. Not as long as the word of a death is waited for, which nobody reads meanwhile.
const STACKS_NANOS: u64 = 700_000_000;
/// Looks at which one that does not seem to hear is looked at: if not the second time either, it is not waited for.
const DEAF: [u32; 2] = [0, 4];
/// The same until they have stopped.
const STOPS: (u32, Duration) = (100, Duration::from_micros(100));

/// A worker that was asked for its stack.
struct Asked {
    pid: i32,
    dump: Arc<OwnedFd>,
    /// Whether it shows that it is at it: see [`Delivery::Held`].
    shows: bool,
    /// What it has written, at the last look.
    text: String,
    /// At how many looks it did not seem to hear.
    deaf: usize,
}

impl Asked {
    /// Whether nothing more is to be expected: it has written it all down, or will not.
    fn is_through(&mut self, look: u32) -> bool {
        // Before the text, so that nothing is written between the two that is not read.
        let at = delivery(self.pid, dump_signal());
        let busy = self.shows && at == Some(Delivery::Held);
        let Ok(text) = read_text(&*self.dump) else {
            return true;
        };
        let unchanged = text.len() == self.text.len();
        self.text = text;
        if busy {
            return false;
        }
        if !self.text.is_empty() {
            return unchanged;
        }
        self.deaf += usize::from(DEAF.contains(&look) && !hears(self.pid, dump_signal()));
        self.deaf == DEAF.len() || look >= STACKS.0 && at != Some(Delivery::Due)
    }
}

impl<J: Job> Pool<J> {
    /// Takes the stack of a worker by its signal, if it answers.
    pub(super) fn stack(&self, pid: i32, hold: &Hold) -> Option<String> {
        self.stacks([(pid, hold)].into_iter()).pop().flatten()
    }

    /// The same for several at once, as each that does not answer would cost its patience.
    fn stacks<'a>(&self, workers: impl Iterator<Item = (i32, &'a Hold)>) -> Vec<Option<String>> {
        let ask = |(pid, hold): (i32, &Hold)| {
            let dump = self.dumps.lock().get(hold.worker as usize)?.clone()?;
            // What lies there is an older one.
            let _ = truncate(&*dump);
            // Whoever holds it up anyway does not show by that when its handler is over.
            let shows = delivery(pid, dump_signal()) == Some(Delivery::Settled);
            let asked = hold.signal(dump_signal());
            asked.then(|| Asked {
                pid,
                dump,
                shows,
                text: String::new(),
                deaf: 0,
            })
        };
        let mut asked: Vec<_> = workers.map(ask).collect();
        let mut stacks = vec![None; asked.len()];
        let begun = Stamp::now();
        for look in 0.. {
            let slow = look >= STACKS.0;
            let late = slow && Stamp::now().since(begun) > STACKS_NANOS;
            if late || asked.iter().all(Option::is_none) {
                break;
            }
            std::thread::sleep(if slow { SLOW_STACKS } else { STACKS.1 });
            for (place, stack) in asked.iter_mut().zip(&mut stacks) {
                if let Some(worker) = place
                    && worker.is_through(look)
                {
                    *stack = Some(std::mem::take(&mut worker.text));
                    *place = None;
                }
            }
        }
        let rest = asked.into_iter().map(|worker| worker.map(|it| it.text));
        let stacks = stacks.into_iter().zip(rest);
        let text = |(stack, rest): (Option<String>, Option<String>)| stack.or(rest);
        stacks
            .map(|both| text(both).filter(|text| !text.is_empty()))
            .collect()
    }

    /// Kills workers for what their tasks have done, unless that has ended meanwhile: nobody else pays for it.
    pub(super) fn execute(&self, charges: Vec<Charge>) {
        let guilty = |&(worker, position, _): &Charge| {
            let running = self.link.page(worker).running();
            running.is_some_and(|(now, _)| now == position)
        };
        let mut accused = Vec::new();
        for charge in charges {
            let sitter = self.sitter_of(charge.0, |sitter| {
                let alive = sitter.doom.is_none() && sitter.gone.is_none();
                alive.then(|| (sitter.pid, sitter.hold.clone()))
            });
            if let Some((pid, hold)) = sitter.flatten()
                && guilty(&charge)
            {
                accused.push((charge, pid, hold));
            }
        }
        let stacks = self.stacks(accused.iter().map(|(_, pid, hold)| (*pid, hold)));
        let mut moving = Vec::new();
        for (_, pid, hold) in &accused {
            if hold.signal(SIGSTOP) {
                moving.push(*pid);
            }
        }
        for _ in 0..STOPS.0 {
            moving.retain(|&pid| !matches!(process_state(pid), None | Some('T' | 't' | 'Z' | 'X')));
            if moving.is_empty() {
                break;
            }
            std::thread::sleep(STOPS.1);
        }
        for ((charge, _, hold), stack) in accused.into_iter().zip(stacks) {
            if !guilty(&charge) {
                // No later end of this worker shall be told with this stack.
                if let Some(Some(dump)) = self.dumps.lock().get(charge.0 as usize) {
                    let _ = truncate(&**dump);
                }
                hold.signal(SIGCONT);
                continue;
            }
            self.sitter_of(charge.0, |sitter| {
                if sitter.doom.is_none() {
                    (sitter.doom, sitter.stack) = (Some(charge.2), stack);
                }
            });
            hold.kill();
        }
    }

    pub(super) fn sitter_of<R>(
        &self,
        worker: u32,
        look: impl FnOnce(&mut Sitter) -> R,
    ) -> Option<R> {
        self.table.lock().roster.sitter(worker).map(look)
    }

    /// Ends workers and nurseries that do not leave when they are told to.
    pub(super) fn quit_by_force(&self, now: u64, watch: &Watch) -> Option<u64> {
        let mut table = self.table.lock();
        if table.finished {
            return None;
        }
        // Workers of a pool that is closed finish their tasks first; those of a broken one don't.
        let since = match (table.broken_at, table.quitting) {
            (Some(broken), _) => broken,
            (None, Some(quitting)) => quitting,
            // Ended by force, and a nursery that is stopped, or hangs, does not tell whether it has made a worker. One that is there and
            // was asked to end in order is given its time.
            (None, None) => match table.struck_at {
                Some(struck)
                    if table.roster.awaits_nursery()
                        && (table.strike == Some(SIGKILL) || !self.has_come(&table)) =>
                {
                    struck
                }
                _ => return None,
            },
        };
        let end = since.nanos() + QUIT_NANOS;
        if now >= end {
            for (_, sitter) in table.roster.sitters() {
                sitter.hold.kill();
            }
            let (own, others): (Vec<_>, Vec<_>) =
                table.nurseries.drain(..).partition(|nursery| nursery.own);
            for nursery in &own {
                let _ = pidfd_signal(&nursery.pidfd, SIGKILL);
            }
            table.nurseries = own;
            // It serves other pools too, and is perhaps stopped, or hangs: it is not waited for.
            for nursery in &others {
                watch.remove(nursery.control());
                self.vacate(&mut table, nursery);
            }
            if table.quitting.is_some() && table.nurseries.is_empty() {
                self.finish(&mut table);
            }
            drop(table);
            self.end_if_empty();
            self.kick();
        }
        Some(end.max(now + QUIT_NANOS / 4))
    }

    /// Ends workers that leave, do not end, and keep the seat from tasks that wait: their finalizer hangs, or a thread.
    pub(super) fn look_at_leavers(&self, now: u64) -> Option<u64> {
        let patience = nanos(self.settings.patience?);
        let mut overdue = Vec::new();
        let next = {
            let mut table = self.table.lock();
            if table.count + table.backlog.len() == 0 {
                return None;
            }
            let wait = self.ready(&table) + table.backlog.len() as u64 > 0;
            let mut next = now + patience;
            for (worker, sitter) in table.roster.sitters() {
                let page = self.link.page(worker);
                let leaves = page.status() == Some(Status::Leaving);
                if !wait || !leaves || sitter.gone.is_some() || sitter.doom.is_some() {
                    continue;
                }
                let since = page.snapshot().idle_since.max(sitter.since.nanos());
                if now < since.saturating_add(patience) {
                    next = next.min(since + patience);
                    continue;
                }
                sitter.doom = Some(Doom::End);
                sitter.hold.kill();
                overdue.push(sitter.pid);
            }
            next
        };
        for pid in overdue {
            self.say(format!(
                "worker process {pid} was to be replaced, had not ended {:.3} s after its last task, and was killed, as tasks waited \
                 for its place: its finalizer hangs, or a thread that a task has left",
                Duration::from_nanos(patience).as_secs_f64()
            ));
        }
        Some(next)
    }

    pub(super) fn look_at_limits(&self, now: u64) -> Option<u64> {
        let mut next: Option<u64> = None;
        let mut sooner = |at: u64| next = Some(next.map_or(at, |next: u64| next.min(at)));
        let mut charges: Vec<Charge> = Vec::new();
        {
            let mut table = self.table.lock();
            let mut sizes = Vec::new();
            for (worker, sitter) in table.roster.sitters() {
                let wanted = sitter.wanted.take();
                let page = self.link.page(worker);
                if let Some((position, since)) = page.running()
                    && sitter.gone.is_none()
                    && sitter.doom.is_none()
                {
                    if let Some((_, doom)) = wanted.filter(|(wanted, _)| *wanted == position) {
                        // Another reason that comes up now is not the one.
                        charges.push((worker, position, doom));
                        continue;
                    }
                    sizes.push((worker, sitter.pid, position, since.min(now)));
                }
            }
            for &(worker, pid, position, since) in &sizes {
                let limits = match table
                    .inflight
                    .get((position & u64::from(self.link.shape().slots - 1)) as usize)
                {
                    Some(Some(record)) if record.position == position => record.call.limits.clone(),
                    _ => continue,
                };
                match limits
                    .and_then(|limits| limits.timeout)
                    .map(|timeout| deadline(since, timeout, now))
                {
                    Some(Ok(end)) => sooner(end),
                    Some(Err(doom)) => {
                        charges.push((worker, position, doom));
                        continue;
                    }
                    None => {}
                }
                // What it has of the arena is shared memory, which does not count there.
                if let Some(limit) = self.settings.memory_limit
                    && let Some(own) = resident_bytes(pid)
                    && let size = own + self.arena.kept_by(worker)
                    && size > limit
                {
                    charges.push((worker, position, Doom::Memory(size)));
                }
            }
            // When a worker begins one of those that lie ready is not told.
            if let Some(least) = table.timeouts.least() {
                sooner(now + nanos(least).max(LEAST_NANOS));
            }
            if self.settings.memory_limit.is_some() && table.count + table.backlog.len() > 0 {
                sooner(now + nanos(self.settings.sampling).max(LEAST_NANOS));
            }
        }
        if !charges.is_empty() {
            self.execute(charges);
            // The kills' own events come; this is for one that was called off.
            next = Some(now + 1_000_000);
        }
        next
    }
}
