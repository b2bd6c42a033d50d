//! Who is who: numbers that can't be taken for one another.

use std::fmt;

/// A task of one pool, for as long as the pool lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// A worker process: its place in the pool, and which of those that have stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId {
    /// The place: index of its page, its ring and its bit.
    pub index: u32,
    /// Rises with each process that is started in any place, so that news of a dead one can't be taken for its successor's.
    pub generation: u64,
}

impl fmt::Display for TaskId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}#{}", self.index, self.generation)
    }
}
