//! Finding the rows of a text search by an index of words.
//!
//! A search says which words its results must have: all of these, or one of those. Of several words that must be there
//! the one is looked up that stands in the fewest rows; the search itself is still tried on each row that is found.

use models::TableInfo;
use models::schema::{IndexInfo, KeyPart};

use super::filter::{Filter, Operator, Test};
use super::plan::{Access, Candidate, Facts, KeyRange, Plan};
use super::text_search::Needed;
use super::{Query, Reader};
use crate::error::StoreError;
use crate::source::Source;
use crate::{encode, words};

/// What the use of an index of words is worth: more than an order, less than a unique key.
pub(super) const WORDS: u32 = 500;
/// Words that begin alike and are looked up; with more of them the rows are read instead.
const ALIKE_MAX: usize = 200;
/// Entries that are counted to find the rarer of two words.
const COUNTED_MAX: usize = 256;
/// Words of a search that are compared by how rare they are.
const COMPARED_MAX: usize = 8;

/// A search that every result satisfies.
#[derive(Debug)]
pub(super) struct Search {
    /// Where it looks.
    columns: Vec<usize>,
    /// For each of these at least one word is in one of the columns of each result.
    needs: Vec<Vec<Needed>>,
}

/// The search that a condition is: in one column, or in any of several.
pub(super) fn search(filter: &Filter) -> Option<Search> {
    match filter {
        Filter::Test(Test { field, operator: Operator::Search(query) }) => {
            Some(Search { columns: vec![field.plain()?], needs: query.needs()? })
        }
        Filter::Or(parts) => {
            let searches: Vec<Search> = parts.iter().map(search).collect::<Option<_>>()?;
            let needs = match searches.split_first() {
                None => return None,
                Some((first, others)) if others.iter().all(|other| other.needs == first.needs) => {
                    first.needs.clone()
                }
                // One word of each, whichever of them finds the row.
                Some(_) => {
                    let all = searches.iter().map(|search| search.needs.first().cloned());
                    vec![all.collect::<Option<Vec<_>>>()?.concat()]
                }
            };
            Some(Search { columns: searches.into_iter().flat_map(|search| search.columns).collect(), needs })
        }
        _ => None,
    }
}

impl Facts {
    /// The use of an index of words for this query, if it has the words of a search.
    pub(super) fn word_candidate(
        &self,
        reader: &Reader,
        query: &Query,
        table: &TableInfo,
        position: usize,
        prefix: &[u8],
    ) -> Result<Option<Candidate>, StoreError> {
        let index: &IndexInfo = &table.indexes[position];
        let Some((order, texts)) = index.parts.split_last() else { return Ok(None) };
        let has = |column: &usize| texts.iter().any(|part| part.column == *column);
        let Some(search) = self.searches.iter().find(|search| search.columns.iter().all(has)) else {
            return Ok(None);
        };
        let mut best: Option<(usize, Vec<KeyRange>)> = None;
        for need in search.needs.iter().take(COMPARED_MAX) {
            let Some(ranges) = ranges(reader, need, prefix)? else { continue };
            let mut count = 0;
            if search.needs.len() > 1 {
                for (from, to) in &ranges {
                    let left = COUNTED_MAX - count;
                    count += reader.reads.source.range(from.clone(), to.clone(), false).take(left).count();
                    reader.worked(1)?;
                }
            }
            if best.as_ref().is_none_or(|(fewest, _)| count < *fewest) {
                best = Some((count, ranges));
            }
        }
        let Some((_, ranges)) = best else { return Ok(None) };
        let key = table.primary_key.iter();
        let key = key.map(|column| KeyPart { column: *column, descending: false, null_as_empty: false });
        let rest: Vec<KeyPart> = std::iter::once(order.clone()).chain(key).collect();
        let found = self.order_match(&query.order, &rest);
        let bound = texts.iter().map(|part| part.column).collect();
        // A row that has several of the words is found once.
        let merged = Some(ranges.iter().map(|(from, _)| from.len()).collect());
        let access =
            Access::Ranges { index: Some(position), ranges, descending: found.unwrap_or(false), merged };
        let plan = Plan { access, ordered: found.is_some(), covered: false, bound, union: Vec::new() };
        Ok(Some(Candidate { score: WORDS, plan }))
    }
}

/// Where the entries of some words lie, each in a range of its own; `None` where they are too many.
fn ranges(reader: &Reader, need: &[Needed], prefix: &[u8]) -> Result<Option<Vec<KeyRange>>, StoreError> {
    let mut starts: Vec<Vec<u8>> = Vec::new();
    let start = |word: &str| {
        let mut key = prefix.to_vec();
        words::put(word, &mut key);
        key
    };
    starts.push(start(words::MANY));
    for Needed { word, is_beginning } in need {
        if !is_beginning {
            starts.push(start(word));
            continue;
        }
        let mut from = prefix.to_vec();
        words::put_beginning(word, &mut from);
        let to = encode::after_prefix(&from);
        // From each word to the next, over all rows that have it.
        loop {
            reader.worked(1)?;
            let Some(pair) = reader.reads.source.range(from.clone(), to.clone(), false).next() else { break };
            let (entry, _) = pair?;
            let Some(word) = words::through_word(&entry, prefix.len()) else {
                return Err(StoreError::Corrupt("an entry of an index of words has no word".into()));
            };
            starts.push(word.to_vec());
            match encode::after_prefix(word) {
                Some(next) if starts.len() <= ALIKE_MAX => from = next,
                Some(_) => return Ok(None),
                None => break,
            }
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let range = |from: Vec<u8>| {
        let to = encode::after_prefix(&from);
        (from, to)
    };
    Ok(Some(starts.into_iter().map(range).collect()))
}
