//! Do chat files go out as they came in, whatever is odd about them?

use super::*;

const CHAT: &str = concat!(
    r#"{"user_name":"Ann","character_name":"Mira","create_date":"2024-1-1","chat_metadata":{"integrity":"x","n":1.50}}"#,
    "\n",
    r#"{"name":"Mira","is_user":false,"send_date":1700000000000,"mes":"Hi","extra":{"gen":7},"swipes":["Ho","Hi"],"swipe_id":1,"odd":null}"#,
    "\n",
    r#"{"name":"Ann","is_user":true,"send_date":"January 2, 2024 3:04pm","mes":"Hello\nyou","extra":{}}"#,
    "\n"
);

#[test]
fn a_chat_goes_out_as_it_came_in() {
    let chat = ChatFile::from_jsonl(CHAT.as_bytes()).unwrap();
    assert_eq!(chat.to_jsonl(), CHAT.replace("1.50", "1.5"));
    assert_eq!(chat.header_text("character_name"), "Mira");
    let messages: Vec<&ChatLine> = chat.messages().collect();
    assert_eq!(messages[0].choice(), Some((vec![Some("Ho"), Some("Hi")], 1)));
    assert_eq!((messages[1].name(), messages[1].text(), messages[1].is_user()), ("Ann", "Hello\nyou", true));
    assert_eq!(messages[1].swipes(), ["Hello\nyou"]);
}

