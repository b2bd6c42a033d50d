//! When a process was born, which tells it from an earlier one with the same number, and how often this one has forked.

use super::pidfd::{pidfd_exited, pidfd_open};
use crate::prim::Ordering;
use std::fs;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// This process: its number in the low half, its birth in the high one; 0 as long as nobody asked.
static OWN: AtomicU64 = AtomicU64::new(0);

/// The forks that this process, or those that it was forked from, has begun or ended.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The number of this process in the low half, and the moment of its birth in the high one.
#[inline]
pub fn own_mark() -> u64 {
    match OWN.load(Ordering::Relaxed) {
        0 => make_own_mark(),
        mark => mark,
    }
}

/// A number that changes at the beginning and at the end of each fork of this process, whoever forks, and in the child.
pub fn forks() -> u32 {
    watch_forks();
    FORKS.load(Ordering::SeqCst)
}

#[cold]
fn make_own_mark() -> u64 {
    watch_forks();
    let pid = std::process::id();
    let mark = (u64::from(birth(pid).unwrap_or(0)) << 32) | u64::from(pid);
    OWN.store(mark, Ordering::Relaxed);
    mark
}

/// Not by a hook of the interpreter's: what forks without asking it is another process all the same.
fn watch_forks() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: the handlers are functions that are never unloaded, and touch nothing but two atomics.
        unsafe { libc::pthread_atfork(Some(count_fork), Some(count_fork), Some(in_child)) };
    });
}

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn in_child() {
    count_fork();
    OWN.store(0, Ordering::Relaxed);
}

/// When the process with this number was born, in ticks since the machine's start, the low 32 bits of them; never 0. `None` if
/// there is none, or nobody says.
pub fn birth(pid: u32) -> Option<u32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; field 22 is the twentieth behind it.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let ticks: u64 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some((ticks as u32).max(1))
}

/// Whether the process with this number, born then (0: whenever), lives. Zombies don't. Not knowing counts as alive.
pub fn lives(pid: u32, born: u32) -> bool {
    let Some(number) = i32::try_from(pid).ok().filter(|pid| *pid > 0) else {
        return false;
    };
    match pidfd_open(number) {
        Ok(process) if pidfd_exited(&process) => return false,
        Ok(_) => {}
        // None of this number; or a thread has it now, which processes that live are not.
        Err(error) => match error.raw_os_error() {
            Some(libc::ESRCH | libc::EINVAL | libc::ENOENT) => return false,
            // No room for a descriptor: the slower way.
            _ => match super::process::process_state(number) {
                Some('Z' | 'X') => return false,
                Some(_) => {}
                // SAFETY: signal 0 asks only.
                None => return unsafe { libc::kill(number, 0) } == 0 || !has_gone(),
            },
        },
    }
    born == 0 || birth(pid).is_none_or(|now| now == born)
}

fn has_gone() -> bool {
    std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn this_process_lives_and_its_namesake_of_another_birth_does_not() {
        let mark = own_mark();
        let (pid, born) = (mark as u32, (mark >> 32) as u32);
        assert_eq!(pid, std::process::id());
        assert_eq!(birth(pid), Some(born));
        assert!(lives(pid, born) && lives(pid, 0));
        assert!(!lives(pid, born.wrapping_add(1)));
    }

    #[test]
    fn a_zombie_does_not_live() {
        let mut child = Command::new("true").spawn().unwrap();
        let (pid, born) = (child.id(), birth(child.id()).unwrap());
        while lives(pid, born) {
            std::thread::yield_now();
        }
        assert!(super::super::process::process_state(pid as i32).is_some());
        child.wait().unwrap();
        assert!(!lives(pid, born) && !lives(pid, 0));
    }

    #[test]
    fn numbers_that_no_process_has_are_dead() {
        assert!(!lives(0, 0) && !lives(u32::MAX, 0) && !lives(i32::MAX as u32, 1));
    }

    #[test]
    fn a_fork_is_counted() {
        let before = forks();
        // SAFETY: the child ends at once.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(own_mark() as u32 != std::process::id())) };
        }
        let mut status = 1;
        // SAFETY: reaps the child that was made above.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!(status, 0);
        assert!(forks() >= before + 2);
    }
}
