//! The process's environment, where it has to be changed.

/// Takes a variable away that this process was started with.
pub fn remove_variable(name: &str) {
    // SAFETY: called by a program's first lines, with one thread as a rule. Where a constructor has started others, those of Rust take
    // the standard library's lock, and those of C see the list of pointers move by one place: what is taken away came by exec, so
    // no memory is freed that they may be reading.
    unsafe { std::env::remove_var(name) };
}
