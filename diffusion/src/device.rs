//! Which device a model runs on, chosen at run time by name.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::DiffusionError;

/// A device by name: `auto`, `cpu`, `vulkan:0` or `cuda:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The best that this build and machine offer.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The Vulkan device of this number.
    Vulkan(usize),
    /// The CUDA device of this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = DiffusionError;

    fn from_str(text: &str) -> Result<Self, DiffusionError> {
        let unknown = || DiffusionError::Device {
            choice: text.chars().take(64).collect(),
            reason: "not one of auto, cpu, vulkan:N, cuda:N".into(),
        };
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, index.parse::<u16>().map_err(|_| unknown())? as usize),
            None => (text, 0),
        };
        match (kind, text.contains(':')) {
            ("auto", false) => Ok(Self::Auto),
            ("cpu", false) => Ok(Self::Cpu),
            ("vulkan", _) => Ok(Self::Vulkan(index)),
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
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// What `auto` means in this build and on this machine; any other choice is itself.
    pub fn resolved(self) -> Self {
        match self {
            Self::Auto => {
                let best = [Self::Cuda(0), Self::Vulkan(0)].into_iter().find(|choice| choice.open().is_ok());
                best.unwrap_or(Self::Cpu)
            }
            other => other,
        }
    }

    /// Opens the device, or says why it cannot be had.
    pub fn open(self) -> Result<Device, DiffusionError> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Auto => self.resolved().open(),
            Self::Vulkan(index) => self.vulkan(index),
            Self::Cuda(index) => self.cuda(index),
        }
    }

    #[cfg(any(feature = "vulkan", feature = "cuda"))]
    fn listed(self, kind: burn::tensor::DeviceType, index: usize) -> Result<Device, DiffusionError> {
        // Drivers panic rather than fail when they are broken or absent.
        let found = std::panic::catch_unwind(|| Device::enumerate(kind).into_vec())
            .map_err(|_| self.refused("the driver failed while its devices were listed"))?;
        let count = found.len();
        found.into_iter().nth(index).ok_or_else(|| self.refused(&format!("this machine has {count} of them")))
    }

    #[cfg(feature = "vulkan")]
    fn vulkan(self, index: usize) -> Result<Device, DiffusionError> {
        self.listed(burn::tensor::DeviceType::Vulkan, index)
    }

    #[cfg(not(feature = "vulkan"))]
    fn vulkan(self, _index: usize) -> Result<Device, DiffusionError> {
        Err(self.refused("this build has no Vulkan; build with the feature `vulkan`"))
    }

    #[cfg(feature = "cuda")]
    fn cuda(self, index: usize) -> Result<Device, DiffusionError> {
        self.listed(burn::tensor::DeviceType::Cuda, index)
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(self, _index: usize) -> Result<Device, DiffusionError> {
        Err(self.refused("this build has no CUDA; build with the feature `cuda`"))
    }

    fn refused(self, reason: &str) -> DiffusionError {
        DiffusionError::Device { choice: self.to_string(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for name in ["auto", "cpu", "vulkan:0", "cuda:3"] {
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
    }
}
