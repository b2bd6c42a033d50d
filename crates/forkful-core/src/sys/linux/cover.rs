//! The cover over a thread: an interpreter that ends threads by unwinding never reaches our frames.
//!
//! Some interpreters end a thread that comes late, at their exit, with `pthread_exit`, which unwinds its stack. Our frames must
//! not be unwound (a call through a boundary that can't unwind aborts the program, and destructors would run without the
//! interpreter's lock). glibc runs the handlers of `_pthread_cleanup_push` whose record lies *below* the frame that is about to
//! be left, before it leaves it; so a record at the lowest address of the thread's stack runs first of all, and its handler
//! parks the thread for good. The process exits around it.
//!
//! The main thread is never ended so and has no cover. Where the functions don't exist (musl), there is no cover either.

use libc::{c_char, c_int, c_void, pthread_attr_t};
use std::cell::Cell;
use std::mem::{MaybeUninit, transmute};
use std::ptr;
use std::sync::OnceLock;

/// glibc's `struct _pthread_cleanup_buffer`, whose layout is part of its ABI.
#[repr(C)]
struct Record {
    routine: Option<extern "C" fn(*mut c_void)>,
    arg: *mut c_void,
    cancel_type: c_int,
    previous: *mut Record,
}

type Push = unsafe extern "C" fn(*mut Record, extern "C" fn(*mut c_void), *mut c_void);
type Pop = unsafe extern "C" fn(*mut Record, c_int);

/// The pair of functions, looked up once.
fn functions() -> Option<(Push, Pop)> {
    static FUNCTIONS: OnceLock<Option<(Push, Pop)>> = OnceLock::new();
    *FUNCTIONS.get_or_init(|| {
        // SAFETY: dlsym with a NUL-terminated name only reads.
        let find = |name: &[u8]| unsafe {
            libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr().cast::<c_char>())
        };
        let (push, pop) = (
            find(b"_pthread_cleanup_push\0"),
            find(b"_pthread_cleanup_pop\0"),
        );
        if push.is_null() || pop.is_null() {
            return None;
        }
        // SAFETY: these are the signatures of pthread.h.
        Some(unsafe {
            (
                transmute::<*mut c_void, Push>(push),
                transmute::<*mut c_void, Pop>(pop),
            )
        })
    })
}

/// What a thread knows of its own stack.
#[derive(Clone, Copy)]
enum Place {
    Unknown,
    /// The main thread, or one whose stack can't be asked for.
    Nowhere,
    At(*mut Record),
}

/// One thread-local for both: finding it costs as much as all the rest of a nested cover.
struct Local {
    place: Cell<Place>,
    depth: Cell<u32>,
}

thread_local! {
    static LOCAL: Local = const { Local { place: Cell::new(Place::Unknown), depth: Cell::new(0) } };
}

/// The right to be parked instead of unwound, until dropped. Nested covers only count.
#[derive(Debug)]
pub struct Cover {
    // Bound to its thread: the record lies on that thread's stack.
    _not_send: std::marker::PhantomData<*mut ()>,
}

impl Cover {
    /// Covers the calling thread's frames from here up.
    #[inline]
    pub fn enter() -> Cover {
        LOCAL.with(|local| {
            let depth = local.depth.get();
            local.depth.set(depth + 1);
            if depth == 0 {
                if let Place::Unknown = local.place.get() {
                    local.place.set(find_place());
                }
                if let Place::At(record) = local.place.get() {
                    push(record);
                }
            }
        });
        Cover {
            _not_send: std::marker::PhantomData,
        }
    }
}

impl Drop for Cover {
    #[inline]
    fn drop(&mut self) {
        LOCAL.with(|local| {
            let depth = local.depth.get() - 1;
            local.depth.set(depth);
            if depth == 0
                && let Place::At(record) = local.place.get()
            {
                pop(record);
            }
        });
    }
}

#[cold]
fn find_place() -> Place {
    if super::thread::is_main_thread() || functions().is_none() {
        return Place::Nowhere;
    }
    lowest_page().map_or(Place::Nowhere, |address| Place::At(address.cast()))
}

/// The lowest usable address of this thread's stack, one page above its guard.
fn lowest_page() -> Option<*mut u8> {
    let mut attr = MaybeUninit::<pthread_attr_t>::uninit();
    // SAFETY: attr is initialised by a successful pthread_getattr_np and destroyed once.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attr.as_mut_ptr()) != 0 {
            return None;
        }
        let (mut low, mut size, mut guard) = (ptr::null_mut::<c_void>(), 0usize, 0usize);
        let known = libc::pthread_attr_getstack(attr.as_ptr(), &mut low, &mut size) == 0
            && libc::pthread_attr_getguardsize(attr.as_ptr(), &mut guard) == 0;
        libc::pthread_attr_destroy(attr.as_mut_ptr());
        // Some versions count the guard into the stack, some don't: stepping over it once more costs address space only.
        let offset = guard + 4096;
        (known && size > offset + 65536).then(|| low.cast::<u8>().add(offset))
    }
}

#[inline]
fn push(record: *mut Record) {
    if let Some((push, _)) = functions() {
        // SAFETY: the record lies in this thread's own stack, in a page that no frame reaches before the stack overflows.
        unsafe { push(record, park, ptr::null_mut()) }
    }
}

#[inline]
fn pop(record: *mut Record) {
    if let Some((_, pop)) = functions() {
        // SAFETY: pushed by this thread in `push` and not popped since, as covers nest.
        unsafe { pop(record, 0) }
    }
}

/// Where a covered thread spends the rest of the process's life.
extern "C" fn park(_: *mut c_void) {
    loop {
        // SAFETY: pause only waits for a signal.
        unsafe { libc::pause() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_nest_and_end() {
        let _outer = Cover::enter();
        for _ in 0..3 {
            let _inner = Cover::enter();
        }
        assert_eq!(LOCAL.with(|local| local.depth.get()), 1);
    }

    #[test]
    fn a_covered_thread_is_parked_not_unwound() {
        use std::sync::mpsc;
        struct Tell(mpsc::Sender<()>);
        impl Drop for Tell {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (unwound, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let _tell = Tell(unwound);
            let _cover = Cover::enter();
            extern "C" fn leave() {
                // SAFETY: it never returns, and the cover keeps it from unwinding.
                unsafe { libc::pthread_exit(ptr::null_mut()) }
            }
            leave();
        });
        // The thread must neither unwind (it would tell) nor abort the process (no test would pass).
        assert_eq!(
            heard.recv_timeout(std::time::Duration::from_millis(200)),
            Err(mpsc::RecvTimeoutError::Timeout)
        );
    }
}
