//! Layouts of schedulers that the goldens do not have, against numbers of diffusers 0.42.

use diffusion::schedulers::{Scheduler, SchedulerConfig, schedule};
use serde_json::{Value, json};

fn laid_out(config: Value, steps: usize) -> Box<dyn Scheduler> {
    let config = SchedulerConfig::from_json(&config).expect("a configuration");
    schedule(&config, steps, 0.0).expect("a schedule")
}

fn close(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() <= 2e-5 * wanted.abs().max(1.0), "{found} is not {wanted}");
    }
}

#[test]
fn euler_in_equal_ratios_ends_at_the_smallest_noise() {
    let scheduler = laid_out(
        json!({"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
               "beta_end": 0.012, "interpolation_type": "log_linear", "timestep_spacing": "leading",
               "steps_offset": 1}),
        4,
    );
    close(scheduler.timesteps(), &[751.0, 501.0, 251.0, 1.0]);
    close(
        scheduler.sigmas().expect("levels"),
        &[
            14.614646911621094,
            3.0889875888824463,
            0.6528961062431335,
            0.13799771666526794,
            0.0291675366461277,
        ],
    );
    let karras = laid_out(
        json!({"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
               "beta_end": 0.012, "interpolation_type": "log_linear", "use_karras_sigmas": true}),
        4,
    );
    let levels = [14.614646911621094, 3.1686110496520996, 0.4469209313392639, 0.0291675366461277, 0.0];
    close(karras.sigmas().expect("levels"), &levels);
}

#[test]
fn the_cosine_schedule_is_cut_and_clipped_as_dpm_does() {
    let dpm = |changes: Value| {
        let mut config =
            json!({"_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "squaredcos_cap_v2"});
        for (name, value) in changes.as_object().expect("an object") {
            config[name] = value.clone();
        }
        laid_out(config, 6)
    };
    // The very first lies on an integer, where the last bit decides whether it is cut off; double precision does not.
    let cut = dpm(json!({"use_karras_sigmas": true}));
    close(&cut.timesteps()[1..], &[998.0, 998.0, 992.0, 837.0, 0.0]);
    let cut = dpm(json!({"use_exponential_sigmas": true}));
    close(&cut.timesteps()[1..], &[998.0, 986.0, 759.0, 73.0, 0.0]);
    let unipc = json!({"_class_name": "UniPCMultistepScheduler", "beta_schedule": "squaredcos_cap_v2",
                       "use_karras_sigmas": true});
    close(laid_out(unipc, 6).timesteps(), &[999.0, 999.0, 998.0, 993.0, 837.0, 0.0]);

    let clipped = dpm(json!({"lambda_min_clipped": -5.1}));
    close(clipped.timesteps(), &[995.0, 829.0, 663.0, 498.0, 332.0, 166.0]);
    assert!((clipped.sigmas().expect("levels")[0] - 160.41366577148438).abs() < 0.01);
    let leading = dpm(json!({"lambda_min_clipped": -5.1, "timestep_spacing": "leading", "steps_offset": 1}));
    close(leading.timesteps(), &[853.0, 711.0, 569.0, 427.0, 285.0, 143.0]);
    let trailing = dpm(json!({"lambda_min_clipped": -5.1, "timestep_spacing": "trailing"}));
    close(trailing.timesteps(), &[995.0, 828.0, 662.0, 495.0, 328.0, 162.0]);
    let fewer = dpm(json!({"lambda_min_clipped": -1.0, "timestep_spacing": "trailing"}));
    close(fewer.timesteps(), &[772.0, 605.0, 439.0, 272.0, 105.0]);
}

#[test]
fn pndm_takes_a_single_step_where_it_skips_its_start() {
    let mut scheduler = laid_out(
        json!({"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
               "beta_end": 0.012, "skip_prk_steps": true, "steps_offset": 1}),
        1,
    );
    close(scheduler.timesteps(), &[1.0]);
    close(&scheduler.step(0, &[0.5, 0.25], &[1.0, -2.0], None), &[0.9943566918373108, -2.0038907527923584]);
    let long = json!({"_class_name": "PNDMScheduler"});
    assert!(schedule(&SchedulerConfig::from_json(&long).expect("a configuration"), 1, 0.0).is_err());
}
