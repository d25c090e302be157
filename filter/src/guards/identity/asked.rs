//! What does a route ask of its callers? What [`super::config::authentication`] reads from the policy.

use std::rc::Rc;

use super::certificate::Accepted;
use super::rules::{Place, ProviderId, Providers};
use super::step_up::StepUp;

/// What a route asks of its callers.
#[derive(Debug)]
pub enum Authentication {
    /// Nothing; nobody is identified, and no credential is looked for.
    Open,
    /// A token or an API key.
    Credential(CredentialRule),
}

/// Which credentials a route takes.
#[derive(Debug)]
pub struct CredentialRule {
    /// Whose tokens; no two of one issuer, none if it takes no tokens.
    pub(super) providers: Vec<ProviderId>,
    /// Where tokens may stand: all places of those providers, each once.
    pub(super) places: Vec<Place>,
    /// Whether it takes API keys.
    pub(super) api_keys: bool,
    /// Whose certificates it takes, if any.
    pub(super) certificates: Option<Accepted>,
    /// Whether a request without a credential passes as anonymous (`anyOf` with `open`). A bad credential never does.
    pub(super) optional: bool,
    /// What is asked of the authentication behind tokens of a provider; each at most once.
    pub(super) step_ups: Vec<(ProviderId, StepUp)>,
    /// Whose tokens are asked about: at most one, since an opaque token names nobody.
    pub(super) asks: Option<ProviderId>,
}

impl Authentication {
    /// The providers whose tokens it takes; none if it is open.
    pub fn providers(&self) -> &[ProviderId] {
        match self {
            Self::Open => &[],
            Self::Credential(rule) => &rule.providers,
        }
    }

    /// The names of the providers whose tokens it takes; none if it takes no tokens.
    pub fn accepted(&self, providers: &Providers) -> Vec<Rc<str>> {
        let Self::Credential(rule) = self else {
            return Vec::new();
        };
        let known = rule.providers.iter().filter_map(|id| providers.provider(*id));
        known.map(|provider| Rc::clone(&provider.name)).collect()
    }

    /// Whether it takes tokens.
    pub fn takes_tokens(&self) -> bool {
        matches!(self, Self::Credential(rule) if !rule.providers.is_empty())
    }

    /// Whether it takes API keys.
    pub fn takes_api_keys(&self) -> bool {
        matches!(self, Self::Credential(rule) if rule.api_keys)
    }

    /// Whether it takes client certificates.
    pub fn takes_certificates(&self) -> bool {
        matches!(self, Self::Credential(rule) if rule.certificates.is_some())
    }

    /// Whether whoever passes has shown a certificate.
    pub fn takes_certificates_alone(&self) -> bool {
        let Self::Credential(rule) = self else { return false };
        rule.certificates.is_some() && rule.providers.is_empty() && !rule.api_keys && !rule.optional
    }

    /// Whether somebody passes whom nobody knows.
    pub fn takes_anybody(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Credential(rule) => rule.optional,
        }
    }
}
