//! What a future ends with: an object, or what another process has sent, read when somebody asks.

use crate::plain::Plain;
use crate::remote::Remote;
use pyo3::prelude::*;

/// What a future of this module ends with.
pub enum Value {
    /// The value, or the error.
    Object(Py<PyAny>),
    /// The same from another process, read when somebody asks.
    Remote(Box<Remote>),
    /// A number or a string from another process, likewise.
    Plain(Box<Plain>),
}

impl Value {
    /// Whether it is an error, and the object.
    pub fn object(&self, py: Python<'_>, raised: bool) -> PyResult<(bool, Py<PyAny>)> {
        Ok(match self {
            Value::Object(object) => (raised, object.clone_ref(py)),
            Value::Remote(remote) => remote.object(py)?,
            Value::Plain(plain) => plain.object(py),
        })
    }

    /// Whether it is an error, as far as that can be said without reading it.
    pub fn raised(&self, raised: bool) -> bool {
        match self {
            Value::Object(_) => raised,
            Value::Remote(remote) => remote.raised(),
            Value::Plain(_) => false,
        }
    }
}
