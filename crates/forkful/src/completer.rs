//! The completer: one background thread per process, for all pools of processes.
//!
//! It drains for those who can't do it themselves (futures with callbacks, futures that are awaited), starts a zygote where one was
//! lost, and ends with the last pool. It calls no callbacks: those are the callers'.
//!
//! Knows: the pools' shared part, the engine's post. Does not know: futures, executors.

use crate::process_pool::shared::Shared;
use forkful_core::deadline::Deadline;
use forkful_core::procs::post::{self, Found, Post, Served, Turn};
use forkful_core::procs::watcher::Watcher;
use forkful_core::sys::Lock;
use forkful_core::wire::Bell;
use std::cell::Cell;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// A pool at the post. It is held here until it is over: an executor that is forgotten leaves tasks whose ends are to be told.
#[derive(Clone)]
struct Client(Arc<Shared>);

impl Served for Client {
    fn is_over(&self) -> bool {
        self.0.pool.is_finished() || self.0.pool.is_inherited()
    }
}

struct Office {
    post: Post<Client>,
    bell: Lock<Option<(u32, Arc<Bell>)>>,
    thread: Lock<Option<JoinHandle<()>>>,
}

fn office() -> &'static Office {
    static OFFICE: OnceLock<Office> = OnceLock::new();
    OFFICE.get_or_init(|| Office {
        post: Post::new(),
        bell: Lock::new(None),
        thread: Lock::new(None),
    })
}

thread_local! {
    /// Whether this is the completer's thread.
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is the completer.
pub(crate) fn is_here() -> bool {
    SERVES.get()
}

/// This process's bell; a forked child makes its own.
pub(crate) fn bell() -> io::Result<Arc<Bell>> {
    let generation = forkful_core::fork::generation();
    let known = || match &*office().bell.lock() {
        Some((born, bell)) if *born == generation => Some(bell.clone()),
        _ => None,
    };
    if let Some(bell) = known() {
        return Ok(bell);
    }
    let fresh = Arc::new(Bell::create()?);
    let mut place = office().bell.lock();
    // Two bells would mean that somebody sleeps by the one while the other is rung.
    if let Some((born, bell)) = &*place
        && *born == generation
    {
        return Ok(bell.clone());
    }
    *place = Some((generation, fresh.clone()));
    Ok(fresh)
}

/// Serves a pool from now on; an error where there can be no thread.
pub(crate) fn register(shared: &Arc<Shared>) -> io::Result<()> {
    office().post.enlist(Client(shared.clone()));
    let Some(ticket) = office().post.claim() else {
        return Ok(());
    };
    let builder = std::thread::Builder::new().name("forkful-completer".into());
    match builder.spawn(move || serve(ticket)) {
        Ok(handle) => {
            let before = office().thread.lock().replace(handle);
            drop(before);
            Ok(())
        }
        Err(error) => {
            office().post.give_back();
            Err(error)
        }
    }
}

/// Waits until the completer and the watcher have ended, if no pool is left.
pub(crate) fn rest() {
    if is_here() {
        return;
    }
    let handle = {
        // To the end: what the place holds afterwards is the thread of a pool that was made meanwhile, which is not waited for.
        let mut place = office().thread.lock();
        if !office().post.relieve() {
            return;
        }
        place.take()
    };
    if let Ok(bell) = bell() {
        bell.kick();
    }
    if let Some(handle) = handle {
        let _ = handle.join();
    }
    Watcher::rest();
}

/// In a forked child: what the parent had to do is the parent's.
pub(crate) fn after_in_child() {
    let office = office();
    office.post.disown();
    std::mem::forget(office.bell.reset(None));
    std::mem::forget(office.thread.reset(None));
}

fn serve(ticket: u64) {
    SERVES.set(true);
    let Ok(bell) = bell() else {
        return office().post.give_back();
    };
    let generation = forkful_core::fork::generation();
    let over = || office().post.leave(ticket, || true);
    while generation == forkful_core::fork::generation() && attend(&bell, over) {}
}

/// A turn, with what it finds to do; `false` when it is `over`.
fn attend(bell: &Bell, over: impl Fn() -> bool) -> bool {
    let fed = Cell::new(Deadline::NEVER);
    let until = || {
        let served = office().post.served().into_iter();
        served.fold(fed.get(), |until, client| {
            until.earlier(client.0.pool.patience())
        })
    };
    match post::turn(bell, until, || look(&fed), over) {
        Turn::Work(wanted) => {
            for shared in wanted {
                shared.relaunch();
            }
            true
        }
        Turn::Again => true,
        Turn::Over => false,
    }
}

/// Takes in what has come; the work is pools without a zygote. `fed` becomes when pools are to be looked at that were left to whoever
/// is submitting.
fn look(fed: &Cell<Deadline>) -> Found<Vec<Arc<Shared>>> {
    let (mut lately, mut wanted) = (false, Vec::new());
    for Client(shared) in office().post.served() {
        let pool = &shared.pool;
        if pool.is_inherited() {
            continue;
        }
        if pool.is_finished() {
            shared.caller.release();
        }
        if let Some(until) = pool.fed_until() {
            fed.set(fed.get().earlier(until));
        } else if pool.drain_and_stow() {
            lately = true;
        } else {
            pool.look_for_strays();
        }
        lately |= shared.settle_due();
        if pool.wants_midwife() {
            wanted.push(shared);
        }
    }
    if wanted.is_empty() {
        Found::Nothing { lately }
    } else {
        Found::Work(wanted)
    }
}
