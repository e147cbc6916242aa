//! What do the `@@` lines before an entry's text ask for?

const LINES_MAX: usize = 256;
const KEYS_MAX: usize = 256;

/// Whose words an entry's text is put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryRole {
    /// The system's.
    System,
    /// The person's.
    User,
    /// The character's.
    Assistant,
}

/// Where an entry's text goes if not beside the description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// So many messages before the end of the chat.
    Depth(usize),
    /// So many messages after its beginning.
    ReverseDepth(usize),
    /// As [`Placement::Depth`], in prompts that are one text.
    InstructDepth(usize),
    /// As [`Placement::ReverseDepth`], in prompts that are one text.
    ReverseInstructDepth(usize),
    /// At a named place, such as `before_desc` or `scenario`.
    Named(String),
}

/// The decorators of one entry that were understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decorators {
    /// `@@depth` and its kin, `@@position`.
    pub placement: Option<Placement>,
    /// `@@role`.
    pub role: Option<EntryRole>,
    /// `@@scan_depth`: messages searched for this entry.
    pub scan_depth: Option<usize>,
    /// `@@activate_only_after`: not before so many replies of the character.
    pub activate_only_after: Option<usize>,
    /// `@@activate_only_every`: only at multiples of so many replies.
    pub activate_only_every: Option<usize>,
    /// `@@keep_activate_after_match`.
    pub keep_activate_after_match: bool,
    /// `@@dont_activate_after_match`.
    pub dont_activate_after_match: bool,
    /// `@@additional_keys`: one of these must be found as well.
    pub additional_keys: Vec<String>,
    /// `@@exclude_keys`: none of these may be found.
    pub exclude_keys: Vec<String>,
    /// `@@is_greeting`: only after this greeting, counted from 0.
    pub is_greeting: Option<usize>,
    /// `@@is_user_icon`: only with this picture of the person.
    pub is_user_icon: Option<String>,
    /// `@@activate`: always called.
    pub activate: bool,
    /// `@@dont_activate`: never called.
    pub dont_activate: bool,
    /// `@@ignore_on_max_context`: the first to go when the budget is short.
    pub ignore_on_max_context: bool,
    /// `@@disable_ui_prompt`: a prompt of the program's own that this entry replaces.
    pub disable_ui_prompt: Vec<String>,
    /// Decorators that are not understood here.
    pub unknown: Vec<String>,
}

/// Splits the decorators off an entry's text. After one that is not understood, `@@@` lines offer others; the first one
/// that is understood counts, and after one that is understood none does.
pub fn split_decorators(content: &str) -> (Decorators, &str) {
    let mut decorators = Decorators::default();
    let mut rest = content;
    let mut understood = true;
    for _ in 0..LINES_MAX {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim_end_matches('\r');
        let Some(body) = line.strip_prefix("@@") else { break };
        match body.strip_prefix('@') {
            Some(fallback) if !understood => {
                understood = decorators.apply(fallback);
                if understood {
                    decorators.unknown.pop();
                }
            }
            Some(_) => {}
            None => {
                understood = decorators.apply(body);
                if !understood {
                    decorators.unknown.push(line.chars().take(200).collect());
                }
            }
        }
        rest = after;
    }
    (decorators, rest)
}

