//! A function over many argument tuples in worker processes, many of them in one task where that is wanted.
//!
//! Knows: maps, chunks of tasks. Does not know: the engine.

use super::shared::Shared;
use super::{ProcessPoolExecutor, refused, submit};
use crate::chunk::{self, Chunks};
use crate::error::TaskError;
use crate::map::{Map, default_look_ahead};
use crate::remote::Terms;
use crate::tasks::{Function, Portable};
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

/// The results of a registered function over argument tuples: see [`ProcessPoolExecutor::map`].
///
/// It is an iterator of the results, in the order of the inputs. Inputs are taken from their iterator by the thread that takes the
/// results, only as far ahead as [`look_ahead`](ProcessMap::look_ahead) says, so that they may be endless. One call that fails makes one
/// result an error, and the others come all the same. Dropping the map cancels the tasks that have not begun.
///
/// # Examples
/// ```standalone_crate
/// use forkful::ProcessPoolExecutor;
///
/// #[forkful::task]
/// fn power(base: u64, exponent: u32) -> u64 {
///     base.pow(exponent)
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::init();
///     let pool = ProcessPoolExecutor::new(2)?;
///     let inputs = (1..=4).map(|base| (base, 2));
///     let squares: Result<Vec<u64>, _> = pool.map(power, inputs).collect();
///     assert_eq!(squares?, [1, 4, 9, 16]);
///
///     // A thousand small calls in ten tasks.
///     let sum: u64 = pool.map(power, (0..1000).map(|base| (base, 1))).chunk(100).flatten().sum();
///     assert_eq!(sum, 499_500);
///     Ok(())
/// }
/// ```
#[must_use = "a map is lazy: nothing is submitted before the first result is asked for"]
pub struct ProcessMap<'pool, F, I: Iterator, R> {
    pool: &'pool ProcessPoolExecutor,
    terms: Option<Arc<Terms>>,
    function: F,
    chunk: usize,
    look_ahead: Option<usize>,
    unordered: bool,
    stage: Stage<'pool, I, R>,
}

/// How far it has come.
enum Stage<'pool, I: Iterator, R> {
    /// Nothing has been asked for.
    New(I),
    /// One call in a task.
    Single(Map<'pool, I, R>),
    /// Many, and what is left of the last one's results.
    Many(
        Map<'pool, Chunks<I>, Vec<Result<R, TaskError>>>,
        std::vec::IntoIter<Result<R, TaskError>>,
    ),
    /// The input's iterator has panicked before anything was submitted.
    Over,
}

