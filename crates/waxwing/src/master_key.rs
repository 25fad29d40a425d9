//! The master key: given by the settings, by a file or by a command, or made once in the data directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use waxwing_app::runtime::SystemClock;
use waxwing_core::secret::Secret;
use waxwing_core::time::Clock as _;
use waxwing_store::Store;
use waxwing_store::domain::crypto::{Keyring, Master, Masters};
use waxwing_store::domain::keys::{self, KeyFit};
use zeroize::Zeroizing;

use crate::data_dir;
use crate::failure::Failure;
use crate::settings::{self, Settings};

const FILE: &str = "master.key";
/// How long a command may take that prints the key.
const COMMAND_MAX: Duration = Duration::from_secs(20);
/// The longest output of such a command that is read.
const OUTPUT_MAX: u64 = 4_096;

/// Where the key of a data directory lies.
pub fn file(settings: &Settings) -> PathBuf {
    settings.data_dir.join(FILE)
}

/// Where a master key comes from.
trait KeySource {
    /// The key as it is written; `None` when there is none yet.
    fn read(&self) -> Result<Option<Secret>, Failure>;
    /// The place, in words.
    fn whence(&self) -> String;
    /// What to do when the database was sealed under another key.
    fn when_wrong(&self) -> String;
}

/// `MASTER_KEY`.
struct Environment(Secret);

impl KeySource for Environment {
    fn read(&self) -> Result<Option<Secret>, Failure> {
        Ok(Some(self.0.clone()))
    }

    fn whence(&self) -> String {
        "MASTER_KEY".to_owned()
    }

    fn when_wrong(&self) -> String {
        "MASTER_KEY is not the key that this database was sealed under: set the right one, or point DATABASE_URL to another database".to_owned()
    }
}

/// A file: one that the settings name has to be there, the one of the data directory is made.
struct KeyFile {
    path: PathBuf,
    named: bool,
}

impl KeySource for KeyFile {
    fn read(&self) -> Result<Option<Secret>, Failure> {
        match read(&self.path)? {
            None if self.named => Err(Failure::setting(format!(
                "{} is not there: MASTER_KEY_FILE has to name a file that holds a key",
                self.path.display()
            ))),
            found => Ok(found),
        }
    }

    fn whence(&self) -> String {
        self.path.display().to_string()
    }

    fn when_wrong(&self) -> String {
        format!(
            "{} is not the key that this database was sealed under: bring the right file back, or set MASTER_KEY",
            self.path.display()
        )
    }
}

/// A command that prints the key: where a KMS or a vault holds it, only its own tool has to be there.
struct KeyCommand(Secret);

impl KeySource for KeyCommand {
    fn read(&self) -> Result<Option<Secret>, Failure> {
        let failed = |what: String| Failure::setting(format!("MASTER_KEY_COMMAND {what}"));
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(self.0.expose())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        let until = Instant::now() + COMMAND_MAX;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => {
                    // It may have ended in this moment.
                    let _ = child.kill();
                    let _ = child.wait();
                    let limit = COMMAND_MAX.as_secs();
                    return Err(failed(format!("gave no key within {limit} seconds")));
                }
            }
        };
        if !status.success() {
            return Err(failed(format!("failed ({status})")));
        }
        let mut text = Zeroizing::new(String::new());
        let output = child
            .stdout
            .take()
            .ok_or_else(|| failed("has no output".to_owned()))?;
        std::io::Read::read_to_string(&mut std::io::Read::take(output, OUTPUT_MAX), &mut text)
            .map_err(|_| failed("printed no text".to_owned()))?;
        Ok(Some(Secret::new(text.trim())))
    }

    fn whence(&self) -> String {
        "MASTER_KEY_COMMAND".to_owned()
    }

    fn when_wrong(&self) -> String {
        "MASTER_KEY_COMMAND does not print the key that this database was sealed under".to_owned()
    }
}

fn source(settings: &Settings) -> Box<dyn KeySource> {
    if let Some(text) = &settings.master_key {
        return Box::new(Environment(text.clone()));
    }
    if let Some(command) = &settings.master_key_command {
        return Box::new(KeyCommand(command.clone()));
    }
    let named = settings.master_key_file.clone();
    Box::new(KeyFile {
        named: named.is_some(),
        path: named.unwrap_or_else(|| file(settings)),
    })
}

/// A master key.
pub struct MasterKey {
    /// As it is written: also the platform admin's token while there is no other.
    pub text: Secret,
    bytes: Zeroizing<[u8; 32]>,
    previous: Option<Zeroizing<[u8; 32]>>,
    source: Box<dyn KeySource>,
    /// Where a key is to be written down that was made now.
    fresh: Option<PathBuf>,
}

