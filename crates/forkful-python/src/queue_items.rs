//! What goes through a queue between processes: an item as a message, and a message as an item.
//!
//! Numbers, short strings and the like are written as they are, as [`plain`] has them; bytes and strings as their own content. All
//! else is pickled by name with multiprocessing's reductions; its large buffers, if it has any, lie beside the pickle:
//!
//! ```text
//! buffers (u32), 0 (u32), bytes of the pickle (u64), for each buffer its bytes << 1 | read-only (u64)
//! each buffer, at a multiple of 16; the pickle
//! ```
//!
//! What is read may be garbage: it is read with checks.

use crate::buffers::kept::Kept;
use crate::buffers::{Buffers, place_of};
use crate::once::Once;
use crate::{ffi, plain};
use forkful_core::shm::Cargo;
use forkful_core::sync::Owner;
use forkful_core::sync::queue::Message;
use forkful_core::sys::Cover;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PyString};
use std::sync::Arc;

/// What Python code does for queues.
struct Ways {
    /// The pickle of an object: bytes, or pieces with what they take along.
    pickled: Py<PyAny>,
    /// Warns of a dead process.
    warn: Py<PyAny>,
}

static WAYS: Once<Ways> = Once::new();

fn ways(py: Python<'_>) -> PyResult<&Ways> {
    let ways = WAYS.get(py);
    ways.ok_or_else(|| PyRuntimeError::new_err("forkful.multiprocessing.queues was not imported"))
}

/// Says how objects are pickled, and how users are warned that a process has died.
#[pyfunction]
pub fn serve_queues(py: Python<'_>, pickled: Py<PyAny>, warn: Py<PyAny>) {
    // A second call is harmless: the module was imported again under another name.
    let _ = WAYS.set(py, Ways { pickled, warn });
}

/// Says that somebody has died with a lock in his hand. Raises where warnings are errors.
pub fn warn(py: Python<'_>, owner: Owner) -> PyResult<()> {
    let _cover = Cover::enter();
    ways(py)?.warn.call1(py, (owner.pid(),)).map(drop)
}

const PLAIN: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const PICKLE: u8 = 4;
const LADEN: u8 = 5;

/// Where buffers begin.
const ALIGNED: usize = 16;
const WORD: usize = 8;

