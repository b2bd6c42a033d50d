//! Conditions among threads: who is woken, in which order, and what the dead leave behind.

use super::*;
use crate::sync::{LockCell, Taken};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

#[derive(Default)]
struct Monitor {
    lock: LockCell,
    condition: ConditionCell,
}

fn never() -> Result<(), ()> {
    Ok(())
}

impl Monitor {
    fn locked<T>(&self, section: impl FnOnce(&ConditionCell) -> T) -> T {
        let taken = self.lock.acquire(Owner::me(), Deadline::NEVER, never);
        assert_eq!(taken, Ok(Taken::Clean));
        let result = section(&self.condition);
        self.lock.release().unwrap();
        result
    }

    /// From inside of the lock to inside of the lock.
    fn wait(&self, waiter: Waiter, deadline: Deadline) -> bool {
        loop {
            let left = self.condition.sleep(waiter, deadline, never).unwrap();
            let done = self.locked(|condition| {
                let done = left == Left::TimedOut || condition.is_roused(waiter);
                done.then(|| condition.leave(waiter))
            });
            if let Some(notified) = done {
                return notified;
            }
        }
    }

    fn enter(&self) -> Waiter {
        self.locked(|condition| condition.enter(Owner::me()))
    }

    fn notify(&self, count: usize) {
        self.locked(|condition| condition.notify(count));
    }
}

fn dead() -> Owner {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    Owner::from_word(u64::from(pid) | 7 << 32).unwrap()
}

#[test]
fn those_who_have_waited_longest_are_woken() {
    let (monitor, order) = (Monitor::default(), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for nth in 0..4 {
            let waiter = monitor.enter();
            let (monitor, order) = (&monitor, &order);
            scope.spawn(move || {
                assert!(monitor.wait(waiter, Deadline::NEVER));
                order.lock().unwrap().push(nth);
            });
        }
        for woken in 1..=2 {
            monitor.notify(1);
            while order.lock().unwrap().len() < woken {
                std::thread::yield_now();
            }
        }
        assert_eq!(monitor.condition.waiting(), 2);
        monitor.notify(9);
    });
    let order = order.into_inner().unwrap();
    assert_eq!(order[..2], [0, 1]);
    assert_eq!((order.len(), monitor.condition.waiting()), (4, 0));
}

#[test]
fn a_notification_without_waiters_is_nobody_s() {
    let monitor = Monitor::default();
    monitor.notify(3);
    let waiter = monitor.enter();
    assert!(!monitor.wait(waiter, Deadline::after(Duration::from_millis(30))));
    assert_eq!(monitor.condition.waiting(), 0);
}

#[test]
fn more_than_there_are_places_for() {
    let (monitor, woken) = (Monitor::default(), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..70 {
            let waiter = monitor.enter();
            let (monitor, woken) = (&monitor, &woken);
            scope.spawn(move || {
                assert!(monitor.wait(waiter, Deadline::NEVER));
                woken.fetch_add(1, Relaxed);
            });
        }
        assert_eq!(monitor.condition.waiting(), 70);
        monitor.notify(66);
        while woken.load(Relaxed) < 66 {
            std::thread::yield_now();
        }
        let waiter = monitor.enter();
        assert!(!monitor.wait(waiter, Deadline::after(Duration::from_millis(2))));
        assert_eq!(monitor.condition.waiting(), 4);
        monitor.notify(4);
    });
    let waiter = monitor.enter();
    assert!(!monitor.wait(waiter, Deadline::after(Duration::from_millis(2))));
    assert_eq!(monitor.condition.waiting(), 0);
}

#[test]
fn a_stray_number_of_waiters_is_no_endless_work() {
    let monitor = Monitor::default();
    let places: Vec<_> = (0..64).map(|_| monitor.enter()).collect();
    monitor.condition.crowded.store(u64::MAX, Relaxed);
    monitor.notify(usize::MAX);
    // One system call for each of them would have no end.
    assert!(monitor.condition.crowd.number() <= 1 << 22);
    assert_eq!(monitor.condition.waiting(), 0);
    for waiter in places {
        assert!(monitor.locked(|condition| condition.leave(waiter)));
    }
}

