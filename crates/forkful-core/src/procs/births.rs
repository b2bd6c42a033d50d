//! Births: nurseries come and are lost, workers are asked for, and refused.

use super::nursery::Nursery;
use super::pool::{Pool, Table};
use super::record::{Breakage, Death, Job};
use super::roster::Seat;
use super::starts::{BUSY_NANOS, PAUSE_NANOS, Verdict, Vigil};
use super::watcher::{CONTROL, Watch};
use crate::sys::{Stamp, code_of, in_words, truncate};
use crate::wire::{Look, Status};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A worker that is wanted: its seat, and the number of the request.
pub type Order = (u32, u64);

impl<J: Job> Pool<J> {
    /// Workers are made there from now on.
    pub fn set_nursery(&self, mut nursery: Nursery, watch: &Watch) -> io::Result<()> {
        nursery.token =
            CONTROL | self.nurseries_made.fetch_add(1, Ordering::Relaxed) & (CONTROL - 1);
        let nursery = Arc::new(nursery);
        {
            let mut table = self.table.lock();
            if table.finished {
                drop(table);
                dismiss(&nursery);
                return Ok(());
            }
            table.nurseries.push(nursery.clone());
        }
        if let Err(error) = watch.add(nursery.control(), watch.token(nursery.token)) {
            let mut table = self.table.lock();
            table.nurseries.retain(|other| other.token != nursery.token);
            drop(table);
            dismiss(&nursery);
            return Err(error);
        }
        let asked = {
            let mut table = self.table.lock();
            if table.broken.is_some() || table.quitting.is_some() {
                // It came too late.
                drop(table);
                nursery.quit();
                self.end_if_empty();
                return Ok(());
            }
            if !table.nurseries.iter().any(|one| one.token == nursery.token) {
                // The watcher has lost it already, when it was nobody's.
                let verdict = table.roster.starts.nursery_died();
                drop(table);
                match verdict {
                    Verdict::Break => self.nurseries_die(),
                    Verdict::Again(_) => self.kick(),
                }
                return Ok(());
            }
            table.nursery = Some(nursery);
            table.vigil = Vigil::default();
            self.orphaned.store(false, Ordering::SeqCst);
            self.want_worker(&mut table)
        };
        if let Some((asked, nursery)) = asked {
            // The caller looks for such orders next.
            self.ask(asked, &nursery);
        }
        self.refill();
        Ok(())
    }

    /// Whether somebody must see to it that there are workers who can do what only he can: make a nursery, or say in which
    /// state workers shall start.
    pub fn wants_midwife(&self) -> bool {
        if self.is_inherited() {
            return false;
        }
        self.has_asked()
            || self.orphaned.load(Ordering::SeqCst) && {
                let table = self.table.lock();
                table.broken.is_none() && !table.finished && table.count + table.backlog.len() > 0
            }
    }

    /// A seat to be filled, if there is work that nobody is going to do.
    pub(super) fn want_worker(&self, table: &mut Table<J>) -> Option<(Order, Arc<Nursery>)> {
        if table.broken.is_some()
            || self.ready(table) + table.backlog.len() as u64 == 0
            || table.roster.occupied() >= self.settings.workers
            || table.paused_until > 0
        {
            return None;
        }
        let token = table.nursery.as_ref()?.token;
        let seats = table.roster.seats.iter().enumerate();
        let ready = |(worker, seat): &(usize, &Seat)| match seat {
            Seat::Empty => false,
            Seat::Asked(..) => true,
            Seat::Taken(sitter) => {
                sitter.gone.is_none()
                    && sitter.doom.is_none()
                    && self.will_take(table, *worker as u32)
            }
        };
        let enough = seats.filter(ready).count() as u64;
        // Counted after the workers were looked at: a task that one of them has taken since waits no more.
        if self.waiting(table, enough + 1) <= enough {
            return None;
        }
        Some((table.roster.ask(token)?, table.nursery.clone()?))
    }

    /// Sends for workers until every seat is taken, whether there is work or not. Whoever calls it looks for orders next.
    pub fn populate(&self) {
        loop {
            let asked = {
                let mut table = self.table.lock();
                if table.broken.is_some() || table.closed || table.ended || table.paused_until > 0 {
                    return;
                }
                let Some(nursery) = table.nursery.clone() else {
                    return;
                };
                table
                    .roster
                    .ask(nursery.token)
                    .map(|asked| (asked, nursery))
            };
            let Some((asked, nursery)) = asked else {
                return;
            };
            self.ask(asked, &nursery);
        }
    }

