//! Patterns as JavaScript writes them, taken apart.

/// Groups within groups.
const DEPTH_MAX: usize = 64;
/// Largest number of a counted repetition.
const REPEAT_MAX: usize = 1000;
/// How far a look behind looks back where its pattern has no end.
const WIDTH_MAX: usize = 1000;

/// A pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub node: Node,
    pub groups: usize,
    pub ignore_case: bool,
}

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Char(char),
    Any {
        newline: bool,
    },
    Class(Class),
    Start {
        lines: bool,
    },
    End {
        lines: bool,
    },
    WordEdge {
        wanted: bool,
    },
    /// What a group has read.
    Same {
        group: usize,
    },
    All(Vec<Node>),
    Either(Vec<Node>),
    Group(Box<Node>, usize),
    Look {
        node: Box<Node>,
        ahead: bool,
        wanted: bool,
    },
    Repeat {
        node: Box<Node>,
        min: usize,
        max: Option<usize>,
        greedy: bool,
    },
}

/// A set of characters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Class {
    negated: bool,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug)]
enum Member {
    Range(char, char),
    Digit(bool),
    Word(bool),
    Space(bool),
}

impl Class {
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn has(&self, character: char, ignore_case: bool) -> bool {
        let within = |it: char| {
            self.members.iter().any(|member| match member {
                Member::Range(from, to) => (*from..=*to).contains(&it),
                Member::Digit(wanted) => it.is_ascii_digit() == *wanted,
                Member::Word(wanted) => is_word(it) == *wanted,
                Member::Space(wanted) => it.is_whitespace() == *wanted,
            })
        };
        let one = |it: Option<char>| it.is_some_and(within);
        let found = within(character)
            || (ignore_case
                && (one(character.to_lowercase().next()) || one(character.to_uppercase().next())));
        found != self.negated
    }
}

impl Node {
    /// Characters that it reads, at least and at most.
    pub(crate) fn widths(&self) -> (usize, usize) {
        match self {
            Node::Char(_) | Node::Any { .. } | Node::Class(_) => (1, 1),
            Node::Start { .. } | Node::End { .. } | Node::WordEdge { .. } | Node::Look { .. } => (0, 0),
            Node::Same { .. } => (0, WIDTH_MAX),
            Node::All(nodes) => nodes
                .iter()
                .map(Node::widths)
                .fold((0, 0), |sum, one| ((sum.0 + one.0).min(WIDTH_MAX), (sum.1 + one.1).min(WIDTH_MAX))),
            Node::Either(ways) => {
                let widths = || ways.iter().map(Node::widths);
                let (min, max) = (widths().map(|one| one.0).min(), widths().map(|one| one.1).max());
                (min.unwrap_or(0), max.unwrap_or(0))
            }
            Node::Group(node, _) => node.widths(),
            Node::Repeat { node, min, max, .. } => {
                let (least, most) = node.widths();
                let most = if most == 0 { 0 } else { max.map_or(WIDTH_MAX, |max| most * max) };
                ((least * min).min(WIDTH_MAX), most.min(WIDTH_MAX))
            }
        }
    }
}

/// Whether a character belongs to a word.
pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

struct Parser<'p> {
    rest: std::iter::Peekable<std::str::Chars<'p>>,
    source: &'p str,
    lines: bool,
    dot_all: bool,
    groups: usize,
    names: Vec<String>,
    depth: usize,
}

impl Pattern {
    /// Takes a pattern apart; `None` for what is none, or knows what we do not.
    pub(crate) fn parse(source: &str, flags: &str) -> Option<Pattern> {
        let mut parser = Parser {
            rest: source.chars().peekable(),
            source,
            lines: flags.contains('m'),
            dot_all: flags.contains('s'),
            groups: 0,
            names: group_names(source),
            depth: 0,
        };
        let node = parser.either()?;
        let is_whole = parser.rest.next().is_none();
        is_whole.then(|| Pattern { node, groups: parser.groups, ignore_case: flags.contains('i') })
    }
}

/// The names of the groups in order, empty for those without one: a reference may stand before its group.
fn group_names(source: &str) -> Vec<String> {
    let (mut names, mut in_class) = (Vec::new(), false);
    let mut rest = source.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => drop(rest.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => {
                let text = rest.as_str();
                if let Some(name) = text.strip_prefix("?<").filter(|it| !it.starts_with(['=', '!'])) {
                    names.push(name.split('>').next().unwrap_or_default().to_string());
                } else if !text.starts_with('?') {
                    names.push(String::new());
                }
            }
            _ => {}
        }
    }
    names
}

