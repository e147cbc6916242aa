//! Which device a model runs on, chosen at run time by name.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;

use crate::DiffusionError;
use crate::found_device::FoundDevice;

/// A device by name: `auto`, `cpu`, `vulkan:0`, `wgpu:0` or `cuda:0`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The best that this build and machine offer.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The Vulkan device of this number, with kernels in SPIR-V where it takes them, else in WGSL.
    Vulkan(usize),
    /// The device of this number among those that the system's graphics offer, with kernels in WGSL unless the build
    /// has the feature `vulkan` too.
    Wgpu(usize),
    /// The CUDA device of this number.
    Cuda(usize),
}

/// Devices whose driver failed for good, and what it said: the runtime keeps one handle to each as long as the process lives.
static LOST: Mutex<BTreeMap<DeviceChoice, String>> = Mutex::new(BTreeMap::new());

/// Every form that a name may have.
const FORMS: &str = "auto, cpu, vulkan:N, wgpu:N, cuda:N";

impl FromStr for DeviceChoice {
    type Err = DiffusionError;

    fn from_str(text: &str) -> Result<Self, DiffusionError> {
        let unknown = || DiffusionError::Device {
            choice: text.chars().take(64).collect(),
            reason: format!("not one of {FORMS}"),
        };
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, index.parse::<u16>().map_err(|_| unknown())? as usize),
            None => (text, 0),
        };
        match (kind, text.contains(':')) {
            ("auto", false) => Ok(Self::Auto),
            ("cpu", false) => Ok(Self::Cpu),
            ("vulkan", _) => Ok(Self::Vulkan(index)),
            ("wgpu", _) => Ok(Self::Wgpu(index)),
            ("cuda", _) => Ok(Self::Cuda(index)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DiffusionError;

    fn try_from(text: String) -> Result<Self, DiffusionError> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    /// How settings name it; never `auto`.
    pub choice: DeviceChoice,
    /// What its driver calls it, of the processor what the system calls it; `None` where neither says.
    pub name: Option<String>,
    /// Its own memory in bytes; `None` where its driver does not say, and of the processor, which uses the machine's.
    pub memory_bytes: Option<u64>,
}

impl DeviceChoice {
    /// Reads several, with commas between them (`cuda:0,cuda:1`); each stands there once, and `auto` alone.
    pub fn list(text: &str) -> Result<Vec<Self>, DiffusionError> {
        let mut all: Vec<Self> = Vec::new();
        for name in text.split(',') {
            let choice: Self = name.trim().parse()?;
            choice.check_build()?;
            if all.contains(&choice) {
                return Err(choice.refused("it is named twice"));
            }
            all.push(choice);
        }
        match all.len() > 1 && all.contains(&Self::Auto) {
            true => Err(Self::Auto.refused("it stands alone: name the devices")),
            false => Ok(all),
        }
    }

    /// What `auto` means in this build and on this machine; any other choice is itself. A driver that computes on the
    /// processor is not chosen: our own loops are faster.
    pub fn resolved(self) -> Self {
        match self {
            Self::Auto => {
                let best = [Self::Cuda(0), Self::Vulkan(0), Self::Wgpu(0)]
                    .into_iter()
                    .find(|choice| choice.found().is_ok_and(|found| !found.is_software));
                best.unwrap_or(Self::Cpu)
            }
            other => other,
        }
    }

    /// Opens the device, or says why it cannot be had.
    pub fn open(self) -> Result<Device, DiffusionError> {
        match self.resolved() {
            Self::Cpu => Ok(Device::flex()),
            other => other.found().map(|found| found.device),
        }
    }

    /// Lets the device give back what it keeps for reuse, as far as nothing uses it.
    pub fn release_memory(self) {
        if let Ok(device) = self.open() {
            device.memory_cleanup();
        }
    }

    /// Opens the device and says what it is.
    pub fn facts(self) -> Result<DeviceFacts, DiffusionError> {
        let choice = self.resolved();
        if choice == Self::Cpu {
            return Ok(DeviceFacts { choice, name: processor_name(), memory_bytes: None });
        }
        let found = choice.found()?;
        let (name, memory_bytes) = found.described().ok_or_else(|| choice.refused("the driver failed"))?;
        Ok(DeviceFacts { choice, name, memory_bytes })
    }

    /// Refuses a device that no machine can have with this build; the message says what it takes.
    pub fn check_build(self) -> Result<(), DiffusionError> {
        let (kind, feature, is_built) = match self {
            Self::Auto | Self::Cpu => return Ok(()),
            Self::Vulkan(_) => ("Vulkan", "vulkan", cfg!(feature = "vulkan")),
            Self::Wgpu(_) => ("wgpu", "wgpu", cfg!(any(feature = "wgpu", feature = "vulkan"))),
            Self::Cuda(_) => ("CUDA", "cuda", cfg!(feature = "cuda")),
        };
        if is_built {
            return Ok(());
        }
        let mut accepted = vec!["auto", "cpu"];
        accepted.extend(cfg!(feature = "vulkan").then_some("vulkan:N"));
        accepted.extend(cfg!(any(feature = "wgpu", feature = "vulkan")).then_some("wgpu:N"));
        accepted.extend(cfg!(feature = "cuda").then_some("cuda:N"));
        let accepted = accepted.join(", ");
        Err(self.refused(&format!(
            "this build has no {kind} and takes {accepted}; build with the feature `{feature}`"
        )))
    }

    /// Notes that the driver of this device failed for good: from now on it does not open, and `auto` means another one.
    /// Says whether none of the others is left, decided in one step, so that of several that are lost together one hears of it.
    pub fn note_lost(self, reason: &str, others: &[Self]) -> bool {
        let device = self.resolved();
        let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
        lost.entry(device).or_insert_with(|| reason.into());
        others.iter().all(|other| lost.contains_key(other))
    }

    /// What the driver said when it failed for good, if it did.
    pub fn lost(self) -> Option<String> {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get(&self).cloned()
    }

    fn found(self) -> Result<FoundDevice, DiffusionError> {
        self.check_build()?;
        if let Some(reason) = self.lost() {
            return Err(self.refused(&format!("{reason}; it can be had again after a new start")));
        }
        // Drivers panic rather than fail when they are broken or absent.
        let found = std::panic::catch_unwind(|| FoundDevice::of(self))
            .map_err(|_| self.refused("the driver failed while its devices were listed"))?;
        found.map_err(|count| self.refused(&format!("this machine has {count} of them")))
    }

    fn refused(self, reason: &str) -> DiffusionError {
        DiffusionError::Device { choice: self.to_string(), reason: reason.into() }
    }
}

/// What the system calls the processor.
fn processor_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    let name = line.trim_start_matches([' ', '\t', ':']).trim();
    (!name.is_empty()).then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for name in ["auto", "cpu", "vulkan:0", "wgpu:1", "cuda:3"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "cpu:1", "cuda:x", "cuda:-1", "vulkan:99999999999"] {
            assert!(name.parse::<DeviceChoice>().is_err(), "{name}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_the_build_lacks_is_an_error_that_says_so() {
        let error = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
        assert!(error.contains("cuda:0") && error.contains("feature `cuda`"), "{error}");
        assert!(error.contains("takes auto, cpu"), "{error}");
    }

    #[test]
    fn several_devices_are_named_once_each() {
        assert_eq!(DeviceChoice::list("cpu").unwrap(), [DeviceChoice::Cpu]);
        assert_eq!(DeviceChoice::list("auto").unwrap(), [DeviceChoice::Auto]);
        for (text, reason) in
            [("cpu, cpu", "twice"), ("auto,cpu", "alone"), ("cpu,", "not one of"), ("", "not one of")]
        {
            let error = DeviceChoice::list(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_device_whose_driver_failed_for_good_opens_no_more() {
        let device = DeviceChoice::Wgpu(7777);
        assert!(device.open().is_err() && device.lost().is_none());
        let other = DeviceChoice::Wgpu(7778);
        assert!(!device.note_lost("it is gone", &[other]) && device.note_lost("it is gone once more", &[]));
        assert!(other.note_lost("this too", &[device]), "the last one hears that it is");
        assert_eq!(device.lost().as_deref(), Some("it is gone"));
        // A build that reaches such devices says what became of it.
        let error = device.open().unwrap_err().to_string();
        assert_eq!(error.contains("it is gone"), device.check_build().is_ok(), "{error}");
        assert!(DeviceChoice::Wgpu(0).lost().is_none());
    }

    #[test]
    fn the_processor_is_always_there() {
        assert_eq!(DeviceChoice::Cpu.facts().unwrap().choice, DeviceChoice::Cpu);
        // Whatever it is, it opens.
        let chosen = DeviceChoice::Auto.facts().unwrap().choice;
        assert!(chosen != DeviceChoice::Auto && chosen.open().is_ok(), "{chosen}");
    }
}
