//! Does a client that the service has refused cost it another call before it is time? And is nobody refused who was not?

use std::thread;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
use serde_json::json;

use super::service::Say;
use super::{Gateway, by_tenant, hammer, limitador, told};

/// How often a gateway's workers can have been told no about one key: once each.
const WORKERS: usize = 2;

/// 20 a minute, and four clients that ask a thousand times more between them.
#[test]
fn who_is_over_the_limit_and_goes_on_costs_no_call() {
    let service = limitador();
    let limit = [("orders", by_tenant(&json!({})))];
    let (one, two) = (Gateway::start(service.port(), &limit), Gateway::start(service.port(), &limit));
    assert_eq!(hammer(&[&one, &two], "/orders", "acme", 250), 20);
    let asked = service.asked();
    eprintln!("1000 requests, 20 of them within the limit: {asked} calls");
    // Each of the four had one question on its way at most when its worker was told no.
    assert!((20..=24).contains(&asked), "{asked}");
    let refused = one.get("/orders", "acme");
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!(told(&refused) == (429, "rate_limited".to_owned()) && (1..=60).contains(&wait), "{wait}");
    assert_eq!(one.get("/orders", "other").status, 200, "another client is another");
    let began = Instant::now();
    while !remembered(&one) {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", one.envoy.log());
        thread::sleep(Duration::from_millis(100));
    }
}

/// Whether the gateway has counted questions that it did not ask.
fn remembered(gateway: &Gateway) -> bool {
    let stats = gateway.envoy.admin_text("/stats?filter=limiter_calls").unwrap();
    let line = stats.lines().find(|line| line.contains("remembered"));
    line.is_some_and(|line| !line.ends_with(": 0"))
}

/// The service says no and not for how long. Then the policy does.
#[test]
fn a_no_without_a_time_holds_as_long_as_the_policy_says() {
    let service = limitador();
    let limits = [
        ("held", by_tenant(&json!({"refusalHolds": "1s"}))),
        ("asks", by_tenant(&json!({"refusalHolds": "0s"}))),
    ];
    let gateway = Gateway::start(service.port(), &limits);
    service.say(Say::Code(Code::OverLimit));
    let began = Instant::now();
    let refused = (0..60).filter(|_| gateway.get("/held", "acme").status == 429).count();
    // Of each worker, one now and one for each second that this took.
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let asked = service.asked();
    assert!(refused == 60 && asked <= WORKERS * (seconds + 1), "{refused} {asked} in {seconds} s");
    for _ in 0..10 {
        assert_eq!(gateway.told("/asks", "globex"), (429, "rate_limited".to_owned()));
    }
    assert_eq!(service.asked() - asked, 10, "one that is told to forget asks each time");
    service.say(Say::Truth);
    gateway.until_well("/held");
    let began = Instant::now();
    while gateway.get("/held", "acme").status != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "it is asked again");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A rule in Shadow, another cost, another policy: what was refused elsewhere refuses nobody there.
#[test]
fn nobody_is_refused_for_what_was_said_of_another() {
    let service = limitador();
    let limits = [
        ("orders", by_tenant(&json!({}))),
        ("shadow", by_tenant(&json!({"mode": "Shadow"}))),
        ("dear", by_tenant(&json!({"cost": 21}))),
    ];
    let mut gateway = Gateway::start(service.port(), &limits);
    for _ in 0..4 {
        assert_eq!(gateway.told("/dear", "acme"), (429, "rate_limited".to_owned()), "21 of 20");
    }
    let passed = (0..30).filter(|_| gateway.get("/orders", "acme").status == 200).count();
    assert_eq!(passed, 20, "that there is no room for 21 says nothing of one");
    let before = service.asked();
    for _ in 0..20 {
        assert_eq!(gateway.get("/shadow", "acme").status, 200);
    }
    let asked = service.asked() - before;
    assert!(asked <= WORKERS, "{asked}: the same question, for which the answer is known");
    // Refused for most of a minute, and then the policy changes.
    assert_eq!(gateway.get("/orders", "acme").status, 429);
    service.say(Say::Code(Code::Ok));
    gateway.update(&[("orders", by_tenant(&json!({"timeout": "400ms"})))]);
    let began = Instant::now();
    while gateway.get("/orders", "acme").status != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "a new policy begins with nothing");
        thread::sleep(Duration::from_millis(50));
    }
}
