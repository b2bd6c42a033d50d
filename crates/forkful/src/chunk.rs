//! Many calls in one task: how they are put together, and how their results are told apart.
//!
//! Knows: tasks of processes, the codec. Does not know: maps.

use crate::codec::Outgoing;
use crate::error::TaskError;
use crate::future::Future;
use crate::home::{Callback, Ended, Home, Task};
use crate::process_pool::shared::{Shared, Taken};
use crate::remote::{RemoteTask, Terms};
use crate::tasks::{CHUNK, Each, Function, Portable};
use forkful_core::deadline::Deadline;
use forkful_core::future::{Arrivals, Hook, State};
use std::sync::Arc;

/// An iterator's items, so many at a time.
pub(crate) struct Chunks<I> {
    input: I,
    size: usize,
}

impl<I: Iterator> Chunks<I> {
    pub(crate) fn of(input: I, size: usize) -> Chunks<I> {
        Chunks { input, size }
    }
}

impl<I: Iterator> Iterator for Chunks<I> {
    type Item = Vec<I::Item>;

    fn next(&mut self) -> Option<Vec<I::Item>> {
        let chunk: Vec<_> = self.input.by_ref().take(self.size).collect();
        (!chunk.is_empty()).then_some(chunk)
    }
}

/// The results of a chunk's calls.
pub(crate) type Results<R> = Vec<Result<R, TaskError>>;

/// Submits the calls as one task. Its future has no error of its own: where the task has one, each call has it.
pub(crate) fn submit<F, A>(
    shared: &Arc<Shared>,
    terms: Option<&Arc<Terms>>,
    mut calls: Vec<A>,
) -> Future<Results<F::Output>>
where
    F: Function<A>,
    A: Portable,
    F::Output: Portable,
{
    let count = calls.len();
    let mut unsent = Vec::new();
    let mut taken = shared.accept::<F, Vec<A>>(&calls, terms, CHUNK);
    if let Ok(Taken::Unsent(_)) = &taken {
        // One of them can't be written, and must not fail the others.
        let mut place = 0;
        calls.retain(|call| {
            let error = Outgoing::of(call).err();
            unsent.extend(error.into_iter().map(|error| (place, error.to_string())));
            place += 1;
            unsent.last().is_none_or(|(last, _)| *last + 1 != place)
        });
        taken = shared.accept::<F, Vec<A>>(&calls, terms, CHUNK);
    }
    let error = match taken {
        Ok(Taken::Task(task)) => {
            return Future::of(Arc::new(Chunk {
                task,
                count,
                unsent,
            }));
        }
        Ok(Taken::Unsent(error)) => error,
        Err(refusal) => TaskError::Refused(refusal),
    };
    Future::ready(Ok((0..count).map(|_| Err(error.repeated())).collect()))
}

/// A task of many calls.
struct Chunk {
    task: Arc<RemoteTask>,
    count: usize,
    /// Calls that are not part of it, by their places, as their arguments can't be written.
    unsent: Vec<(usize, String)>,
}

impl<R: Portable> Task<Results<R>> for Chunk {
    fn take(&self) -> Option<Result<Results<R>, TaskError>> {
        let took: Result<Vec<Each<R>>, TaskError> = self.task.take()?;
        let sent = self.count - self.unsent.len();
        let mut results: Results<R> = match took {
            Ok(each) if each.len() == sent => {
                let each = each.into_iter();
                each.map(|one| one.map_err(TaskError::from)).collect()
            }
            Ok(each) => {
                let text = format!("{} results came of {sent} calls", each.len());
                let error = TaskError::NotSent(text);
                (0..sent).map(|_| Err(error.repeated())).collect()
            }
            Err(error) => (0..sent).map(|_| Err(error.repeated())).collect(),
        };
        for (place, text) in &self.unsent {
            results.insert(*place, Err(TaskError::NotSent(text.clone())));
        }
        Some(Ok(results))
    }
}

impl Ended for Chunk {
    fn state(&self) -> &State {
        self.task.state()
    }

    fn has_begun(&self) -> bool {
        self.task.has_begun()
    }

    fn hook(&self, hook: Hook<Callback>) {
        self.task.hook(hook);
    }

    fn sweep(&self, arrivals: &Arc<Arrivals>) {
        self.task.sweep(arrivals);
    }

    fn cancel(&self) -> bool {
        self.task.cancel()
    }

    fn kill(&self) -> bool {
        self.task.kill()
    }

    fn wait(&self, deadline: Deadline) -> bool {
        self.task.wait(deadline)
    }

    fn home(&self) -> &dyn Home {
        self.task.home()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_whole_but_for_the_last() {
        let sizes: Vec<usize> = Chunks::of(0..10, 4).map(|chunk| chunk.len()).collect();
        assert_eq!(sizes, [4, 4, 2]);
        assert_eq!(Chunks::of(0..0, 4).count(), 0);
    }
}