#[test]
fn bad_lines_are_numbered_and_kept_and_the_others_are_there() {
    let lines: Vec<&str> = CHAT.lines().collect();
    let broken =
        [lines[0], lines[1], "{\"name\": \"x\", ", "", "[1]", r#"{"mes": 7}"#, r#"{"name":"a"}"#, lines[2]]
            .join("\r\n");
    let chat = ChatFile::from_jsonl(broken.as_bytes()).unwrap();
    assert_eq!(chat.messages().count(), 2);
    let numbers: Vec<usize> = chat.bad_lines().map(|bad| bad.number).collect();
    assert_eq!(numbers, [3, 5, 6, 7]);
    let errors: Vec<String> = chat.bad_lines().map(|bad| bad.error.to_string()).collect();
    assert!(errors[0].contains("line 3") && errors[2].contains("line 6: mes"), "{errors:?}");
    let out = chat.to_jsonl();
    assert!(out.contains("{\"name\": \"x\", \n[1]\n{\"mes\": 7}\n"));
    assert_eq!(ChatFile::from_jsonl(out.as_bytes()).unwrap().bad_lines().count(), 4);
}

#[test]
fn edits_keep_what_is_unknown() {
    let mut chat = ChatFile::from_jsonl(CHAT.as_bytes()).unwrap();
    let Line::Message(message) = &mut chat.lines[0] else { panic!("a message") };
    message.set("mes", json!("Ho")).unwrap();
    assert!(message.set("swipes", json!("x")).is_err());
    chat.lines.push(Line::Message(ChatLine::new("Ann", true, "bye", "2024")));
    let again = ChatFile::from_jsonl(chat.to_jsonl().as_bytes()).unwrap();
    assert_eq!(again, chat);
    assert!(again.to_jsonl().contains(r#""odd":null"#));
}

#[test]
fn hostile_files_are_bounded() {
    assert!(ChatFile::from_jsonl(&b"\n".repeat(LINES_MAX + 2)).is_err());
    let deep = ChatFile::from_jsonl(&b"[".repeat(1 << 20)).unwrap();
    assert_eq!(deep.bad_lines().count(), 1);
    let long = format!("{{\"mes\": \"{}\"}}", "x".repeat(100 << 20));
    let chat = ChatFile::from_jsonl(long.as_bytes()).unwrap();
    assert!(matches!(chat.bad_lines().next().unwrap().error, CardError::TooLarge { .. }));
}

#[test]
fn what_nobody_reads_is_not_taken_apart() {
    let numbers = format!("[{}]", "0,".repeat(1 << 20).trim_end_matches(','));
    let line = format!(r#"{{"mes":"a","swipes":["b","c"],"x":{numbers},"extra":{{"y":{numbers}}}}}"#);
    let chat = ChatFile::from_jsonl(line.as_bytes()).unwrap();
    let message = chat.messages().next().unwrap();
    assert_eq!((message.text(), message.swipes()), ("a", vec!["b", "c"]));
    assert_eq!(chat.to_jsonl().trim_end(), line);
    let mixed = ChatFile::from_jsonl(br#"{"mes":"a","swipes":["b",7,"c"]}"#).unwrap();
    let mixed = mixed.messages().next().unwrap();
    assert_eq!(
        (mixed.swipes(), mixed.choice()),
        (vec!["b", "c"], Some((vec![Some("b"), None, Some("c")], 0)))
    );
    let header = format!(r#"{{"user_name":"{}"}}"#, "x".repeat(HEADER_BYTES_MAX));
    assert_eq!(ChatFile::from_jsonl(header.as_bytes()).unwrap().bad_lines().count(), 1);
}

#[test]
fn odd_fields_are_read_and_named_and_kept() {
    let line = |fields: &str| format!(r#"{{"name":"Mira","is_user":false,"mes":"b"{fields}}}"#);
    let read = |line: &str| {
        let chat = ChatFile::from_jsonl(line.as_bytes()).unwrap();
        assert_eq!(chat.to_jsonl().trim_end(), line);
        chat
    };
    let (a, b, c) = (Some("a"), Some("b"), Some("c"));
    for (fields, choice, named) in [
        (r#","swipes":["b",null,"c"],"swipe_id":0"#, Some((vec![b, None, c], 0)), "swipes[1]"),
        (r#","swipes":["a","b"],"swipe_id":"1""#, Some((vec![a, b], 1)), "swipe_id"),
        (r#","swipes":["a","b"],"swipe_id":7"#, Some((vec![a, b], 1)), ""),
        (r#","swipes":["a","c"],"swipe_id":-1"#, None, "swipe_id"),
        (r#","swipes":["a",{},"b"],"swipe_id":1"#, Some((vec![a, None, b], 2)), "swipes[1]"),
        (r#","swipes":null,"swipe_id":null"#, None, ""),
        (r#","swipes":"b","swipe_id":[]"#, None, "swipes"),
        (r#","swipes":[]"#, None, ""),
    ] {
        let line = line(fields);
        let chat = read(&line);
        let message = chat.messages().next().unwrap();
        assert_eq!((message.text(), message.choice()), ("b", choice), "{fields}");
        let is_named = chat.warnings.iter().any(|it| it.starts_with(&format!("line 1: {named}: ")));
        assert!(
            if named.is_empty() { chat.warnings.is_empty() } else { is_named },
            "{fields}: {:?}",
            chat.warnings
        );
    }
    let chat =
        read(r#"{"name":7,"is_user":"true","is_system":0,"mes":null,"swipes":[null,"x"],"swipe_id":1}"#);
    let message = chat.messages().next().unwrap();
    assert_eq!(
        (message.name(), message.text(), message.is_user(), message.is_system()),
        ("", "x", true, false)
    );
    assert_eq!(chat.warnings.len(), 5, "{:?}", chat.warnings);
    let half = r#"{"name":"Mira","mes":"a \ud83d b"}"#;
    assert_eq!(read(half).messages().next().unwrap().text(), "a \u{fffd} b");
}

#[test]
fn utf16_is_read() {
    let utf16: Vec<u8> = CHAT.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [utf16.clone(), [b"\xff\xfe".to_vec(), utf16].concat()] {
        let chat = ChatFile::from_jsonl(&bytes).unwrap();
        assert_eq!((chat.messages().count(), chat.warnings.len()), (2, 1));
        assert_eq!(chat.to_jsonl(), CHAT.replace("1.50", "1.5"));
    }
}
