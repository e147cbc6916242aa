//! Words, sentences, paragraphs and what is said in quotation marks.

/// The words of a text in lower case: letters and digits, with apostrophes inside.
pub fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'' && letter != '’')
        .map(|word| word.trim_matches(['\'', '’']).to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

/// How many words a text has.
pub fn word_count(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
}

/// Whether a letter ends a sentence.
fn ends_sentence(letter: char) -> bool {
    matches!(letter, '.' | '!' | '?' | '…' | '。' | '！' | '？')
}

/// How many sentences end in a text; several marks in a row are one end.
pub fn sentence_ends(text: &str) -> usize {
    let mut previous = false;
    let mut count = 0;
    for letter in text.chars() {
        let ends = ends_sentence(letter);
        count += usize::from(ends && !previous);
        previous = ends;
    }
    count
}

/// The sentences of a text, each with its mark and closing quotes.
pub fn sentences(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let (mut found, mut sentence, mut at) = (Vec::new(), String::new(), 0);
    while at < letters.len() {
        sentence.push(letters[at]);
        if ends_sentence(letters[at]) {
            while at + 1 < letters.len() && (ends_sentence(letters[at + 1]) || is_closing(letters[at + 1])) {
                at += 1;
                sentence.push(letters[at]);
            }
            // A mark inside of a word or number, as in `3.5`, ends nothing.
            let is_wide = matches!(letters[at], '。' | '！' | '？' | '」' | '』');
            if is_wide || letters.get(at + 1).is_none_or(|next| next.is_whitespace()) {
                push_trimmed(&mut found, &sentence);
                sentence.clear();
            }
        }
        at += 1;
    }
    push_trimmed(&mut found, &sentence);
    found
}

fn is_closing(letter: char) -> bool {
    matches!(letter, '"' | '”' | '’' | '»' | '」' | '』' | ')')
}

fn push_trimmed(found: &mut Vec<String>, text: &str) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().any(char::is_alphanumeric) {
        found.push(text);
    }
}

/// The paragraphs of a text: what blank lines separate.
pub fn paragraphs(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in text.lines() {
        if line.trim().is_empty() {
            found.push(String::new());
        } else if let Some(paragraph) = found.last_mut() {
            if !paragraph.is_empty() {
                paragraph.push('\n');
            }
            paragraph.push_str(line.trim_end());
        }
    }
    found.into_iter().map(|text| text.trim().to_string()).filter(|text| !text.is_empty()).collect()
}

/// A text in parts: what is said in quotation marks, and what stands around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// In quotation marks, without them.
    Quoted(String),
    /// Everything else.
    Narrated(String),
}

/// Takes a text apart at its quotation marks; a mark without its partner counts as none.
pub fn parts(text: &str) -> Vec<Part> {
    let letters: Vec<char> = text.chars().collect();
    let (mut found, mut narrated, mut at) = (Vec::new(), String::new(), 0);
    while at < letters.len() {
        let closing = match letters[at] {
            '"' => Some('"'),
            '“' | '„' => Some('”'),
            '«' => Some('»'),
            '「' => Some('」'),
            _ => None,
        };
        let end = closing.and_then(|closing| {
            let is_end = |letter: &char| *letter == closing || closing == '”' && *letter == '“';
            letters[at + 1..].iter().position(is_end).map(|distance| at + 1 + distance)
        });
        match end {
            Some(end) => {
                let said: String = letters[at + 1..end].iter().collect();
                if !narrated.trim().is_empty() {
                    found.push(Part::Narrated(narrated.trim().to_string()));
                }
                narrated.clear();
                if !said.trim().is_empty() {
                    found.push(Part::Quoted(said.trim().to_string()));
                }
                at = end + 1;
            }
            None => {
                narrated.push(letters[at]);
                at += 1;
            }
        }
    }
    if !narrated.trim().is_empty() {
        found.push(Part::Narrated(narrated.trim().to_string()));
    }
    found
}

/// What is said in quotation marks, in order.
pub fn quoted(text: &str) -> Vec<String> {
    let said = |part| if let Part::Quoted(said) = part { Some(said) } else { None };
    parts(text).into_iter().filter_map(said).collect()
}

/// A text without what is said in quotation marks.
pub fn unquoted(text: &str) -> String {
    let narrated = |part| if let Part::Narrated(narrated) = part { Some(narrated) } else { None };
    parts(text).into_iter().filter_map(narrated).collect::<Vec<_>>().join(" ")
}

/// The share of a text's words that stand in quotation marks, 0 to 1.
pub fn dialogue_share(text: &str) -> f64 {
    let all = word_count(text);
    let said: usize = quoted(text).iter().map(|said| word_count(said)).sum();
    if all == 0 { 0.0 } else { said.min(all) as f64 / all as f64 }
}

/// How many words of a text belong to a family: a family's word itself, or with one of its endings.
pub fn hits(words: &[String], family: &[&str]) -> usize {
    let is_of = |word: &&String| {
        family.iter().any(|member| {
            word.strip_prefix(member)
                .is_some_and(|rest| matches!(rest, "" | "s" | "es" | "d" | "ed" | "ing" | "'s" | "’s"))
                || member.strip_suffix('e').is_some_and(|stem| word.strip_prefix(stem) == Some("ing"))
        })
    };
    words.iter().filter(is_of).count()
}

/// The first words of a text.
pub fn first_words(text: &str, count: usize) -> String {
    text.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

/// Cuts a text after so many words and says so with three dots.
pub fn trim_words(text: &str, count: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.len() > count {
        true => format!("{}...", words[..count].join(" ").trim_end_matches(['.', ',', ';', ':'])),
        false => words.join(" "),
    }
}
