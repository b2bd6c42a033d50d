//! Ends this process together with another one while its own thread is too busy to look.

use super::poll::{Epoll, EventFd};
use crate::deadline::Deadline;
use rustix::process::{Signal, getpid, kill_process};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// What its thread is called.
pub(super) const NAME: &str = "forkful-guard";

/// A thread that kills this process when another one ends. Not the kernel's own way (PDEATHSIG), which goes by the thread that
/// made this process, and not that process's life.
#[derive(Debug)]
pub struct Guard {
    over: Arc<EventFd>,
    thread: JoinHandle<()>,
    task: PathBuf,
}

impl Guard {
    /// Watches the process of this pidfd.
    pub fn over(pidfd: OwnedFd) -> io::Result<Guard> {
        let (over, epoll) = (Arc::new(EventFd::new()?), Epoll::new()?);
        epoll.add(&pidfd, 1)?;
        epoll.add(&*over, 0)?;
        let (stop, (says, said)) = (over.clone(), std::sync::mpsc::channel());
        let thread = std::thread::Builder::new()
            .name(NAME.into())
            .spawn(move || {
                block_signals();
                let _ = says.send(rustix::thread::gettid().as_raw_nonzero());
                let mut tokens = Vec::new();
                let waited = epoll.wait(&mut tokens, Deadline::NEVER);
                drop((pidfd, stop));
                if waited.is_ok() && !tokens.contains(&0) {
                    let _ = kill_process(getpid(), Signal::KILL);
                }
            })?;
        let task = said.recv().map_err(io::Error::other)?;
        Ok(Guard {
            over,
            thread,
            task: format!("/proc/self/task/{task}").into(),
        })
    }

    /// No more; afterwards the thread is gone for everybody who counts this process's threads.
    pub fn end(self) {
        self.over.ring();
        let _ = self.thread.join();
        // The kernel says that it has ended before it takes it off its list.
        for _ in 0..10_000 {
            if !self.task.exists() {
                break;
            }
            std::thread::sleep(Duration::from_micros(10));
        }
    }
}

/// They are the other threads' business.
fn block_signals() {
    // SAFETY: the set is initialised by the first call, and the second changes this thread's mask only.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::super::pidfd::pidfd_open;
    use super::*;

    #[test]
    fn it_leaves_nothing_behind() {
        let me = getpid().as_raw_nonzero().get();
        let guard = Guard::over(pidfd_open(me).unwrap()).unwrap();
        let task = guard.task.clone();
        assert!(task.exists());
        guard.end();
        assert!(!task.exists());
    }
}
