//! Closures that borrow, lent to threads that outlive what is borrowed.
//!
//! A closure that is lent loses its lifetime, and becomes a [`Lent`] that may go anywhere. [`scope`] neither returns nor unwinds before
//! each of them was called or dropped, and with it all that it had borrowed: a [`Latch`] counts them. Whoever leaks one makes its scope
//! wait for ever, and breaks nothing.

use super::{Slept, Word, spin_until};
use crate::deadline::Deadline;
use crate::prim::Ordering;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// Counts what is out, and opens when all of it is back.
#[derive(Debug)]
pub struct Latch(Word);

impl Default for Latch {
    fn default() -> Self {
        Latch(Word::new(0))
    }
}

impl Latch {
    /// One more is out.
    pub fn add(&self) {
        // Relaxed: whoever adds is the scope's own thread, or one that is counted itself.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        assert!(before < u32::MAX / 2, "too many closures in one scope");
    }

    /// One is back. Not to be called without an [`add`](Latch::add) of its own.
    pub fn remove(&self) {
        // SYNC(scope.latch): release
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.wake(u32::MAX);
        }
    }

    /// Whether nothing is out.
    pub fn is_open(&self) -> bool {
        // SYNC(scope.latch): acquire
        self.0.load(Ordering::SeqCst) == 0
    }

    /// Blocks until nothing is out.
    pub fn wait(&self) {
        if spin_until(|| self.is_open()) {
            return;
        }
        loop {
            // SYNC(scope.latch): acquire
            let out = self.0.load(Ordering::SeqCst);
            if out == 0 {
                return;
            }
            let _: Slept = self.0.sleep(out, Deadline::NEVER);
        }
    }
}

/// Counts one closure, as long as it lives.
#[derive(Debug)]
struct Counted(Arc<Latch>);

impl Counted {
    fn new(latch: &Arc<Latch>) -> Counted {
        latch.add();
        Counted(latch.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// A closure that was lent.
pub struct Lent {
    // First: fields are dropped in this order, and the count must be the last to go, however the closure's drop ends.
    closure: Box<dyn FnOnce() + Send>,
    counted: Counted,
}

impl Lent {
    /// Calls it; a panic goes through.
    pub fn call(self) {
        let Lent { closure, counted } = self;
        closure();
        // Here, or when a panic comes by: in either case the closure, which the call has consumed, is gone already.
        drop(counted);
    }
}

/// What lends closures during one scope.
///
/// `'scope` is the scope itself, which everything that is lent must outlive, and `'env` what lies around it. Both are invariant: a
/// lender that could pass for one of a longer scope would lend what lives too short.
#[derive(Debug)]
pub struct Lender<'scope, 'env> {
    latch: &'scope Arc<Latch>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl Clone for Lender<'_, '_> {
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for Lender<'_, '_> {}

impl<'scope> Lender<'scope, '_> {
    /// Lends a closure.
    pub fn lend(&self, closure: impl FnOnce() + Send + 'scope) -> Lent {
        let counted = Counted::new(self.latch);
        let closure: Box<dyn FnOnce() + Send + 'scope> = Box::new(closure);
        // SAFETY: only the lifetime changes. A lender is made by `scope` alone, which does not end before the latch is open, and
        // whose frame holds all that it gives out for `'scope`; what it was given lives longer. The latch counts this closure until
        // it was called or dropped, as `counted` is dropped after it and by nobody else.
        let closure = unsafe {
            std::mem::transmute::<Box<dyn FnOnce() + Send + 'scope>, Box<dyn FnOnce() + Send>>(
                closure,
            )
        };
        Lent { closure, counted }
    }
}

/// What a user of [`scope`] makes of a lender, to be seen by the body by a reference as long as the scope.
pub trait Shape {
    /// Copied, so that it has no destructor that could look at what is gone.
    type Of<'scope, 'env>: Copy;
}

/// Calls `body` with what `make` makes of the lender and of `with`, and waits until everything that was lent is back:
/// `before_waiting` may help.
///
/// A panic of the body goes on after that; one of `before_waiting` does not.
pub fn scope<'env, S: Shape, X, R>(
    with: &X,
    make: impl for<'scope> FnOnce(Lender<'scope, 'env>, &'scope X) -> S::Of<'scope, 'env>,
    body: impl for<'scope> FnOnce(&'scope S::Of<'scope, 'env>) -> R,
    before_waiting: impl FnOnce(&Latch, &X),
) -> R {
    let latch = Arc::new(Latch::default());
    // Out here, as closures that were lent look at it until the latch is open.
    let mut made = None;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let lender = Lender {
            latch: &latch,
            scope: PhantomData,
            env: PhantomData,
        };
        body(made.insert(make(lender, with)))
    }));
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| before_waiting(&latch, with))) {
        std::mem::forget(payload);
    }
    latch.wait();
    match ended {
        Ok(value) => value,
        Err(payload) => resume_unwind(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[derive(Clone, Copy)]
    struct Plain<'scope, 'env>(Lender<'scope, 'env>);

    struct Plainly;

    impl Shape for Plainly {
        type Of<'scope, 'env> = Plain<'scope, 'env>;
    }

    fn in_scope<'env, R>(body: impl for<'scope> FnOnce(&'scope Plain<'scope, 'env>) -> R) -> R {
        scope::<Plainly, (), R>(&(), |lender, _| Plain(lender), body, |_, _| ())
    }

    #[test]
    fn what_is_lent_is_called_before_the_scope_ends() {
        let sum = AtomicU32::new(0);
        let answer = in_scope(|plain| {
            for n in 1..=4 {
                let sum = &sum;
                let lent = plain.0.lend(move || {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    sum.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
                });
                std::thread::spawn(|| lent.call());
            }
            42
        });
        assert_eq!((answer, sum.into_inner()), (42, 10));
    }

    #[test]
    fn what_is_lent_may_lend_until_the_scope_ends() {
        let count = Arc::new(AtomicU32::new(0));
        in_scope(|plain| {
            let outer = count.clone();
            let lent = plain.0.lend(move || {
                // The body has ended by now.
                std::thread::sleep(std::time::Duration::from_millis(5));
                let inner = plain.0.lend(move || {
                    outer.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                });
                std::thread::spawn(|| inner.call());
            });
            std::thread::spawn(|| lent.call());
        });
        assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_dropped_counts_as_back() {
        let dropped = Arc::new(());
        in_scope(|plain| {
            let dropped = dropped.clone();
            drop(plain.0.lend(move || drop(dropped)));
        });
        assert_eq!(Arc::strong_count(&dropped), 1);
    }

    #[test]
    fn a_panic_of_the_body_waits_too() {
        let done = AtomicU32::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            in_scope(|plain| {
                let lent = plain.0.lend(|| {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                });
                std::thread::spawn(|| lent.call());
                panic!("the body");
            })
        }));
        assert!(caught.is_err());
        assert_eq!(done.into_inner(), 1);
    }

    #[test]
    fn a_closure_that_panics_is_back_as_well() {
        in_scope(|plain| {
            let lent = plain.0.lend(|| panic!("lent"));
            let thread = std::thread::spawn(|| lent.call());
            assert!(thread.join().is_err());
        });
    }
}
