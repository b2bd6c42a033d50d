//! Arrays are born where they can be lent: numpy's allocation handler (NEP 49) for a worker's large arrays.
//!
//! What is small is numpy's own handler's, and so is what finds no segment in the purse: then one is asked for, for the next time, as an
//! allocation must not wait for another process. An array keeps the handler that it was made by, so this one serves to the end of the
//! process; each call tells by the address whose memory it is.

use forkful_core::fork;
use forkful_core::worker::Desk;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Arc, OnceLock};

/// Bytes from which on an array is born in a segment: those of the smallest one.
const LARGE: usize = 128 << 10;
/// Bytes past which zeros are left to the system, which makes them when they are read: a recycled segment is filled at once.
const MOST_ZEROS: usize = 256 << 20;

/// Places in numpy's table of functions.
const SET_HANDLER: usize = 304;
const GET_HANDLER: usize = 305;
const DEFAULT_HANDLER: usize = 306;

const CAPSULE: &CStr = c"mem_handler";

type Malloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Calloc = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void, usize);

/// `PyDataMem_Handler` of numpy's ndarraytypes.h, version 1.
#[repr(C)]
struct Handler {
    name: [c_char; 127],
    version: u8,
    context: *mut c_void,
    malloc: Malloc,
    calloc: Calloc,
    realloc: Realloc,
    free: Free,
}

/// What the handler works with: made once, and there to the end.
struct Nursery {
    desk: Arc<Desk>,
    generation: u32,
    /// numpy's own.
    plain: &'static Handler,
}

// SAFETY: numpy's handler is a constant of its module, which is never unloaded, and the functions may be called by any thread.
unsafe impl Send for Nursery {}
// SAFETY: as above.
unsafe impl Sync for Nursery {}

static NURSERY: OnceLock<Nursery> = OnceLock::new();

/// What this process is a worker of may have changed since: a worker's forked child has no births.
fn nursery() -> &'static Nursery {
    match NURSERY.get() {
        Some(nursery) => nursery,
        None => unreachable!("set before the handler is known to anybody"),
    }
}

impl Nursery {
    fn is_here(&self) -> bool {
        self.generation == fork::generation()
    }

    /// An address in a segment of its own.
    fn bear(&self, size: usize) -> Option<*mut c_void> {
        if size < LARGE || !self.is_here() {
            return None;
        }
        let holdings = self.desk.holdings();
        let Some(segment) = holdings.take(size as u64) else {
            self.desk.wish_for_segment(size as u64);
            return None;
        };
        let address = holdings.at(segment.offset, segment.len)?;
        holdings.bear(segment);
        Some(address.as_ptr().cast())
    }

    /// Whether an address is one of those, and the bytes from it to the segment's end, if the segment is there still.
    fn find(&self, address: *mut c_void) -> Option<Option<usize>> {
        self.desk.link().place_in_arena(address as usize)?;
        let found = self.desk.holdings().find(address as usize);
        Some(found.map(|segment| segment.len as usize))
    }

    fn free(&self, address: *mut c_void) -> bool {
        match self.desk.link().place_in_arena(address as usize) {
            // In a forked child it is a copy, which goes with the process.
            Some(offset) => {
                if self.is_here() {
                    self.desk.holdings().unbear(offset);
                }
                true
            }
            None => false,
        }
    }
}

/// Memory of so many bytes.
///
/// # Safety
/// As `malloc`; called by numpy.
unsafe extern "C" fn malloc(_context: *mut c_void, size: usize) -> *mut c_void {
    let nursery = nursery();
    nursery.bear(size).unwrap_or_else(|| {
        // SAFETY: numpy's own function, with its own context.
        unsafe { (nursery.plain.malloc)(nursery.plain.context, size) }
    })
}

/// Zeros.
///
/// # Safety
/// As `calloc`; called by numpy.
unsafe extern "C" fn calloc(_context: *mut c_void, count: usize, each: usize) -> *mut c_void {
    let nursery = nursery();
    let size = count.saturating_mul(each);
    if size <= MOST_ZEROS
        && let Some(address) = nursery.bear(size)
    {
        // SAFETY: a segment of at least so many bytes, which nobody else has.
        unsafe { address.cast::<u8>().write_bytes(0, size) };
        return address;
    }
    // SAFETY: numpy's own function, with its own context.
    unsafe { (nursery.plain.calloc)(nursery.plain.context, count, each) }
}

