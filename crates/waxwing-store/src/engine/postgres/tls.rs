//! Encryption of the connections: `sslmode` and `sslrootcert` as libpq knows them, through rustls on ring.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};

use crate::engine::error::StoreError;

/// The words of `sslmode`. libpq's `allow` is missing: it encrypts only servers that insist.
const MODES: &str = "disable, prefer, require, verify-ca or verify-full";
/// The value of `sslrootcert` that stands for the certificates of the operating system.
const SYSTEM: &str = "system";

/// What the connection string asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Mode {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }
}

/// The settings of encryption in a connection string.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    mode: Option<String>,
    roots: Option<String>,
}

impl Wanted {
    /// Takes `sslmode` and `sslrootcert` out of a connection string: the driver knows neither all modes nor the file.
    pub(super) fn split(text: &str) -> (String, Self) {
        let mut wanted = Self::default();
        let rest = if text.contains("://") {
            wanted.split_url(text)
        } else {
            wanted.split_words(text)
        };
        (rest, wanted)
    }

    fn take(&mut self, name: &str, value: impl FnOnce() -> String) -> bool {
        match name {
            "sslmode" => self.mode = Some(value()),
            "sslrootcert" => self.roots = Some(value()),
            _ => return false,
        }
        true
    }

    fn split_url(&mut self, text: &str) -> String {
        let Some((front, query)) = text.split_once('?') else {
            return text.to_owned();
        };
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                !self.take(name, || percent_decoded(value))
            })
            .collect();
        match kept.is_empty() {
            true => front.to_owned(),
            false => format!("{front}?{}", kept.join("&")),
        }
    }

    /// `name = value name='a value'`, with `\` before quotes and itself.
    fn split_words(&mut self, text: &str) -> String {
        let mut kept = String::new();
        let mut rest = text.trim_start();
        while let Some((name, behind)) = rest.split_once('=') {
            let behind = behind.trim_start();
            let (value, length) = word(behind);
            if !self.take(name.trim(), || value) {
                kept.push_str(&format!("{}={} ", name.trim(), &behind[..length]));
            }
            rest = behind[length..].trim_start();
        }
        // What is no pair is the driver's to refuse.
        kept + rest
    }
}

