//! A task on its way: whose it is, its bytes, its limits, and how it may end.

use super::arena::Loan;
use super::parcels::Parcel;
use super::policy::{Doom, Exit};
use crate::shm::Cargo;
use crate::wire::{Extent, RAISED};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that need no allocation of their own.
pub const SMALL: usize = 24;

/// Bytes of a task or of an outcome; most are few.
pub type Payload = SmallVec<[u8; SMALL]>;

/// The owner of a task: a future, in whatever form.
pub trait Job: Send + Sized + 'static {
    /// Whether it was cancelled meanwhile, so that it need not enter the ring.
    fn is_cancelled(&self) -> bool;
    /// It has entered the ring at this position, or (0) left it again; positions are counted from 1 here.
    fn placed(&self, place: u64);
    /// It is over. Called once, by any thread, with no lock of the table held; must not wait.
    fn finish(self, end: End, spare: Spare);
    /// It was cancelled, and its owner knows: nothing is to be done. May be called under the table's lock.
    fn dismiss(self);
    /// Its owner wants it stopped while a worker has it: it is not to be run again, until it is placed anew. Called under the
    /// table's lock.
    fn give_up(&self) {}
    /// Whether that was asked for.
    fn is_given_up(&self) -> bool {
        false
    }
}

/// What a task's submitter allows.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Per attempt, from the moment a worker begins.
    pub timeout: Option<Duration>,
    /// How often it may be run again after its worker died.
    pub retries: u32,
    /// Whether a death is what it is run again for.
    pub retry_deaths: bool,
    /// Whether its owner may hand it in again for another reason: its bytes are kept.
    pub keep: bool,
    /// Smaller runs first.
    pub priority: i32,
}

/// What is needed to run a task.
#[derive(Debug, Default)]
pub struct Call {
    /// The function's number in the library, or none.
    pub function: u32,
    /// How many entries of the library must have been read.
    pub definitions: u32,
    /// For the runner.
    pub flags: u32,
    /// The arguments.
    pub payload: Payload,
    /// What they take along: copied into a segment, or behind the payload, when the task enters the ring.
    pub cargo: Option<Box<dyn Cargo>>,
    /// Whether that has been done, behind the payload.
    pub inside: bool,
    /// Set where there are any.
    pub limits: Option<Arc<Limits>>,
    /// The descriptors that the arguments name, where they name any; let go with this at the latest.
    pub parcel: Option<Box<Parcel>>,
}

/// What a finished task leaves to its owner, who may hand it in again.
#[derive(Debug)]
pub struct Spare {
    /// With its payload only where the limits say `keep`.
    pub call: Call,
    /// How many attempts there were.
    pub attempts: u32,
    /// Whether it is counted neither as done nor as failed yet: its owner hands it in again, or calls
    /// [`Pool::fail`](super::Pool::fail).
    pub open: bool,
}

/// A task in the table.
#[derive(Debug)]
pub(super) struct Record<J> {
    pub job: J,
    pub call: Call,
    pub submitted: u64,
    pub attempts: u32,
    pub position: u64,
    pub large: Option<Box<Large>>,
}

/// What only large tasks and outcomes have.
#[derive(Debug, Default)]
pub(super) struct Large {
    /// Where the task's bytes lie, if not in its slot.
    pub extent: Option<Extent>,
    /// How many they are.
    pub len: u64,
    /// The segment with its cargo.
    pub loan: Option<u64>,
    /// The frames of its outcome that have come so far.
    pub parts: Vec<u8>,
    /// Bytes of frames that this process had no memory for; then the whole outcome is lost.
    pub lost: u64,
}

impl Large {
    /// Only the segment with its cargo, if it has one.
    pub fn loan_only(self) -> Option<Box<Large>> {
        let loan = self.loan?;
        Some(Box::new(Large {
            loan: Some(loan),
            ..Large::default()
        }))
    }

    /// Whether frames of its outcome have come.
    pub fn has_parts(&self) -> bool {
        !self.parts.is_empty() || self.lost > 0
    }

    /// Keeps a frame of its outcome. Where there is no memory for it the allocator would end the process: then it is let go.
    pub fn keep(&mut self, frame: &[u8]) {
        if self.lost == 0 && self.parts.try_reserve(frame.len()).is_ok() {
            self.parts.extend_from_slice(frame);
        } else {
            self.lost += (std::mem::take(&mut self.parts).len() + frame.len()) as u64;
        }
    }
}