impl<'pool, F, I: Iterator, R> ProcessMap<'pool, F, I, R> {
    pub(super) fn new(
        pool: &'pool ProcessPoolExecutor,
        terms: Option<Arc<Terms>>,
        function: F,
        input: I,
    ) -> ProcessMap<'pool, F, I, R> {
        ProcessMap {
            pool,
            terms,
            function,
            chunk: 1,
            look_ahead: None,
            unordered: false,
            stage: Stage::New(input),
        }
    }

    /// Makes so many calls in one task: what a task costs is shared by them. The default is 1.
    ///
    /// A call that panics fails alone. If the worker dies, all calls of its task fail; a timeout is for all of them together.
    ///
    /// # Panics
    /// If it is 0, or after the first result was asked for.
    ///
    /// # Examples
    /// ```
    /// #[forkful::task]
    /// fn length(line: String) -> usize {
    ///     line.len()
    /// }
    ///
    /// fn longest(pool: &forkful::ProcessPoolExecutor, lines: Vec<String>) -> Option<usize> {
    ///     let inputs = lines.into_iter().map(|line| (line,));
    ///     pool.map(length, inputs).chunk(1000).flatten().max()
    /// }
    /// ```
    pub fn chunk(mut self, calls: usize) -> Self {
        self.is_new();
        assert!(calls > 0, "chunk must be at least 1, not 0");
        self.chunk = calls;
        self
    }

    /// Takes at most so many inputs further than the last result that was taken, rounded up to whole chunks. The default is four chunks
    /// for each worker, and 16 at least.
    ///
    /// # Panics
    /// If it is 0, or after the first result was asked for.
    ///
    /// # Examples
    /// ```
    /// #[forkful::task]
    /// fn length(line: String) -> usize {
    ///     line.len()
    /// }
    ///
    /// fn longest(pool: &forkful::ProcessPoolExecutor, lines: Vec<String>) -> Option<usize> {
    ///     let inputs = lines.into_iter().map(|line| (line,));
    ///     pool.map(length, inputs).look_ahead(100).flatten().max()
    /// }
    /// ```
    pub fn look_ahead(mut self, inputs: usize) -> Self {
        self.is_new();
        assert!(inputs > 0, "look_ahead must be at least 1, not 0");
        self.look_ahead = Some(inputs);
        self
    }

    /// Yields the results in the order in which they come; those of one chunk are together.
    ///
    /// # Panics
    /// After the first result was asked for.
    ///
    /// # Examples
    /// ```
    /// #[forkful::task]
    /// fn length(line: String) -> usize {
    ///     line.len()
    /// }
    ///
    /// fn longest(pool: &forkful::ProcessPoolExecutor, lines: Vec<String>) -> Option<usize> {
    ///     let inputs = lines.into_iter().map(|line| (line,));
    ///     pool.map(length, inputs).unordered().flatten().max()
    /// }
    /// ```
    pub fn unordered(mut self) -> Self {
        self.is_new();
        self.unordered = true;
        self
    }

    fn is_new(&self) {
        assert!(
            matches!(self.stage, Stage::New(_)),
            "a map can't be changed after its first result was asked for"
        );
    }

    fn set<J: Iterator, S>(&self, map: Map<'pool, J, S>) -> Map<'pool, J, S> {
        let ahead = match self.look_ahead {
            Some(inputs) => inputs.div_ceil(self.chunk),
            None => default_look_ahead(self.pool.workers),
        };
        let map = map.look_ahead(ahead);
        if self.unordered { map.unordered() } else { map }
    }
}

impl<'pool, F, I> ProcessMap<'pool, F, I, <F as Function<I::Item>>::Output>
where
    I: Iterator,
    F: Function<I::Item>,
    I::Item: Portable,
    <F as Function<I::Item>>::Output: Portable,
{
    fn begin(&mut self) {
        let Stage::New(input) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return;
        };
        let (pool, terms, function) = (self.pool, self.terms.clone(), self.function);
        let shared: &'pool Arc<Shared> = &pool.shared;
        self.stage = if self.chunk == 1 {
            let one = move |args| refused(submit(shared, terms.as_ref(), function, args));
            let map = Map::new(Box::new(one), input, pool.workers);
            Stage::Single(self.set(map))
        } else {
            let many = move |calls| chunk::submit::<F, I::Item>(shared, terms.as_ref(), calls);
            let input = Chunks::of(input, self.chunk);
            let map = Map::new(Box::new(many), input, pool.workers);
            Stage::Many(self.set(map), Vec::new().into_iter())
        };
    }
}

impl<F, I> Iterator for ProcessMap<'_, F, I, <F as Function<I::Item>>::Output>
where
    I: Iterator,
    F: Function<I::Item>,
    I::Item: Portable,
    <F as Function<I::Item>>::Output: Portable,
{
    type Item = Result<<F as Function<I::Item>>::Output, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.stage, Stage::New(_)) {
            self.begin();
        }
        match &mut self.stage {
            Stage::Single(map) => map.next(),
            Stage::Many(map, rest) => loop {
                if let Some(result) = rest.next() {
                    return Some(result);
                }
                match map.next()? {
                    Ok(results) => *rest = results.into_iter(),
                    Err(error) => return Some(Err(error)),
                }
            },
            Stage::New(_) | Stage::Over => None,
        }
    }
}

impl<F, I> FusedIterator for ProcessMap<'_, F, I, <F as Function<I::Item>>::Output>
where
    I: Iterator,
    F: Function<I::Item>,
    I::Item: Portable,
    <F as Function<I::Item>>::Output: Portable,
{
}

impl<F, I: Iterator, R> fmt::Debug for ProcessMap<'_, F, I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessMap")
            .field("chunk", &self.chunk)
            .field("look_ahead", &self.look_ahead)
            .field("unordered", &self.unordered)
            .finish_non_exhaustive()
    }
}
