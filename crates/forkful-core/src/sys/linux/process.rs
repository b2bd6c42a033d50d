//! What the kernel says of a process by its number, and what this one asks for itself.

use super::guard;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::fs;

/// Resident bytes of a process without shared memory, which is its pool's as well; `None` when it has gone.
pub fn resident_bytes(pid: i32) -> Option<u64> {
    resident_in(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The same for this process.
pub fn own_resident_bytes() -> Option<u64> {
    resident_in(&fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_in(status: &str) -> Option<u64> {
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let shared = field("RssShmem:").unwrap_or(0);
    field("VmRSS:")?.saturating_sub(shared).checked_mul(1024)
}

/// The kernel's letter for what a process is doing: R, S, D, T, Z; `None` when it has gone.
pub fn process_state(pid: i32) -> Option<char> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end + 2).map(|byte| char::from(*byte))
}

/// The number of a process's parent; `None` when it has gone.
pub fn parent_of(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

/// Whether a process has mapped this file, as [`file_identity`](super::memfd::file_identity) has it. Not knowing counts as no.
pub fn maps_file(pid: i32, (device, inode): (u64, u64)) -> bool {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let device = format!("{:02x}:{:02x}", libc::major(device), libc::minor(device));
    let file = [device, inode.to_string()];
    // Address, rights, offset, device, inode; then a name, which may be no text.
    maps.split(|byte| *byte == b'\n').any(|line| {
        let words = line.split(|byte| *byte == b' ').skip(3).take(2);
        words.eq(file.iter().map(String::as_bytes))
    })
}

/// Whether a process can answer a signal now: it does not ignore it, and has a thread that does not block it, is not stopped, and is
/// in no wait that signals don't end. Not knowing counts as yes.
pub fn hears(pid: i32, signal: i32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return process_state(pid).is_some();
    };
    tasks.flatten().any(|task| {
        let status = fs::read_to_string(task.path().join("status"));
        status.is_ok_and(|status| hears_in(&status, signal))
    })
}

fn hears_in(status: &str, signal: i32) -> bool {
    !matches!(state_in(status), Some('T' | 't' | 'Z' | 'X' | 'D'))
        && !has_in(status, "SigBlk:", signal)
        && !has_in(status, "SigIgn:", signal)
}

/// What became of a signal that a process was sent, as far as its main thread tells, which gets it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It waits, and so does the process, for a CPU.
    Due,
    /// It waits, or was taken, and its handler is over if there is one.
    Settled,
    /// Its handler runs, or the thread blocks it.
    Held,
}

/// Where a signal stands that this process was sent; `None` when it has gone.
pub fn delivery(pid: i32, signal: i32) -> Option<Delivery> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(delivery_in(&status, signal))
}

fn delivery_in(status: &str, signal: i32) -> Delivery {
    let waits = ["SigPnd:", "ShdPnd:"]
        .iter()
        .any(|set| has_in(status, set, signal));
    match (waits, has_in(status, "SigBlk:", signal), state_in(status)) {
        // Dead or stopped, in the handler too.
        (_, _, Some('Z' | 'X' | 'T' | 't')) => Delivery::Settled,
        (true, false, Some('R')) => Delivery::Due,
        (false, true, _) => Delivery::Held,
        _ => Delivery::Settled,
    }
}

fn field_in<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim())
}

fn state_in(status: &str) -> Option<char> {
    field_in(status, "State:")?.chars().next()
}

/// Whether a signal is in one of the sets that the kernel shows.
fn has_in(status: &str, set: &str, signal: i32) -> bool {
    let set = field_in(status, set).and_then(|set| u64::from_str_radix(set, 16).ok());
    set.is_some_and(|set| set >> (signal - 1) & 1 != 0)
}

/// What a process is doing that has not been heard of, as far as it has one thread and may be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// It runs, is stopped, has several threads, or can't be looked at.
    #[default]
    Unknown,
    /// It sleeps, and has been switched off so often: the same number later means that it slept all the time.
    Asleep(u64),
    /// So does it, in a wait without an end for a lock of its own: it has one thread, so nobody is left to release that.
    Stuck(u64),
}

/// What the process with this number is doing.
pub fn activity(pid: i32) -> Activity {
    let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    // Ours holds no lock of anybody's.
    let is_guard = |task: &fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name.trim_end() == guard::NAME)
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let guards = tasks.map_or(0, |tasks| tasks.flatten().filter(is_guard).count());
    // The call cannot be seen where the kernel or a policy forbids to trace: then nothing is proven.
    activity_in(&read("status"), &read("syscall"), guards)
}

