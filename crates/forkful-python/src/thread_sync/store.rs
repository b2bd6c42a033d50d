//! The items of a queue: a deque, a list that is a stack, or a heap, as a program may see and change them.

use crate::ffi;
use crate::once::Once;
use crate::once::interned;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// In which order items leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// First in, first out.
    Fifo,
    /// Last in, first out.
    Lifo,
    /// The smallest first.
    Priority,
}

impl Order {
    /// By its number in the Python classes.
    pub fn of(number: u8) -> Order {
        match number {
            1 => Order::Lifo,
            2 => Order::Priority,
            _ => Order::Fifo,
        }
    }

    /// An empty store.
    pub fn store(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Order::Fifo => ffi::new_deque(py).map(Bound::unbind),
            Order::Lifo | Order::Priority => Ok(PyList::empty(py).into_any().unbind()),
        }
    }

    /// How many items there are.
    #[inline]
    pub fn len(self, store: &Bound<'_, PyAny>) -> PyResult<usize> {
        match ffi::deque_len(store) {
            Some(len) => Ok(len),
            None => store.len(),
        }
    }

    /// Adds one.
    #[inline]
    pub fn put(self, store: &Bound<'_, PyAny>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = store.py();
        match self {
            Order::Fifo => match ffi::deque_append(store, item) {
                Some(appended) => appended,
                None => store
                    .call_method1(interned!(py, "append"), (item,))
                    .map(drop),
            },
            Order::Lifo => match store.cast_exact::<PyList>() {
                Ok(list) => list.append(item),
                Err(_) => store
                    .call_method1(interned!(py, "append"), (item,))
                    .map(drop),
            },
            Order::Priority => heap(py)?.0.call1(py, (store, item)).map(drop),
        }
    }

    /// Takes the next one.
    #[inline]
    pub fn get(self, store: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = store.py();
        match self {
            Order::Fifo => match ffi::deque_popleft(store) {
                Some(item) => item.map(Bound::unbind),
                None => store
                    .call_method0(interned!(py, "popleft"))
                    .map(Bound::unbind),
            },
            Order::Lifo => store.call_method0(interned!(py, "pop")).map(Bound::unbind),
            Order::Priority => heap(py)?.1.call1(py, (store,)),
        }
    }
}

/// `heappush` and `heappop`.
fn heap(py: Python<'_>) -> PyResult<&(Py<PyAny>, Py<PyAny>)> {
    static HEAP: Once<(Py<PyAny>, Py<PyAny>)> = Once::new();
    HEAP.get_or_try_init(py, || {
        let heapq = py.import("heapq")?;
        Ok((
            heapq.getattr("heappush")?.unbind(),
            heapq.getattr("heappop")?.unbind(),
        ))
    })
}
