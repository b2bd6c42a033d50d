//! Deadlines, sizes, kills: what a worker is killed for, and how nobody else pays for it.

use super::hold::Hold;
use super::policy::{Doom, deadline};
use super::pool::Pool;
use super::record::Job;
use super::roster::{Seat, Sitter};
use super::watcher::Watch;
use crate::sys::{
    SIGCONT, SIGKILL, SIGSTOP, dump_signal, pidfd_signal, process_state, read_text, resident_bytes,
    truncate,
};
use std::time::Duration;

/// How long a nursery may take to leave.
const QUIT_NANOS: u64 = 2_000_000_000;

impl<J: Job> Pool<J> {
    /// Takes the stack of a worker by its signal, if it answers.
    pub(super) fn stack(&self, hold: &Hold) -> Option<String> {
        let dump = self.dumps.lock()[hold.worker as usize].clone()?;
        // What lies there is an older one.
        let _ = truncate(&*dump);
        if !hold.signal(dump_signal()) {
            return None;
        }
        let mut last = 0;
        for _ in 0..200 {
            std::thread::sleep(Duration::from_micros(500));
            let text = read_text(&*dump).ok()?;
            if !text.is_empty() && text.len() == last {
                return Some(text);
            }
            last = text.len();
        }
        None
    }

    /// Kills a worker for what its task has done, unless that has ended meanwhile: nobody else pays for it.
    pub(super) fn execute(&self, worker: u32, position: u64, doom: Doom) {
        let Some((pid, hold)) = self.sitter_of(worker, |sitter| (sitter.pid, sitter.hold.clone()))
        else {
            return;
        };
        let page = self.link.page(worker);
        let guilty = || page.running().is_some_and(|(now, _)| now == position);
        let stack = if guilty() {
            self.stack(&hold)
        } else {
            return;
        };
        let stopped = hold.signal(SIGSTOP);
        for _ in 0..100 {
            if !stopped || matches!(process_state(pid), None | Some('T' | 't' | 'Z' | 'X')) {
                break;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        if !guilty() {
            // No later end of this worker shall be told with this stack.
            if let Some(dump) = &self.dumps.lock()[worker as usize] {
                let _ = truncate(&**dump);
            }
            hold.signal(SIGCONT);
            return;
        }
        self.sitter_of(worker, |sitter| {
            sitter.doom = Some(doom);
            sitter.stack = stack;
        });
        hold.kill();
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
            (None, None) => return None,
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
                let seats = table.roster.seats.iter_mut();
                for seat in seats.filter(|seat| seat.is_asked_of(nursery.token)) {
                    *seat = Seat::Empty;
                }
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

    pub(super) fn look_at_limits(&self, now: u64) -> Option<u64> {
        let mut next: Option<u64> = None;
        let mut sooner = |at: u64| next = Some(next.map_or(at, |next: u64| next.min(at)));
        let mut dooms = Vec::new();
        {
            let mut table = self.table.lock();
            let busy = table.count + table.backlog.len() > 0;
            let mut sizes = Vec::new();
            for (worker, sitter) in table.roster.sitters() {
                if let Some((position, doom)) = sitter.wanted.take() {
                    dooms.push((worker, position, doom));
                }
                let page = self.link.page(worker);
                if let Some((position, since)) = page.running()
                    && sitter.gone.is_none()
                    && sitter.doom.is_none()
                {
                    sizes.push((worker, sitter.pid, position, since.min(now)));
                }
            }
            let least = table
                .least_timeout
                .map(|timeout| timeout.as_nanos().min(1 << 62) as u64);
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
                    Some(Err(doom)) => dooms.push((worker, position, doom)),
                    None => {}
                }
                if let Some(limit) = self.settings.memory_limit
                    && let Some(size) = resident_bytes(pid)
                    && size > limit
                {
                    dooms.push((worker, position, Doom::Memory(size)));
                }
            }
            if busy {
                if let Some(least) = least {
                    sooner(now + least.max(1_000_000));
                }
                if self.settings.memory_limit.is_some() {
                    sooner(now + self.settings.sampling.as_nanos().min(1 << 62) as u64);
                }
            }
        }
        if !dooms.is_empty() {
            for (worker, position, doom) in dooms {
                self.execute(worker, position, doom);
            }
            // The kills' own events come; this is for one that was called off.
            next = Some(now + 1_000_000);
        }
        next
    }
}
