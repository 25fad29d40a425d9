//! Hashing of passwords: slow on purpose, so beside the requests and a few at a time.

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::Semaphore;
use waxwing_core::secret::Secret;

/// Memory of one hash in KiB, passes, lanes: the second choice of OWASP's cheat sheet, about 20 ms here.
const COST: (u32, u32, u32) = (19 * 1_024, 2, 1);
/// Hashes at the same time: 19 MiB each.
const AT_ONCE: usize = 2;
/// The hash of no password in use: asked for accounts that are not there, so that they take as long as others.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$UkQ5c5lY8DJu1pJfVUdf5JbEsuPUYrTQnAY8yHfRfjQ";

/// Makes and checks hashes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// The process is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("passwords are no longer hashed: the process ends")]
pub struct Ending;

fn argon2() -> Argon2<'static> {
    let (memory, passes, lanes) = COST;
    let params =
        Params::new(memory, passes, lanes, None).expect("the cost is within the limits of Argon2");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

impl Passwords {
    /// The PHC string of a password, with a salt of its own.
    ///
    /// # Errors
    /// [`Ending`].
    pub async fn hash(&self, password: Secret) -> Result<String, Ending> {
        self.slowly(move || {
            let mut salt = [0; 16];
            SystemRandom::new()
                .fill(&mut salt)
                .expect("the system's random generator works");
            let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
            argon2()
                .hash_password(password.expose().as_bytes(), &salt)
                .expect("a password of bounded length can be hashed")
                .to_string()
        })
        .await
    }

    /// Whether the password is the one of the PHC string. Without a string it is not, after the same time.
    ///
    /// # Errors
    /// [`Ending`].
    pub async fn is(&self, password: Secret, phc: Option<String>) -> Result<bool, Ending> {
        self.slowly(move || {
            let known = phc.is_some();
            let phc = phc.as_deref().unwrap_or(NOBODY);
            let right = PasswordHash::new(phc).is_ok_and(|hash| {
                argon2()
                    .verify_password(password.expose().as_bytes(), &hash)
                    .is_ok()
            });
            right && known
        })
        .await
    }

    async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ending> {
        let place = Arc::clone(&self.0)
            .acquire_owned()
            .await
            .map_err(|_| Ending)?;
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        })
        .await
        .map_err(|_| Ending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_taken() {
        let passwords = Passwords::default();
        let hash = passwords.hash(Secret::new("correct horse")).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let again = passwords.hash(Secret::new("correct horse")).await.unwrap();
        assert_ne!(hash, again, "each has a salt of its own");
        let is = |text: &str, phc: Option<&str>| {
            let passwords = passwords.clone();
            let (text, phc) = (Secret::new(text), phc.map(str::to_owned));
            async move { passwords.is(text, phc).await.unwrap() }
        };
        assert!(is("correct horse", Some(&hash)).await);
        assert!(!is("correct horsf", Some(&hash)).await);
        assert!(!is("", None).await);
        assert!(!is("correct horse", Some("not a hash")).await);
        assert!(
            PasswordHash::new(NOBODY).is_ok(),
            "it costs what others cost"
        );
    }
}
