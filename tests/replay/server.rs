//! Real Redis servers, started by the tests, on loopback.

use rustix::process::{Pid, Signal};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Whether `redis-server` and `redis-sentinel` can be started. Where continuous integration runs they must be there.
pub(crate) fn installed() -> bool {
    ["redis-server", "redis-sentinel"].iter().all(|program| {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
        assert!(found || std::env::var("CI").is_err(), "{program} is not installed");
        if !found {
            eprintln!("skipped: {program} is not installed");
        }
        found
    })
}

/// A server that dies with its owner.
pub(crate) struct Server {
    /// `None` before it has begun.
    process: Option<Child>,
    pub(crate) port: u16,
    directory: TempDir,
    program: &'static str,
    arguments: Vec<String>,
    password: Option<String>,
    clock: Option<PathBuf>,
}

/// What shows a server another time than there is, where it is installed.
pub(crate) fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    let found =
        folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
    assert!(found.is_some() || std::env::var("CI").is_err(), "libfaketime is not installed");
    if found.is_none() {
        eprintln!("skipped: libfaketime is not installed");
    }
    found
}

impl Server {
    /// Starts one that keeps nothing on disk.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let all: Vec<&str> = [&["--save", "", "--appendonly", "no"], arguments].concat();
        Self::run("redis-server", &all, "")
    }

    /// The same on a machine whose clock is so many seconds from the truth, until [`Server::set_clock`] sets it.
    pub(crate) fn start_with_clock(arguments: &[&str], faketime: PathBuf, seconds: i32) -> Self {
        let all: Vec<&str> = [&["--save", "", "--appendonly", "no"], arguments].concat();
        let mut server = Self::prepare("redis-server", &all, "");
        server.clock = Some(faketime);
        server.set_clock(seconds);
        server.begin()
    }

    /// Sets the clock that the server sees.
    pub(crate) fn set_clock(&self, seconds: i32) {
        // In one step: the server reads it whenever it looks at its clock.
        let (next, clock) = (self.directory.path().join("clock.new"), self.directory.path().join("clock"));
        std::fs::write(&next, format!("{seconds:+}")).unwrap();
        std::fs::rename(next, clock).unwrap();
    }

    /// The same with a password, and with arguments that set it.
    pub(crate) fn start_with(arguments: &[&str], password: &str) -> Self {
        let mut server = Self::start(arguments);
        server.password = Some(password.to_owned());
        server
    }

    pub(crate) fn start_with_password(password: &str) -> Self {
        Self::start_with(&["--requirepass", password], password)
    }

    /// Starts `program` with these arguments after a configuration file.
    pub(crate) fn run(program: &'static str, arguments: &[&str], configuration: &str) -> Self {
        Self::prepare(program, arguments, configuration).begin()
    }

    fn prepare(program: &'static str, arguments: &[&str], configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("redis.conf"), configuration).unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { process: None, port: free_port(), directory, program, arguments, password: None, clock: None }
    }

    fn begin(mut self) -> Self {
        self.process = Some(self.spawn());
        // One that wants a password, or knows no such command without one, answers something else.
        self.wait_until("PING", "");
        self
    }

    fn spawn(&self) -> Child {
        let mut command = Command::new(self.program);
        let directory = self.directory.path();
        if let Some(faketime) = &self.clock {
            // The standard allocator in place of jemalloc, which asks for the time while that begins to be shown; how long something takes is
            // told by another clock, which nobody sets.
            command.env("LD_PRELOAD", format!("{} libc.so.6", faketime.display()));
            command.env("FAKETIME_TIMESTAMP_FILE", directory.join("clock"));
            command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
            .arg(directory.join("redis.conf"))
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(directory)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Starts it again at the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.process = Some(self.spawn());
        self.wait_until("PING", "+PONG");
    }

    pub(crate) fn kill(&mut self) {
        let process = self.process.as_mut().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// It cannot save any more.
    pub(crate) fn lose_directory(&self) {
        std::fs::remove_dir_all(self.directory.path()).unwrap();
    }

    /// [`Signal::STOP`] or [`Signal::CONT`], by the system call: a small machine has no program for it.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(self.process.as_ref().unwrap()), signal).unwrap();
    }

    /// Sends a command and returns the lines of the answer.
    pub(crate) fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap()
    }

    pub(crate) fn wait_until(&self, command: &str, answer: &str) {
        // A failover that fails for want of time is tried again after seconds.
        for _ in 0..3000 {
            if self.try_ask(command).is_ok_and(|line| !line.is_empty() && line.contains(answer)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{command} never answered {answer}: {:?}", self.try_ask(command));
    }

    fn try_ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut lines = Vec::new();
        let mut answers = BufReader::new(stream.try_clone()?);
        if let Some(password) = &self.password {
            stream.write_all(format!("AUTH {password}\r\n").as_bytes())?;
            read_answer(&mut answers, &mut lines)?;
            lines.clear();
        }
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        read_answer(&mut answers, &mut lines)?;
        Ok(lines.join("\n"))
    }
}

/// The lines of an answer, of all its elements where it is an array.
fn read_answer(from: &mut impl BufRead, lines: &mut Vec<String>) -> std::io::Result<()> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let count = line.get(1..).and_then(|count| count.trim().parse::<i64>().ok()).unwrap_or(0);
    match line.chars().next() {
        Some('*') => (0..count).try_for_each(|_| read_answer(from, lines))?,
        Some('$') => {
            let mut bytes = vec![0; usize::try_from(count + 2).unwrap_or(0)];
            from.read_exact(&mut bytes)?;
            lines.extend(String::from_utf8_lossy(&bytes).trim_end().lines().map(str::to_owned));
        }
        _ => lines.push(line.trim_end().to_owned()),
    }
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// A port that nobody listens on, nor on the one that a cluster's bus takes, 10,000 above.
pub(crate) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}
