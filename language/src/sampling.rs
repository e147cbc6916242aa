//! Which token comes next, given its scores?

use std::cmp::Ordering;
use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cpu::score_weights::{LEAST_WEIGHT, largest, push_between, sum_from, weights_below};
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
        let sampling = &self.sampling;
        let weights = weights_below(scores, scores[best as usize], sampling.temperature);
        let mut candidates = BestFirst::new(&weights);
        if sampling.top_k > 0 {
            candidates.keep(sampling.top_k);
        }
        if sampling.top_p < 1.0 {
            let enough = f64::from(sampling.top_p) * candidates.total_from(0.0);
            let (mut sum, mut kept) = (0.0, 0);
            while let Some((_, weight)) = candidates.get(kept).filter(|_| kept == 0 || sum < enough) {
                sum += f64::from(weight);
                kept += 1;
            }
            candidates.keep(kept);
        }
        // The best candidate's weight is 1, so min_p compares with it directly.
        let mut rest = self.rng.random::<f64>() * candidates.total_from(sampling.min_p);
        let mut last = best;
        let mut place = 0;
        while let Some((token, weight)) =
            candidates.get(place).filter(|(_, weight)| *weight >= sampling.min_p)
        {
            rest -= f64::from(weight);
            last = token;
            if rest < 0.0 {
                break;
            }
            place += 1;
        }
        last
    }
}

/// A token and its weight, which is 1 for the best.
type Candidate = (u32, f32);

/// The better one first, of equals the one with the smaller number.
fn better_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// All tokens' weights, of which only as many of the best are put in order as are looked at: a draw mostly ends among the
/// first few of tens of thousands.
struct BestFirst<'a> {
    /// By token.
    weights: &'a [f32],
    /// The best ones, in order: all whose weight reaches `threshold`.
    ordered: Vec<Candidate>,
    threshold: f32,
    /// How many of the best count.
    kept: usize,
}

impl<'a> BestFirst<'a> {
    /// By how much the threshold falls when more are wanted.
    const FALL: f32 = 1.0 / 64.0;

    fn new(weights: &'a [f32]) -> BestFirst<'a> {
        BestFirst { weights, ordered: Vec::new(), threshold: f32::INFINITY, kept: usize::MAX }
    }

    /// The candidate at a place, the best at 0.
    fn get(&mut self, place: usize) -> Option<Candidate> {
        while self.ordered.len() <= place && self.threshold > 0.0 {
            // Below the smallest weight that is no zero, there is none.
            let lower = self.threshold.min(1.0) * BestFirst::FALL;
            let lower = if lower < LEAST_WEIGHT { f32::MIN_POSITIVE } else { lower };
            let sorted = self.ordered.len();
            push_between(self.weights, lower, self.threshold, &mut self.ordered);
            self.ordered[sorted..].sort_unstable_by(better_first);
            self.threshold = if lower == f32::MIN_POSITIVE { 0.0 } else { lower };
        }
        self.ordered.get(place).copied().filter(|_| place < self.kept)
    }

    /// Keeps only so many of the best.
    fn keep(&mut self, count: usize) {
        self.kept = self.kept.min(count);
        if let Some(last) = self.kept.checked_sub(1) {
            self.get(last);
        }
    }

    /// The sum of the weights that reach a threshold.
    fn total_from(&self, least: f32) -> f64 {
        if self.kept == usize::MAX {
            return sum_from(self.weights, least);
        }
        let kept = self.ordered.iter().take(self.kept).map(|candidate| candidate.1);
        kept.filter(|weight| *weight >= least).map(f64::from).sum()
    }
}

/// The token with the highest score, the first of equals; `None` if no score is a number above minus infinity.
fn best(scores: &[f32]) -> Option<u32> {
    let highest = largest(scores);
    let token = scores.iter().position(|score| *score == highest)?;
    (highest > f32::NEG_INFINITY).then_some(token as u32)
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

    /// What `draw` says in few words: everything is put in order.
    fn drawn_of_all(sampling: &Sampling, scores: &[f32], random: f64) -> u32 {
        let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |score: f32| f64::from((score - top) / sampling.temperature).exp();
        let mut all: Vec<(u32, f64)> =
            scores.iter().enumerate().map(|(token, score)| (token as u32, weight(*score))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if sampling.top_k > 0 {
            all.truncate(sampling.top_k);
        }
        let total: f64 = all.iter().map(|one| one.1).sum();
        let mut sum = 0.0;
        all.retain(|one| {
            let is_kept = sum == 0.0 || sum < f64::from(sampling.top_p) * total;
            sum += one.1;
            is_kept
        });
        all.retain(|one| one.1 >= f64::from(sampling.min_p));
        let mut rest = random * all.iter().map(|one| one.1).sum::<f64>();
        let found = all.iter().find(|one| {
            rest -= one.1;
            rest < 0.0
        });
        found.or(all.last()).expect("the best is never refused").0
    }

    #[test]
    fn a_draw_that_orders_few_is_the_draw_that_orders_all() {
        let mut noise = ChaCha8Rng::seed_from_u64(3);
        for round in 0..300 {
            let scores: Vec<f32> = (0..2000).map(|_| noise.random::<f32>() * 24.0).collect();
            let sampling = Sampling {
                temperature: [0.3, 1.0, 4.0][round % 3],
                top_p: [1.0, 0.95, 0.5, 0.0][round % 4],
                min_p: [0.0, 0.05, 0.9][round / 3 % 3],
                top_k: [0, 0, 1, 40, 5000][round % 5],
                ..Sampling::default()
            };
            let random = ChaCha8Rng::seed_from_u64(round as u64).random::<f64>();
            let mut sampler = Sampler::new(sampling.clone(), round as u64, &[]);
            let token = sampler.choose(&mut scores.clone(), None).unwrap();
            assert_eq!(token, drawn_of_all(&sampling, &scores, random), "{sampling:?}");
        }
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
