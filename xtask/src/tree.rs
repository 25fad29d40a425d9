//! The files of the repository.

use std::path::{Path, PathBuf};

use crate::{Outcome, process};

/// Directories that are never part of the tree, as `.gitignore` has them.
const OUTSIDE: &[&str] = &[".git", "target", "node_modules"];

/// Every file that is committed or could be: paths relative to `root`, sorted.
pub fn files(root: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = match git_files(root) {
        Some(files) => files,
        None => {
            let mut files = Vec::new();
            walk(root, Path::new(""), &mut files)?;
            files
        }
    };
    // Git also lists what was deleted but is not committed as such yet.
    files.retain(|file| root.join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

/// `None` where there is no repository (an unpacked archive) or no git.
fn git_files(root: &Path) -> Option<Vec<PathBuf>> {
    if !root.join(".git").exists() {
        return None;
    }
    let mut git = std::process::Command::new("git");
    git.current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let list = process::read(&mut git).ok()?;
    Some(
        list.split('\0')
            .filter(|name| !name.is_empty())
            .map(PathBuf::from)
            .collect(),
    )
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    let at = root.join(dir);
    let entries =
        std::fs::read_dir(&at).map_err(|error| format!("cannot read {}: {error}", at.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot read {}: {error}", at.display()))?;
        let path = dir.join(entry.file_name());
        let kind = entry
            .file_type()
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        if kind.is_dir() {
            let outside = OUTSIDE.iter().any(|name| entry.file_name() == *name);
            if !outside {
                walk(root, &path, files)?;
            }
        } else if kind.is_file() && entry.file_name() != ".env" {
            files.push(path);
        }
    }
    Ok(())
}

/// Makes `to` hold the same files with the same bytes as `from`, writing only what differs, so that
/// a build in `to` stays incremental. Returns the number of files written or removed.
pub fn mirror(from: &Path, to: &Path) -> Outcome<usize> {
    let wanted = files(from)?;
    let mut changed = 0;
    for file in &wanted {
        let bytes = read(&from.join(file))?;
        let target = to.join(file);
        // Compared by content and written with the present time: cargo rebuilds what is newer than
        // its last build, and a file that went back to old content must count as new.
        if std::fs::read(&target).ok().as_ref() != Some(&bytes) {
            write(&target, &bytes)?;
            changed += 1;
        }
    }
    let mut present = Vec::new();
    if to.exists() {
        walk(to, Path::new(""), &mut present)?;
    }
    for file in present {
        if wanted.binary_search(&file).is_err() {
            let stale = to.join(&file);
            std::fs::remove_file(&stale)
                .map_err(|error| format!("cannot remove {}: {error}", stale.display()))?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// Reads a file.
pub fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Writes a file and the directories above it.
pub fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .map_err(|error| format!("cannot create {}: {error}", parent.display()))?;
    }
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A directory for one test, removed at its end.
#[cfg(test)]
pub struct Scratch(pub PathBuf);

#[cfg(test)]
impl Scratch {
    /// `name` must differ between tests of one process.
    pub fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
        Scratch(dir)
    }
}

#[cfg(test)]
impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_writes_only_what_differs_and_removes_what_is_gone() {
        let scratch = Scratch::new("mirror");
        let (from, to) = (scratch.0.join("from"), scratch.0.join("to"));
        write(&from.join("a/one.rs"), b"1").expect("written");
        write(&from.join("two.rs"), b"2").expect("written");
        write(&from.join("target/built"), b"no").expect("written");
        assert_eq!(mirror(&from, &to), Ok(2));
        assert!(!to.join("target").exists());
        let before = std::fs::metadata(to.join("two.rs"))
            .and_then(|metadata| metadata.modified())
            .expect("there");

        write(&from.join("a/one.rs"), b"changed").expect("written");
        std::fs::remove_file(from.join("two.rs")).expect("removed");
        write(&from.join("three.rs"), b"3").expect("written");
        assert_eq!(mirror(&from, &to), Ok(3));
        assert!(!to.join("two.rs").exists());
        assert_eq!(read(&to.join("a/one.rs")), Ok(b"changed".to_vec()));

        write(&from.join("two.rs"), b"2").expect("written");
        assert_eq!(mirror(&from, &to), Ok(1));
        let after = std::fs::metadata(to.join("two.rs"))
            .and_then(|metadata| metadata.modified())
            .expect("there");
        assert!(after > before, "a restored file must look new to cargo");
        assert_eq!(mirror(&from, &to), Ok(0));
    }
}
