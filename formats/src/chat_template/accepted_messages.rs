//! Which lists of messages does a template take? Many know no instructions, or want that person and model take turns.

use std::borrow::Cow;

use super::TemplateMessage;

/// Between two texts that become one message.
const BETWEEN: &str = "\n\n";
/// What the person says where a template wants that a person begins and nothing was said.
const OPENING: &str = "Begin.";
const PROBES: [&str; 4] = ["first-probe", "second-probe", "third-probe", "fourth-probe"];

/// What a template takes, found out by rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedMessages {
    /// A first message of instructions.
    pub system: bool,
    /// Instructions between other messages.
    pub later_system: bool,
    /// Two messages of one role, one after the other.
    pub repeated_roles: bool,
    /// A conversation that the assistant begins.
    pub assistant_first: bool,
}

impl AcceptedMessages {
    /// What every template that is met takes: person and model in turns.
    pub(super) const STRICT: AcceptedMessages = AcceptedMessages {
        system: false,
        later_system: false,
        repeated_roles: false,
        assistant_first: false,
    };
    const ALL: AcceptedMessages =
        AcceptedMessages { system: true, later_system: true, repeated_roles: true, assistant_first: true };

    /// Finds out what a template takes: what it refuses or leaves out, it does not.
    pub(super) fn probe(render: impl Fn(&[TemplateMessage<'_>]) -> Option<String>) -> AcceptedMessages {
        let takes = |roles: &[&'static str]| {
            let messages: Vec<TemplateMessage<'_>> =
                roles.iter().zip(PROBES).map(|(role, text)| TemplateMessage::new(role, text)).collect();
            render(&messages)
                .is_some_and(|text| messages.iter().all(|message| text.contains(&*message.content)))
        };
        // One that does not even take a plain question is not judged by the others.
        if !takes(&["user"]) {
            return AcceptedMessages::ALL;
        }
        let system = takes(&["system", "user"]);
        AcceptedMessages {
            system,
            later_system: system && takes(&["system", "user", "system", "user"]),
            repeated_roles: takes(&["user", "user"]) && takes(&["user", "assistant", "assistant", "user"]),
            assistant_first: takes(&["assistant", "user"])
                && (!system || takes(&["system", "assistant", "user"])),
        }
    }

    /// Whether any list of messages is taken as it is.
    pub(super) fn takes_all(self) -> bool {
        self == AcceptedMessages::ALL
    }

    /// The messages as the template takes them, with every text of theirs: instructions join the person's words, neighbours
    /// of one role become one, and a person begins.
    pub(super) fn fit<'a>(self, messages: &[TemplateMessage<'a>]) -> Vec<TemplateMessage<'a>> {
        let mut fitted: Vec<TemplateMessage<'a>> = Vec::with_capacity(messages.len() + 1);
        for (place, message) in messages.iter().enumerate() {
            let is_system = message.role == "system";
            let stays = if place == 0 { self.system } else { self.later_system };
            // Instructions right after the first ones belong to them.
            let follows_system =
                is_system && self.system && fitted.len() == 1 && fitted[0].role == "system" && place > 0;
            let role = match is_system && !stays && !follows_system {
                true => "user",
                false => message.role,
            };
            let joins = follows_system && !self.later_system
                || !self.repeated_roles && fitted.last().is_some_and(|last| last.role == role);
            match fitted.last_mut().filter(|_| joins) {
                Some(last) => last.append(&message.content),
                None => fitted.push(TemplateMessage { role, content: message.content.clone() }),
            }
        }
        let begins = fitted.iter().position(|message| message.role != "system").unwrap_or(fitted.len());
        if !self.assistant_first && fitted.get(begins).is_some_and(|first| first.role == "assistant") {
            fitted.insert(begins, TemplateMessage::new("user", OPENING));
        }
        // A template that wants a person's words is not content with instructions alone.
        if begins == fitted.len() && !self.later_system && begins > 0 {
            fitted.push(TemplateMessage::new("user", OPENING));
        }
        fitted
    }
}

impl TemplateMessage<'_> {
    fn append(&mut self, text: &str) {
        let mut both = std::mem::take(&mut self.content).into_owned();
        if !both.is_empty() && !text.is_empty() {
            both.push_str(BETWEEN);
        }
        both.push_str(text);
        self.content = Cow::Owned(both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(
        accepted: AcceptedMessages,
        messages: &[(&'static str, &'static str)],
    ) -> Vec<(String, String)> {
        let messages: Vec<TemplateMessage<'_>> =
            messages.iter().map(|(role, text)| TemplateMessage::new(role, *text)).collect();
        accepted.fit(&messages).into_iter().map(|it| (it.role.into(), it.content.into_owned())).collect()
    }

    #[test]
    fn nothing_that_was_said_is_lost() {
        let strict = AcceptedMessages::STRICT;
        let with_system = AcceptedMessages { system: true, ..strict };
        let pair = |role: &str, text: &str| (role.to_string(), text.to_string());
        let talk = [("system", "s"), ("assistant", "a"), ("user", "u"), ("system", "t"), ("user", "v")];
        assert_eq!(
            fitted(strict, &talk),
            [pair("user", "s"), pair("assistant", "a"), pair("user", "u\n\nt\n\nv")]
        );
        assert_eq!(
            fitted(with_system, &talk),
            [pair("system", "s"), pair("user", OPENING), pair("assistant", "a"), pair("user", "u\n\nt\n\nv")]
        );
        assert_eq!(
            fitted(with_system, &[("system", "s"), ("system", "t"), ("user", "u")]),
            [pair("system", "s\n\nt"), pair("user", "u")]
        );
        assert_eq!(fitted(strict, &[("system", "s"), ("user", "u")]), [pair("user", "s\n\nu")]);
        assert_eq!(fitted(strict, &[("assistant", "a")]), [pair("user", OPENING), pair("assistant", "a")]);
        assert_eq!(fitted(with_system, &[("system", "s")]), [pair("system", "s"), pair("user", OPENING)]);
        assert_eq!(
            fitted(strict, &[("user", "u"), ("assistant", "a"), ("assistant", ""), ("assistant", "b")]),
            [pair("user", "u"), pair("assistant", "a\n\nb")]
        );
        assert_eq!(fitted(AcceptedMessages::ALL, &talk).len(), talk.len());
    }
}
