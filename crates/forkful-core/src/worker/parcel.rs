//! The worker's end of the parent's hatch: descriptors of its tasks are fetched there, those of its outcomes are left there.
//!
//! A connection per parcel, closed afterwards: a worker holds no descriptor that the protocol needs, as a task may close all.

use super::Desk;
use crate::sys::errno::ETOOMANYREFS;
use crate::sys::{
    await_message, connect_abstract, crash_point, receive_with_fds, send_with_fds, too_many_files,
};
use crate::wire::{
    Answer, Label, MOST_PER_MESSAGE, MOST_PER_PARCEL, Request, SAID_HATCH, Token, hatch_name,
};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// How often a hatch that hangs up on us is tried again: it has room for so many callers only, and the kernel for so many
/// descriptors on their way.
const TRIES: u32 = 50;
/// How long is waited between two tries, and between two looks at whether the hatch is open, at most.
const PAUSE: Duration = Duration::from_millis(20);

/// How many looks an answer is given.
const PATIENCE: u32 = 100;

/// Why a parcel did not get through.
#[derive(Debug)]
pub enum Undelivered<E> {
    /// The caller's interrupt check said so.
    Interrupted(E),
    /// The kernel or the parent said so.
    Failed(io::Error),
}

impl<E> From<io::Error> for Undelivered<E> {
    fn from(error: io::Error) -> Self {
        Undelivered::Failed(error)
    }
}

type Interrupt<'a, E> = &'a mut dyn FnMut() -> Result<(), E>;

/// Fetches the descriptors of a task. Blocks; `interrupt` is asked whenever a signal comes.
pub fn fetch<E>(
    label: &Label,
    interrupt: Interrupt<'_, E>,
) -> Result<Vec<OwnedFd>, Undelivered<E>> {
    crash_point("parcel.before");
    let fds = with_hatch(label.hatch, interrupt, |socket, interrupt| {
        let mut fds = Vec::new();
        loop {
            let token = label.parcel;
            let first = fds.len() as u32;
            let request = Request::Fetch { token, first };
            let total = ask(socket, request, &[], &mut fds, interrupt)?;
            if fds.len() as u32 >= total.min(MOST_PER_PARCEL) {
                return Ok(fds);
            }
            if fds.len() as u32 == first {
                return Err(Undelivered::Failed(io::ErrorKind::InvalidData.into()));
            }
        }
    })?;
    crash_point("parcel.fetched");
    Ok(fds)
}

/// Leaves the descriptors of an outcome with the parent, under a token by which the outcome will name them.
pub fn push<E>(
    desk: &Desk,
    token: Token,
    fds: &[BorrowedFd<'_>],
    interrupt: Interrupt<'_, E>,
) -> Result<(), Undelivered<E>> {
    match push_once(desk, token, fds, interrupt) {
        Err(Undelivered::Failed(error)) if is_strange(&error) => {
            desk.link().ask_hatch();
            push_once(desk, token, fds, interrupt)
        }
        pushed => pushed,
    }?;
    crash_point("parcel.pushed");
    Ok(())
}

fn push_once<E>(
    desk: &Desk,
    token: Token,
    fds: &[BorrowedFd<'_>],
    interrupt: Interrupt<'_, E>,
) -> Result<(), Undelivered<E>> {
    let (hatch, key) = find_hatch(desk, interrupt)?;
    with_hatch(hatch, interrupt, |socket, interrupt| {
        for part in fds.chunks(MOST_PER_MESSAGE) {
            let request = Request::Push {
                key,
                token,
                seat: desk.seat(),
                total: fds.len() as u32,
            };
            ask(socket, request, part, &mut Vec::new(), interrupt)?;
        }
        Ok(())
    })
}

/// Where the parent's hatch is, and the word that says there that a worker of this pool comes. It is opened for the first who asks.
pub fn find_hatch<E>(
    desk: &Desk,
    interrupt: Interrupt<'_, E>,
) -> Result<(Token, Token), Undelivered<E>> {
    let link = desk.link();
    if let Some(Ok(open)) = link.hatch() {
        return Ok(open);
    }
    // No end to it: the parent may be stopped, and when it is gone, so are we.
    loop {
        // Again and again, as somebody's stray write may have hit the answer.
        link.ask_hatch();
        desk.say(SAID_HATCH, &[], |wait| wait());
        let mut pause = Duration::from_micros(50);
        for _ in 0..PATIENCE {
            match link.hatch() {
                Some(Ok(open)) => return Ok(open),
                Some(Err(errno)) => return Err(io::Error::from_raw_os_error(errno).into()),
                None => rest(&mut pause, interrupt)?,
            }
        }
    }
}

fn rest<E>(pause: &mut Duration, interrupt: Interrupt<'_, E>) -> Result<(), Undelivered<E>> {
    std::thread::sleep(*pause);
    *pause = PAUSE.min(*pause * 2);
    interrupt().map_err(Undelivered::Interrupted)
}

/// A conversation from its beginning; again if the hatch hangs up in the middle.
fn with_hatch<R, E>(
    name: Token,
    interrupt: Interrupt<'_, E>,
    mut talk: impl FnMut(&OwnedFd, Interrupt<'_, E>) -> Result<R, Undelivered<E>>,
) -> Result<R, Undelivered<E>> {
    let name = hatch_name(name);
    let mut pause = Duration::from_micros(50);
    let mut tries = 0;
    loop {
        let talked = match connect_abstract(&name) {
            // Too many others are before us, and there is no telling for how long.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                rest(&mut pause, interrupt)?;
                continue;
            }
            Err(error) => return Err(error.into()),
            Ok(socket) => talk(&socket, interrupt),
        };
        match talked {
            Err(Undelivered::Failed(error)) if passes(&error) && tries < TRIES => {
                tries += 1;
                rest(&mut pause, interrupt)?;
            }
            other => return other,
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// Whether it was another's hatch, or none: a stray write may have hit the words that say where it is.
fn is_strange(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied
    )
}

/// Whether it may be otherwise in a moment.
fn passes(error: &io::Error) -> bool {
    is_end(error) || error.raw_os_error() == Some(ETOOMANYREFS)
}

/// One question and its answer: how many descriptors the parcel has in all.
fn ask<E>(
    socket: &OwnedFd,
    request: Request,
    given: &[BorrowedFd<'_>],
    taken: &mut Vec<OwnedFd>,
    interrupt: Interrupt<'_, E>,
) -> Result<u32, Undelivered<E>> {
    match send_with_fds(socket, &request.to_bytes(), given) {
        // It has hung up, and may have said why.
        Err(error) if is_end(&error) => {}
        sent => sent?,
    }
    crash_point(match request {
        Request::Fetch { .. } => "parcel.asked",
        Request::Push { .. } => "parcel.offered",
    });
    let mut bytes = [0; 16];
    let len = loop {
        match receive_with_fds(socket, &mut bytes, taken) {
            Ok(received) if received.lost => return Err(too_many_files().into()),
            Ok(received) if received.len == 0 => {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            Ok(received) => break received.len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match await_message(socket) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                        interrupt().map_err(Undelivered::Interrupted)?;
                    }
                    waited => waited?,
                }
            }
            Err(error) => return Err(error.into()),
        }
    };
    match Answer::of_bytes(&bytes[..len]) {
        Some(Answer { errno: 0, total }) => Ok(total),
        Some(answer) => Err(io::Error::from_raw_os_error(answer.errno as i32).into()),
        None => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}
