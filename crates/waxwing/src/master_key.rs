//! The master key: given by the settings, or made once in the data directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use waxwing_app::runtime::SystemClock;
use waxwing_core::secret::Secret;
use waxwing_core::time::Clock as _;
use waxwing_store::Store;
use waxwing_store::domain::crypto::Keyring;
use waxwing_store::domain::keys::{self, KeyFit};
use zeroize::Zeroizing;

use crate::data_dir;
use crate::failure::Failure;
use crate::settings::{self, Settings};

const FILE: &str = "master.key";

/// Where the key of a data directory lies.
pub fn file(settings: &Settings) -> PathBuf {
    settings.data_dir.join(FILE)
}

/// Where a master key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Setting,
    File,
    /// Made now and not yet written down.
    Fresh,
}

/// A master key.
pub struct MasterKey {
    /// As it is written: also the platform admin's token while there is no other.
    pub text: Secret,
    bytes: Zeroizing<[u8; 32]>,
    origin: Origin,
    file: PathBuf,
}

impl MasterKey {
    /// The key of the settings, else that of the data directory, else a new one. Writes nothing.
    ///
    /// # Errors
    /// When the file is there and cannot be used.
    pub fn find(settings: &Settings) -> Result<Self, Failure> {
        let file = file(settings);
        let (text, origin) = match &settings.master_key {
            Some(text) => (text.clone(), Origin::Setting),
            None => match read(&file)? {
                Some(text) => (text, Origin::File),
                None => (
                    Secret::new(hex::encode(&data_dir::random::<32>()[..])),
                    Origin::Fresh,
                ),
            },
        };
        let bytes = settings::key(text.expose()).ok_or_else(|| {
            Failure::setting(format!("{} holds no master key (64 hexadecimal digits); bring the right file back from a backup", file.display()))
        })?;
        Ok(Self {
            text,
            bytes,
            origin,
            file,
        })
    }

    /// The text of the key that is there already; `None` when there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be used.
    pub fn existing(settings: &Settings) -> Result<Option<Secret>, Failure> {
        let key = Self::find(settings)?;
        Ok((key.origin != Origin::Fresh).then_some(key.text))
    }

    /// Where it comes from, in words.
    pub fn whence(&self) -> String {
        match self.origin {
            Origin::Setting => "MASTER_KEY".to_owned(),
            Origin::File => self.file.display().to_string(),
            Origin::Fresh => format!("will be made in {}", self.file.display()),
        }
    }

    /// The keys that are derived from it.
    pub fn keyring(&self) -> Keyring {
        Keyring::new(&self.bytes)
    }

    /// Sees to it that the database is sealed under this key. A new key is written down before the database learns of
    /// it, and only when the database was never sealed.
    ///
    /// # Errors
    /// When the database was sealed under another key.
    pub async fn settle(&self, store: &Store, keyring: &Keyring) -> Result<(), Failure> {
        let keys = keyring.clone();
        match store.read(move |tx| keys::fit(tx, &keys)).await? {
            KeyFit::Right => return Ok(()),
            KeyFit::Wrong => return Err(self.wrong()),
            KeyFit::Unused => {}
        }
        if self.origin == Origin::Fresh {
            data_dir::write_private(&self.file, self.text.expose().as_bytes())?;
            tracing::warn!(file = %self.file.display(), "a master key was made; without this file the data cannot be read, so keep a copy apart from the database");
        }
        let (keys, now) = (keyring.clone(), SystemClock.now());
        match store.write(move |tx| keys::adopt(tx, &keys, now)).await? {
            KeyFit::Right | KeyFit::Unused => Ok(()),
            KeyFit::Wrong => Err(self.wrong()),
        }
    }

    fn wrong(&self) -> Failure {
        let file = self.file.display();
        Failure::setting(match self.origin {
            Origin::Setting => "MASTER_KEY is not the key that this database was sealed under: set the right one, or point DATABASE_URL to another database".to_owned(),
            Origin::File => format!("{file} is not the key that this database was sealed under: bring the right file back, or set MASTER_KEY"),
            Origin::Fresh => format!("this database was sealed under a master key, but MASTER_KEY is not set and {file} is missing: set MASTER_KEY, or bring the file back"),
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
        first.settle(&store, &first.keyring()).await.unwrap();
        let mode = std::fs::metadata(path.join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        let again = MasterKey::find(&settings(path, None)).unwrap();
        assert_eq!(again.text, first.text);
        again.settle(&store, &again.keyring()).await.unwrap();

        let other = MasterKey::find(&settings(path, Some(&"0a".repeat(32)))).unwrap();
        let told = other.settle(&store, &other.keyring()).await.unwrap_err();
        assert!(
            told.text.starts_with("MASTER_KEY is not the key") && told.code == 2,
            "{told}"
        );

        std::fs::remove_file(path.join(FILE)).unwrap();
        let lost = MasterKey::find(&settings(path, None)).unwrap();
        let told = lost.settle(&store, &lost.keyring()).await.unwrap_err();
        assert!(
            told.text.contains("is missing") && !path.join(FILE).exists(),
            "{told}"
        );

        std::fs::write(path.join(FILE), "nonsense").unwrap();
        assert!(MasterKey::find(&settings(path, None)).is_err());
        store.close().await;
    }
}
