//! The names people use for schedulers, those of A1111 and those of diffusers.

use serde_json::{Value, json};

use super::config::{SchedulerClass, SchedulerConfig};
use crate::DiffusionError;

/// A name, the class behind it, and what it sets there.
type Named = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const KARRAS: (&str, &str) = ("use_karras_sigmas", "true");
const SDE: (&str, &str) = ("algorithm_type", "\"sde-dpmsolver++\"");

/// All names that are accepted besides those of the classes; case, spaces and `_` do not matter.
pub const SCHEDULER_NAMES: [Named; 19] = [
    ("Euler", "EulerDiscreteScheduler", &[]),
    ("Euler Karras", "EulerDiscreteScheduler", &[KARRAS]),
    ("Euler a", "EulerAncestralDiscreteScheduler", &[]),
    ("Euler Ancestral", "EulerAncestralDiscreteScheduler", &[]),
    ("Heun", "HeunDiscreteScheduler", &[]),
    ("Heun Karras", "HeunDiscreteScheduler", &[KARRAS]),
    ("DPM++ 2M", "DPMSolverMultistepScheduler", &[]),
    ("DPM++ 2M Karras", "DPMSolverMultistepScheduler", &[KARRAS]),
    ("DPM++ 2M SDE", "DPMSolverMultistepScheduler", &[SDE]),
    ("DPM++ 2M SDE Karras", "DPMSolverMultistepScheduler", &[SDE, KARRAS]),
    ("DPM++ 3M", "DPMSolverMultistepScheduler", &[("solver_order", "3")]),
    ("DPM++ 3M SDE Karras", "DPMSolverMultistepScheduler", &[SDE, KARRAS, ("solver_order", "3")]),
    ("DDIM", "DDIMScheduler", &[]),
    ("DDIM Trailing", "DDIMScheduler", &[("timestep_spacing", "\"trailing\"")]),
    ("PNDM", "PNDMScheduler", &[("skip_prk_steps", "true")]),
    ("PLMS", "PNDMScheduler", &[("skip_prk_steps", "true")]),
    ("UniPC", "UniPCMultistepScheduler", &[]),
    ("UniPC Karras", "UniPCMultistepScheduler", &[KARRAS]),
    ("LCM", "LCMScheduler", &[]),
];

fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace() && *c != '_').flat_map(char::to_lowercase).collect()
}

/// The scheduler of `name` for a model whose own configuration is `base`.
pub fn scheduler_named(name: &str, base: &Value) -> Result<SchedulerConfig, DiffusionError> {
    let wanted = plain(name);
    if let Some((_, class, sets)) = SCHEDULER_NAMES.iter().find(|(known, _, _)| plain(known) == wanted) {
        let mut overrides = json!({});
        // A name says what it means, whatever the model's own scheduler is set to.
        for switch in ["use_karras_sigmas", "use_exponential_sigmas"] {
            overrides[switch] = false.into();
        }
        overrides["algorithm_type"] = "dpmsolver++".into();
        for (key, value) in *sets {
            overrides[*key] = serde_json::from_str(value).unwrap_or(Value::Null);
        }
        let class = SchedulerClass::named(class)
            .ok_or_else(|| DiffusionError::spec("scheduler", format!("{class} is unknown")))?;
        return SchedulerConfig::resolve(class, base, &overrides);
    }
    let class = ["", "Scheduler"].iter().find_map(|ending| SchedulerClass::named(&format!("{name}{ending}")));
    match class {
        Some(class) => SchedulerConfig::resolve(class, base, &Value::Null),
        None => {
            let name: String = name.chars().take(64).collect();
            let known: Vec<&str> = SCHEDULER_NAMES.iter().map(|(name, _, _)| *name).collect();
            Err(DiffusionError::spec(
                "scheduler",
                format!("{name:?} is unknown; known: {}", known.join(", ")),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_a_scheduler() {
        for (name, class, _) in SCHEDULER_NAMES {
            assert_eq!(scheduler_named(name, &json!({})).unwrap().class.name(), class, "{name}");
        }
        assert!(scheduler_named("dpm++2m karras", &json!({})).unwrap().use_karras_sigmas);
        assert!(scheduler_named("EulerDiscrete", &json!({})).is_ok());
        assert!(scheduler_named("Nonesuch", &json!({})).is_err());
    }
}
