//! A folder of generated files: compared with what is generated now, and written.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// File names, without folders, and what they hold.
pub(crate) type Files = BTreeMap<String, String>;

/// How a folder on disk differs from what is generated now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Generated, but not there.
    Missing(String),
    /// There, but with other contents.
    Changed(String),
    /// There, but not generated any more.
    Stale(String),
}

/// Reads the files of a folder. A folder that is not there has none; what is not text is an error.
pub(crate) fn read(folder: &Path) -> io::Result<Files> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Files::new()),
        Err(error) => return Err(error),
    };
    let mut files = Files::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        files.insert(name, text);
    }
    Ok(files)
}

/// What has to change in `folder` for it to hold exactly `generated`.
pub(crate) fn compare(folder: &Path, generated: &Files) -> io::Result<Vec<Difference>> {
    let present = read(folder)?;
    let mut differences = Vec::new();
    for (name, text) in generated {
        match present.get(name) {
            None => differences.push(Difference::Missing(name.clone())),
            Some(there) if there != text => differences.push(Difference::Changed(name.clone())),
            Some(_) => {}
        }
    }
    let stale = present.keys().filter(|name| !generated.contains_key(*name));
    differences.extend(stale.cloned().map(Difference::Stale));
    Ok(differences)
}

/// Writes only what differs, so that an unchanged file keeps its time and nothing is rebuilt for it.
pub(crate) fn write(folder: &Path, generated: &Files, differences: &[Difference]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for difference in differences {
        match difference {
            Difference::Stale(name) => std::fs::remove_file(folder.join(name))?,
            Difference::Missing(name) | Difference::Changed(name) => {
                if let Some(text) = generated.get(name) {
                    std::fs::write(folder.join(name), text)?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_folder_that_is_not_there_misses_every_file() {
        let parent = tempfile::tempdir().unwrap();
        let differences = compare(&parent.path().join("none"), &files(&[("a.rs", "1")])).unwrap();
        assert_eq!(differences, [Difference::Missing("a.rs".into())]);
    }

    #[test]
    fn changed_and_stale_files_are_told_apart_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.rs"), "old").unwrap();
        std::fs::write(folder.path().join("b.rs"), "same").unwrap();
        std::fs::write(folder.path().join("c.rs"), "left over").unwrap();
        let differences = compare(folder.path(), &files(&[("a.rs", "new"), ("b.rs", "same")])).unwrap();
        assert_eq!(differences, [Difference::Changed("a.rs".into()), Difference::Stale("c.rs".into())]);
    }

    #[test]
    fn a_written_folder_has_no_differences_left() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c.rs"), "left over").unwrap();
        let generated = files(&[("a.rs", "1"), ("b.rs", "2")]);
        let differences = compare(folder.path(), &generated).unwrap();
        write(folder.path(), &generated, &differences).unwrap();
        assert_eq!(compare(folder.path(), &generated).unwrap(), []);
    }
}
