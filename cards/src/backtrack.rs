//! Patterns that no linear engine knows, those with look-around and references back: tried one way after the other, each
//! step counted.

use crate::pattern_syntax::{Class, Node, Pattern, is_word};
use crate::steps::{Steps, Stopped};

/// Instructions of a program; counted repetitions are written out.
const INSTRUCTIONS_MAX: usize = 20_000;
/// Ways that wait to be tried.
const WAYS_MAX: usize = 1 << 18;

#[derive(Debug)]
enum Instruction {
    Char(char),
    Any {
        newline: bool,
    },
    Class(Class),
    /// Two ways to go on, the first one first.
    Split(usize, usize),
    Jump(usize),
    /// Notes the place in a slot.
    Save(usize),
    /// Goes on unless nothing was read since the slot was noted: a loop around nothing would never end.
    Moved(usize),
    Start {
        lines: bool,
    },
    End {
        lines: bool,
    },
    WordEdge {
        wanted: bool,
    },
    Same {
        group: usize,
    },
    /// Looks from here with the instructions up to `end`, and reads nothing. Behind, it begins `widths` characters back.
    Look {
        ahead: bool,
        wanted: bool,
        widths: (usize, usize),
        end: usize,
    },
    Done,
}

/// A pattern as instructions.
#[derive(Debug)]
pub(crate) struct Program {
    instructions: Vec<Instruction>,
    slots: usize,
    ignore_case: bool,
}

struct Compiler {
    instructions: Vec<Instruction>,
    slots: usize,
}

impl Compiler {
    fn add(&mut self, instruction: Instruction) -> Option<usize> {
        (self.instructions.len() < INSTRUCTIONS_MAX).then(|| {
            self.instructions.push(instruction);
            self.instructions.len() - 1
        })
    }

    fn node(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Char(character) => self.add(Instruction::Char(*character)).map(drop),
            Node::Any { newline } => self.add(Instruction::Any { newline: *newline }).map(drop),
            Node::Class(class) => self.add(Instruction::Class(class.clone())).map(drop),
            Node::Start { lines } => self.add(Instruction::Start { lines: *lines }).map(drop),
            Node::End { lines } => self.add(Instruction::End { lines: *lines }).map(drop),
            Node::WordEdge { wanted } => self.add(Instruction::WordEdge { wanted: *wanted }).map(drop),
            Node::Same { group } => self.add(Instruction::Same { group: *group }).map(drop),
            Node::All(nodes) => nodes.iter().try_for_each(|node| self.node(node)),
            Node::Either(ways) => self.either(ways),
            Node::Group(node, number) => {
                self.add(Instruction::Save(2 * number))?;
                self.node(node)?;
                self.add(Instruction::Save(2 * number + 1)).map(drop)
            }
            Node::Look { node, ahead, wanted } => {
                let widths = if *ahead { (0, 0) } else { node.widths() };
                let look = Instruction::Look { ahead: *ahead, wanted: *wanted, widths, end: 0 };
                let at = self.add(look)?;
                self.node(node)?;
                self.add(Instruction::Done)?;
                let after = self.instructions.len();
                if let Instruction::Look { end, .. } = &mut self.instructions[at] {
                    *end = after;
                }
                Some(())
            }
            Node::Repeat { node, min, max, greedy } => self.repeat(node, *min, *max, *greedy),
        }
    }

    fn either(&mut self, ways: &[Node]) -> Option<()> {
        let mut jumps = Vec::new();
        for (position, way) in ways.iter().enumerate() {
            if position + 1 == ways.len() {
                self.node(way)?;
                break;
            }
            let split = self.add(Instruction::Split(0, 0))?;
            self.node(way)?;
            jumps.push(self.add(Instruction::Jump(0))?);
            self.instructions[split] = Instruction::Split(split + 1, self.instructions.len());
        }
        let end = self.instructions.len();
        for jump in jumps {
            self.instructions[jump] = Instruction::Jump(end);
        }
        Some(())
    }

    fn repeat(&mut self, node: &Node, min: usize, max: Option<usize>, greedy: bool) -> Option<()> {
        for _ in 0..min {
            self.node(node)?;
        }
        let split = |into: usize, past: usize| match greedy {
            true => Instruction::Split(into, past),
            false => Instruction::Split(past, into),
        };
        let Some(max) = max else {
            let slot = self.slots;
            self.slots += 1;
            let begin = self.add(Instruction::Split(0, 0))?;
            self.add(Instruction::Save(slot))?;
            self.node(node)?;
            self.add(Instruction::Moved(slot))?;
            self.add(Instruction::Jump(begin))?;
            self.instructions[begin] = split(begin + 1, self.instructions.len());
            return Some(());
        };
        let mut begins = Vec::new();
        for _ in min..max {
            begins.push(self.add(Instruction::Split(0, 0))?);
            self.node(node)?;
        }
        let end = self.instructions.len();
        for begin in begins {
            self.instructions[begin] = split(begin + 1, end);
        }
        Some(())
    }
}

