//! Code of users, called where a panic must not go on.
//!
//! Knows: nothing. Does not know: what is called.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls it; a panic ends with what the panic hook prints. Whether it came to its end.
pub(crate) fn quietly(call: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(()) => true,
        Err(payload) => {
            // It may panic when it is dropped: better leaked than a thread that ends.
            std::mem::forget(payload);
            false
        }
    }
}