impl<J: Job> Record<J> {
    /// Where its bytes lie, if not in its slot.
    pub fn extent(&self) -> Option<&Extent> {
        self.large.as_ref()?.extent.as_ref()
    }

    /// The segment with its cargo, if it is loaded.
    pub fn loan(&self) -> Option<u64> {
        self.large.as_ref()?.loan
    }

    /// Whether its cargo is to be copied before it can enter the ring.
    pub fn is_to_be_stowed(&self) -> bool {
        self.call.cargo.is_some() && self.loan().is_none()
    }

    /// Room for what only large ones have.
    pub fn large(&mut self) -> &mut Large {
        self.large.get_or_insert_default()
    }

    /// How long an attempt may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.call.limits.as_ref()?.timeout
    }

    pub fn priority(&self) -> i32 {
        self.call
            .limits
            .as_ref()
            .map_or(0, |limits| limits.priority)
    }

    /// Whether its bytes are needed again after they have entered the ring, by its owner or for another attempt.
    pub fn keeps_payload(&self) -> bool {
        let keep = |limits: &Arc<Limits>| limits.keep || limits.retry_deaths && limits.retries > 0;
        self.call.limits.as_ref().is_some_and(keep)
    }

    /// Whether its owner may hand it in again after this end.
    pub fn may_return(&self, end: &End) -> bool {
        let may = |limits: &Arc<Limits>| limits.keep && self.attempts <= limits.retries;
        end.is_error() && self.call.limits.as_ref().is_some_and(may) && !self.job.is_given_up()
    }

    pub fn finish(self, end: End, open: bool) {
        let spare = Spare {
            call: self.call,
            attempts: self.attempts,
            open,
        };
        self.job.finish(end, spare);
    }
}

/// How a task ended.
#[derive(Debug)]
pub enum End {
    /// A worker said so.
    Outcome {
        /// The runner's word for it; [`crate::wire::RAISED`] and so on.
        kind: u16,
        /// The value or the error.
        payload: Payload,
        /// The segments that it hands over.
        loans: Vec<Loan>,
        /// From beginning to end.
        wall: u64,
        /// CPU time of the worker's thread, where it was asked for.
        cpu: u64,
    },
    /// The worker died.
    Died(Box<Death>),
    /// The pool was declared broken, for this reason.
    Broken(Arc<Breakage>),
    /// It can't be sent: longer than what the pool may share.
    TooLong {
        /// Bytes of the task.
        bytes: u64,
        /// Bytes there are.
        limit: u64,
    },
    /// There is too little memory for it: the kernel would kill, and perhaps this program.
    NoRoom {
        /// Bytes of the task.
        bytes: u64,
        /// Bytes there are, for this process and for the worker.
        room: u64,
    },
    /// Its outcome has come, and this process had no memory to keep it.
    NoMemory {
        /// Bytes of the outcome.
        bytes: u64,
    },
}

impl End {
    /// Whether it is another one than a value.
    pub fn is_error(&self) -> bool {
        !matches!(self, End::Outcome { kind, .. } if kind & RAISED == 0)
    }
}

/// What is known of a death. A field that cannot be known says so.
#[derive(Clone, Debug)]
pub struct Death {
    /// The worker's process.
    pub pid: i32,
    /// Its seat.
    pub worker: u32,
    /// How it ended.
    pub exit: Exit,
    /// Whether we did it, and why.
    pub doom: Option<Doom>,
    /// How long the task had run.
    pub ran: Option<Duration>,
    /// The worker's largest resident size in bytes.
    pub peak: Option<u64>,
    /// The stack where one could be had.
    pub stack: Option<String>,
    /// The resident bytes that a worker of this pool may have, and how often that is looked at.
    pub limit: Option<(u64, Duration)>,
    /// Whether the kernel killed for memory meanwhile.
    pub out_of_memory: bool,
    /// Whether it went with the process that had made it, which is gone.
    pub bereft: bool,
    /// Whether it is known that this worker had the task: garbage may hide who had it, or whether anybody did.
    pub known: bool,
}

/// Why a pool is broken.
#[derive(Clone, Debug)]
pub struct Breakage {
    /// In words.
    pub text: String,
    /// The runner's bytes about it: an initializer's error.
    pub cause: Option<Vec<u8>>,
    /// The death that led to it.
    pub death: Option<Death>,
}
