//! How are `clientCertificates` and a route's `mtls` read?

use super::x509::X509;
use super::{Accepted, Authority, Certificates, algorithm_of_key, pem, shapes};
use crate::document::{Field, quoted};
use crate::guards::identity::config::identity_header_name;
use crate::guards::identity::config::shapes::BECAUSE;
use crate::guards::identity::rules::{Place, Providers};
use crate::http::Authority as Host;
use crate::http::passes_for;
use crate::limits;

/// Reads `clientCertificates` into `providers`.
pub fn read(field: &Field<'_>, providers: &mut Providers) {
    let mut certificates = Certificates::default();
    if let Some(section) = field.section(&shapes::CLIENT_CERTIFICATES) {
        if let Some(field) = section.get("authorities") {
            certificates.authorities = authorities(&field).unwrap_or_default();
        }
        if let Some(field) = section.get("validatedByProxy") {
            field.section(&BECAUSE).and_then(|section| section.get("because")?.text());
        }
        if !section.has("authorities") && !section.has("validatedByProxy") {
            section.error(
                "nobody vouches for certificates",
                "write `authorities`, or `validatedByProxy: {because: \"…\"}` where the listener has a `validation_context`",
            );
        }
        certificates.header = section.get("forwardIdentityHeader").and_then(|field| {
            let name = identity_header_name(&field)?;
            let read = |place: &Place| matches!(place, Place::Header { name: other, .. } if passes_for(other.as_bytes(), &name));
            if providers.places().any(read) {
                field.error(format!("{} is a header that a credential is read from", quoted(&name)), "choose another one");
            }
            Some(name)
        });
    }
    providers.identity_headers.extend(certificates.header.clone());
    providers.identity_headers.sort_unstable();
    providers.identity_headers.dedup();
    providers.certificates = Some(certificates);
}

fn authorities(field: &Field<'_>) -> Option<Vec<Authority>> {
    let text = field.text()?;
    let Some(blocks) = pem::all(text.as_bytes()) else {
        field.error(
            "not certificates as PEM",
            "`-----BEGIN CERTIFICATE-----`, lines of base64, `-----END CERTIFICATE-----`, and nothing else",
        );
        return None;
    };
    if blocks.len() > limits::CERTIFICATE_AUTHORITIES {
        field.error(format!("more than {} certificates", limits::CERTIFICATE_AUTHORITIES), "");
        return None;
    }
    let mut authorities = Vec::new();
    for (index, der) in blocks.iter().enumerate() {
        let Some(certificate) = X509::parse(der) else {
            field.error(format!("certificate {index} cannot be read"), "X.509 version 3, in DER");
            return None;
        };
        if !certificate.is_authority {
            field.error(
                format!("certificate {index} is no authority's"),
                "`basicConstraints` must say so (RFC 5280 §4.2.1.9)",
            );
            return None;
        }
        if !certificate.for_clients {
            field.error(
                format!("certificate {index} may not issue for clients"),
                "its `extKeyUsage` confines what it issues, and lacks `clientAuth`",
            );
            return None;
        }
        if !algorithm_of_key(certificate.key) {
            field.error(
                format!("certificate {index} has a key of a kind that is not taken"),
                "RSA, or ECDSA on a NIST curve",
            );
            return None;
        }
        authorities.push(Authority {
            subject: certificate.subject.into(),
            key: certificate.key.into(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        });
    }
    Some(authorities)
}

/// Reads a route's `mtls`.
pub fn read_route(field: &Field<'_>, providers: &Providers) -> Option<Accepted> {
    let section = field.section(&shapes::MTLS)?;
    if providers.certificates.is_none() {
        field.error(
            "nobody vouches for certificates",
            "write `clientCertificates` at the top of the document",
        );
        return None;
    }
    if section.present().is_empty() {
        section.error("nobody's certificate", "write `spiffe` or `sans`: whose certificates the route takes");
        return None;
    }
    let mut accepted = Accepted::default();
    let mut whole = true;
    for element in section.get("spiffe").map_or(Some(Vec::new()), |list| list.short_list())? {
        whole &= spiffe(&element, &mut accepted).is_some();
    }
    for element in section.get("sans").map_or(Some(Vec::new()), |list| list.short_list())? {
        whole &= san(&element, &mut accepted).is_some();
    }
    whole.then_some(accepted)
}

/// SPIFFE-ID §2: `spiffe://`, a trust domain in lower case, a path of plain segments.
fn spiffe(field: &Field<'_>, accepted: &mut Accepted) -> Option<()> {
    let text = field.text()?;
    let (id, below) = text.strip_suffix("/*").map_or((text, false), |id| (id, true));
    let domain_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let path_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let mut parts = id.strip_prefix("spiffe://").unwrap_or_default().split('/');
    let domain = parts.next().is_some_and(|domain| !domain.is_empty() && domain.bytes().all(domain_byte));
    let plain = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(path_byte);
    if !domain || !parts.all(plain) || id.len() > limits::CERTIFICATE_NAME_BYTES {
        field.error(
            format!("{} is not a SPIFFE id", quoted(text)),
            "such as `spiffe://corp.example/ns/orders/sa/api`, or `spiffe://corp.example/ns/orders/*`",
        );
        return None;
    }
    if below {
        accepted.below.push(format!("{id}/").into());
    } else {
        accepted.uris.push(id.into());
    }
    Some(())
}

fn san(field: &Field<'_>, accepted: &mut Accepted) -> Option<()> {
    let text = field.text()?;
    if text.starts_with("spiffe://") {
        field.error("a SPIFFE id among `sans`", "it belongs under `spiffe`");
        return None;
    }
    if text.contains("://") {
        if text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b'*')) {
            accepted.uris.push(text.into());
            return Some(());
        }
        field.error(format!("{} is not a URI", quoted(text)), "the whole URI, without `*`");
        return None;
    }
    let (name, below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
    let host = !name.contains([':', '*', '[']) && Host::parse(name.as_bytes()).is_ok();
    if !host || name.ends_with('.') {
        field.error(
            format!("{} is not a DNS name", quoted(text)),
            "such as `orders.internal` or `*.partner.example`",
        );
        return None;
    }
    let name = name.to_ascii_lowercase();
    if below {
        accepted.domains.push(format!(".{name}").into());
    } else {
        accepted.dns.push(name.into());
    }
    Some(())
}
