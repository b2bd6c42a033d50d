//! How many SIGINTs this process has received: counted on their way to whoever handles them.
//!
//! An interpreter turns them into exceptions, and those into others; what leaves a block does not always say that Ctrl-C was its cause.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);
/// The handler that was there, and whether it takes three arguments.
static BEFORE: AtomicUsize = AtomicUsize::new(0);
static LONG: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    COUNT.fetch_add(1, Ordering::SeqCst);
    let before = BEFORE.load(Ordering::SeqCst);
    if LONG.load(Ordering::SeqCst) != 0 {
        // SAFETY: the kernel was given this address as a handler of three arguments, by whoever installed it.
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            unsafe { std::mem::transmute(before) };
        handler(signal, info, context);
    } else {
        // SAFETY: the same with one argument.
        let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(before) };
        handler(signal);
    }
}

/// The SIGINTs since the first call, those in between aside that found another handler than the first call did.
///
/// Puts itself before that handler wherever it is there again: what the interpreter knows of its handlers stays as it is. Whoever
/// else has come in between is left alone, as he may call us, and we him. To be called by a thread that lets nobody else change
/// handlers meanwhile.
pub fn interrupts() -> u64 {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only asks, into memory of the right type.
    if unsafe { libc::sigaction(libc::SIGINT, std::ptr::null(), now.as_mut_ptr()) } != 0 {
        return COUNT.load(Ordering::SeqCst);
    }
    // SAFETY: the call has filled it.
    let mut action = unsafe { now.assume_init() };
    let handler = action.sa_sigaction;
    let before = BEFORE.load(Ordering::SeqCst);
    let ours = count as *const () as usize;
    let known = before == 0 || before == handler;
    if handler != ours && handler != libc::SIG_DFL && handler != libc::SIG_IGN && known {
        let long = (action.sa_flags & libc::SA_SIGINFO) as usize;
        LONG.store(long, Ordering::SeqCst);
        BEFORE.store(handler, Ordering::SeqCst);
        action.sa_sigaction = ours;
        action.sa_flags |= libc::SA_SIGINFO;
        // SAFETY: `count` is async-signal-safe, being two loads, an addition and the call that would have been made anyway.
        let _ = unsafe { libc::sigaction(libc::SIGINT, &raw const action, std::ptr::null_mut()) };
    }
    COUNT.load(Ordering::SeqCst)
}
