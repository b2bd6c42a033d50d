//! A process by descriptor: it can't be mistaken for a later one with the same number.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, waitid};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// Ends a process.
pub const SIGKILL: i32 = libc::SIGKILL;
/// Interrupt, as Ctrl-C does.
pub const SIGINT: i32 = libc::SIGINT;
/// Stops it.
pub const SIGSTOP: i32 = libc::SIGSTOP;
/// Lets it go on.
pub const SIGCONT: i32 = libc::SIGCONT;

/// Opens the process that has this number now.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Sends a signal, real-time ones included.
pub fn pidfd_signal(fd: impl AsFd, signo: i32) -> io::Result<()> {
    // SAFETY: the call takes a descriptor, a number, no signal information and no flags.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd.as_fd().as_raw_fd(),
            signo,
            std::ptr::null::<libc::siginfo_t>(),
            0u32,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether it has ended. Not knowing counts as alive: a death is told again, a wrong burial can't be taken back.
pub fn pidfd_exited(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        match poll(&mut fds, Some(&at_once)) {
            Err(Errno::INTR) => {}
            result => return result.is_ok_and(|ready| ready == 1),
        }
    }
}

/// How it ended, encoded as `wait` does: `None` while it runs, or where the kernel does not tell. Nothing is reaped.
pub fn pidfd_exit_status(fd: impl AsFd) -> Option<i32> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    match waitid(WaitId::PidFd(fd.as_fd()), options) {
        Ok(status) => {
            let status = status?;
            if let Some(code) = status.exit_status() {
                return Some((code & 0xff) << 8);
            }
            let core = if status.dumped() { 0x80 } else { 0 };
            status.terminating_signal().map(|signal| signal | core)
        }
        // Somebody else's child: the kernel tells its status to anybody who has the descriptor, since 6.15.
        Err(_) => status_of_stranger(fd),
    }
}

/// Reaps a child that has ended, or ends within `patience`.
pub fn pidfd_reap(fd: impl AsFd, patience: Duration) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: patience.as_secs() as i64,
        tv_nsec: patience.subsec_nanos().into(),
    };
    let _ = poll(&mut fds, Some(&patience));
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    matches!(waitid(WaitId::PidFd(fd.as_fd()), options), Ok(Some(_)))
}

/// The first version of the kernel's `struct pidfd_info`.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, then four pairs of user and group.
    numbers: [u32; 11],
    exit_code: i32,
}

/// _IOWR(0xff, 11, struct pidfd_info): written out, since libc names it on some targets only.
const GET_INFO: u64 = (3 << 30) | ((size_of::<PidfdInfo>() as u64) << 16) | (0xff << 8) | 11;
const INFO_EXIT: u64 = 1 << 3;

fn status_of_stranger(fd: impl AsFd) -> Option<i32> {
    let mut info = PidfdInfo {
        mask: INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the request's number carries the size of what it writes, which is that of `info`.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn run(script: &str) -> (std::process::Child, OwnedFd) {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let fd = pidfd_open(child.id() as i32).unwrap();
        (child, fd)
    }

    fn wait_for(fd: &OwnedFd) -> Option<i32> {
        while !pidfd_exited(fd) {
            std::thread::yield_now();
        }
        pidfd_exit_status(fd)
    }

    #[test]
    fn a_child_tells_its_status_before_it_is_reaped() {
        let (mut child, fd) = run("exit 7");
        assert_eq!(wait_for(&fd), Some(7 << 8));
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert!(matches!(pidfd_exit_status(&fd), None | Some(0x700)));
    }

    #[test]
    fn a_signal_ends_it_and_is_named() {
        let (mut child, fd) = run("exec sleep 1000");
        assert!(!pidfd_exited(&fd));
        assert_eq!(pidfd_exit_status(&fd), None);
        pidfd_signal(&fd, libc::SIGTERM).unwrap();
        assert_eq!(wait_for(&fd), Some(libc::SIGTERM));
        child.wait().unwrap();
        assert!(pidfd_signal(&fd, libc::SIGTERM).is_err());
    }

    #[test]
    fn there_is_no_process_zero() {
        assert!(pidfd_open(0).is_err());
    }
}
