//! What the kernel knows of a thread: which one it is, when it waited, when it was made to.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

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

/// How long the thread that has opened it could have run and had no CPU.
#[derive(Debug)]
pub struct RunDelay {
    schedstat: Option<File>,
}

impl RunDelay {
    /// That of the calling thread.
    pub fn open() -> RunDelay {
        RunDelay {
            schedstat: File::open("/proc/thread-self/schedstat").ok(),
        }
    }

    /// All of it until now, as the thread itself may ask; nothing where the kernel does not count it.
    pub fn read(&self) -> Duration {
        let mut text = [0; 64];
        let len = self
            .schedstat
            .as_ref()
            .and_then(|file| file.read_at(&mut text, 0).ok());
        let text = str::from_utf8(&text[..len.unwrap_or(0)]).unwrap_or_default();
        // Nanoseconds that it ran, nanoseconds that it waited for a CPU, how often it was given one.
        let delay = text.split(' ').nth(1).and_then(|word| word.parse().ok());
        Duration::from_nanos(delay.unwrap_or(0))
    }
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

    #[test]
    fn the_wait_for_a_cpu_is_the_callers() {
        let kernel = || -> u64 {
            let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
            text.split_whitespace()
                .nth(1)
                .map_or(0, |word| word.parse().unwrap())
        };
        let (before, delay, after) = std::thread::spawn(move || {
            let opened = super::RunDelay::open();
            // Where others run as well there is a wait now and then; where not, all three are 0.
            std::thread::yield_now();
            (kernel(), opened.read().as_nanos() as u64, kernel())
        })
        .join()
        .unwrap();
        assert!(
            before <= delay && delay <= after,
            "{before} {delay} {after}"
        );
    }
}
