//! What all executors can do: for programs that leave it to their user whether work is for threads or for processes.
//!
//! Knows: both executors. Does not know: how they do it.

use crate::error::TaskError;
use crate::future::Future;
use crate::process_pool::ProcessPoolExecutor;
use crate::shutdown::Shutdown;
use crate::stats::Stats;
use crate::tasks::{Function, Portable};
use crate::thread_pool::ThreadPoolExecutor;
use std::sync::Arc;

/// An executor, of threads or of processes.
///
/// What it runs is a function that could be run by both: registered ([`#[forkful::task]`](macro@crate::task)), with arguments and a result
/// that can travel. Threads need neither, but a program that is to run on both does. The trait is sealed.
///
/// # Examples
/// ```standalone_crate
/// use forkful::{Executor, ProcessPoolExecutor, TaskError, ThreadPoolExecutor};
///
/// #[forkful::task]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// fn sum_of_squares(executor: &impl Executor) -> Result<u64, TaskError> {
///     executor.call_each(square, (1..=3).map(|n| (n,))).sum()
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::init();
///     assert_eq!(sum_of_squares(&ThreadPoolExecutor::new(2))?, 14);
///     assert_eq!(sum_of_squares(&ProcessPoolExecutor::new(2)?)?, 14);
///     Ok(())
/// }
/// ```
pub trait Executor: sealed::Sealed {
    /// Has the function called with these arguments, a tuple.
    ///
    /// Work that is refused becomes a future that is done, with [`TaskError::Refused`].
    fn call<F, A>(&self, function: F, args: A) -> Future<F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable;

    /// The function's results over argument tuples, in their order: lazy, and some of them ahead. Dropping it cancels what has not begun.
    fn call_each<F, I>(
        &self,
        function: F,
        inputs: I,
    ) -> impl Iterator<Item = Result<<F as Function<I::Item>>::Output, TaskError>>
    where
        I: IntoIterator,
        F: Function<I::Item>,
        I::Item: Portable,
        <F as Function<I::Item>>::Output: Portable;

    /// How many workers it has at most.
    fn max_workers(&self) -> usize;

    /// Takes no more tasks; see [`Shutdown`].
    fn shutdown(&self, how: Shutdown);

    /// What it did until now.
    fn stats(&self) -> Stats;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ThreadPoolExecutor {}
    impl Sealed for super::ProcessPoolExecutor {}
    impl<E: Sealed> Sealed for &E {}
    impl<E: Sealed> Sealed for std::sync::Arc<E> {}
}

impl Executor for ThreadPoolExecutor {
    fn call<F, A>(&self, function: F, args: A) -> Future<F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
    {
        self.submit(move || function.call(args))
    }

    fn call_each<F, I>(
        &self,
        function: F,
        inputs: I,
    ) -> impl Iterator<Item = Result<<F as Function<I::Item>>::Output, TaskError>>
    where
        I: IntoIterator,
        F: Function<I::Item>,
        I::Item: Portable,
        <F as Function<I::Item>>::Output: Portable,
    {
        self.map(move |args| function.call(args), inputs)
    }

    fn max_workers(&self) -> usize {
        ThreadPoolExecutor::max_workers(self)
    }

    fn shutdown(&self, how: Shutdown) {
        ThreadPoolExecutor::shutdown(self, how);
    }

    fn stats(&self) -> Stats {
        ThreadPoolExecutor::stats(self)
    }
}

impl Executor for ProcessPoolExecutor {
    fn call<F, A>(&self, function: F, args: A) -> Future<F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
    {
        self.submit(function, args)
    }

    fn call_each<F, I>(
        &self,
        function: F,
        inputs: I,
    ) -> impl Iterator<Item = Result<<F as Function<I::Item>>::Output, TaskError>>
    where
        I: IntoIterator,
        F: Function<I::Item>,
        I::Item: Portable,
        <F as Function<I::Item>>::Output: Portable,
    {
        self.map(function, inputs)
    }

    fn max_workers(&self) -> usize {
        ProcessPoolExecutor::max_workers(self)
    }

    fn shutdown(&self, how: Shutdown) {
        ProcessPoolExecutor::shutdown(self, how);
    }

    fn stats(&self) -> Stats {
        ProcessPoolExecutor::stats(self)
    }
}

macro_rules! by_reference {
    ($($reference:ty),*) => {$(
        impl<E: Executor> Executor for $reference {
            fn call<F, A>(&self, function: F, args: A) -> Future<F::Output>
            where
                F: Function<A>,
                A: Portable,
                F::Output: Portable,
            {
                (**self).call(function, args)
            }

            fn call_each<F, I>(
                &self,
                function: F,
                inputs: I,
            ) -> impl Iterator<Item = Result<<F as Function<I::Item>>::Output, TaskError>>
            where
                I: IntoIterator,
                F: Function<I::Item>,
                I::Item: Portable,
                <F as Function<I::Item>>::Output: Portable,
            {
                (**self).call_each(function, inputs)
            }

            fn max_workers(&self) -> usize {
                (**self).max_workers()
            }

            fn shutdown(&self, how: Shutdown) {
                (**self).shutdown(how);
            }

            fn stats(&self) -> Stats {
                (**self).stats()
            }
        }
    )*};
}

by_reference!(&E, Arc<E>);
