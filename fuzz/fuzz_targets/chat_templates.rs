//! Chat templates: any text is a template or an error, and rendering it comes to an end in bounded memory. The first byte
//! chooses the conversation.
#![no_main]

use formats::chat_template::{ChatTemplate, TemplateMessage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, source)) = bytes.split_first() else { return };
    let Ok(source) = std::str::from_utf8(source) else { return };
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else { return };
    let all = [
        TemplateMessage::new("system", "Be kind."),
        TemplateMessage::new("user", "Hi, \"you\" {{ there }}"),
        TemplateMessage::new("assistant", "<think>hm</think>Hello."),
        TemplateMessage::new("user", " And\nnow? "),
    ];
    let messages = &all[usize::from(choice & 1)..all.len() - usize::from(choice >> 1 & 1)];
    let _ = template.render(messages, choice & 4 == 0);
    let _ = template.render_unfinished(&messages[..messages.len().min(3)]);
});