fn activity_in(status: &str, syscall: &str, guards: usize) -> Activity {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()
    };
    if field("State:") != Some("S") || field("Threads:") != Some(&*(1 + guards).to_string()) {
        return Activity::Unknown;
    }
    let switches = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
        .map(|name| field(name).and_then(|count| count.parse::<u64>().ok()));
    let [Some(slept), Some(preempted)] = switches else {
        return Activity::Unknown;
    };
    if waits_for_own_lock(syscall).unwrap_or(false) {
        Activity::Stuck(slept + preempted)
    } else {
        Activity::Asleep(slept + preempted)
    }
}

/// Whether all other threads of this process sleep, each in a wait without an end for something of this process. Not knowing counts as
/// no.
pub fn only_sleepers() -> bool {
    let own = rustix::thread::gettid().as_raw_nonzero().to_string();
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return false;
    };
    tasks.flatten().all(|task| {
        task.file_name() == *own
            || fs::read_to_string(task.path().join("syscall"))
                .is_ok_and(|syscall| waits_for_own_lock(&syscall).unwrap_or(false))
    })
}

/// Whether a line of /proc/PID/syscall is a futex wait on memory that no other process shares, without a time at which it ends.
fn waits_for_own_lock(syscall: &str) -> Option<bool> {
    let mut words = syscall.split_ascii_whitespace();
    if words.next()?.parse() != Ok(libc::SYS_futex) {
        return Some(false);
    }
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (_address, operation, _value, end) = (argument()?, argument()?, argument()?, argument()?);
    let operation = operation as i32;
    let private = operation & libc::FUTEX_PRIVATE_FLAG != 0;
    let waits = matches!(
        operation & libc::FUTEX_CMD_MASK,
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET | libc::FUTEX_LOCK_PI | libc::FUTEX_LOCK_PI2
    );
    Some(private && waits && end == 0)
}

/// Has this process killed when the thread that made it ends, and says whether that is still possible: whether its parent
/// is `parent` now. If not, the parent died before the wish was heard, and the caller should leave.
pub fn die_with(parent: i32) -> bool {
    set_parent_process_death_signal(Some(Signal::KILL)).is_ok() && Pid::as_raw(getppid()) == parent
}

/// The number of the process that this one is a child of.
pub fn parent_number() -> i32 {
    Pid::as_raw(getppid())
}

/// What a worker's score for the kernel's OOM killer is raised by, in thousandths of the memory there is.
const EXPENDABLE: i32 = 100;

/// Where memory runs out, has the kernel choose this process before an equally large one: before its parent, which holds all
/// results, and whose death would be that of all workers.
pub fn die_first() {
    let file = "/proc/self/oom_score_adj";
    let score = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok());
    if let Some(score) = score {
        // Raising it is everybody's right; whoever has forbidden it has his reasons.
        let _ = fs::write(file, (score + EXPENDABLE).min(1000).to_string());
    }
}