#[test]
fn a_dead_waiter_is_not_notified_in_a_living_one_s_place() {
    let monitor = Monitor::default();
    let _ = monitor.locked(|condition| condition.enter(dead()));
    let waiter = monitor.enter();
    monitor.notify(1);
    assert!(monitor.wait(waiter, Deadline::NEVER));
    assert_eq!(monitor.condition.waiting(), 0);
}

#[test]
fn what_a_dead_one_was_notified_of_goes_to_one_who_waited_then() {
    let monitor = Monitor::default();
    let Waiter::Placed(nth) = monitor.locked(|condition| condition.enter(Owner::me())) else {
        panic!("the first one has a place");
    };
    let waiter = monitor.enter();
    monitor.notify(1);
    // He was notified, and dies before he has the lock.
    let place = &monitor.condition.places[nth];
    place.owner.store(dead().word(), Relaxed);
    let late = monitor.enter();
    assert!(!monitor.condition.is_roused(late));
    assert!(monitor.wait(waiter, Deadline::NEVER));
    // Once only.
    assert!(!monitor.wait(late, Deadline::after(Duration::from_millis(60))));
    assert!(
        monitor
            .condition
            .places
            .iter()
            .all(|place| place.state() == 0)
    );
}

#[test]
fn who_is_alone_sleeps_deep_until_another_one_comes() {
    let monitor = Monitor::default();
    let deep = || {
        let places = monitor.condition.places.iter();
        places.filter(|place| place.state() & DEEP != 0).count()
    };
    std::thread::scope(|scope| {
        // The dead beside him count for nothing.
        let _ = monitor.locked(|condition| condition.enter(dead()));
        let first = monitor.enter();
        let first = scope.spawn({
            let monitor = &monitor;
            move || monitor.wait(first, Deadline::NEVER)
        });
        while deep() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let second = monitor.enter();
        assert_eq!(deep(), 0);
        let second = scope.spawn({
            let monitor = &monitor;
            move || monitor.wait(second, Deadline::NEVER)
        });
        monitor.notify(2);
        assert!(first.join().unwrap() && second.join().unwrap());
    });
}

#[test]
fn a_dead_one_s_place_is_freed_once_and_not_from_under_the_next_one() {
    let monitor = Monitor::default();
    let Waiter::Placed(nth) = monitor.locked(|condition| condition.enter(dead())) else {
        panic!("the first one has a place");
    };
    let place = &monitor.condition.places[nth];
    // Somebody without the lock finds him dead, and is held up before he frees the place.
    let found = place.word();
    assert!(place.is_orphaned());
    monitor.notify(1);
    assert_eq!(monitor.enter(), Waiter::Placed(nth));
    assert!(!place.exchange(found, 0));
    assert_eq!(monitor.condition.waiting(), 1);
}

#[test]
fn an_interrupt_ends_the_sleep() {
    let monitor = Monitor::default();
    let waiter = monitor.enter();
    let slept = monitor.condition.sleep(waiter, Deadline::NEVER, || Err(7));
    assert_eq!(slept, Err(WaitError::Interrupted(7)));
    // One that comes between two sleeps interrupts neither, and is asked for all the same.
    let mut asked = 0;
    let second = || {
        asked += 1;
        if asked == 2 { Err(8) } else { Ok(()) }
    };
    let late = Deadline::after(Duration::from_secs(30));
    let slept = monitor.condition.sleep(waiter, late, second);
    assert_eq!(slept, Err(WaitError::Interrupted(8)));
    monitor.notify(1);
    assert!(monitor.locked(|condition| condition.leave(waiter)));
}
