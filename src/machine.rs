//! The machine, or the part of it that a container lets us have.

use std::path::Path;

/// Memory in all, in bytes; `None` where the system does not say.
pub(crate) fn memory_bytes() -> Option<u64> {
    memory_below(Path::new("/"))
}

/// Memory of this process, in bytes; `None` where the system does not say.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn memory_below(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let group = read("proc/self/cgroup").and_then(|text| {
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        Some(format!("sys/fs/cgroup/{}/memory.max", path.trim_matches('/')))
    });
    let limits = group.into_iter().chain([
        "sys/fs/cgroup/memory.max".to_string(),
        "sys/fs/cgroup/memory/memory.limit_in_bytes".to_string(),
    ]);
    let limits = limits.filter_map(|path| read(&path)?.trim().parse::<u64>().ok());
    limits.chain(machine).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_limit_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("a file");
        };
        assert_eq!(memory_below(root.path()), None);
        write("proc/meminfo", "MemTotal:       16000 kB\nMemFree:  10 kB\n");
        assert_eq!(memory_below(root.path()), Some(16_384_000));
        write("sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(memory_below(root.path()), Some(16_384_000));
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "4096000\n");
        assert_eq!(memory_below(root.path()), Some(4_096_000));
    }
}
