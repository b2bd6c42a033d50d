//! Starts that are looked at until the worker has come up, and what is done about those that hang.

use super::policy::{Doom, Exit};
use super::pool::{Pool, Table};
use super::record::{Death, Job};
use super::roster::{Seat, Sitter};
use super::starts::{ASLEEP_NANOS, LOOK_NANOS, Start, Verdict};
use crate::sys::{SIGKILL, activity, pidfd_exited, pidfd_signal};
use crate::wire::Status;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// [`ASLEEP_NANOS`], or what tests have put into the environment, so as not to wait for it: `FORKFUL_START_SECONDS`.
fn patience() -> u64 {
    static NANOS: OnceLock<u64> = OnceLock::new();
    *NANOS.get_or_init(|| {
        let named = std::env::var("FORKFUL_START_SECONDS").ok();
        let seconds = named.and_then(|text| text.parse::<u64>().ok());
        seconds.map_or(ASLEEP_NANOS, |seconds| {
            seconds.saturating_mul(1_000_000_000)
        })
    })
}

impl<J: Job> Pool<J> {
    /// Takes note of those who have come up since the last look.
    pub(super) fn note_arrivals(&self, table: &mut Table<J>) {
        let mut news = false;
        for (worker, sitter) in table.roster.sitters() {
            let status = self.link.page(worker).status();
            if !sitter.up && status.is_some_and(|status| status != Status::Starting) {
                sitter.up = true;
                news = true;
            }
        }
        if news {
            table.roster.starts.came_up();
            table.roster.told = false;
        }
    }

    /// Looks at those that have not come up, and at a nursery that does not answer; when to look again.
    pub(super) fn look_at_starts(&self, now: u64) -> Option<u64> {
        let mut next: Option<u64> = None;
        let mut sooner = |at: u64| next = Some(next.map_or(at, |next: u64| next.min(at)));
        let (mut workers, mut nursery) = (Vec::new(), None);
        {
            let mut table = self.table.lock();
            self.note_arrivals(&mut table);
            for (worker, sitter) in table.roster.sitters() {
                if sitter.up || sitter.gone.is_some() || sitter.doom.is_some() {
                    continue;
                }
                let first = sitter.since.nanos() + LOOK_NANOS;
                if now >= first {
                    workers.push((worker, sitter.pid));
                }
                sooner(first.max(now + LOOK_NANOS));
            }
            let asked = table.roster.seats.iter().filter_map(|seat| match seat {
                Seat::Asked(asked) => Some((asked.since.nanos(), asked.nursery)),
                _ => None,
            });
            if let (Some((since, token)), Some(current)) = (asked.min(), &table.nursery)
                && token == current.token
            {
                let first = since + LOOK_NANOS;
                if now >= first {
                    nursery = Some((current.clone(), since));
                }
                sooner(first.max(now + LOOK_NANOS));
            }
        }
        for (worker, pid) in workers {
            self.look_at_worker(worker, pid, now);
        }
        if let Some((nursery, since)) = nursery {
            let start = Start {
                born: since,
                arrived: nursery.is_ready(),
                inherits: nursery.own,
                patience: patience(),
            };
            let doing = activity(nursery.pid);
            if !pidfd_exited(&nursery.pidfd) && self.table.lock().vigil.hangs(start, doing, now) {
                self.answer_hang(nursery.token, None);
            }
        }
        next
    }

    fn look_at_worker(&self, worker: u32, pid: i32, now: u64) {
        let doing = activity(pid);
        let arrived = self.link.page(worker).pid() != 0;
        let hung = self.sitter_of(worker, |sitter| {
            let start = Start {
                born: sitter.since.nanos(),
                arrived,
                inherits: sitter.hold.nursery.own,
                patience: patience(),
            };
            // Looked at before it was seen to be alive still, so that this was not somebody else with its number.
            let same = sitter.pid == pid && sitter.gone.is_none() && !sitter.hold.has_ended();
            (same && sitter.vigil.hangs(start, doing, now)).then(|| sitter.hold.clone())
        });
        let Some(Some(hold)) = hung else { return };
        // Before it has arrived it knows nothing of the signal, and would die of it.
        let stack = if arrived {
            self.stack(pid, &hold)
        } else {
            None
        };
        self.sitter_of(worker, |sitter| {
            sitter.doom = Some(Doom::Start);
            sitter.stack.clone_from(&stack);
        });
        hold.kill();
        self.answer_hang(
            hold.nursery.token,
            Some(Death {
                pid,
                worker,
                exit: Exit::Unknown,
                doom: Some(Doom::Start),
                ran: None,
                peak: None,
                stack,
                limit: None,
                out_of_memory: false,
                bereft: false,
                known: true,
            }),
        );
    }

    /// A worker of this nursery hangs, or the nursery itself: another one is made, or the pool breaks.
    fn answer_hang(&self, token: u32, death: Option<Death>) {
        let (own, verdict) = {
            let mut table = self.table.lock();
            // A brother of it was found before, and the nursery has retired.
            let Some(nursery) = table.nursery.take_if(|nursery| nursery.token == token) else {
                return;
            };
            let verdict = table.roster.starts.hung();
            for seat in &mut table.roster.seats {
                // What a nursery still makes for seats that do not wait for it is killed when it comes.
                if seat.is_asked_of(token) {
                    *seat = Seat::Empty;
                }
            }
            nursery.quit();
            let works =
                |(_, sitter): (u32, &mut Sitter)| sitter.hold.nursery.token == token && sitter.up;
            // One that hangs itself and has workers goes on, as they would go with it, and ends with the pool.
            if death.is_none() && !table.roster.sitters().any(works) {
                let _ = pidfd_signal(&nursery.pidfd, SIGKILL);
            }
            self.orphaned.store(true, Ordering::SeqCst);
            (nursery.own, verdict)
        };
        match verdict {
            Verdict::Again(_) => self.kick(),
            Verdict::Break => {
                let why = if own {
                    "workers hang at their start, and those of a new template as well: probably at a lock that another thread \
                     held when the template was forked. Make the pool before such threads start, or take \
                     start_method=\"zygote\", whose workers inherit no locks"
                } else {
                    "workers hang at their start: they wait for a lock that nobody can release"
                };
                self.give_up(why.to_owned(), death);
            }
        }
    }
}
