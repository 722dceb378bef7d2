//! TLS from two files, which may change while we run.
//!
//! Certificates are renewed far more often than servers are restarted, so the files are looked at
//! again and again, and read again when they have changed or when somebody says so (SIGHUP). Only the
//! certificate and key are swapped, for connections to come; those that exist go on. A pair that
//! cannot be used is logged and the one before is kept: an expired certificate is a smaller evil
//! than none.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;
use wire::native::problem::{Code, Problem};

/// The files with the certificate chain and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate first, then those that lead to the authority.
    pub certificates: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// More than any chain needs; a file of this name that is larger is not a certificate.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What tells that a file has changed: its time of modification and length.
type Fingerprint = [Option<(SystemTime, u64)>; 2];

/// A listener's TLS: versions 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
pub struct Tls {
    files: TlsFiles,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
    seen: Mutex<Fingerprint>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the key, nor anything that holds it.
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads both files and checks that they belong together.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, Problem> {
        let provider = Arc::new(ring::default_provider());
        let seen = fingerprint(&files);
        let pair = read(&files, &provider)?;
        let current = Arc::new(Current { pair: ArcSwap::from_pointee(pair) });
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| Problem::new(Code::CertificateUnusable, error.to_string()))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Arc::new(Self { files, current, acceptor, seen: Mutex::new(seen) }))
    }

    /// Reads both files again. On an error the pair before is kept.
    pub fn reload(&self) -> Result<(), Problem> {
        // Before reading, so that a change while we read is seen as a change.
        let seen = fingerprint(&self.files);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        let pair = read(&self.files, &Arc::new(ring::default_provider()))?;
        self.current.pair.store(Arc::new(pair));
        Ok(())
    }

    /// Reads the files again if they have changed since they were last read.
    fn reload_if_changed(&self) {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if fingerprint(&self.files) == seen {
            return;
        }
        let file = self.files.certificates.display();
        match self.reload() {
            Ok(()) => tracing::info!(%file, "certificate and key have changed and are in use"),
            // Each of two files is replaced in its turn: in between they do not fit.
            Err(problem) => {
                tracing::warn!(%file, %problem, "the new certificate is not used, the old one stays")
            }
        }
    }

    /// Looks at the files from time to time, for ever.
    pub(super) async fn watch(self: Arc<Self>, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tls = self.clone();
            // Files may be on a network that hangs. A panic is logged by its own hook.
            let _ = tokio::task::spawn_blocking(move || tls.reload_if_changed()).await;
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}

/// The pair in use; asked at each handshake.
#[derive(Debug)]
struct Current {
    pair: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.load_full())
    }
}

fn fingerprint(files: &TlsFiles) -> Fingerprint {
    [&files.certificates, &files.key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read(files: &TlsFiles, provider: &Arc<CryptoProvider>) -> Result<CertifiedKey, Problem> {
    let unreadable = |path: &Path, why: &dyn std::fmt::Display| {
        Problem::new(Code::CertificateUnreadable, format!("{}: {why}", path.display()))
    };
    let (chain_path, key_path) = (files.certificates.as_path(), files.key.as_path());
    let chain = contents(chain_path).map_err(|error| unreadable(chain_path, &error))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, pem::Error>>()
        .map_err(|error| unreadable(chain_path, &error))?;
    if chain.is_empty() {
        return Err(unreadable(chain_path, &"there is no CERTIFICATE in it"));
    }
    let key = contents(key_path).map_err(|error| unreadable(key_path, &error))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| match error {
        pem::Error::NoItemsFound => unreadable(key_path, &"there is no PRIVATE KEY in it"),
        error => unreadable(key_path, &error),
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        let (chain, key) = (chain_path.display(), key_path.display());
        Problem::new(Code::CertificateUnusable, format!("{chain} and {key}: {error}"))
    })
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1MiB"));
    }
    Ok(bytes)
}
