//! Which addresses may be called when somebody else names the URL: a person of a tenant, a webhook, a provider's answer.
//!
//! Two walls. [`Guard::check`] reads the URL as the client will read it and refuses what is wrong by its form. The client
//! for such URLs resolves names with a resolver that refuses a name with any address inside, and connects to exactly the
//! addresses that were looked at; a name that changes its mind between two answers gains nothing.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Ports that a foreign URL may name.
const PORTS: [u16; 3] = [443, 80, 8443];
/// Characters of a foreign URL.
const URL_MAX: usize = 4_096;

/// Why a URL is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL, or not of HTTP.
    #[error("it is not an http or https address")]
    NotHttp,
    /// It has a user or a password.
    #[error("it must not have a user or a password")]
    Credentials,
    /// Another port than 443, 80 and 8443.
    #[error("its port is not allowed: use 443, 80 or 8443")]
    Port,
    /// An address or name that is not on the public internet.
    #[error("its host is not on the public internet")]
    Inside,
}

/// The origins that may be called although they are inside, because the operator named them.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Arc<[String]>,
}

/// A URL that may be called.
#[derive(Debug, Clone)]
pub struct Checked {
    pub(super) url: Url,
    /// The operator named its origin: it is not looked at any further.
    pub(super) trusted: bool,
}

impl Guard {
    /// A guard that lets the origins of these URLs pass: those of the operator's settings, never of a tenant's.
    #[must_use]
    pub fn allowing<'a>(urls: impl IntoIterator<Item = &'a str>) -> Self {
        let origins = urls
            .into_iter()
            .filter_map(|url| Url::parse(url).ok())
            .map(|url| url.origin().ascii_serialization());
        Self {
            allowed: origins.collect(),
        }
    }

    /// Looks at a URL by its form. What its name resolves to is looked at when it is called.
    ///
    /// # Errors
    /// Why it may not be called.
    pub fn check(&self, url: &str) -> Result<Checked, Refused> {
        if url.len() > URL_MAX {
            return Err(Refused::NotHttp);
        }
        let url = Url::parse(url).map_err(|_| Refused::NotHttp)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::NotHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        if self.allowed.contains(&url.origin().ascii_serialization()) {
            return Ok(Checked { url, trusted: true });
        }
        if !url
            .port_or_known_default()
            .is_some_and(|port| PORTS.contains(&port))
        {
            return Err(Refused::Port);
        }
        let host = url.host_str().ok_or(Refused::NotHttp)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let outside = match bare.parse::<IpAddr>() {
            Ok(address) => is_public(address),
            Err(_) => is_public_name(host),
        };
        if outside {
            Ok(Checked {
                url,
                trusted: false,
            })
        } else {
            Err(Refused::Inside)
        }
    }
}

/// A name that may stand in the public DNS: with a dot, and not of a zone that is inside by definition.
fn is_public_name(host: &str) -> bool {
    const INSIDE: [&str; 7] = [
        "localhost",
        "local",
        "internal",
        "intranet",
        "lan",
        "home.arpa",
        "localdomain",
    ];
    let name = host.strip_suffix('.').unwrap_or(host);
    let in_zone = |zone: &str| {
        name == zone
            || name
                .strip_suffix(zone)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    name.contains('.') && !INSIDE.into_iter().any(in_zone)
}

/// Whether an address is on the public internet (reliability: blocks of special use, also when they are wrapped into
/// IPv6).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, _, _)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let part = address.segments();
    let blocked = match part {
        // ::/96 with ::, ::1 and what was once IPv4-compatible; ::ffff:0:0/96, IPv4-mapped.
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] => true,
        // ::ffff:0:a.b.c.d, IPv4-translated.
        [0, 0, 0, 0, 0xffff, 0, _, _] => true,
        // NAT64, global and local.
        [0x64, 0xff9b, 0 | 1, ..] => true,
        // Discard-only.
        [0x100, 0, 0, 0, ..] => true,
        // Documentation, ORCHID, Teredo and the other special uses of 2001::/23.
        [0x2001, 0x0db8, ..] => true,
        [0x2001, second, ..] if second < 0x0200 => true,
        // 6to4.
        [0x2002, ..] => true,
        [0x3fff, second, ..] if second < 0x1000 => true,
        // Segment routing.
        [0x5f00, ..] => true,
        // Unique local, link-local, site-local, multicast.
        [first, ..] => first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80 || first >= 0xff00,
    };
    // Only 2000::/3 is given out.
    !blocked && part[0] & 0xe000 == 0x2000
}

/// How names are looked up.
type LookUp = dyn Fn(String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>
    + Send
    + Sync;

/// Resolves names and refuses those with an address inside.
#[derive(Clone)]
pub(super) struct PublicResolver(Arc<LookUp>);

impl fmt::Debug for PublicResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicResolver")
    }
}

/// A name has an address that is not on the public internet.
#[derive(Debug, thiserror::Error)]
#[error("the name leads inside")]
pub(super) struct LeadsInside;

