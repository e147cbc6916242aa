//! Noise by seed, drawn on the processor so that a seed means the same on every device.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Which generator turns a seed into noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum NoiseGenerator {
    /// ChaCha with 8 rounds, then Box–Muller in double precision.
    #[default]
    #[serde(rename = "chacha8")]
    ChaCha8,
    /// `torch.randn` on the CPU, number for number.
    #[serde(rename = "torch_cpu")]
    TorchCpu,
}

/// A stream of normal noise.
#[derive(Debug, Clone)]
pub struct Noise {
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    ChaCha8(Box<ChaCha8Rng>),
    Torch(Box<TorchCpu>),
}

impl Noise {
    /// The stream of `seed`.
    pub fn new(generator: NoiseGenerator, seed: u64) -> Self {
        Self {
            source: match generator {
                NoiseGenerator::ChaCha8 => Source::ChaCha8(Box::new(ChaCha8Rng::seed_from_u64(seed))),
                NoiseGenerator::TorchCpu => Source::Torch(Box::new(TorchCpu::new(seed))),
            },
        }
    }

    /// The next `count` numbers.
    pub fn draw(&mut self, count: usize) -> Vec<f64> {
        match &mut self.source {
            Source::ChaCha8(random) => {
                let mut values = Vec::with_capacity(count + 1);
                while values.len() < count {
                    let (sin, cos, radius) = polar(unit(random.next_u64()), unit(random.next_u64()));
                    values.extend([radius * cos, radius * sin]);
                }
                values.truncate(count);
                // Noise is single precision everywhere it is stored or compared.
                values.into_iter().map(|value| f64::from(value as f32)).collect()
            }
            Source::Torch(torch) => torch.randn(count).into_iter().map(f64::from).collect(),
        }
    }
}

/// Evenly spread over 0 to 1 with 53 bits, 1 excluded.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn polar(first: f64, second: f64) -> (f64, f64, f64) {
    let (sin, cos) = (std::f64::consts::TAU * second).sin_cos();
    (sin, cos, (-2.0 * (1.0 - first).ln()).sqrt())
}

/// PyTorch's generator on the CPU: Mersenne Twister, and its two ways to make normal numbers of it.
#[derive(Debug, Clone)]
struct TorchCpu {
    state: [u32; 624],
    next: usize,
    spare: Option<f64>,
}

impl TorchCpu {
    fn new(seed: u64) -> Self {
        let mut state = [0u32; 624];
        state[0] = seed as u32;
        for i in 1..624 {
            let before = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: 624, spare: None }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == 624 {
            for i in 0..624 {
                let mixed = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % 624] & 0x7fff_ffff);
                let twist = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ (mixed >> 1) ^ twist;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Below 16 numbers one by one in double precision; from 16 on in blocks of 16 in single precision,
    /// the last block drawn anew over the end.
    fn randn(&mut self, count: usize) -> Vec<f32> {
        if count < 16 {
            return (0..count).map(|_| self.normal() as f32).collect();
        }
        let mut values: Vec<f32> = (0..count).map(|_| self.uniform()).collect();
        for start in (0..count - 15).step_by(16) {
            normal_block(&mut values[start..start + 16]);
        }
        if !count.is_multiple_of(16) {
            let tail = &mut values[count - 16..];
            for value in tail.iter_mut() {
                *value = self.uniform();
            }
            normal_block(tail);
        }
        values
    }

    fn uniform(&mut self) -> f32 {
        (self.next_u32() & 0x00ff_ffff) as f32 / (1u32 << 24) as f32
    }

    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let mut uniform = || {
            let high = u64::from(self.next_u32());
            let bits = (high << 32) | u64::from(self.next_u32());
            (bits & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
        };
        let (angle, height) = (uniform(), uniform());
        let radius = (-2.0 * (-height).ln_1p()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * angle).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

fn normal_block(values: &mut [f32]) {
    for i in 0..8 {
        let radius = (-2.0 * (1.0 - values[i]).ln()).sqrt();
        let angle = 2.0 * std::f32::consts::PI * values[i + 8];
        values[i] = radius * angle.cos();
        values[i + 8] = radius * angle.sin();
    }
}

/// Between two noises along the sphere, so that what lies between is as strong as either.
pub fn slerp(from: &[f64], to: &[f64], t: f64) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = dot(from, to) / (dot(from, from) * dot(to, to)).sqrt().max(f64::MIN_POSITIVE);
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let (a, b) = match angle.sin() {
        sin if sin.abs() < 1e-6 => (1.0 - t, t),
        sin => (((1.0 - t) * angle).sin() / sin, (t * angle).sin() / sin),
    };
    from.iter().zip(to).map(|(from, to)| a * from + b * to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_normal_and_follows_its_seed() {
        for generator in [NoiseGenerator::ChaCha8, NoiseGenerator::TorchCpu] {
            let values = Noise::new(generator, 7).draw(20_000);
            let mean = values.iter().sum::<f64>() / 20_000.0;
            let variance = values.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
            assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{generator:?}");
            assert_eq!(values, Noise::new(generator, 7).draw(20_000));
            assert_ne!(values, Noise::new(generator, 8).draw(20_000));
        }
    }

    #[test]
    fn slerp_keeps_the_length_and_meets_its_ends() {
        let (a, b) = (
            Noise::new(NoiseGenerator::ChaCha8, 1).draw(4096),
            Noise::new(NoiseGenerator::ChaCha8, 2).draw(4096),
        );
        let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!((length(&slerp(&a, &b, 0.5)) / length(&a) - 1.0).abs() < 0.02);
        assert!(slerp(&a, &b, 0.0).iter().zip(&a).all(|(x, y)| (x - y).abs() < 1e-12));
        assert!(slerp(&a, &b, 1.0).iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-12));
    }
}
