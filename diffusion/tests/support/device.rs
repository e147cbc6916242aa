//! The device that what has goldens is computed on.
#![allow(dead_code)]

use burn::tensor::Device;
use diffusion::DeviceChoice;

/// The device that `PLAYHOUSE_GOLDENS_DEVICE` names (`vulkan:0`); the processor without it.
pub fn device_choice() -> DeviceChoice {
    match std::env::var("PLAYHOUSE_GOLDENS_DEVICE") {
        Ok(name) => name.parse().unwrap_or_else(|error| panic!("{error}")),
        Err(_) => DeviceChoice::Cpu,
    }
}

/// The same, opened.
pub fn device() -> Device {
    device_choice().open().unwrap_or_else(|error| panic!("{error}"))
}
