//! Where a demo runs: ports that are free and a directory of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use waxwing_store::DatabaseUrl;

use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::serve::MEDIA_FOLDER;
use crate::settings::Settings;

const EMULATOR_PORT: u16 = 4004;
/// How many ports after the usual one are tried.
const PORTS_TRIED: u16 = 50;
/// How many demos may run at once beside each other.
const DEMOS_MAX: u32 = 9;

/// Where a demo runs.
#[derive(Debug)]
pub struct Place {
    /// Its directory.
    pub data_dir: PathBuf,
    /// Where its emulator listens.
    pub emulator: SocketAddr,
    /// What is not as usual.
    pub notes: Vec<String>,
}

impl Place {
    /// Finds a place and puts it into the settings. A directory that a demo left is emptied, unless it is to be kept.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(settings: &mut Settings, keep: bool) -> Result<Self, Failure> {
        let mut notes = Vec::new();
        let mut taken = Vec::new();
        let mut port = |usual: u16, what: &str| {
            let port = free_port(usual, &taken);
            taken.push(port);
            if port != usual && usual != 0 {
                notes.push(format!(
                    "port {usual} is taken: {what} is at {port} instead"
                ));
            }
            port
        };
        settings.bind = Ipv4Addr::LOCALHOST.into();
        settings.port = port(settings.port, "the server");
        settings.metrics_port = port(settings.metrics_port, "/metrics");
        let emulator = SocketAddr::from((Ipv4Addr::LOCALHOST, port(EMULATOR_PORT, "the emulator")));

        let data_dir = directory(settings, keep)?;
        settings.data_dir.clone_from(&data_dir);
        settings.database = DatabaseUrl::Sqlite(data_dir.join("waxwing.db"));
        Ok(Self {
            data_dir,
            emulator,
            notes,
        })
    }
}

/// The first free port from the usual one on; a port that the system chooses when all of them are taken.
fn free_port(usual: u16, taken: &[u16]) -> u16 {
    let is_free = |port: &u16| {
        !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    if usual == 0 {
        return 0;
    }
    (usual..=usual.saturating_add(PORTS_TRIED))
        .find(is_free)
        .unwrap_or(0)
}

/// A directory that no other demo uses now, below the data directory.
fn directory(settings: &Settings, keep: bool) -> Result<PathBuf, Failure> {
    let mut refused = Failure::new("too many demos run here");
    for number in 1..=DEMOS_MAX {
        let name = if number == 1 {
            "demo".to_owned()
        } else {
            format!("demo-{number}")
        };
        let path = settings.data_dir.join(name);
        let held = match DataDir::take(&path) {
            Ok(held) => held,
            Err(failure) if path.is_dir() => {
                refused = failure;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if !keep {
            if !is_of_a_demo(&path) {
                return Err(Failure::new(format!(
                    "{} holds something that is no demo's: move it away, or set DATA_DIR to another place",
                    path.display()
                )));
            }
            empty(&path)?;
        }
        drop(held);
        return Ok(path);
    }
    Err(refused)
}

/// The files that a demo leaves in its directory.
const FILES: [&str; 9] = [
    "waxwing.lock",
    "waxwing.db",
    "waxwing.db-wal",
    "waxwing.db-shm",
    "waxwing.db.lock",
    "master.key",
    "node-id",
    "env.sh",
    "env.new",
];

/// Whether a directory holds nothing but what a demo left there.
fn is_of_a_demo(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().all(|entry| {
            let name = entry.file_name();
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            name.to_str().is_some_and(|name| {
                if is_directory {
                    name == MEDIA_FOLDER
                } else {
                    FILES.contains(&name)
                }
            })
        })
    })
}

/// Removes what a demo left, all but the lock that is held.
fn empty(path: &Path) -> Result<(), Failure> {
    let remove = || {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != "waxwing.lock" {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok::<(), std::io::Error>(())
    };
    remove().map_err(|error| Failure::new(format!("{} cannot be emptied: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Source, Values};

    fn settings(directory: &std::path::Path) -> Settings {
        let mut values = Values::default();
        values.set("DATA_DIR", directory.to_str().unwrap(), Source::Environment);
        values.set("PORT", "0", Source::Environment);
        values.set("METRICS_PORT", "0", Source::Environment);
        Settings::from_values(&values).unwrap()
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let found = free_port(port, &[]);
        assert_ne!(found, port);
        assert_ne!(free_port(found.max(1), &[found]), found);
        assert_eq!(free_port(0, &[]), 0);
    }

    #[test]
    fn a_demo_has_its_own_directory_which_is_emptied_unless_it_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::find(&mut settings(directory.path()), false).unwrap();
        assert_eq!(place.data_dir, directory.path().join("demo"));
        let left = place.data_dir.join("master.key");
        std::fs::write(&left, "x").unwrap();
        std::fs::create_dir_all(place.data_dir.join("media/object")).unwrap();
        Place::find(&mut settings(directory.path()), true).unwrap();
        assert!(left.exists());

        let running = DataDir::take(&place.data_dir).unwrap();
        let other = Place::find(&mut settings(directory.path()), false).unwrap();
        assert_eq!(other.data_dir, directory.path().join("demo-2"));
        assert!(left.exists());
        drop(running);

        Place::find(&mut settings(directory.path()), false).unwrap();
        assert!(!left.exists() && !place.data_dir.join("media").exists());
        std::fs::write(place.data_dir.join("thesis.txt"), "x").unwrap();
        let refused = Place::find(&mut settings(directory.path()), false).unwrap_err();
        assert!(refused.text.contains("no demo's") && place.data_dir.join("thesis.txt").exists());
    }
}
