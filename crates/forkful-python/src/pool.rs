//! The base class of `ThreadPoolExecutor`: `submit`, without a Python frame in between.

use crate::crew::Crew;
use crate::once::Once;
use crate::thread_map::{ThreadMap, Wish};
use crate::{detach, errors, ffi};
use forkful_core::sys::Cover;
use once_cell::race::OnceBox;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The standard library's class, to see whether somebody has replaced its `submit`.
struct Standard {
    class: Py<PyType>,
    submit: Py<PyAny>,
    /// The version of the class at which `submit` was known to be the original.
    version: AtomicU32,
}

static STANDARD: Once<Standard> = Once::new();

impl Standard {
    fn get(py: Python<'_>) -> PyResult<&'static Standard> {
        STANDARD.get_or_try_init(py, || {
            let class = py
                .import("concurrent.futures.thread")?
                .getattr("ThreadPoolExecutor")?;
            let class = class.cast_into::<PyType>()?;
            Ok(Standard {
                submit: class.getattr("submit")?.unbind(),
                class: class.unbind(),
                version: AtomicU32::new(0),
            })
        })
    }

    /// Whether `submit` was replaced on the standard library's own class: instrumentation does that. One comparison while
    /// nobody changes the class.
    #[inline]
    fn replaced<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let version = ffi::version_of(&self.class);
        if version != 0 && version == self.version.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let now = self.class.bind(py).getattr("submit")?;
        if !now.is(&self.submit) {
            return Ok(Some(now));
        }
        self.version
            .store(ffi::version_of(&self.class), Ordering::Relaxed);
        Ok(None)
    }
}

/// `submit` of an executor whose crew was handed over by its `__init__`.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct ThreadPool {
    crew: OnceBox<Py<Crew>>,
    /// The standard library's machinery does the work.
    standard: AtomicBool,
}

impl ThreadPool {
    fn standard_submit<'py>(
        slf: &Bound<'py, Self>,
        submit: &Bound<'py, PyAny>,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let head = [slf.as_any().clone(), func.clone()];
        let all = PyTuple::new(
            slf.py(),
            head.into_iter().chain(args.iter()).collect::<Vec<_>>(),
        )?;
        submit.call(all, kwargs)
    }
}

#[pymethods]
impl ThreadPool {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        ThreadPool {
            crew: OnceBox::new(),
            standard: AtomicBool::new(false),
        }
    }

    /// Queues the call ``fn(*args, **kwargs)`` and returns its future.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        slf: &Bound<'py, Self>,
        r#fn: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let _cover = Cover::enter();
        let standard = Standard::get(py)?;
        if this.standard.load(Ordering::Relaxed) {
            return ThreadPool::standard_submit(
                slf,
                standard.submit.bind(py),
                r#fn,
                &args,
                kwargs.as_ref(),
            );
        }
        if let Some(submit) = standard.replaced(py)? {
            return ThreadPool::standard_submit(slf, &submit, r#fn, &args, kwargs.as_ref());
        }
        let crew = this.crew.get().ok_or_else(errors::not_initialised)?;
        crew.get()
            .shared
            .submit(r#fn, args, kwargs, None)
            .map(Bound::into_any)
    }

    /// Whether its threads can take turns at a map; otherwise every item is to go through `submit`, as a task of its own.
    fn _takes_turns(&self, py: Python<'_>) -> PyResult<bool> {
        if self.standard.load(Ordering::Relaxed) || Standard::get(py)?.replaced(py)?.is_some() {
            return Ok(false);
        }
        let crew = self.crew.get().ok_or_else(errors::not_initialised)?;
        Ok(!crew.get().shared.minds_each_task())
    }

    /// Begins a map, after `_takes_turns` has said that this can be.
    #[pyo3(signature = (r#fn, items, spread, ordered, timeout, buffersize))]
    fn _begin_map<'py>(
        slf: &Bound<'py, Self>,
        r#fn: Bound<'py, PyAny>,
        items: Bound<'py, PyAny>,
        spread: bool,
        ordered: bool,
        timeout: Option<&Bound<'py, PyAny>>,
        buffersize: Option<usize>,
    ) -> PyResult<Bound<'py, ThreadMap>> {
        let _cover = Cover::enter();
        let crew = slf.get().crew.get().ok_or_else(errors::not_initialised)?;
        let wish = Wish {
            executor: slf.clone().into_any(),
            func: r#fn,
            items,
            spread,
            ordered,
            deadline: detach::deadline(timeout)?,
            buffersize,
        };
        ThreadMap::begin(&crew.get().shared, wish)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.crew.get() {
            Some(crew) => visit.call(crew),
            None => Ok(()),
        }
    }

    /// Hands the crew over; once.
    fn _adopt(&self, crew: Py<Crew>) {
        let _ = self.crew.set(Box::new(crew));
    }

    /// From now on the standard library's machinery does the work.
    fn _use_standard(&self) {
        self.standard.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    #[getter]
    fn _uses_standard(&self) -> bool {
        self.standard.load(Ordering::Relaxed)
    }

    /// The crew, or None before `__init__`.
    #[getter]
    fn _crew(&self, py: Python<'_>) -> Option<Py<Crew>> {
        self.crew.get().map(|crew| crew.clone_ref(py))
    }
}

/// Says of which class the pools make their futures.
#[pyfunction]
pub fn set_future_class(class: &Bound<'_, PyType>) -> PyResult<()> {
    // Executors are wanted here, and `install` can't have put our own class in the standard one's place yet.
    Standard::get(class.py())?;
    ffi::set_future_class(class)
}
