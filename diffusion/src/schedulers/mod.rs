//! The way from noise to picture, step by step: pure double-precision maths on the host.
//!
//! Each file is one of diffusers' schedulers and keeps its name. A sample is a plain slice, so everything
//! here is tested without a device.

mod config;
mod names;
mod noise_schedule;
mod scheduler;
mod scheduling_ddim;
mod scheduling_dpmsolver_multistep;
mod scheduling_euler_ancestral_discrete;
mod scheduling_euler_discrete;
mod scheduling_heun_discrete;
mod scheduling_lcm;
mod scheduling_pndm;
mod scheduling_unipc_multistep;

pub use config::{PredictionType, SchedulerClass, SchedulerConfig};
pub use names::{OwnScheduler, SCHEDULER_NAMES, own_scheduler, scheduler_named};
pub use scheduler::Scheduler;
pub(crate) use scheduler::{combine, original_weights};

use crate::DiffusionError;

/// Lays out `config` for `steps` steps.
pub fn schedule(
    config: &SchedulerConfig,
    steps: usize,
    eta: f64,
) -> Result<Box<dyn Scheduler>, DiffusionError> {
    if steps == 0 || steps > config.num_train_timesteps {
        let reason = format!("{steps} is not within 1 to {}", config.num_train_timesteps);
        return Err(DiffusionError::spec("steps", reason));
    }
    Ok(match config.class {
        SchedulerClass::Ddim => Box::new(scheduling_ddim::DdimScheduler::new(config, steps, eta)),
        SchedulerClass::Pndm => Box::new(scheduling_pndm::PndmScheduler::new(config, steps)?),
        SchedulerClass::EulerDiscrete => {
            Box::new(scheduling_euler_discrete::EulerDiscreteScheduler::new(config, steps))
        }
        SchedulerClass::EulerAncestralDiscrete => {
            Box::new(scheduling_euler_ancestral_discrete::EulerAncestralDiscreteScheduler::new(config, steps))
        }
        SchedulerClass::HeunDiscrete => {
            Box::new(scheduling_heun_discrete::HeunDiscreteScheduler::new(config, steps))
        }
        SchedulerClass::DpmSolverMultistep => {
            Box::new(scheduling_dpmsolver_multistep::DpmSolverMultistepScheduler::new(config, steps))
        }
        SchedulerClass::UniPcMultistep => {
            Box::new(scheduling_unipc_multistep::UniPcMultistepScheduler::new(config, steps))
        }
        SchedulerClass::Lcm => Box::new(scheduling_lcm::LcmScheduler::new(config, steps)?),
    })
}
