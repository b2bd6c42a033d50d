//! How a task wants to be run: what `with_options` collects, and how it travels through a `submit` that does not know of it.

use forkful_core::procs::Limits;
use forkful_core::stats::Meter;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    /// The options of a function that this thread has pickled since it last looked.
    static PICKLED: RefCell<Option<Py<TaskOptions>>> = const { RefCell::new(None) };
}

/// The options that were found inside the call that was just pickled, for instance by a `submit` that wraps its function.
pub fn pickled() -> Option<Py<TaskOptions>> {
    PICKLED.with_borrow_mut(Option::take)
}

/// Options of a task; immutable, shared by all tasks of a view.
#[pyclass(frozen, module = "forkful._engine")]
pub struct TaskOptions {
    /// Smaller runs first.
    pub priority: i32,
    /// How often it may be run again.
    pub retries: u32,
    /// After which errors: an exception or a tuple of them; of a pool of processes something that says it of an error.
    pub retry_on: Py<PyAny>,
    /// What it is called.
    pub name: Option<Py<PyString>>,
    /// Where its cost is counted.
    pub meter: Option<Arc<Meter>>,
    /// Where it is counted for whoever decides where tasks run.
    pub gauge: Option<Arc<Meter>>,
    /// What a pool of processes allows.
    pub limits: Option<Arc<Limits>>,
}

impl TaskOptions {
    /// Whether its cost is counted.
    pub fn is_metered(&self) -> bool {
        self.meter.is_some() || self.gauge.is_some()
    }

    /// Counts a call.
    pub fn record(&self, wall: Duration, cpu: Duration) {
        for meter in [&self.meter, &self.gauge].into_iter().flatten() {
            meter.record(wall, cpu);
        }
    }
}

/// What the calls of one function have cost, wherever they ran.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Gauge {
    pub meter: Arc<Meter>,
}

#[pymethods]
impl Gauge {
    #[new]
    fn new() -> Gauge {
        Gauge {
            meter: Arc::default(),
        }
    }

    /// (finished calls, their seconds from beginning to end, their seconds of CPU time).
    fn read(&self) -> (u64, f64, f64) {
        let read = self.meter.snapshot();
        (read.calls, read.wall.as_secs_f64(), read.cpu.as_secs_f64())
    }
}

/// Puts back what was found before another call was pickled.
pub fn restore(options: Option<Py<TaskOptions>>) {
    drop(PICKLED.replace(options));
}

/// What a function with options is on the other side of a pickle.
#[pyfunction]
pub fn itself(r#fn: Py<PyAny>) -> Py<PyAny> {
    r#fn
}

#[pymethods]
impl TaskOptions {
    /// Whether something is asked for each task: then several calls can't be one.
    #[getter]
    fn per_task(&self) -> bool {
        let limited = |limits: &Arc<Limits>| limits.timeout.is_some() || limits.retries > 0;
        self.name.is_some() || self.limits.as_ref().is_some_and(limited)
    }
}

/// A function that carries options; called, it is just the function.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Optioned {
    pub options: Py<TaskOptions>,
    pub func: Py<PyAny>,
}

#[pymethods]
impl Optioned {
    #[new]
    fn new(options: Py<TaskOptions>, r#fn: Py<PyAny>) -> Optioned {
        Optioned {
            options,
            func: r#fn,
        }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        crate::ffi::call(self.func.bind(py), &args, kwargs.as_ref())
    }

    /// It travels as its function alone: the options are for the pool that pickles it.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyAny>,))> {
        let itself = py.import("forkful._engine")?.getattr("itself")?;
        restore(Some(self.options.clone_ref(py)));
        Ok((itself, (self.func.bind(py).clone(),)))
    }

    /// The options, for a machinery that runs the function in its own way.
    #[getter]
    fn _options(&self, py: Python<'_>) -> Py<TaskOptions> {
        self.options.clone_ref(py)
    }

    /// The function, as `inspect.unwrap` looks for it.
    #[getter]
    fn __wrapped__(&self, py: Python<'_>) -> Py<PyAny> {
        self.func.clone_ref(py)
    }

    fn __getattr__<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.func.bind(py).getattr(name)
    }
}
