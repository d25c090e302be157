//! What does this guard ask of the world outside of a request? Keys of issuers, and what they say of opaque tokens.
//!
//! The gateway calls these between requests; a request only finds what came of them.

use super::introspection::Introspection;
use super::jwt::remote::Remote;
use super::rules::Providers;
use super::stop::What;
use crate::audit::Rotation;
use crate::host::{Answer, CallId, Host, Metrics};
use crate::time::Timestamp;

impl Providers {
    /// Whether anything at all is asked for.
    pub fn look_outside(&self) -> bool {
        self.remotes().next().is_some() || self.introspections().next().is_some()
    }

    /// Makes what the workers share. `me` is random, and this worker's own.
    pub fn prepare(&self, host: &impl Host, me: u64) {
        self.remotes().for_each(|remote| remote.prepare(host, me));
    }

    /// Looks at what the others have done, and asks for what is due.
    pub fn tick(&self, host: &impl Host, now: Timestamp) {
        self.remotes().for_each(|remote| remote.tick(host, now));
        self.introspections().for_each(|introspection| introspection.tick(host, now));
    }

    /// Tells the host what has been counted since the last time. `began` is when that was first done.
    pub fn measure(&self, host: &impl Metrics, began: Timestamp, now: Timestamp) {
        self.list.iter().for_each(|provider| provider.measure(host, began, now));
    }

    /// An answer to one of our calls. An answer that nobody waits for any more is dropped.
    pub fn answered(&self, host: &impl Host, call: CallId, mut answer: Answer, now: Timestamp) {
        let _ = self.remotes().any(|remote| remote.answered(host, call, &mut answer, now))
            || self
                .introspections()
                .any(|introspection| introspection.answered(host, call, &mut answer, now));
    }

    /// Which keys came and went since this was last asked.
    pub fn rotations(&self) -> impl Iterator<Item = Rotation> {
        self.remotes().filter_map(Remote::rotation)
    }

    /// Whether something is under way.
    pub fn is_busy(&self) -> bool {
        self.remotes().any(Remote::is_busy) || self.introspections().any(Introspection::is_busy)
    }

    /// Whether what a request waits for is still on its way.
    pub fn is_pending(&self, what: &What) -> bool {
        match what {
            What::Keys { provider, outcomes } => self
                .list
                .iter()
                .filter(|known| known.name == *provider)
                .filter_map(|known| known.remote())
                .any(|remote| remote.outcomes() == *outcomes),
            What::Token(about) => about.is_on_its_way(),
        }
    }

    fn introspections(&self) -> impl Iterator<Item = &Introspection> {
        self.list.iter().filter_map(|provider| provider.introspection.as_deref())
    }

    fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.list.iter().filter_map(|provider| provider.remote())
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::read_jwt;
    use super::super::jwt::algorithm::Family;
    use super::super::jwt::remote::tests::Process;
    use super::super::jwt::vectors::{jwk, set};
    use super::super::stop::{Need, Stop};
    use super::{Providers, What};
    use crate::decision::{Reason, Refusal};
    use crate::document::Field;
    use crate::host::Answer;
    use crate::json::Json;
    use crate::problem::Problems;
    use crate::testing::test;

    const REMOTE: &str = r#""remoteJWKS": {"cluster": "id", "uri": "https://id.example/jwks"}"#;
    const ASKING: &str = r#""introspection": {"cluster": "id", "uri": "https://id.example/introspect", "clientId": "g", "clientSecret": {"env": "S"}}"#;

    /// A provider with each of these members, named by its place.
    fn providers(members: &[&str]) -> Providers {
        let one = |(nth, more): (usize, &&str)| {
            format!(
                r#"{{"name": "p{nth}", "issuer": "https://{nth}.example", "audiences": ["api"], "maxLifetime": "1h", {more}}}"#
            )
        };
        let all: Vec<String> = members.iter().enumerate().map(one).collect();
        let text: Json = serde_json::from_str(&format!(r#"{{"providers": [{}]}}"#, all.join(","))).unwrap();
        let problems = Problems::new();
        let mut providers = read_jwt(&Field::at("jwt", &text, &problems));
        assert!(!problems.is_fatal(), "{:?}", problems.into_vec());
        providers.resolve(|_| Some(b"secret".to_vec()));
        providers
    }

    fn wait<T>(found: Result<T, Stop>) -> Need {
        match found {
            Err(Stop::Wait(need)) => *need,
            Err(Stop::Refused(refusal)) => panic!("{refusal:?}"),
            Ok(_) => panic!("there is an answer"),
        }
    }

    #[test]
    fn who_looks_outside() {
        let keys = Json::Text(set(&[jwk(Family::P256, "")]));
        let local = format!(r#""localJWKS": {{"inline": {keys}}}"#);
        for (members, looks) in [
            (vec![&*local], false),
            (vec![REMOTE], true),
            (vec![ASKING], true),
            (vec![&local, ASKING, REMOTE], true),
        ] {
            let providers = providers(&members);
            assert_eq!(providers.look_outside(), looks, "{members:?}");
            assert!(!providers.is_busy(), "nobody has asked for anything");
        }
    }

    #[test]
    fn keys_come_to_whoever_waits_for_them() {
        let process = Process::new();
        let (providers, now) = (providers(&[REMOTE, ASKING]), process.time());
        providers.prepare(&process, 7);
        let provider = &providers.list[0];
        let need = wait(provider.keys(now));
        assert!(providers.is_pending(&need.what));
        let What::Keys { outcomes, .. } = need.what else { panic!("{need:?}") };
        assert!(!providers.is_pending(&What::Keys { provider: "p1".into(), outcomes }), "it has no keys");
        providers.tick(&process, now);
        assert!(process.called() == 1 && providers.is_busy());
        let (id, _) = process.calls.borrow_mut().pop_front().unwrap();
        let body = set(&[jwk(Family::P256, r#""kid":"one","#)]).into_bytes();
        providers.answered(&process, id, Answer { status: 200, body: Some(body), ..Answer::default() }, now);
        assert!(!providers.is_pending(&need.what) && !providers.is_busy());
        assert!(provider.keys(now).is_ok());
        assert_eq!((providers.rotations().count(), providers.rotations().count()), (1, 0));

        // A name that they lack may be newer than they are; what else is wrong with a token no fetch mends.
        let lacks = |reason: Reason| provider.without_key(Some("two"), Refusal::new(reason), now);
        assert!(matches!(lacks(Reason::AlgorithmUnaccepted), Stop::Refused(_)));
        assert!(matches!(lacks(Reason::KeyUnknown), Stop::Wait(_)));
    }

    #[test]
    fn what_an_issuer_says_comes_to_whoever_waits_for_it() {
        let process = Process::new();
        let (providers, now) = (providers(&[ASKING]), process.time());
        let asking = providers.list[0].introspection.as_ref().unwrap();
        let need = wait(asking.claims(b"opaque", now));
        assert!(providers.is_pending(&need.what) && providers.is_busy());
        providers.tick(&process, now);
        assert!(process.called() == 1 && providers.is_busy(), "asked");
        let (id, _) = process.calls.borrow_mut().pop_front().unwrap();
        let body = br#"{"active":true,"sub":"ada"}"#.to_vec();
        providers.answered(&process, id, Answer { status: 200, body: Some(body), ..Answer::default() }, now);
        assert!(!providers.is_pending(&need.what) && !providers.is_busy());
        assert!(asking.claims(b"opaque", now).is_ok());
    }
}
