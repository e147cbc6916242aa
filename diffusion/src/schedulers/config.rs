//! `scheduler_config.json`, read as the class it is meant for would read it.

use serde_json::{Map, Value};

use super::noise_schedule::{BetaSchedule, NoiseSchedule};
use crate::DiffusionError;

const FILE: &str = "scheduler/scheduler_config.json";

/// diffusers' scheduler classes that are drawn here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SchedulerClass {
    Ddim,
    Pndm,
    EulerDiscrete,
    EulerAncestralDiscrete,
    HeunDiscrete,
    DpmSolverMultistep,
    UniPcMultistep,
    Lcm,
}

/// What a network was trained to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictionType {
    /// The noise.
    Epsilon,
    /// The picture.
    Sample,
    /// A mixture of both.
    VPrediction,
}

/// How inference timesteps are spread over those of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TimestepSpacing {
    Linspace,
    Leading,
    Trailing,
}

/// A resolved configuration: what the file does not say is the class's default.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct SchedulerConfig {
    pub class: SchedulerClass,
    pub num_train_timesteps: usize,
    pub beta_start: f64,
    pub beta_end: f64,
    pub beta_schedule: BetaSchedule,
    pub trained_betas: Option<Vec<f64>>,
    pub prediction_type: PredictionType,
    pub timestep_spacing: TimestepSpacing,
    pub steps_offset: usize,
    pub rescale_betas_zero_snr: bool,
    pub set_alpha_to_one: bool,
    pub clip_sample: Option<f64>,
    pub solver_order: usize,
    pub algorithm_type: String,
    pub solver_type: String,
    pub lower_order_final: bool,
    pub euler_at_final: bool,
    pub use_karras_sigmas: bool,
    pub use_exponential_sigmas: bool,
    pub final_sigma_is_min: bool,
    pub sigma_min: Option<f64>,
    pub sigma_max: Option<f64>,
    pub predict_x0: bool,
    pub disable_corrector: Vec<usize>,
    pub skip_prk_steps: bool,
    pub original_inference_steps: usize,
    pub timestep_scaling: f64,
    pub log_linear: bool,
    pub lambda_min_clipped: f64,
    pub continuous: bool,
}

/// The classes by diffusers' name.
const CLASSES: [(&str, SchedulerClass); 8] = [
    ("DDIMScheduler", SchedulerClass::Ddim),
    ("PNDMScheduler", SchedulerClass::Pndm),
    ("EulerDiscreteScheduler", SchedulerClass::EulerDiscrete),
    ("EulerAncestralDiscreteScheduler", SchedulerClass::EulerAncestralDiscrete),
    ("HeunDiscreteScheduler", SchedulerClass::HeunDiscrete),
    ("DPMSolverMultistepScheduler", SchedulerClass::DpmSolverMultistep),
    ("UniPCMultistepScheduler", SchedulerClass::UniPcMultistep),
    ("LCMScheduler", SchedulerClass::Lcm),
];

impl SchedulerClass {
    /// The class of diffusers' name.
    pub fn named(name: &str) -> Option<Self> {
        CLASSES.iter().find(|(known, _)| *known == name).map(|(_, class)| *class)
    }

    /// diffusers' name.
    pub fn name(self) -> &'static str {
        CLASSES.iter().find(|(_, class)| *class == self).map_or("", |(name, _)| name)
    }
}

struct Keys<'a> {
    base: &'a Map<String, Value>,
    overrides: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.overrides.get(key).or_else(|| self.base.get(key)).filter(|value| !value.is_null())
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, DiffusionError> {
        self.get(key)
            .map_or(Ok(default), |value| value.as_f64().ok_or_else(|| wrong(key, "a number expected")))
    }

    fn count(&self, key: &str, default: usize) -> Result<usize, DiffusionError> {
        let wanted = || wrong(key, "a number from 0 to 100000 expected");
        self.get(key).map_or(Ok(default), |value| {
            value.as_u64().filter(|&count| count <= 100_000).map(|count| count as usize).ok_or_else(wanted)
        })
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, DiffusionError> {
        self.get(key)
            .map_or(Ok(default), |value| value.as_bool().ok_or_else(|| wrong(key, "true or false expected")))
    }

    fn text(&self, key: &str, default: &str) -> Result<String, DiffusionError> {
        self.get(key).map_or(Ok(default.into()), |value| {
            value.as_str().map(String::from).ok_or_else(|| wrong(key, "a text expected"))
        })
    }
}

fn wrong(key: &str, reason: &str) -> DiffusionError {
    DiffusionError::config(FILE, key, reason)
}

