//! The names people use for schedulers, those of A1111 and those of diffusers.

use serde_json::{Value, json};

use super::config::{PredictionType, SchedulerClass, SchedulerConfig, TimestepSpacing};
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

/// What a model's own configuration says of how it likes to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnScheduler {
    /// A name that [`scheduler_named`] takes.
    pub name: String,
    /// Whether the model was made for a few steps without guidance: LCM, turbo.
    pub few_steps: bool,
}

impl Default for OwnScheduler {
    fn default() -> Self {
        Self { name: DEFAULT.into(), few_steps: false }
    }
}

/// What is drawn with where a model has no better word. It needs fewer steps than the schedulers of the time in which
/// many models were published.
const DEFAULT: &str = "DPM++ 2M";

/// The scheduler that a model's configuration asks for, where it is drawn here and is none of the slow ones.
pub fn own_scheduler(config: &Value) -> OwnScheduler {
    let Ok(own) = SchedulerConfig::from_json(config) else { return OwnScheduler::default() };
    if matches!(own.class, SchedulerClass::Ddim | SchedulerClass::Pndm) {
        return OwnScheduler::default();
    }
    // Turbo models are published with steps that begin at the very end, for a network that predicts noise; others
    // that begin there have a schedule without any picture at its end.
    let euler = matches!(own.class, SchedulerClass::EulerDiscrete | SchedulerClass::EulerAncestralDiscrete);
    let turbo = euler
        && own.timestep_spacing == TimestepSpacing::Trailing
        && own.prediction_type == PredictionType::Epsilon
        && !own.rescale_betas_zero_snr;
    let same = |name: &&str| scheduler_named(name, config).is_ok_and(|named| named == own);
    let name = SCHEDULER_NAMES.iter().map(|(name, _, _)| *name).find(|name| same(name));
    OwnScheduler {
        name: name.unwrap_or(own.class.name()).into(),
        few_steps: turbo || own.class == SchedulerClass::Lcm,
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

    #[test]
    fn a_model_is_drawn_as_it_likes() {
        let own = |config: Value| {
            let own = own_scheduler(&config);
            (own.name, own.few_steps)
        };
        let sd = json!({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012});
        let with = |changes: Value| {
            let mut config = sd.clone();
            for (name, value) in changes.as_object().expect("an object") {
                config[name] = value.clone();
            }
            config
        };
        for (changes, name, few_steps) in [
            (json!({"_class_name": "PNDMScheduler"}), "DPM++ 2M", false),
            (json!({"_class_name": "DDIMScheduler", "timestep_spacing": "trailing"}), "DPM++ 2M", false),
            (json!({"_class_name": "KDPM2DiscreteScheduler"}), "DPM++ 2M", false),
            (json!({"_class_name": "EulerDiscreteScheduler"}), "Euler", false),
            (
                json!({"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true}),
                "Euler Karras",
                false,
            ),
            (
                json!({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++",
                       "use_karras_sigmas": true}),
                "DPM++ 2M SDE Karras",
                false,
            ),
            (
                json!({"_class_name": "DPMSolverMultistepScheduler", "use_exponential_sigmas": true}),
                "DPMSolverMultistepScheduler",
                false,
            ),
            (json!({"_class_name": "LCMScheduler"}), "LCM", true),
            (
                json!({"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}),
                "Euler a",
                true,
            ),
            (
                json!({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing",
                       "prediction_type": "v_prediction", "rescale_betas_zero_snr": true}),
                "Euler",
                false,
            ),
        ] {
            assert_eq!(own(with(changes.clone())), (name.to_string(), few_steps), "{changes}");
        }
    }
}
