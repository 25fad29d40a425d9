//! The data directory: one process at a time, readable by its owner only.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use waxwing_store::Engine;

use crate::failure::Failure;

const LOCK: &str = "waxwing.lock";
const NODE: &str = "node-id";

/// The lock of a process that was killed can outlive it for a moment: a successor waits so long before it gives up.
const LOCK_LINGERS: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The data directory, held by this process until dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held, never read.
    _lock: File,
}

impl DataDir {
    /// Makes the directory when it is missing and takes it.
    ///
    /// # Errors
    /// When it cannot be made or another process has it.
    pub fn take(path: &Path) -> Result<Self, Failure> {
        create(path)?;
        let file = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(|error| failed(&file, "written", &error))?;
        match lock_soon(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The number is a courtesy.
                let _ = lock.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() {
                    String::new()
                } else {
                    format!(" (process {holder})")
                };
                return Err(Failure::new(format!(
                    "another waxwing{holder} works in the data directory {}: stop it, or set DATA_DIR to another one",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&file, "locked", &error)),
        }
        // The number is a courtesy, too.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The name of this process among those on one database, when the settings give none.
    ///
    /// A SQLite file has one process, so its name can be fixed and the next one takes over at once. On PostgreSQL the
    /// name is that of the machine and of the directory, which nobody else has.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn node_name(&self, engine: Engine) -> Result<String, Failure> {
        if engine == Engine::Sqlite {
            return Ok("embedded".to_owned());
        }
        let file = self.path.join(NODE);
        let id = match std::fs::read_to_string(&file) {
            Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
            _ => {
                let id = hex::encode(&random::<4>()[..]);
                std::fs::write(&file, &id).map_err(|error| failed(&file, "written", &error))?;
                id
            }
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host
            .trim()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c))
            .take(48)
            .collect();
        Ok(format!("{host}-{id}"))
    }
}

/// Makes a directory that only its owner can enter.
///
/// # Errors
/// When that is not possible.
pub fn create(path: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Failure::new(format!("the data directory {} cannot be made: {error}; set DATA_DIR to a place that can be written", path.display())))
}

/// Writes a file that only its owner can read, durably and whole or not at all.
///
/// # Errors
/// When the place cannot be written.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let write = || {
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |parent| {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            File::open(parent)?.sync_all()
        })
    };
    write().map_err(|error| failed(path, "written", &error))
}

/// Bytes of the system's random generator.
pub fn random<const N: usize>() -> zeroize::Zeroizing<[u8; N]> {
    let mut bytes = zeroize::Zeroizing::new([0; N]);
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes[..])
        .expect("the system's random generator works");
    bytes
}

fn lock_soon(lock: &File) -> Result<(), TryLockError> {
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_LINGERS => {
                // tidy: allow sleep: the kernel tells nobody when a lock is free
                std::thread::sleep(LOOK_EVERY);
            }
            outcome => return outcome,
        }
    }
}

fn failed(path: &Path, what: &str, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be {what}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let first = DataDir::take(&path).unwrap();
        let refused = DataDir::take(&path).unwrap_err();
        let ours = format!("(process {})", std::process::id());
        assert!(
            refused.text.contains(&ours) && refused.code == 1,
            "{refused}"
        );
        drop(first);
        assert!(DataDir::take(&path).is_ok());
    }

    #[test]
    fn the_name_of_a_node_stays() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::take(directory.path()).unwrap();
        let name = data.node_name(Engine::Postgres).unwrap();
        assert_eq!(data.node_name(Engine::Postgres).unwrap(), name);
        assert_ne!(data.node_name(Engine::Sqlite).unwrap(), name);
    }
}