    /// How many tasks nobody has, exactly; or `most`, if there are so many.
    fn waiting(&self, table: &Table<J>, most: u64) -> u64 {
        let (mut waiting, mut seen) = (table.backlog.len() as u64, 0);
        let tail = table.cursor.tail();
        // From the youngest on: those that nobody has are there.
        for position in (self.link.tasks().hint(tail)..tail).rev() {
            if waiting >= most || seen >= table.count {
                break;
            }
            if self.is_inflight(table, position) {
                seen += 1;
                waiting += u64::from(self.link.tasks().look(position) == Look::Ready);
            }
        }
        waiting.min(most)
    }

    /// Whether a worker takes the next task at once, or as soon as it has come up.
    fn will_take(&self, table: &Table<J>, worker: u32) -> bool {
        let page = self.link.page(worker);
        match page.status() {
            // One that has taken a task says so a moment later, and more than that where it touches much for the first time.
            Some(Status::Starting | Status::Idle) => {
                !self.has_taken(table, worker) || page.has_worked() && !self.has_read(worker)
            }
            // Its outcome has been read, and what is looked at here may be the answer to it: no reason for another worker.
            Some(Status::Writing) => !page
                .running()
                .is_some_and(|(position, _)| self.is_inflight(table, position)),
            _ => false,
        }
    }

    /// Whether no outcome of a worker's lies unread, as far as nobody reads just now.
    fn has_read(&self, worker: u32) -> bool {
        let readers = self.readers.try_lock();
        readers.is_some_and(|readers| {
            let reader = readers.get(worker as usize);
            reader.is_some_and(|reader| reader.is_empty())
        })
    }

    /// Whether a worker has a task, or its outcome is unread.
    fn has_taken(&self, table: &Table<J>, worker: u32) -> bool {
        let tail = table.cursor.tail();
        // What was taken just now lies there.
        let first = self.link.tasks().hint(tail).saturating_sub(64);
        (first..tail).any(|position| {
            self.is_inflight(table, position)
                && self.link.tasks().look(position) == Look::Taken(worker)
        })
    }

    /// Sends for a worker; true if that is left to whoever can say in which state it shall start.
    pub(super) fn ask(&self, asked: Order, nursery: &Nursery) -> bool {
        // There may be no answer to wake it.
        (self.wake_watcher)();
        if nursery.own {
            self.send_for(asked, nursery, None);
            return false;
        }
        self.asked.lock().push(asked);
        self.has_asked.store(true, Ordering::SeqCst);
        true
    }

