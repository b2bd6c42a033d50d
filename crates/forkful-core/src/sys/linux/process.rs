//! What the kernel says of a process by its number, and what this one asks for itself.

use super::map::page_size;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::fs;

/// Memory that a process has in RAM, in bytes; `None` when it has gone.
pub fn resident_bytes(pid: i32) -> Option<u64> {
    resident_in(&fs::read_to_string(format!("/proc/{pid}/statm")).ok()?)
}

/// The same for this process.
pub fn own_resident_bytes() -> Option<u64> {
    resident_in(&fs::read_to_string("/proc/self/statm").ok()?)
}

fn resident_in(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(page_size() as u64)
}

/// The kernel's letter for what a process is doing: R, S, D, T, Z; `None` when it has gone.
pub fn process_state(pid: i32) -> Option<char> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end + 2).map(|byte| char::from(*byte))
}

/// Has this process killed when the thread that made it ends, and says whether that is still possible: whether its parent
/// is `parent` now. If not, the parent died before the wish was heard, and the caller should leave.
pub fn die_with(parent: i32) -> bool {
    set_parent_process_death_signal(Some(Signal::KILL)).is_ok() && Pid::as_raw(getppid()) == parent
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

    #[test]
    fn a_name_with_parentheses_is_no_state() {
        assert!(dump_signal() > libc::SIGRTMIN());
    }
}
