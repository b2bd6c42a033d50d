//! A stack without a lock, from which everything is taken at once.
//!
//! Treiber's stack (R. K. Treiber, "Systems Programming: Coping with Parallelism", 1986) without `pop`, and so without its
//! ABA problem. Without a lock because a forked child can't repair a lock in an object that no list knows of.

use crate::prim::{AtomicPtr, Ordering};
use std::ptr;

#[derive(Debug)]
struct Node<T> {
    item: T,
    next: *mut Node<T>,
}

/// Eight bytes as long as it is empty.
#[derive(Debug)]
pub struct Stack<T>(AtomicPtr<Node<T>>);

// SAFETY: a node has one owner at a time: the stack, or whoever took it; items cross threads, so they must be Send.
unsafe impl<T: Send> Sync for Stack<T> {}
// SAFETY: owning the stack is owning its items.
unsafe impl<T: Send> Send for Stack<T> {}

impl<T> Default for Stack<T> {
    #[inline]
    fn default() -> Self {
        Stack(AtomicPtr::new(ptr::null_mut()))
    }
}

impl<T> Stack<T> {
    /// Whether it is empty just now.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::SeqCst).is_null()
    }

    /// Puts an item on top.
    pub fn push(&self, item: T) {
        let node = Box::into_raw(Box::new(Node {
            item,
            next: ptr::null_mut(),
        }));
        let mut top = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: the node is ours until the exchange succeeds.
            unsafe { (*node).next = top };
            // SYNC(stack.item): release
            match self
                .0
                .compare_exchange_weak(top, node, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Takes everything, oldest first.
    #[inline]
    pub fn take(&self) -> Vec<T> {
        if self.is_empty() {
            return Vec::new();
        }
        // SYNC(stack.item): acquire
        let mut node = self.0.swap(ptr::null_mut(), Ordering::SeqCst);
        let mut items = Vec::new();
        while !node.is_null() {
            // SAFETY: made by `push` from a Box, and the swap made this thread its only owner.
            let owned = unsafe { Box::from_raw(node) };
            node = owned.next;
            items.push(owned.item);
        }
        items.reverse();
        items
    }

    /// Looks at every item, newest first, until `look` fails.
    ///
    /// # Safety
    /// No other thread may take from the stack meanwhile.
    pub unsafe fn peek<E>(&self, mut look: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        let mut node = self.0.load(Ordering::SeqCst);
        while !node.is_null() {
            // SAFETY: nodes are freed by whoever takes them, and the caller promised that nobody does.
            let here = unsafe { &*node };
            look(&here.item)?;
            node = here.next;
        }
        Ok(())
    }
}

impl<T> Drop for Stack<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_first_and_only_once() {
        let stack = Stack::default();
        (0..5).for_each(|n| stack.push(n));
        assert_eq!(stack.take(), [0, 1, 2, 3, 4]);
        assert!(stack.take().is_empty());
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let stack = Stack::default();
        let mut seen: Vec<u32> = Vec::new();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let stack = &stack;
                scope.spawn(move || (0..1000).for_each(|n| stack.push(thread * 1000 + n)));
            }
            while seen.len() < 4000 {
                seen.extend(stack.take());
            }
        });
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..4000));
    }
}
