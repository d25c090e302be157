use super::{LONGEST_TELLING, Rules, TELLING_PARAMS, request_id};
use crate::testing::test;

#[test]
fn telling_names_are_as_they_are_compared() {
    let longest = TELLING_PARAMS.iter().map(|name| name.len()).max();
    assert_eq!(longest, Some(LONGEST_TELLING));
    assert!(TELLING_PARAMS.is_sorted());
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    assert!(TELLING_PARAMS.iter().all(|name| name.bytes().all(plain)));
}

#[test]
fn targets_in_rows() {
    let rules = Rules { params: vec!["email".into()], ..Rules::default() };
    for (target, shown) in [
        ("/orders/42?page=2&sort=asc", "/orders/42?page=2&sort=asc"),
        ("/o?token=abc", "/o?token=REDACTED"),
        ("/o?x=1&ACCESS_TOKEN=abc&y", "/o?x=1&ACCESS_TOKEN=REDACTED&y"),
        ("/o?acc%65ss_token=abc", "/o?acc%65ss_token=REDACTED"),
        ("/o?email=a@b.example", "/o?email=REDACTED"),
        ("/o?q=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "/o?q=REDACTED"),
        ("/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl/now", "/reset/REDACTED/now"),
        ("/pay/4111111111111111", "/pay/REDACTED"),
        ("/o/018f2f6c-7b1e-7c3a-9d2e-0f1a2b3c4d5e", "/o/018f2f6c-7b1e-7c3a-9d2e-0f1a2b3c4d5e"),
        ("/o?token=", "/o?token="),
        ("/o?clientSecret=abc&Api-Key=x", "/o?clientSecret=REDACTED&Api-Key=REDACTED"),
        ("/o?user[password]=abc", "/o?user[password]=REDACTED"),
        ("/o?user%5Bpassword%5D=abc", "/o?user%5Bpassword%5D=REDACTED"),
        ("/o?a=1;token=abc;b=2", "/o?a=1;token=REDACTED;b=2"),
        ("/o?token%3Dabc", "/o?REDACTED"),
        ("/o?next=https%3A%2F%2Fa%2F%3Fb%3Dc%26token%3Dabc", "/o?next=REDACTED"),
        ("/o?next=/cb?code=abc", "/o?next=REDACTED"),
        ("/o?/reset?token=abc", "/o?/reset?token=REDACTED"),
        ("/a%3Btoken=abc/code=123", "/a%3Btoken=REDACTED/code=REDACTED"),
        ("/o?next=https%3A%2F%2Fa%2F%3Fb%3Dc", "/o?next=https%3A%2F%2Fa%2F%3Fb%3Dc"),
        ("/o;JSESSIONID=0A1B2C3D4E5F60718293A4B5C6D7E8F9/x", "/o;JSESSIONID=REDACTED/x"),
        ("/o;a=b;c", "/o;a=b;c"),
        ("/o?a=b&&c=;d&", "/o?a=b&&c=;d&"),
        ("/o?createdAfterTimestamp=20260101T000000Z", "/o?createdAfterTimestamp=20260101T000000Z"),
        ("/o?token=a=b", "/o?token=REDACTED"),
        ("*", "*"),
        ("", ""),
    ] {
        assert_eq!(rules.target(target.as_bytes()).as_str(), shown);
    }
    let long = format!("/{}", "a/".repeat(30_000));
    assert_eq!(rules.target(long.as_bytes()).as_str().chars().count(), 1025);
    // A secret at the end of what is looked at is not written down in halves, though what stood before it was cut short.
    let jwt = format!("eyJ.{}", "a".repeat(3980));
    for start in
        [format!("/{jwt}/{jwt:.90}/ghp_16C7e42F292"), format!("/?a={jwt}&b={jwt:.90}&c=ghp_16C7e42F292")]
    {
        for pad in 0..60 {
            let target = format!("{}{start}c6912E7710c838347Ae178B4a", "/p".repeat(pad));
            assert!(!rules.target(target.as_bytes()).as_str().contains("ghp_"), "{target}");
        }
    }
}

#[test]
fn mail_addresses_are_hidden_where_the_policy_says_so() {
    let rules = Rules { mail_addresses: true, ..Rules::default() };
    for (target, shown) in [
        ("/users/ada@example.com/orders", "/users/REDACTED/orders"),
        ("/o?to=ada%40example.co.uk&x=1", "/o?to=REDACTED&x=1"),
        ("/o?to=ada%2540example.com", "/o?to=REDACTED"),
        ("/o?ada+x@example.com", "/o?REDACTED"),
        ("/@ada/o?at=@home&v=a@b&w=@x.y", "/@ada/o?at=@home&v=a@b&w=@x.y"),
    ] {
        assert_eq!(rules.target(target.as_bytes()).as_str(), shown);
        let usual = Rules::default().target(target.as_bytes());
        assert_eq!(usual.as_str(), target, "left alone where it does not");
    }
    assert_eq!(rules.claim("sub", "Ada <ada@example.com>").as_str(), "REDACTED");
}

#[test]
fn hosts() {
    let rules = Rules::default();
    for (host, shown) in [
        ("api.example.com:443", "api.example.com:443"),
        ("ada:hunter2@api.example.com", "REDACTED@api.example.com"),
        ("a@b@api", "REDACTED@api"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "REDACTED"),
    ] {
        assert_eq!(rules.host(host.as_bytes()).as_str(), shown);
    }
}

#[test]
fn request_ids() {
    for (sent, taken) in [
        ("018f2f6c-7b1e-7c3a-9d2e-0f1a2b3c4d5e", true),
        ("a b", false),
        ("a\"b", false),
        ("", false),
        (&"a".repeat(129), false),
    ] {
        assert_eq!(request_id(sent.as_bytes()).is_some(), taken, "{sent}");
    }
}
