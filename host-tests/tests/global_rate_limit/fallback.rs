//! What passes while the service is away, where each gateway has a limit of its own for that time?

use serde_json::{Value, json};

use super::{Gateway, by_tenant, hammer, limitador, told};

fn fallback(more: &Value) -> Value {
    let mut limit =
        by_tenant(&json!({"failureMode": "Local", "fallback": {"limit": {"requests": 10, "unit": "Day"}}}));
    for (name, value) in more.as_object().unwrap() {
        limit["global"][name] = value.clone();
    }
    limit
}

/// The shared limit is 20: half of it for each of the two gateways, however many workers and clients there are.
#[test]
fn two_gateways_together_admit_the_shared_limit_while_the_service_is_away() {
    let mut service = limitador();
    let limits = [
        ("orders", fallback(&json!({}))),
        ("same", fallback(&json!({}))),
        ("dear", fallback(&json!({"cost": 3}))),
        ("shadow", fallback(&json!({"mode": "Shadow"}))),
        ("well", by_tenant(&json!({}))),
    ];
    let (mut one, two) = (Gateway::start(service.port(), &limits), Gateway::start(service.port(), &limits));
    // While it is there, it alone counts: more than the fallback holds.
    let passed = (0..25).filter(|_| one.get("/orders", "early").status == 200).count();
    assert_eq!(passed, 20);
    service.kill();
    assert_eq!(hammer(&[&one, &two], "/orders", "acme", 15), 20, "of 60, ten through each");
    let refused = one.get("/orders", "acme");
    assert_eq!(told(&refused), (429, "rate_limited".to_owned()));
    assert_eq!(refused.field("ratelimit-policy").as_deref(), Some("\"per-tenant\";q=10;w=86400"));
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=8640).contains(&wait), "{wait}: the tenth part of a day");
    assert!(one.envoy.wait_for_log(&["\"portcullis.detail\":\"fallback of rule `per-tenant`\""]).is_some());
    // The same question by another route is the same bucket; another tenant has another, and Shadow refuses nobody.
    assert_eq!(one.told("/same", "acme"), (429, "rate_limited".to_owned()));
    assert_eq!((0..9).filter(|_| two.get("/dear", "rich").status == 200).count(), 3, "nine of ten");
    for _ in 0..15 {
        assert_eq!(one.get("/shadow", "dark").status, 200);
    }
    // Another policy that keeps the numbers keeps the buckets; one that changes them begins anew.
    let changed = |requests: u64| {
        let fallback_of = json!({"limit": {"requests": requests, "unit": "Day"}});
        [("orders", fallback(&json!({"fallback": fallback_of, "timeout": "400ms"})))]
    };
    let [orders] = changed(10);
    one.update(&[orders, ("same", fallback(&json!({})))]);
    one.until_gone("/dear");
    assert_eq!(one.told("/orders", "acme"), (429, "rate_limited".to_owned()));
    one.update(&changed(4));
    one.until_gone("/same");
    assert_eq!((0..9).filter(|_| one.get("/orders", "acme").status == 200).count(), 4);
    // It is found again, and what was admitted in the meantime is its own affair.
    service.restart();
    two.until_well("/well");
    assert_eq!((0..25).filter(|_| two.get("/orders", "late").status == 200).count(), 20);
}
