//! Which token comes next, given its scores?

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::LanguageError;

/// How freely a model chooses. The defaults change nothing except that the choice is random.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Scores are divided by it; 0 always takes the best token.
    pub temperature: f32,
    /// Only the best tokens whose probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// Only tokens at least this fraction as probable as the best; 0 keeps all.
    pub min_p: f32,
    /// Only so many of the best tokens; 0 keeps all.
    pub top_k: usize,
    /// Divides (or, below zero, multiplies) the scores of tokens in prompt and reply; 1 does nothing.
    pub repetition_penalty: f32,
    /// Taken off the score of each token that the reply has used.
    pub presence_penalty: f32,
    /// Taken off a token's score for each time that the reply has used it.
    pub frequency_penalty: f32,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 1.0,
            top_p: 1.0,
            min_p: 0.0,
            top_k: 0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
        }
    }
}

impl Sampling {
    /// Always the best token.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::default() }
    }

    /// Refuses values outside the ranges that OpenAI and transformers accept.
    pub fn check(&self) -> Result<(), LanguageError> {
        let within = |field: &'static str, value: f32, low: f32, high: f32| {
            if value.is_finite() && (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(LanguageError::InvalidRequest {
                    field,
                    reason: format!("{value} is not within {low} and {high}"),
                })
            }
        };
        within("temperature", self.temperature, 0.0, 100.0)?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("repetition_penalty", self.repetition_penalty, 0.01, 100.0)?;
        within("presence_penalty", self.presence_penalty, -100.0, 100.0)?;
        within("frequency_penalty", self.frequency_penalty, -100.0, 100.0)
    }
}

/// Draws one reply's tokens. Penalties come first, then temperature, top-k, top-p and min-p, as in transformers; random
/// numbers come from ChaCha8 seeded with the request's seed, so that a seed gives the same reply everywhere.
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
    prompt: HashMap<u32, u32>,
    reply: HashMap<u32, u32>,
}

impl Sampler {
    /// A sampler for a reply to `prompt`.
    pub fn new(sampling: Sampling, seed: u64, prompt: &[u32]) -> Sampler {
        let mut seen = HashMap::new();
        for token in prompt {
            *seen.entry(*token).or_insert(0) += 1;
        }
        Sampler { sampling, rng: ChaCha8Rng::seed_from_u64(seed), prompt: seen, reply: HashMap::new() }
    }

