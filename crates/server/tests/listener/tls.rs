//! TLS from files that change.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use server::listener::{Reason, Tls, TlsFiles};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};
use wire::native::problem::Code;

use crate::harness::{PATIENCE, SHORT, Server, app, assert_problem};

const LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A folder with a certificate for localhost and its key.
struct Files {
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = write_pair(folder.path());
        Self { folder, certificate }
    }

    fn names(&self) -> TlsFiles {
        let path = |name| self.folder.path().join(name);
        TlsFiles { certificates: path("cert.pem"), key: path("key.pem") }
    }

    fn tls(&self) -> Arc<Tls> {
        Tls::load(self.names()).unwrap()
    }
}

fn write_pair(folder: &Path) -> CertificateDer<'static> {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), pair.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    pair.cert.into()
}

async fn connect(
    server: &Server,
    trusted: &CertificateDer<'static>,
    alpn: &[&str],
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
}

async fn trusts(server: &Server, certificate: &CertificateDer<'static>) -> bool {
    connect(server, certificate, &[], &rustls::version::TLS13).await.is_ok()
}

#[tokio::test]
async fn both_protocols_are_spoken_over_both_versions() {
    let files = Files::new();
    let server = Server::start(app(), |settings| settings.tls = Some(files.tls())).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = connect(&server, &files.certificate, &["http/1.1"], version).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream.write_all(LAST).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("hello"), "{answer}");

        let stream = connect(&server, &files.certificate, &["h2", "http/1.1"], version).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut client, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        tokio::spawn(connection);
        let mut request = server.request("POST", "/echo", "secret");
        *request.uri_mut() = format!("https://localhost:{}/echo", server.address.port()).parse().unwrap();
        request.headers_mut().remove("host");
        let response = client.send_request(request).await.unwrap();
        assert_eq!(crate::harness::text(response).await, "secret");
    }
    assert_eq!(server.stats.refused(Reason::Handshake), 0);
    server.finish().await;
}

#[tokio::test]
async fn plain_http_where_tls_is_spoken_is_told_so() {
    let files = Files::new();
    let server = Server::start(app(), |settings| settings.tls = Some(files.tls())).await;
    let answer = server.exchange(LAST).await;
    assert_problem(&answer, 400, "BW-1001");
    assert!(answer.contains("https://"), "{answer}");
    assert_eq!(server.stats.refused(Reason::NotTls), 1);
}

#[tokio::test]
async fn a_handshake_that_does_not_begin_does_not_end_or_is_none_is_ended() {
    let files = Files::new();
    let silent = Server::start(app(), |settings| {
        settings.tls = Some(files.tls());
        settings.limits.first_bytes = SHORT;
    })
    .await;
    assert_problem(&silent.exchange("").await, 408, "BW-1013");
    assert_eq!(silent.stats.refused(Reason::FirstBytes), 1);

    let server = Server::start(app(), |settings| {
        settings.tls = Some(files.tls());
        settings.limits.tls_handshake = SHORT;
    })
    .await;
    // A record that promises 512 bytes.
    assert_eq!(server.exchange(b"\x16\x03\x01\x02\x00").await, "");
    assert_eq!(server.stats.refused(Reason::HandshakeTimeout), 1);

    let server = Server::start(app(), |settings| settings.tls = Some(files.tls())).await;
    let mut stream = server.connect().await;
    stream.write_all(b"\x16nonsense nonsense nonsense").await.unwrap();
    server.refused(Reason::Handshake).await;
}

#[tokio::test]
async fn changed_files_are_used_and_a_bad_pair_is_not() {
    let files = Files::new();
    let server = Server::start(app(), |settings| {
        settings.tls = Some(files.tls());
        settings.tls_watch = Duration::from_millis(2);
    })
    .await;
    assert!(trusts(&server, &files.certificate).await);

    let old = connect(&server, &files.certificate, &[], &rustls::version::TLS13).await;
    let new = write_pair(files.folder.path());
    let changed = async {
        while !trusts(&server, &new).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.expect("the new pair is used");
    assert!(!trusts(&server, &files.certificate).await);
    // A connection that exists goes on.
    let mut old = old.unwrap();
    old.write_all(LAST).await.unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn reload_keeps_the_old_pair_where_the_new_one_cannot_be_used() {
    let files = Files::new();
    let tls = files.tls();
    let server = Server::start(app(), |settings| {
        settings.tls = Some(tls.clone());
        settings.tls_watch = PATIENCE;
    })
    .await;
    let other = tempfile::tempdir().unwrap();
    write_pair(other.path());

    fs::copy(other.path().join("key.pem"), files.folder.path().join("key.pem")).unwrap();
    assert_eq!(tls.reload().unwrap_err().code(), Code::CertificateUnusable, "half of a pair");
    assert!(trusts(&server, &files.certificate).await);
    fs::write(files.folder.path().join("cert.pem"), "").unwrap();
    assert_eq!(tls.reload().unwrap_err().code(), Code::CertificateUnreadable, "an empty file");
    assert!(trusts(&server, &files.certificate).await);

    let new = write_pair(files.folder.path());
    tls.reload().unwrap();
    assert!(trusts(&server, &new).await);
}

#[test]
fn a_file_that_is_missing_or_no_pem_is_named() {
    let files = Files::new();
    let TlsFiles { certificates, key } = files.names();
    let load = |certificates: &Path, key: &Path| {
        Tls::load(TlsFiles { certificates: certificates.to_owned(), key: key.to_owned() }).unwrap_err()
    };
    let missing = files.folder.path().join("missing.pem");
    let noise = files.folder.path().join("noise.pem");
    fs::write(&noise, [0xff; 100]).unwrap();
    for (problem, file) in [
        (load(&missing, &key), &missing),
        (load(&certificates, &missing), &missing),
        (load(&noise, &key), &noise),
        (load(&certificates, &noise), &noise),
        (load(&key, &key), &key),
        (load(&certificates, &certificates), &certificates),
    ] {
        assert_eq!(problem.code(), Code::CertificateUnreadable, "{problem}");
        assert!(problem.detail().contains(&file.display().to_string()), "{problem}");
    }
    assert!(!format!("{:?}", files.tls()).contains("PRIVATE"), "no key in a log");
}
