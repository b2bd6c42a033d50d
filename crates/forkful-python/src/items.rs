//! The items of a part of a `map`: called one after the other in a worker, as long as that takes no longer than planned.

use forkful_core::sys::Stamp;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

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
            crate::ffi::call(r#fn, item.cast::<PyTuple>()?, None)?
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
