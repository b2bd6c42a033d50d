//! This process's control groups for memory, of both versions: what they allow, what is left, and how often it was too little.

use super::limits::free_swap;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";
const MEMBERSHIP: &str = "/proc/self/cgroup";

/// A group, and what its version calls things.
#[derive(Clone, Debug)]
struct Group {
    place: PathBuf,
    second: bool,
}

impl Group {
    fn text(&self, second: &str, first: &str) -> String {
        let name = if self.second { second } else { first };
        fs::read_to_string(self.place.join(name)).unwrap_or_default()
    }

    /// Bytes that its processes may have; `None` without a limit.
    fn limit(&self) -> Option<u64> {
        let text = self.text("memory.max", "memory.limit_in_bytes");
        // Version 1 has a number for no limit, near the largest there is.
        text.trim().parse().ok().filter(|limit| *limit < 1 << 60)
    }

    /// Bytes that they have, without what the kernel would give up first.
    fn used(&self) -> Option<u64> {
        let text = self.text("memory.current", "memory.usage_in_bytes");
        let stat = self.text("memory.stat", "memory.stat");
        let names: &[&str] = if self.second {
            &["inactive_file", "active_file", "slab_reclaimable"]
        } else {
            &["total_inactive_file", "total_active_file"]
        };
        let given_up = names.iter().filter_map(|name| field(&stat, name)).sum();
        let used: u64 = text.trim().parse().ok()?;
        Some(used.saturating_sub(given_up))
    }

    fn kills(&self) -> Option<u64> {
        field(
            &self.text("memory.events", "memory.oom_control"),
            "oom_kill",
        )
    }
}

/// The groups that `membership` (the text of /proc/self/cgroup) names below `root`, each with those above it.
fn groups(root: &Path, membership: &str) -> Vec<Group> {
    let mut found = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let second = controllers.is_empty();
        let mount = match second {
            true => root.to_owned(),
            false if controllers.split(',').any(|name| name == "memory") => root.join("memory"),
            false => continue,
        };
        let mut place = mount.join(path.trim_start_matches('/'));
        while place.starts_with(&mount) {
            found.push(Group {
                place: place.clone(),
                second,
            });
            if !place.pop() {
                break;
            }
        }
    }
    found
}

/// The number behind a name in lines of "name number".
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(key, value)| (key == name).then(|| value.trim().parse().ok())?)
}

/// How many processes were killed for lack of memory, as near to this process as can be told: in its control group and those
/// above it, else on the machine. A rise between two readings names the cause of a death in between.
pub fn oom_kills() -> Option<u64> {
    let membership = fs::read_to_string(MEMBERSHIP).unwrap_or_default();
    kills_in_groups(Path::new(ROOT), &membership).or_else(|| {
        let text = fs::read_to_string("/proc/vmstat").ok()?;
        field(&text, "oom_kill")
    })
}

fn kills_in_groups(root: &Path, membership: &str) -> Option<u64> {
    // A parent of version 2 counts its children in: the larger number says everything.
    groups(root, membership)
        .iter()
        .filter_map(Group::kills)
        .max()
}

/// The groups of this process that limit its memory, as they were when they were looked for.
#[derive(Clone, Debug, Default)]
pub struct MemoryGroups(Vec<Group>);

impl MemoryGroups {
    /// Looks for them.
    pub fn find() -> MemoryGroups {
        let membership = fs::read_to_string(MEMBERSHIP).unwrap_or_default();
        MemoryGroups::below(Path::new(ROOT), &membership)
    }

    fn below(root: &Path, membership: &str) -> MemoryGroups {
        let mut found = groups(root, membership);
        found.retain(|group| group.limit().is_some());
        MemoryGroups(found)
    }

    /// The smallest limit, in bytes; `None` where there is none.
    pub fn limit(&self) -> Option<u64> {
        self.0.iter().filter_map(Group::limit).min()
    }

    /// Bytes that can still be had before the kernel kills for them; `None` where that is not limited.
    pub fn room(&self) -> Option<u64> {
        let room = |group: &Group| Some(group.limit()?.saturating_sub(group.used()?));
        let least = self.0.iter().filter_map(room).min()?;
        // Whether they may swap is another limit: what is not known is no reason to refuse anything.
        Some(least.saturating_add(free_swap()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("forkful-{name}-{}", std::process::id()));
        for (file, text) in files {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    #[test]
    fn the_group_s_kills_are_found() {
        let root = scene(
            "kills",
            &[
                ("a/b/memory.events", "low 0\noom 3\noom_kill 2\n"),
                ("a/memory.events", "oom_kill 5\n"),
                ("memory/job/memory.oom_control", "under_oom 0\noom_kill 1\n"),
            ],
        );
        assert_eq!(kills_in_groups(&root, "0::/a/b\n"), Some(5));
        assert_eq!(kills_in_groups(&root, "0::/c\n"), None);
        assert_eq!(kills_in_groups(&root, "4:memory:/job\n"), Some(1));
        fs::remove_dir_all(&root).unwrap();
        let _ = oom_kills();
    }

    #[test]
    fn the_strictest_group_limits() {
        let root = scene(
            "limits",
            &[
                ("a/memory.max", "1000000\n"),
                ("a/memory.current", "900000\n"),
                (
                    "a/memory.stat",
                    "anon 1\ninactive_file 100000\nactive_file 50000\nslab_reclaimable 7\n",
                ),
                ("a/b/memory.max", "max\n"),
                ("a/b/memory.current", "100\n"),
                ("memory/job/memory.limit_in_bytes", "5000000\n"),
                ("memory/job/memory.usage_in_bytes", "1000000\n"),
                (
                    "memory/job/memory.stat",
                    "inactive_file 5\ntotal_inactive_file 2000\n",
                ),
                ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/memory.usage_in_bytes", "99\n"),
            ],
        );
        let second = MemoryGroups::below(&root, "0::/a/b\n");
        assert_eq!(second.limit(), Some(1_000_000));
        assert_eq!(second.room(), Some(250_007 + free_swap()));
        let first = MemoryGroups::below(&root, "9:pids:/job\n4:cpu,memory:/job\n0::/none\n");
        assert_eq!(first.limit(), Some(5_000_000));
        assert_eq!(first.room(), Some(4_002_000 + free_swap()));
        let neither = MemoryGroups::below(&root, "4:memory:/\n");
        assert_eq!((neither.limit(), neither.room()), (None, None));
        fs::remove_dir_all(&root).unwrap();
        let _ = MemoryGroups::find().room();
    }
}
