//! Samples of one rate to samples of another: a sinc in a Hann window.

use std::f64::consts::PI;

/// Zero crossings on each side.
const CROSSINGS: f64 = 12.0;

/// One channel at another rate.
pub(crate) fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    if from_hz == to_hz || samples.is_empty() {
        return samples.to_vec();
    }
    let ratio = f64::from(to_hz) / f64::from(from_hz.max(1));
    // What the new rate cannot hold is taken away, else it would be heard as other tones.
    let cutoff = ratio.min(1.0);
    let reach = CROSSINGS / cutoff;
    let length = (samples.len() as f64 * ratio).round() as usize;
    let kernel = |distance: f64| {
        let x = PI * distance * cutoff;
        let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
        cutoff * sinc * (0.5 + 0.5 * (PI * distance / reach).cos())
    };
    // Rates repeat their phases: 22 050 to 48 000 Hz has 320 of them.
    let divisor = gcd(from_hz, to_hz);
    let (step, phases) = (u64::from(from_hz / divisor), u64::from(to_hz / divisor));
    let taps = reach.ceil() as i64;
    let width = (2 * taps + 1) as usize;
    let mut table = vec![0.0_f32; width * phases as usize];
    for phase in 0..phases as usize {
        let offset = phase as f64 / phases as f64;
        for (tap, weight) in table[phase * width..][..width].iter_mut().enumerate() {
            let distance = (tap as i64 - taps) as f64 - offset;
            if distance.abs() < reach {
                *weight = kernel(distance) as f32;
            }
        }
    }
    let mut resampled = Vec::with_capacity(length);
    for place in 0..length as u64 {
        let at = place * step;
        let (whole, phase) = ((at / phases) as i64, (at % phases) as usize);
        let weights = &table[phase * width..][..width];
        let first = whole - taps;
        let sum: f32 = weights
            .iter()
            .zip(first..)
            .filter_map(|(weight, place)| Some(weight * samples.get(usize::try_from(place).ok()?)?))
            .sum();
        resampled.push(sum);
    }
    resampled
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
