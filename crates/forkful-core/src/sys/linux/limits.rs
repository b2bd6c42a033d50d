//! What the kernel allows this process, and how much memory the machine has.

use rustix::process::{Resource, getrlimit};

/// Largest file that may be made, in bytes; `None` without a limit.
pub fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Largest address space, in bytes; `None` without a limit.
pub fn address_space_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Free swap in bytes.
pub fn free_swap() -> u64 {
    let info = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion)]
    u64::from(info.freeswap).saturating_mul(u64::from(info.mem_unit))
}

/// Bytes that can be had without others having to give any up, as far as the kernel can tell.
pub fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

/// Physical memory in bytes.
pub fn total_memory() -> u64 {
    let info = rustix::system::sysinfo();
    // The kernel's long is 32 bits wide on some machines.
    #[allow(clippy::useless_conversion)]
    u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_memory() {
        assert!(total_memory() > 1 << 20);
        let _ = (file_size_limit(), address_space_limit());
    }
}