    /// Chooses a token; those for which `allowed` is false cannot be chosen. `None` if nothing can.
    pub fn choose(&mut self, scores: &mut [f32], allowed: Option<&dyn Fn(u32) -> bool>) -> Option<u32> {
        self.penalise(scores);
        if let Some(allowed) = allowed {
            for (token, score) in scores.iter_mut().enumerate() {
                if !allowed(token as u32) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        let best = best(scores)?;
        let token = if self.sampling.temperature == 0.0 { best } else { self.draw(scores, best) };
        *self.reply.entry(token).or_insert(0) += 1;
        Some(token)
    }

    fn penalise(&self, scores: &mut [f32]) {
        let sampling = &self.sampling;
        let repetition = sampling.repetition_penalty;
        if repetition != 1.0 {
            let new_in_reply = self.reply.keys().filter(|token| !self.prompt.contains_key(token));
            for token in self.prompt.keys().chain(new_in_reply) {
                if let Some(score) = scores.get_mut(*token as usize) {
                    *score = if *score > 0.0 { *score / repetition } else { *score * repetition };
                }
            }
        }
        if sampling.presence_penalty != 0.0 || sampling.frequency_penalty != 0.0 {
            for (token, count) in &self.reply {
                if let Some(score) = scores.get_mut(*token as usize) {
                    *score -= sampling.presence_penalty + sampling.frequency_penalty * *count as f32;
                }
            }
        }
    }

    fn draw(&mut self, scores: &[f32], best: u32) -> u32 {
        let top = scores[best as usize];
        let temperature = self.sampling.temperature;
        // Tokens 40 below the best after temperature have less than one chance in 10^17.
        let mut candidates: Vec<(u32, f64)> = scores
            .iter()
            .enumerate()
            .map(|(token, score)| (token as u32, f64::from((score - top) / temperature)))
            .filter(|(_, score)| *score > -40.0)
            .collect();
        let sampling = &self.sampling;
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if sampling.top_k > 0 {
            candidates.truncate(sampling.top_k);
        }
        for candidate in &mut candidates {
            candidate.1 = candidate.1.exp();
        }
        if sampling.top_p < 1.0 {
            let total: f64 = candidates.iter().map(|candidate| candidate.1).sum();
            let mut sum = 0.0;
            let kept = candidates.iter().take_while(|candidate| {
                let before = sum;
                sum += candidate.1;
                before < f64::from(sampling.top_p) * total
            });
            let kept = kept.count().max(1);
            candidates.truncate(kept);
        }
        // The best candidate's weight is 1, so min_p compares with it directly.
        candidates.retain(|candidate| candidate.1 >= f64::from(sampling.min_p));
        let total: f64 = candidates.iter().map(|candidate| candidate.1).sum();
        let mut rest = self.rng.random::<f64>() * total;
        for (token, weight) in &candidates {
            rest -= weight;
            if rest < 0.0 {
                return *token;
            }
        }
        candidates.last().map_or(best, |candidate| candidate.0)
    }
}

/// The token with the highest score, the first of equals; `None` if no score is a number above minus infinity.
fn best(scores: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, score) in scores.iter().enumerate() {
        if *score > best.map_or(f32::NEG_INFINITY, |(_, highest)| highest) {
            best = Some((token as u32, *score));
        }
    }
    best.map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(sampling: Sampling, scores: &[f32]) -> Vec<f64> {
        let mut sampler = Sampler::new(sampling, 7, &[]);
        let mut counts = vec![0.0; scores.len()];
        for _ in 0..20_000 {
            sampler.reply.clear();
            counts[sampler.choose(&mut scores.to_vec(), None).unwrap() as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let scores = [0.0, 2f32.ln(), 5f32.ln()];
        let plain = shares(Sampling::default(), &scores);
        for (share, expected) in plain.iter().zip([0.125, 0.25, 0.625]) {
            assert!((share - expected).abs() < 0.02, "{plain:?}");
        }
        let sharp = shares(Sampling { temperature: 0.5, ..Sampling::default() }, &scores);
        assert!((sharp[2] - 25.0 / 30.0).abs() < 0.02, "{sharp:?}");
    }

    #[test]
    fn filters_remove_the_tail() {
        let scores = [0.0, 2f32.ln(), 5f32.ln()];
        for sampling in [
            Sampling { top_k: 2, ..Sampling::default() },
            Sampling { top_p: 0.7, ..Sampling::default() },
            Sampling { min_p: 0.3, ..Sampling::default() },
        ] {
            let shares = shares(sampling.clone(), &scores);
            assert_eq!(shares[0], 0.0, "{sampling:?}");
            assert!((shares[1] - 2.0 / 7.0).abs() < 0.02, "{sampling:?} {shares:?}");
        }
        let certain = shares(Sampling { top_p: 0.0, ..Sampling::default() }, &scores);
        assert!((certain[2] - 1.0).abs() < 1e-9, "{certain:?}");
    }

    #[test]
    fn penalties_change_the_best_token() {
        let best = |sampling: Sampling, prompt: &[u32], draws: usize| {
            let mut sampler = Sampler::new(Sampling { temperature: 0.0, ..sampling }, 0, prompt);
            (0..draws).map(|_| sampler.choose(&mut [2.0, 1.5, -1.0], None).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(best(Sampling::default(), &[0], 2), [0, 0]);
        assert_eq!(best(Sampling { repetition_penalty: 2.0, ..Sampling::default() }, &[0], 1), [1]);
        assert_eq!(best(Sampling { presence_penalty: 1.0, ..Sampling::default() }, &[0], 3), [0, 1, 0]);
        assert_eq!(best(Sampling { frequency_penalty: 0.4, ..Sampling::default() }, &[], 4), [0, 0, 1, 0]);
    }

    #[test]
    fn one_seed_gives_one_reply_and_masks_hold() {
        let reply = |seed| {
            let mut sampler = Sampler::new(Sampling::default(), seed, &[]);
            (0..50).map(|_| sampler.choose(&mut [0.0; 100], None).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(reply(1), reply(1));
        assert_ne!(reply(1), reply(2));
        let mut sampler = Sampler::new(Sampling::default(), 3, &[]);
        for _ in 0..100 {
            let token = sampler.choose(&mut [0.0; 100], Some(&|token| token % 7 == 3)).unwrap();
            assert_eq!(token % 7, 3);
        }
        assert_eq!(sampler.choose(&mut [0.0; 4], Some(&|_| false)), None);
        assert_eq!(sampler.choose(&mut [f32::NAN; 4], None), None);
    }

    #[test]
    fn impossible_settings_are_refused() {
        for sampling in [
            Sampling { temperature: -1.0, ..Sampling::default() },
            Sampling { temperature: f32::NAN, ..Sampling::default() },
            Sampling { top_p: 1.5, ..Sampling::default() },
            Sampling { repetition_penalty: 0.0, ..Sampling::default() },
            Sampling { presence_penalty: f32::INFINITY, ..Sampling::default() },
        ] {
            assert!(sampling.check().is_err(), "{sampling:?}");
        }
    }
}
