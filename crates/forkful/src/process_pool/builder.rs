//! What a process pool is made with.
//!
//! Knows: the shared part, the registered functions. Does not know: tasks.

use super::ProcessPoolExecutor;
use super::shared::Shared;
use crate::codec::{self, Outgoing};
use crate::error::BuildError;
use crate::init;
use crate::tasks::{self, Function, Portable};
use crate::worker::{First, Start};
use forkful_core::procs::parcels::Parcel;
use forkful_core::procs::record::Call;
use forkful_core::procs::{OnCrash, Settings};
use forkful_core::shm::append;
use forkful_core::wire::MOST_WORKERS;
use std::num::NonZero;
use std::time::Duration;

/// How often the size of workers is looked at.
const SAMPLING: Duration = Duration::from_millis(100);

/// How long a worker that leaves before the pool ends may keep its seat from tasks that wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// The call of an initializer, and the descriptors that it names.
type Encoded = (First, Option<Box<Parcel>>);

/// Settings of a [`ProcessPoolExecutor`]: see [`ProcessPoolExecutor::builder`].
///
/// # Examples
/// ```standalone_crate
/// fn main() -> Result<(), forkful::BuildError> {
///     forkful::init();
///     let pool = forkful::ProcessPoolExecutor::builder()
///         .workers(2)
///         .memory_limit(512 << 20)
///         .max_tasks_per_worker(1000)
///         .build()?;
///     assert!(forkful::ProcessPoolExecutor::builder().workers(0).build().is_err());
///     Ok(())
/// }
/// ```
#[derive(Debug, Default)]
#[must_use = "it makes nothing before build() is called"]
pub struct ProcessPoolBuilder {
    workers: Option<usize>,
    memory_limit: Option<u64>,
    max_tasks: Option<u64>,
    max_pending: Option<usize>,
    arena_limit: Option<u64>,
    break_on_crash: bool,
    initializer: Option<Result<Encoded, String>>,
}

impl ProcessPoolBuilder {
    /// How many worker processes there are at most; they start when there is work for them. The default is the number of processors
    /// that this process may use.
    ///
    /// # Examples
    /// ```
    /// let builder = forkful::ProcessPoolExecutor::builder().workers(4);
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Bytes of resident memory, without what is shared, that a worker may have. One that has more is killed and replaced, and its task ends
    /// with [`TaskError::MemoryLimit`](crate::TaskError::MemoryLimit). Looked at ten times a second. The default is none.
    ///
    /// # Examples
    /// ```
    /// let builder = forkful::ProcessPoolExecutor::builder().memory_limit(2 << 30);
    /// ```
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// How many tasks a worker runs before it leaves and another one takes its place. The default is no limit.
    ///
    /// # Examples
    /// ```
    /// let builder = forkful::ProcessPoolExecutor::builder().max_tasks_per_worker(1000);
    /// ```
    pub fn max_tasks_per_worker(mut self, tasks: u64) -> Self {
        self.max_tasks = Some(tasks);
        self
    }

    /// How many tasks may wait for a worker: `submit` blocks while there are so many. Each of several threads
    /// that submit at once may exceed it by one. The default is no limit.
    ///
    /// # Examples
    /// ```
    /// let builder = forkful::ProcessPoolExecutor::builder().max_pending(10_000);
    /// ```
    pub fn max_pending(mut self, tasks: usize) -> Self {
        self.max_pending = Some(tasks);
        self
    }

    /// Bytes of shared memory that large buffers may take at a time. The default is half of what is free, or half of the memory that this
    /// program may have.
    ///
    /// # Examples
    /// ```
    /// let builder = forkful::ProcessPoolExecutor::builder().arena_limit(1 << 30);
    /// ```
    pub fn arena_limit(mut self, bytes: u64) -> Self {
        self.arena_limit = Some(bytes);
        self
    }

    /// Whether the death of a worker breaks the executor, as with Python's `ProcessPoolExecutor`: all its tasks fail with
    /// [`TaskError::Broken`](crate::TaskError::Broken). The default is no: the task fails, and the worker is replaced.
    ///
    /// # Examples
    /// ```
    /// let builder = forkful::ProcessPoolExecutor::builder().break_on_crash(true);
    /// ```
    pub fn break_on_crash(mut self, breaks: bool) -> Self {
        self.break_on_crash = breaks;
        self
    }

