//! The jobs that wait: first come first served, except what was given a priority.

use crate::sys::Lock;
use crossbeam_queue::SegQueue;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A job outside the main queue: smaller priority first, then smaller turn.
#[derive(Debug)]
struct Ranked<J> {
    priority: i32,
    turn: u64,
    job: J,
}

impl<J> PartialEq for Ranked<J> {
    fn eq(&self, other: &Self) -> bool {
        self.turn == other.turn
    }
}
impl<J> Eq for Ranked<J> {}
impl<J> PartialOrd for Ranked<J> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<J> Ord for Ranked<J> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.priority, self.turn).cmp(&(other.priority, other.turn))
    }
}

type Heap<J> = BinaryHeap<Reverse<Ranked<J>>>;

/// Jobs before and behind the main queue; its length is readable without the lock.
#[derive(Debug)]
struct Side<J> {
    heap: Lock<Heap<J>>,
    length: AtomicU32,
}

impl<J> Default for Side<J> {
    fn default() -> Self {
        Side {
            heap: Lock::new(BinaryHeap::new()),
            length: AtomicU32::new(0),
        }
    }
}

impl<J> Side<J> {
    fn push(&self, ranked: Ranked<J>) {
        let mut heap = self.heap.lock();
        heap.push(Reverse(ranked));
        self.length.store(heap.len() as u32, Ordering::SeqCst);
    }

    #[inline]
    fn pop(&self) -> Option<J> {
        if self.is_empty() {
            return None;
        }
        let mut heap = self.heap.lock();
        let popped = heap.pop();
        self.length.store(heap.len() as u32, Ordering::SeqCst);
        drop(heap);
        popped.map(|Reverse(ranked)| ranked.job)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.length() == 0
    }

    #[inline]
    fn length(&self) -> usize {
        self.length.load(Ordering::SeqCst) as usize
    }

    fn purge(&self, stale: impl Fn(&J) -> bool) -> Vec<J> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut heap = self.heap.lock();
        let all = std::mem::take(&mut *heap).into_iter();
        let (gone, kept): (Vec<_>, Heap<J>) = all.fold(
            (Vec::new(), Heap::new()),
            |(mut gone, mut kept), Reverse(ranked)| {
                if stale(&ranked.job) {
                    gone.push(ranked.job);
                } else {
                    kept.push(Reverse(ranked));
                }
                (gone, kept)
            },
        );
        *heap = kept;
        self.length.store(heap.len() as u32, Ordering::SeqCst);
        gone
    }
}

/// A queue for any number of threads on both ends.
///
/// Priority 0, which is nearly everything, takes a lock-free queue; the heaps at its sides cost one load while they are empty.
#[derive(Debug)]
pub struct Queue<J> {
    ahead: Side<J>,
    main: SegQueue<J>,
    behind: Side<J>,
    turn: AtomicU64,
    /// Odd while a purge holds entries in its hands: then an empty look proves nothing.
    purges: AtomicU32,
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        Queue {
            ahead: Side::default(),
            main: SegQueue::new(),
            behind: Side::default(),
            turn: AtomicU64::new(0),
            purges: AtomicU32::new(0),
        }
    }
}

impl<J> Queue<J> {
    /// Appends a job behind those of the same priority.
    #[inline]
    pub fn push(&self, job: J, priority: i32) {
        if priority == 0 {
            return self.main.push(job);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let side = if priority < 0 {
            &self.ahead
        } else {
            &self.behind
        };
        side.push(Ranked {
            priority,
            turn,
            job,
        });
    }

    /// Puts a job before all others of priority 0, as part of one that was there before them.
    pub fn push_ahead(&self, job: J) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.ahead.push(Ranked {
            priority: 0,
            turn,
            job,
        });
    }

    /// Takes the next job.
    #[inline]
    pub fn pop(&self) -> Option<J> {
        self.ahead
            .pop()
            .or_else(|| self.main.pop())
            .or_else(|| self.behind.pop())
    }

    /// Whether nothing waits just now. False while a purge is under way, whatever it will leave.
    #[inline]
    pub fn is_empty(&self) -> bool {
        // SYNC(queue.purge): acquire
        let before = self.purges.load(Ordering::SeqCst);
        let empty = self.main.is_empty() && self.ahead.is_empty() && self.behind.is_empty();
        empty && before.is_multiple_of(2) && before == self.purges.load(Ordering::SeqCst)
    }

    /// How many entries there are, those of jobs that somebody else took included.
    pub fn length(&self) -> usize {
        self.main.len() + self.ahead.length() + self.behind.length()
    }

    /// Takes the entries out of which `stale` says that nobody needs them, and returns them to be dropped.
    ///
    /// The others keep their order, and their place before everything that comes later: they move to the front side.
    pub fn purge(&self, stale: impl Fn(&J) -> bool) -> Vec<J> {
        // SYNC(queue.purge): release
        let begun = self
            .purges
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |purges| {
                purges.is_multiple_of(2).then(|| purges.wrapping_add(1))
            });
        if begun.is_err() {
            // Somebody else is at it.
            return Vec::new();
        }
        let (mut gone, mut kept) = (self.ahead.purge(&stale), Vec::new());
        gone.extend(self.behind.purge(&stale));
        for _ in 0..self.main.len() {
            match self.main.pop() {
                Some(job) if stale(&job) => gone.push(job),
                Some(job) => kept.push(job),
                None => break,
            }
        }
        for job in kept {
            self.push_ahead(job);
        }
        self.purges.fetch_add(1, Ordering::SeqCst);
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a model that sorts: smaller priority first, then the order of the pushes; a purge changes nothing of that.
        #[test]
        fn it_serves_by_priority_then_turn(pushes in prop::collection::vec((-2i32..3, any::<bool>()), 0..60), purge_at in 0usize..60) {
            let queue = Queue::default();
            let mut model: Vec<(i32, usize)> = Vec::new();
            for (index, (priority, _)) in pushes.iter().enumerate() {
                if index == purge_at {
                    let gone = queue.purge(|&job: &usize| pushes[job].1);
                    model.retain(|&(_, job)| !pushes[job].1);
                    prop_assert!(gone.iter().all(|&job| pushes[job].1));
                }
                queue.push(index, *priority);
                model.push((*priority, index));
            }
            model.sort_unstable();
            let served: Vec<usize> = std::iter::from_fn(|| queue.pop()).collect();
            prop_assert_eq!(served, model.into_iter().map(|(_, job)| job).collect::<Vec<_>>());
            prop_assert!(queue.is_empty());
        }
    }

    #[test]
    fn nothing_is_lost_under_contention() {
        let (queue, total) = (Queue::default(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (1..=5000u64).for_each(|n| queue.push(n, (n % 3) as i32 - 1)));
                scope.spawn(|| {
                    let mut taken = 0;
                    while taken < 5000 {
                        if let Some(n) = queue.pop() {
                            total.fetch_add(n, Ordering::Relaxed);
                            taken += 1;
                        }
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 2 * 5000 * 5001 / 2);
    }
}
