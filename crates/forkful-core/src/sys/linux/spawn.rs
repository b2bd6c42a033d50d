//! This program once more, as a new process.

use super::children::undo_birth;
use super::lack::named;
use super::pidfd::pidfd_open;
use super::signals::SignalMask;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use std::ffi::{CStr, CString, OsString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

/// The running program's file, even if its name belongs to another one by now, or to none.
const ITSELF: &CStr = c"/proc/self/exe";

/// How a program is run once more.
#[derive(Debug)]
pub struct Again {
    /// What the new process is called with, the name included.
    pub arguments: Vec<OsString>,
    /// Its environment, as `NAME=value`.
    pub environment: Vec<OsString>,
    /// What its first thread blocks.
    pub mask: SignalMask,
}

impl Again {
    /// Starts it: its number, and how to watch it. It reads nothing from where this process reads, has no standard output yet, and
    /// gets these descriptors, under the numbers that they have here, and of others standard error alone.
    ///
    /// Not by a fork: that would copy the page tables of a program that may have hundreds of gigabytes.
    pub fn start(&self, kept: &[BorrowedFd<'_>]) -> io::Result<(i32, OwnedFd)> {
        let arguments = strings(&self.arguments)?;
        let environment = strings(&self.environment)?;
        let mut actions = Actions::new()?;
        actions.open_nothing(0, libc::O_RDONLY)?;
        actions.open_nothing(1, libc::O_WRONLY)?;
        for number in passed_by_default() {
            if kept.iter().all(|fd| fd.as_raw_fd() != number) {
                actions.close(number)?;
            }
        }
        for fd in kept {
            actions.keep(*fd)?;
        }
        let attributes = Attributes::new(&self.mask)?;
        let (arguments, environment) = (pointers(&arguments), pointers(&environment));
        let mut pid = 0;
        // SAFETY: every pointer is to a whole object that outlives the call, and both lists end with a null.
        let code = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                ITSELF.as_ptr(),
                &raw const actions.0,
                &raw const attributes.0,
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        };
        if code != 0 {
            let refused = named("posix_spawn of /proc/self/exe");
            return Err(refused(Errno::from_raw_os_error(code)));
        }
        match pidfd_open(pid) {
            Ok(pidfd) => Ok((pid, pidfd)),
            Err(error) => {
                undo_birth(pid);
                Err(error)
            }
        }
    }
}

/// The descriptors of this process, past the standard streams, that a program gets which it starts. A library that knows nothing of
/// `O_CLOEXEC` has opened them, or whoever has started this process: a worker that held one would keep a port taken, or a pipe open,
/// that this process has closed.
fn passed_by_default() -> Vec<RawFd> {
    let Ok(names) = std::fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let numbers = names
        .flatten()
        .filter_map(|name| name.file_name().to_str()?.parse::<RawFd>().ok());
    numbers
        .filter(|number| *number > 2 && is_passed(*number))
        .collect()
}

/// Whether a number stands for something that a program gets which is started from here.
fn is_passed(number: RawFd) -> bool {
    // SAFETY: asks for a number's flags; one that stands for nothing is refused.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags != -1 && flags & libc::FD_CLOEXEC == 0
}

/// Whether whoever has started this program has fewer rights than it has (setuid, capabilities): he must not tell it what to do by
/// variables and descriptors.
pub fn is_privileged() -> bool {
    // SAFETY: reads a word that the kernel has left for this process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// A copy that may be passed on: not one of the three standard streams' numbers, which the new program fills if they are free.
pub fn past_streams(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(fd, 3)?)
}

/// Has a standard stream's number stand for that file from now on, here and in programs that are started from here.
pub fn put_at(fd: impl AsFd, stream: i32) -> io::Result<()> {
    if !(0..3).contains(&stream) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the standard streams' numbers belong to the whole program, and what they stand for may change at any time.
    match unsafe { libc::dup2(fd.as_fd().as_raw_fd(), stream) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn strings(list: &[OsString]) -> io::Result<Vec<CString>> {
    let whole = |one: &OsString| CString::new(one.clone().into_vec());
    Ok(list.iter().map(whole).collect::<Result<_, _>>()?)
}

fn pointers(list: &[CString]) -> Vec<*mut c_char> {
    let each = list.iter().map(|one| one.as_ptr().cast_mut());
    each.chain([std::ptr::null_mut()]).collect()
}

fn done(code: i32) -> io::Result<()> {
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Actions> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the call fills them, or fails.
        unsafe {
            done(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            Ok(Actions(actions.assume_init()))
        }
    }

    /// Something from which nothing is to be read, or where what is written is lost.
    fn open_nothing(&mut self, number: i32, how: i32) -> io::Result<()> {
        // SAFETY: the actions were initialised, and the name is copied.
        done(unsafe {
            libc::posix_spawn_file_actions_addopen(
                &raw mut self.0,
                number,
                c"/dev/null".as_ptr(),
                how,
                0,
            )
        })
    }

    /// Nothing there, if anything is.
    fn close(&mut self, number: RawFd) -> io::Result<()> {
        // SAFETY: the actions were initialised.
        done(unsafe { libc::posix_spawn_file_actions_addclose(&raw mut self.0, number) })
    }

    /// The same number there: a copy onto itself is no longer closed at exec.
    fn keep(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let number = fd.as_raw_fd();
        // SAFETY: the actions were initialised.
        done(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, number, number) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: they were initialised, once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(mask: &SignalMask) -> io::Result<Attributes> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the first call fills them, or fails; the others are given whole objects.
        unsafe {
            done(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            let mut attributes = Attributes(attributes.assume_init());
            done(libc::posix_spawnattr_setsigmask(
                &raw mut attributes.0,
                mask.as_ptr(),
            ))?;
            done(libc::posix_spawnattr_setflags(
                &raw mut attributes.0,
                libc::POSIX_SPAWN_SETSIGMASK as _,
            ))?;
            Ok(attributes)
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: they were initialised, once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}