/// The same bytes in memory of another size.
///
/// # Safety
/// As `realloc`, for an address that came from here or from numpy's own handler; called by numpy.
unsafe extern "C" fn realloc(
    context: *mut c_void,
    address: *mut c_void,
    size: usize,
) -> *mut c_void {
    let nursery = nursery();
    let Some(found) = nursery.find(address) else {
        // SAFETY: numpy's own function, with its own context; the address is one of its own.
        return unsafe { (nursery.plain.realloc)(nursery.plain.context, address, size) };
    };
    let Some(len) = found else {
        // Of nobody's: numpy says that there is no memory.
        return std::ptr::null_mut();
    };
    if size <= len {
        return address;
    }
    // SAFETY: as numpy would: a larger one, and what there was before.
    unsafe {
        let larger = malloc(context, size);
        if !larger.is_null() {
            larger
                .cast::<u8>()
                .copy_from_nonoverlapping(address.cast(), len.min(size));
            nursery.free(address);
        }
        larger
    }
}

/// Memory that nobody needs.
///
/// # Safety
/// As `free`, for an address that came from here or from numpy's own handler; called by numpy.
unsafe extern "C" fn free(_context: *mut c_void, address: *mut c_void, size: usize) {
    let nursery = nursery();
    if !nursery.free(address) {
        // SAFETY: numpy's own function, with its own context; the address is one of its own.
        unsafe { (nursery.plain.free)(nursery.plain.context, address, size) }
    }
}

/// Has the calling thread's large arrays born in segments from now on, if numpy is loaded and knows how, and nobody has set a handler of
/// his own. Whether that was decided, so that it need not be asked again.
pub fn settle(py: Python<'_>, desk: &Arc<Desk>) -> PyResult<bool> {
    let modules = py.import("sys")?.getattr("modules")?;
    let mut found = None;
    for name in [
        "numpy._core._multiarray_umath",
        "numpy.core._multiarray_umath",
    ] {
        let module = modules.call_method1("get", (name,))?;
        if !module.is_none() {
            found = Some(module);
            break;
        }
    }
    let Some(module) = found else {
        return Ok(false);
    };
    let Ok(table) = module.getattr("_ARRAY_API") else {
        // In the middle of its import.
        return Ok(false);
    };
    let Ok(knows) = knows_handlers(&module) else {
        return Ok(false);
    };
    if !knows {
        return Ok(true);
    }
    // SAFETY: the capsule that numpy's headers read in the same way, in a version that has these functions (asked above), each with the
    // signature that the headers give it. The handler lives for ever.
    unsafe {
        let table =
            ffi::PyCapsule_GetPointer(table.as_ptr(), std::ptr::null()).cast::<*mut c_void>();
        if table.is_null() {
            return Err(PyErr::fetch(py));
        }
        let get: unsafe extern "C" fn() -> *mut ffi::PyObject =
            std::mem::transmute(*table.add(GET_HANDLER));
        let set: unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject =
            std::mem::transmute(*table.add(SET_HANDLER));
        let plain = *(*table.add(DEFAULT_HANDLER)).cast::<*mut ffi::PyObject>();
        let now = Bound::from_owned_ptr_or_err(py, get())?;
        if now.as_ptr() != plain {
            return Ok(true);
        }
        let known = ffi::PyCapsule_GetPointer(plain, CAPSULE.as_ptr()).cast::<Handler>();
        if known.is_null() {
            return Err(PyErr::fetch(py));
        }
        if (*known).version != 1 {
            return Ok(true);
        }
        let fresh = Nursery {
            desk: desk.clone(),
            generation: fork::generation(),
            plain: &*known,
        };
        if NURSERY.set(fresh).is_err() {
            // A worker of a worker, forked: the handler that it has inherited is its parent's, whose arrays need it.
            return Ok(true);
        }
        let handler = Box::leak(Box::new(Handler {
            name: name(),
            version: 1,
            context: std::ptr::null_mut(),
            malloc,
            calloc,
            realloc,
            free,
        }));
        let capsule =
            ffi::PyCapsule_New(std::ptr::from_mut(handler).cast(), CAPSULE.as_ptr(), None);
        let capsule = Bound::from_owned_ptr_or_err(py, capsule)?;
        let before = set(capsule.as_ptr());
        drop(Bound::from_owned_ptr_or_err(py, before)?);
    }
    Ok(true)
}

fn name() -> [c_char; 127] {
    let mut name = [0; 127];
    for (place, letter) in name.iter_mut().zip(b"forkful") {
        *place = *letter as c_char;
    }
    name
}

/// Handlers came with numpy 1.22.
fn knows_handlers(module: &Bound<'_, PyAny>) -> PyResult<bool> {
    let modules = module.py().import("sys")?.getattr("modules")?;
    let numpy = modules.call_method1("get", ("numpy",))?;
    if numpy.is_none() {
        return Ok(false);
    }
    let version: String = match numpy.getattr("__version__") {
        Ok(version) => version.extract()?,
        Err(_) => return Err(PyRuntimeError::new_err("numpy is being imported")),
    };
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    Ok(major >= 2 || major == 1 && minor >= 22)
}
