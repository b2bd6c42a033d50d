//! This program as another process, which a test looks at.

use forkful_core::sys::{pidfd_exited, pidfd_open};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The command that runs this case.
pub fn case(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["case", name]);
    command
}

/// What it says until it ends well.
pub fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A case that runs, and is read line by line.
pub struct Running {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub fn new(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// The next line.
    pub fn line(&mut self) -> String {
        let line = self.lines.next();
        line.expect("it says something before it ends").unwrap()
    }

    /// The next line, which is of process numbers, as descriptors.
    pub fn processes(&mut self) -> Vec<OwnedFd> {
        let line = self.line();
        let numbers = line.split_whitespace().map(|pid| pid.parse().unwrap());
        numbers.map(|pid| pidfd_open(pid).unwrap()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until all of them have ended.
pub fn all_end(processes: &[OwnedFd]) {
    eventually("they end", || processes.iter().all(pidfd_exited));
}

/// Waits until something is so.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::sleep(Duration::from_millis(2));
        // The watchdog has the last word.
        let _ = what;
    }
}

/// The number of the process that has made the one with this number.
pub fn parent_of(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.unwrap().trim().parse().unwrap()
}

/// Numbers of the children of this process, zombies too.
pub fn children() -> Vec<u32> {
    let own = std::process::id();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        parent.and_then(|parent| parent.trim().parse().ok()) == Some(own)
    };
    numbers.filter(is_child).collect()
}

/// What this name's link says, or a dash.
pub fn target(link: impl AsRef<OsStr>) -> String {
    let target = fs::read_link(link.as_ref());
    target.map_or("-".into(), |target| target.display().to_string())
}

/// Whether this user may do everything.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}
