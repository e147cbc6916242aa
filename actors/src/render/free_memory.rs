//! How much memory the machine has to spare, and whether a drawing fits into it.

use std::path::Path;

use diffusion::training::LoraTraining;
use diffusion::{DiffusionModel, GenerateSpec};

/// Refuses a drawing that would take more memory than there is; the message names the fields.
pub(super) fn refuse_too_large(
    model: &DiffusionModel,
    spec: &GenerateSpec,
    setting: Option<u64>,
) -> Result<(), String> {
    let needed = model.drawing_bytes(spec);
    let what = format!("width, height: drawing {}×{}", spec.width, spec.height);
    refuse_more_than(&what, needed, model.draws_on_host(), setting).or_else(|_| {
        // What led an earlier drawing makes room.
        model.forget_guides_beside(spec);
        refuse_more_than(&what, model.drawing_bytes(spec), model.draws_on_host(), setting)
    })
}

/// Refuses frames of a motion module that would take more memory than there is, before the first is drawn; the message names
/// the field. `together` of them go through the network at a time.
pub(super) fn refuse_frames(
    model: &DiffusionModel,
    spec: &GenerateSpec,
    together: usize,
    setting: Option<u64>,
) -> Result<(), String> {
    let what =
        format!("motion_context: drawing {together} frames of {}×{} together", spec.width, spec.height);
    refuse_more_than(&what, model.drawing_bytes(spec), model.draws_on_host(), setting)
}

/// Refuses a training that would take more memory than there is; the message names the fields.
pub(super) fn refuse_training(
    model: &DiffusionModel,
    settings: &LoraTraining,
    setting: Option<u64>,
) -> Result<(), String> {
    let what = format!("resolution: training at {}", settings.resolution);
    refuse_more_than(&what, model.training_bytes(settings), model.draws_on_host(), setting)
}

/// Refuses work on the machine's own memory that would take more than there is; `what` begins with the field.
pub(super) fn refuse_more_than_spare(what: &str, needed: u64, setting: Option<u64>) -> Result<(), String> {
    refuse_more_than(what, needed, true, setting)
}

fn refuse_more_than(what: &str, needed: u64, is_on_host: bool, setting: Option<u64>) -> Result<(), String> {
    // What a graphics card has to spare is known to its driver alone; its limit is the setting.
    let spare = if is_on_host { spare_bytes() } else { None };
    let limit = match (setting, spare) {
        (Some(setting), Some(spare)) => setting.min(spare),
        (limit, None) | (None, limit) => match limit {
            Some(limit) => limit,
            None => return Ok(()),
        },
    };
    if needed <= limit {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    Err(format!(
        "{what} takes about {} MiB of memory; {} MiB are to spare",
        mebibytes(needed),
        mebibytes(limit)
    ))
}

/// Bytes that the machine, or the group of processes that this one belongs to, has to spare; `None` where the system does not say.
fn spare_bytes() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| of_machine(&text));
    let root = Path::new("/sys/fs/cgroup");
    let own = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let group = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let places = [
        (root.join(group), "memory.max", "memory.current", "inactive_file"),
        (root.into(), "memory.max", "memory.current", "inactive_file"),
        (root.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ];
    let of_group = |(folder, limit, used, cache): &(std::path::PathBuf, &str, &str, &str)| {
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        of_group(&read(&folder.join(limit))?, &read(&folder.join(used))?, &stat, cache)
    };
    machine.into_iter().chain(places.iter().filter_map(of_group)).min()
}

/// `MemAvailable` of `/proc/meminfo`.
fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What a group may take beyond what it has; files that are only kept in memory make room.
fn of_group(limit: &str, used: &str, stat: &str, cache: &str) -> Option<u64> {
    let limit: u64 = limit.trim().parse().ok()?;
    let used: u64 = used.trim().parse().ok()?;
    let kept = stat.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(used.saturating_sub(kept.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_spare_is_read() {
        let meminfo = "MemTotal:       16000 kB\nMemFree:  10 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(of_machine(meminfo), Some(2 << 20));
        assert_eq!(of_machine("MemTotal: 1 kB"), None);
        let stat = "anon 5\ninactive_file 100\n";
        assert_eq!(of_group("1000\n", "400\n", stat, "inactive_file"), Some(700));
        assert_eq!(of_group("max\n", "400\n", stat, "inactive_file"), None);
        assert_eq!(of_group("300", "400", "", "inactive_file"), Some(0));
        if cfg!(target_os = "linux") {
            assert!(spare_bytes().is_some_and(|bytes| bytes > 0));
        }
    }
}
