//! Does a reference picture hold a character's looks from scene to scene? Ten scenes of the starter model, judged by the
//! network that judged its training: what it sees of character, hair, outfit and hat, and of the place.
//!
//! The distance of two pictures is the mean over these attributes of the total variation between what is seen of one and of
//! the other, 0 to 1. `cargo test --workspace --test same_looks -- --nocapture` prints the figures.

mod support;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::activation::{relu, softmax};
use burn::tensor::module::{conv2d, linear, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, TensorData};
use diffusion::weights::safetensors::WeightFile;
use diffusion::{
    DeviceChoice, DiffusionModel, GenerateSpec, GuideSpec, LoadOptions, ModelSource, ReferenceSpec,
};
use image::RgbImage;
use serde_json::Value;
use support::{read_json, say};

/// What is the character's own.
const LOOKS: [&str; 4] = ["character", "hair", "outfit", "hat"];
/// Where she is seen, and how: the place by the checker's word for it.
const SCENES: [(&str, &str); 10] = [
    ("a woman on a beach, day", "beach"),
    ("a woman in a forest, night", "forest"),
    ("a woman waving in the city street, sunset", "city street"),
    ("a woman in the desert, day", "desert"),
    ("a woman in a snowy field, sunrise", "snowy field"),
    ("a woman sitting in a room", "room"),
    ("a woman at a lake, day", "lake"),
    ("a woman on a mountain peak, sunset", "mountain peak"),
    ("a woman running on a beach, sunset", "beach"),
    ("a woman in a forest, day", "forest"),
];
/// Steps of a drawing.
const STEPS: usize = 10;
/// The looks that the reference has.
const REFERENCES: [(&str, u64); 1] =
    [("medium shot of a woman with red hair in a green outfit and with a straw hat in a room", 7)];
/// How far the negative half keeps to the drawing itself, as jobs have it.
const FIDELITY: f64 = 1.0;
/// How much of a reference goes that is drawn over, as jobs have it.
const DENOISE: f64 = 0.65;

/// A small network that says what a picture shows.
struct Checker {
    file: WeightFile,
    outputs: Vec<(String, usize, Vec<String>)>,
}

impl Checker {
    fn open() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/starter-checker");
        let config = read_json(&folder.join("config.json"));
        let texts = |value: &Value| serde_json::from_value::<Vec<String>>(value.clone()).unwrap();
        let output = |output: &Value| {
            let name = output["attribute"].as_str().unwrap().to_string();
            (name, output["offset"].as_u64().unwrap() as usize, texts(&output["classes"]))
        };
        Self {
            file: WeightFile::open(&folder.join("model.safetensors")).unwrap(),
            outputs: config["outputs"].as_array().unwrap().iter().map(output).collect(),
        }
    }

    fn weight<const D: usize>(&self, name: &str) -> Tensor<D> {
        let entry = &self.file.tensors[name];
        let values = self.file.read_f32(name, entry).unwrap();
        Tensor::from_data(TensorData::new(values, entry.shape.clone()), (&Device::flex(), DType::F32))
    }

    /// The chances of all classes, attribute by attribute.
    fn see(&self, picture: &RgbImage) -> Vec<Vec<f32>> {
        let (width, height) = picture.dimensions();
        let channel = |c: usize| picture.pixels().map(move |pixel| f32::from(pixel.0[c]) / 127.5 - 1.0);
        let values: Vec<f32> = (0..3).flat_map(channel).collect();
        let data = TensorData::new(values, [1, 3, height as usize, width as usize]);
        let mut x = Tensor::<4>::from_data(data, (&Device::flex(), DType::F32));
        for layer in 0..5 {
            let weight = self.weight::<4>(&format!("convs.{layer}.weight"));
            let bias = self.weight::<1>(&format!("convs.{layer}.bias"));
            x = relu(conv2d(x, weight, Some(bias), ConvOptions::new([1, 1], [1, 1], [1, 1], 1)));
            if layer < 4 {
                x = max_pool2d(x, MaxPoolOptions::new([2, 2]));
            }
        }
        let dense = |x: Tensor<2>, name: &str| {
            let weight = self.weight::<2>(&format!("{name}.weight"));
            linear(x, weight.transpose(), Some(self.weight::<1>(&format!("{name}.bias"))))
        };
        let logits = dense(relu(dense(x.flatten::<2>(1, 3), "fc1")), "fc2");
        let chances = |(_, offset, classes): &(String, usize, Vec<String>)| {
            softmax(logits.clone().narrow(1, *offset, classes.len()), 1).try_into_vec_as::<f32>().unwrap()
        };
        self.outputs.iter().map(chances).collect()
    }

    fn place<'a>(&self, name: &str, seen: &'a [Vec<f32>]) -> (&'a [f32], &[String]) {
        let at = self.outputs.iter().position(|(known, ..)| known == name).unwrap();
        (&seen[at], &self.outputs[at].2)
    }

    fn says(&self, name: &str, seen: &[Vec<f32>]) -> String {
        let (chances, classes) = self.place(name, seen);
        let best = (0..classes.len()).max_by(|a, b| chances[*a].total_cmp(&chances[*b])).unwrap();
        classes[best].clone()
    }

    fn distance(&self, a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
        let of = |name: &&str| {
            let ((a, _), (b, _)) = (self.place(name, a), self.place(name, b));
            a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / 2.0
        };
        LOOKS.iter().map(of).sum::<f64>() / LOOKS.len() as f64
    }
}

