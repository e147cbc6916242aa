//! What was read before in this conversation? Memories by conversation, the least recently used forgotten first.

use std::collections::HashMap;

/// A memory and the tokens it holds.
struct Entry<C> {
    user: String,
    tokens: Vec<u32>,
    cache: C,
    bytes: usize,
    used: u64,
}

/// Memories of past conversations, within a budget.
pub struct PrefixCache<C> {
    entries: HashMap<String, Entry<C>>,
    budget_bytes: usize,
    held_bytes: usize,
    clock: u64,
}

impl<C> PrefixCache<C> {
    /// Keeps at most `budget_bytes`.
    pub fn new(budget_bytes: usize) -> PrefixCache<C> {
        PrefixCache { entries: HashMap::new(), budget_bytes, held_bytes: 0, clock: 0 }
    }

    /// Takes out a conversation's memory, with the number of `prompt` tokens that it holds already. At least one prompt
    /// token is always left to be read, since its scores are what the reply begins with.
    pub fn take(&mut self, key: &str, prompt: &[u32]) -> Option<(C, usize)> {
        let entry = self.entries.remove(key)?;
        self.held_bytes -= entry.bytes;
        let shared = shared(&entry.tokens, prompt);
        Some((entry.cache, shared))
    }

    /// The memory of another conversation of the same person that begins most like `prompt`, with the number of tokens
    /// that both begin with. Those of others are not looked at: how fast a prompt is read would tell what they say.
    pub fn similar(&self, user: &str, prompt: &[u32]) -> Option<(&C, usize)> {
        let own = self.entries.values().filter(|entry| entry.user == user);
        own.map(|entry| (&entry.cache, shared(&entry.tokens, prompt))).max_by_key(|(_, shared)| *shared)
    }

    /// Puts a conversation's memory back, forgetting others where the budget asks for it.
    pub fn put(&mut self, key: &str, user: &str, tokens: Vec<u32>, cache: C, bytes: usize) {
        let bytes = bytes + tokens.len() * size_of::<u32>() + key.len() + user.len();
        if let Some(old) = self.entries.remove(key) {
            self.held_bytes -= old.bytes;
        }
        if bytes > self.budget_bytes {
            return;
        }
        while self.held_bytes + bytes > self.budget_bytes {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.used) else { break };
            let oldest = oldest.0.clone();
            if let Some(gone) = self.entries.remove(&oldest) {
                self.held_bytes -= gone.bytes;
            }
        }
        self.clock += 1;
        self.held_bytes += bytes;
        let entry = Entry { user: user.to_string(), tokens, cache, bytes, used: self.clock };
        self.entries.insert(key.to_string(), entry);
    }

    /// Memory held.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Conversations remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

/// How many tokens a prompt begins with that are remembered; one is always left to be read.
fn shared(tokens: &[u32], prompt: &[u32]) -> usize {
    let shared = tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
    shared.min(prompt.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_beginning_counts() {
        let mut cache = PrefixCache::new(1000);
        cache.put("a", "ada", vec![1, 2, 3], "memory", 10);
        assert_eq!(cache.take("a", &[1, 2, 4, 5]), Some(("memory", 2)));
        assert_eq!(cache.take("a", &[1, 2]), None);
        cache.put("a", "ada", vec![1, 2, 3], "memory", 10);
        assert_eq!(cache.take("a", &[1, 2, 3]), Some(("memory", 2)), "one token is left to read");
        assert_eq!(cache.held_bytes(), 0);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = PrefixCache::new(350);
        for key in ["a", "b", "c"] {
            cache.put(key, "ada", vec![1], (), 100);
        }
        let (memory, _) = cache.take("a", &[1]).unwrap();
        cache.put("a", "ada", vec![1], memory, 100);
        cache.put("d", "ada", vec![1], (), 100);
        assert!(cache.take("b", &[1]).is_none());
        assert!(cache.held_bytes() <= 350);
        cache.put("huge", "ada", vec![1], (), 1000);
        assert!(cache.take("huge", &[1]).is_none());
        assert_eq!(cache.len(), 3);
    }
}
