//! Hands: a pool ends, once, and not before the owner of every task knows of its end.

use super::explore_deeper;
use forkful_core::prim::{AtomicU32, Ordering::SeqCst};
use forkful_core::procs::hands::Hands;
use forkful_core::sys::Lock;
use loom::thread;
use std::sync::Arc;

/// A pool as far as its end goes.
struct House {
    hands: Hands,
    table: Lock<Table>,
    told: AtomicU32,
    tasks: u32,
}

struct Table {
    tasks: u32,
    ends: u32,
}

impl House {
    fn new(tasks: u32) -> Arc<House> {
        Arc::new(House {
            hands: Hands::default(),
            table: Lock::new(Table { tasks, ends: 0 }),
            told: AtomicU32::new(0),
            tasks,
        })
    }

    /// As an outcome comes.
    fn finish_one(&self) {
        {
            let mut table = self.table.lock();
            self.hands.take();
            table.tasks -= 1;
        }
        self.told.fetch_add(1, SeqCst);
        if self.hands.put_down() {
            self.end_if_empty();
        }
    }

    fn close(&self) {
        self.hands.end();
        self.end_if_empty();
    }

    fn end_if_empty(&self) {
        let mut table = self.table.lock();
        if table.tasks == 0 && self.hands.are_empty() && table.ends == 0 {
            assert_eq!(self.told.load(SeqCst), self.tasks, "somebody was not told");
            table.ends = 1;
        }
    }
}

#[test]
fn a_pool_that_is_closed_while_its_last_tasks_end_ends_after_them() {
    explore_deeper(|| {
        let house = House::new(2);
        // Two threads only: the lock yields, and of three the model would let two yield to each other for ever.
        let other = house.clone();
        let drainer = thread::spawn(move || (0..2).for_each(|_| other.finish_one()));
        house.close();
        drainer.join().unwrap();
        assert_eq!(house.table.lock().ends, 1);
    });
}
