//! Children of this process: how one is forked, and how one is reaped.

use rustix::process::{Pid, Signal, kill_process};
use std::io;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// As `wait` encodes it.
    pub status: i32,
    /// Its largest resident size in KiB.
    pub peak: u64,
}

/// Copies this process: the number of the child, or `None` in the child.
///
/// The child has the calling thread alone. A lock that another thread holds meanwhile stays locked there, so a caller with other
/// threads makes sure first that they hold none ([`threads_here`]).
pub fn fork() -> io::Result<Option<i32>> {
    // SAFETY: both processes go on with memory of their own. What other threads were in the middle of is not touched by the C
    // library's own parts, which it puts in order; a lock of anybody else's can hang the child, which is no unsound memory.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

/// Reaps a child if it has ended; `None` while it runs. An error: somebody else has reaped it, or it is nobody's child here.
pub fn reap(pid: i32) -> io::Result<Option<Ended>> {
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    loop {
        // SAFETY: the kernel writes an integer and a whole rusage, of which zeroes are a valid value too.
        let reaped =
            unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
        if reaped == -1 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        // SAFETY: see above.
        let usage = unsafe { usage.assume_init() };
        return Ok((reaped == pid).then(|| Ended {
            status,
            peak: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        }));
    }
}

/// Ends a child that nobody could supervise, and reaps it.
pub fn undo_birth(pid: i32) {
    let Some(number) = Pid::from_raw(pid).filter(|_| pid > 0) else {
        return;
    };
    if kill_process(number, Signal::KILL).is_ok() {
        let _ = rustix::process::waitpid(Some(number), rustix::process::WaitOptions::empty());
    }
}

/// How many threads this process has; 1 where nobody says.
pub fn threads_here() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count().max(1))
}

/// Ends this process at once: nothing that is registered for a program's end runs, as that is the end of the program that forked it.
pub fn leave(code: i32) -> ! {
    // SAFETY: ends the process, whatever state its memory is in.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_for(pid: i32) -> Ended {
        loop {
            if let Some(ended) = reap(pid).unwrap() {
                return ended;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_child_is_reaped_once_with_its_status_and_its_size() {
        let Some(pid) = fork().unwrap() else { leave(7) };
        let ended = wait_for(pid);
        assert_eq!(ended.status, 7 << 8);
        assert!(ended.peak > 0);
        assert!(reap(pid).is_err());
    }

    #[test]
    fn a_birth_is_undone() {
        let Some(pid) = fork().unwrap() else {
            loop {
                std::thread::sleep(std::time::Duration::from_secs(60));
            }
        };
        assert_eq!(reap(pid).unwrap(), None);
        undo_birth(pid);
        assert!(reap(pid).is_err());
    }

    #[test]
    fn threads_are_counted() {
        let (says, hears) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || hears.recv());
        assert!(threads_here() >= 2);
        drop(says);
        let _ = thread.join();
    }
}
