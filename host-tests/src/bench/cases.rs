//! What is measured: which filters, which requests, and which answer they must get?

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::requests::{CALLERS, STRANGERS, bearing, bent, request, token, tokens};
use super::{ours, theirs};
use crate::artifacts;
use crate::tokens::Keys;

/// The case that all others are compared with.
pub const BARE: &str = "bare Envoy";
/// Of a case whose checks are slow, one of so many requests is sent.
pub const FEW: usize = 4;

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// The filters before the router.
    pub filters: Vec<Value>,
    /// The requests, as they go on the wire, to be sent in turn.
    pub requests: Vec<Vec<u8>>,
    /// The status that every response must have.
    pub status: u16,
    /// The case of Envoy's own filters that does the same work.
    pub beside: Option<&'static str>,
    /// Whether the listener has the access log of `envoy.yaml`.
    pub access_log: bool,
    /// Whether the service of `ext_authz` works for it, so that its CPU time counts too.
    pub service: bool,
    /// Whether it does all of the policy's work, so that it must refuse what that refuses.
    pub whole: bool,
    /// One of so many requests is sent: 1 where a request is quick. With more, no two are alike.
    pub part: usize,
}

const PLUGIN_FILE: &str = "/typed_config/config/vm_config/code/local/filename";

impl Case {
    pub(super) fn new(name: &'static str, filters: Vec<Value>, requests: Vec<Vec<u8>>, status: u16) -> Self {
        Self {
            name,
            filters,
            requests,
            status,
            beside: None,
            access_log: false,
            service: false,
            whole: false,
            part: 1,
        }
    }

    /// A listener to which requests are sent by hand.
    pub(super) fn of_filters(name: &'static str, filters: Vec<Value>) -> Self {
        Self::new(name, filters, vec![], 200)
    }

    /// The same case with another build of the gateway; `None` if the gateway has no part in it.
    pub fn with_plugin(&self, other: &Path) -> Result<Option<Self>, String> {
        let (mut filters, plugin) = (self.filters.clone(), json!(artifacts::plugin()?));
        let files = filters.iter_mut().filter_map(|filter| filter.pointer_mut(PLUGIN_FILE));
        let ours: Vec<_> = files.filter(|file| **file == plugin).collect();
        if ours.is_empty() {
            return Ok(None);
        }
        for file in ours {
            *file = json!(other);
        }
        // It is a name as long as the program runs, as the others are.
        let name = format!("{} [{}]", self.name, other.display()).leak();
        Ok(Some(Self { name, filters, ..self.clone() }))
    }

    pub(super) fn with_access_log(self) -> Self {
        Self { access_log: true, ..self }
    }

    pub(super) fn with_service(self) -> Self {
        Self { service: true, ..self }
    }

    pub(super) fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    pub(super) fn few(self) -> Self {
        Self { part: FEW, ..self }
    }

    pub(super) fn beside(self, native: &'static str) -> Self {
        Self { beside: Some(native), ..self }
    }
}

/// What the cases are made of.
pub(super) struct Makings {
    pub(super) plugin: PathBuf,
    /// The keys of RS256, which is the first, and of ES256.
    pub(super) jwks: String,
    /// The secret of HS256.
    pub(super) secret: String,
    /// Requests of callers that are known.
    pub(super) known: Vec<Vec<u8>>,
    /// Requests without a credential.
    pub(super) absent: Vec<Vec<u8>>,
    /// Tokens of callers that nobody remembers.
    pub(super) strangers: Vec<String>,
}

impl Makings {
    fn new() -> Result<Self, String> {
        let keys = Keys::of_this_run();
        Ok(Self {
            plugin: artifacts::plugin()?,
            jwks: keys.jwks(&["rs256", "es256"])?,
            secret: keys.hmac_secret("hs256")?,
            known: bearing("/orders/7", &tokens(CALLERS, &token("rs256"))?),
            absent: vec![request("/orders/7").to_wire()],
            strangers: tokens(STRANGERS, &token("rs256"))?,
        })
    }

    /// Requests with tokens that nobody remembers.
    pub(super) fn new_tokens(&self) -> Vec<Vec<u8>> {
        bearing("/orders/7", &self.strangers)
    }

    /// Requests to `path` with the same tokens, whose signatures are wrong.
    pub(super) fn forged(&self, path: &str) -> Vec<Vec<u8>> {
        bearing(path, &self.strangers.iter().map(|token| bent(token)).collect::<Vec<_>>())
    }
}

/// All cases. The requests are alike, token and all, but for what the case is about.
pub fn all() -> Result<Vec<Case>, String> {
    let makings = Makings::new()?;
    let parts = [
        vec![Case::new(BARE, vec![], makings.known.clone(), 200)],
        theirs::plugin_of_nothing(&makings)?,
        ours::admitted(&makings)?,
        ours::algorithms(&makings)?,
        ours::refused(&makings)?,
        ours::grown(&makings)?,
        theirs::native(&makings),
        theirs::native_algorithms()?,
        theirs::service(&makings),
        theirs::script(&makings)?,
        theirs::floor(&makings)?,
    ];
    Ok(parts.into_iter().flatten().collect())
}
