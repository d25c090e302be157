//! How are client certificates written in a policy? These are the pages of the reference.

use crate::document::{Default, Key, Shape};
use crate::guards::identity::config::shapes::BECAUSE;

/// `clientCertificates`
pub static CLIENT_CERTIFICATES: Shape = Shape::new(
    "clientCertificates",
    "Who vouches for the certificates that clients show, for every route that takes them (`mtls`): `authorities`, `validatedByProxy`, or both. TLS proves \
            only that the client has the certificate's key. Either way a certificate holds only between its dates, has `clientAuth` if it has \
            extended key usages, and at most one URI; it is not asked whether it was revoked. Envoy tells certificates from 1.38 on; before it, whoever shows one and has no other credential is refused.",
    &[
        Key::new(
            "authorities",
            "string",
            Default::Is("none; then `validatedByProxy` must stand"),
            "Certificates of authorities as PEM, at most 16. The gateway itself checks that one of them issued the client's certificate, with its signature (RSA or ECDSA, \
             SHA-256 to SHA-512). A chain is not followed: of a client whose certificate an intermediate authority issued, that one must stand here, and its root need not; \
             else it is 401 `certificate_invalid`, and the audit event says that its issuer is none of these.",
        ),
        Key::new(
            "validatedByProxy",
            "map",
            Default::Is("none; then `authorities` must stand"),
            "The proxy has checked it. In Envoy: the listener's `validation_context` has `trusted_ca` and not `trust_chain_verification: ACCEPT_UNTRUSTED`, with which anybody's certificate \
             would be believed. Without a `validation_context` Envoy asks for no certificate, and nobody is identified.",
        )
        .nested(&BECAUSE),
        Key::new(
            "forwardIdentityHeader",
            "header name",
            Default::Is("none"),
            "The header in which the upstream gets the name by which the caller is known. What a client sends under this name is taken away on every route, open ones too.",
        ),
    ],
);

/// `routes[].authentication.mtls`
pub static MTLS: Shape = Shape::new(
    "routes[].authentication.mtls",
    "Whose certificate the route takes: one of its `subjectAltName`s must be one of these. The first that is one, URIs before DNS names, is the caller's subject and client for \
            rules (`clients`), limits and audit events. Beside a token or an API key in `anyOf`, that decides if it came.",
    &[
        Key::new(
            "spiffe",
            "list of strings",
            Default::Is("none"),
            "SPIFFE ids: `spiffe://corp.example/ns/orders/sa/api`, or `spiffe://corp.example/ns/orders/*` for all below, at any depth.",
        ),
        Key::new(
            "sans",
            "list of strings",
            Default::Is("none"),
            "DNS names (`orders.internal`, `*.partner.example` for one label more) and other URIs (with `://`), each as a whole.",
        ),
    ],
);
