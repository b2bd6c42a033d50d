//! What the engine does at each fork of this process, whoever forks.

use std::sync::OnceLock;

/// Before a fork, and in its child.
type Hooks = (fn(), fn());

/// What [`at_forks`] was given.
static HOOKS: OnceLock<Hooks> = OnceLock::new();

/// Has this process call `before` in each thread that forks, and `in_child` in its child. The first caller's stay.
pub fn at_forks(before: fn(), in_child: fn()) {
    HOOKS.get_or_init(|| {
        // SAFETY: the handlers are functions that are never unloaded, and call what is found above.
        unsafe { libc::pthread_atfork(Some(call_before), None, Some(call_in_child)) };
        (before, in_child)
    });
}

extern "C" fn call_before() {
    if let Some((before, _)) = HOOKS.get() {
        before();
    }
}

extern "C" fn call_in_child() {
    if let Some((_, in_child)) = HOOKS.get() {
        in_child();
    }
}
