//! How a pool's process gets a zygote, and a zygote workers that it can't fork: this program, run once more.
//!
//! Knows: the engine's nursery, and where the program is entered (`entry`). Does not know: pools, nor what the new process does.

use crate::entry::{self, Entrance};
use crate::passed::{Kind, Passed};
use forkful_core::procs::nursery::Nursery;
use forkful_core::sys::{
    Again, SignalMask, is_privileged, pidfd_open, seal, sealable_memfd, seqpacket_pair,
};
use forkful_core::worker::zygote::Newborn;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// The variable that tells a program that it is run as a zygote or a worker, and by which descriptors.
pub(crate) const VARIABLE: &str = "FORKFUL_ZYGOTE";

/// What the program's main thread blocks, as far as that is known.
static MASK: OnceLock<SignalMask> = OnceLock::new();

/// Remembers what the calling thread blocks: what the main threads of workers shall.
pub(crate) fn remember_mask() {
    MASK.get_or_init(SignalMask::current);
}

/// Starts a zygote. Its workers get `start`, and share `link` and `bell` with this process.
pub(crate) fn launch(
    link: BorrowedFd<'_>,
    bell: BorrowedFd<'_>,
    start: &[u8],
) -> io::Result<Nursery> {
    if is_privileged() {
        // It would not listen to what is passed, and run as an ordinary program.
        let text = "a program that has more rights than its user, by setuid or capabilities, does not let itself be run as a worker";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let entrance = entry::entrance();
    let entrance = entrance.ok_or_else(|| io::Error::other("forkful::init() was not called"))?;
    launch_by(&entrance, link, bell, start)
}

/// The same by this entrance.
fn launch_by(
    entrance: &Entrance,
    link: BorrowedFd<'_>,
    bell: BorrowedFd<'_>,
    start: &[u8],
) -> io::Result<Nursery> {
    // A program that forks by itself has pools there whose workers are not its own.
    forkful_core::fork::watch();
    let request = request(start)?;
    let extra = vec![link.try_clone_to_owned()?, bell.try_clone_to_owned()?];
    let (ours, theirs) = seqpacket_pair()?;
    let parent = pidfd_open(std::process::id() as i32)?;
    let (pid, pidfd) = run(entrance, Kind::Zygote, &[theirs.as_fd(), parent.as_fd()])?;
    Ok(Nursery::new(ours, pidfd, pid, request, extra, true))
}

/// Starts a worker of this zygote's, which has threads and so can't fork one.
pub(crate) fn execute(newborn: &Newborn) -> io::Result<(i32, OwnedFd)> {
    let kind = Kind::Worker {
        seat: newborn.seat,
        generation: newborn.generation,
    };
    let fds = [
        &newborn.request,
        &newborn.dump,
        &newborn.link,
        &newborn.bell,
    ];
    let entrance = entry::entrance().ok_or(io::ErrorKind::Unsupported)?;
    run(&entrance, kind, &fds.map(AsFd::as_fd))
}

/// Runs this program once more.
fn run(entrance: &Entrance, kind: Kind, fds: &[BorrowedFd<'_>]) -> io::Result<(i32, OwnedFd)> {
    let mask = MASK.get().copied().unwrap_or_else(SignalMask::empty);
    let passed = Passed::new(kind, mask.has_interrupt(), fds)?;
    let again = Again {
        arguments: entrance.arguments(),
        environment: environment(&passed.words()?),
        // Ctrl-C can't end it before it has said what that means to it.
        mask: mask.with_interrupt(),
    };
    again.start(&passed.fds())
}

/// What each worker is sent first: a file that nobody can change.
fn request(start: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(sealable_memfd("forkful-request")?);
    file.write_all(start)?;
    let request = OwnedFd::from(file);
    seal(&request)?;
    Ok(request)
}

/// This process's environment, and the variable.
fn environment(words: &str) -> Vec<OsString> {
    let others = std::env::vars_os().filter(|(name, _)| name != VARIABLE);
    let own = (OsString::from(VARIABLE), OsString::from(words));
    others
        .chain([own])
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        })
        .collect()
}

#[cfg(test)]
mod tests;
