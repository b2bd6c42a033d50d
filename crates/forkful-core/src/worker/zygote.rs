//! The loop of a zygote, the process that forks a pool's workers and reports their ends.
//!
//! It ends when its parent's pidfd says that the parent is gone: end-of-file on its socket alone would not do, since an unrelated fork
//! of the parent may hold a copy. Its workers end with it, by the kernel.

use super::line::Line;
use crate::deadline::Deadline;
use crate::sys::{
    Epoll, SIGKILL, code_of, crash_point, die_with, fork, leave, pidfd_open, pidfd_signal, reap,
    too_many_files, undo_birth,
};
use crate::wire::{Ask, Report};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

/// What the tokens of the set of descriptors mean; others are workers.
const PARENT: u64 = 0;
const CONTROL: u64 = 1;
const FIRST_WORKER: u64 = 2;

/// A worker that has just been born: its place in the pool, and what it was given.
#[derive(Debug)]
pub struct Newborn {
    /// Its seat.
    pub seat: u32,
    /// The number of the request.
    pub generation: u64,
    /// The request itself, as the pool was launched with it.
    pub request: OwnedFd,
    /// Where its stacks go when they are asked for.
    pub dump: OwnedFd,
    /// The memory that it shares with its pool.
    pub link: OwnedFd,
    /// What its pool is woken by.
    pub bell: OwnedFd,
}

impl Newborn {
    /// From what a START brings.
    pub fn of(seat: u32, generation: u64, fds: Vec<OwnedFd>) -> io::Result<Newborn> {
        let came = fds.len();
        let [request, dump, link, bell] = fds
            .try_into()
            .map_err(|_| io::Error::other(format!("a worker needs 4 descriptors, {came} came")))?;
        Ok(Newborn {
            seat,
            generation,
            request,
            dump,
            link,
            bell,
        })
    }
}

/// Starts a process for this worker: its number, and how to watch it.
pub type Execute = fn(&Newborn) -> io::Result<(i32, OwnedFd)>;

struct Worker {
    pid: i32,
    pidfd: OwnedFd,
    asked: (u32, u64),
}

/// The loop's state.
struct Zygote {
    pid: i32,
    _parent: OwnedFd,
    line: Line,
    execute: Option<Execute>,
    set: Epoll,
    workers: HashMap<u64, Worker>,
    next: u64,
}

/// Serves a pool at the other end of `control` until it needs no workers any more or its process, `parent`, is gone; then this process
/// ends. Returns in each worker, with nothing left of the zygote's.
///
/// A process with threads must not fork: with `execute` workers are born by that, and none returns from here.
pub fn serve(control: OwnedFd, parent: OwnedFd, execute: Option<Execute>) -> io::Result<Newborn> {
    let set = Epoll::new()?;
    set.add(&parent, PARENT)?;
    set.add(&control, CONTROL)?;
    let mut zygote = Zygote {
        pid: std::process::id() as i32,
        _parent: parent,
        line: Line::new(control),
        execute,
        set,
        workers: HashMap::new(),
        next: FIRST_WORKER,
    };
    crash_point("zygote.ready");
    zygote.line.send(&Report::Ready, None);
    zygote.serve()
}

impl Zygote {
    fn serve(mut self) -> io::Result<Newborn> {
        let mut tokens = Vec::new();
        loop {
            self.settle();
            self.set.wait(&mut tokens, Deadline::NEVER)?;
            for token in &tokens {
                match *token {
                    PARENT => self.perish(),
                    CONTROL => {
                        self.line.flush();
                        if let Some(newborn) = self.hear() {
                            return Ok(newborn);
                        }
                    }
                    worker => self.look_at(worker),
                }
            }
        }
    }

    /// Leaves if nobody needs this process any more; otherwise asks for what the line waits for.
    fn settle(&mut self) {
        if self.line.quitting && self.workers.is_empty() && !self.line.is_waiting() {
            leave(0);
        }
        if self.line.deaf {
            // Its hang-up would be reported without end.
            let _ = self.set.remove(&self.line);
        } else {
            let _ = self.set.expect(&self.line, CONTROL, self.line.is_waiting());
        }
    }