impl Parser<'_> {
    fn eat(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn either(&mut self) -> Option<Node> {
        if self.depth >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let mut ways = vec![self.all()?];
        while self.eat('|') {
            ways.push(self.all()?);
        }
        self.depth -= 1;
        Some(if ways.len() == 1 { ways.remove(0) } else { Node::Either(ways) })
    }

    fn all(&mut self) -> Option<Node> {
        let mut nodes = Vec::new();
        while let Some(next) = self.rest.peek() {
            if matches!(next, '|' | ')') {
                break;
            }
            let node = self.one()?;
            nodes.push(self.repeated(node)?);
        }
        Some(Node::All(nodes))
    }

    fn repeated(&mut self, node: Node) -> Option<Node> {
        let counts = match self.rest.peek() {
            Some('*') => Some((0, None, 1)),
            Some('+') => Some((1, None, 1)),
            Some('?') => Some((0, Some(1), 1)),
            Some('{') => self.counts(),
            _ => None,
        };
        let Some((min, max, length)) = counts else { return Some(node) };
        if self.rest.by_ref().take(length).count() < length || max.is_some_and(|max| max < min) {
            return None;
        }
        let greedy = !self.eat('?');
        let repeated = Node::Repeat { node: Box::new(node), min, max, greedy };
        // `a**` is no pattern.
        let again = matches!(self.rest.peek(), Some('*' | '+' | '?'));
        (!again).then_some(repeated)
    }

    /// `{2}`, `{2,}` or `{2,3}` and its length; anything else in braces is a text.
    fn counts(&self) -> Option<(usize, Option<usize>, usize)> {
        let rest: String = self.rest.clone().take(16).collect();
        let inner = rest.strip_prefix('{')?.split_once('}')?.0;
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number <= REPEAT_MAX);
        let (min, max) = match inner.split_once(',') {
            None => (number(inner)?, Some(number(inner)?)),
            Some((min, "")) => (number(min)?, None),
            Some((min, max)) => (number(min)?, Some(number(max)?)),
        };
        Some((min, max, inner.len() + 2))
    }

    fn one(&mut self) -> Option<Node> {
        let node = match self.rest.next()? {
            '.' => Node::Any { newline: self.dot_all },
            '^' => Node::Start { lines: self.lines },
            '$' => Node::End { lines: self.lines },
            '[' => Node::Class(self.class()?),
            '(' => return self.group(),
            '\\' => return self.escape(),
            '*' | '+' | '?' => return None,
            other => Node::Char(other),
        };
        Some(node)
    }

    fn group(&mut self) -> Option<Node> {
        let rest: String = self.rest.clone().take(3).collect();
        let kinds = [("?:", None), ("?=", Some((true, true))), ("?!", Some((true, false)))];
        let behind = [("?<=", Some((false, true))), ("?<!", Some((false, false)))];
        let known = kinds.into_iter().chain(behind).find(|(begin, _)| rest.starts_with(begin));
        let node = match known {
            Some((begin, look)) => {
                self.rest.by_ref().take(begin.len()).for_each(drop);
                let node = Box::new(self.either()?);
                match look {
                    None => *node,
                    Some((ahead, wanted)) => Node::Look { node, ahead, wanted },
                }
            }
            None => {
                self.groups += 1;
                let number = self.groups;
                if rest.starts_with("?<") {
                    self.rest.by_ref().find(|character| *character == '>')?;
                } else if rest.starts_with('?') {
                    return None;
                }
                Node::Group(Box::new(self.either()?), number)
            }
        };
        self.eat(')').then_some(node)
    }

    fn escape(&mut self) -> Option<Node> {
        let one = |member| Node::Class(Class { negated: false, members: vec![member] });
        let node = match self.rest.next()? {
            'b' => Node::WordEdge { wanted: true },
            'B' => Node::WordEdge { wanted: false },
            'k' => {
                let name: String = self.name()?;
                let group = self.names.iter().position(|known| *known == name)? + 1;
                Node::Same { group }
            }
            digit @ '1'..='9' => {
                let mut text = digit.to_string();
                while let Some(next) = self.rest.next_if(char::is_ascii_digit) {
                    text.push(next);
                }
                let group = text.parse::<usize>().ok().filter(|group| *group <= self.names.len())?;
                Node::Same { group }
            }
            other => match self.set(other) {
                Some(member) => one(member),
                None => Node::Char(self.escaped(other)?),
            },
        };
        Some(node)
    }

    fn name(&mut self) -> Option<String> {
        if !self.eat('<') {
            return None;
        }
        let mut name = String::new();
        loop {
            match self.rest.next()? {
                '>' => return Some(name),
                other => name.push(other),
            }
        }
    }

    fn set(&self, letter: char) -> Option<Member> {
        Some(match letter {
            'd' => Member::Digit(true),
            'D' => Member::Digit(false),
            'w' => Member::Word(true),
            'W' => Member::Word(false),
            's' => Member::Space(true),
            'S' => Member::Space(false),
            _ => return None,
        })
    }

    fn escaped(&mut self, letter: char) -> Option<char> {
        Some(match letter {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '0' => '\0',
            'x' => self.code(2)?,
            'u' if self.eat('{') => {
                let mut digits = String::new();
                while let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit) {
                    digits.push(digit);
                }
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)?;
                return self.eat('}').then_some(code);
            }
            'u' => self.code(4)?,
            // Classes by name and control letters are not known.
            'p' | 'P' | 'c' => return None,
            other => other,
        })
    }

    fn code(&mut self, length: usize) -> Option<char> {
        let digits: String = self.rest.by_ref().take(length).collect();
        let is_whole = digits.len() == length && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u32::from_str_radix(&digits, 16).ok().filter(|_| is_whole).and_then(char::from_u32)
    }

    fn class(&mut self) -> Option<Class> {
        let mut class = Class { negated: self.eat('^'), members: Vec::new() };
        loop {
            let first = match self.rest.next()? {
                ']' => return (class.members.len() <= self.source.len()).then_some(class),
                '\\' => {
                    let letter = self.rest.next()?;
                    match self.set(letter) {
                        Some(member) => {
                            class.members.push(member);
                            continue;
                        }
                        None if letter == 'b' => '\u{8}',
                        None => self.escaped(letter)?,
                    }
                }
                other => other,
            };
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']');
            if !is_range {
                class.members.push(Member::Range(first, first));
                continue;
            }
            self.rest.next();
            let last = match self.rest.next()? {
                '\\' => {
                    let letter = self.rest.next()?;
                    if self.set(letter).is_some() {
                        return None;
                    }
                    self.escaped(letter)?
                }
                other => other,
            };
            if last < first {
                return None;
            }
            class.members.push(Member::Range(first, last));
        }
    }
}
