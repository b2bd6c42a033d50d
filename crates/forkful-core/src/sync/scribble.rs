//! Words that somebody has written over: whatever comes of that, no panic, and no wait beyond its deadline.

use super::*;
use crate::deadline::Deadline;
use crate::shm::Shared;
use proptest::prelude::*;
use std::time::Duration;

const SOON: Duration = Duration::from_micros(200);

fn never() -> Result<(), ()> {
    Ok(())
}

/// Mostly words that are extreme, or small.
fn words() -> impl Strategy<Value = Vec<u64>> {
    let word = prop_oneof![
        Just(0),
        Just(u64::MAX),
        (0..5_u64).prop_map(|low| low | 0xffff_fff7 << 32),
        Just(u64::from(u32::MAX)),
        // Nobody lives who was born so late.
        (1..1_000_000_u64).prop_map(|pid| pid | 0xffff_fff7 << 32),
        any::<u64>().prop_map(|word| word | 0xf000_0000 << 32),
    ];
    prop::collection::vec(word, 1..300)
}

fn cell<T: Shared>(words: &[u64]) -> Cell {
    let cell = Cell::new(size_of::<T>()).unwrap();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    cell.scribble(&bytes);
    cell
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn a_ledger(words in words()) {
        let cell = cell::<LedgerCell>(&words);
        let (ledger, me) = (cell.at::<LedgerCell>(0), Owner::me());
        let _ = (ledger.free(), ledger.most(), ledger.last_death());
        for _ in 0..3 {
            if let Some(permit) = ledger.try_acquire(me) {
                ledger.release(me, permit);
            }
            if let Ok(permit) = ledger.acquire(me, Deadline::after(SOON), never) {
                ledger.forget(me, permit);
            }
            let _ = ledger.add(me, u32::MAX);
        }
    }

    #[test]
    fn a_barrier(words in words()) {
        let cell = cell::<BarrierCell>(&words);
        let (barrier, me) = (cell.at::<BarrierCell>(0), Owner::me());
        for acts in [false, true] {
            let _ = (barrier.is_broken(), barrier.arrived(), barrier.parties());
            match barrier.arrive(me, acts, never) {
                Ok(Ok(Arrival::Early(place))) => {
                    let _ = barrier.wait(me, place, Deadline::after(SOON), never);
                }
                Ok(Ok(Arrival::Act(place))) => barrier.acted(place, true),
                _ => {}
            }
            let _ = barrier.abort(me, never);
            let _ = barrier.reset(me, never);
        }
    }

    #[test]
    fn a_condition(words in words()) {
        let cell = cell::<ConditionCell>(&words);
        let (condition, me) = (cell.at::<ConditionCell>(0), Owner::me());
        for _ in 0..2 {
            let waiter = condition.enter(me);
            let _ = condition.sleep(waiter, Deadline::after(SOON), never);
            let _ = condition.is_roused(waiter);
            condition.leave(waiter);
            condition.notify(1);
            condition.notify(usize::MAX);
            let _ = condition.waiting();
        }
    }

    #[test]
    fn a_lock_a_semaphore_and_an_event(words in words()) {
        let me = Owner::me();
        let lock = cell::<LockCell>(&words);
        let lock = lock.at::<LockCell>(0);
        if lock.acquire(me, Deadline::after(SOON), never).is_ok() {
            let _ = lock.release_own(me);
        }
        let semaphore = cell::<SemaphoreCell>(&words);
        let semaphore = semaphore.at::<SemaphoreCell>(0);
        let _ = semaphore.acquire(me, Deadline::after(SOON), never);
        let _ = semaphore.release(me);
        let event = cell::<EventCell>(&words);
        let event = event.at::<EventCell>(0);
        let _ = event.wait(Deadline::after(SOON), never);
        event.clear();
        event.set();
    }
}
