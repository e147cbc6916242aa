//! `diffusers.loaders.textual_inversion`: words that were learned, each a few vectors in the place of tokens
//! (R. Gal et al., "An Image is Worth One Word", 2022).

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::pipelines::stable_diffusion::{StableDiffusion, TextEncoder, text_components};
use crate::weights::component::{is_pickle, pickle_error};
use crate::weights::safetensors::WeightFile;
use crate::{ClipTextOutput, DiffusionError};

/// Vectors of one word at most: a row of a text encoder has 75 places.
const VECTORS_MAX: usize = 75;
/// Vectors that A1111's trainer wrote for the one encoder of Stable Diffusion 1 and 2.
const SINGLE: &str = "emb_params";
/// Vectors for SDXL's two encoders.
const PAIR: [&str; 2] = ["clip_l", "clip_g"];
/// What ComfyUI writes before the name.
const PREFIX: &str = "embedding:";

/// A file of learned vectors: `emb_params`, SDXL's `clip_l` and `clip_g`, or one tensor that is named by its token.
#[derive(Debug)]
pub struct TextualInversion {
    /// The word that stands for it: the file's name without the ending.
    pub name: String,
    /// The token that the file itself names, as diffusers writes it.
    pub token: Option<String>,
    file: WeightFile,
}

/// Learned words of one text encoder; token ids from the vocabulary's size up stand for their vectors.
#[derive(Debug, Clone, Default)]
pub struct LearnedWords {
    words: Arc<Vec<Word>>,
}

#[derive(Debug)]
struct Word {
    /// How prompts write it, in small letters.
    triggers: Vec<Vec<char>>,
    vectors: Vec<Vec<f32>>,
}

impl TextualInversion {
    /// Opens a safetensors file; the vectors are read when a model takes them.
    pub fn open(path: &Path) -> Result<Self, DiffusionError> {
        if is_pickle(path) {
            return Err(pickle_error(path));
        }
        let file = WeightFile::open(path)?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let names: Vec<&String> = file.tensors.keys().collect();
        let token = match names.as_slice() {
            [one] if *one == SINGLE => None,
            [one] if !PAIR.contains(&one.as_str()) => Some((*one).clone()),
            [g, l] if *g == PAIR[1] && *l == PAIR[0] => None,
            _ => {
                let known = "one tensor emb_params, one that is named by its token, or clip_l and clip_g";
                let found = names.iter().take(4).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                let reason = format!("is no textual-inversion embedding, which has {known}; found: {found}");
                return Err(DiffusionError::weights(file.name, reason));
            }
        };
        Ok(Self { name, token, file })
    }

    /// How prompts may write the word: its name alone, in angle brackets, or after `embedding:`, and the token of the
    /// file.
    pub fn triggers(&self) -> Vec<String> {
        let mut all = words_of(&self.name);
        all.extend(self.token.clone().filter(|token| !all.contains(token)));
        all.retain(|trigger| !trigger.trim().is_empty());
        all
    }

    /// Whether a prompt has the word.
    pub fn is_named_in(&self, prompt: &str) -> bool {
        has_any(prompt, &self.triggers())
    }

    /// Whether a prompt has the word of a file of this name, which need not be there.
    pub fn is_word_in(name: &str, prompt: &str) -> bool {
        has_any(prompt, &words_of(name))
    }

    /// The family that it was learned for by its tensors and their width: which text encoders take it, by width.
    pub fn widths(&self) -> Vec<usize> {
        let width = |name: &String| self.file.tensors[name].shape.last().copied().unwrap_or(0);
        let mut widths: Vec<usize> = self.file.tensors.keys().map(width).collect();
        if widths.len() == 2 {
            // By name clip_g comes first; the encoders have it behind.
            widths.reverse();
        }
        widths
    }

