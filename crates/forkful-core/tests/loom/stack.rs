//! Nothing that is pushed gets lost, comes twice, or arrives without its content.

use super::explore;
use forkful_core::sys::Stack;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

/// An item and a relaxed copy of it, which only the handshake makes visible.
struct Item(u32, AtomicU32);

impl Item {
    fn new(name: u32) -> Item {
        let item = Item(name, AtomicU32::new(0));
        item.1.store(name, Relaxed);
        item
    }

    fn name(&self) -> u32 {
        assert_eq!(self.1.load(Relaxed), self.0);
        self.0
    }
}

fn names(items: &[Item]) -> Vec<u32> {
    items.iter().map(Item::name).collect()
}

#[test]
fn two_push_and_one_takes() {
    explore(|| {
        let stack = Arc::new(Stack::default());
        let pushers = [10, 20].map(|name| {
            let stack = stack.clone();
            thread::spawn(move || (1..3).for_each(|n| stack.push(Item::new(name + n))))
        });
        let mut seen = names(&stack.take());
        for pusher in pushers {
            pusher.join().unwrap();
        }
        seen.extend(names(&stack.take()));
        for tens in [1, 2] {
            let own: Vec<u32> = seen
                .iter()
                .copied()
                .filter(|name| name / 10 == tens)
                .collect();
            assert_eq!(
                own,
                [tens * 10 + 1, tens * 10 + 2],
                "each pusher's items come in order"
            );
        }
        assert_eq!(seen.len(), 4);
    });
}

#[test]
fn two_takers_share_without_doubles() {
    explore(|| {
        let stack = Arc::new(Stack::default());
        stack.push(Item::new(1));
        let other = stack.clone();
        let taker = thread::spawn(move || names(&other.take()));
        stack.push(Item::new(2));
        let mut seen = names(&stack.take());
        seen.extend(taker.join().unwrap());
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
        assert!(stack.is_empty());
    });
}

/// The one who takes is the one who comes last by default: the model goes back to an access only from the next one to the same
/// word, and a push, which loads before it exchanges, hides a load that went before.
#[test]
fn what_is_taken_early_is_whole() {
    explore(|| {
        let stack = Arc::new(Stack::default());
        let other = stack.clone();
        let taker = thread::spawn(move || [names(&other.take()), names(&other.take())].concat());
        (1..4).for_each(|name| stack.push(Item::new(name)));
        let mut seen = taker.join().unwrap();
        seen.extend(names(&stack.take()));
        assert_eq!(seen, [1, 2, 3]);
    });
}
