//! Which parts of a chat template mark what the assistant says? `{% generation %}` of transformers, which serves training.

/// The source with `{% generation %}…{% endgeneration %}` as scopes of their own, which is what transformers makes of them
/// when it renders. Texts, comments and raw blocks stay as they are.
pub(super) fn as_scopes(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let length = match from.as_bytes().get(1) {
            Some(b'#') => from.find("#}").map_or(from.len(), |end| end + 2),
            Some(b'{') => end_of(from, "}}"),
            Some(b'%') => end_of(from, "%}"),
            _ => 1,
        };
        let (tag, after) = from.split_at(length);
        match keyword(tag) {
            Some("generation") => out.push_str(&tag.replacen("generation", "with", 1)),
            Some("endgeneration") => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            Some("raw") => {
                let end = end_of_raw(after);
                out.push_str(tag);
                out.push_str(&after[..end]);
                rest = &after[end..];
                continue;
            }
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The first word of a statement's tag that has no other.
fn keyword(tag: &str) -> Option<&str> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner).trim())
}

/// Where a tag ends, with `close`; within texts it does not.
fn end_of(from: &str, close: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in from.char_indices().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(mark) if character == mark => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None if from[at..].starts_with(close) => return at + close.len(),
            None => {}
        }
    }
    from.len()
}

/// Where the tag begins that ends a raw block.
fn end_of_raw(text: &str) -> usize {
    let mut from = 0;
    while let Some(at) = text[from..].find("{%") {
        let at = from + at;
        if keyword(&text[at..at + end_of(&text[at..], "%}")]) == Some("endraw") {
            return at;
        }
        from = at + 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::as_scopes;

    #[test]
    fn only_tags_are_scopes() {
        for (source, expected) in [
            ("{% generation %}x{% endgeneration %}", "{% with %}x{% endwith %}"),
            ("{%- generation -%}x{%+endgeneration+%}", "{%- with -%}x{%+endwith+%}"),
            ("{{ '{% generation %}' }}", "{{ '{% generation %}' }}"),
            ("{{ \"\\\"%}{% generation %}\" }}", "{{ \"\\\"%}{% generation %}\" }}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            (
                "{% raw %}{% generation %}{% endraw %}{% generation %}",
                "{% raw %}{% generation %}{% endraw %}{% with %}",
            ),
            ("{% if generation %}{ö {", "{% if generation %}{ö {"),
            ("{% raw %}{% generation", "{% raw %}{% generation"),
        ] {
            assert_eq!(as_scopes(source), expected);
        }
    }
}