    /// The vectors for the encoder at `index` of `count`, `width` wide.
    fn vectors(
        &self,
        (index, count, component): (usize, usize, &str),
        width: usize,
    ) -> Result<Vec<Vec<f32>>, DiffusionError> {
        let bad = |reason: String| DiffusionError::weights(self.file.name.clone(), reason);
        let tensors = &self.file.tensors;
        let name = match (count, self.token.as_deref()) {
            (2, None) if tensors.contains_key(PAIR[0]) => PAIR[index.min(1)],
            (1, token) if !tensors.contains_key(PAIR[0]) => token.unwrap_or(SINGLE),
            (2, token) => {
                let found = token.unwrap_or(SINGLE);
                return Err(bad(format!(
                    "lacks clip_l and clip_g, which a model of two text encoders takes; {found} is for one"
                )));
            }
            _ => return Err(bad("clip_l and clip_g are for SDXL; the model has one text encoder".into())),
        };
        let entry = tensors.get(name).ok_or_else(|| bad(format!("lacks the tensor {name}")))?;
        match (entry.shape.as_slice(), &entry.shape) {
            (&[found], _) | (&[1..=VECTORS_MAX, found], _) if found == width => {}
            (&[rows, found], _) if found == width => {
                return Err(bad(format!("{name} has {rows} vectors; 1 to {VECTORS_MAX} are taken")));
            }
            (_, found) => {
                return Err(DiffusionError::ShapeMismatch {
                    component: format!("{} for the {component}", self.file.name),
                    name: name.into(),
                    expected: found.iter().rev().skip(1).rev().copied().chain([width]).collect(),
                    found: found.clone(),
                });
            }
        }
        let values = self.file.read_f32(name, entry)?;
        Ok(values.chunks(width).map(<[f32]>::to_vec).collect())
    }
}

impl StableDiffusion {
    /// This model with learned words; the weights are shared.
    pub fn with_learned_words(&self, learned: &[TextualInversion]) -> Result<Self, DiffusionError> {
        let mut model = self.clone();
        let count = model.text_encoders.len();
        for (index, encoder) in model.text_encoders.iter_mut().enumerate() {
            let component =
                text_components(self.xl, self.refines).get(index).map_or("text_encoder", |names| names.0);
            let width = encoder.model.hidden_size();
            let word = |learned: &TextualInversion| {
                let vectors = learned.vectors((index, count, component), width)?;
                let triggers = learned.triggers().iter().map(|trigger| lowered(trigger)).collect();
                Ok(Word { triggers, vectors })
            };
            let words = learned.iter().map(word).collect::<Result<Vec<_>, DiffusionError>>()?;
            encoder.learned = LearnedWords { words: Arc::new(words) };
        }
        Ok(model)
    }
}

impl LearnedWords {
    /// All vectors, in the order of their ids.
    fn vectors(&self) -> impl Iterator<Item = &Vec<f32>> {
        self.words.iter().flat_map(|word| &word.vectors)
    }

    /// The longest trigger that stands at a place of a text: its length in letters, and which word it is.
    fn at(&self, letters: &[char], place: usize) -> Option<(usize, usize)> {
        let all = self.words.iter().enumerate();
        let found = all.flat_map(|(word, it)| it.triggers.iter().map(move |trigger| (trigger, word)));
        found
            .filter(|(trigger, _)| stands_at(letters, place, trigger))
            .map(|(trigger, word)| (trigger.len(), word))
            .max_by_key(|(length, _)| *length)
    }
}

