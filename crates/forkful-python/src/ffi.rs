//! The unsafe door of the bindings: raw creation, the collector's view, the call, and what PyO3 has no safe word for.

#![allow(unsafe_code)]

use crate::future::{FutureBase, Task};
use crate::once::Once;
use crate::value::Value;
use forkful_core::future::Slot;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFunction, PyTuple, PyType};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The Python class of which the pools make their futures.
static FUTURE_CLASS: Once<Py<PyType>> = Once::new();
/// Where in such an object the Rust part lies; 0 as long as nobody measured.
static OFFSET: AtomicUsize = AtomicUsize::new(0);

/// Says of which class the pools make their futures: a subclass of `FutureBase` whose instances need no `__init__`.
pub fn set_future_class(class: &Bound<'_, PyType>) -> PyResult<()> {
    let sample = class.call0()?;
    let base = sample.cast::<FutureBase>().map_err(|_| {
        PyTypeError::new_err("the class of a pool's futures must be a subclass of FutureBase")
    })?;
    let offset = std::ptr::from_ref(base.get()) as usize - base.as_ptr() as usize;
    OFFSET.store(offset, Ordering::Relaxed);
    // A second call is harmless: the module was imported again under another name.
    let _ = FUTURE_CLASS.set(class.py(), class.clone().unbind());
    Ok(())
}

/// Makes a future, without the 100 ns of a call through the class.
#[inline]
pub fn new_future<'py>(py: Python<'py>, state: FutureBase) -> PyResult<Bound<'py, FutureBase>> {
    let class = FUTURE_CLASS
        .get(py)
        .ok_or_else(|| PyTypeError::new_err("forkful.futures was not imported"))?;
    let class = class.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: the class is a heap type derived from FutureBase, whose tp_alloc gives a zeroed object of its size. The Rust part
    // is the only field that FutureBase adds (frozen, Send, no dict or weakref of its own: all other parts of PyO3's layout
    // are empty), and lies where `set_future_class` found it in an instance of the same class.
    unsafe {
        let alloc = (*class).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc);
        let object = alloc(class, 0);
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        let place = object
            .cast::<u8>()
            .add(OFFSET.load(Ordering::Relaxed))
            .cast::<FutureBase>();
        place.write(state);
        Ok(Bound::from_owned_ptr(py, object).cast_into_unchecked())
    }
}

/// The object as a future of this engine, if it is one.
#[inline]
pub fn into_future<'py>(object: Bound<'py, PyAny>) -> Option<Bound<'py, FutureBase>> {
    let class = FUTURE_CLASS.get(object.py())?;
    if object.get_type_ptr().cast::<ffi::PyObject>() == class.as_ptr() {
        // SAFETY: an instance of the registered class, which derives from FutureBase. Nearly all are, and one comparison
        // replaces a walk through the bases.
        return Some(unsafe { object.cast_into_unchecked() });
    }
    object.cast_into().ok()
}

/// Takes an object out of the collector's sight. Only for one that can't be part of a garbage cycle as it is.
#[inline]
pub fn untrack(object: &Bound<'_, FutureBase>) {
    // SAFETY: a live object of a class that takes part in collection; untracking twice is allowed.
    unsafe { ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) }
}

/// Puts it back.
#[inline]
pub fn track(object: &Bound<'_, FutureBase>) {
    // SAFETY: a live, complete object of a class that takes part in collection; asked first, as tracking twice is not allowed.
    unsafe {
        if ffi::PyObject_GC_IsTracked(object.as_ptr()) == 0 {
            ffi::PyObject_GC_Track(object.as_ptr().cast());
        }
    }
}

/// Whether an object can be part of a cycle at all.
#[inline]
pub fn is_container(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: any live object may be asked.
    unsafe { ffi::PyObject_IS_GC(object.as_ptr()) != 0 }
}

/// Calls with a tuple and, maybe, keywords.
#[inline]
pub fn call<'py>(
    func: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = func.py();
    let kwargs = kwargs.map_or(std::ptr::null_mut(), |kwargs| kwargs.as_ptr());
    // SAFETY: live objects of the right types; the result is owned, or null with an error set.
    unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyObject_Call(func.as_ptr(), args.as_ptr(), kwargs))
    }
}

