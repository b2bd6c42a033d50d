//! The items of a part of a `map`: called one after the other in a worker, all of them or as long as that takes no longer than planned.

use crate::ffi;
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

/// Calls what a task says.
pub fn invoke<'py>(
    head: &TaskHead,
    func: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (func, args) = chunk(head, func, args)?;
    ffi::call(&func, &args, kwargs)
}

/// What is called for a task that may be a chunk, and with which arguments.
pub fn chunk<'py>(
    head: &TaskHead,
    func: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
    if head.flags & CHUNK == 0 {
        return Ok((func, args));
    }
    let py = func.py();
    let name = if head.flags & SPREAD == 0 {
        pyo3::intern!(py, "run_all")
    } else {
        pyo3::intern!(py, "run_all_spread")
    };
    let run = py.import("forkful._items")?.getattr(name)?;
    let args = PyTuple::new(py, [func, args.get_item(0)?])?;
    Ok((run, args))
}
