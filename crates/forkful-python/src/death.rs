//! A death in the words that Python makes an error of.

use forkful_core::procs::record::Death;
use forkful_core::procs::{Doom, Exit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What is known of a death, for `_errors.from_end`.
pub fn facts(facts: &Bound<'_, PyDict>, death: &Death) -> PyResult<()> {
    facts.set_item("known", death.known)?;
    facts.set_item("bereft", death.bereft)?;
    facts.set_item("pid", death.pid)?;
    facts.set_item("worker", death.worker)?;
    let (code, signal) = match death.exit {
        Exit::Unknown => (None, None),
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(signal) => (None, Some(signal)),
    };
    facts.set_item("exit_code", code)?;
    facts.set_item("signal", signal)?;
    let (doom, bytes) = match death.doom {
        None => (None, None),
        Some(Doom::TimedOut) => (Some("timeout"), None),
        Some(Doom::Killed) => (Some("killed"), None),
        Some(Doom::Memory(bytes)) => (Some("memory"), Some(bytes)),
        Some(Doom::Garbage) => (Some("garbage"), None),
        Some(Doom::Start) => (Some("start"), None),
        Some(Doom::End) => (Some("end"), None),
    };
    facts.set_item("doom", doom)?;
    facts.set_item("memory", bytes)?;
    facts.set_item("memory_limit", death.limit.map(|(limit, _)| limit))?;
    let sampling = death.limit.map(|(_, sampling)| sampling.as_secs_f64());
    facts.set_item("sampling", sampling)?;
    facts.set_item("ran", death.ran.map(|ran| ran.as_secs_f64()))?;
    facts.set_item("peak", death.peak)?;
    facts.set_item("stack", death.stack.as_ref())?;
    facts.set_item("out_of_memory", death.out_of_memory)
}
