//! Samples of one rate to samples of another: a sinc in a Hann window.

use std::f64::consts::PI;

/// Zero crossings on each side.
const CROSSINGS: f64 = 12.0;

/// Two channels at another rate, packet by packet; what is no longer needed is forgotten.
pub(crate) struct Resampler {
    /// Samples of the old rate for `phases` of the new one.
    step: u64,
    phases: u64,
    /// Samples of the old rate on each side of one of the new.
    taps: usize,
    /// For each phase, the weights of `2 * taps + 1` samples; none where the rates are the same.
    table: Vec<f32>,
    /// Samples of the old rate that are still needed.
    window: Vec<[f32; 2]>,
    /// How many were forgotten; as many as `taps` before the beginning are silent, and count.
    forgotten: u64,
    /// How many came.
    taken: u64,
    /// How many were given.
    given: u64,
}

impl Resampler {
    pub fn new(from_hz: u32, to_hz: u32) -> Resampler {
        // Rates repeat their phases: 22 050 to 48 000 Hz has 320 of them.
        let divisor = gcd(from_hz, to_hz);
        let (step, phases) = (u64::from(from_hz / divisor), u64::from(to_hz / divisor));
        let (taps, table) = if from_hz == to_hz { (0, Vec::new()) } else { table(from_hz, to_hz, phases) };
        let window = vec![[0.0; 2]; taps];
        Resampler { step, phases, taps, table, window, forgotten: 0, taken: 0, given: 0 }
    }

    /// Takes samples, and gives those that are known by them.
    pub fn add(&mut self, samples: &[[f32; 2]], mut give: impl FnMut([f32; 2])) {
        self.taken += samples.len() as u64;
        if self.table.is_empty() {
            samples.iter().for_each(|sample| give(*sample));
            return;
        }
        self.window.extend_from_slice(samples);
        self.give(u64::MAX, give);
    }

    /// Gives the rest; behind the end it is silent.
    pub fn finish(&mut self, give: impl FnMut([f32; 2])) {
        if self.table.is_empty() {
            return;
        }
        self.window.resize(self.window.len() + self.taps, [0.0; 2]);
        let length = self.taken as f64 * self.phases as f64 / self.step as f64;
        self.give(length.round() as u64, give);
    }

    /// Gives what the window reaches, up to a length in all.
    fn give(&mut self, length: u64, mut give: impl FnMut([f32; 2])) {
        let width = 2 * self.taps + 1;
        let mut first = 0;
        while self.given < length {
            let at = self.given * self.step;
            first = (at / self.phases - self.forgotten) as usize;
            let Some(near) = self.window.get(first..first + width) else { break };
            let weights = &self.table[(at % self.phases) as usize * width..][..width];
            let mut sum = [0.0_f32; 2];
            for (weight, sample) in weights.iter().zip(near) {
                sum[0] += weight * sample[0];
                sum[1] += weight * sample[1];
            }
            give(sum);
            self.given += 1;
        }
        let needless = first.min(self.window.len());
        self.window.drain(..needless);
        self.forgotten += needless as u64;
    }
}

/// How many samples on each side count, and the weights of each phase.
fn table(from_hz: u32, to_hz: u32, phases: u64) -> (usize, Vec<f32>) {
    let ratio = f64::from(to_hz) / f64::from(from_hz.max(1));
    // What the new rate cannot hold is taken away, else it would be heard as other tones.
    let cutoff = ratio.min(1.0);
    let reach = CROSSINGS / cutoff;
    let kernel = |distance: f64| {
        let x = PI * distance * cutoff;
        let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
        cutoff * sinc * (0.5 + 0.5 * (PI * distance / reach).cos())
    };
    let taps = reach.ceil() as usize;
    let width = 2 * taps + 1;
    let mut table = vec![0.0_f32; width * phases as usize];
    for (phase, weights) in table.chunks_exact_mut(width).enumerate() {
        let offset = phase as f64 / phases as f64;
        for (tap, weight) in weights.iter_mut().enumerate() {
            let distance = tap as f64 - taps as f64 - offset;
            if distance.abs() < reach {
                *weight = kernel(distance) as f32;
            }
        }
    }
    (taps, table)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32, count: usize) -> Vec<f32> {
        (0..count).map(|at| (2.0 * PI * hz * at as f64 / f64::from(rate)).sin() as f32).collect()
    }

    /// One channel at another rate, in packets of a length.
    fn resample_by(samples: &[f32], from: u32, to: u32, packet: usize) -> Vec<f32> {
        let (mut resampler, mut there) = (Resampler::new(from, to), Vec::new());
        for part in samples.chunks(packet) {
            let part: Vec<[f32; 2]> = part.iter().map(|sample| [*sample, -sample]).collect();
            resampler.add(&part, |sample| there.push(sample));
            assert!(resampler.window.len() <= packet + 2 * resampler.taps + 1, "{}", resampler.window.len());
        }
        resampler.finish(|sample| there.push(sample));
        assert!(there.iter().all(|[left, right]| *left == -right));
        there.into_iter().map(|[left, _]| left).collect()
    }

    fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
        resample_by(samples, from, to, 1000)
    }

    #[test]
    fn packets_do_not_matter() {
        for (from, to) in [(22_050, 48_000), (44_100, 48_000), (48_000, 48_000), (191_999, 48_000)] {
            let tone = tone(440.0, from, 3001);
            let whole = resample_by(&tone, from, to, 10_000);
            let length = (3001.0 * f64::from(to) / f64::from(from)).round() as usize;
            assert_eq!(whole.len(), length);
            for packet in [1, 2, 7, 300] {
                assert!(resample_by(&tone, from, to, packet) == whole, "{from} by {packet}");
            }
        }
        assert!(resample_by(&[], 22_050, 48_000, 10).is_empty());
    }

    #[test]
    fn a_tone_stays_the_same_tone() {
        for (from, to) in [(22_050, 48_000), (44_100, 48_000), (96_000, 48_000)] {
            let there = resample(&tone(440.0, from, from as usize / 2), from, to);
            let expected = tone(440.0, to, to as usize / 2);
            assert_eq!(there.len(), expected.len());
            let middle = 2000..there.len() - 2000;
            let worst = middle.map(|at| (there[at] - expected[at]).abs()).fold(0.0, f32::max);
            assert!(worst < 0.01, "{from} to {to}: {worst}");
        }
    }

    #[test]
    fn what_the_rate_cannot_hold_is_taken_away() {
        let there = resample(&tone(30_000.0, 96_000, 9600), 96_000, 48_000);
        assert!(there[500..4300].iter().all(|sample| sample.abs() < 0.02));
    }
}
