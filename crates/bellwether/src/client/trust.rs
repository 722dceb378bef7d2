//! Whom to believe: the authority that was named, or those that the machine trusts.

use std::{fs, path::Path};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use wire::native::problem::{Code, Problem};

/// How TLS is spoken to a control plane.
pub(super) fn config(authority: Option<&Path>) -> Result<ClientConfig, Problem> {
    let roots = roots(authority)?;
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::new(Code::CertificateUnusable, error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The authorities of the named file, else the machine's.
pub(crate) fn roots(file: Option<&Path>) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        // One of the machine's many that cannot be read is no reason to give up.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let refused = |code, why: &str| Problem::new(code, format!("{} {why}", path.display())).at("tls_ca");
    let pem = fs::read(path)
        .map_err(|error| refused(Code::CertificateUnreadable, &format!("cannot be read: {error}")))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| refused(Code::CertificateUnreadable, "is not PEM"))?;
        roots
            .add(certificate)
            .map_err(|error| refused(Code::CertificateUnusable, &format!("is no authority: {error}")))?;
    }
    if roots.is_empty() {
        Err(refused(Code::CertificateUnreadable, "holds no PEM certificate"))
    } else {
        Ok(roots)
    }
}
