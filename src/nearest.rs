//! The known name that a mistyped one probably means.

/// Longest text that is compared, in characters.
const CHARS_MAX: usize = 200;

/// The known name nearest to `name`, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Of a longer one only the beginning would be compared.
    if name.chars().nth(CHARS_MAX).is_some() {
        return None;
    }
    let lower = |text: &str| text.to_lowercase();
    let wanted = lower(name);
    let near = known.into_iter().map(|candidate| (distance(&wanted, &lower(candidate)), candidate));
    let (distance, candidate) = near.min_by_key(|(distance, _)| *distance)?;
    let longest = name.chars().count().max(candidate.chars().count());
    (distance <= (longest / 3).max(1)).then_some(candidate)
}

/// `; did you mean X?`, or nothing.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |known| format!("; did you mean {known}?"))
}

/// Insertions, deletions and replacements between two texts, and exchanged neighbours as one.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(CHARS_MAX).collect(), b.chars().take(CHARS_MAX).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_named_and_what_is_far_is_not() {
        let known = ["rows_max", "models_dir", "chat_model"];
        assert_eq!(nearest("row_max", known), Some("rows_max"));
        assert_eq!(nearest("MODELDIR", known), Some("models_dir"));
        assert_eq!(nearest("chat_mdoel", known), Some("chat_model"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", []), None);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
        assert_eq!(did_you_mean("rows_mx", known), "; did you mean rows_max?");
    }
}
