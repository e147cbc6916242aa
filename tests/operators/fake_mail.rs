//! A mail server of this machine, which takes mail, or says for a while that it cannot.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct FakeMail {
    pub address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// So many more recipients are put off.
    puts_off: usize,
    /// Recipients are refused for good.
    refuses: bool,
    mails: Vec<String>,
    users: Vec<String>,
}

impl FakeMail {
    pub fn start() -> FakeMail {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        FakeMail { address, state }
    }

    /// Puts off so many mails from now on.
    pub fn put_off(&self, count: usize) {
        self.state.lock().expect("no panic").puts_off = count;
    }

    /// Whether it refuses all mail from now on.
    pub fn refuse(&self, refuses: bool) {
        self.state.lock().expect("no panic").refuses = refuses;
    }

    /// The mails that it took, with soft line breaks undone.
    pub fn mails(&self) -> Vec<String> {
        self.state.lock().expect("no panic").mails.clone()
    }

    /// What clients proved themselves with.
    pub fn users(&self) -> Vec<String> {
        self.state.lock().expect("no panic").users.clone()
    }

    /// How many mails are still to be put off.
    pub fn left_to_put_off(&self) -> usize {
        self.state.lock().expect("no panic").puts_off
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    stream.write_all(b"220 fake ESMTP\r\n").ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let command = line.trim().to_ascii_uppercase();
        let answer = match command.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250-fake\r\n250-8BITMIME\r\n250 AUTH PLAIN",
            "AUTH" => {
                state.lock().expect("no panic").users.push(line.trim().to_string());
                "235 welcome"
            }
            "RCPT" => {
                let mut state = state.lock().expect("no panic");
                match (state.refuses, state.puts_off) {
                    (true, _) => "550 never",
                    (false, 0) => "250 well",
                    (false, _) => {
                        state.puts_off -= 1;
                        "451 not now"
                    }
                }
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").ok()?;
                let mut mail = String::new();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
                    if line.trim_end() == "." {
                        break;
                    }
                    mail.push_str(&line);
                }
                let mail = mail.replace("=\r\n", "").replace("=3D", "=");
                state.lock().expect("no panic").mails.push(mail);
                "250 taken"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").ok()?;
                return Some(());
            }
            _ => "250 well",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
    }
}