    /// Whether workers are to be sent for by [`Pool::send_asked`].
    pub fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::SeqCst)
    }

    /// Sends for those workers, with this request and these standard streams.
    pub fn send_asked(&self, request: BorrowedFd<'_>, streams: &[OwnedFd]) {
        let Some(nursery) = self.table.lock().nursery.clone() else {
            return self.refuse_asked("the process that starts workers is gone");
        };
        let shared: Vec<_> = [self.link.fd(), self.bell.fd()]
            .into_iter()
            .flatten()
            .chain(streams.iter().map(std::os::fd::AsFd::as_fd))
            .collect();
        for asked in self.take_asked() {
            self.send_for(asked, &nursery, Some((request, &shared)));
        }
    }

    /// They can't be sent for. Seats that were asked of a lost nursery are free already, and nothing is said of them.
    pub fn refuse_asked(&self, text: &str) {
        for asked in self.take_asked() {
            self.refused(asked, text);
        }
    }

    fn take_asked(&self) -> Vec<Order> {
        let mut asked = self.asked.lock();
        self.has_asked.store(false, Ordering::SeqCst);
        std::mem::take(&mut *asked)
    }

    /// A copy of what the nursery was made with: what of a request stays the same.
    pub fn request(&self) -> io::Result<Option<OwnedFd>> {
        let nursery = self.table.lock().nursery.clone();
        nursery
            .map(|nursery| nursery.request().try_clone_to_owned())
            .transpose()
    }

    fn send_for(
        &self,
        (worker, generation): Order,
        nursery: &Nursery,
        sent: Option<(BorrowedFd<'_>, &[BorrowedFd<'_>])>,
    ) {
        let mine = {
            let table = self.table.lock();
            let seat = table.roster.seats.get(worker as usize);
            seat.is_some_and(|seat| seat.is_asked(generation))
        };
        if !mine {
            return;
        }
        let dump = {
            let mut dumps = self.dumps.lock();
            match &dumps[worker as usize] {
                Some(dump) => {
                    // What lies there is the stack of who sat here before.
                    let _ = truncate(&**dump);
                    Ok(dump.clone())
                }
                None => crate::sys::plain_memfd("forkful-dump").map(|fd| {
                    let dump = Arc::new(fd);
                    dumps[worker as usize] = Some(dump.clone());
                    dump
                }),
            }
        };
        self.link.page(worker).clear();
        match dump.and_then(|dump| nursery.start(worker, generation, &dump, sent)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.postpone((worker, generation));
            }
            Err(error) if is_gone(&error) => {
                // The watcher is about to learn that the nursery is, and frees the seats that it was asked for.
            }
            Err(error) => self.refused((worker, generation), &in_words(&error)),
        }
    }

    /// The nursery has too much to read: in a moment again.
    fn postpone(&self, (worker, generation): Order) {
        {
            let mut table = self.table.lock();
            let seat = &mut table.roster.seats[worker as usize];
            if !seat.is_asked(generation) {
                return;
            }
            *seat = Seat::Empty;
            table.paused_until = Stamp::now().nanos() + BUSY_NANOS;
        }
        (self.wake_watcher)();
    }

    /// A worker could not be made. Those that are there go on; without any, the pool breaks if it happens again and again.
    pub(super) fn refused(&self, (worker, generation): Order, text: &str) {
        let (broken, tell) = {
            let mut table = self.table.lock();
            let seat = &mut table.roster.seats[worker as usize];
            if !seat.is_asked(generation) {
                return;
            }
            *seat = Seat::Empty;
            self.note_arrivals(&mut table);
            let others = table.roster.coming() > 0;
            // It may work before the word of its birth is here.
            let works = (0..).zip(&table.roster.seats).any(|(other, seat)| {
                let status = self.link.page(other).status();
                !matches!(seat, Seat::Empty)
                    && status.is_some_and(|status| status != Status::Starting)
            });
            match table.roster.starts.refused(others) {
                Verdict::Again(after) => {
                    table.paused_until = Stamp::now().nanos() + after;
                    (
                        false,
                        works && !std::mem::replace(&mut table.roster.told, true),
                    )
                }
                Verdict::Break => (true, false),
            }
        };
        if broken {
            self.give_up(format!("workers could not be started: {text}"), None);
        } else {
            if tell {
                self.say(format!(
                    "a pool goes on with fewer workers than it may have, as one could not be started: {text}"
                ));
            }
            (self.wake_watcher)();
        }
    }

    fn nurseries_die(&self) {
        let text =
            "the process that starts workers has died again and again before one of them came up";
        self.give_up(text.into(), None);
    }

    pub(super) fn give_up(&self, text: String, death: Option<Death>) {
        self.break_down(Breakage {
            text,
            cause: None,
            death,
        });
    }

    /// Goes on with what was put off, if it is time; when to come back.
    pub(super) fn resume(&self, now: u64) -> Option<u64> {
        let due = {
            let mut table = self.table.lock();
            let due = table.paused_until > 0 && now >= table.paused_until;
            if due {
                table.paused_until = 0;
            }
            due
        };
        if due {
            self.replace();
        }
        let mut table = self.table.lock();
        let mut next = (table.paused_until > 0).then_some(table.paused_until);
        for (_, sitter) in table.roster.sitters() {
            let hold = &sitter.hold;
            if hold.pidfd.is_none() && sitter.gone.is_none() {
                // There may be room for its descriptor by now.
                if now >= sitter.asked_again {
                    hold.nursery.tell_again(hold.worker, hold.generation);
                    sitter.asked_again = now + PAUSE_NANOS;
                }
                next = Some(next.unwrap_or(u64::MAX).min(sitter.asked_again));
            }
        }
        next
    }

    /// This nursery is gone, and its workers with it.
    pub(super) fn lose_nursery(&self, nursery: &Arc<Nursery>, watch: &Watch) {
        watch.remove(nursery.control());
        // Before the pool is over: nothing of it is left behind then.
        nursery.reap();
        self.await_unheard(nursery);
        let broken = {
            let mut table = self.table.lock();
            table.nurseries.retain(|other| other.token != nursery.token);
            for (_, sitter) in table.roster.sitters() {
                if sitter.hold.nursery.token == nursery.token {
                    sitter.bereft = true;
                    if sitter.hold.pidfd.is_none() {
                        // It ends with its nursery, and nobody is left who would say so.
                        sitter.gone.get_or_insert(Stamp::now());
                    }
                }
            }
            self.vacate(&mut table, nursery);
            let current = table
                .nursery
                .take_if(|current| current.token == nursery.token);
            if table.quitting.is_some() {
                if table.nurseries.is_empty() {
                    self.finish(&mut table);
                }
                false
            } else if current.is_some() && table.broken.is_none() {
                self.orphaned.store(true, Ordering::SeqCst);
                self.note_arrivals(&mut table);
                table.roster.starts.nursery_died() == Verdict::Break
            } else {
                false
            }
        };
        if broken {
            self.nurseries_die();
        }
        self.end_if_empty();
        self.kick();
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    ) && code_of(error).is_some()
}

/// Lets a nursery go that no pool wants.
fn dismiss(nursery: &Nursery) {
    nursery.quit();
    nursery.reap();
}