impl TextEncoder {
    /// The ids of a text without start and end; learned words have ids from the size of the vocabulary up, one for
    /// each vector.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DiffusionError> {
        if self.learned.words.is_empty() {
            return self.tokenizer.encode(text);
        }
        let letters: Vec<char> = text.chars().collect();
        let mut first_ids = Vec::new();
        let mut next = self.model.vocab_size() as u32;
        for word in self.learned.words.iter() {
            first_ids.push(next);
            next += word.vectors.len() as u32;
        }
        let (mut ids, mut begin, mut at) = (Vec::new(), 0, 0);
        while at < letters.len() {
            let Some((length, word)) = self.learned.at(&letters, at) else {
                at += 1;
                continue;
            };
            ids.extend(self.plain(&letters[begin..at])?);
            let count = self.learned.words[word].vectors.len() as u32;
            ids.extend(first_ids[word]..first_ids[word] + count);
            at += length;
            begin = at;
        }
        ids.extend(self.plain(&letters[begin..])?);
        Ok(ids)
    }

    fn plain(&self, letters: &[char]) -> Result<Vec<u32>, DiffusionError> {
        match letters.iter().all(|letter| letter.is_whitespace()) {
            true => Ok(Vec::new()),
            false => self.tokenizer.encode(&letters.iter().collect::<String>()),
        }
    }

    /// One row of a text: start, as many ids as fit, end, padding.
    pub fn encode_row(&self, text: &str) -> Result<Vec<u32>, DiffusionError> {
        Ok(self.tokenizer.row(&self.encode(text)?))
    }

    /// [`crate::ClipTextModel::forward`] of rows that may have ids of learned words.
    pub fn forward(&self, ids: &[Vec<u32>], hidden: Option<&[Vec<bool>]>, device: &Device) -> ClipTextOutput {
        let vocabulary = self.model.vocab_size() as u32;
        if ids.iter().flatten().all(|id| *id < vocabulary) {
            return self.model.forward(ids, hidden, device);
        }
        let vectors: Vec<&Vec<f32>> = self.learned.vectors().collect();
        let known: Vec<Vec<u32>> = ids
            .iter()
            .map(|row| row.iter().map(|id| if *id < vocabulary { *id } else { 0 }).collect())
            .collect();
        let mut tokens = self.model.token_embeddings(&known, device);
        let (dtype, width) = (tokens.dtype(), self.model.hidden_size());
        for (row, ids) in ids.iter().enumerate() {
            for (place, id) in ids.iter().enumerate().filter(|(_, id)| **id >= vocabulary) {
                let Some(vector) = vectors.get((id - vocabulary) as usize) else { continue };
                let data = TensorData::new((*vector).clone(), [1, 1, width]).convert_dtype(dtype);
                let vector = Tensor::<3>::from_data(data, (device, dtype));
                tokens = tokens.slice_assign([row..row + 1, place..place + 1, 0..width], vector);
            }
        }
        self.model.forward_embedded(tokens, ids, hidden, device)
    }
}

/// How prompts may write the word of a file.
fn words_of(name: &str) -> Vec<String> {
    vec![format!("{PREFIX}{name}"), format!("<{name}>"), name.into()]
}

fn has_any(prompt: &str, words: &[String]) -> bool {
    let words: Vec<Vec<char>> = words.iter().map(|word| lowered(word)).collect();
    let letters: Vec<char> = prompt.chars().collect();
    (0..letters.len()).any(|at| words.iter().any(|word| stands_at(&letters, at, word)))
}

fn lowered(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Whether a trigger stands at a place as a word of its own, whatever the case of its letters.
fn stands_at(letters: &[char], at: usize, trigger: &[char]) -> bool {
    let end = at + trigger.len();
    let in_word = |letter: &char| letter.is_alphanumeric() || *letter == '_';
    let joined = |outside: Option<&char>, inside: Option<&char>| {
        outside.is_some_and(in_word) && inside.is_some_and(in_word)
    };
    end <= letters.len()
        && letters[at..end].iter().zip(trigger).all(|(a, b)| a.to_lowercase().eq(b.to_lowercase()))
        && !joined(at.checked_sub(1).and_then(|before| letters.get(before)), trigger.first())
        && !joined(letters.get(end), trigger.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_where_it_stands_alone() {
        let stands = |text: &str, trigger: &str| {
            let letters: Vec<char> = text.chars().collect();
            (0..letters.len()).filter(|at| stands_at(&letters, *at, &lowered(trigger))).collect::<Vec<_>>()
        };
        assert_eq!(stands("Zebrahat, zebrahat_1 (zebrahat:1.2) zebrahats", "zebrahat"), [0, 22]);
        assert_eq!(stands("a <Zebrahat>b", "<zebrahat>"), [2], "brackets end a word");
        assert_eq!(stands("", "x"), Vec::<usize>::new());
    }
}
