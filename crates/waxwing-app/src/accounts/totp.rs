//! One-time codes by time (RFC 6238): six digits of thirty seconds, with HMAC-SHA-1, as every authenticator app has them.

use std::ops::RangeInclusive;

use data_encoding::{BASE32, BASE32_NOPAD};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use waxwing_core::secret::Secret;
use waxwing_core::time::Timestamp;
use zeroize::Zeroizing;

/// Seconds of a code.
const STEP: i64 = 30;
/// Clocks of phones differ: the code before and the one after the present one are good, too.
const DRIFT: i64 = 1;
/// Six digits.
const MODULUS: u32 = 1_000_000;
/// Bytes of a shared secret: as long as what the hash gives (RFC 4226, 4).
const SECRET_BYTES: usize = 20;
/// Characters of a typed code that are looked at.
const TYPED_MAX: usize = 64;
/// Recovery codes that a person gets.
pub const RECOVERY_CODES: usize = 10;

/// A fresh shared secret.
///
/// # Panics
/// When the system's random generator does not work.
#[must_use]
pub fn fresh_secret() -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; SECRET_BYTES]);
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system's random generator works");
    bytes
}

/// Fresh recovery codes of 80 bits, such as `mfrg-g2lt-pmzd-cnrw`.
///
/// # Panics
/// When the system's random generator does not work.
#[must_use]
pub fn fresh_recovery_codes() -> Vec<Secret> {
    let code = |_| {
        let mut bytes = [0; 10];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the system's random generator works");
        let letters = BASE32.encode(&bytes).to_ascii_lowercase();
        let groups: Vec<&str> = (0..4).map(|at| &letters[at * 4..at * 4 + 4]).collect();
        Secret::new(groups.join("-"))
    };
    (0..RECOVERY_CODES).map(code).collect()
}

/// What a person gave as a second factor.
pub enum Given {
    /// A code of an authenticator app.
    Code(u32),
    /// What may be a recovery code.
    Recovery(Secret),
    /// What can be neither.
    Neither,
}

/// Reads what a person gave, with blanks and dashes wherever they like.
#[must_use]
pub fn read(typed: &Secret) -> Given {
    let bare = bare(typed);
    let letters = bare.expose();
    match letters.len() {
        6 if letters.bytes().all(|byte| byte.is_ascii_digit()) => {
            letters.parse().map_or(Given::Neither, Given::Code)
        }
        16 if letters.is_ascii() => Given::Recovery(bare),
        _ => Given::Neither,
    }
}

/// A code without what people put between its letters.
#[must_use]
pub fn bare(typed: &Secret) -> Secret {
    let letters = typed.expose().chars().take(TYPED_MAX);
    let kept = letters.filter(|letter| !letter.is_whitespace() && *letter != '-');
    Secret::new(
        kept.map(|letter| letter.to_ascii_lowercase())
            .collect::<String>(),
    )
}

/// The letters by which a secret is typed into an app.
#[must_use]
pub fn letters(secret: &[u8]) -> Secret {
    Secret::new(BASE32_NOPAD.encode(secret))
}

/// The address that apps read from a picture (`otpauth`, as Google's authenticator defines it).
#[must_use]
pub fn url(secret: &[u8], email: &str) -> Secret {
    let account: String = form_urlencoded::byte_serialize(email.as_bytes()).collect();
    Secret::new(format!(
        "otpauth://totp/Waxwing:{account}?secret={}&issuer=Waxwing",
        letters(secret).expose()
    ))
}

/// The step of time whose code this is; `None` for a wrong one. All that come into question are tried, so that a wrong
/// code takes as long as a right one.
#[must_use]
pub fn step_of(secret: &[u8], given: u32, now: Timestamp) -> Option<i64> {
    let mut found = None;
    for step in around(now) {
        if code(secret, step) ^ given == 0 {
            found = Some(step);
        }
    }
    found
}

fn around(now: Timestamp) -> RangeInclusive<i64> {
    let present = now.micros().div_euclid(1_000_000).div_euclid(STEP);
    present - DRIFT..=present + DRIFT
}

/// The code of a step (RFC 4226, 5.3).
fn code(secret: &[u8], step: i64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes[bytes.len() - 1] & 0x0f);
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    (u32::from_be_bytes(word) & 0x7fff_ffff) % MODULUS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of the test values of RFC 6238, appendix B.
    const RFC: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_standard() {
        // Its codes have eight digits; ours are the last six.
        let values = [
            (59, 287_082),
            (1_111_111_109, 81_804),
            (1_111_111_111, 50_471),
            (1_234_567_890, 5_924),
            (2_000_000_000, 279_037),
            (20_000_000_000, 353_130),
        ];
        for (seconds, wanted) in values {
            let now = Timestamp::from_seconds(seconds);
            assert_eq!(code(RFC, seconds / STEP), wanted, "{seconds}");
            assert_eq!(step_of(RFC, wanted, now), Some(seconds / STEP));
        }
    }

    #[test]
    fn a_code_is_good_for_the_step_before_and_after() {
        let at = |seconds| step_of(RFC, 287_082, Timestamp::from_seconds(seconds));
        assert_eq!(at(0), Some(1));
        assert_eq!(at(89), Some(1));
        assert_eq!(at(90), None);
        assert_eq!(at(-1), None);
        assert_eq!(step_of(RFC, 287_083, Timestamp::from_seconds(59)), None);
    }

    #[test]
    fn what_people_type_is_read() {
        let read = |text: &str| read(&Secret::new(text));
        assert!(matches!(read(" 081 804 "), Given::Code(81_804)));
        let code = fresh_recovery_codes().remove(0);
        let typed = code.expose().to_uppercase().replace('-', " ");
        let Given::Recovery(bare) = read(&typed) else {
            panic!("{typed}");
        };
        assert_eq!(bare.expose(), code.expose().replace('-', ""));
        for bad in [
            "",
            "12345",
            "1234567",
            "１２３４５６",
            &"1".repeat(100),
            "ünïcödé-ünïcödé",
        ] {
            assert!(matches!(read(bad), Given::Neither), "{bad}");
        }
    }

    #[test]
    fn apps_get_the_secret_as_an_address() {
        let url = url(RFC, "ada+x@example.com");
        assert_eq!(
            url.expose(),
            "otpauth://totp/Waxwing:ada%2Bx%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Waxwing"
        );
        assert_ne!(fresh_secret(), fresh_secret());
    }
}
