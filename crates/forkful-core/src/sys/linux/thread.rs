//! Which thread this is.

/// Whether the caller is the process's first thread, or the one that forked it.
pub fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_spawned_thread_is_not_the_main_one() {
        assert!(!std::thread::spawn(super::is_main_thread).join().unwrap());
    }
}
