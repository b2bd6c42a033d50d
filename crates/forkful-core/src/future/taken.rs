//! A value that is taken out once, by whoever comes first.
//!
//! Part of unsafe door 2: what a future holds where its reader owns the value instead of looking at it.

#![allow(unsafe_code)]

use crate::prim::{AtomicBool, Ordering};
use std::cell::UnsafeCell;

/// A value until it is taken.
#[derive(Debug)]
pub struct TakeOnce<V> {
    taken: AtomicBool,
    value: UnsafeCell<Option<V>>,
}

// SAFETY: the value moves to one thread, the one that wins `taken`; nobody ever looks at it in place.
unsafe impl<V: Send> Sync for TakeOnce<V> {}

impl<V> TakeOnce<V> {
    /// A value that nobody has taken.
    pub fn new(value: V) -> TakeOnce<V> {
        TakeOnce {
            taken: AtomicBool::new(false),
            value: UnsafeCell::new(Some(value)),
        }
    }

    /// The value, the first time.
    pub fn take(&self) -> Option<V> {
        if self.taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        // SAFETY: the swap was won by this thread, once, so nobody else touches the cell from here on.
        unsafe { &mut *self.value.get() }.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_once_and_dropped_once() {
        let value = std::sync::Arc::new(());
        let cell = TakeOnce::new(value.clone());
        assert!(cell.take().is_some());
        assert!(cell.take().is_none());
        let kept = TakeOnce::new(value.clone());
        drop((cell, kept));
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }

    #[test]
    fn of_many_threads_one_gets_it() {
        for _ in 0..200 {
            let cell = TakeOnce::new(Box::new(1));
            let got: u32 = std::thread::scope(|scope| {
                let takers = [0; 3].map(|_| scope.spawn(|| cell.take().map_or(0, |value| *value)));
                takers.into_iter().map(|taker| taker.join().unwrap()).sum()
            });
            assert_eq!(got, 1);
        }
    }
}
