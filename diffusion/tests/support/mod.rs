//! Golden files and the judgement over them.
#![allow(dead_code)]

pub mod device;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
pub use device::{device, device_choice};
use diffusion::DeviceChoice;
use diffusion::pipelines::stable_diffusion::{Parts, StableDiffusion};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// A tensor from a golden file; integers are kept as they are.
#[derive(Debug, Clone)]
pub struct Golden {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

pub struct Goldens {
    pub name: String,
    pub folder: PathBuf,
    pub json: Value,
    pub tensors: BTreeMap<String, Golden>,
    pub model: StableDiffusion,
}

pub fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // Python writes infinities that JSON does not know.
    let text =
        text.replace(": -Infinity", ": null").replace(": Infinity", ": null").replace(": NaN", ": null");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn read_tensors(path: &Path) -> BTreeMap<String, Golden> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let read = |view: &safetensors::tensor::TensorView<'_>| -> Vec<f64> {
        let fours = view.data().as_chunks::<4>().0.iter();
        match view.dtype() {
            Dtype::F32 => fours.map(|&chunk| f64::from(f32::from_le_bytes(chunk))).collect(),
            Dtype::U8 => view.data().iter().map(|&byte| f64::from(byte)).collect(),
            Dtype::I32 => fours.map(|&chunk| f64::from(i32::from_le_bytes(chunk))).collect(),
            other => panic!("{}: golden of type {other:?}", path.display()),
        }
    };
    file.tensors()
        .into_iter()
        .map(|(name, view)| (name, Golden { shape: view.shape().to_vec(), values: read(&view) }))
        .collect()
}

/// The device that the environment names, unless that is the processor.
pub fn other_device() -> Option<Device> {
    let choice = device_choice();
    let facts = choice.facts().unwrap_or_else(|error| panic!("{error}"));
    (facts.choice != DeviceChoice::Cpu).then(|| {
        say(&format!("on {facts:?}"));
        choice.open().unwrap_or_else(|error| panic!("{error}"))
    })
}

pub fn build(folder: &Path) -> StableDiffusion {
    Parts::open(folder).unwrap().build(&device(), burn::tensor::DType::F32).unwrap()
}

impl Goldens {
    pub fn open(folder: &Path) -> Self {
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            folder: folder.into(),
            json: read_json(&folder.join("goldens.json")),
            tensors: read_tensors(&folder.join("goldens.safetensors")),
            model: build(folder),
        }
    }

    pub fn tensor(&self, name: &str) -> &Golden {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.name))
    }
}

/// Writes a line that shows even when the test passes.
pub fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// What was checked, and what failed.
#[derive(Default)]
pub struct Report {
    what: String,
    checked: usize,
    /// How many cases of each model, or of each run.
    cases: BTreeMap<String, usize>,
    worst: f64,
    failures: Vec<String>,
    used: std::collections::BTreeSet<String>,
}

impl Report {
    pub fn of(what: &str) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    fn count(&mut self, model: &str, name: &str) {
        self.checked += 1;
        let mut parts = name.split('.');
        let case = match (parts.next(), parts.next()) {
            (Some(kind @ ("txt2img" | "img2img" | "inpaint")), Some(run)) => format!("{model} {kind}.{run}"),
            (Some(kind), _) => format!("{model} {kind}"),
            _ => model.into(),
        };
        *self.cases.entry(case).or_default() += 1;
    }

    /// Passes if the error stays within `max(2e-5, 20 × f64_max_abs_err)`.
    pub fn judge(&mut self, model: &str, name: &str, golden: &Golden, json: &Value, found: &[f32]) {
        let found: Vec<f64> = found.iter().map(|&value| f64::from(value)).collect();
        self.judge_wide(model, name, golden, json, &found);
    }

    pub fn judge_wide(&mut self, model: &str, name: &str, golden: &Golden, json: &Value, found: &[f64]) {
        let of_f32 = json["tensors"][name]["f64_max_abs_err"].as_f64().unwrap_or(0.0);
        self.within(model, name, golden, (20.0 * of_f32).max(2e-5), found);
    }

    pub fn within(&mut self, model: &str, name: &str, golden: &Golden, limit: f64, found: &[f64]) {
        self.count(model, name);
        self.used.insert(format!("{model}/{name}"));
        if golden.values.len() != found.len() {
            let lengths = (golden.values.len(), found.len());
            self.failures
                .push(format!("{model} {name}: {} numbers expected, {} found", lengths.0, lengths.1));
            return;
        }
        let error = golden
            .values
            .iter()
            .zip(found)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, |worst: f64, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) });
        self.worst = self.worst.max(error / limit);
        if error > limit {
            self.failures.push(format!("{model} {name}: error {error:.3e}, limit {limit:.1e}"));
        }
    }

    pub fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, expected: T, found: T) {
        self.checked += 1;
        if expected != found {
            self.failures.push(format!("{what}: expected {expected:?}, found {found:?}"));
        }
    }

    pub fn mark(&mut self, model: &str, name: &str) {
        self.used.insert(format!("{model}/{name}"));
    }

    pub fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    /// Every tensor of the file that `of` selects was judged or used.
    pub fn nothing_left(
        &mut self,
        model: &str,
        tensors: &BTreeMap<String, Golden>,
        of: impl Fn(&str) -> bool,
    ) {
        let left: Vec<&String> = tensors
            .keys()
            .filter(|name| of(name) && !self.used.contains(&format!("{model}/{name}")))
            .collect();
        if !left.is_empty() {
            self.failures.push(format!("{model}: not checked: {left:?}"));
        }
    }

    pub fn finish(self) {
        let cases: Vec<String> = self.cases.iter().map(|(case, count)| format!("{case} ({count})")).collect();
        say(&format!(
            "{}: {} checks, {} failures, largest error {:.0} % of its limit: {}",
            self.what,
            self.checked,
            self.failures.len(),
            self.worst * 100.0,
            cases.join(", ")
        ));
        assert!(self.checked > 0, "nothing was checked");
        assert!(self.failures.is_empty(), "\n{}", self.failures.join("\n"));
    }
}
