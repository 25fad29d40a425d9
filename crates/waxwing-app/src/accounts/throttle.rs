//! How often somebody may try to log in: by address, by account, and by both. In the process only, so that it works
//! whatever else does not.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failed logins of one address: three in a minute.
const BY_ADDRESS: Limit = Limit {
    failures: 3,
    within: Duration::from_secs(60),
};
/// Failed logins to one account, of all addresses that never got in, or of one that did: ten in a quarter of an hour.
const BY_ACCOUNT: Limit = Limit {
    failures: 10,
    within: Duration::from_secs(15 * 60),
};
/// What somebody does whom nobody knows yet (making accounts, using links), good or not: twenty times in ten minutes.
const BY_UNKNOWN: Limit = Limit {
    failures: 20,
    within: Duration::from_secs(10 * 60),
};
/// Entries of each kind; beyond, those that no longer count are dropped, then all.
const KEPT_MAX: usize = 10_000;
/// How long an address that got into an account keeps a count of its own.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);

#[derive(Clone, Copy)]
struct Limit {
    failures: usize,
    within: Duration,
}

/// A keyed hash of the account's address: nothing here tells who it is.
pub type AccountKey = Vec<u8>;

/// The counts.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    addresses: HashMap<IpAddr, VecDeque<Instant>>,
    /// From addresses that never got in: a stranger's failures must not lock the right person out.
    strangers: HashMap<AccountKey, VecDeque<Instant>>,
    acquainted: HashMap<(AccountKey, IpAddr), VecDeque<Instant>>,
    known: HashMap<(AccountKey, IpAddr), Instant>,
    unknown: HashMap<IpAddr, VecDeque<Instant>>,
}

impl Throttle {
    /// How long to wait before another try, `None` when it may be now. A try that may be counts as failed until
    /// [`Throttle::succeeded`]: many at once do not slip through.
    pub fn try_now(&self, account: &AccountKey, address: IpAddr, now: Instant) -> Option<Duration> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        let pair = (account.clone(), address);
        let known = counts.known.get(&pair).is_some_and(|until| *until > now);
        let by_address = wait(counts.addresses.get(&address), BY_ADDRESS, now);
        let by_account = if known {
            wait(counts.acquainted.get(&pair), BY_ACCOUNT, now)
        } else {
            wait(counts.strangers.get(account), BY_ACCOUNT, now)
        };
        if let Some(wait) = by_address.into_iter().chain(by_account).max() {
            return Some(wait);
        }
        note(&mut counts.addresses, address, BY_ADDRESS, now);
        if known {
            note(&mut counts.acquainted, pair, BY_ACCOUNT, now);
        } else {
            note(&mut counts.strangers, account.clone(), BY_ACCOUNT, now);
        }
        None
    }

    /// The same for what needs no account: every try counts, good or not.
    pub fn try_unknown(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        let wait = wait(counts.unknown.get(&address), BY_UNKNOWN, now);
        if wait.is_none() {
            note(&mut counts.unknown, address, BY_UNKNOWN, now);
        }
        wait
    }

    /// The try was good: it does not count, and the address is known to the account.
    pub fn succeeded(&self, account: &AccountKey, address: IpAddr, now: Instant) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        let pair = (account.clone(), address);
        if let Some(tries) = counts.addresses.get_mut(&address) {
            tries.pop_back();
        }
        let known = counts.known.get(&pair).is_some_and(|until| *until > now);
        if known {
            counts.acquainted.remove(&pair);
        } else if let Some(tries) = counts.strangers.get_mut(account) {
            tries.pop_back();
        }
        if counts.known.len() >= KEPT_MAX {
            counts.known.retain(|_, until| *until > now);
            if counts.known.len() >= KEPT_MAX {
                counts.known.clear();
            }
        }
        counts.known.insert(pair, now + KNOWN_FOR);
    }
}

/// One house has a whole network of IPv6 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

fn wait(tries: Option<&VecDeque<Instant>>, limit: Limit, now: Instant) -> Option<Duration> {
    let tries = tries?;
    let oldest = tries.len().checked_sub(limit.failures)?;
    let free_at = *tries.get(oldest)? + limit.within;
    (free_at > now).then(|| free_at - now)
}

fn note<K: Hash + Eq>(
    counts: &mut HashMap<K, VecDeque<Instant>>,
    key: K,
    limit: Limit,
    now: Instant,
) {
    if counts.len() >= KEPT_MAX && !counts.contains_key(&key) {
        counts.retain(|_, tries| tries.back().is_some_and(|last| *last + limit.within > now));
        if counts.len() >= KEPT_MAX {
            counts.clear();
        }
    }
    let tries = counts.entry(key).or_default();
    tries.push_back(now);
    while tries.len() > limit.failures {
        tries.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn account(n: u8) -> AccountKey {
        vec![n]
    }

    #[test]
    fn an_address_has_three_tries_a_minute() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for n in 0..3 {
            assert_eq!(throttle.try_now(&account(n), address(1), start), None);
        }
        let later = start + Duration::from_secs(20);
        let wait = throttle.try_now(&account(9), address(1), later);
        assert_eq!(wait, Some(Duration::from_secs(40)));
        assert_eq!(throttle.try_now(&account(9), address(2), later), None);
        let over = start + Duration::from_secs(60);
        assert_eq!(throttle.try_now(&account(9), address(1), over), None);
    }

    #[test]
    fn strangers_are_stopped_and_do_not_lock_the_right_person_out() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let ada = account(1);
        assert_eq!(throttle.try_now(&ada, address(1), start), None);
        throttle.succeeded(&ada, address(1), start);
        for n in 10..20 {
            assert_eq!(throttle.try_now(&ada, address(n), start), None, "{n}");
        }
        assert!(throttle.try_now(&ada, address(99), start).is_some());
        assert_eq!(throttle.try_now(&ada, address(1), start), None);
        let quarter = start + Duration::from_secs(15 * 60);
        assert_eq!(throttle.try_now(&ada, address(99), quarter), None);
    }

    #[test]
    fn good_tries_do_not_count() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..50 {
            assert_eq!(throttle.try_now(&account(1), address(1), start), None);
            throttle.succeeded(&account(1), address(1), start);
        }
    }

    #[test]
    fn whom_nobody_knows_does_not_make_accounts_without_end() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for n in 0..20 {
            assert_eq!(throttle.try_unknown(address(1), start), None, "{n}");
        }
        assert!(throttle.try_unknown(address(1), start).is_some());
        assert_eq!(throttle.try_unknown(address(2), start), None);
        let later = start + Duration::from_secs(10 * 60);
        assert_eq!(throttle.try_unknown(address(1), later), None);
    }

    #[test]
    fn a_network_counts_as_one_and_the_memory_has_an_end() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for n in 0..3_u16 {
            let one = IpAddr::from([0x2001, 0xdb8, 0, 7, n, 0, 0, 1]);
            assert_eq!(throttle.try_now(&account(1), one, start), None);
        }
        let other = IpAddr::from([0x2001, 0xdb8, 0, 7, 9, 9, 9, 9]);
        assert!(throttle.try_now(&account(2), other, start).is_some());
        for n in 0..=u32::try_from(KEPT_MAX).unwrap() {
            let one = IpAddr::from(n.to_be_bytes());
            throttle.try_now(&n.to_be_bytes().to_vec(), one, start);
        }
        let counts = throttle.0.lock().unwrap();
        assert!(counts.addresses.len() <= KEPT_MAX && counts.strangers.len() <= KEPT_MAX);
    }
}
