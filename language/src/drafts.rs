//! Which tokens is a reply about to repeat?
//!
//! Replies quote: names, what was said before, a text that is to be changed. Where the last tokens stood once before, the
//! model may well go on as it went on there (prompt look-up decoding: Saxena 2023, after the speculative decoding of
//! Leviathan, Kalman and Matias 2022). So those tokens are read together with the last one, in one step that costs less
//! than as many steps, and count only as far as the model itself chooses the same: what is written stays as it was.

use std::collections::HashMap;

/// As many tokens have to be the same for what follows them to be expected again.
const ALIKE: usize = 3;
/// How much the newest expectation weighs in how often they come true.
const NEWEST: f32 = 0.25;
/// What reading one token more adds to a step of one, measured on processors; see docs/performance.md.
const TOKEN_COST: f32 = 0.2;
/// Drafts that promise less than this, in tokens for the time of a step, are not worth their room.
const GAIN_MIN: f32 = 1.1;

/// What a conversation says of its own next tokens. Its memory grows with the conversation: some 32 bytes a token.
#[derive(Default)]
pub(crate) struct Drafts {
    /// After which tokens which position follows, of equals the last.
    after: HashMap<[u32; ALIKE], usize>,
    /// Tokens that are known.
    known: usize,
    /// Where the next token is expected to stand already.
    expected: Option<usize>,
    /// How often expectations come true, whether or not they were read ahead: from 0 to 1.
    likelihood: f32,
}

impl Drafts {
    /// Learns what was added to `tokens` since it was called last.
    fn learn(&mut self, tokens: &[u32]) {
        for end in self.known..tokens.len() {
            if let Some(expected) = self.expected {
                let is_true = tokens[expected] == tokens[end];
                self.likelihood += NEWEST * (f32::from(u8::from(is_true)) - self.likelihood);
                self.expected = is_true.then_some(expected + 1);
            }
            let before =
                |end: usize| tokens.get(end.checked_sub(ALIKE)?..end)?.first_chunk::<ALIKE>().copied();
            if let Some(alike) = before(end) {
                self.after.insert(alike, end);
            }
            if self.expected.is_none() {
                self.expected = before(end + 1).and_then(|alike| self.after.get(&alike).copied());
            }
        }
        self.known = tokens.len();
    }

    /// What may follow `tokens`, which are those of the call before and more: at most `max` tokens, and none where reading
    /// them would not pay.
    pub(crate) fn draft(&mut self, tokens: &[u32], max: usize) -> Vec<u32> {
        self.learn(tokens);
        let Some(expected) = self.expected else { return Vec::new() };
        let mut draft: Vec<u32> = Vec::new();
        for position in expected..expected + worth_reading(self.likelihood, max) {
            // What repeats itself goes on in the draft.
            let token = tokens.get(position).or_else(|| draft.get(position - tokens.len())).copied();
            draft.extend(token);
        }
        draft
    }
}

/// How many tokens to read ahead, at most `max`, of which each comes true with a likelihood if those before it do.
fn worth_reading(likelihood: f32, max: usize) -> usize {
    let (mut best, mut best_gain) = (0, GAIN_MIN);
    let (mut written, mut all_true) = (1.0, 1.0);
    for count in 1..=max {
        all_true *= likelihood;
        written += all_true;
        let gain = written / (1.0 + TOKEN_COST * count as f32);
        if gain > best_gain {
            (best, best_gain) = (count, gain);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_before_is_expected_again_once_it_came_true() {
        let text: Vec<u32> = (100..140).collect();
        let mut drafts = Drafts::default();
        let mut tokens = [text.as_slice(), &[1, 2]].concat();
        assert!(drafts.draft(&tokens, 7).is_empty());
        // Three are alike: the fourth is expected, but nothing is read ahead before that came true twice.
        for (length, expected) in [(1, 0), (3, 0), (4, 0), (5, 1), (6, 2), (7, 3), (12, 7), (30, 7)] {
            tokens.truncate(text.len() + 2);
            let mut drafts = Drafts::default();
            drafts.draft(&tokens, 7);
            tokens.extend(&text[..length]);
            let draft = drafts.draft(&tokens, 7);
            assert_eq!(draft.len(), expected, "{length}: {draft:?}");
            assert_eq!(draft, text[length..][..draft.len()], "{length}");
            assert!(drafts.draft(&tokens, 2).len() <= 2);
        }
        // What turns out otherwise again and again is no longer read ahead.
        for round in 0..8 {
            tokens.extend([&text[..3], &[1000 + round]].concat());
            drafts.draft(&tokens, 7);
        }
        tokens.extend(&text[..3]);
        assert!(drafts.draft(&tokens, 7).is_empty());
    }

    #[test]
    fn what_repeats_itself_goes_on() {
        let mut drafts = Drafts::default();
        let tokens: Vec<u32> = [5, 6].into_iter().cycle().take(40).collect();
        assert_eq!(drafts.draft(&tokens, 7), [5, 6, 5, 6, 5, 6, 5]);
    }

    #[test]
    fn more_is_read_ahead_the_likelier_it_comes_true() {
        assert_eq!([0.0, 0.2, 0.5, 0.8, 1.0].map(|likelihood| worth_reading(likelihood, 7)), [0, 0, 1, 4, 7]);
        assert_eq!(worth_reading(1.0, 0), 0);
    }
}
