//! Deadlines, sizes, kills: what a worker is killed for, and how nobody else pays for it.

use super::policy::{Doom, deadline};
use super::pool::Pool;
use super::record::Job;
use super::roster::Sitter;
use crate::sys::{
    SIGCONT, SIGKILL, SIGSTOP, Stamp, dump_signal, pidfd_signal, process_state, read_fd,
    resident_bytes, truncate,
};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a nursery may take to leave.
const QUIT_NANOS: u64 = 2_000_000_000;
/// A forked start that takes longer hangs on something that it inherited.
const START_NANOS: u64 = 30_000_000_000;

/// That, or what tests have put into the environment, so as not to wait for it: `FORKFUL_START_SECONDS`.
fn start_nanos() -> u64 {
    static NANOS: OnceLock<u64> = OnceLock::new();
    *NANOS.get_or_init(|| {
        let named = std::env::var("FORKFUL_START_SECONDS").ok();
        let seconds = named.and_then(|text| text.parse::<u64>().ok());
        seconds.map_or(START_NANOS, |seconds| seconds.saturating_mul(1_000_000_000))
    })
}

impl<J: Job> Pool<J> {
    /// Takes the stack of a worker by its signal, if it answers.
    pub(super) fn stack(&self, worker: u32, pidfd: &OwnedFd) -> Option<String> {
        let dump = self.dumps.lock()[worker as usize].clone()?;
        // What lies there is an older one.
        let _ = truncate(&*dump);
        pidfd_signal(pidfd, dump_signal()).ok()?;
        let mut last = 0;
        for _ in 0..200 {
            std::thread::sleep(Duration::from_micros(500));
            let text = read_fd(&*dump).ok()?;
            if !text.is_empty() && text.len() == last {
                return Some(String::from_utf8_lossy(&text).into_owned());
            }
            last = text.len();
        }
        None
    }

    /// Kills a worker for what its task has done, unless that has ended meanwhile: nobody else pays for it.
    pub(super) fn execute(&self, worker: u32, position: u64, doom: Doom) {
        let Some((pid, pidfd)) =
            self.sitter_of(worker, |sitter| (sitter.pid, sitter.pidfd.clone()))
        else {
            return;
        };
        let page = self.link.page(worker);
        let guilty = || page.running().is_some_and(|(now, _)| now == position);
        let stack = if guilty() {
            self.stack(worker, &pidfd)
        } else {
            return;
        };
        let _ = pidfd_signal(&*pidfd, SIGSTOP);
        for _ in 0..100 {
            if matches!(process_state(pid), None | Some('T' | 't' | 'Z' | 'X')) {
                break;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        if !guilty() {
            // No later end of this worker shall be told with this stack.
            if let Some(dump) = &self.dumps.lock()[worker as usize] {
                let _ = truncate(&**dump);
            }
            let _ = pidfd_signal(&*pidfd, SIGCONT);
            return;
        }
        self.sitter_of(worker, |sitter| {
            sitter.doom = Some(doom);
            sitter.stack = stack;
        });
        let _ = pidfd_signal(&*pidfd, SIGKILL);
    }

    pub(super) fn sitter_of<R>(
        &self,
        worker: u32,
        look: impl FnOnce(&mut Sitter) -> R,
    ) -> Option<R> {
        self.table.lock().roster.sitter(worker).map(look)
    }

    /// Ends a nursery that does not leave when it is told to.
    pub(super) fn quit_by_force(&self, now: Stamp) -> Option<u64> {
        let mut table = self.table.lock();
        if table.finished {
            return None;
        }
        let left = table.roster.occupied() > 0;
        if let (Some(since), true) = (table.broken_at, left) {
            let end = since.nanos() + QUIT_NANOS;
            if now.nanos() >= end {
                for (_, sitter) in table.roster.sitters() {
                    let _ = pidfd_signal(&*sitter.pidfd, SIGKILL);
                }
            }
            return Some(end.max(now.nanos() + QUIT_NANOS / 4));
        }
        let (Some(since), Some(nursery)) = (table.quitting, &table.nursery) else {
            return None;
        };
        let end = since.nanos() + QUIT_NANOS;
        if now.nanos() >= end && nursery.own {
            let _ = pidfd_signal(&nursery.pidfd, SIGKILL);
        }
        Some(end.max(now.nanos() + QUIT_NANOS / 4))
    }

    pub(super) fn look_at_limits(&self, now: u64) -> Option<u64> {
        let mut next: Option<u64> = None;
        let mut sooner = |at: u64| next = Some(next.map_or(at, |next: u64| next.min(at)));
        let mut dooms = Vec::new();
        {
            let mut table = self.table.lock();
            let busy = table.count + table.backlog.len() > 0;
            let mut sizes = Vec::new();
            // A process that was exec'ed has inherited nothing to hang on: it imports the main module, for as long as that takes.
            let forked = table.nursery.as_ref().is_some_and(|nursery| nursery.own);
            for (worker, sitter) in table.roster.sitters() {
                if let Some((position, doom)) = sitter.wanted.take() {
                    dooms.push((worker, position, doom));
                }
                let page = self.link.page(worker);
                if forked && page.pid() == 0 && sitter.gone.is_none() {
                    let end = sitter.since.nanos() + start_nanos();
                    if now >= end && sitter.doom.is_none() {
                        sitter.doom = Some(Doom::Start);
                        let _ = pidfd_signal(&*sitter.pidfd, SIGKILL);
                    }
                    sooner(end.max(now + 1_000_000_000));
                }
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
