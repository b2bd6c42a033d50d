//! The items of a part of a `map`: called one after the other in a worker, all of them or as long as that takes no longer than planned.

use crate::ffi;
use crate::once::Once;
use forkful_core::sys::Stamp;
use forkful_core::wire::TaskHead;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// Set on tasks that are a chunk: the one argument has items, with each of which the function is called.
pub const CHUNK: u32 = 1 << 29;

/// With [`CHUNK`]: an item is a call's arguments.
pub const SPREAD: u32 = 1 << 28;

/// Items between two looks at signals, for functions that are not Python's own and so don't look themselves.
const LOOK: usize = 1024;

/// Calls `fn(item)`, or `fn(*item)` if `spread`, for the items from `start` on, and appends the results.
///
/// Stops when `budget` nanoseconds have passed, after one item at least, and raises what a call raises; the number of results says where.
/// The last item's results are not kept.
#[pyfunction]
#[pyo3(signature = (r#fn, items, start, spread, results, budget))]
pub fn call_items(
    py: Python<'_>,
    r#fn: &Bound<'_, PyAny>,
    items: &Bound<'_, PyList>,
    start: usize,
    spread: bool,
    results: &Bound<'_, PyList>,
    budget: u64,
) -> PyResult<()> {
    let begun = Stamp::now();
    let mut at = start;
    while at < items.len() {
        let item = items.get_item(at)?;
        let result = if spread {
            ffi::call(r#fn, item.cast::<PyTuple>()?, None)?
        } else {
            r#fn.call1((item,))?
        };
        results.append(result)?;
        at += 1;
        if at.is_multiple_of(LOOK) {
            py.check_signals()?;
        }
        if Stamp::now().since(begun) > budget {
            break;
        }
    }
    Ok(())
}

/// Calls what a task says: once, or for each item of a chunk.
pub fn invoke<'py>(
    head: &TaskHead,
    func: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    if head.flags & CHUNK == 0 {
        return ffi::call(func, args, kwargs);
    }
    // The interpreter's own loops, which take half the time of one from here.
    static MAP: Once<Py<PyAny>> = Once::new();
    static STARMAP: Once<Py<PyAny>> = Once::new();
    let py = func.py();
    let map = if head.flags & SPREAD == 0 {
        MAP.import(py, "builtins", "map")?
    } else {
        STARMAP.import(py, "itertools", "starmap")?
    };
    let results = map.call1((func, args.get_item(0)?))?;
    py.get_type::<PyList>().call1((results,))
}

/// The results of a chunk each of whose items needs more than a call of the function; its first error is its error.
pub fn each<'py>(
    args: &Bound<'py, PyTuple>,
    call: impl Fn(Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = args.py();
    let results = PyList::empty(py);
    for (at, item) in args.get_item(0)?.try_iter()?.enumerate() {
        results.append(call(item?)?)?;
        if (at + 1).is_multiple_of(LOOK) {
            py.check_signals()?;
        }
    }
    Ok(results.into_any())
}

/// With which arguments an item is called.
pub fn arguments<'py>(head: &TaskHead, item: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let py = item.py();
    if head.flags & SPREAD == 0 {
        return PyTuple::new(py, [item]);
    }
    match item.cast_into::<PyTuple>() {
        Ok(args) => Ok(args),
        Err(other) => {
            let items: Vec<_> = other.into_inner().try_iter()?.collect::<PyResult<_>>()?;
            PyTuple::new(py, items)
        }
    }
}
