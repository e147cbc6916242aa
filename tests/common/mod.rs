//! Starts the real binary on a data folder of its own and talks to it.

// Each test binary uses a part of it.
#![allow(dead_code)]

pub mod accounts;
pub mod files;
pub mod install;
pub mod jobs;
pub mod postgres;
pub mod webhooks;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// A running server.
pub struct Server {
    pub url: String,
    pub anon: String,
    pub service: String,
    child: Child,
    data: PathBuf,
}

/// The binary: the one that was built with the tests, or another that `TESTED_BINARY` names.
pub fn binary() -> PathBuf {
    std::env::var_os("TESTED_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_playhouse").into(), PathBuf::from)
}

impl Server {
    /// Starts on a folder, with extra environment.
    pub fn start(data: &Path, environment: &[(&str, &str)]) -> Server {
        Server::start_at(data, "127.0.0.1:0", Stdio::inherit(), environment)
    }

    /// The same at an address, with its log somewhere.
    pub fn start_at(data: &Path, listen: &str, log: Stdio, environment: &[(&str, &str)]) -> Server {
        let _ = std::fs::remove_file(data.join("server.json"));
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", listen, "--data"]).arg(data).stderr(log);
        command.env("PLAYHOUSE_LOG", std::env::var("PLAYHOUSE_LOG").unwrap_or_else(|_| "warn".into()));
        // No test downloads a model that it did not ask for.
        command.env("PLAYHOUSE_FETCH_CHAT_MODEL", "false");
        // Alone on this machine a server charges nothing; what it charges elsewhere is tested.
        command.env("PLAYHOUSE_CHARGE_CREDITS", "true");
        command.envs(environment.iter().copied()).stdin(Stdio::null());
        let child = command.spawn().expect("the binary starts");
        let started = Instant::now();
        let url = loop {
            assert!(started.elapsed() < Duration::from_secs(60), "the server did not start");
            if let Some(url) = playhouse::running_at(data)
                && get(&format!("{url}/health"), &[]).is_ok()
            {
                break url;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let output = Command::new(binary()).args(["keys", "--data"]).arg(data).output();
        let keys: Json = serde_json::from_slice(&output.expect("keys run").stdout).expect("keys are JSON");
        let key = |name: &str| keys[name].as_str().expect("a key").to_string();
        Server {
            url,
            anon: key("anon_key"),
            service: key("service_role_key"),
            child,
            data: data.to_path_buf(),
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process ends by itself.
    pub fn wait_for_death(&mut self) {
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            assert!(started.elapsed() < Duration::from_secs(300), "the server lives on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks the process to stop and waits until it has.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.wait_for_death();
    }

    /// Sends a signal; requests that run meanwhile may go on.
    pub fn signal(&self, name: &str) {
        // The shell has the command built in, a bare machine may not have the program.
        let sent = Command::new("bash").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
    }

    /// Kills the process at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Signs an account up and returns its id and access token.
    pub fn sign_up(&self, email: &str) -> (String, String) {
        let body = serde_json::json!({"email": email, "password": "correct horse"});
        let (status, session) = self.call("POST", "/auth/v1/signup", &self.anon, Some(&body));
        assert_eq!(status, 200, "{session}");
        let text = |value: &Json| value.as_str().expect("text").to_string();
        (text(&session["user"]["id"]), text(&session["access_token"]))
    }

    /// One request; the answer's status and JSON.
    pub fn call(&self, method: &str, path: &str, token: &str, body: Option<&Json>) -> (u16, Json) {
        self.call_with(method, path, token, body, &[("prefer", "return=representation")])
    }

    /// The same with other headers.
    pub fn call_with(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&Json>,
        headers: &[(&str, &str)],
    ) -> (u16, Json) {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("authorization", bearer.as_str()), ("apikey", self.anon.as_str())];
        all.extend_from_slice(headers);
        send(method, &format!("{}{path}", self.url), &all, body).expect("the server answers")
    }

    /// Runs `playhouse check` and returns its report.
    pub fn check(&self) -> Json {
        let output = Command::new(binary()).args(["check", "--data"]).arg(&self.data).output();
        serde_json::from_slice(&output.expect("check runs").stdout).expect("a report")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let name = format!("failed-{}", self.pid());
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            copy_folder(&self.data, &kept);
            eprintln!("the data folder of the failed test: {}", kept.display());
        }
    }
}

/// Copies what can be copied; what is left out is only missed while a failure is looked into.
fn copy_folder(from: &Path, to: &Path) {
    let _ = std::fs::create_dir_all(to);
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target)),
        }
    }
}

/// A plain GET.
pub fn get(url: &str, headers: &[(&str, &str)]) -> Result<(u16, Json), String> {
    send("GET", url, headers, None)
}

/// A request on a runtime of its own, so that tests stay plain functions.
pub fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&Json>,
) -> Result<(u16, Json), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|it| it.to_string())?;
    runtime.block_on(async {
        let method: reqwest::Method = method.parse().map_err(|_| "bad method".to_string())?;
        // Servers with a certificate of their own are tested too.
        let client = language::http_client().tls_danger_accept_invalid_certs(true);
        let client = client.build().map_err(|error| error.to_string())?;
        let mut request = client.request(method, url).timeout(Duration::from_secs(300));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let is_typed = headers.iter().any(|(name, _)| *name == "content-type");
        request = match body {
            // Text of a named type goes as it is.
            Some(Json::String(text)) if is_typed => request.body(text.clone()),
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| error.to_string())?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Json::String(text))))
    })
}