/// A value at the beginning of a text, and how many bytes it takes there.
fn word(text: &str) -> (String, usize) {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return (value, at + 1),
            c if c.is_whitespace() && !quoted => return (value, at),
            c => value.push(c),
        }
    }
    (value, text.len())
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = match behind {
            [a, b, ..] if *first == b'%' => std::str::from_utf8(&[*a, *b])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How the connections of a pool are encrypted.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Reads what is wanted, tells the driver, and loads the certificates.
    ///
    /// As in libpq, `require` with a root certificate checks the signer, nothing is encrypted over a Unix socket, and
    /// `prefer` and `require` without one protect from listeners only. Unlike there, without `sslmode` nothing is
    /// encrypted to a loopback address, and `verify-full` takes the operating system's certificates when none are named.
    pub(super) fn new(
        wanted: &Wanted,
        config: &mut tokio_postgres::Config,
    ) -> Result<Self, StoreError> {
        let mode = match &wanted.mode {
            Some(word) => Mode::parse(word)
                .ok_or_else(|| StoreError::Driver(format!("sslmode is none of {MODES}")))?,
            None if at_home(config) => Mode::Disable,
            None => Mode::Prefer,
        };
        let local = config
            .get_hosts()
            .iter()
            .all(|host| matches!(host, Host::Unix(_)));
        config.ssl_mode(match mode {
            _ if local => SslMode::Disable,
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        Ok(Self {
            config: Arc::new(client_config(mode, wanted.roots.as_deref())?),
        })
    }
}

/// Whether all that is named is this machine.
fn at_home(config: &tokio_postgres::Config) -> bool {
    let loopback = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(loopback)
        && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn client_config(mode: Mode, roots: Option<&str>) -> Result<ClientConfig, StoreError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(mode, roots, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Driver(format!("TLS cannot be set up: {error}")))?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

fn verifier(
    mode: Mode,
    roots: Option<&str>,
    provider: &Arc<CryptoProvider>,
) -> Result<Verifier, StoreError> {
    let (store, listed) = match (mode, roots) {
        (Mode::VerifyCa, None | Some(SYSTEM)) => {
            return Err(StoreError::Driver(
                "sslmode=verify-ca needs sslrootcert, the file of the certificates that may sign: \
                 with those of the system anybody could be the server, so use verify-full"
                    .to_owned(),
            ));
        }
        (Mode::Require, Some(SYSTEM)) => {
            return Err(StoreError::Driver(
                "sslrootcert=system needs sslmode=verify-full".to_owned(),
            ));
        }
        (Mode::VerifyFull, None | Some(SYSTEM)) => (system_roots()?, Vec::new()),
        (Mode::Require | Mode::VerifyCa | Mode::VerifyFull, Some(file)) => roots_of(file.into())?,
        (Mode::Disable | Mode::Prefer, _) | (Mode::Require, None) => {
            return Ok(Verifier {
                chain: None,
                listed: Vec::new(),
                name: false,
                provider: Arc::clone(provider),
            });
        }
    };
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|error| StoreError::Driver(format!("sslrootcert cannot be used: {error}")))?;
    Ok(Verifier {
        chain: Some(chain),
        listed,
        name: mode == Mode::VerifyFull,
        provider: Arc::clone(provider),
    })
}

fn system_roots() -> Result<RootCertStore, StoreError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        return Err(StoreError::Driver(
            "sslmode=verify-full: this system has no root certificates; name a file in sslrootcert"
                .to_owned(),
        ));
    }
    Ok(store)
}

fn roots_of(file: PathBuf) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), StoreError> {
    let unusable = |why: String| {
        let file = file.display();
        StoreError::Driver(format!("sslrootcert {file} cannot be used: {why}"))
    };
    let listed = CertificateDer::pem_file_iter(&file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in &listed {
        store
            .add(certificate.clone())
            .map_err(|error| unusable(error.to_string()))?;
    }
    if listed.is_empty() {
        return Err(unusable("it holds no certificate in PEM form".to_owned()));
    }
    Ok((store, listed))
}

/// Checks as much of a server's certificate as was asked for. That the server has its key is always checked.
#[derive(Debug)]
struct Verifier {
    /// None: any certificate will do.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of the file.
    listed: Vec<CertificateDer<'static>>,
    /// Whether the certificate has to name the host.
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let checked =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            // The name comes last: all else is right.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            // Usual for self-signed servers: the certificate calls itself an authority, which no server's may, and
            // stands in the file itself. Its time was checked before that.
            Err(TlsError::InvalidCertificate(CertificateError::Other(_)))
                if self.listed.iter().any(|listed| listed == end_entity) =>
            {
                if self.name {
                    let parsed = ParsedCertificate::try_from(end_entity)?;
                    rustls::client::verify_server_name(&parsed, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Why TLS failed, for people; `None` for an error of another kind.
pub(super) fn reason(error: &tokio_postgres::Error) -> Option<String> {
    let mut source = std::error::Error::source(error);
    let mut words = None;
    while let Some(cause) = source {
        let io = cause.downcast_ref::<std::io::Error>();
        let tls = cause
            .downcast_ref::<TlsError>()
            .or_else(|| io.and_then(|io| io.get_ref()?.downcast_ref::<TlsError>()));
        if let Some(tls) = tls {
            return Some(explained(tls));
        }
        words = Some(cause.to_string());
        source = cause.source();
    }
    // The driver's own: it has no type.
    match words.as_deref() {
        Some("server does not support TLS") => {
            Some("PostgreSQL offers no TLS, and sslmode asks for it: set ssl=on there".to_owned())
        }
        Some("no hostname provided for TLS handshake") => Some(
            "sslmode asks for TLS, which needs a host name in the connection string".to_owned(),
        ),
        _ => None,
    }
}

fn explained(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the certificate of PostgreSQL does not name the host of the connection string \
              (sslmode=verify-full)"
            .to_owned(),
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the certificate of PostgreSQL is signed by none of those in sslrootcert".to_owned()
        }
        TlsError::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the certificate of PostgreSQL has expired".to_owned(),
        other => format!("the TLS handshake with PostgreSQL failed: {other}"),
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Connect;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Connect, Self::Error> {
        Ok(Connect {
            connector: TlsConnector::from(Arc::clone(&self.config)),
            domain: domain.to_owned(),
        })
    }
}

/// One handshake to be.
pub(crate) struct Connect {
    connector: TlsConnector,
    domain: String,
}

impl<S> TlsConnect<S> for Connect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Stream<S>, std::io::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            // The driver asks for a handshake only where there is a name. It may be one that no certificate can hold.
            let name = ServerName::try_from(self.domain).map_err(std::io::Error::other)?;
            let stream = self.connector.connect(name, stream).await?;
            Ok(Stream(Box::new(stream)))
        })
    }
}

