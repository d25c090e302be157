//! Whose certificate is that? Authorities and certificates for one test, made when it runs: no key is ever committed.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use ring::digest::{SHA256, digest};

/// A certificate and its private key.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    /// PKCS #8.
    key: Vec<u8>,
    /// Those that its holder shows behind it: of authorities between this one and one that is known.
    behind: Vec<Vec<u8>>,
}

/// An authority that issues them.
#[derive(Clone)]
pub struct Authority {
    /// Its own certificate and key.
    own: Certificate,
    name: String,
}

impl Authority {
    /// A new one, which signed its own certificate.
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = authority_params(name)?.self_signed(&key)?;
        let own =
            Certificate { der: certificate.der().to_vec(), key: key.serialize_der(), behind: Vec::new() };
        Ok(Self { own, name: name.to_owned() })
    }

    /// An authority below this one. Whoever it issues a certificate for shows its own behind that.
    pub fn issue_authority(&self, name: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority_params(&self.name)?, KeyPair::try_from(self.own.key.as_slice())?);
        let certificate = authority_params(name)?.signed_by(&key, &issuer)?;
        let der = certificate.der().to_vec();
        let behind = [core::slice::from_ref(&der), self.own.behind.as_slice()].concat();
        Ok(Self { own: Certificate { der, key: key.serialize_der(), behind }, name: name.to_owned() })
    }

    /// A certificate for a server that is called `host`.
    pub fn issue_server(&self, host: &str) -> Result<Certificate, rcgen::Error> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, host)
    }

    /// A certificate for a client. Two for one name are two: each has a key of its own.
    pub fn issue_client(&self, name: &str) -> Result<Certificate, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, name)
    }

    /// A certificate for a client with these URIs and DNS names as `subjectAltName`s.
    pub fn issue_named(
        &self,
        name: &str,
        uris: &[&str],
        hosts: &[&str],
    ) -> Result<Certificate, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into()?));
        }
        for host in hosts {
            params.subject_alt_names.push(SanType::DnsName((*host).try_into()?));
        }
        self.issue(params, name)
    }

    fn issue(&self, mut params: CertificateParams, name: &str) -> Result<Certificate, rcgen::Error> {
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority_params(&self.name)?, KeyPair::try_from(self.own.key.as_slice())?);
        let certificate = params.signed_by(&key, &issuer)?;
        let behind = self.own.behind.clone();
        Ok(Certificate { der: certificate.der().to_vec(), key: key.serialize_der(), behind })
    }

    /// One that somebody else made, for whoever trusts it: it can issue nothing.
    pub fn read(file: &Path) -> io::Result<Self> {
        let own = Certificate { der: unpem(file)?, key: Vec::new(), behind: Vec::new() };
        Ok(Self { own, name: String::new() })
    }

    /// Its certificate, for whoever trusts it.
    pub fn der(&self) -> &[u8] {
        &self.own.der
    }

    /// The same as PEM.
    pub fn to_pem(&self) -> String {
        self.own.to_pem()
    }
}

impl Certificate {
    /// One that somebody else made: `NAME.pem`, and its key as PKCS #8 in `NAME.key`.
    pub fn read(stem: &Path) -> io::Result<Self> {
        let (der, key) = (unpem(&stem.with_extension("pem"))?, unpem(&stem.with_extension("key"))?);
        Ok(Self { der, key, behind: Vec::new() })
    }

    /// The certificate's bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// It, and those that are shown behind it.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        core::iter::once(&self.der).chain(&self.behind).map(Vec::as_slice)
    }

    /// Its private key, as PKCS #8.
    pub fn key_der(&self) -> &[u8] {
        &self.key
    }

    /// The certificate as PEM.
    pub fn to_pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// Its private key as PEM.
    pub fn key_to_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    /// SHA-256 of the certificate in hexadecimal, as Envoy tells it.
    pub fn sha256_hex(&self) -> String {
        let digest = digest(&SHA256, &self.der);
        let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }

    /// The same as `x5t#S256` has it in a token's `cnf` (RFC 8705 §3.1): base64url without padding.
    pub fn x5t_s256(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.der))
    }
}

// A key stays out of what a failed test prints.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("sha256", &self.sha256_hex()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("name", &self.name).finish_non_exhaustive()
    }
}

fn authority_params(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

/// The one block of a PEM file.
fn unpem(file: &Path) -> io::Result<Vec<u8>> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    let digits: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(digits).map_err(io::Error::other)
}

/// RFC 7468: lines of 64 characters between two markers.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::{Authority, pem};

    #[test]
    fn each_certificate_has_a_digest_of_its_own_in_both_spellings() {
        let authority = Authority::new("ca").unwrap();
        let [one, other] = [(); 2].map(|()| authority.issue_client("alice").unwrap());
        assert_ne!(one.sha256_hex(), other.sha256_hex());
        assert_eq!((one.sha256_hex().len(), one.x5t_s256().len()), (64, 43));
        assert!(!format!("{one:?}").contains(&one.key_to_pem()[30..60]));
    }

    #[test]
    fn pem_has_short_lines() {
        let text = pem("X", &[0; 60]);
        let lines: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lines, [17, 64, 16, 15]);
    }
}
