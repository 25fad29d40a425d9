//! Deterministic randomness, message ids and trace ids.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Lock-free generator: SplitMix64 over a counter. Its output function is a bijection, so 64-bit values never repeat
/// within a run.
#[derive(Debug)]
pub(crate) struct Rng {
    seed: u64,
    counter: AtomicU64,
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function.
pub(crate) const fn mix(value: u64) -> u64 {
    let z = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A share in `[0, 1)` from 64 random bits.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
pub(crate) fn share(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            seed,
            counter: AtomicU64::new(1),
        }
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn next(&self) -> u64 {
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        mix(self.seed.wrapping_add(n.wrapping_mul(GAMMA)))
    }

    pub(crate) fn share(&self) -> f64 {
        share(self.next())
    }
}

/// Which way a message went; the id shows it (0x12 inbound, 0x11 outbound, meta.md section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the user to the business.
    Inbound,
    /// From the business to the user.
    Outbound,
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

/// Builds a message id with the layout measured on public samples: `1C 18 <len> <user> 15 02 00 <11|12> 18 <len> <key> 00`.
/// `user` is the phone in digits; the layout for a user without phone is not known, so the user id stands there.
pub(crate) fn wamid(user: &str, way: Way, random: u64) -> String {
    let user = &user.as_bytes()[..user.len().min(127)];
    let mut raw = Vec::with_capacity(user.len() + 32);
    raw.extend_from_slice(&[0x1c, 0x18, u8::try_from(user.len()).unwrap_or(127)]);
    raw.extend_from_slice(user);
    match way {
        Way::Inbound => {
            raw.extend_from_slice(&[0x15, 0x02, 0x00, 0x12, 0x18, 20]);
            raw.extend_from_slice(b"3A");
        }
        Way::Outbound => raw.extend_from_slice(&[0x15, 0x02, 0x00, 0x11, 0x18, 18]),
    }
    for byte in random.to_be_bytes() {
        push_hex(&mut raw, byte);
    }
    push_hex(&mut raw, mix(random).to_be_bytes()[0]);
    raw.push(0);
    let mut id = String::with_capacity(6 + raw.len().div_ceil(3) * 4);
    id.push_str("wamid.");
    STANDARD.encode_string(&raw, &mut id);
    id
}

/// Reads the user and the direction back from an id; `None` for ids of another make.
pub(crate) fn read_wamid(id: &str) -> Option<(String, Way)> {
    let raw = STANDARD.decode(id.strip_prefix("wamid.")?).ok()?;
    let [0x1c, 0x18, len, rest @ ..] = raw.as_slice() else {
        return None;
    };
    let (user, rest) = rest.split_at_checked(usize::from(*len))?;
    let way = match rest {
        [0x15, 0x02, 0x00, 0x12, ..] => Way::Inbound,
        [0x15, 0x02, 0x00, 0x11, ..] => Way::Outbound,
        _ => return None,
    };
    Some((String::from_utf8(user.to_vec()).ok()?, way))
}

const TRACE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// Fills a buffer with characters of Meta's trace id alphabet.
pub(crate) fn trace<const N: usize>(rng: &Rng) -> [u8; N] {
    let mut out = [0_u8; N];
    let mut bits = 0;
    for (i, slot) in out.iter_mut().enumerate() {
        if i % 10 == 0 {
            bits = rng.next();
        }
        *slot = TRACE[usize::try_from(bits & 63).unwrap_or(0)];
        bits >>= 6;
    }
    out
}

/// A decimal object id of 16 digits, as Meta's media and template ids have.
pub(crate) fn object_id(rng: &Rng) -> String {
    (1_000_000_000_000_000 + rng.next() % 9_000_000_000_000_000).to_string()
}

/// Digits of a phone however it was written.
pub(crate) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Whether a text has the form of a business-scoped user id: two capitals, a dot, 1 to 128 alphanumerics, with an
/// optional `ENT.` for parent ids (meta.md section 4.1).
pub(crate) fn is_user_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 4 || !bytes[..2].iter().all(u8::is_ascii_uppercase) || bytes[2] != b'.' {
        return false;
    }
    let rest = text[3..].strip_prefix("ENT.").unwrap_or(&text[3..]);
    (1..=128).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Rng, Way, is_user_id, read_wamid, trace, wamid};

    #[test]
    fn reads_ids_of_public_samples() {
        let outbound = "wamid.HBgLMTY1MDU1NTEyMzQVAgARGBJCOTIyNzMyNTIyMDkwMjMxREQA";
        let inbound = "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTMzMDU1RjEwQ0RGNDQ4NDcxNQA=";
        assert_eq!(
            read_wamid(outbound),
            Some(("16505551234".into(), Way::Outbound))
        );
        assert_eq!(
            read_wamid(inbound),
            Some(("16505551234".into(), Way::Inbound))
        );
        assert_eq!(read_wamid("wamid.xyzxyz=="), None);
        assert_eq!(read_wamid("gBGGFlA5FpafAgkOuJbRq54qwbM"), None);
    }

    #[test]
    fn writes_ids_of_the_same_shape_and_never_twice() {
        let rng = Rng::new(7);
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let id = wamid("16505551234", Way::Outbound, rng.next());
            assert_eq!(
                id.len(),
                "wamid.HBgLMTY1MDU1NTEyMzQVAgARGBJCOTIyNzMyNTIyMDkwMjMxREQA".len()
            );
            assert_eq!(read_wamid(&id), Some(("16505551234".into(), Way::Outbound)));
            assert!(seen.insert(id));
        }
        let id = wamid("16505551234", Way::Inbound, rng.next());
        assert_eq!(
            id.len(),
            "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTMzMDU1RjEwQ0RGNDQ4NDcxNQA=".len()
        );
    }

    #[test]
    fn knows_user_ids() {
        for good in [
            "US.13491208655302741918",
            "DE.a",
            "US.ENT.11815799212886844830",
        ] {
            assert!(is_user_id(good), "{good}");
        }
        for bad in ["uUS.1", "US.", "+16505551234", "US.12-3", "U.1", ""] {
            assert!(!is_user_id(bad), "{bad}");
        }
    }

    #[test]
    fn traces_differ() {
        let rng = Rng::new(1);
        assert_ne!(trace::<23>(&rng), trace::<23>(&rng));
    }
}
