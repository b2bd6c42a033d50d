//! A process pool whose tasks have options.
//!
//! Knows: the pool. Does not know: the engine.

use super::{ProcessMap, ProcessOptions, ProcessPoolExecutor, refused, submit};
use crate::error::SubmitError;
use crate::future::Future;
use crate::remote::Terms;
use crate::tasks::{Function, Portable};
use std::fmt;
use std::sync::Arc;

/// An executor with options for what is submitted through it: see [`ProcessPoolExecutor::with_options`].
///
/// # Examples
/// ```standalone_crate
/// use forkful::{ProcessOptions, ProcessPoolExecutor};
///
/// #[forkful::task]
/// fn add(a: i32, b: i32) -> i32 {
///     a + b
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::init();
///     let pool = ProcessPoolExecutor::new(1)?;
///     let urgent = pool.with_options(ProcessOptions::new().priority(-1));
///     let sums = (pool.submit(add, (1, 2)), urgent.submit(add, (3, 4)));
///     assert_eq!((sums.0.result()?, sums.1.result()?), (3, 7));
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct ProcessPoolView<'pool> {
    pool: &'pool ProcessPoolExecutor,
    terms: Arc<Terms>,
}

impl<'pool> ProcessPoolView<'pool> {
    pub(super) fn of(
        pool: &'pool ProcessPoolExecutor,
        options: &ProcessOptions,
    ) -> ProcessPoolView<'pool> {
        let named = options.named();
        let terms = Terms {
            name: named.map(ToOwned::to_owned),
            meter: named.map(|name| pool.shared.meter(name)),
            limits: Arc::new(options.limits()),
        };
        ProcessPoolView {
            pool,
            terms: Arc::new(terms),
        }
    }

    /// See [`ProcessPoolExecutor::submit`].
    pub fn submit<F, A>(&self, function: F, args: A) -> Future<F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
    {
        refused(self.try_submit(function, args))
    }

    /// See [`ProcessPoolExecutor::try_submit`].
    ///
    /// # Errors
    /// As there.
    pub fn try_submit<F, A>(
        &self,
        function: F,
        args: A,
    ) -> Result<Future<F::Output>, SubmitError<A>>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
    {
        submit(&self.pool.shared, Some(&self.terms), function, args)
    }

    /// See [`ProcessPoolExecutor::map`].
    pub fn map<F, I>(
        &self,
        function: F,
        inputs: I,
    ) -> ProcessMap<'pool, F, I::IntoIter, <F as Function<I::Item>>::Output>
    where
        I: IntoIterator,
        F: Function<I::Item>,
        I::Item: Portable,
        <F as Function<I::Item>>::Output: Portable,
    {
        let terms = Some(self.terms.clone());
        ProcessMap::new(self.pool, terms, function, inputs.into_iter())
    }
}

impl fmt::Debug for ProcessPoolView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessPoolView")
            .field("pool", self.pool)
            .field("name", &self.terms.name)
            .field("limits", &self.terms.limits)
            .finish()
    }
}
