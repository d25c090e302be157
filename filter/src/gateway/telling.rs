//! How is a caller told how it stands with its limits?

use crate::decimal::Decimal;
use crate::decision::{Limited, Telling};

/// The fields that tell `limits`: draft-ietf-httpapi-ratelimit-headers-10 §3 and §4, lists of structured fields with the policies' names as
/// strings, and the older `X-RateLimit-*`, which can tell of one only: the one that has least left. Names of rules hold only letters,
/// digits, dots, dashes and underscores, so they need no escape.
pub(super) fn fields(limits: &[Limited], telling: Telling) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    let Some(tightest) = limits.iter().min_by_key(|limit| limit.remaining) else {
        return fields;
    };
    if telling.standard {
        let (mut policy, mut standing) = (String::new(), String::new());
        for (nth, Limited { rule, quota, window, remaining, reset }) in limits.iter().enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            let [quota, window, remaining, reset] = [*quota, *window, *remaining, *reset].map(Decimal::of);
            policy.extend([comma, "\"", rule, "\";q=", quota.as_str(), ";w=", window.as_str()]);
            standing.extend([comma, "\"", rule, "\";r=", remaining.as_str(), ";t=", reset.as_str()]);
        }
        fields.push(("ratelimit-policy", policy));
        fields.push(("ratelimit", standing));
    }
    if telling.legacy {
        fields.push(("x-ratelimit-limit", tightest.quota.to_string()));
        fields.push(("x-ratelimit-remaining", tightest.remaining.to_string()));
        fields.push(("x-ratelimit-reset", tightest.reset.to_string()));
    }
    fields
}
