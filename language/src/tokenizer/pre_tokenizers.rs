//! Into which words does a byte-level vocabulary cut a text before it looks for tokens? By the name in
//! `tokenizer.ggml.pre`.
//!
//! The names and what they mean are facts of llama.cpp's `llama-vocab.cpp` (`llama_vocab::impl::load` and
//! `llm_tokenizer_bpe`), the expressions those of the models' own `tokenizer.json`.

use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::from_gguf::refused;
use crate::error::LanguageError;

/// Llama 3's words: up to three digits, contractions in any case.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's words: the same with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with marks among the letters.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral's: words part where small letters meet capitals.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with contractions and up to three digits.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Letters as DeepSeek's first vocabulary lists them; those that editors would compose to others stand by number.
const DEEPSEEK_LETTERS: &str = "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u{1f7d}ᾀ-ᾴᾶ-ᾼ\u{1fbe}ῂ-ῄῆ-ῌῐ-\u{1fd3}ῖ-\u{1fdb}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u{2126}ℨ\u{212a}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const DEEPSEEK_SIGNS: &str = "\\s?[!-/:-~！-／：-～‘-‟\u{3000}-。]+";
const CJK: &str = "[一-龥ࠀ-一가-\u{d7ff}]+";
const CJK_AND_KANA: &str = "[一-龥぀-ゟ゠-ヿ]+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
const BAILING: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";
const THREE_DIGITS: &str = r"\p{N}{1,3}";

/// What one name means.
#[derive(Debug, Clone, Copy)]
pub(super) struct PreTokenizer {
    /// Each splits what those before it left.
    patterns: &'static [&'static str],
    /// Whether GPT-2's words come after that.
    gpt2: bool,
    /// Whether a word that is a token is taken whole, whatever merges there are.
    pub(super) whole_words: bool,
    /// Whether a text begins with the token for it, unless the file says otherwise.
    pub(super) adds_bos: bool,
    /// Whether letters and their marks are joined first.
    composes: bool,
}

const PLAIN: PreTokenizer =
    PreTokenizer { patterns: &[], gpt2: false, whole_words: false, adds_bos: false, composes: false };
const GPT2: PreTokenizer = PreTokenizer { gpt2: true, ..PLAIN };
const DIGITS_THEN_GPT2: PreTokenizer = PreTokenizer { patterns: &[DIGIT], gpt2: true, ..PLAIN };

/// All names that are known, by what they mean.
const KNOWN: &[(&[&str], PreTokenizer)] = &[
    (
        &[
            "default",
            "gpt-2",
            "gpt2",
            "phi-2",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
        ],
        GPT2,
    ),
    (
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        DIGITS_THEN_GPT2,
    ),
    (
        &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        PreTokenizer { patterns: &[LLAMA3], whole_words: true, adds_bos: true, ..PLAIN },
    ),
    (&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], PreTokenizer { patterns: &[LLAMA3], ..PLAIN }),
    (&["qwen2"], PreTokenizer { patterns: &[QWEN2], composes: true, ..PLAIN }),
    (
        &["deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "megrez", "hunyuan", "solar-open", "grok-2"],
        PreTokenizer { patterns: &[QWEN2], ..PLAIN },
    ),
    (&["qwen35"], PreTokenizer { patterns: &[QWEN35], ..PLAIN }),
    (&["tekken"], PreTokenizer { patterns: &[TEKKEN], whole_words: true, adds_bos: true, ..PLAIN }),
    (&["gpt-4o", "llama4", "kanana2", "minimax-m2"], PreTokenizer { patterns: &[GPT4O], ..PLAIN }),
    (
        &["deepseek-llm"],
        PreTokenizer {
            patterns: &[r"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_SIGNS, r"\s+$", CJK, r"\p{N}+"],
            ..PLAIN
        },
    ),
    (
        &["deepseek-coder"],
        PreTokenizer { patterns: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, DIGIT], ..PLAIN },
    ),
    (
        &["deepseek-v3", "hunyuan-dense", "joyai-llm"],
        PreTokenizer { patterns: &[THREE_DIGITS, CJK_AND_KANA, DEEPSEEK3], ..PLAIN },
    ),
    (
        &["falcon"],
        PreTokenizer { patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2_WORDS, "[0-9][0-9][0-9]"], ..PLAIN },
    ),
    (&["bloom", "poro-chat", "gpt3-finnish"], PreTokenizer { patterns: &[BLOOM], ..PLAIN }),
    (&["viking"], PreTokenizer { patterns: &[BLOOM, DIGIT], ..PLAIN }),
    (&["bailingmoe", "bailingmoe2", "llada-moe"], PreTokenizer { patterns: &[BAILING], ..PLAIN }),
    (&["seed-coder"], PreTokenizer { patterns: &[SEED], ..PLAIN }),
    (&["superbpe"], PreTokenizer { patterns: &[r"\p{N}+", r"(?=(\d{3})+(?!\d))"], ..PLAIN }),
];
const GPT2_WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";

