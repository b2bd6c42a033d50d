//! What a pool counts, against a model that does the same with plain numbers, in one thread.

use forkful_core::error::Refusal;
use forkful_core::threads::{Berth, Pool, Terms};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const LIMIT: u32 = 2;
const MAX_PENDING: u32 = 6;

/// A job that somebody can take away while it is queued, as a future is cancelled.
#[derive(Clone, Debug, Default)]
struct Job {
    name: usize,
    taken: Arc<AtomicBool>,
}

impl Job {
    fn take(&self) -> bool {
        !self.taken.swap(true, Relaxed)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Submits without asking for room, with this priority.
    Submit(i32),
    /// Asks for room, submits if there is some.
    SubmitCounted(i32),
    /// Asks for room and returns it.
    ChangeMind,
    /// Pops an entry, and begins its job if nobody took it.
    Pop,
    /// Cancels the queued job of this turn, counted modulo how many there are.
    Cancel(usize),
    /// Begins it from outside, as a nested wait does.
    Steal(usize),
    Purge,
    Close,
    Break,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (-1i32..2).prop_map(Step::Submit),
        3 => (-1i32..2).prop_map(Step::SubmitCounted),
        1 => Just(Step::ChangeMind),
        5 => Just(Step::Pop),
        3 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::Steal),
        1 => Just(Step::Purge),
        1 => prop_oneof![6 => Just(Step::Purge), 1 => Just(Step::Close), 1 => Just(Step::Break)],
    ]
}

/// The same in plain numbers; the queue in the order in which it is served.
#[derive(Default)]
struct Model {
    queue: VecDeque<(i32, Job)>,
    submitted: u64,
    cancelled: u64,
    pending: u32,
    refusal: Option<Refusal>,
}

impl Model {
    fn push(&mut self, priority: i32, job: Job) {
        let behind = self.queue.iter().position(|(other, _)| *other > priority);
        self.queue
            .insert(behind.unwrap_or(self.queue.len()), (priority, job));
        self.submitted += 1;
    }

    /// The queued job of this turn that nobody took.
    fn pick(&self, turn: usize) -> Option<Job> {
        let free: Vec<&Job> = self
            .queue
            .iter()
            .map(|(_, job)| job)
            .filter(|job| !job.taken.load(Relaxed))
            .collect();
        (!free.is_empty()).then(|| free[turn % free.len()].clone())
    }

    fn purge(&mut self) -> usize {
        let before = self.queue.len();
        self.queue.retain(|(_, job)| !job.taken.load(Relaxed));
        before - self.queue.len()
    }

    fn shut(&mut self, refusal: Refusal) {
        if self.refusal != Some(Refusal::Broken) {
            self.refusal = Some(refusal);
        }
    }
}

fn purge(pool: &Pool<Job>) -> usize {
    pool.purge(|job| job.taken.load(Relaxed)).len()
}

/// Submits to both; the berths are kept, so that the pool believes in its workers.
fn submit(
    pool: &Arc<Pool<Job>>,
    model: &mut Model,
    berths: &mut Vec<Berth<Job>>,
    priority: i32,
    counted: bool,
) {
    let job = Job {
        name: model.submitted as usize,
        ..Job::default()
    };
    match pool.submit(job.clone(), Terms { priority, counted }) {
        Ok(berth) => {
            assert_eq!(model.refusal, None);
            model.push(priority, job);
            model.pending += u32::from(!counted);
            let due = model.pending > 0 && berths.len() < LIMIT as usize;
            assert_eq!(
                berth.is_some(),
                due,
                "a worker for each job until there are enough"
            );
            berths.extend(berth);
        }
        Err(refused) => {
            assert_eq!(
                (model.refusal, refused.job.name),
                (Some(refused.refusal), job.name)
            );
            model.pending -= u32::from(counted);
        }
    }
}

/// One step in both.
fn go(pool: &Arc<Pool<Job>>, model: &mut Model, berths: &mut Vec<Berth<Job>>, step: &Step) {
    match *step {
        Step::Submit(priority) => submit(pool, model, berths, priority, false),
        Step::SubmitCounted(priority) => {
            let room = model.pending < MAX_PENDING;
            assert_eq!(pool.claim_room(), room);
            if room {
                model.pending += 1;
                submit(pool, model, berths, priority, true);
            }
        }
        Step::ChangeMind => {
            if pool.claim_room() {
                pool.return_room();
            }
        }
        Step::Pop => {
            let (popped, expected) = (pool.drain(), model.queue.pop_front());
            assert_eq!(
                popped.as_ref().map(|job| job.name),
                expected.map(|(_, job)| job.name)
            );
            match popped {
                Some(job) if job.take() => {
                    pool.began();
                    model.pending -= 1;
                }
                Some(_) => pool.popped_stale(),
                None => {}
            }
        }
        Step::Cancel(turn) | Step::Steal(turn) => {
            if let Some(job) = model.pick(turn) {
                let cancelled = matches!(step, Step::Cancel(_));
                assert!(job.take());
                model.pending -= 1;
                model.cancelled += u64::from(cancelled);
                if pool.took_queued(cancelled) {
                    assert_eq!(purge(pool), model.purge());
                }
            }
        }
        Step::Purge => assert_eq!(purge(pool), model.purge()),
        Step::Close => {
            pool.close();
            model.shut(Refusal::Closed);
        }
        Step::Break => {
            pool.break_down();
            model.shut(Refusal::Broken);
        }
    }
}

proptest! {
    #[test]
    fn it_counts_like_a_model(steps in prop::collection::vec(step(), 0..80)) {
        let pool = Arc::new(Pool::new(LIMIT, MAX_PENDING));
        let (mut model, mut berths) = (Model::default(), Vec::new());
        for step in &steps {
            go(&pool, &mut model, &mut berths, step);
            let counted = pool.snapshot();
            prop_assert_eq!(
                (counted.submitted, counted.cancelled, counted.pending, pool.refusal()),
                (model.submitted, model.cancelled, u64::from(model.pending), model.refusal)
            );
            let taken = model.queue.iter().filter(|(_, job)| job.taken.load(Relaxed)).count();
            prop_assert_eq!(model.queue.len() - taken, model.pending as usize);
        }
        let left: Vec<usize> = std::iter::from_fn(|| pool.drain()).map(|job| job.name).collect();
        prop_assert_eq!(left, model.queue.iter().map(|(_, job)| job.name).collect::<Vec<_>>());
    }

    /// However many are cancelled and never popped, the queue holds at most twice what is pending and a little more.
    #[test]
    fn cancelled_jobs_do_not_pile_up(kept in 0usize..20, cancelled in 0usize..200) {
        let pool = Arc::new(Pool::new(LIMIT, 0));
        let (mut model, mut berths) = (Model::default(), Vec::new());
        for _ in 0..kept {
            submit(&pool, &mut model, &mut berths, 0, false);
        }
        for _ in 0..cancelled {
            submit(&pool, &mut model, &mut berths, 0, false);
            go(&pool, &mut model, &mut berths, &Step::Cancel(usize::MAX));
            prop_assert!(model.queue.len() <= 2 * model.pending as usize + 2);
        }
    }
}