/// How scenes of one character came out.
#[derive(Debug, Default)]
struct Outcome {
    /// Mean distance between two of the scenes.
    between: f64,
    /// Mean distance of a scene from the reference.
    from_reference: f64,
    /// Scenes whose place is the one that was asked for.
    in_place: usize,
}

struct Studio {
    model: DiffusionModel,
    checker: Checker,
}

impl Studio {
    fn draw(&self, spec: GenerateSpec) -> RgbImage {
        self.model.generate(&spec, &mut |_| ControlFlow::Continue(())).unwrap().remove(0)
    }

    fn spec(&self, prompt: &str, seed: u64) -> GenerateSpec {
        GenerateSpec { prompt: prompt.into(), seed, steps: STEPS, ..self.model.default_spec() }
    }

    fn scenes(&self, reference: &Arc<RgbImage>, lead: &dyn Fn(GenerateSpec) -> GenerateSpec) -> Outcome {
        let wanted = self.checker.see(reference);
        let drawn: Vec<(Vec<Vec<f32>>, &str)> = (0u64..)
            .zip(SCENES)
            .map(|(seed, (prompt, place))| {
                let picture = self.draw(lead(self.spec(prompt, 100 + seed)));
                (self.checker.see(&picture), place)
            })
            .collect();
        let mut outcome = Outcome::default();
        let mut pairs = 0.0;
        for (i, (seen, place)) in drawn.iter().enumerate() {
            outcome.from_reference += self.checker.distance(seen, &wanted) / drawn.len() as f64;
            outcome.in_place += usize::from(self.checker.says("place", seen) == *place);
            for (other, _) in &drawn[i + 1..] {
                outcome.between += self.checker.distance(seen, other);
                pairs += 1.0;
            }
        }
        outcome.between /= pairs;
        outcome
    }
}

#[test]
fn a_reference_holds_the_looks_of_a_character() {
    let model =
        DiffusionModel::load(&ModelSource::Starter, DeviceChoice::Cpu, LoadOptions::default()).unwrap();
    let studio = Studio { model, checker: Checker::open() };
    for (looks, seed) in REFERENCES {
        let reference = Arc::new(studio.draw(studio.spec(looks, seed)));
        let attends = |strength: Option<f64>| {
            let reference = reference.clone();
            move |spec: GenerateSpec| GenerateSpec {
                guides: GuideSpec {
                    reference: Some(ReferenceSpec {
                        picture: reference.clone(),
                        fidelity: FIDELITY,
                        emphasis: 0.0,
                        share: 1.0,
                    }),
                    ..GuideSpec::default()
                },
                init_image: strength.map(|_| (*reference).clone()),
                strength: strength.unwrap_or(1.0),
                ..spec
            }
        };
        let over = {
            let reference = reference.clone();
            move |spec: GenerateSpec| GenerateSpec {
                init_image: Some((*reference).clone()),
                strength: DENOISE,
                ..spec
            }
        };
        let tell = |name: &str, outcome: &Outcome| {
            say(&format!(
                "same_looks: {name:<24} between scenes {:.3}, from the reference {:.3}, {} of {} in place",
                outcome.between,
                outcome.from_reference,
                outcome.in_place,
                SCENES.len()
            ));
        };
        say(&format!("same_looks: {looks}"));
        let plain = studio.scenes(&reference, &|spec| spec);
        tell("plain", &plain);
        let over = studio.scenes(&reference, &over);
        tell("drawn over", &over);
        let looks = studio.scenes(&reference, &attends(None));
        tell("its looks lead", &looks);
        let both = studio.scenes(&reference, &attends(Some(DENOISE)));
        tell("both", &both);
        for outcome in [&over, &both] {
            assert!(outcome.between < plain.between * 0.8, "{plain:?} {outcome:?}");
        }
        for outcome in [&over, &looks, &both] {
            assert!(outcome.from_reference < plain.from_reference * 0.95, "{plain:?} {outcome:?}");
        }
        // What is drawn over keeps the place of the reference; what its looks lead is where the words say.
        assert!(looks.in_place >= 8 && looks.in_place > over.in_place, "{looks:?} {over:?}");
    }
}
