//! The two kinds of executor, and what is written differently for them.

use forkful::{
    Executor, Function, Future, Portable, ProcessOptions, ProcessPoolExecutor, TaskError,
    ThreadOptions, ThreadPoolExecutor,
};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// How an executor of a kind is made and used, as far as the trait `Executor` does not say it.
pub trait Kind: 'static {
    const NAME: &str;
    type Pool: Executor + Send + Sync + 'static;

    fn make(workers: usize) -> Self::Pool;

    /// One that takes no more than this many tasks at a time.
    fn bounded(workers: usize, max_pending: usize) -> Self::Pool;

    /// One whose workers begin with `initialize`, with this argument.
    fn initialized<F, A>(workers: usize, initialize: F, args: A) -> Self::Pool
    where
        F: Function<(A,), Output = ()>,
        A: Portable + Clone + Sync;

    /// Submits with a priority and a name.
    fn call_as<F, A>(
        pool: &Self::Pool,
        priority: i32,
        name: &str,
        function: F,
        args: A,
    ) -> Future<F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable;

    /// A map, in the order of the input or as results come, with a look-ahead where there is one.
    fn map<'p, F, A, I>(
        pool: &'p Self::Pool,
        function: F,
        inputs: I,
        how: How,
    ) -> Results<'p, F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
        I: Iterator<Item = A> + Send + 'p;
}

/// What users may take for granted of every executor and future; it need only compile.
const _: fn() = || {
    use std::fmt::Debug;
    use std::panic::{RefUnwindSafe, UnwindSafe};
    fn shared<T: Debug + Send + Sync + UnwindSafe + RefUnwindSafe + 'static>() {}
    fn moved<T: Debug + Send>() {}
    shared::<ThreadPoolExecutor>();
    shared::<ProcessPoolExecutor>();
    shared::<Future<Box<dyn Send>>>();
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    error::<TaskError>();
    error::<forkful::BuildError>();
    error::<forkful::SubmitError<Box<dyn Sync + Send>>>();
    moved::<forkful::ThreadPoolView<'static>>();
    moved::<forkful::ProcessPoolView<'static>>();
    moved::<forkful::Map<'static, std::vec::IntoIter<u8>, u8>>();
    moved::<forkful::AsCompleted<u8>>();
    moved::<forkful::AsCompletedFor<u8>>();
    moved::<forkful::ScopedFuture<'static, u8>>();
    fn unpin<T: Unpin>() {}
    unpin::<Future<std::marker::PhantomPinned>>();
};

pub type Results<'p, R> = Box<dyn Iterator<Item = Result<R, TaskError>> + 'p>;

#[derive(Clone, Copy, Default)]
pub struct How {
    pub unordered: bool,
    pub look_ahead: Option<usize>,
}

pub struct Threads;

impl Kind for Threads {
    const NAME: &str = "threads";
    type Pool = ThreadPoolExecutor;

    fn make(workers: usize) -> ThreadPoolExecutor {
        ThreadPoolExecutor::new(workers)
    }

    fn bounded(workers: usize, max_pending: usize) -> ThreadPoolExecutor {
        let builder = ThreadPoolExecutor::builder().workers(workers);
        builder.max_pending(max_pending).build().unwrap()
    }

    fn initialized<F, A>(workers: usize, initialize: F, args: A) -> ThreadPoolExecutor
    where
        F: Function<(A,), Output = ()>,
        A: Portable + Clone + Sync,
    {
        let builder = ThreadPoolExecutor::builder().workers(workers);
        builder
            .initializer(move || initialize.call((args.clone(),)))
            .build()
            .unwrap()
    }

    fn call_as<F, A>(
        pool: &ThreadPoolExecutor,
        priority: i32,
        name: &str,
        function: F,
        args: A,
    ) -> Future<F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
    {
        let options = ThreadOptions::new().priority(priority).name(name);
        pool.with_options(options)
            .submit(move || function.call(args))
    }

    fn map<'p, F, A, I>(
        pool: &'p ThreadPoolExecutor,
        function: F,
        inputs: I,
        how: How,
    ) -> Results<'p, F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
        I: Iterator<Item = A> + Send + 'p,
    {
        let mut map = pool.map(move |args| function.call(args), inputs);
        if let Some(items) = how.look_ahead {
            map = map.look_ahead(items);
        }
        match how.unordered {
            true => Box::new(map.unordered()),
            false => Box::new(map),
        }
    }
}

pub struct Processes;

impl Kind for Processes {
    const NAME: &str = "processes";
    type Pool = ProcessPoolExecutor;

    fn make(workers: usize) -> ProcessPoolExecutor {
        ProcessPoolExecutor::new(workers).unwrap()
    }

    fn bounded(workers: usize, max_pending: usize) -> ProcessPoolExecutor {
        let builder = ProcessPoolExecutor::builder().workers(workers);
        builder.max_pending(max_pending).build().unwrap()
    }

    fn initialized<F, A>(workers: usize, initialize: F, args: A) -> ProcessPoolExecutor
    where
        F: Function<(A,), Output = ()>,
        A: Portable + Clone + Sync,
    {
        let builder = ProcessPoolExecutor::builder().workers(workers);
        builder.initializer(initialize, (args,)).build().unwrap()
    }

    fn call_as<F, A>(
        pool: &ProcessPoolExecutor,
        priority: i32,
        name: &str,
        function: F,
        args: A,
    ) -> Future<F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
    {
        let options = ProcessOptions::new().priority(priority).name(name);
        pool.with_options(options).submit(function, args)
    }

    fn map<'p, F, A, I>(
        pool: &'p ProcessPoolExecutor,
        function: F,
        inputs: I,
        how: How,
    ) -> Results<'p, F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
        I: Iterator<Item = A> + Send + 'p,
    {
        let mut map = pool.map(function, inputs);
        if let Some(items) = how.look_ahead {
            map = map.look_ahead(items);
        }
        match how.unordered {
            true => Box::new(map.unordered()),
            false => Box::new(map),
        }
    }
}

/// A program may go on with them after a panic that it has caught, and share them among threads.
const fn is_shared_and_survives_panics<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}

const _: () = {
    is_shared_and_survives_panics::<ThreadPoolExecutor>();
    is_shared_and_survives_panics::<ProcessPoolExecutor>();
    is_shared_and_survives_panics::<Future<std::cell::Cell<u8>>>();
};
