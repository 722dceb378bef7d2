//! Other people's HTTP through the gateway, on both of its sides: Node's `ws` and Python's `h11`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{Ended, Process, finish, register, stderr, stdout, text, until_routed};

const FREE: &str = "127.0.0.1:0";

/// A library in another language, and how it is had.
struct Library {
    name: &'static str,
    /// What it looks like once it is there, in a folder of its own.
    there: &'static str,
    install: &'static [&'static str],
}

const WS: Library = Library {
    name: "ws",
    there: "node_modules/ws/package.json",
    install: &[
        "npm",
        "install",
        "--silent",
        "--no-save",
        "--no-audit",
        "--no-fund",
        "--prefix",
        ".",
        "ws@8.23.0",
    ],
};
const H11: Library = Library {
    name: "h11",
    there: "h11/__init__.py",
    install: &[
        "python3",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        ".",
        "h11==0.16.0",
    ],
};

impl Library {
    /// The folder that it is in; it stays there for the next time. `None` where it cannot be had, which the
    /// test says.
    #[expect(clippy::print_stdout, reason = "a test says what it skipped")]
    fn folder(&self) -> Option<PathBuf> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(self.name);
        std::fs::create_dir_all(&folder).unwrap();
        if folder.join(self.there).exists() {
            return Some(folder);
        }
        let [program, arguments @ ..] = self.install else { return None };
        let installed = Command::new(program).args(arguments).current_dir(&folder).output();
        let why = match installed {
            Ok(output) if output.status.success() && folder.join(self.there).exists() => return Some(folder),
            Ok(output) => stderr(&output).lines().last().unwrap_or_default().to_owned(),
            Err(error) => format!("{program}: {error}"),
        };
        println!("skipped: {} because it cannot be installed: {why}", self.name);
        None
    }
}

/// Has a script serve a service, and the same script call it through the gateway.
fn through_the_gateway(program: &str, script: &str, library: &Path, service: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let command = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.arg(&script).args(arguments).env("CLIENTS", library);
        command
    };
    let mut serving = command(&["serve"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let _serving = Ended(serving);
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&["up", "--data", text(folder.path()), "--listen", FREE, "--gateway", FREE]);
    let at: SocketAddr = format!("127.0.0.1:{}", port.trim()).parse().unwrap();
    let registered = register(process.address("listen"), service, "it", at);
    until_routed(process.address("listen"), registered["revision"].as_u64().unwrap());
    let called = finish(&mut command(&["call", &process.address("gateway").to_string()]));
    assert_eq!(stdout(&called), "ok\n", "{}", stderr(&called));
}

#[test]
fn websockets_of_ws_pass_with_their_protocols_messages_and_closing_words() {
    if let Some(library) = WS.folder() {
        through_the_gateway("node", "ws.mjs", &library, "chat");
    }
}

#[test]
fn a_strict_parser_accepts_what_the_gateway_says_on_both_sides() {
    if let Some(library) = H11.folder() {
        through_the_gateway("python3", "strict.py", &library, "strict");
    }
}