impl SchedulerConfig {
    /// Reads the class that the file itself names.
    pub fn from_json(config: &Value) -> Result<Self, DiffusionError> {
        let name = config["_class_name"].as_str().unwrap_or_default();
        let class = SchedulerClass::named(name).ok_or_else(|| {
            wrong("_class_name", &format!("{name:?} is not a scheduler that is drawn here"))
        })?;
        Self::resolve(class, config, &Value::Null)
    }

    /// diffusers' `Class.from_config(base, **overrides)`.
    pub fn resolve(class: SchedulerClass, base: &Value, overrides: &Value) -> Result<Self, DiffusionError> {
        use SchedulerClass::*;
        let none = Map::new();
        let keys = Keys {
            base: base.as_object().unwrap_or(&none),
            overrides: overrides.as_object().unwrap_or(&none),
        };
        let sd_betas = matches!(class, HeunDiscrete | Lcm);
        let leads = matches!(class, Ddim | Pndm | Lcm);
        for key in ["thresholding", "use_beta_sigmas", "use_flow_sigmas", "use_lu_lambdas"] {
            if keys.flag(key, false)? {
                return Err(wrong(key, "not supported"));
            }
        }
        let clips = keys.flag("clip_sample", class == Ddim)? && matches!(class, Ddim | HeunDiscrete | Lcm);
        let range = keys.number("clip_sample_range", 1.0)?;
        let config = Self {
            class,
            num_train_timesteps: keys.count("num_train_timesteps", 1000)?,
            beta_start: keys.number("beta_start", if sd_betas { 0.00085 } else { 0.0001 })?,
            beta_end: keys.number("beta_end", if sd_betas { 0.012 } else { 0.02 })?,
            beta_schedule: BetaSchedule::named(
                &keys.text("beta_schedule", if class == Lcm { "scaled_linear" } else { "linear" })?,
            )
            .ok_or_else(|| wrong("beta_schedule", "not supported"))?,
            trained_betas: trained_betas(&keys)?,
            prediction_type: match keys.text("prediction_type", "epsilon")?.as_str() {
                "epsilon" => PredictionType::Epsilon,
                "sample" => PredictionType::Sample,
                "v_prediction" => PredictionType::VPrediction,
                _ => return Err(wrong("prediction_type", "not supported")),
            },
            timestep_spacing: match keys
                .text("timestep_spacing", if leads { "leading" } else { "linspace" })?
                .as_str()
            {
                "linspace" => TimestepSpacing::Linspace,
                "leading" => TimestepSpacing::Leading,
                "trailing" => TimestepSpacing::Trailing,
                _ => return Err(wrong("timestep_spacing", "not supported")),
            },
            steps_offset: keys.count("steps_offset", 0)?,
            // The others know no such thing and go on as if it were not said.
            rescale_betas_zero_snr: keys.flag("rescale_betas_zero_snr", false)?
                && !matches!(class, Pndm | HeunDiscrete),
            set_alpha_to_one: keys.flag("set_alpha_to_one", matches!(class, Ddim | Lcm))?,
            clip_sample: clips.then_some(range),
            solver_order: keys.count("solver_order", 2)?,
            algorithm_type: algorithm_type(class, &keys)?,
            solver_type: solver_type(class, &keys)?,
            lower_order_final: keys.flag("lower_order_final", true)?,
            euler_at_final: keys.flag("euler_at_final", false)?,
            use_karras_sigmas: keys.flag("use_karras_sigmas", false)?,
            use_exponential_sigmas: keys.flag("use_exponential_sigmas", false)?,
            final_sigma_is_min: match keys.text("final_sigmas_type", "zero")?.as_str() {
                "zero" => false,
                "sigma_min" => true,
                _ => return Err(wrong("final_sigmas_type", "not supported")),
            },
            sigma_min: keys.get("sigma_min").and_then(Value::as_f64),
            sigma_max: keys.get("sigma_max").and_then(Value::as_f64),
            predict_x0: keys.flag("predict_x0", true)?,
            disable_corrector: keys
                .get("disable_corrector")
                .and_then(Value::as_array)
                .map_or(vec![], |list| {
                    list.iter().filter_map(Value::as_u64).map(|index| index as usize).collect()
                }),
            skip_prk_steps: keys.flag("skip_prk_steps", false)?,
            original_inference_steps: keys.count("original_inference_steps", 50)?,
            timestep_scaling: keys.number("timestep_scaling", 10.0)?,
            log_linear: class == EulerDiscrete && keys.text("interpolation_type", "linear")? == "log_linear",
            lambda_min_clipped: lambda_min_clipped(class, &keys)?,
            continuous: keys.text("timestep_type", "discrete")? == "continuous",
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), DiffusionError> {
        if !(2..=10_000).contains(&self.num_train_timesteps) {
            return Err(wrong("num_train_timesteps", "must be within 2 to 10000"));
        }
        if !(1..=3).contains(&self.solver_order) {
            return Err(wrong("solver_order", "must be 1, 2 or 3"));
        }
        if self.trained_betas.as_ref().is_some_and(|betas| betas.len() != self.num_train_timesteps) {
            return Err(wrong("trained_betas", "one for each of num_train_timesteps expected"));
        }
        if self.algorithm_type.ends_with("dpmsolver") && !self.final_sigma_is_min {
            return Err(wrong("final_sigmas_type", "must be sigma_min for this algorithm_type"));
        }
        if self.class == SchedulerClass::Pndm && self.prediction_type == PredictionType::Sample {
            return Err(wrong("prediction_type", "not supported by PNDMScheduler"));
        }
        let fine = self.noise_schedule().alphas_cumprod.iter().all(|alpha| (0.0..1.0).contains(alpha));
        match fine {
            true => Ok(()),
            false => Err(wrong("beta_start", "the betas do not make a noise schedule")),
        }
    }

    /// The noise of the training.
    pub fn noise_schedule(&self) -> NoiseSchedule {
        NoiseSchedule::new(self)
    }
}

fn trained_betas(keys: &Keys<'_>) -> Result<Option<Vec<f64>>, DiffusionError> {
    let Some(value) = keys.get("trained_betas") else { return Ok(None) };
    let list = value.as_array().ok_or_else(|| wrong("trained_betas", "a list expected"))?;
    list.iter()
        .map(|beta| beta.as_f64().ok_or_else(|| wrong("trained_betas", "numbers expected")))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn algorithm_type(class: SchedulerClass, keys: &Keys<'_>) -> Result<String, DiffusionError> {
    if class != SchedulerClass::DpmSolverMultistep {
        return Ok("dpmsolver++".into());
    }
    match keys.text("algorithm_type", "dpmsolver++")?.as_str() {
        "deis" => Ok("dpmsolver++".into()),
        known @ ("dpmsolver" | "dpmsolver++" | "sde-dpmsolver" | "sde-dpmsolver++") => Ok(known.into()),
        _ => Err(wrong("algorithm_type", "not supported")),
    }
}

/// Only this class knows it. JSON has no infinity, so that files say it in words or not at all.
fn lambda_min_clipped(class: SchedulerClass, keys: &Keys<'_>) -> Result<f64, DiffusionError> {
    match keys.get("lambda_min_clipped") {
        Some(Value::Number(number)) if class == SchedulerClass::DpmSolverMultistep => {
            number.as_f64().ok_or_else(|| wrong("lambda_min_clipped", "a number expected"))
        }
        _ => Ok(f64::NEG_INFINITY),
    }
}

/// Each multistep class reads the other's words as its own default.
fn solver_type(class: SchedulerClass, keys: &Keys<'_>) -> Result<String, DiffusionError> {
    let (default, own): (&str, [&str; 2]) = match class {
        SchedulerClass::UniPcMultistep => ("bh2", ["bh1", "bh2"]),
        _ => ("midpoint", ["midpoint", "heun"]),
    };
    let kind = keys.text("solver_type", default)?;
    match kind.as_str() {
        kind if own.contains(&kind) => Ok(kind.into()),
        "midpoint" | "heun" | "logrho" | "bh1" | "bh2" => Ok(default.into()),
        _ => Err(wrong("solver_type", "not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_class_does_not_know_is_passed_over() {
        let base = json!({"rescale_betas_zero_snr": true, "beta_schedule": "scaled_linear"});
        let rescales = |class| {
            SchedulerConfig::resolve(class, &base, &Value::Null).expect("it resolves").rescale_betas_zero_snr
        };
        for class in [SchedulerClass::Pndm, SchedulerClass::HeunDiscrete] {
            assert!(!rescales(class), "{class:?}");
        }
        for class in [SchedulerClass::Ddim, SchedulerClass::EulerDiscrete, SchedulerClass::UniPcMultistep] {
            assert!(rescales(class), "{class:?}");
        }
    }

    #[test]
    fn noise_without_any_picture_is_clipped_to_something() {
        let config = json!({
            "rescale_betas_zero_snr": true, "timestep_spacing": "trailing", "clip_sample": true,
            "beta_schedule": "scaled_linear"});
        let config =
            SchedulerConfig::resolve(SchedulerClass::Ddim, &config, &Value::Null).expect("it resolves");
        let mut scheduler = crate::schedulers::schedule(&config, 4, 0.0).expect("a schedule");
        let stepped = scheduler.step(0, &[0.5, -0.5], &[1.0, 1.0], None);
        assert!(stepped.iter().all(|value| value.is_finite()), "{stepped:?}");
    }
}