/// An encrypted connection.
pub(crate) struct Stream<S>(Box<client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_taken_out_and_all_else_stays() {
        let cases = [
            ("postgres://u:p@h/d", "postgres://u:p@h/d", None, None),
            (
                "postgres://h/d?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fa%20b%2Fca.pem",
                "postgres://h/d?connect_timeout=3",
                Some("verify-full"),
                Some("/a b/ca.pem"),
            ),
            (
                "postgres://h/d?sslmode=require",
                "postgres://h/d",
                Some("require"),
                None,
            ),
            (
                r"host = h sslrootcert='/a\'b c' password='x=\'y z' sslmode=verify-ca",
                r"host=h password='x=\'y z' ",
                Some("verify-ca"),
                Some("/a'b c"),
            ),
        ];
        for (text, rest, mode, roots) in cases {
            let wanted = Wanted {
                mode: mode.map(str::to_owned),
                roots: roots.map(str::to_owned),
            };
            assert_eq!(Wanted::split(text), (rest.to_owned(), wanted), "{text}");
        }
    }

    #[test]
    fn what_is_encrypted() {
        let cases = [
            ("postgres://h/d", SslMode::Prefer),
            ("postgres://127.0.0.1/d", SslMode::Disable),
            ("postgres://[::1]/d", SslMode::Disable),
            ("postgres://localhost,h/d", SslMode::Prefer),
            ("postgres://127.0.0.1/d?sslmode=prefer", SslMode::Prefer),
            ("postgres://127.0.0.1/d?sslmode=require", SslMode::Require),
            ("host=/run/postgresql sslmode=require", SslMode::Disable),
            ("postgres://h/d?sslmode=disable", SslMode::Disable),
        ];
        for (text, mode) in cases {
            let (rest, wanted) = Wanted::split(text);
            let mut config: tokio_postgres::Config = rest.parse().unwrap();
            assert!(Tls::new(&wanted, &mut config).is_ok(), "{text}");
            assert_eq!(config.get_ssl_mode(), mode, "{text}");
        }
    }

    #[test]
    fn settings_that_protect_from_nothing_are_refused() {
        for text in [
            "postgres://h/d?sslmode=allow",
            "postgres://h/d?sslmode=",
            "postgres://h/d?sslmode=verify-ca",
            "postgres://h/d?sslmode=verify-ca&sslrootcert=system",
            "postgres://h/d?sslmode=require&sslrootcert=system",
            "postgres://h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
        ] {
            let (rest, wanted) = Wanted::split(text);
            let mut config: tokio_postgres::Config = rest.parse().unwrap();
            assert!(Tls::new(&wanted, &mut config).is_err(), "{text}");
        }
    }
}