    /// The kernel does it as well, but not to a worker that has changed its credentials.
    fn perish(&self) -> ! {
        self.kill_all();
        leave(0)
    }

    fn kill_all(&self) {
        for worker in self.workers.values() {
            let _ = pidfd_signal(&worker.pidfd, SIGKILL);
        }
    }

    /// Obeys one message; a worker, in its own process.
    fn hear(&mut self) -> Option<Newborn> {
        let (bytes, fds, lost) = self.line.receive()?;
        if bytes.is_empty() {
            self.line.hang_up();
            self.kill_all();
            return None;
        }
        match Ask::read(&bytes)? {
            Ask::Start(seat, generation) if !self.line.quitting => {
                return self.start(seat, generation, fds, lost);
            }
            Ask::Start(..) => {}
            Ask::Quit => self.line.quitting = true,
            Ask::Kill(seat, generation) => {
                for worker in self.workers.values() {
                    if worker.asked == (seat, generation) {
                        let _ = pidfd_signal(&worker.pidfd, SIGKILL);
                    }
                }
            }
            Ask::Again(seat, generation) => {
                for worker in self.workers.values() {
                    if worker.asked == (seat, generation) {
                        self.line.send(&worker.birth(), Some(&worker.pidfd));
                    }
                }
            }
        }
        None
    }

    fn start(
        &mut self,
        seat: u32,
        generation: u64,
        fds: Vec<OwnedFd>,
        lost: bool,
    ) -> Option<Newborn> {
        crash_point("zygote.asked");
        let born = if lost {
            Err(too_many_files())
        } else {
            Newborn::of(seat, generation, fds).and_then(|newborn| self.bear(newborn))
        };
        let worker = match born {
            Ok(Born::Here(newborn)) => return Some(newborn),
            Ok(Born::There(worker)) => worker,
            Err(error) => {
                let report = Report::Failed {
                    worker: seat,
                    generation,
                    text: error.to_string(),
                    code: code_of(&error),
                };
                self.line.send(&report, None);
                return None;
            }
        };
        crash_point("zygote.born");
        self.line.send(&worker.birth(), Some(&worker.pidfd));
        self.workers.insert(self.next, worker);
        self.next += 1;
        None
    }

    fn bear(&mut self, newborn: Newborn) -> io::Result<Born> {
        let (pid, pidfd) = match self.execute {
            Some(execute) => execute(&newborn)?,
            None => {
                let Some(pid) = fork()? else {
                    crash_point("worker.forked");
                    if !die_with(self.pid) {
                        leave(1);
                    }
                    return Ok(Born::Here(newborn));
                };
                (pid, pidfd_open(pid).inspect_err(|_| undo_birth(pid))?)
            }
        };
        // Where it can't be told of its end, nobody could supervise it.
        self.set
            .add(&pidfd, self.next)
            .inspect_err(|_| undo_birth(pid))?;
        Ok(Born::There(Worker {
            pid,
            pidfd,
            asked: (newborn.seat, newborn.generation),
        }))
    }

    fn look_at(&mut self, token: u64) {
        let Some(worker) = self.workers.get(&token) else {
            return;
        };
        let (status, peak) = match reap(worker.pid) {
            Ok(None) => return,
            Ok(Some(ended)) => (ended.status, ended.peak),
            // Somebody's constructor has waited for it: all that is known is that it ended.
            Err(_) => (0, 0),
        };
        crash_point("zygote.reaped");
        let _ = self.set.remove(&worker.pidfd);
        let report = Report::Exited {
            pid: worker.pid,
            status,
            peak,
        };
        self.workers.remove(&token);
        self.line.send(&report, None);
    }
}

impl Worker {
    fn birth(&self) -> Report {
        Report::Started {
            worker: self.asked.0,
            generation: self.asked.1,
            pid: self.pid,
        }
    }
}

enum Born {
    /// In the child.
    Here(Newborn),
    /// In the parent.
    There(Worker),
}
