//! What workers have of the program's files, and what is left behind.

use crate::program::{case, said};
use crate::trial;
use libtest_mimic::Trial;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "what_the_program_was_left_is_not_passed_on", files);
    trial(trials, "workers_read_nothing", workers_read_nothing);
    trial(trials, "streams_may_be_closed", streams_may_be_closed);
    trial(trials, "nothing_is_left_behind", nothing_is_left_behind);
}

fn workers_read_nothing() {
    let mut command = case("reads");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"the program's")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 the program's\n");
}

fn streams_may_be_closed() {
    let program = std::env::current_exe().unwrap();
    let file = program.with_file_name(format!("forkful-test-streams-{}", std::process::id()));
    let status = Command::new("sh")
        .args(["-c", "exec \"$0\" case streams \"$1\" <&- >&- 2>&-"])
        .args([&program, &file])
        .status()
        .unwrap();
    let told = fs::read_to_string(&file);
    let _ = fs::remove_file(&file);
    assert!(status.success());
    assert_eq!(told.unwrap(), "/dev/null /dev/null /dev/null");
}

fn nothing_is_left_behind() {
    let names = |place: &Path| {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let mut ours: Vec<_> = paths
            .filter(|path| path.to_string_lossy().contains("/forkful"))
            .collect();
        ours.sort();
        ours
    };
    let memory = Path::new("/dev/shm");
    let before = names(memory);
    let program = std::env::current_exe().unwrap();
    let place = program.with_file_name(format!("forkful-test-place-{}", std::process::id()));
    fs::create_dir(&place).unwrap();
    let said = said(case("clean").env("TMPDIR", &place).current_dir(&place));
    let left = fs::read_dir(&place).unwrap().count();
    fs::remove_dir_all(&place).unwrap();
    assert_eq!((&*said, left), ("[]\n", 0));
    assert_eq!(names(memory), before);
}

fn files() {
    // Opened by somebody who knows nothing of workers, and left open for every program that is started.
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 9</dev/zero; exec \"$0\" case files"])
        .arg(std::env::current_exe().unwrap());
    assert_eq!(said(&mut command), "true false false\n");
}
