//! What was read before in this conversation? Memories by conversation, the least recently used forgotten first.

use std::collections::HashMap;

/// A memory and the tokens it holds.
struct Entry<C> {
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
        let shared = entry.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        Some((entry.cache, shared.min(prompt.len().saturating_sub(1))))
    }

    /// Puts a conversation's memory back, forgetting others where the budget asks for it.
    pub fn put(&mut self, key: &str, tokens: Vec<u32>, cache: C, bytes: usize) {
        let bytes = bytes + tokens.len() * size_of::<u32>() + key.len();
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
        self.entries.insert(key.to_string(), Entry { tokens, cache, bytes, used: self.clock });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_beginning_counts() {
        let mut cache = PrefixCache::new(1000);
        cache.put("a", vec![1, 2, 3], "memory", 10);
        assert_eq!(cache.take("a", &[1, 2, 4, 5]), Some(("memory", 2)));
        assert_eq!(cache.take("a", &[1, 2]), None);
        cache.put("a", vec![1, 2, 3], "memory", 10);
        assert_eq!(cache.take("a", &[1, 2, 3]), Some(("memory", 2)), "one token is left to read");
        assert_eq!(cache.held_bytes(), 0);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = PrefixCache::new(350);
        for key in ["a", "b", "c"] {
            cache.put(key, vec![1], (), 100);
        }
        let (memory, _) = cache.take("a", &[1]).unwrap();
        cache.put("a", vec![1], memory, 100);
        cache.put("d", vec![1], (), 100);
        assert!(cache.take("b", &[1]).is_none());
        assert!(cache.held_bytes() <= 350);
        cache.put("huge", vec![1], (), 1000);
        assert!(cache.take("huge", &[1]).is_none());
        assert_eq!(cache.len(), 3);
    }
}
