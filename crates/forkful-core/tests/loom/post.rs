//! The post: nobody sleeps there when all is over, and nobody leaves it while a pool has enlisted.

use super::explore_deeper;
use forkful_core::deadline::Deadline;
use forkful_core::prim::{AtomicBool, Ordering::SeqCst};
use forkful_core::procs::post::{Found, Post, Served, Turn, turn};
use forkful_core::wire::Bell;
use loom::thread;
use std::sync::Arc;

/// A pool as far as the post goes.
#[derive(Default)]
struct State {
    errand: AtomicBool,
    over: AtomicBool,
}

#[derive(Clone, Default)]
struct Pool(Arc<State>);

impl Served for Pool {
    fn is_over(&self) -> bool {
        self.0.over.load(SeqCst)
    }
}

struct Office {
    post: Post<Pool>,
    bell: Bell,
}

impl Office {
    fn new() -> Arc<Office> {
        Arc::new(Office {
            post: Post::new(),
            bell: Bell::create().unwrap(),
        })
    }

    /// The servant's whole life. A pool whose errand is done is over.
    fn serve(&self, ticket: u64) {
        let look = || match self
            .post
            .served()
            .into_iter()
            .find(|pool| pool.0.errand.load(SeqCst))
        {
            Some(pool) => Found::Work(pool),
            None => Found::Nothing { lately: false },
        };
        loop {
            match turn(
                &self.bell,
                || Deadline::NEVER,
                look,
                || self.post.leave(ticket, || true),
            ) {
                Turn::Work(pool) => {
                    pool.0.errand.store(false, SeqCst);
                    self.end(&pool);
                }
                Turn::Again => {}
                Turn::Over => return,
            }
        }
    }

    fn end(&self, pool: &Pool) {
        pool.0.over.store(true, SeqCst);
        self.bell.kick();
    }

    /// As a new pool does; whoever has to be sent.
    fn open(self: &Arc<Self>, pool: &Pool) -> Option<thread::JoinHandle<()>> {
        self.post.enlist(pool.clone());
        let office = self.clone();
        self.post
            .claim()
            .map(|ticket| thread::spawn(move || office.serve(ticket)))
    }
}

#[test]
fn nobody_sleeps_when_all_is_over() {
    explore_deeper(|| {
        let (office, pool) = (Office::new(), Pool::default());
        let servant = office.open(&pool).unwrap();
        office.end(&pool);
        servant.join().unwrap();
        assert!(office.post.served().is_empty());
        assert!(office.post.claim().is_some(), "nobody holds the post");
    });
}

#[test]
fn a_pool_that_comes_when_the_last_one_goes_is_served() {
    explore_deeper(|| {
        let (office, first, second) = (Office::new(), Pool::default(), Pool::default());
        let servant = office.open(&first).unwrap();
        office.end(&first);
        let other = office.open(&second);
        second.0.errand.store(true, SeqCst);
        office.bell.ring();
        servant.join().unwrap();
        if let Some(other) = other {
            other.join().unwrap();
        }
        assert!(second.is_over(), "nobody was at the post");
        assert!(office.post.claim().is_some(), "nobody holds the post");
    });
}

#[test]
fn whoever_relieves_the_servant_can_wait_for_his_end() {
    explore_deeper(|| {
        let (office, first, second) = (Office::new(), Pool::default(), Pool::default());
        let servant = office.open(&first).unwrap();
        office.end(&first);
        assert!(office.post.relieve(), "all is over");
        office.bell.kick();
        // His end does not depend on whoever comes next. (No third thread: the lock yields, and so would they, for ever.)
        office.post.enlist(second);
        let ticket = office.post.claim().expect("somebody new is to be sent");
        assert!(!office.post.relieve(), "not while there is a pool");
        servant.join().unwrap();
        assert!(!office.post.leave(ticket, || true), "nor does he leave");
    });
}