impl MasterKey {
    /// The key of the settings, else that of the data directory, else a new one. Writes nothing.
    ///
    /// # Errors
    /// When it is there and cannot be used.
    pub fn find(settings: &Settings) -> Result<Self, Failure> {
        let source = source(settings);
        let (text, fresh) = match source.read()? {
            Some(text) => (text, None),
            None => (
                Secret::new(hex::encode(&data_dir::random::<32>()[..])),
                Some(file(settings)),
            ),
        };
        let bytes = settings::key(text.expose()).ok_or_else(|| {
            Failure::setting(format!("{} holds no master key (64 hexadecimal digits); bring the right one back from a backup", source.whence()))
        })?;
        let previous = settings.master_key_previous.as_ref();
        Ok(Self {
            text,
            bytes,
            previous: previous.and_then(|text| settings::key(text.expose())),
            source,
            fresh,
        })
    }

    /// The text of the key that is there already; `None` when there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be used.
    pub fn existing(settings: &Settings) -> Result<Option<Secret>, Failure> {
        let key = Self::find(settings)?;
        Ok(key.fresh.is_none().then_some(key.text))
    }

    /// Where it comes from, in words.
    pub fn whence(&self) -> String {
        match &self.fresh {
            Some(file) => format!("will be made in {}", file.display()),
            None => self.source.whence(),
        }
    }

    /// The keys that wrap the secrets of the database.
    pub fn masters(&self) -> Masters {
        let previous = self.previous.as_ref().map(Master::new);
        Masters::new(Master::new(&self.bytes), previous)
    }

    /// The keyring of the database. A new key is written down before the database learns of it, and only when the
    /// database was never sealed.
    ///
    /// # Errors
    /// When the database was sealed under another key.
    pub async fn settle(&self, store: &Store) -> Result<Keyring, Failure> {
        let masters = self.masters();
        let own = masters.clone();
        match store.read(move |tx| keys::fit(tx, &own)).await? {
            KeyFit::Right => {}
            KeyFit::Wrong => return Err(self.wrong()),
            KeyFit::Unused => {
                if let Some(file) = &self.fresh {
                    data_dir::write_private(file, self.text.expose().as_bytes())?;
                    tracing::warn!(file = %file.display(), "a master key was made; without this file the data cannot be read, so keep a copy apart from the database");
                }
            }
        }
        let now = SystemClock.now();
        let adopted = store.write(move |tx| keys::adopt(tx, &masters, now));
        adopted.await?.ok_or_else(|| self.wrong())
    }

    fn wrong(&self) -> Failure {
        Failure::setting(match &self.fresh {
            Some(file) => format!(
                "this database was sealed under a master key, but MASTER_KEY is not set and {} is missing: set MASTER_KEY, or bring the file back",
                file.display()
            ),
            None => self.source.when_wrong(),
        })
    }
}

fn read(file: &Path) -> Result<Option<Secret>, Failure> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::setting(format!(
                "{} cannot be read: {error}",
                file.display()
            )));
        }
    };
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "others can read the master key; run chmod 600 on it");
    }
    Ok(Some(Secret::new(text.trim())))
}

#[cfg(test)]
mod tests {
    use waxwing_store::{DatabaseUrl, StoreConfig};

    use super::*;
    use crate::settings::Values;

    fn settings(directory: &Path, key: Option<&str>) -> Settings {
        let mut values = Values::default();
        values.set(
            "DATA_DIR",
            directory.to_str().unwrap(),
            crate::settings::Source::Environment,
        );
        if let Some(key) = key {
            values.set("MASTER_KEY", key, crate::settings::Source::Environment);
        }
        Settings::from_values(&values).unwrap()
    }

    async fn store(directory: &Path) -> Store {
        let store = Store::open(StoreConfig::new(DatabaseUrl::Sqlite(
            directory.join("waxwing.db"),
        )))
        .await
        .unwrap();
        store.migrate_up().await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_key_is_made_once_and_a_wrong_one_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let store = store(path).await;
        let first = MasterKey::find(&settings(path, None)).unwrap();
        assert!(!path.join(FILE).exists());
        first.settle(&store).await.unwrap();
        let mode = std::fs::metadata(path.join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        let again = MasterKey::find(&settings(path, None)).unwrap();
        assert_eq!(again.text, first.text);
        again.settle(&store).await.unwrap();

        let other = MasterKey::find(&settings(path, Some(&"0a".repeat(32)))).unwrap();
        let told = other.settle(&store).await.err().unwrap();
        assert!(
            told.text.starts_with("MASTER_KEY is not the key") && told.code == 2,
            "{told}"
        );

        std::fs::remove_file(path.join(FILE)).unwrap();
        let lost = MasterKey::find(&settings(path, None)).unwrap();
        let told = lost.settle(&store).await.err().unwrap();
        assert!(
            told.text.contains("is missing") && !path.join(FILE).exists(),
            "{told}"
        );

        std::fs::write(path.join(FILE), "nonsense").unwrap();
        assert!(MasterKey::find(&settings(path, None)).is_err());
        store.close().await;
    }
}
