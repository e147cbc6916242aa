//! Fills the places of a template, and leaves out what would say nothing: a line such as `Background: ` whose place
//! stays empty.

/// A filled line, and whether it is a heading: a title, or a label that announces the lines below it.
struct Line {
    text: String,
    is_heading: bool,
}

/// Replaces `{{name}}` by what `value` knows of it; what it does not know stays for the macros. Labels whose places are
/// all empty are left out, with their line if nothing else stands in it, and so is a heading that nothing follows.
pub fn fill(template: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out: Vec<Line> = Vec::new();
    let mut lines = template.split('\n').peekable();
    while let Some(line) = lines.next() {
        match fill_line(line, value) {
            Some(text) => {
                let label = label(line);
                let is_heading = text == line && (label.ends_with([':', '：']) || line.starts_with('#'));
                out.push(Line { text, is_heading });
            }
            None => {
                let ends_here = lines.peek().is_none_or(|next| next.trim().is_empty());
                if ends_here && out.last().is_some_and(|last| last.is_heading) {
                    out.pop();
                }
            }
        }
    }
    let texts: Vec<String> = out.into_iter().map(|line| line.text).collect();
    texts.join("\n")
}

/// The line with its places filled; `None` when it would say nothing.
fn fill_line(line: &str, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut left_out = false;
    for clause in clauses(line) {
        let (text, is_empty) = fill_clause(clause, value);
        match is_empty {
            true => left_out = true,
            false => out.push_str(&text),
        }
    }
    if !left_out {
        return Some(out);
    }
    let out = out.trim_end();
    out.contains(char::is_alphanumeric).then(|| out.to_string())
}

/// The clauses of a line, each with what separates it from the next. Nothing is separated within braces.
fn clauses(line: &str) -> Vec<&str> {
    let mut clauses = Vec::new();
    let (mut from, mut depth) = (0, 0_usize);
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b' ' if depth == 0 && at > from && matches!(bytes[at - 1], b'.' | b';' | b'!' | b'?' | b'|') => {
                clauses.push(&line[from..=at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    clauses.push(&line[from..]);
    clauses
}

/// The clause with its places filled, and whether it is a label without anything behind it.
fn fill_clause(clause: &str, value: &dyn Fn(&str) -> Option<String>) -> (String, bool) {
    let (mut out, mut literal) = (String::new(), String::new());
    let (mut places, mut filled) = (0, 0);
    let mut rest = clause;
    while let Some(at) = rest.find("{{") {
        out.push_str(&rest[..at]);
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = rest[2..].find("}}").and_then(|end| {
            let text = value(rest[2..2 + end].trim())?;
            Some((text, end + 4))
        });
        match known {
            Some((text, length)) => {
                places += 1;
                filled += usize::from(!text.trim().is_empty());
                out.push_str(&text);
                rest = &rest[length..];
            }
            None => {
                out.push_str("{{");
                literal.push_str("{{");
                rest = &rest[2..];
            }
        }
    }
    out.push_str(rest);
    literal.push_str(rest);
    let label = label(&literal);
    let says_nothing = places > 0 && filled == 0 && (label.is_empty() || label.ends_with([':', '：']));
    (out, says_nothing)
}

/// A text without what surrounds its words: list marks, emphasis, brackets, spaces.
fn label(text: &str) -> &str {
    text.trim_matches(|letter: char| !letter.is_alphanumeric() && !matches!(letter, ':' | '：'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Option<String> {
        match name {
            "a" => Some("{{b}}".to_string()),
            "b" => Some("B".to_string()),
            "empty" | "none" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn places_are_filled_once() {
        assert_eq!(fill("{{a}} {{ b }} {{c}} {{", &known), "{{b}} B {{c}} {{");
    }

    #[test]
    fn labels_without_a_text_are_left_out() {
        for (template, filled) in [
            ("Background: {{empty}}\nName: {{b}}", "Name: B"),
            ("- **Background:** {{empty}}.\n- **Name:** {{b}}.", "- **Name:** B."),
            ("Name: {{b}}. Goals: {{empty}}. Mood: {{none}}", "Name: B."),
            ("Goals: {{empty}}. Name: {{b}}.", "Name: B."),
            ("Looks: {{empty}}, {{none}}\n{{b}}", "B"),
            ("You are {{b}}.\n\n## Background\n{{empty}}\n\nStay kind.", "You are B.\n\n\nStay kind."),
            ("Goals:\n{{empty}}\n{{none}}", ""),
            ("{{empty}}", ""),
        ] {
            assert_eq!(fill(template, &known), filled, "{template}");
        }
    }

    #[test]
    fn what_says_something_stays() {
        for template in [
            "Stay in character and be {{empty}}.",
            "Background: {{random:a, b}}",
            "Rules:\n- Be kind.\n\nBackground:\n\nx",
            "Time 10:30. Ends; well",
            "",
        ] {
            let expected = template.replace("{{empty}}", "");
            assert_eq!(fill(template, &known), expected, "{template}");
        }
        assert_eq!(fill("Goals:\n{{empty}}\n{{b}}", &known), "Goals:\nB");
        assert_eq!(fill("Rules:\n{{empty}}\n- Be kind.", &known), "Rules:\n- Be kind.");
    }
}