impl Decorators {
    /// Takes one decorator, written without its signs; tells whether it was understood.
    fn apply(&mut self, body: &str) -> bool {
        let (name, value) = body.split_once(char::is_whitespace).unwrap_or((body, ""));
        let value = value.trim();
        let number = || value.parse::<usize>().ok();
        let set = |slot: &mut Option<usize>| {
            let number = number();
            *slot = number.or(*slot);
            number.is_some()
        };
        match name {
            "depth" => self.place(number().map(Placement::Depth)),
            "reverse_depth" => self.place(number().map(Placement::ReverseDepth)),
            "instruct_depth" => self.place(number().map(Placement::InstructDepth)),
            "reverse_instruct_depth" => self.place(number().map(Placement::ReverseInstructDepth)),
            "position" => {
                let known = ["after_desc", "before_desc", "personality", "scenario"];
                self.place(known.contains(&value).then(|| Placement::Named(value.to_string())))
            }
            "role" => {
                self.role = match value {
                    "system" => Some(EntryRole::System),
                    "user" => Some(EntryRole::User),
                    "assistant" => Some(EntryRole::Assistant),
                    _ => return false,
                };
                true
            }
            "scan_depth" | "instruct_scan_depth" => set(&mut self.scan_depth),
            "activate_only_after" => set(&mut self.activate_only_after),
            "activate_only_every" => value != "0" && set(&mut self.activate_only_every),
            "is_greeting" => set(&mut self.is_greeting),
            "additional_keys" => push_keys(&mut self.additional_keys, value),
            "exclude_keys" => push_keys(&mut self.exclude_keys, value),
            "is_user_icon" if !value.is_empty() => {
                self.is_user_icon = Some(value.to_string());
                true
            }
            "disable_ui_prompt" if matches!(value, "system_prompt" | "post_history_instructions") => {
                self.disable_ui_prompt.push(value.to_string());
                true
            }
            "keep_activate_after_match" => set_flag(&mut self.keep_activate_after_match),
            "dont_activate_after_match" => set_flag(&mut self.dont_activate_after_match),
            "activate" => set_flag(&mut self.activate),
            "dont_activate" => set_flag(&mut self.dont_activate),
            "ignore_on_max_context" => set_flag(&mut self.ignore_on_max_context),
            _ => false,
        }
    }

    fn place(&mut self, placement: Option<Placement>) -> bool {
        let understood = placement.is_some();
        self.placement = placement.or_else(|| self.placement.take());
        understood
    }
}

fn set_flag(flag: &mut bool) -> bool {
    *flag = true;
    true
}

fn push_keys(keys: &mut Vec<String>, value: &str) -> bool {
    let room = KEYS_MAX.saturating_sub(keys.len());
    let before = keys.len();
    keys.extend(value.split(',').map(str::trim).filter(|key| !key.is_empty()).take(room).map(str::to_string));
    keys.len() > before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decorator_of_the_contract_is_understood() {
        let content = "@@depth 3\n@@role assistant\r\n@@scan_depth 7\n@@activate_only_after 2\n@@activate_only_every 4\n\
            @@keep_activate_after_match\n@@dont_activate_after_match\n@@additional_keys a, b\n@@exclude_keys c\n\
            @@is_greeting 1\n@@activate\n@@dont_activate\n@@ignore_on_max_context\n@@is_user_icon cat\n\
            @@disable_ui_prompt system_prompt\nThe text\n@@depth 9";
        let (found, text) = split_decorators(content);
        let expected = Decorators {
            placement: Some(Placement::Depth(3)),
            role: Some(EntryRole::Assistant),
            scan_depth: Some(7),
            activate_only_after: Some(2),
            activate_only_every: Some(4),
            keep_activate_after_match: true,
            dont_activate_after_match: true,
            additional_keys: vec!["a".into(), "b".into()],
            exclude_keys: vec!["c".into()],
            is_greeting: Some(1),
            is_user_icon: Some("cat".into()),
            activate: true,
            dont_activate: true,
            ignore_on_max_context: true,
            disable_ui_prompt: vec!["system_prompt".into()],
            unknown: Vec::new(),
        };
        assert_eq!((found, text), (expected, "The text\n@@depth 9"));
        let (found, _) = split_decorators("@@position scenario\nx");
        assert_eq!(found.placement, Some(Placement::Named("scenario".into())));
    }

    #[test]
    fn fallbacks_count_only_where_needed() {
        let (found, text) = split_decorators("@@new_thing 1\n@@@other_thing\n@@@depth 5\n@@@role user\nx");
        assert_eq!((found.placement, found.role, text), (Some(Placement::Depth(5)), None, "x"));
        assert!(found.unknown.is_empty());
        let (found, _) = split_decorators("@@depth 1\n@@@depth 5\nx");
        assert_eq!(found.placement, Some(Placement::Depth(1)));
        let (found, text) = split_decorators("@@depth many\n@@role robot\n@@unknown\nx");
        assert_eq!((found.unknown.len(), found.placement, text), (3, None, "x"));
    }

    #[test]
    fn absurd_input_is_bounded() {
        let lines = "@@depth 99999999999999999999\n".repeat(100_000);
        let (_, rest) = split_decorators(&lines);
        assert!(rest.len() > 1_000_000);
        let (found, _) = split_decorators(&format!("@@exclude_keys {}", "k,".repeat(100_000)));
        assert_eq!(found.exclude_keys.len(), KEYS_MAX);
    }
}
