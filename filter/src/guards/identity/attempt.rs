//! May somebody try this credential? Asked when it is known what it claims and before anything costly is done with it.

use crate::decision::Refusal;
use crate::json::Json;

use super::jwt::Compact;

/// What a credential claims to be, unchecked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// `sub` of a token.
    pub subject: Option<&'a str>,
    /// An API key, whole.
    pub api_key: Option<&'a [u8]>,
}

impl<'a> Attempt<'a> {
    pub(super) fn by_token(token: &'a Compact<'_>) -> Self {
        Self { subject: token.claims.get("sub").and_then(Json::as_text), api_key: None }
    }

    pub(super) fn by_key(key: &'a [u8]) -> Self {
        Self { subject: None, api_key: Some(key) }
    }
}

/// Who decides that.
pub trait Gate {
    /// Whether there is anything to refuse.
    fn watches(&self) -> bool;
    /// Refuses an attempt that must not be made.
    fn open(&self, attempt: Attempt<'_>) -> Result<(), Refusal>;
}

/// A gate that is always open.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Gate for Open {
    fn watches(&self) -> bool {
        false
    }

    fn open(&self, _: Attempt<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::jwt::vectors::base64;
    use super::{Attempt, Compact, Gate, Open};
    use crate::testing::test;

    #[test]
    fn what_a_credential_claims_to_be() {
        let token =
            format!("{}.{}.{}", base64(r#"{"alg":"EdDSA"}"#), base64(r#"{"sub":"ada"}"#), base64("x"));
        let token = Compact::parse(token.as_bytes()).unwrap();
        assert_eq!(Attempt::by_token(&token), Attempt { subject: Some("ada"), api_key: None });
        assert_eq!(Attempt::by_key(b"pck_x"), Attempt { subject: None, api_key: Some(b"pck_x") });
        assert!(!Open.watches() && Open.open(Attempt::by_token(&token)).is_ok());
    }
}
