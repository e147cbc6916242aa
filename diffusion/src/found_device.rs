//! Devices beside the processor that this build reaches and this machine has.

use burn::tensor::Device;

use crate::DeviceChoice;

#[cfg(any(feature = "vulkan", feature = "wgpu", feature = "cuda"))]
pub(crate) use reached::FoundDevice;

/// Without a feature for one there is none.
#[cfg(not(any(feature = "vulkan", feature = "wgpu", feature = "cuda")))]
pub(crate) struct FoundDevice {
    pub device: Device,
    pub is_software: bool,
}

#[cfg(not(any(feature = "vulkan", feature = "wgpu", feature = "cuda")))]
impl FoundDevice {
    pub fn of(_choice: DeviceChoice) -> Result<Self, usize> {
        Err(0)
    }

    pub fn described(&self) -> Option<(Option<String>, Option<u64>)> {
        None
    }
}

#[cfg(any(feature = "vulkan", feature = "wgpu", feature = "cuda"))]
mod reached {
    use burn::cubecl;
    use burn::cubecl::device::DeviceUnavailable;
    #[cfg(any(feature = "vulkan", feature = "wgpu"))]
    use burn::cubecl::device::WgpuDeviceKind as Kind;
    #[cfg(any(feature = "vulkan", feature = "wgpu"))]
    use burn::tensor::DeviceKind;

    use super::{Device, DeviceChoice};

    /// A device of this machine.
    pub(crate) struct FoundDevice {
        /// The device as tensors take it.
        pub device: Device,
        /// Whether it is a driver that computes on the processor.
        pub is_software: bool,
        /// The same device as its runtime knows it.
        runtime: cubecl::Device,
    }

    impl FoundDevice {
        /// The device of a choice, or how many of its kind there are.
        pub fn of(choice: DeviceChoice) -> Result<Self, usize> {
            match choice {
                #[cfg(feature = "vulkan")]
                DeviceChoice::Vulkan(index) => graphics(index, cubecl::Device::vulkan, Device::vulkan),
                #[cfg(any(feature = "vulkan", feature = "wgpu"))]
                DeviceChoice::Wgpu(index) => graphics(index, cubecl::Device::wgpu, Device::wgpu),
                #[cfg(feature = "cuda")]
                DeviceChoice::Cuda(index) => match cubecl::Device::cuda(index) {
                    Ok(runtime) => Ok(Self { device: Device::cuda(index), is_software: false, runtime }),
                    Err(DeviceUnavailable::NoSuchDevice { available, .. }) => Err(available),
                    Err(DeviceUnavailable::NotLinked(_)) => Err(0),
                },
                _ => Err(0),
            }
        }

        /// What its driver calls it, and its memory in bytes where the driver says; `None` where the driver fails. Opens
        /// the device.
        pub fn described(&self) -> Option<(Option<String>, Option<u64>)> {
            // Drivers panic when a device cannot be opened.
            std::panic::catch_unwind(|| {
                let client = self.runtime.client();
                let properties = client.properties();
                (Some(properties.identity.name.clone()), properties.memory.max_memory())
            })
            .ok()
        }
    }

    /// The device of this number on a graphics interface: cards of their own first, then those that share the machine's
    /// memory, and drivers that compute on the processor last.
    #[cfg(any(feature = "vulkan", feature = "wgpu"))]
    fn graphics(
        index: usize,
        runtime: impl Fn(Kind) -> Result<cubecl::Device, DeviceUnavailable>,
        device: impl Fn(DeviceKind) -> Device,
    ) -> Result<FoundDevice, usize> {
        let kinds: [(fn(usize) -> Kind, fn(usize) -> DeviceKind); 4] = [
            (Kind::DiscreteGpu, DeviceKind::DiscreteGpu),
            (Kind::IntegratedGpu, DeviceKind::IntegratedGpu),
            (Kind::VirtualGpu, DeviceKind::VirtualGpu),
            (|_| Kind::Cpu, |_| DeviceKind::Cpu),
        ];
        let mut before = 0;
        for (kind, device_kind) in kinds {
            let is_software = kind(0) == Kind::Cpu;
            // The interface has no numbers for drivers on the processor: there is one.
            for of_kind in 0..if is_software { 1 } else { usize::from(u16::MAX) } {
                let Ok(runtime) = runtime(kind(of_kind)) else { break };
                if before == index {
                    return Ok(FoundDevice { device: device(device_kind(of_kind)), is_software, runtime });
                }
                before += 1;
            }
        }
        Err(before)
    }
}
