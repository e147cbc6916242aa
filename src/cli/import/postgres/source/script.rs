//! Where the statements of a plain dump begin: `COPY` in the body of a function, a text or a comment is none.

/// What the text is in the middle of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Statement,
    /// `'…'`; with backslashes where it began with `E`.
    Text { has_escapes: bool },
    /// `"…"`.
    Name,
    /// `$tag$ … $tag$`.
    Dollars(Vec<u8>),
    /// `/* … */`, so many deep.
    Comment(usize),
}

/// Reads a script line by line.
#[derive(Debug, Default)]
pub(super) struct Script {
    inside: Inside,
    /// Whether the last statement has ended.
    is_within: bool,
}

impl Script {
    /// Whether a statement may begin with the next line.
    pub fn is_between(&self) -> bool {
        self.inside == Inside::Statement && !self.is_within
    }

    /// Reads a line.
    pub fn line(&mut self, line: &[u8]) {
        // A command of psql.
        if self.is_between() && line.first() == Some(&b'\\') {
            return;
        }
        let mut at = 0;
        while at < line.len() {
            at += self.step(line, at);
        }
    }

    /// Reads on from a place; answers with how many bytes that was.
    fn step(&mut self, line: &[u8], at: usize) -> usize {
        let rest = &line[at..];
        match &mut self.inside {
            Inside::Statement => return self.statement(line, at),
            Inside::Text { has_escapes } => match rest {
                [b'\\', ..] if *has_escapes => return 2,
                [b'\'', b'\'', ..] => return 2,
                [b'\'', ..] => self.inside = Inside::Statement,
                _ => {}
            },
            Inside::Name => match rest {
                [b'"', b'"', ..] => return 2,
                [b'"', ..] => self.inside = Inside::Statement,
                _ => {}
            },
            Inside::Dollars(tag) => {
                if rest.starts_with(tag) {
                    let len = tag.len();
                    self.inside = Inside::Statement;
                    return len;
                }
            }
            Inside::Comment(depth) => match rest {
                [b'*', b'/', ..] if *depth == 1 => {
                    self.inside = Inside::Statement;
                    return 2;
                }
                [b'*', b'/', ..] => {
                    *depth -= 1;
                    return 2;
                }
                [b'/', b'*', ..] => {
                    *depth += 1;
                    return 2;
                }
                _ => {}
            },
        }
        1
    }

    fn statement(&mut self, line: &[u8], at: usize) -> usize {
        let rest = &line[at..];
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        match rest {
            [b'-', b'-', ..] => return rest.len(),
            [b'/', b'*', ..] => {
                self.inside = Inside::Comment(1);
                return 2;
            }
            [b';', ..] => self.is_within = false,
            [byte, ..] if byte.is_ascii_whitespace() => {}
            [b'\'', ..] => {
                let before = at.checked_sub(1).and_then(|last| line.get(last));
                let is_own_word = at < 2 || !is_word(&line[at - 2]);
                let has_escapes = matches!(before, Some(b'e' | b'E')) && is_own_word;
                self.inside = Inside::Text { has_escapes };
                self.is_within = true;
            }
            [b'"', ..] => {
                self.inside = Inside::Name;
                self.is_within = true;
            }
            [b'$', ..] if at == 0 || !is_word(&line[at - 1]) => {
                self.is_within = true;
                let tag = rest[1..].iter().take_while(|byte| is_word(byte)).count();
                if rest.get(tag + 1) == Some(&b'$') && !rest[1].is_ascii_digit() {
                    self.inside = Inside::Dollars(rest[..tag + 2].to_vec());
                    return tag + 2;
                }
            }
            _ => self.is_within = true,
        }
        1
    }
}

/// What a `COPY … FROM stdin` is of: schema, table and columns.
pub(super) fn copied(line: &str) -> Option<(String, String, Vec<String>)> {
    let rest = line.trim_end().strip_prefix("COPY ")?.strip_suffix("FROM stdin;")?.trim_end();
    let (first, rest) = name(rest)?;
    let (schema, table, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let (second, rest) = name(rest)?;
            (first, second, rest)
        }
        None => ("public".into(), first, rest),
    };
    let mut rest = rest.trim().strip_prefix('(')?.strip_suffix(')')?.trim();
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let (column, after) = name(rest)?;
        columns.push(column);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some((schema, table, columns))
}

/// A name, in quotes or not, and what comes after it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == '$'));
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        return (!name.is_empty()).then(|| (name.to_string(), rest));
    };
    let mut name = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (letter, quoted[at + 1..].starts_with('"')) {
            ('"', true) => {
                name.push('"');
                letters.next();
            }
            ('"', _) => return Some((name, &quoted[at + 1..])),
            _ => name.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_begin_outside_of_texts_bodies_and_comments() {
        let mut script = Script::default();
        let mut between = Vec::new();
        for line in [
            "SET client_encoding = 'UTF8';",
            "CREATE FUNCTION f() RETURNS text AS $_$",
            "COPY public.a (b) FROM stdin;",
            "$_$ LANGUAGE sql;",
            "COMMENT ON TABLE t IS 'it''s",
            "COPY public.a (b) FROM stdin;",
            "';",
            "INSERT INTO t VALUES (E'it\\'s', $1);",
            "/* a /* b */",
            "*/ -- it's",
            "SELECT \"a'b\";",
            "\\connect it's",
        ] {
            script.line(line.as_bytes());
            between.push(script.is_between());
        }
        let expected = [true, false, false, true, false, false, true, true, false, true, true, true];
        assert_eq!(between, expected);
    }

    #[test]
    fn the_columns_of_a_copy_are_read_with_their_quotes() {
        let found = copied("COPY public.\"odd \"\"t\" (id, \"user\", \"a,b\") FROM stdin;\n");
        let columns = ["id", "user", "a,b"].map(str::to_string).to_vec();
        assert_eq!(found, Some(("public".into(), "odd \"t".into(), columns)));
        assert_eq!(copied("COPY public.t (id) TO stdout;"), None);
        assert_eq!(copied("COPY t () FROM stdin;"), Some(("public".into(), "t".into(), Vec::new())));
    }
}
