//! How many CPUs this process may really use: affinity and the cgroup's quota, both versions.

use rustix::thread::{sched_getaffinity, sched_getcpu, sched_setaffinity};
use std::fs;
use std::path::Path;

/// CPUs in the process's affinity mask, at least 1.
pub fn allowed_cpus() -> u32 {
    match sched_getaffinity(None) {
        Ok(set) => set.count().max(1),
        // Masks of more than 1024 CPUs don't fit: then the standard library's own way of counting serves.
        Err(_) => std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
    }
}

/// CPUs that the cgroup's quota allows, rounded up; `None` where there is no quota.
///
/// The strictest group on the way to the root counts: a container with 2 CPUs on a machine of 20 must not count 20.
pub fn quota_cpus() -> Option<u32> {
    quota_in(
        Path::new("/sys/fs/cgroup"),
        &fs::read_to_string("/proc/self/cgroup").ok()?,
    )
}

/// The CPUs to plan for: affinity and quota, whichever is smaller, at least 1.
pub fn usable_cpus() -> u32 {
    let allowed = allowed_cpus();
    quota_cpus()
        .map_or(allowed, |quota| quota.min(allowed))
        .max(1)
}

/// The smallest quota of the groups named by `membership` (the text of /proc/self/cgroup) below the mount point `root`.
fn quota_in(root: &Path, membership: &str) -> Option<u32> {
    membership
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let path = path.trim_start_matches('/');
            if controllers.is_empty() {
                strictest(root, path, |group| {
                    v2_quota(&fs::read_to_string(group.join("cpu.max")).ok()?)
                })
            } else if controllers.split(',').any(|name| name == "cpu") {
                // Version 1 is mounted under the controller's name; inside a container the path often starts at the mount.
                [root.join("cpu"), root.join(controllers)]
                    .iter()
                    .filter_map(|mount| strictest(mount, path, v1_quota))
                    .min()
            } else {
                None
            }
        })
        .min()
}

/// The smallest answer of `quota` over `path` and its parents, `root` included.
fn strictest(root: &Path, path: &str, quota: impl Fn(&Path) -> Option<u32>) -> Option<u32> {
    let mut group = root.join(path);
    let mut least = None;
    while group.starts_with(root) {
        least = [least, quota(&group)].into_iter().flatten().min();
        if !group.pop() {
            break;
        }
    }
    least
}

/// Reads `cpu.max`: "max 100000" or "150000 100000".
fn v2_quota(text: &str) -> Option<u32> {
    let (quota, period) = text.trim().split_once(' ')?;
    cpus_of(quota.parse().ok()?, period.parse().ok()?)
}

fn v1_quota(group: &Path) -> Option<u32> {
    let read = |name| {
        fs::read_to_string(group.join(name))
            .ok()?
            .trim()
            .parse::<i64>()
            .ok()
    };
    cpus_of(read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?)
}

/// Half a CPU is still one: rounding down would leave nothing, rounding up never idles a share that was paid for.
fn cpus_of(quota: i64, period: i64) -> Option<u32> {
    (quota > 0 && period > 0).then(|| {
        u32::try_from((quota + period - 1) / period)
            .unwrap_or(u32::MAX)
            .max(1)
    })
}

/// Moves the calling thread to another CPU than its own, of those that the process's first thread may use; no effect where
/// that is the only one.
pub fn leave_cpu() {
    let Ok(mut allowed) = sched_getaffinity(Some(rustix::process::getpid())) else {
        return;
    };
    allowed.unset(sched_getcpu());
    if allowed.count() > 0 {
        // A refusal leaves the thread where it is.
        let _ = sched_setaffinity(None, &allowed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_one() {
        assert!(usable_cpus() >= 1);
        assert!(usable_cpus() <= allowed_cpus());
    }

    #[test]
    fn v2_texts() {
        assert_eq!(v2_quota("max 100000\n"), None);
        assert_eq!(v2_quota("200000 100000\n"), Some(2));
        assert_eq!(v2_quota("150000 100000\n"), Some(2));
        assert_eq!(v2_quota("10000 100000\n"), Some(1));
        assert_eq!(v2_quota("nonsense"), None);
    }

    #[test]
    fn the_strictest_parent_counts() {
        let root = std::env::temp_dir().join(format!("forkful-cgroup-{}", std::process::id()));
        let leaf = root.join("a/b");
        fs::create_dir_all(&leaf).unwrap();
        fs::write(root.join("a/cpu.max"), "300000 100000").unwrap();
        fs::write(leaf.join("cpu.max"), "max 100000").unwrap();
        assert_eq!(quota_in(&root, "0::/a/b\n"), Some(3));
        fs::write(leaf.join("cpu.max"), "100000 100000").unwrap();
        assert_eq!(quota_in(&root, "0::/a/b\n"), Some(1));
        assert_eq!(quota_in(&root, "0::/\n"), None);
        let v1 = root.join("cpu/job");
        fs::create_dir_all(&v1).unwrap();
        fs::write(v1.join("cpu.cfs_quota_us"), "400000").unwrap();
        fs::write(v1.join("cpu.cfs_period_us"), "100000").unwrap();
        assert_eq!(quota_in(&root, "3:cpu,cpuacct:/job\n"), Some(4));
        fs::remove_dir_all(&root).unwrap();
    }
}
