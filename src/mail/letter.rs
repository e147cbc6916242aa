//! What mails say, as plain text and as simple HTML.

use actors::user::one_time_token::EMAIL_CHANGE_CURRENT;

/// A mail with a link, a code, or both.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Who gets it.
    pub to: String,
    /// What it is for, such as `recovery`.
    pub kind: &'static str,
    pub link: String,
    pub code: String,
    /// The address of the studio.
    pub site: String,
}

/// What the mail of a kind says: the subject, why it comes, and what its link is called; `None` where only the code
/// counts.
struct Words {
    subject: &'static str,
    reason: &'static str,
    action: Option<&'static str>,
}

const ENDS: &str = "The link and the code are good for one hour and work once. \
                    If you did not ask for this, leave it: nothing happens.";

impl Letter {
    fn words(&self) -> Words {
        let words = |subject, reason, action| Words { subject, reason, action: Some(action) };
        match self.kind {
            "signup" => {
                words("Confirm your address", "an account was made with this address.", "Confirm the address")
            }
            "recovery" => words(
                "Set a new password",
                "a new password was requested for the account with this address.",
                "Sign in and set a new password",
            ),
            "magiclink" => words("Sign in", "a link to sign in with this address was requested.", "Sign in"),
            "invite" => {
                words("You are invited", "you are invited to make an account.", "Take the invitation")
            }
            "email_change" => words(
                "Confirm your new address",
                "an account is to have this address from now on.",
                "Confirm the address",
            ),
            EMAIL_CHANGE_CURRENT => words(
                "Confirm that your address changes",
                "the account with this address is to have another one from now on.",
                "Agree to the change",
            ),
            _ => Words {
                subject: "Your code",
                reason: "a session with this address asks for proof that it is yours.",
                action: None,
            },
        }
    }

    /// The subject.
    pub fn subject(&self) -> String {
        format!("{} · Playhouse", self.words().subject)
    }

    /// As plain text.
    pub fn text(&self) -> String {
        let Words { reason, action, .. } = self.words();
        let link = action.map_or_else(String::new, |action| format!("{action}:\n{}\n\n", self.link));
        format!("Hello,\n\nat {} {reason}\n\n{link}Code: {}\n\n{ENDS}\n", self.site, self.code)
    }

    /// As a page.
    pub fn html(&self) -> String {
        let Words { subject, reason, action } = self.words();
        let (site, link, code) = (escaped(&self.site), escaped(&self.link), escaped(&self.code));
        let link =
            action.map_or_else(String::new, |action| format!("<p><a href=\"{link}\">{action}</a></p>\n"));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{subject}</title></head>\n<body>\n\
             <p>Hello,</p>\n<p>at <a href=\"{site}\">{site}</a> {reason}</p>\n{link}<p>Code: <strong>{code}</strong></p>\n\
             <p><small>{ENDS}</small></p>\n</body>\n</html>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_words_and_a_page_shows_no_markup_of_others() {
        for kind in [
            "signup",
            "recovery",
            "magiclink",
            "invite",
            "email_change",
            EMAIL_CHANGE_CURRENT,
            "reauthentication",
        ] {
            let letter = Letter {
                to: "ada@example.com".into(),
                kind,
                link: "https://a.example/?a=1&b=\"><script>".into(),
                code: "123456".into(),
                site: "https://a.example".into(),
            };
            let has_link = kind != "reauthentication";
            assert_eq!(letter.text().contains(&letter.link), has_link, "{kind}");
            assert!(letter.text().contains("123456") && letter.html().contains("123456"));
            assert!(!letter.html().contains("<script>"));
            assert_eq!(letter.html().contains("?a=1&amp;b="), has_link, "{kind}");
        }
    }
}
