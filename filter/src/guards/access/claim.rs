//! Does a token say what a rule asks of a claim?

use crate::guards::identity::Token;
use crate::guards::identity::claim_path::Sought;
use crate::json::Json;

/// One entry of a principal's `jwt.claims`.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) name: Box<str>,
    pub(super) values: Values,
    /// The claim must be there, and be something else.
    pub(super) invert: bool,
}

/// What a claim must be, by its type.
#[derive(Clone, Debug)]
pub(super) enum Values {
    /// Text that is one of these.
    Text(Texts),
    /// A list of texts, of which one is one of these.
    AnyText(Texts),
    /// A list of texts, among which are all of these.
    AllTexts(Texts),
    /// A number that equals one of these.
    Number(Vec<Number>),
    /// This one of the two.
    Boolean(bool),
}

/// Texts, each once, in order: a token's long list is looked up in a policy's long list without comparing each with each.
#[derive(Clone, Debug)]
pub(super) struct Texts(Vec<Box<str>>);

/// A number that is known to the last digit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Whole, however it was written: `1`, `1.0` and `1e0` are equal.
    Whole(i64),
    /// Not whole.
    Fraction(f64),
}

impl Claim {
    /// Whether the token says it; `None` if that cannot be told: the claim has another type, or a text where its parent should be; with
    /// `invert` also if it is not there, since what is not said is neither one thing nor another.
    pub(super) fn holds(&self, token: &Token) -> Option<bool> {
        match token.seek(&self.name) {
            Sought::Found(Json::Null) | Sought::Absent => (!self.invert).then_some(false),
            Sought::Found(claim) if self.invert => self.values.sound_match(claim).map(|found| !found),
            Sought::Found(claim) => self.values.any_match(claim),
            Sought::Blocked => None,
        }
    }
}

impl Values {
    /// A list that holds what is asked for holds it, whatever stands beside; that it does not is only known of a list of texts.
    fn any_match(&self, claim: &Json) -> Option<bool> {
        match (self, claim) {
            (Self::Text(texts), Json::Text(text)) => Some(texts.position(text).is_some()),
            (Self::AnyText(_) | Self::AllTexts(_), Json::List(list)) => {
                let found = self.found_in(list);
                (found || are_texts(list)).then_some(found)
            }
            (Self::Number(numbers), Json::Integer(_) | Json::Number(_)) => {
                Number::exactly(claim).map(|number| numbers.contains(&number))
            }
            (Self::Boolean(wanted), Json::Bool(truth)) => Some(wanted == truth),
            _ => None,
        }
    }

    /// The same of a claim that is all of the type.
    fn sound_match(&self, claim: &Json) -> Option<bool> {
        match claim {
            Json::List(list) if !are_texts(list) => None,
            claim => self.any_match(claim),
        }
    }

    fn found_in(&self, list: &[Json]) -> bool {
        match self {
            Self::AnyText(texts) => {
                list.iter().filter_map(Json::as_text).any(|text| texts.position(text).is_some())
            }
            Self::AllTexts(texts) => texts.are_all_in(list),
            Self::Text(_) | Self::Number(_) | Self::Boolean(_) => false,
        }
    }
}

fn are_texts(list: &[Json]) -> bool {
    list.iter().all(|element| element.as_text().is_some())
}

impl Texts {
    pub(super) fn new(texts: &[&str]) -> Self {
        let mut texts: Vec<Box<str>> = texts.iter().map(|text| Box::from(*text)).collect();
        texts.sort_unstable();
        texts.dedup();
        Self(texts)
    }

    fn position(&self, text: &str) -> Option<usize> {
        self.0.binary_search_by(|known| (**known).cmp(text)).ok()
    }

    /// One pass over the token's list, which may hold a text twice.
    fn are_all_in(&self, list: &[Json]) -> bool {
        if self.0.len() > list.len() {
            return false;
        }
        let mut seen = vec![false; self.0.len()];
        for text in list.iter().filter_map(Json::as_text) {
            if let Some(seen) = self.position(text).and_then(|at| seen.get_mut(at)) {
                *seen = true;
            }
        }
        seen.into_iter().all(|seen| seen)
    }
}

impl Number {
    /// The number, if JSON's reader kept it exactly. Beyond 2^53 a number with a fraction or an exponent, or one that is
    /// too large for 64 bits, stands for several (RFC 8259 §6), and which of them was meant is lost.
    pub(super) fn exactly(json: &Json) -> Option<Self> {
        match *json {
            Json::Integer(whole) => Some(Self::Whole(whole)),
            Json::Number(number) if number.fract() != 0.0 => Some(Self::Fraction(number)),
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            Json::Number(number) if number.abs() < 9_007_199_254_740_992.0 => {
                Some(Self::Whole(number as i64))
            }
            _ => None,
        }
    }
}
