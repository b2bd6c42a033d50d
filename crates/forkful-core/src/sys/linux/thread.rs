//! Which thread this is, as the kernel sees it.

/// Whether the caller is the process's first thread, or the one that forked it.
pub fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// How often the calling thread has given its CPU up by itself, to wait for something; being put aside for another thread
/// does not count.
pub fn voluntary_switches() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole rusage, which the call writes or leaves zeroed, a valid value of plain integers.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_nvcsw).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_spawned_thread_is_not_the_main_one() {
        assert!(!std::thread::spawn(super::is_main_thread).join().unwrap());
    }

    #[test]
    fn who_sleeps_gives_the_cpu_up() {
        let before = super::voluntary_switches();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(super::voluntary_switches() > before);
    }
}
