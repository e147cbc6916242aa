//! Whole runs against numbers that another program wrote into a safetensors file.
#![allow(dead_code, reason = "each test program uses its part")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use diffusion::pipelines::denoise::Job;
use diffusion::pipelines::stable_diffusion::StableDiffusion;
use safetensors::SafeTensors;

/// A folder of goldens of the whole project.
pub fn shared_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

/// Copies a folder with all that lies in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Tensors of single precision in one file.
pub struct Goldens(Vec<u8>);

impl Goldens {
    /// Those of a file.
    pub fn of(file: &Path) -> Goldens {
        Goldens(std::fs::read(file).unwrap())
    }

    /// The values of a tensor and its shape.
    pub fn get(&self, name: &str) -> (Vec<f64>, Vec<usize>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let values = view.data().as_chunks::<4>().0.iter();
        (values.map(|it| f64::from(f32::from_le_bytes(*it))).collect(), view.shape().to_vec())
    }
}

/// The largest difference of two lists of equal length.
pub fn distance(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The latents after each step of a job, one step after the other, and the picture, with values from 0 to 1.
pub fn run(model: &StableDiffusion, job: Job) -> (Vec<f64>, Vec<f64>) {
    let shape = job.shape;
    let mut seen = Vec::new();
    let last = model
        .denoise(job, &mut |_| Vec::new(), &mut |progress| {
            seen.extend_from_slice(progress.latents);
            ControlFlow::Continue(())
        })
        .unwrap();
    let picture = model.decode(&last, shape).unwrap();
    (seen, picture.into_iter().map(|value| (f64::from(value) / 2.0 + 0.5).clamp(0.0, 1.0)).collect())
}