/// What is left to be tried.
enum Way {
    Branch { instruction: usize, place: usize },
    Restore { slot: usize, value: usize },
}

const UNSET: usize = usize::MAX;

impl Program {
    /// `None` if it would be too long.
    pub(crate) fn new(pattern: &Pattern) -> Option<Program> {
        let slots = 2 * (pattern.groups + 1);
        let mut compiler = Compiler { instructions: Vec::new(), slots };
        compiler.node(&pattern.node)?;
        compiler.add(Instruction::Done)?;
        let Compiler { instructions, slots } = compiler;
        Some(Program { instructions, slots, ignore_case: pattern.ignore_case })
    }

    /// Bytes that it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.instructions.len() * size_of::<Instruction>()
    }

    /// Whether a part of the text matches.
    pub(crate) fn is_match(&self, text: &str, steps: &mut Steps<'_>) -> Result<bool, Stopped> {
        let mut slots = vec![UNSET; self.slots];
        let places = text.char_indices().map(|(place, _)| place).chain([text.len()]);
        for place in places {
            slots.fill(UNSET);
            steps.spend(1 + self.slots as u64 / 8)?;
            if self.run(0, place, None, text, &mut slots, steps)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the instructions from `instruction` match at `place`, up to `target` where one is given.
    fn run(
        &self,
        mut instruction: usize,
        mut place: usize,
        target: Option<usize>,
        text: &str,
        slots: &mut Vec<usize>,
        steps: &mut Steps<'_>,
    ) -> Result<bool, Stopped> {
        let mut ways: Vec<Way> = Vec::new();
        loop {
            steps.spend(1)?;
            let next = text[place..].chars().next();
            let goes_on = match &self.instructions[instruction] {
                Instruction::Done if target.is_none_or(|target| target == place) => return Ok(true),
                Instruction::Done => false,
                Instruction::Char(wanted) => {
                    self.read(next, &mut place, |it| self.fold(it) == self.fold(*wanted))
                }
                Instruction::Any { newline } => self.read(next, &mut place, |it| *newline || it != '\n'),
                Instruction::Class(class) => {
                    steps.spend(class.len() as u64 / 4)?;
                    self.read(next, &mut place, |it| class.has(it, self.ignore_case))
                }
                Instruction::Split(first, second) => {
                    if ways.len() >= WAYS_MAX {
                        return Err(Stopped);
                    }
                    ways.push(Way::Branch { instruction: *second, place });
                    instruction = *first;
                    continue;
                }
                Instruction::Jump(to) => {
                    instruction = *to;
                    continue;
                }
                Instruction::Save(slot) => {
                    if ways.len() >= WAYS_MAX {
                        return Err(Stopped);
                    }
                    ways.push(Way::Restore { slot: *slot, value: slots[*slot] });
                    slots[*slot] = place;
                    true
                }
                Instruction::Moved(slot) => slots[*slot] != place,
                Instruction::Start { lines } => place == 0 || (*lines && text[..place].ends_with('\n')),
                Instruction::End { lines } => next.is_none() || (*lines && next == Some('\n')),
                Instruction::WordEdge { wanted } => {
                    let before = text[..place].chars().next_back().is_some_and(is_word);
                    (before != next.is_some_and(is_word)) == *wanted
                }
                Instruction::Same { group } => self.read_again(*group, &mut place, text, slots, steps)?,
                Instruction::Look { ahead, wanted, widths, end } => {
                    let kept = slots.clone();
                    steps.spend(slots.len() as u64 / 8)?;
                    let found = match *ahead {
                        true => self.run(instruction + 1, place, None, text, slots, steps)?,
                        false => self.behind(instruction + 1, place, *widths, text, slots, steps)?,
                    };
                    // What a look that must fail has read is nothing.
                    if !found || !*wanted {
                        *slots = kept;
                    } else {
                        for (slot, value) in kept.into_iter().enumerate() {
                            if slots[slot] != value {
                                ways.push(Way::Restore { slot, value });
                            }
                        }
                    }
                    if found == *wanted {
                        instruction = *end;
                        continue;
                    }
                    false
                }
            };
            if goes_on {
                instruction += 1;
                continue;
            }
            loop {
                match ways.pop() {
                    None => return Ok(false),
                    Some(Way::Restore { slot, value }) => slots[slot] = value,
                    Some(Way::Branch { instruction: to, place: at }) => {
                        (instruction, place) = (to, at);
                        break;
                    }
                }
            }
        }
    }

    /// Whether a part that ends at `place` matches.
    fn behind(
        &self,
        instruction: usize,
        place: usize,
        (min, max): (usize, usize),
        text: &str,
        slots: &mut Vec<usize>,
        steps: &mut Steps<'_>,
    ) -> Result<bool, Stopped> {
        let mut begin = place;
        for width in 0..=max {
            steps.spend(1)?;
            if width >= min && self.run(instruction, begin, Some(place), text, slots, steps)? {
                return Ok(true);
            }
            match text[..begin].chars().next_back() {
                Some(character) => begin -= character.len_utf8(),
                None => break,
            }
        }
        Ok(false)
    }

    fn read(&self, next: Option<char>, place: &mut usize, fits: impl Fn(char) -> bool) -> bool {
        match next.filter(|character| fits(*character)) {
            Some(character) => {
                *place += character.len_utf8();
                true
            }
            None => false,
        }
    }

    /// Reads what a group has read before; a group that took no part is read as nothing.
    fn read_again(
        &self,
        group: usize,
        place: &mut usize,
        text: &str,
        slots: &[usize],
        steps: &mut Steps<'_>,
    ) -> Result<bool, Stopped> {
        let (Some(&from), Some(&to)) = (slots.get(2 * group), slots.get(2 * group + 1)) else {
            return Ok(true);
        };
        if from == UNSET || to == UNSET || from > to {
            return Ok(true);
        }
        steps.spend((to - from) as u64)?;
        let mut end = *place;
        for wanted in text[from..to].chars() {
            let fits = |it| self.fold(it) == self.fold(wanted);
            if !self.read(text[end..].chars().next(), &mut end, fits) {
                return Ok(false);
            }
        }
        *place = end;
        Ok(true)
    }

    fn fold(&self, character: char) -> char {
        match self.ignore_case {
            true => character.to_lowercase().next().unwrap_or(character),
            false => character,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        let pattern = Pattern::parse(pattern, "").unwrap_or_else(|| panic!("{pattern} is one"));
        let program = Program::new(&pattern).expect("a program");
        program.is_match(text, &mut Steps::new(1 << 24, &|| false)).expect("steps enough")
    }

    #[test]
    fn patterns_match_as_in_javascript() {
        for (pattern, text, wanted) in [
            ("cat(?=s)", "cats", true),
            ("cat(?=s)", "cat", false),
            ("cat(?!s)", "cats", false),
            ("(?<=the )cat", "the cat", true),
            ("(?<=the )cat", "a cat", false),
            ("(?<!the )cat", "the cat", false),
            ("(?<=(?:a|bc)+)x", "abcx", true),
            ("(a|b)\\1", "ab", false),
            ("(a|b)\\1", "abb", true),
            ("(?<q>['\"]).*?\\k<q>", "say \"it's\"", true),
            ("^a{2,3}$", "aaaa", false),
            ("^a{2,3}$", "aaa", true),
            ("^(a*)*$", "aab", false),
            ("\\bötzi\\b", "der ötzi!", true),
            ("[^\\W\\d]+\\s[x-z]", "ab y", true),
            ("\\x41\\u0042\\u{43}", "ABC", true),
            ("(?:)", "", true),
            ("a{,2}", "a{,2}", true),
            ("^(?=.*\\bdog\\b)(?=.*\\bcat\\b).*", "a cat and a dog", true),
            ("^(?=.*\\bdog\\b)(?=.*\\bcat\\b).*", "a cat and a cow", false),
            ("(?=(a+))a*b\\1", "baaabac", true),
        ] {
            assert_eq!(found(pattern, text), wanted, "{pattern} in {text}");
        }
    }

    #[test]
    fn a_search_that_explodes_is_stopped() {
        let pattern = Pattern::parse("(?=x*)(a+)+\\1b", "").expect("one");
        let program = Program::new(&pattern).expect("a program");
        let mut steps = Steps::new(1 << 20, &|| false);
        assert_eq!(program.is_match(&"a".repeat(1000), &mut steps), Err(Stopped));
        assert!(steps.exhausted());
        // And one that is no longer waited for.
        let mut steps = Steps::new(u64::MAX, &|| true);
        assert_eq!(program.is_match(&"a".repeat(1000), &mut steps), Err(Stopped));
        assert!(Program::new(&Pattern::parse("(?=a)((a{100}){100}){100}", "").expect("one")).is_none());
    }
}