impl PreTokenizer {
    /// What `name` means; one that is not known is refused, for its texts would be cut wrongly.
    pub(super) fn named(name: &str) -> Result<PreTokenizer, LanguageError> {
        let found = KNOWN.iter().find(|(names, _)| names.contains(&name));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let known: Vec<&str> = KNOWN.iter().flat_map(|(names, _)| *names).copied().collect();
            LanguageError::unsupported(
                "tokenizer.ggml.pre",
                format!("{name:?}; known are {}", known.join(", ")),
            )
        })
    }

    /// Has `inner` cut texts into these words.
    pub(super) fn apply(self, inner: &mut tokenizers::Tokenizer) -> Result<(), LanguageError> {
        let mut parts: Vec<PreTokenizerWrapper> = Vec::new();
        for pattern in self.patterns {
            let pattern = SplitPattern::Regex((*pattern).into());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(refused)?;
            parts.push(split.into());
        }
        parts.push(ByteLevel::new(false, true, self.gpt2).into());
        inner.with_pre_tokenizer(Some(Sequence::new(parts)));
        if self.composes {
            inner.with_normalizer(Some(NFC)).map_err(refused)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::models::bpe::BPE;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    use super::*;

    fn words(name: &str, text: &str) -> Vec<String> {
        let mut inner = tokenizers::Tokenizer::new(BPE::default());
        PreTokenizer::named(name).and_then(|it| it.apply(&mut inner)).expect("it is known");
        let mut cut = PreTokenizedString::from(text);
        inner.get_pre_tokenizer().expect("one").pre_tokenize(&mut cut).expect("words");
        let splits = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(_, range, _)| text[range.0..range.1].to_string()).collect()
    }

    #[test]
    fn every_name_cuts_and_loses_nothing() {
        let text = "Hello WORLD, it's 12345 o'clock!  Ünïcödé 你好かな\r\n\n  «end»\t";
        for (names, _) in KNOWN {
            for name in *names {
                assert_eq!(words(name, text).concat(), text, "{name}");
            }
        }
        let error = PreTokenizer::named("of-tomorrow").expect_err("it is unknown").to_string();
        assert!(error.contains("of-tomorrow") && error.contains("tekken"), "{error}");
    }

    #[test]
    fn models_cut_as_their_own_libraries_do() {
        for (name, text, expected) in [
            ("llama-bpe", "It'S 12345", vec!["It", "'S", " ", "123", "45"]),
            ("qwen2", "It'S 123", vec!["It", "'S", " ", "1", "2", "3"]),
            ("tekken", "helloWorld isn't 12", vec!["hello", "World", " isn", "'t", " ", "1", "2"]),
            ("gpt-4o", "helloWorld isn't 1234", vec!["hello", "World", " isn't", " ", "123", "4"]),
            ("smollm", "a 12", vec!["a", " ", "1", "2"]),
            ("deepseek-llm", "ab 12好\n", vec!["ab", " ", "12", "好", "\n"]),
            ("deepseek-v3", "ab 1234好?x", vec!["ab", " ", "123", "4", "好", "?x"]),
            ("deepseek-coder", "x+1", vec!["x", "+", "1"]),
            ("gpt-2", "ab 12 it's", vec!["ab", " 12", " it", "'s"]),
        ] {
            assert_eq!(words(name, text), expected, "{name}");
        }
    }
}
