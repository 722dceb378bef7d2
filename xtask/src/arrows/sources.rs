//! Reads sources for what needs no dependency to be used: the standard library's sockets, files and clocks, and one
//! dialect of `wire` naming another.
//!
//! This is a reading of text and not of syntax: comments and tests are cut off, `std::{fs, io}` is taken apart, and a
//! determined author could still get around it. It guards against the accident; the reviewer guards against intent.

use std::path::Path;

use super::table::{BANS, DIALECTS, WIRE};

/// Forbidden paths in a package's sources, as `file:line` with the rule.
pub(super) fn violations(root: &Path, package: &str, folder: &Path) -> Result<Vec<String>, String> {
    let banned = BANS.iter().any(|ban| ban.packages.contains(&package) && !ban.paths.is_empty());
    let mut found = Vec::new();
    if !banned {
        return Ok(found);
    }
    let sources = folder.join("src");
    for (path, text) in read(&sources).map_err(|error| format!("{}: {error}", sources.display()))? {
        let module = path.strip_prefix(&sources).unwrap_or(&path);
        for (line, rule) in check(package, module, &text) {
            found.push(format!("{}:{line}: {rule}", path.strip_prefix(root).unwrap_or(&path).display()));
        }
    }
    Ok(found)
}

/// All Rust sources below a folder but those of tests and those that are generated.
fn read(folder: &Path) -> std::io::Result<Vec<(std::path::PathBuf, String)>> {
    let mut files = Vec::new();
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        let stem = path.file_stem().unwrap_or_default();
        if stem == "tests" || stem == "generated" {
            continue;
        } else if path.is_dir() {
            files.extend(read(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            files.push((path, text));
        }
    }
    Ok(files)
}

/// Line numbers and broken rules in one source file. `module` is its path below `src`.
fn check(package: &str, module: &Path, source: &str) -> Vec<(usize, String)> {
    let dialect = (package == WIRE).then(|| dialect_of(module)).flatten();
    let mut found = Vec::new();
    for (line, code) in code(source) {
        for ban in BANS.iter().filter(|ban| ban.packages.contains(&package)) {
            for path in ban.paths.iter().filter(|path| names(&code, path)) {
                found.push((line, format!("names {path}: {}", ban.reason)));
            }
        }
        for other in DIALECTS.iter().filter(|other| dialect.is_some_and(|own| own != **other)) {
            if names(&code, &format!("crate::{other}")) {
                found.push((
                    line,
                    format!(
                        "{} -> {other}: what two dialects share is a core type",
                        dialect.unwrap_or_default()
                    ),
                ));
            }
        }
    }
    found
}

/// The dialect that a module of `wire` belongs to.
fn dialect_of(module: &Path) -> Option<&'static str> {
    let first = module.components().next()?.as_os_str();
    let first = Path::new(first).file_stem()?.to_str()?;
    DIALECTS.iter().find(|dialect| **dialect == first).copied()
}

/// The statements of a source, without comments and tests, each with its first line's number. Lines of one `use` are
/// joined, so that its braces are seen whole.
fn code(source: &str) -> Vec<(usize, String)> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    let mut in_use = false;
    let mut lines = source.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let next = lines.peek().map_or("", |(_, line)| line.trim());
        // Tests are the last thing in a file.
        if line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            break;
        }
        match statements.last_mut() {
            Some((_, statement)) if in_use => statement.push_str(line),
            _ => statements.push((index + 1, line.to_owned())),
        }
        in_use = (in_use || is_use(line)) && !line.contains(';');
    }
    statements
}

fn is_use(line: &str) -> bool {
    let line = line.strip_prefix("pub").map_or(line, |rest| rest.trim_start_matches("(crate)").trim_start());
    line.starts_with("use ")
}

/// Whether a statement names a path, also inside braces.
fn names(statement: &str, path: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = statement.match_indices(path).any(|(at, _)| {
        let before = statement[..at].chars().next_back();
        let after = statement[at + path.len()..].chars().next();
        let longer = before.is_some_and(is_word) || path.ends_with(is_word) && after.is_some_and(is_word);
        !longer
    });
    let braced = || {
        let (parent, name) = path.rsplit_once("::")?;
        let (_, group) = statement.split_once(&format!("{parent}::{{"))?;
        Some(members(group).into_iter().any(|member| member.split([':', ' ']).next() == Some(name)))
    };
    whole || braced().unwrap_or(false)
}

/// The members of a group up to its closing brace: `fs, io::{self, Read}}` has `fs` and `io::{self, Read}`.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut members) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(group[begin..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(group[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a source file that break a rule.
    fn check_lines(package: &str, module: &str, source: &str, expected: &[usize]) {
        let found: Vec<usize> =
            check(package, Path::new(module), source).into_iter().map(|(line, _)| line).collect();
        assert_eq!(found, expected, "{package}, {module}: {source}");
    }

    #[test]
    fn a_core_that_reads_the_clock_or_a_file_is_reported_with_the_line() {
        let source = "fn a() {\n    let now = std::time::Instant::now();\n    std::fs::read(\"x\");\n}\n";
        check_lines("traces", "lib.rs", source, &[2, 3]);
    }

    #[test]
    fn a_use_with_braces_over_several_lines_hides_nothing() {
        check_lines(
            "traces",
            "lib.rs",
            "use std::{\n    collections::{BTreeMap, HashMap},\n    net,\n};\n",
            &[1],
        );
        check_lines("traces", "lib.rs", "pub(crate) use std::{fs::File, io};\n", &[1]);
        check_lines("traces", "lib.rs", "use std::{collections::BTreeMap, time::Duration};\n", &[]);
    }

    #[test]
    fn addresses_of_the_core_library_are_no_sockets() {
        check_lines("registry", "lib.rs", "use core::net::IpAddr;\n", &[]);
    }

    #[test]
    fn comments_and_tests_may_name_what_code_may_not() {
        let source = "// std::fs is for shells\n/// never `Instant::now`\nfn a() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        check_lines("traces", "lib.rs", source, &[]);
    }

    #[test]
    fn a_longer_name_is_another_name() {
        check_lines("traces", "lib.rs", "let a = my_std::fs::x; let b = std::fsync::y;\n", &[]);
    }

    #[test]
    fn shells_may_do_what_cores_may_not() {
        check_lines("server", "lib.rs", "use std::net::TcpListener;\n", &[]);
    }

    #[test]
    fn one_dialect_must_not_name_another() {
        let source = "use crate::otlp::Span;\nuse crate::limits::Limit;\n";
        check_lines("wire", "zipkin.rs", source, &[1]);
        check_lines("wire", "zipkin/span.rs", source, &[1]);
        check_lines("wire", "otlp/mod.rs", source, &[]);
        check_lines("wire", "lib.rs", source, &[]);
    }
}
