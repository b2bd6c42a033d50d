//! The condition between processes, the event and the barrier: who waits is woken, whoever sleeps without a limit and whoever comes.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::sync::condition::Left;
use forkful_core::sync::{Arrival, BarrierCell, ConditionCell, EventCell, LockCell, Owner};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

fn never() -> Result<(), ()> {
    Ok(())
}

#[derive(Default)]
struct Monitor {
    lock: LockCell,
    condition: ConditionCell,
    items: Items,
}

struct Items(AtomicU32);

impl Default for Items {
    fn default() -> Self {
        Items(AtomicU32::new(0))
    }
}

impl Monitor {
    fn take_lock(&self) {
        let taken = self.lock.acquire(Owner::me(), Deadline::NEVER, never);
        assert!(taken.is_ok());
    }

    /// Waits for an item and takes it, as a program does.
    fn consume(&self) {
        self.take_lock();
        while self.items.0.load(Relaxed) == 0 {
            let waiter = self.condition.enter(Owner::me());
            self.lock.release().unwrap();
            loop {
                let left = self.condition.sleep(waiter, Deadline::NEVER, never);
                assert_eq!(left, Ok(Left::Roused));
                self.take_lock();
                if self.condition.is_roused(waiter) {
                    break;
                }
                self.lock.release().unwrap();
            }
            assert!(self.condition.leave(waiter));
        }
        self.items.0.store(self.items.0.load(Relaxed) - 1, Relaxed);
        self.lock.release().unwrap();
    }

    fn produce(&self) {
        self.take_lock();
        self.items.0.store(self.items.0.load(Relaxed) + 1, Relaxed);
        self.condition.notify(1);
        self.lock.release().unwrap();
    }
}

#[test]
fn each_item_is_taken() {
    explore(|| {
        let monitor = Arc::new(Monitor::default());
        let other = monitor.clone();
        let producer = thread::spawn(move || (0..2).for_each(|_| other.produce()));
        (0..2).for_each(|_| monitor.consume());
        producer.join().unwrap();
        assert_eq!(monitor.condition.waiting(), 0);
    });
}

#[test]
fn a_second_waiter_ends_the_deep_sleep() {
    explore(|| {
        let monitor = Arc::new(Monitor::default());
        let consumers = [monitor.clone(), monitor.clone()].map(|monitor| {
            thread::spawn(move || {
                // Without a producer in the way: both are notified by the same call.
                monitor.take_lock();
                let waiter = monitor.condition.enter(Owner::me());
                monitor
                    .items
                    .0
                    .store(monitor.items.0.load(Relaxed) + 1, Relaxed);
                if monitor.items.0.load(Relaxed) == 2 {
                    monitor.condition.notify(2);
                }
                monitor.lock.release().unwrap();
                let left = monitor.condition.sleep(waiter, Deadline::NEVER, never);
                assert_eq!(left, Ok(Left::Roused));
                monitor.take_lock();
                assert!(monitor.condition.leave(waiter));
                monitor.lock.release().unwrap();
            })
        });
        for consumer in consumers {
            consumer.join().unwrap();
        }
    });
}

#[test]
fn an_event_that_is_set_and_cleared_lets_the_waiter_go() {
    explore(|| {
        let event = Arc::new(EventCell::default());
        let ready = Arc::new(EventCell::default());
        let (theirs, told) = (event.clone(), ready.clone());
        let setter = thread::spawn(move || {
            told.wait(Deadline::NEVER, never).unwrap();
            theirs.set();
        });
        ready.set();
        event.wait(Deadline::NEVER, never).unwrap();
        setter.join().unwrap();
        assert!(event.is_set());
        event.clear();
        assert!(!event.is_set());
    });
}

#[test]
fn a_barrier_lets_both_go_round_after_round() {
    explore(|| {
        let barrier = Arc::new(BarrierCell::default());
        barrier.init(2);
        let pass = |barrier: &BarrierCell| {
            let me = Owner::me();
            match barrier.arrive(me, false, never).unwrap().unwrap() {
                Arrival::Early(place) => {
                    let waited = barrier.wait(me, place, Deadline::NEVER, never);
                    assert_eq!(waited, Ok(Ok(())));
                }
                Arrival::Last(_) | Arrival::Act(_) => {}
            }
        };
        let other = barrier.clone();
        let thread = thread::spawn(move || (0..2).for_each(|_| pass(&other)));
        (0..2).for_each(|_| pass(&barrier));
        thread.join().unwrap();
        assert_eq!(barrier.arrived(), 0);
    });
}