/// Runs something in a context of its own.
pub fn in_fresh_context<R>(py: Python<'_>, run: impl FnOnce() -> R) -> PyResult<R> {
    // SAFETY: PyContext_New gives an owned context; it is entered and left once, on this thread.
    unsafe {
        let context: Bound<'_, PyAny> = Bound::from_owned_ptr_or_err(py, ffi::PyContext_New())?;
        if ffi::PyContext_Enter(context.as_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        let result = run();
        if ffi::PyContext_Exit(context.as_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(result)
    }
}

/// A copy of the caller's context variables.
pub fn copy_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: returns an owned context, or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// The address of a function's code, without asking its attributes: that would be an audit event each time.
#[inline]
pub fn address_of_code(func: &Bound<'_, PyFunction>) -> usize {
    // SAFETY: a live function, which keeps its code; the pointer is borrowed and only compared.
    unsafe { ffi::PyFunction_GetCode(func.as_ptr()) as usize }
}

/// A number that changes when somebody changes the class, or a base of it; 0 when it has none just now.
#[inline]
pub fn version_of(class: &Py<PyType>) -> u32 {
    // SAFETY: a live type object; the field is a plain number.
    unsafe { (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_version_tag }
}

/// `object.__setattr__`, with `None` for `del`.
pub fn generic_setattr(
    object: &Bound<'_, FutureBase>,
    name: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let value = value.map_or(std::ptr::null_mut(), |value| value.as_ptr());
    // SAFETY: live objects; null means delete; -1 comes with an error set.
    match unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(object.py())),
    }
}

/// `object.__dict__`, as any class with a dictionary has it.
pub fn generic_dict<'py>(object: &Bound<'py, FutureBase>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live object; returns an owned dictionary, or null with an error set.
    unsafe {
        Bound::from_owned_ptr_or_err(
            object.py(),
            ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut()),
        )
    }
}

/// Shows the collector what a future holds.
pub fn traverse(future: &FutureBase, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
    if future.is_remote() {
        // It is finished, and its hooks are taken, by threads that the collector has not stopped. Once it is finished its value
        // stays as it is; until then its pool holds it, and whatever it holds lives on anyway.
        return match future.core.value() {
            Some(Value::Object(value)) => visit.call(value),
            Some(Value::Remote(remote)) => {
                let (value, func) = remote.peek();
                value.map_or(Ok(()), |value| visit.call(value))?;
                func.map_or(Ok(()), |func| visit.call(func))
            }
            // Nothing that it can be has references.
            Some(Value::Plain(_)) | None => Ok(()),
        };
    }
    // SAFETY: the collector runs with every other thread of the interpreter stopped, and all changes to the slot and the hooks
    // of a future that no other process finishes are made by attached threads, between two points at which the collector can run.
    unsafe {
        match future.core.peek() {
            Slot::Task(Task { func, args }) => {
                visit.call(func)?;
                visit.call(args)?;
            }
            Slot::Value(Value::Object(value)) => visit.call(value)?,
            Slot::Value(Value::Plain(_) | Value::Remote(_)) | Slot::Empty => {}
        }
        future.core.peek_calls(|callback| visit.call(callback))
    }
}

/// Empties a future that the collector found to be garbage.
pub fn clear(future: &FutureBase) {
    // SAFETY: nobody can reach it any more but the collector; as in `traverse` for everybody else.
    drop(unsafe { future.core.replace(Slot::Empty) });
    drop(future.core.hooks().take_calls());
}

/// Lets the waiters of a future go that `owed` keeps alive, without the interpreter's lock.
pub fn tell(future: *const FutureBase) {
    // SAFETY: `owed` holds a reference to it until a waiter has seen the mark that `tell` sets before it touches anything else;
    // after that only the address of the word is used, to wake sleepers.
    unsafe { (*future).core.state().tell() }
}

/// A bytes object, or MemoryError: the plain way to make one panics, and the other one fills it twice.
pub fn bytes<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let len = content.len() as ffi::Py_ssize_t;
    // SAFETY: so many bytes are read there, and what is returned is a new reference to a bytes object, or null with an error.
    unsafe {
        let made = ffi::PyBytes_FromStringAndSize(content.as_ptr().cast(), len);
        Ok(Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked())
    }
}

