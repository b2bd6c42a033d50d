//! What the kernel allows this process, and how much memory the machine has.

use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;

/// Largest file that may be made, in bytes; `None` without a limit.
pub fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Largest address space, in bytes; `None` without a limit.
pub fn address_space_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Physical memory in bytes.
pub fn total_memory() -> u64 {
    let info = rustix::system::sysinfo();
    // The kernel's long is 32 bits wide on some machines.
    #[allow(clippy::useless_conversion)]
    u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit))
}

/// How many processes were killed for lack of memory, as near to this process as can be told: in its control group and those
/// above it, else on the machine. A rise between two readings names the cause of a death in between.
pub fn oom_kills() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    kills_in_groups(Path::new("/sys/fs/cgroup"), &membership).or_else(|| {
        let text = fs::read_to_string("/proc/vmstat").ok()?;
        field(&text, "oom_kill")
    })
}

/// The sum over the groups that `membership` (the text of /proc/self/cgroup) names below `root`, and over their parents.
fn kills_in_groups(root: &Path, membership: &str) -> Option<u64> {
    membership
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let (mount, file) = if controllers.is_empty() {
                (root.to_owned(), "memory.events")
            } else if controllers.split(',').any(|name| name == "memory") {
                (root.join("memory"), "memory.oom_control")
            } else {
                return None;
            };
            let mut group = mount.join(path.trim_start_matches('/'));
            let mut sum = None;
            while group.starts_with(&mount) {
                let text = fs::read_to_string(group.join(file)).unwrap_or_default();
                if let Some(kills) = field(&text, "oom_kill") {
                    // A parent of version 2 counts its children in: the larger number says everything.
                    sum = Some(sum.unwrap_or(0).max(kills));
                }
                if !group.pop() {
                    break;
                }
            }
            sum
        })
        .max()
}

/// The number behind a name in lines of "name number".
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(key, value)| (key == name).then(|| value.trim().parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_memory() {
        assert!(total_memory() > 1 << 20);
        let _ = (file_size_limit(), address_space_limit(), oom_kills());
    }

    #[test]
    fn the_group_s_count_is_found() {
        let root = std::env::temp_dir().join(format!("forkful-oom-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        fs::write(root.join("a/memory.events"), "oom_kill 5\n").unwrap();
        assert_eq!(kills_in_groups(&root, "0::/a/b\n"), Some(5));
        assert_eq!(kills_in_groups(&root, "0::/c\n"), None);
        fs::create_dir_all(root.join("memory/job")).unwrap();
        fs::write(
            root.join("memory/job/memory.oom_control"),
            "under_oom 0\noom_kill 1\n",
        )
        .unwrap();
        assert_eq!(kills_in_groups(&root, "4:memory:/job\n"), Some(1));
        fs::remove_dir_all(&root).unwrap();
    }
}
