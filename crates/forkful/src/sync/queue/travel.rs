//! How a queue's handle comes to another process.

use super::super::place::{FileIdentity, Ticket, ticket_of};
use super::super::recent;
use super::Queue;
use crate::codec::context::File;
use forkful_core::sync::queue as engine;
use forkful_core::sys::file_identity;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// The queues of this process by their file, so that a handle that comes again maps nothing again.
type Opened = HashMap<FileIdentity, Weak<engine::Queue>>;

fn opened() -> MutexGuard<'static, Opened> {
    static OPENED: OnceLock<Mutex<Opened>> = OnceLock::new();
    let opened = OPENED.get_or_init(Mutex::default);
    opened.lock().unwrap_or_else(PoisonError::into_inner)
}

fn known(identity: FileIdentity) -> Option<Arc<engine::Queue>> {
    opened().get(&identity)?.upgrade()
}

fn note(identity: FileIdentity, queue: &Arc<engine::Queue>) {
    let mut all = opened();
    all.retain(|_, queue| queue.strong_count() > 0);
    all.insert(identity, Arc::downgrade(queue));
}

impl File for engine::Queue {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        engine::Queue::fd(self)
    }
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let file: Arc<dyn File> = self.queue.clone();
        let ticket = Ticket::put::<S>(&file)?;
        if known(ticket.identity()).is_none() {
            // It may come back from there.
            note(ticket.identity(), &self.queue);
        }
        ticket.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticket = Ticket::deserialize(ticket_of(deserializer)?)?;
        if let Some(queue) = known(ticket.identity()) {
            return Ok(Queue::of(queue));
        }
        let queue = ticket.open(|fd| {
            let queue = Arc::new(engine::Queue::open(fd, None)?);
            // Not as its sender has named it.
            note(file_identity(fd)?, &queue);
            Ok(queue)
        })?;
        recent::keep_queue(&queue);
        Ok(Queue::of(queue))
    }
}