/// A string of UTF-8, or MemoryError; UnicodeDecodeError for what is none.
pub fn text<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let len = content.len() as ffi::Py_ssize_t;
    // SAFETY: so many bytes are read there, and what is returned is a new reference, or null with an error.
    unsafe {
        let errors = std::ptr::null();
        let made = ffi::PyUnicode_DecodeUTF8(content.as_ptr().cast(), len, errors);
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// An integer, or MemoryError.
#[inline]
pub fn integer(py: Python<'_>, value: i64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: what is returned is a new reference, or null with an error.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromLongLong(value)) }
}

/// A float, or MemoryError.
#[inline]
pub fn float(py: Python<'_>, value: f64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: as above.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyFloat_FromDouble(value)) }
}

/// A tuple, or MemoryError.
pub fn tuple<'py>(py: Python<'py>, items: &[Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyTuple>> {
    // SAFETY: a new tuple that nobody else has seen, each place of which is filled once, with a reference that it then owns.
    unsafe {
        let made = ffi::PyTuple_New(items.len() as ffi::Py_ssize_t);
        let made = Bound::from_owned_ptr_or_err(py, made)?;
        for (at, item) in items.iter().enumerate() {
            let item = item.clone().into_ptr();
            ffi::PyTuple_SET_ITEM(made.as_ptr(), at as ffi::Py_ssize_t, item);
        }
        Ok(made.cast_into_unchecked())
    }
}

/// A descriptor that Python has handed over.
pub fn own_fd(fd: i32) -> OwnedFd {
    // SAFETY: Python code gives descriptors that it has made for this, and uses them no more.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A descriptor that Python lends for one call, in which its number does not change hands.
pub fn lent_fd(fd: &i32) -> BorrowedFd<'_> {
    // SAFETY: the Python code that calls keeps it open until the call returns.
    unsafe { BorrowedFd::borrow_raw(*fd) }
}

/// Copies of this process's descriptors 0 to 2; of /dev/null where one is closed.
pub fn standard_fds() -> std::io::Result<Vec<OwnedFd>> {
    let copy = |fd: i32| {
        // SAFETY: only duplicated here; a closed number gives an error.
        let copied = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned();
        copied.or_else(|_| {
            std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")
                .map(OwnedFd::from)
        })
    };
    (0..3).map(copy).collect()
}

/// What a deque can do, without the search for its methods.
struct DequeCalls {
    class: Py<PyType>,
    append: ffi::PyCFunction,
    popleft: ffi::PyCFunction,
}

static DEQUE: Once<Option<DequeCalls>> = Once::new();

/// The C function behind a method of a class, if it is called in this way.
fn method_of(class: &Bound<'_, PyType>, name: &str, flags: i32) -> Option<ffi::PyCFunction> {
    let method = class.getattr(name).ok()?;
    // SAFETY: a live object's type is compared, and its fields are read only if it is a method descriptor; the definition that
    // it points to is as old as the class. A definition with these flags holds a function of this type.
    unsafe {
        if ffi::Py_TYPE(method.as_ptr()) != &raw mut ffi::PyMethodDescr_Type {
            return None;
        }
        let definition = (*method.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_method;
        ((*definition).ml_flags == flags).then(|| (*definition).ml_meth.PyCFunction)
    }
}

fn deque_calls(py: Python<'_>) -> Option<&DequeCalls> {
    let find = || -> Option<DequeCalls> {
        let class = py.import("collections").ok()?.getattr("deque").ok()?;
        let class = class.cast_into::<PyType>().ok()?;
        Some(DequeCalls {
            append: method_of(&class, "append", ffi::METH_O)?,
            popleft: method_of(&class, "popleft", ffi::METH_NOARGS)?,
            class: class.unbind(),
        })
    };
    DEQUE.get_or_init(py, find).as_ref()
}

/// An empty deque.
pub fn new_deque(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match deque_calls(py) {
        Some(calls) => calls.class.bind(py).call0(),
        None => py.import("collections")?.getattr("deque")?.call0(),
    }
}

#[inline]
fn calls_of<'py>(object: &Bound<'py, PyAny>) -> Option<&'py DequeCalls> {
    let calls = deque_calls(object.py())?;
    (object.get_type_ptr().cast::<ffi::PyObject>() == calls.class.as_ptr()).then_some(calls)
}

/// The length of a deque; `None` for what is none.
#[inline]
pub fn deque_len(object: &Bound<'_, PyAny>) -> Option<usize> {
    calls_of(object)?;
    // SAFETY: a deque keeps its length where every object of variable size does.
    Some(unsafe { ffi::Py_SIZE(object.as_ptr()) } as usize)
}

/// `append` of a deque; `None` for what is none.
#[inline]
pub fn deque_append(object: &Bound<'_, PyAny>, item: &Bound<'_, PyAny>) -> Option<PyResult<()>> {
    let append = calls_of(object)?.append;
    // SAFETY: the function of this very class, with one argument as its flags say; it gives a new reference, or null with an
    // error set.
    let done = unsafe {
        let done = append(object.as_ptr(), item.as_ptr());
        Bound::from_owned_ptr_or_err(object.py(), done)
    };
    Some(done.map(drop))
}

/// `popleft` of a deque; `None` for what is none.
#[inline]
pub fn deque_popleft<'py>(object: &Bound<'py, PyAny>) -> Option<PyResult<Bound<'py, PyAny>>> {
    let popleft = calls_of(object)?.popleft;
    // SAFETY: as above, without an argument.
    Some(unsafe {
        let item = popleft(object.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(object.py(), item)
    })
}