/// The signal that asks a worker for its stacks: one that programs hardly use, past those that the C library keeps.
pub fn dump_signal() -> i32 {
    libc::SIGRTMIN() + 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_has_memory() {
        let pid = std::process::id() as i32;
        assert!(resident_bytes(pid).unwrap() > 4096);
        assert!(own_resident_bytes().unwrap() > 4096);
        assert!("RSD".contains(process_state(pid).unwrap()));
        assert_eq!(process_state(-1), None);
        assert_eq!(resident_bytes(-1), None);
    }

    const STATUS: &str = "Name:\tworker\nState:\tS (sleeping)\nThreads:\t1\nvoluntary_ctxt_switches:\t7\n\
                          nonvoluntary_ctxt_switches:\t2\n";

    fn futex(operation: i32, end: u64) -> String {
        let number = libc::SYS_futex;
        format!(
            "{number} 0x7f0c5c000b60 {operation:#x} 0x0 {end:#x} 0x0 0xffffffff 0x7ffd1 0x7f0c\n"
        )
    }

    #[test]
    fn a_signal_that_was_sent_waits_runs_or_is_over() {
        let status = |state: &str, waits: u8, blocked: u8| {
            format!(
                "State:\t{state}\nSigPnd:\t0000000000000000\nShdPnd:\t{waits:015x}0\nSigBlk:\t{blocked:015x}0\n"
            )
        };
        let at = |state, waits, blocked| delivery_in(&status(state, waits, blocked), 5);
        assert_eq!(at("R (running)", 1, 0), Delivery::Due);
        // Woken for it a moment later, or stopped.
        assert_eq!(at("S (sleeping)", 1, 0), Delivery::Settled);
        assert_eq!(at("T (stopped)", 1, 0), Delivery::Settled);
        // A handler may sleep.
        for state in ["R (running)", "S (sleeping)"] {
            assert_eq!(at(state, 0, 1), Delivery::Held);
            assert_eq!(at(state, 0, 0), Delivery::Settled);
            assert_eq!(at(state, 1, 1), Delivery::Settled);
        }
        assert_eq!(at("Z (zombie)", 0, 1), Delivery::Settled);
        assert_eq!(at("T (stopped)", 0, 1), Delivery::Settled);
        // Another signal's.
        assert_eq!(at("R (running)", 2, 2), Delivery::Settled);
        assert_eq!(delivery(-1, 5), None);
    }

    #[test]
    fn a_wait_for_an_own_lock_is_told_from_every_other_sleep() {
        // As the C library's semaphores and mutexes wait.
        let endless = [
            libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME,
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
        ];
        for operation in endless {
            assert_eq!(
                activity_in(STATUS, &futex(operation, 0), 0),
                Activity::Stuck(9)
            );
            // It ends by itself.
            assert_eq!(
                activity_in(STATUS, &futex(operation, 0x7ffd0), 0),
                Activity::Asleep(9)
            );
            // Another thread may release it.
            let two = STATUS.replace("Threads:\t1", "Threads:\t2");
            assert_eq!(
                activity_in(&two, &futex(operation, 0), 0),
                Activity::Unknown
            );
            // Not this one.
            assert_eq!(
                activity_in(&two, &futex(operation, 0), 1),
                Activity::Stuck(9)
            );
            let running = STATUS.replace("S (sleeping)", "R (running)");
            assert_eq!(activity_in(&running, "running", 0), Activity::Unknown);
        }
        // Another process may.
        assert_eq!(
            activity_in(STATUS, &futex(libc::FUTEX_WAIT, 0), 0),
            Activity::Asleep(9)
        );
        assert_eq!(
            activity_in(STATUS, "230 0x0 0x0 0x7ffd 0x0 0x0 0x0 0x7f 0x7f\n", 0),
            Activity::Asleep(9)
        );
        assert_eq!(activity_in(STATUS, "", 0), Activity::Asleep(9));
        assert_eq!(activity_in("", "", 0), Activity::Unknown);
    }

    #[test]
    fn who_blocks_or_ignores_a_signal_or_is_stopped_does_not_hear() {
        let status = |state: &str, blocked: u64, ignored: u64| {
            format!("State:\t{state}\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\n")
        };
        let bit = 1 << (39 - 1);
        assert!(hears_in(&status("S (sleeping)", 0, 0), 39));
        assert!(hears_in(&status("R (running)", !bit, !bit), 39));
        assert!(!hears_in(&status("R (running)", bit, 0), 39));
        assert!(!hears_in(&status("S (sleeping)", 0, bit), 39));
        for state in [
            "T (stopped)",
            "t (tracing stop)",
            "Z (zombie)",
            "D (disk sleep)",
        ] {
            assert!(!hears_in(&status(state, 0, 0), 39));
        }
        assert!(hears_in("", 39));
        assert!(hears(std::process::id() as i32, dump_signal()));
        assert!(!hears(-1, dump_signal()));
    }

    #[test]
    fn a_process_has_its_parent_and_the_files_that_it_has_mapped() {
        use crate::sys::{Mapping, file_identity, memfd};
        use std::os::fd::AsFd;
        let here = std::process::id() as i32;
        assert_eq!(parent_of(here), Some(parent_number()));
        assert_eq!(parent_of(-1), None);
        let file = memfd("forkful test", 4096).unwrap();
        let identity = file_identity(&file).unwrap();
        assert!(!maps_file(here, identity) && !maps_file(-1, identity));
        let mapping = Mapping::of(file.as_fd()).unwrap();
        assert!(maps_file(here, identity) && !maps_file(parent_number(), identity));
        drop(mapping);
        assert!(!maps_file(here, identity));
    }

    #[test]
    fn this_process_is_awake() {
        assert_eq!(activity(std::process::id() as i32), Activity::Unknown);
    }

    #[test]
    fn a_name_with_parentheses_is_no_state() {
        assert!(dump_signal() > libc::SIGRTMIN());
    }
}