/// An item on its way in.
pub enum Item<'py> {
    /// Small, and written here.
    Own(u8, Vec<u8>),
    /// Bytes of an object's own.
    Content(u8, Bound<'py, PyBytes>),
    /// The same of a string.
    Text(Bound<'py, PyString>),
    /// What stands before it, and the rest.
    Laden(Vec<u8>, Buffers),
}

impl<'py> Item<'py> {
    /// What an object is as an item; raises what its pickler does.
    pub fn of(object: &Bound<'py, PyAny>) -> PyResult<Item<'py>> {
        if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            return Ok(Item::Content(BYTES, bytes.clone()));
        }
        if let Ok(text) = object.cast_exact::<PyString>() {
            // A lone surrogate has no form in UTF-8.
            if text.to_str().is_ok() {
                return Ok(Item::Text(text.clone()));
            }
        } else {
            let mut own = Vec::new();
            if plain::put(object, &mut own) {
                return Ok(Item::Own(PLAIN, own));
            }
            if plain::is_flat(object) {
                return Ok(Item::Content(PICKLE, plain::dump(object)?));
            }
        }
        Item::pickled(object)
    }

    fn pickled(object: &Bound<'py, PyAny>) -> PyResult<Item<'py>> {
        let py = object.py();
        // What is called may be a program's own code.
        let _cover = Cover::enter();
        let made = ways(py)?.pickled.call1(py, (object,))?.into_bound(py);
        if let Ok(bytes) = made.cast_exact::<PyBytes>() {
            return Ok(Item::Content(PICKLE, bytes.clone()));
        }
        let pieces: Bound<'_, PyList> = made.getattr("pieces")?.cast_into()?;
        let buffers: Bound<'_, PyList> = made.getattr("buffers")?.cast_into()?;
        let mut head = vec![0; 2 * WORD];
        let mut cargo = Buffers::new();
        let mut end = (2 + buffers.len()) * WORD;
        for buffer in buffers.iter() {
            let (_, len, readonly) = place_of(&buffer)?;
            head.extend((((len as u64) << 1) | u64::from(readonly)).to_le_bytes());
            let start = end.next_multiple_of(ALIGNED);
            cargo.pad(start - end);
            cargo.add(&buffer, false)?;
            end = start + len;
        }
        let mut length = 0;
        for piece in pieces.iter() {
            length += cargo.add(&piece, false)?;
        }
        head[..4].copy_from_slice(&(buffers.len() as u32).to_le_bytes());
        head[WORD..2 * WORD].copy_from_slice(&(length as u64).to_le_bytes());
        Ok(Item::Laden(head, cargo))
    }

    /// Lets go of it, with the interpreter's lock.
    pub fn release(self, py: Python<'_>) {
        if let Item::Laden(_, cargo) = self {
            cargo.release(py);
        }
    }

    /// As the engine takes it.
    pub fn message(&self) -> PyResult<Message<'_>> {
        let (kind, front) = match self {
            Item::Own(kind, own) => (*kind, &own[..]),
            Item::Content(kind, content) => (*kind, content.as_bytes()),
            Item::Text(text) => (TEXT, text.to_str()?.as_bytes()),
            Item::Laden(head, _) => (LADEN, &head[..]),
        };
        let cargo = match self {
            Item::Laden(_, cargo) => Some(cargo as &dyn Cargo),
            _ => None,
        };
        Ok(Message { kind, front, cargo })
    }
}

fn garbage() -> PyErr {
    PyValueError::new_err("the queue held bytes that are no item")
}

/// The item of a message. Its bytes are taken if the item is made over them.
pub fn read<'py>(py: Python<'py>, kind: u8, content: &mut Vec<u8>) -> PyResult<Bound<'py, PyAny>> {
    let made = match kind {
        PLAIN => plain::get(py, content),
        BYTES => ffi::bytes(py, content).map(Bound::into_any),
        TEXT => ffi::text(py, content),
        PICKLE => ffi::bytes(py, content).and_then(|pickle| loads(py, pickle.as_any(), None)),
        LADEN => return laden(py, std::mem::take(content)),
        _ => Err(garbage()),
    };
    made.map_err(|error| match error.is_instance_of::<PyMemoryError>(py) {
        true => lack(content.len()),
        false => error,
    })
}

/// There is no memory for an item of so many bytes.
fn lack(len: usize) -> PyErr {
    PyMemoryError::new_err(format!(
        "this process has no memory for an item of {len} bytes"
    ))
}

fn loads<'py>(
    py: Python<'py>,
    pickle: &Bound<'py, PyAny>,
    buffers: Option<Bound<'py, PyList>>,
) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: Once<Py<PyAny>> = Once::new();
    let loads = LOADS.import(py, "_pickle", "loads")?;
    let _cover = Cover::enter();
    match buffers {
        None => loads.call1((pickle,)),
        Some(buffers) => {
            let kwargs = pyo3::types::PyDict::new(py);
            kwargs.set_item("buffers", buffers)?;
            loads.call((pickle,), Some(&kwargs))
        }
    }
}

fn laden(py: Python<'_>, content: Vec<u8>) -> PyResult<Bound<'_, PyAny>> {
    let word = |at: usize| {
        let bytes = content.get(at * WORD..(at + 1) * WORD);
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_le_bytes).ok_or_else(garbage)
    };
    let count = (word(0)? as u32) as usize;
    let length = usize::try_from(word(1)?).map_err(|_| garbage())?;
    let mut places = Vec::new();
    let mut end = (2 + count) * WORD;
    for nth in 0..count {
        let (len, readonly) = (word(2 + nth)? >> 1, word(2 + nth)? & 1 != 0);
        let start = end.next_multiple_of(ALIGNED);
        let stop = usize::try_from(len)
            .ok()
            .and_then(|len| start.checked_add(len));
        end = stop
            .filter(|stop| *stop <= content.len())
            .ok_or_else(garbage)?;
        places.push((start, end - start, readonly));
    }
    let all = Arc::new(content);
    let view = |(start, len, readonly)| {
        let kept = Kept::new(&all, start, len, readonly).ok_or_else(garbage)?;
        PyMemoryView::from(Bound::new(py, kept)?.as_any())
    };
    let pickle = view((end, length, true))?;
    let buffers = PyList::empty(py);
    for place in places {
        buffers.append(view(place)?)?;
    }
    loads(py, &pickle, Some(buffers))
}
