//! What a worker has, marks, hands over and gives back.

use super::*;
use crate::wire::Shape;

const LEN: u64 = 256 << 10;

fn holdings() -> Arc<Holdings> {
    let shape = Shape {
        workers: 1,
        slots: 8,
        ring: 1024,
        library: 4096,
        area: 65536,
        arena: 64 << 20,
    };
    Holdings::new(Arc::new(Link::create(shape).unwrap()), 0)
}

fn segment(nth: u64) -> Extent {
    Extent {
        offset: nth * LEN,
        len: LEN,
    }
}

#[test]
fn the_last_view_gives_it_back() {
    let holdings = holdings();
    let hold = Arc::new(holdings.hold(LEN, 1000));
    let other = hold.clone();
    let address = hold.at(10, 990).unwrap().as_ptr() as usize;
    assert!(hold.at(11, 990).is_none());
    let found = holdings.find(address).unwrap();
    assert_eq!(holdings.offset_in(found, address, 990), Some(10));
    assert_eq!(holdings.offset_in(found, address, 991), None);
    drop(hold);
    assert!(holdings.returns().is_empty());
    drop(other);
    assert_eq!(holdings.returns(), [LEN]);
    assert!(holdings.returns().is_empty());
    assert!(holdings.find(address).is_none());
}

#[test]
fn what_is_marked_is_handed_over_when_nobody_else_has_it() {
    let holdings = holdings();
    let hold = holdings.hold(0, LEN);
    assert!(holdings.mark(0));
    assert!(!holdings.mark(0));
    assert!(!holdings.is_free_of_views(0));
    drop(hold);
    assert!(
        holdings.returns().is_empty(),
        "it is kept for whoever marked it"
    );
    assert!(holdings.is_free_of_views(0));
    assert!(!holdings.is_free_of_views(0));
    holdings.unmark(0);
    assert!(holdings.returns().is_empty(), "it is another one's now");
}

#[test]
fn what_somebody_keeps_stays_as_it_is_until_it_is_copied() {
    let holdings = holdings();
    let hold = holdings.hold(0, LEN);
    assert!(holdings.mark(0));
    assert!(!holdings.is_free_of_views(0));
    drop(hold);
    assert!(holdings.returns().is_empty());
    holdings.unmark(0);
    assert_eq!(holdings.returns(), [0]);
    let hold = holdings.hold(0, LEN);
    assert!(holdings.mark(0));
    holdings.unmark(0);
    assert!(holdings.mark(0));
    holdings.unmark(0);
    drop(hold);
    assert_eq!(holdings.returns(), [0]);
}

#[test]
fn what_is_born_goes_back_into_the_purse() {
    let holdings = holdings();
    assert!(holdings.take(LEN).is_none());
    holdings.put_back(segment(1));
    holdings.put_back(Extent {
        offset: 0,
        len: 3 * LEN,
    });
    assert!(holdings.take(LEN + 1).is_none(), "too large for so little");
    assert!(holdings.take(3 * LEN).is_some());
    assert!(holdings.take(LEN + 1).is_none());
    let taken = holdings.take(LEN).unwrap();
    holdings.bear(taken);
    assert!(holdings.unbear(LEN));
    assert!(!holdings.unbear(LEN));
    assert_eq!(holdings.take(LEN), Some(segment(1)));
    // With a full purse it is the parent's again.
    for nth in 0..=crate::wire::PURSE as u64 {
        holdings.put_back(segment(nth));
    }
    assert_eq!(holdings.returns().len(), 1);
}

#[test]
fn a_fork_makes_it_private_and_it_is_not_handed_over() {
    let holdings = holdings();
    let hold = holdings.hold(0, 1000);
    holdings.prepare();
    assert!(!holdings.mark(0));
    drop(hold);
    assert_eq!(holdings.returns(), [0]);
    let hold = holdings.hold(0, 1000);
    assert!(holdings.mark(0));
    drop(hold);
    assert!(holdings.is_free_of_views(0));
}
