//! What every step is given: where things are, and which tools there are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::tools::Tools;

/// What every step is given.
pub(crate) struct Context {
    /// The repository's root.
    pub(crate) root: PathBuf,
    /// Where cargo builds to.
    pub(crate) target: PathBuf,
    pub(crate) tools: Tools,
}

impl Context {
    pub(crate) fn new() -> Result<Context, String> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package.parent().unwrap_or(package).to_path_buf();
        let metadata = metadata(&root, &["--no-deps"])?;
        let target =
            metadata["target_directory"].as_str().ok_or("cargo metadata names no target_directory")?;
        let target = PathBuf::from(target);
        let tools = Tools::new(target.join("tools"));
        Ok(Context { root, target, tools })
    }

    /// A command that runs at the repository's root.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// `cargo`, with these arguments, at the repository's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(crate::cargo());
        command.args(arguments);
        command
    }
}

/// What `cargo metadata` says.
pub(crate) fn metadata(root: &Path, options: &[&str]) -> Result<Value, String> {
    let output = Command::new(crate::cargo())
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(options)
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata answered with no JSON: {error}"))
}
