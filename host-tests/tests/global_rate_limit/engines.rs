//! Who counts? Limitador in memory, and the fixed windows of envoyproxy/ratelimit in a real Redis.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use envoy_types::pb::envoy::config::core::v3::HeaderValue;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use envoy_types::pb::google::protobuf::Duration;
use limitador::RateLimiter;
use limitador::limit::{Context, Limit};
use serde::Deserialize;

use super::redis::Redis;
use super::service::Engine;

/// Limitador, as its server asks it (limitador-server `envoy_rls/server.rs`).
pub(crate) struct Limitador(RateLimiter);

impl Limitador {
    /// With the limits of a file.
    pub(crate) fn new(limits: &str) -> Self {
        let limits: Vec<Limit> = serde_saphyr::from_str(limits).unwrap();
        let limiter = RateLimiter::new(1000);
        limiter.configure_with(limits).unwrap();
        Self(limiter)
    }
}

impl Engine for Limitador {
    fn decide(&self, request: &RateLimitRequest) -> Result<RateLimitResponse, String> {
        let descriptors = request.descriptors.iter().map(|descriptor| {
            let entries = descriptor.entries.iter();
            entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect::<HashMap<_, _>>()
        });
        let mut context = Context::default();
        context.list_binding("descriptors".to_owned(), descriptors.collect());
        let namespace = request.domain.clone().into();
        let hits = u64::from(request.hits_addend.max(1));
        let mut checked = self
            .0
            .check_rate_limited_and_update(&namespace, &context, hits)
            .map_err(|error| error.to_string())?;
        let headers = checked.response_header().into_iter();
        let headers = headers.map(|(key, value)| HeaderValue { key, value, ..HeaderValue::default() });
        Ok(RateLimitResponse {
            overall_code: if checked.limited { Code::OverLimit } else { Code::Ok }.into(),
            response_headers_to_add: headers.collect(),
            ..RateLimitResponse::default()
        })
    }
}

/// envoyproxy/ratelimit's file, and what it does with it: a counter for each window, in Redis.
#[derive(Debug, Deserialize)]
pub(crate) struct FixedWindows {
    domain: String,
    descriptors: Vec<Node>,
    #[serde(skip)]
    redis: Option<Redis>,
    /// Its time, in seconds since the epoch, where it stands still: a window must not end in the middle of a test.
    #[serde(skip)]
    stopped: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Node {
    key: String,
    value: Option<String>,
    rate_limit: Option<Rate>,
    #[serde(default)]
    descriptors: Vec<Node>,
}

#[derive(Clone, Debug, Deserialize)]
struct Rate {
    unit: String,
    requests_per_unit: u32,
}

impl FixedWindows {
    /// With the limits of a file.
    pub(crate) fn new(limits: &str, redis: Redis) -> Self {
        Self { stopped: Some(seconds()), ..Self::with_the_clock(limits, redis) }
    }

    /// The same, whose windows end.
    pub(crate) fn with_the_clock(limits: &str, redis: Redis) -> Self {
        let read: Self = serde_saphyr::from_str(limits).unwrap();
        Self { redis: Some(redis), ..read }
    }

    fn decide_one(&self, entries: &[Entry], hits: u32) -> Result<DescriptorStatus, String> {
        let Some(rate) = find(&self.descriptors, entries) else {
            return Ok(DescriptorStatus { code: Code::Ok.into(), ..DescriptorStatus::default() });
        };
        let (unit, window) = match rate.unit.as_str() {
            "second" => (Unit::Second, 1),
            "minute" => (Unit::Minute, 60),
            "hour" => (Unit::Hour, 3600),
            _ => (Unit::Day, 86400),
        };
        let now = self.stopped.unwrap_or_else(seconds);
        let mut key = self.domain.clone();
        for entry in entries {
            key = format!("{key}_{}_{}", entry.key, entry.value);
        }
        let key = format!("{key}_{}", now / window * window);
        let redis = self.redis.as_ref().ok_or("no Redis")?;
        let count = redis.count(&key, hits, window).map_err(|error| error.to_string())?;
        let limit = u64::from(rate.requests_per_unit);
        let code = if count > limit { Code::OverLimit } else { Code::Ok };
        let left = i64::try_from(window - now % window).unwrap_or(1);
        Ok(DescriptorStatus {
            code: code.into(),
            current_limit: Some(RateLimit {
                requests_per_unit: rate.requests_per_unit,
                unit: unit.into(),
                ..RateLimit::default()
            }),
            limit_remaining: u32::try_from(limit.saturating_sub(count)).unwrap_or(0),
            duration_until_reset: Some(Duration { seconds: left, nanos: 0 }),
            ..DescriptorStatus::default()
        })
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The tree follows the entries in their order; a value of its own goes before every value.
fn find(nodes: &[Node], entries: &[Entry]) -> Option<Rate> {
    let (entry, rest) = entries.split_first()?;
    let of = |value: Option<&str>| {
        nodes.iter().find(|node| node.key == entry.key && node.value.as_deref() == value)
    };
    let node = of(Some(&entry.value)).or_else(|| of(None))?;
    if rest.is_empty() { node.rate_limit.clone() } else { find(&node.descriptors, rest) }
}

impl Engine for FixedWindows {
    fn decide(&self, request: &RateLimitRequest) -> Result<RateLimitResponse, String> {
        let hits = request.hits_addend.max(1);
        let known = request.domain == self.domain;
        let descriptors = request.descriptors.iter().filter(|_| known);
        let statuses: Result<Vec<_>, String> =
            descriptors.map(|descriptor| self.decide_one(&descriptor.entries, hits)).collect();
        let statuses = statuses?;
        let over = statuses.iter().any(|status| status.code == i32::from(Code::OverLimit));
        let overall_code = if over { Code::OverLimit } else { Code::Ok }.into();
        Ok(RateLimitResponse { overall_code, statuses, ..RateLimitResponse::default() })
    }
}