    /// A registered function that each worker calls before its first task. If it panics, the executor is broken.
    ///
    /// A shutdown waits for an initializer that hangs, as for a task; [`kill_workers`](super::ProcessPoolExecutor::kill_workers) ends it.
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::ProcessPoolExecutor;
    /// use std::sync::OnceLock;
    ///
    /// static LANGUAGE: OnceLock<String> = OnceLock::new();
    ///
    /// #[forkful::task]
    /// fn load(language: String) {
    ///     LANGUAGE.set(language).unwrap();
    /// }
    ///
    /// #[forkful::task]
    /// fn language() -> String {
    ///     LANGUAGE.get().unwrap().clone()
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::builder().workers(1).initializer(load, ("de".to_owned(),)).build()?;
    ///     assert_eq!(pool.submit(language, ()).result()?, "de");
    ///     Ok(())
    /// }
    /// ```
    pub fn initializer<F, A>(mut self, function: F, args: A) -> Self
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
    {
        let _ = function;
        let encoded = || {
            let name = std::any::type_name::<F>();
            let entry = tasks::entry::<F>().ok_or_else(|| {
                format!("initializer: the function {name} is not registered as a task: put #[forkful::task] before it")
            })?;
            let said = |error: codec::Error| format!("initializer: {error}");
            let mut call = Call::default();
            let outgoing = Outgoing::of(&args).map_err(said)?;
            outgoing.into_call(&mut call).map_err(said)?;
            let mut bytes = call.payload.into_vec();
            if let Some(cargo) = &call.cargo {
                append(&**cargo, &mut bytes).map_err(|_| {
                    "initializer: there is no memory to keep its arguments".to_owned()
                })?;
            }
            let first = First {
                function: entry.sign.clone(),
                flags: call.flags,
                args: bytes,
            };
            Ok((first, call.parcel))
        };
        self.initializer = Some(encoded());
        self
    }

    /// Makes the executor, and starts the process that its workers are forked from.
    ///
    /// # Errors
    /// [`BuildError::Setting`] names a setting that makes no sense; [`BuildError::NotInitialised`] where [`init`](fn@crate::init) was
    /// not called; [`BuildError::System`] where the system refuses memory, descriptors or processes.
    ///
    /// # Examples
    /// ```
    /// // Nobody has called forkful::init() in this program.
    /// let built = forkful::ProcessPoolExecutor::builder().build();
    /// assert!(matches!(built, Err(forkful::BuildError::NotInitialised)));
    /// ```
    pub fn build(self) -> Result<ProcessPoolExecutor, BuildError> {
        if !init::is_ready() {
            return Err(BuildError::NotInitialised);
        }
        let workers = match self.workers {
            Some(workers) => workers,
            None => std::thread::available_parallelism().map_or(1, NonZero::get),
        };
        let most = MOST_WORKERS as usize;
        if workers == 0 || workers > most {
            return Err(setting(format!(
                "workers must be from 1 to {most}, not {workers}"
            )));
        }
        let zero = [
            ("memory_limit", self.memory_limit),
            ("max_tasks_per_worker", self.max_tasks),
            ("max_pending", self.max_pending.map(|tasks| tasks as u64)),
        ];
        for (name, value) in zero {
            if value == Some(0) {
                return Err(setting(format!(
                    "{name} must be at least 1, not 0: leave it out for no limit"
                )));
            }
        }
        let initializer = self.initializer.transpose().map_err(setting)?;
        let (initializer, parcel) = initializer.unzip();
        let start = Start {
            initializer,
            max_tasks: self.max_tasks,
        };
        let start = Outgoing::of(&start).map_err(|error| setting(error.to_string()))?;
        let start = (start.bytes().to_vec(), parcel.flatten());
        let settings = Settings {
            workers: workers as u32,
            on_crash: if self.break_on_crash {
                OnCrash::Break
            } else {
                OnCrash::Replace
            },
            memory_limit: self.memory_limit,
            sampling: SAMPLING,
            patience: self.max_tasks.map(|_| PATIENCE),
            arena: self.arena_limit,
        };
        let shared = Shared::new(settings, self.max_pending.unwrap_or(0), start);
        let shared = shared.map_err(|source| BuildError::System {
            what: "a process pool can't be made",
            source,
        })?;
        Ok(ProcessPoolExecutor::of(shared, workers))
    }
}

fn setting(text: String) -> BuildError {
    BuildError::Setting(text)
}
