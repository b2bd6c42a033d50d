//! What a process that runs this program once more is passed: words in its environment, and descriptors.
//!
//! Knows: sys. Does not know: what the process does with them.
//!
//! The words say of each descriptor which file it is. A program that has the variable by accident, as it was started by one that did not
//! take it away, has other files there, or none, and takes no harm.

use forkful_core::sys::{adopt, file_identity, parent_number, past_streams, pidfd_exited};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What a process shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A zygote: control socket, and the pidfd of its parent.
    Zygote,
    /// A worker: request, dump, link, bell.
    Worker {
        /// On this seat.
        seat: u32,
        /// By this request.
        generation: u64,
    },
}

impl Kind {
    fn fds(self) -> usize {
        match self {
            Kind::Zygote => 2,
            Kind::Worker { .. } => 4,
        }
    }
}

/// What it is passed.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) kind: Kind,
    /// The process that has started it.
    pub(crate) launcher: i32,
    /// Whether its main thread shall block Ctrl-C.
    pub(crate) interrupt_blocked: bool,
    /// As many as its kind has.
    pub(crate) fds: Vec<OwnedFd>,
    /// What its standard output shall be from now on. It was started without one: what `main` prints on its way here has been printed
    /// already, and a test harness has nothing to say.
    pub(crate) output: Option<OwnedFd>,
}

/// Who a program is that was started with the variable.
#[derive(Debug)]
pub(crate) enum Role {
    /// What it was passed says so.
    Passed(Passed),
    /// The process that has started it is gone.
    Orphan,
    /// The variable has come to it by accident.
    Stranger,
}

/// The words as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Words {
    kind: Kind,
    launcher: i32,
    interrupt_blocked: bool,
    /// Number, device and inode of each.
    fds: Vec<(i32, u64, u64)>,
}

impl Words {
    fn write(&self) -> String {
        let (kind, seat, generation) = match self.kind {
            Kind::Zygote => ("zygote", 0, 0),
            Kind::Worker { seat, generation } => ("worker", seat, generation),
        };
        let mut text = format!(
            "{kind} {} {} {seat} {generation}",
            self.launcher,
            u8::from(self.interrupt_blocked)
        );
        for (number, device, inode) in &self.fds {
            text += &format!(" {number} {device} {inode}");
        }
        text
    }

    fn read(text: &str) -> Option<Words> {
        let mut words = text.split(' ');
        let kind = words.next()?;
        let launcher = words.next()?.parse().ok()?;
        let interrupt_blocked = match words.next()? {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let seat = words.next()?.parse().ok()?;
        let generation = words.next()?.parse().ok()?;
        let kind = match kind {
            "zygote" => Kind::Zygote,
            "worker" => Kind::Worker { seat, generation },
            _ => return None,
        };
        let mut fds = Vec::new();
        while let Some(number) = words.next() {
            let device = words.next()?.parse().ok()?;
            let inode = words.next()?.parse().ok()?;
            fds.push((number.parse().ok()?, device, inode));
        }
        // One more is its standard output.
        (kind.fds()..=kind.fds() + 1)
            .contains(&fds.len())
            .then_some(Words {
                kind,
                launcher,
                interrupt_blocked,
                fds,
            })
    }
}

impl Passed {
    /// What this process passes on: copies of these, and of its standard output.
    pub(crate) fn new(
        kind: Kind,
        interrupt_blocked: bool,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<Passed> {
        Ok(Passed {
            kind,
            launcher: std::process::id() as i32,
            interrupt_blocked,
            fds: fds
                .iter()
                .map(|fd| past_streams(*fd))
                .collect::<io::Result<_>>()?,
            output: past_streams(io::stdout().as_fd()).ok(),
        })
    }

    /// All of the descriptors.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.fds
            .iter()
            .chain(&self.output)
            .map(AsFd::as_fd)
            .collect()
    }

    /// For the variable.
    pub(crate) fn words(&self) -> io::Result<String> {
        let named = |fd: &BorrowedFd<'_>| {
            let (device, inode) = file_identity(fd)?;
            Ok((fd.as_raw_fd(), device, inode))
        };
        let words = Words {
            kind: self.kind,
            launcher: self.launcher,
            interrupt_blocked: self.interrupt_blocked,
            fds: self.fds().iter().map(named).collect::<io::Result<_>>()?,
        };
        Ok(words.write())
    }
}

/// What the variable makes of this process. Takes possession of the descriptors, if they are what the variable says.
pub(crate) fn role(words: &OsStr) -> Role {
    let Some(passed) = words.to_str().and_then(Words::read).and_then(take) else {
        return Role::Stranger;
    };
    if parent_number() == passed.launcher {
        return Role::Passed(passed);
    }
    match passed.kind {
        // Its parent lives, so that it is somebody else's child.
        Kind::Zygote if !pidfd_exited(&passed.fds[1]) => Role::Stranger,
        _ => Role::Orphan,
    }
}

fn take(words: Words) -> Option<Passed> {
    let mut fds = Vec::new();
    for (number, device, inode) in words.fds {
        fds.push(adopt(number, (device, inode))?);
    }
    let output = (fds.len() > words.kind.fds()).then(|| fds.pop()).flatten();
    Some(Passed {
        kind: words.kind,
        launcher: words.launcher,
        interrupt_blocked: words.interrupt_blocked,
        fds,
        output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words() -> impl Strategy<Value = Words> {
        let kind = prop_oneof![
            Just(Kind::Zygote),
            (any::<u32>(), any::<u64>())
                .prop_map(|(seat, generation)| Kind::Worker { seat, generation })
        ];
        let fd = (0..i32::MAX, any::<u64>(), any::<u64>());
        let fds = prop::collection::vec(fd, 5);
        (kind, any::<i32>(), any::<bool>(), fds, any::<bool>()).prop_map(
            |(kind, launcher, interrupt_blocked, mut fds, output)| {
                fds.truncate(kind.fds() + usize::from(output));
                Words {
                    kind,
                    launcher,
                    interrupt_blocked,
                    fds,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn words_are_read_as_they_were_written(words in words()) {
            prop_assert_eq!(Words::read(&words.write()), Some(words));
        }

        #[test]
        fn any_text_is_read(text in "(zygote|worker)?[ 0-9a-z-]{0,40}") {
            let _ = Words::read(&text);
        }
    }

    #[test]
    fn who_has_the_variable_by_accident_is_a_stranger() {
        let (one, other) = forkful_core::sys::seqpacket_pair().unwrap();
        let passed = Passed::new(Kind::Zygote, false, &[one.as_fd(), other.as_fd()]).unwrap();
        let words = passed.words().unwrap();
        drop((passed, one, other));
        for text in [&*words, "", "zygote", "zygote 1 0 0 0 0 0 0 1 0 0"] {
            assert!(matches!(role(OsStr::new(text)), Role::Stranger), "{text}");
        }
    }
}
