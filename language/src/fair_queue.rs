//! Who is next? People take turns, each with their own requests in order.

use std::collections::VecDeque;

/// Waiting requests of several users.
pub struct FairQueue<T> {
    /// Users with something waiting, the next one first.
    users: VecDeque<(String, VecDeque<T>)>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> FairQueue<T> {
        FairQueue { users: VecDeque::new() }
    }
}

impl<T> FairQueue<T> {
    /// Adds a request at the end of its user's own line.
    pub fn push(&mut self, user: &str, item: T) {
        match self.users.iter_mut().find(|(name, _)| name == user) {
            Some((_, line)) => line.push_back(item),
            None => self.users.push_back((user.to_string(), VecDeque::from([item]))),
        }
    }

    /// The next request; its user then waits until all others have had a turn.
    pub fn pop(&mut self) -> Option<T> {
        let (user, mut line) = self.users.pop_front()?;
        let item = line.pop_front();
        if !line.is_empty() {
            self.users.push_back((user, line));
        }
        item
    }

    /// How many of one user wait.
    pub fn waiting_of(&self, user: &str) -> usize {
        self.users.iter().find(|(name, _)| name == user).map_or(0, |(_, line)| line.len())
    }

    /// How many wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.users.iter().map(|(_, line)| line.len()).sum()
    }

    /// Whether no request waits.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Removes and returns the requests for which `wanted` holds.
    pub fn take_where(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for (_, line) in &mut self.users {
            let (gone, kept): (VecDeque<T>, VecDeque<T>) = line.drain(..).partition(|item| wanted(item));
            taken.extend(gone);
            *line = kept;
        }
        self.users.retain(|(_, line)| !line.is_empty());
        taken
    }

    /// Shows every request together with the number of requests before it.
    pub fn for_each_place(&self, mut see: impl FnMut(&T, usize)) {
        let longest = self.users.iter().map(|(_, line)| line.len()).max().unwrap_or(0);
        let mut place = 0;
        for round in 0..longest {
            for (_, line) in &self.users {
                if let Some(item) = line.get(round) {
                    see(item, place);
                    place += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> FairQueue<u32> {
        let mut queue = FairQueue::default();
        for (user, item) in [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)] {
            queue.push(user, item);
        }
        queue
    }

    #[test]
    fn users_take_turns_and_places_tell_the_order() {
        let mut queue = queue();
        let mut places = Vec::new();
        queue.for_each_place(|item, place| places.push((place, *item)));
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [1, 4, 5, 2, 6, 3]);
        assert_eq!(places.iter().map(|(_, item)| *item).collect::<Vec<_>>(), order);
        assert!(places.iter().enumerate().all(|(i, (place, _))| i == *place));
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_taken_out_leaves_no_gap() {
        let mut queue = queue();
        assert_eq!(queue.take_where(|item| item % 2 == 1), [1, 3, 5]);
        assert_eq!(queue.len(), 3);
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [2, 4, 6]);
    }
}
