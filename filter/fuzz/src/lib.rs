//! A proxy that is just enough for a request without an upstream, and an issuer whose key everybody knows.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_compact::{KeyPair, Noise, Seed};

use portcullis_filter::host::{
    Calls, Cas, Host, HostError, Level, LocalResponse, Metrics, SharedData, Swap, Verdict, Verifier,
};
use portcullis_filter::http::head::serialize;
use portcullis_filter::time::Timestamp;

/// When it is, in seconds since the epoch.
pub const NOW: u64 = 1_800_000_000;

/// A header field, pseudo headers among them.
pub type Field = (Vec<u8>, Vec<u8>);

/// One request, as a proxy that verifies nothing offers it. What is shared is shared within this one proxy.
#[derive(Default)]
pub struct Proxy {
    fields: RefCell<Vec<Field>>,
    status: Cell<u16>,
    marked: Cell<bool>,
    lines: Cell<usize>,
    shared: RefCell<BTreeMap<String, (Vec<u8>, NonZeroU32)>>,
}

impl Proxy {
    /// `GET /` with one more header, or with that pseudo header in place of its own.
    pub fn get(name: &str, value: &[u8]) -> Self {
        Self::of(&[(name.as_bytes(), value)])
    }

    /// `GET /` with more headers, or with those pseudo headers in place of its own.
    pub fn of(more: &[(&[u8], &[u8])]) -> Self {
        let mut fields: Vec<(&[u8], &[u8])> =
            vec![(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"h"), (b":path", b"/")];
        fields.retain(|(known, _)| more.iter().all(|(name, _)| known != name));
        fields.extend(more);
        let owned = |(name, value): &(&[u8], &[u8])| (name.to_vec(), value.to_vec());
        Self { fields: RefCell::new(fields.iter().map(owned).collect()), ..Self::default() }
    }

    /// The status of the answer; zero if there was none.
    pub fn status(&self) -> u16 {
        self.status.get()
    }

    /// Whether the request was admitted.
    pub fn is_marked(&self) -> bool {
        self.marked.get()
    }
}

/// The issuer's key pair, or the client's.
pub fn key_of(who: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([who; 32]))
}

/// The public half as a JWK, members in the order that its thumbprint takes.
pub fn jwk_of(who: u8) -> String {
    let x = URL_SAFE_NO_PAD.encode(*key_of(who).pk);
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
}

/// A compact JWS of these two texts under that key.
pub fn signed(who: u8, header: &str, payload: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key_of(who).sk.sign(text.as_bytes(), None::<Noise>);
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(*signature))
}

impl SharedData for Proxy {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        Ok(self.shared.borrow().get(key).map(|(value, cas)| (value.clone(), Cas(*cas))))
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        let mut shared = self.shared.borrow_mut();
        let now = shared.get(key).map(|(_, cas)| *cas);
        if cas.is_some_and(|Cas(cas)| now.is_some_and(|now| now != cas)) {
            return Ok(Swap::Lost);
        }
        let next = now.map_or(NonZeroU32::MIN, |now| now.saturating_add(1));
        shared.insert(key.to_owned(), (value.to_vec(), next));
        Ok(Swap::Done)
    }
}

impl Calls for Proxy {}

impl Verifier for Proxy {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }
}

impl Metrics for Proxy {}

impl Host for Proxy {
    fn now(&self) -> Result<Timestamp, HostError> {
        Ok(Timestamp::from_seconds(NOW))
    }

    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        let fields = self.fields.borrow();
        Ok(serialize(fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))))
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.remove_request_header(name)?;
        self.fields.borrow_mut().push((name.as_bytes().to_vec(), value.to_vec()));
        Ok(())
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        self.fields.borrow_mut().retain(|(known, _)| known != name.as_bytes());
        Ok(())
    }

    fn request_trailers(&self) -> Result<Vec<u8>, HostError> {
        Ok(Vec::new())
    }

    fn remove_request_trailer(&self, _: &str) -> Result<(), HostError> {
        Ok(())
    }

    fn property(&self, _: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        Ok(None)
    }

    fn set_property(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        self.marked.set(true);
        Ok(())
    }

    fn respond(&self, response: &LocalResponse) -> Result<(), HostError> {
        self.status.set(response.status);
        for (_, value) in &response.headers {
            assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{value:?}");
        }
        Ok(())
    }

    fn log(&self, _: Level, line: &str) {
        self.lines.set(self.lines.get() + line.len());
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }

    fn env(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}