impl PublicResolver {
    /// With the system's resolver.
    pub(super) fn of_system() -> Self {
        Self(Arc::new(|host| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        }))
    }
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let looking = (self.0)(name.as_str().to_owned());
        Box::pin(async move {
            let found = looking.await?;
            if found.is_empty() || !found.iter().all(|address| is_public(*address)) {
                return Err(LeadsInside.into());
            }
            let addresses = found
                .into_iter()
                .map(|address| SocketAddr::new(address, 0))
                .collect::<Vec<_>>();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an error of the client comes from [`PublicResolver`].
pub(super) fn leads_inside(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.is::<LeadsInside>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_inner_address_is_refused() {
        let inside = [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "0177.0.0.01",
            "127.0.0.1.",
            "127。0。0。1",
            "127.0.0.1",
            "①②⑦.⓪.⓪.①",
            "0",
            "0.0.0.0",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "0xa9fea9fe",
            "2852039166",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::127.0.0.1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:8.8.8.8]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::7f00:1]",
            "[100::1]",
            "[2001::1]",
            "[2001:db8::1]",
            "[2001:10::1]",
            "[2002:7f00:1::]",
            "[3fff::1]",
            "[5f00::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[4000::1]",
            "localhost",
            "localhost.",
            "LOCALHOST",
            "lOcAlHoSt",
            "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
            "a.localhost",
            "redis",
            "metadata",
            "metadata.google.internal",
            "metadata.google.internal.",
            "printer.local",
            "router.lan",
            "host.home.arpa",
        ];
        assert!(inside.len() >= 60);
        let guard = Guard::default();
        for host in inside {
            let url = format!("https://{host}/secret");
            assert!(guard.check(&url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_outside_may_be_called() {
        let guard = Guard::default();
        for url in [
            "https://example.com/a.jpg",
            "http://example.com/a.jpg",
            "https://example.com:8443/",
            "https://1.1.1.1/",
            "https://[2606:4700:4700::1111]/",
            "https://172.32.0.1/",
            "https://100.128.0.1/",
            "https://notlocalhost.com/",
            "https://xn--bcher-kva.example/",
        ] {
            assert!(guard.check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn the_form_of_a_url_is_checked() {
        let guard = Guard::default();
        let cases = [
            ("", Refused::NotHttp),
            ("example.com", Refused::NotHttp),
            ("file:///etc/passwd", Refused::NotHttp),
            ("ftp://example.com/", Refused::NotHttp),
            ("gopher://example.com/", Refused::NotHttp),
            ("javascript:alert(1)", Refused::NotHttp),
            ("https://user@example.com/", Refused::Credentials),
            ("https://user:pass@example.com/", Refused::Credentials),
            ("https://example.com@127.0.0.1/", Refused::Credentials),
            ("https://example.com:22/", Refused::Port),
            ("http://example.com:6379/", Refused::Port),
            ("https://example.com:0/", Refused::Port),
            ("http://127.0.0.1:80/", Refused::Inside),
        ];
        for (url, refused) in cases {
            assert_eq!(guard.check(url).unwrap_err(), refused, "{url}");
        }
        let long = format!("https://example.com/{}", "a".repeat(URL_MAX));
        assert_eq!(guard.check(&long).unwrap_err(), Refused::NotHttp);
    }

    #[test]
    fn only_the_operators_own_origins_are_excepted() {
        let guard = Guard::allowing(["http://127.0.0.1:4000/v25.0", "https://proxy.internal"]);
        assert!(
            guard
                .check("http://127.0.0.1:4000/other?x=1")
                .unwrap()
                .trusted
        );
        assert!(guard.check("https://proxy.internal/x").is_ok());
        for url in [
            "http://127.0.0.1:4001/",
            "https://127.0.0.1:4000/",
            "http://127.0.0.2:4000/",
            "http://proxy.internal/",
            "https://a.proxy.internal/",
            "http://user@127.0.0.1:4000/",
        ] {
            assert!(guard.check(url).is_err(), "{url}");
        }
        assert!(!guard.check("https://example.com/").unwrap().trusted);
    }

    async fn resolved(answers: &[&str]) -> Result<Vec<SocketAddr>, ()> {
        let answers: Vec<IpAddr> = answers
            .iter()
            .map(|answer| answer.parse().unwrap())
            .collect();
        let look: Arc<LookUp> = Arc::new(move |_| {
            let answers = answers.clone();
            Box::pin(async move { Ok(answers) })
        });
        let found = PublicResolver(look)
            .resolve("example.com".parse().unwrap())
            .await;
        found.map(Iterator::collect).map_err(|_| ())
    }

    #[tokio::test]
    async fn a_name_with_any_address_inside_is_refused() {
        assert_eq!(
            resolved(&["1.1.1.1", "2606:4700::1"]).await.unwrap().len(),
            2
        );
        assert!(resolved(&["1.1.1.1", "127.0.0.1"]).await.is_err());
        assert!(resolved(&["10.0.0.1"]).await.is_err());
        assert!(resolved(&["::ffff:10.0.0.1"]).await.is_err());
        assert!(resolved(&[]).await.is_err());
    }
}
