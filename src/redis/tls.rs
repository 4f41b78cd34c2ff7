//! Encrypted connections to Redis.

use redis::{Client, TlsCertificates};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::Redis;
use crate::words::Error;

impl Redis {
    /// Trusts the servers that these root certificates vouch for, in PEM, and no others. Default: those that
    /// the system trusts.
    ///
    /// Connections through a `rediss://` URL use the process's default provider of cryptography
    /// (`rustls::crypto::CryptoProvider`). If the program has installed none by the first connection,
    /// `aws-lc-rs` is installed.
    ///
    /// # Errors
    ///
    /// If this is no certificate in PEM, or the URL is not a `rediss://` one.
    pub fn with_root_certificate(mut self, pem: &[u8]) -> Result<Self, Error> {
        let rejected = || {
            Error::redis(
                "this is no root certificate in PEM for a rediss:// URL: pass the text from -----BEGIN \
                 CERTIFICATE----- on"
                    .to_owned(),
            )
        };
        if !pem.windows(BEGIN.len()).any(|part| part == BEGIN) {
            return Err(rejected());
        }
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(pem.to_vec()),
        };
        let info = self.client.get_connection_info().clone();
        self.client = Client::build_with_tls(info, certificates).map_err(|_| rejected())?;
        Ok(self)
    }
}

/// Installs a provider of cryptography for the process, if there is none. Without one rustls panics.
pub(super) fn provide_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may install one now, which is as good.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
