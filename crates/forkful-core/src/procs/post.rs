//! The post of the one thread that serves all pools of a process: who holds it, and when it is given up.
//!
//! Nobody may sleep at the post when nothing is left to serve, and nobody may leave it while there is something. So whoever holds
//! it reads the bell before he looks at anything ([`turn`]), and whatever changes what he may find is rung for afterwards; and
//! he leaves under the lock under which pools are enlisted and the post is claimed. Others may relieve him under it as well,
//! who want to wait for his end and can't if it depends on what comes next; so each claim has its ticket.

use crate::deadline::Deadline;
use crate::sys::{Lock, spin_until};
use crate::wire::Bell;

/// Something that is served until it is over. When it turns over, the bell is kicked afterwards.
pub trait Served: Clone {
    /// Whether nothing will come from it any more. May take locks of its own, under the post's.
    fn is_over(&self) -> bool;
}

#[derive(Debug)]
struct Ledger<S> {
    /// By which claim.
    held: Option<u64>,
    claims: u64,
    served: Vec<S>,
}

impl<S: Served> Ledger<S> {
    fn new() -> Ledger<S> {
        Ledger {
            held: None,
            claims: 0,
            served: Vec::new(),
        }
    }

    /// Takes out what is over. To be dropped without the lock: the last reference to a pool gives its memory back.
    fn strike(&mut self) -> Vec<S> {
        let served = std::mem::take(&mut self.served);
        let (over, left) = served.into_iter().partition(S::is_over);
        self.served = left;
        over
    }
}

/// The post, and what is served there.
#[derive(Debug)]
pub struct Post<S> {
    ledger: Lock<Ledger<S>>,
}

impl<S: Served> Default for Post<S> {
    fn default() -> Self {
        Post::new()
    }
}

impl<S: Served> Post<S> {
    /// A post that nobody holds.
    pub fn new() -> Post<S> {
        Post {
            ledger: Lock::new(Ledger::new()),
        }
    }

    /// Has something served from now on. Whoever enlists claims the post afterwards.
    pub fn enlist(&self, served: S) {
        self.ledger.lock().served.push(served);
    }

    /// The ticket for whom the caller has to send, if nobody holds the post.
    pub fn claim(&self) -> Option<u64> {
        let mut ledger = self.ledger.lock();
        if ledger.held.is_some() {
            return None;
        }
        ledger.claims += 1;
        ledger.held = Some(ledger.claims);
        ledger.held
    }

    /// Nobody could be sent: the next one who claims the post gets it.
    pub fn give_back(&self) {
        self.ledger.lock().held = None;
    }

    /// What is served now.
    pub fn served(&self) -> Vec<S> {
        self.ledger.lock().served.clone()
    }

    /// Whether the holder may leave: he was relieved, or everything is over and `idle` agrees, which is asked after that.
    #[must_use]
    pub fn leave(&self, ticket: u64, idle: impl FnOnce() -> bool) -> bool {
        let mut ledger = self.ledger.lock();
        let over = ledger.strike();
        if ledger.held == Some(ticket) && ledger.served.is_empty() && idle() {
            ledger.held = None;
        }
        let leaves = ledger.held != Some(ticket);
        drop(ledger);
        drop(over);
        leaves
    }

    /// Takes the post from its holder if everything is over; whether nobody holds it now. Kick the bell, and he leaves.
    #[must_use]
    pub fn relieve(&self) -> bool {
        let mut ledger = self.ledger.lock();
        let over = ledger.strike();
        if ledger.served.is_empty() {
            ledger.held = None;
        }
        let vacant = ledger.held.is_none();
        drop(ledger);
        drop(over);
        vacant
    }

    /// In a forked child: what the parent served is the parent's, and is left alone.
    pub fn disown(&self) {
        std::mem::forget(self.ledger.reset(Ledger::new()));
    }
}

/// What a look at everything has found.
#[derive(Debug)]
pub enum Found<W> {
    /// Something to do, that can't be done while looking.
    Work(W),
    /// Nothing; `lately`: but a moment ago there was something, so more may come soon.
    Nothing {
        /// Then the bell is watched for a while before sleeping.
        lately: bool,
    },
}

/// What a turn has come to.
#[derive(Debug)]
pub enum Turn<W> {
    /// Something to do.
    Work(W),
    /// The bell has rung, or the deadline has passed.
    Again,
    /// It is over.
    Over,
}

/// Looks, and sleeps if there was nothing and it is not `over`, until the bell rings or the deadline passes, which is asked for after
/// the look.
pub fn turn<W>(
    bell: &Bell,
    deadline: impl FnOnce() -> Deadline,
    look: impl FnOnce() -> Found<W>,
    over: impl FnOnce() -> bool,
) -> Turn<W> {
    // Before anything is looked at: what comes later rings, and whoever has read the bell before does not fall asleep then.
    let seen = bell.now();
    match look() {
        Found::Work(work) => Turn::Work(work),
        Found::Nothing { .. } if over() => Turn::Over,
        Found::Nothing { lately } => {
            if !lately || !spin_until(|| bell.now() != seen) {
                bell.sleep(seen, deadline());
            }
            Turn::Again
        }
    }
}
