//! A PostgreSQL of our own on loopback, where Debian's package is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

/// A PostgreSQL of our own on loopback, in a folder that goes with the test.
pub struct Postgres {
    child: Child,
    port: u16,
}

/// Where Debian's package keeps the programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|bin| bin.join("initdb").is_file()).max()
}

impl Postgres {
    /// Starts one; `None`, said on standard error, where it is not installed.
    pub fn start(folder: &Path) -> Option<Postgres> {
        let Some(bin) = programs() else {
            eprintln!("PostgreSQL is not installed: what needs it was not tested");
            return None;
        };
        // It refuses to run as root: then it runs as the account that the package made.
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let data = folder.join("postgres");
        fs::create_dir_all(&data).ok()?;
        let run = |program: &str, arguments: &[&str]| {
            let program = bin.join(program);
            let mut command = match is_root {
                true => {
                    let mut command = Command::new("setpriv");
                    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
                    command
                }
                false => Command::new(program),
            };
            command.args(arguments).current_dir("/").stdin(Stdio::null());
            command
        };
        if is_root {
            Command::new("chmod").args(["711"]).arg(folder).status().ok()?;
            Command::new("chown").args(["postgres:postgres"]).arg(&data).status().ok()?;
        }
        let place = data.to_str()?;
        let made = run(
            "initdb",
            &["-D", place, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
        );
        let made = { made }.output().ok()?;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let text = port.to_string();
        let options = ["-D", place, "-p", &text, "-h", "127.0.0.1", "-k", place, "-F"];
        let child = run("postgres", &options).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let postgres = Postgres { child, port };
        let started = Instant::now();
        while !postgres.psql(&["-c", "SELECT 1"]).status.success() {
            assert!(started.elapsed() < Duration::from_secs(60), "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(postgres)
    }

    /// The address of its database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Another database of it, which is empty, by its address.
    pub fn another(&self, name: &str) -> String {
        self.ask(&format!("CREATE DATABASE {name}"));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// What `pg_dump` writes of a database.
    pub fn dump(&self, url: &str, arguments: &[&str]) {
        let program = programs().expect("programs").join("pg_dump");
        let output = Command::new(program).args(arguments).arg(url).output().expect("pg_dump runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs `psql`.
    pub fn psql(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("psql");
        command.args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-p",
            &self.port.to_string(),
            "-X",
            "-q",
            "-A",
            "-t",
        ]);
        command.args(["-v", "ON_ERROR_STOP=1"]).args(arguments).output().expect("psql runs")
    }

    /// What a query answers, to the superuser.
    pub fn ask(&self, sql: &str) -> String {
        let output = self.psql(&["-c", sql]);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    /// What an account sees, or a client without one.
    pub fn ask_as(&self, user: Option<&str>, sql: &str) -> Result<String, String> {
        let role = if user.is_some() { "authenticated" } else { "anon" };
        let claims = json!({"sub": user}).to_string();
        let script = format!("SET ROLE {role}; SET request.jwt.claims = '{claims}'; {sql}");
        let output = self.psql(&["-c", &script]);
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
            false => Err(String::from_utf8_lossy(&output.stderr).to_string()),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = Command::new("bash").args(["-c", &format!("kill -INT {}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}
