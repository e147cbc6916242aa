//! Several sounds to one.

use crate::{SECONDS_MAX, Sound};

/// How long music that ends with the mix takes to fade, in seconds.
pub const FADE_S: f64 = 1.5;

/// Sounds on one line of time.
#[derive(Debug)]
pub struct Mix {
    sums: Vec<[i32; 2]>,
}

impl Mix {
    /// Silence of a length; at most [`SECONDS_MAX`].
    pub fn new(seconds: f64) -> Result<Mix, String> {
        if !(0.0..=SECONDS_MAX).contains(&seconds) {
            return Err(format!("a sound of {seconds:.1} s; at most {SECONDS_MAX} s are mixed"));
        }
        Ok(Mix { sums: vec![[0; 2]; Sound::place(seconds)] })
    }

    /// Adds a sound at a time, `gain` times as loud. What goes past the end is cut.
    pub fn add(&mut self, sound: &Sound, at_s: f64, gain: f32) {
        let start = Sound::place(at_s).min(self.sums.len());
        for (sum, sample) in self.sums[start..].iter_mut().zip(&sound.samples) {
            add(sum, *sample, gain);
        }
    }

    /// Adds a sound from the beginning to the end, over and over, and lets it fade at the end.
    pub fn add_throughout(&mut self, sound: &Sound, gain: f32) {
        let (length, fade) = (self.sums.len(), Sound::place(FADE_S).max(1));
        if sound.samples.is_empty() {
            return;
        }
        for (place, (sum, sample)) in self.sums.iter_mut().zip(sound.samples.iter().cycle()).enumerate() {
            let left = (length - place) as f32 / fade as f32;
            add(sum, *sample, gain * left.min(1.0));
        }
    }

    /// The sum; where it is louder than a sample can be, all of it is made quieter by as much.
    pub fn finish(self) -> Sound {
        let peak = self.sums.iter().flatten().map(|sum| sum.unsigned_abs()).max().unwrap_or(0);
        let most = i32::from(i16::MAX);
        let scale = if peak > most as u32 { f64::from(most) / f64::from(peak) } else { 1.0 };
        let whole = |sum: i32| (f64::from(sum) * scale).round() as i16;
        Sound { samples: self.sums.iter().map(|[left, right]| [whole(*left), whole(*right)]).collect() }
    }
}

fn add(sum: &mut [i32; 2], sample: [i16; 2], gain: f32) {
    for (sum, sample) in sum.iter_mut().zip(sample) {
        *sum = sum.saturating_add((f32::from(sample) * gain).round() as i32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(level: i16, seconds: f64) -> Sound {
        Sound { samples: vec![[level; 2]; Sound::place(seconds)] }
    }

    #[test]
    fn sounds_are_heard_where_they_are_put() {
        let mut mix = Mix::new(2.0).expect("a mix");
        mix.add(&steady(1000, 0.5), 1.0, 1.0);
        mix.add(&steady(1000, 5.0), 1.75, 0.5);
        let sound = mix.finish();
        let at = |seconds: f64| sound.samples[Sound::place(seconds)][0];
        assert_eq!([at(0.5), at(1.2), at(1.6), at(1.9)], [0, 1000, 0, 500]);
        assert_eq!(sound.seconds(), 2.0);
    }

    #[test]
    fn music_goes_on_and_fades() {
        let mut mix = Mix::new(10.0).expect("a mix");
        mix.add_throughout(&steady(1000, 0.3), 0.5);
        mix.add_throughout(&Sound::default(), 1.0);
        let sound = mix.finish();
        let at = |seconds: f64| sound.samples[Sound::place(seconds)][1];
        assert_eq!([at(0.0), at(5.0), at(8.0)], [500, 500, 500]);
        assert!(at(9.25) < 300 && at(9.99) < 10, "{} {}", at(9.25), at(9.99));
    }

    #[test]
    fn nothing_is_cut_off_at_the_top() {
        let mut mix = Mix::new(1.0).expect("a mix");
        (0..3).for_each(|_| mix.add(&steady(30_000, 0.5), 0.0, 1.0));
        mix.add(&steady(30_000, 0.5), 0.5, 1.0);
        let sound = mix.finish();
        assert_eq!(sound.samples[100][0], i16::MAX);
        assert_eq!(sound.samples[30_000][0], (f64::from(i16::MAX) / 3.0).round() as i16);
        assert!(Mix::new(601.0).is_err() && Mix::new(f64::NAN).is_err());
    }
}
