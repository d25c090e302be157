//! What do people and scripts get to see of the commands? Each is run as a process.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use portcullis_filter::guards::identity::api_key::KeyHash;

fn portcullis(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reference/example.yaml")
}

/// A place for the files of one test.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_good_policy() {
    let out = portcullis(&["check", example().to_str().unwrap()], "");
    let shown = text(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].ends_with("example.yaml: good"), "{shown}");
    assert_eq!(lines[1], "  name    shop");
    assert_eq!(lines[2].trim_start().strip_prefix("digest  ").map(str::len), Some(64));
    assert_eq!(lines[3], "  routes  3");
    assert_eq!(lines.len(), 4, "{shown}");
}

#[test]
fn yaml_and_json_have_one_digest() {
    let yaml = std::fs::read_to_string(example()).unwrap();
    let json: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    let digest = |input: &str| {
        let out = portcullis(&["check", "-", "--format", "json"], input);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
        let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        report["policy"]["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest(&yaml), digest(&json.to_string()));
}

const BAD: &str = "\
apiVersion: portcullis/v1
kind: GatewayPolicie
name: shop
name: shop
routes:
- name: a
  match:
    path: {type: Exact, value: orders}
  authentication: {open: {because: test}}
  colour: red
- name: b
  match: {}
  mode: Shadow
";

#[test]
fn every_problem_with_its_line() {
    let out = portcullis(&["check", "-"], BAD);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(
        text(&out.stdout),
        "\
-:4:7: error: name: the key stands twice
    help: keep one of them
-:2:7: error: kind: unknown value `GatewayPolicie`
    help: did you mean `GatewayPolicy`?
-:6:3: error: routes[0]: unknown field `colour`
    help: known here: `name`, `mode`, `match`, `authentication`, `exposure`, `request`, `authorization`, `priority`, `cors`, `rateLimit`, `upstream`, `response`, `audit`
-:8:32: error: routes[0].match.path.value: `orders` does not begin with `/`
-:11:3: error: routes[1]: `authentication` is missing
    help: map: Who is asked for. An open route says so, and why.
-:13:9: warning: routes[1].mode: in `Shadow`, nothing is refused here
    help: write `Enforce` once the audit shows what you expect
-: refused: 5 errors, 1 warning
"
    );
}

#[test]
fn problems_for_programs() {
    let out = portcullis(&["check", "-", "--format", "json"], BAD);
    assert_eq!(out.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&report["ok"], &report["policy"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(report["problems"].as_array().unwrap().len(), 6);
    assert_eq!(
        report["problems"][1],
        serde_json::json!({
            "severity": "error", "place": "kind", "message": "unknown value `GatewayPolicie`",
            "help": "did you mean `GatewayPolicy`?", "line": 2, "column": 7,
        })
    );
}

/// `{file: …}` for a secret of each kind: what the gateway would say of such a variable is said of the file, and no secret is shown.
#[test]
fn secrets_in_files_are_looked_at() {
    let directory = scratch("secrets_in_files_are_looked_at");
    let policy = directory.join("policy.yaml");
    let put = |name: &str, content: &str| std::fs::write(directory.join(name), content).unwrap();
    let key = directory.join("signing.pem");
    let made = portcullis(&["keys", "new", "--kid", "a", "--out", key.to_str().unwrap()], "");
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let jwks = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    let good = "thirty-two bytes of it, at least!";
    std::fs::write(
        &policy,
        "\
apiVersion: portcullis/v1
kind: GatewayPolicy
name: files
audit:
  subject: Hashed
  hashKey: {file: hash}
  sinks: {otlp: {uri: 'http://collector/v1/logs', cluster: c, headers: [{name: authorization, file: header}]}}
jwt:
  providers:
  - {name: shared, issuer: i, audiences: [a], maxLifetime: 1h, algorithms: [HS256], secret: {file: secret}, nextSecret: {file: next}}
  - {name: opaque, issuer: o, audiences: [a], maxLifetime: 1h, introspection: {uri: 'https://o/i', cluster: c, clientId: g, clientSecret: {file: client}, nextClientSecret: {file: client-next}}}
  - {name: keys, issuer: k, audiences: [a], maxLifetime: 1h, localJWKS: {file: jwks.json}}
apiKeyAuth:
  pepper: {file: pepper}
  nextPepper: {file: pepper-next}
  keys: [{client: c, keyHash: 'hmac-sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}]
signing:
  issuer: g
  keys:
  - {kid: a, algorithm: EdDSA, privateKey: {file: signing.pem}}
  - {kid: h, algorithm: HS256, secret: {file: shared}}
routes:
- {name: all, match: {}, authentication: {anyOf: [{jwt: {}}, {apiKey: {}}]}, upstream: {assertion: {audience: x}}}
",
    )
    .unwrap();
    let pem = std::fs::read_to_string(&key).unwrap();
    let all = || {
        let names = ["hash", "secret", "next", "client", "client-next", "pepper", "pepper-next", "shared"];
        for name in names {
            put(name, &format!("{good}\n"));
        }
        put("header", "Bearer abc\n");
        put("jwks.json", jwks);
        put("signing.pem", &pem);
    };
    let check = || {
        let out = portcullis(&["check", "--with-files", policy.to_str().unwrap()], "");
        let shown = text(&out.stdout);
        assert!(
            !shown.contains("thirty-two") && !shown.contains("PRIVATE") && !shown.contains("FILE_"),
            "{shown}"
        );
        (out.status.code(), shown)
    };
    all();
    let (code, shown) = check();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches("warning: ").count(), 11, "{shown}");
    assert!(
        shown.contains("policy.yaml:6:12: warning: audit.hashKey: a file is read by the command line alone"),
        "{shown}"
    );
    assert!(!shown.contains("digest"), "the gateway would not take this document: {shown}");
    let out = portcullis(&["check", policy.to_str().unwrap()], "");
    let shown = text(&out.stdout);
    assert_eq!((out.status.code(), shown.matches("error: ").count()), (Some(1), 11), "as it is: {shown}");
    for (name, content, told) in [
        ("hash", "short", "error: audit.hashKey: shorter than 32 bytes"),
        ("header", "a\rb", "error: audit.sinks.otlp.headers[0]: no header can hold it"),
        ("secret", "short", "error: jwt.providers[0].secret: secret shorter than the algorithm's hash"),
        ("next", "short\n\n", "error: jwt.providers[0].nextSecret: secret shorter than the algorithm's hash"),
        ("client", "\n", "error: jwt.providers[1].introspection.clientSecret: the file is empty"),
        ("client-next", "", "error: jwt.providers[1].introspection.nextClientSecret: the file is empty"),
        ("jwks.json", "{}", "error: jwt.providers[2].localJWKS: no usable key set"),
        ("pepper", "short", "error: apiKeyAuth.pepper: pepper shorter than 32 bytes"),
        ("pepper-next", "short", "error: apiKeyAuth.nextPepper: pepper shorter than 32 bytes"),
        ("signing.pem", good, "error: signing.keys[0].privateKey: no key for the algorithm"),
        ("shared", "short", "error: signing.keys[1].secret: no key for the algorithm"),
        ("shared", "a\0b", "error: signing.keys[1].secret: the file holds a NUL"),
    ] {
        all();
        put(name, content);
        let (code, shown) = check();
        assert_eq!((code, shown.matches("error: ").count()), (Some(1), 1), "{name}: {shown}");
        assert!(shown.contains(told), "{name}: {shown}");
    }
    all();
    std::fs::remove_file(directory.join("next")).unwrap();
    let (code, shown) = check();
    assert!(
        code == Some(1) && shown.contains("error: jwt.providers[0].nextSecret: the file cannot be read"),
        "{shown}"
    );
}

#[test]
fn what_cannot_be_read() {
    let bomb: String = std::iter::once("a0: &a0 [x, x]\n".to_owned())
        .chain((1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)))
        .collect();
    let deep = "[".repeat(5000);
    for (input, fault) in [
        ("a: [", "-: not YAML: "),
        ("{\"a\": ", "-: not JSON: EOF while parsing a value at line 1 column 6"),
        ("", "-: the document is empty"),
        (&bomb, "-: not YAML: "),
        (&deep, "-: not YAML: "),
        ("a: 1\n---\nb: 2\n", "-: not YAML: "),
    ] {
        let out = portcullis(&["check", "-"], input);
        assert_eq!(out.status.code(), Some(2), "{fault}");
        assert!(text(&out.stderr).starts_with(fault), "{}", text(&out.stderr));
        assert_eq!(text(&out.stdout), "");
    }
    let out = portcullis(&["check", "no/such/file.yaml"], "");
    assert_eq!(out.status.code(), Some(2));
    assert_eq!(text(&out.stderr), "no/such/file.yaml: No such file or directory (os error 2)\n");
    let out = portcullis(&["check", "no/such/file.yaml", "--format", "json"], "");
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stdout).contains("\"unreadable\""));
    assert_eq!(portcullis(&["chek"], "").status.code(), Some(2));
}

#[test]
fn the_reference_is_in_step() {
    let out = portcullis(&["reference"], "");
    assert_eq!(out.status.code(), Some(0));
    let printed = text(&out.stdout);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differ = printed.lines().zip(kept.lines()).find(|(a, b)| a != b);
    assert!(
        printed == kept,
        "docs/policy.md is not what the code says; write it anew with\n    \
         cargo run -p portcullis-cli -- reference > docs/policy.md\nfirst difference: {differ:?}"
    );
    // A link that leads nowhere is a shape that is not printed.
    for anchor in printed.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        let kept = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let is_it = |line: &str| {
            line.strip_prefix("## ")
                .is_some_and(|title| title.to_lowercase().chars().filter(kept).eq(anchor.chars()))
        };
        assert!(printed.lines().any(is_it), "#{anchor}");
    }
}

#[test]
fn keys_sign_tokens() {
    let folder = scratch("keys_sign_tokens");
    for alg in ["ES256", "EdDSA", "RS256"] {
        let file = folder.join(format!("{alg}.jwk"));
        let file = file.to_str().unwrap();
        let made = portcullis(&["token", "key", "--alg", alg, "--kid", "k1", "--out", file], "");
        assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
        let public: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        assert_eq!((&public["keys"][0]["kid"], &public["keys"][0]["alg"]), (&"k1".into(), &alg.into()));
        for private in ["d", "p", "q", "dp", "dq", "qi"] {
            assert!(public["keys"][0].get(private).is_none(), "{alg} shows {private}");
        }

        let again = portcullis(&["token", "key", "--alg", alg, "--out", file], "");
        assert_eq!(again.status.code(), Some(2), "a key is never overwritten");

        let arguments = [
            "token",
            "mint",
            "--key",
            file,
            "--sub",
            "u",
            "--iss",
            "i",
            "--aud",
            "a",
            "--scope",
            "r w",
            "--exp",
            "-60",
            "--claims",
            r#"{"org":{"dept":"eu"},"iat":5,"sub":"x"}"#,
            "--typ",
            "at+jwt",
        ];
        let minted = portcullis(&arguments, "");
        assert_eq!(minted.status.code(), Some(0), "{}", text(&minted.stderr));
        let token = text(&minted.stdout);
        let (header, claims) = parts(token.trim_end());
        assert_eq!(header, serde_json::json!({"alg": alg, "kid": "k1", "typ": "at+jwt"}));
        let mut expected = serde_json::json!({"org": {"dept": "eu"}, "iat": 5, "sub": "u", "iss": "i", "aud": "a", "scope": "r w"});
        assert!(claims["exp"].as_i64().unwrap() > 1_700_000_000);
        expected["exp"] = claims["exp"].clone();
        assert_eq!(claims, expected);
        assert!(verifies(alg, &public["keys"][0], token.trim_end()), "{alg}");
    }
}

#[test]
#[cfg(unix)]
fn a_private_key_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = scratch("a_private_key").join("key.jwk");
    let out = portcullis(&["token", "key", "--out", file.to_str().unwrap()], "");
    assert_eq!(out.status.code(), Some(0));
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_api_key_and_its_entry() {
    let pepper = "thirty-two bytes of pepper, at least";
    let run = |arguments: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["apikey", "new", "--client", "partner-a"])
            .args(arguments)
            .env("PEPPER", pepper)
            .env("SHORT", "salt")
            .output()
            .unwrap();
        (out.status.code(), text(&out.stdout), text(&out.stderr))
    };
    for (arguments, keyed, members) in [
        (&[][..], false, serde_json::json!({})),
        (
            &[
                "--scope",
                "orders.read",
                "--scope",
                "orders.write",
                "--tier",
                "gold",
                "--expires",
                "2126-01-31T00:00:00Z",
            ],
            false,
            serde_json::json!({"scopes": ["orders.read", "orders.write"], "tier": "gold", "expiresAt": "2126-01-31T00:00:00.000Z"}),
        ),
        (&["--pepper-env", "PEPPER"], true, serde_json::json!({})),
    ] {
        let (status, out, err) = run(arguments);
        assert_eq!(status, Some(0), "{err}");
        let lines: Vec<&str> = out.lines().collect();
        let [key, entry] = lines[..] else { panic!("{out}") };
        assert!(key.starts_with("pck_") && key.len() == 47, "{key}");
        assert!(!entry.contains(key) && !err.contains(key), "the key stands once");
        let hash = KeyHash::of(key.as_bytes(), keyed.then_some(pepper.as_bytes()));
        let mut expected = serde_json::json!([{"client": "partner-a", "keyHash": hash.to_string()}]);
        expected[0].as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let read: serde_json::Value = serde_saphyr::from_str(entry).unwrap();
        assert_eq!(read, expected);

        let pepper = if keyed { "  pepper: {env: PEPPER}\n" } else { "" };
        let policy = format!(
            "apiVersion: portcullis/v1\nkind: GatewayPolicy\nname: shop\napiKeyAuth:\n{pepper}  keys:\n  {entry}\n\
             routes:\n- {{name: all, match: {{}}, authentication: {{apiKey: {{}}}}}}\n"
        );
        let checked = portcullis(&["check", "-"], &policy);
        assert_eq!(checked.status.code(), Some(0), "{policy}{}", text(&checked.stdout));
    }
    assert_ne!(run(&[]).1, run(&[]).1);
    let (_, out, _) = run(&["--expires", "90d"]);
    assert!(out.contains("\"expiresAt\": \"2"), "{out}");
    for (arguments, told) in [
        (&["--expires", "soon"][..], "portcullis apikey: --expires: not `90d`"),
        (&["--expires", "1999-01-01T00:00:00Z"], "portcullis apikey: --expires: not `90d`"),
        (&["--scope", "a b"], "portcullis apikey: apiKeyAuth.keys[0].scopes: `a b` is not a scope"),
        (
            &["--tier", "gold plated"],
            "portcullis apikey: apiKeyAuth.keys[0].tier: `gold plated` is not a name",
        ),
        (&["--pepper-env", "NOWHERE"], "portcullis apikey: NOWHERE: environment variable not found"),
        (&["--pepper-env", "SHORT"], "portcullis apikey: SHORT: shorter than 32 bytes"),
        (&["--key", "mine"], "error: unexpected argument '--key'"),
    ] {
        let (status, out, err) = run(arguments);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.starts_with(told), "{err}");
    }
    let help = text(&portcullis(&["apikey", "new", "--help"], "").stdout);
    for word in ["--client", "--scope", "--tier", "--expires", "--pepper-env", "first line is the key"] {
        assert!(help.contains(word), "{help}");
    }
}

fn parts(token: &str) -> (serde_json::Value, serde_json::Value) {
    use base64::Engine as _;
    let decode = |part: &str| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let mut parts = token.split('.');
    (decode(parts.next().unwrap()), decode(parts.next().unwrap()))
}

/// By the library, from the public key that was printed; the token has expired, which is allowed for here.
fn verifies(alg: &str, jwk: &serde_json::Value, token: &str) -> bool {
    use base64::Engine as _;
    use jwt_simple::prelude::*;
    let options = VerificationOptions {
        time_tolerance: Some(Duration::from_secs(3600)),
        ..VerificationOptions::default()
    };
    let jwk_text = jwk.to_string();
    let verified = match alg {
        "ES256" => {
            ES256PublicKey::from_jwk(&jwk_text).unwrap().verify_token::<NoCustomClaims>(token, Some(options))
        }
        "EdDSA" => Ed25519PublicKey::from_jwk(&jwk_text)
            .unwrap()
            .verify_token::<NoCustomClaims>(token, Some(options)),
        _ => {
            let number = |name: &str| {
                base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap()
            };
            let key = RS256PublicKey::from_components(&number("n"), &number("e")).unwrap();
            key.verify_token::<NoCustomClaims>(token, Some(options))
        }
    };
    verified.is_ok()
}

/// A key that is made is one that the gateway takes, and what is shown of it is public.
#[test]
fn signing_keys() {
    let folder = scratch("signing-keys");
    for (algorithm, members) in [("EdDSA", ["OKP", "Ed25519"]), ("ES256", ["EC", "P-256"])] {
        let file = folder.join(algorithm);
        let path = file.to_str().unwrap();
        let new = ["keys", "new", "--kid", "2027-a", "--algorithm", algorithm, "--out", path];
        let made = portcullis(&new, "");
        let entry = format!(
            "- {{\"kid\": \"2027-a\", \"algorithm\": \"{algorithm}\", \"privateKey\": {{\"env\": \"SIGNING_KEY\"}}}}\n"
        );
        assert_eq!((made.status.code(), text(&made.stdout)), (Some(0), entry));
        let private = std::fs::read_to_string(&file).unwrap();
        assert!(private.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(portcullis(&new, "").status.code(), Some(2), "a key is never overwritten");
        let shown =
            portcullis(&["keys", "export", "--kid", "2027-a", "--algorithm", algorithm, "--file", path], "");
        let set: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let key = &set["keys"][0];
        assert_eq!((&key["kid"], &key["alg"]), (&"2027-a".into(), &algorithm.into()));
        assert_eq!([&key["kty"], &key["crv"]], members);
        assert!(key.get("d").is_none());
        let policy = format!(
            "apiVersion: portcullis/v1\nkind: GatewayPolicy\nname: a\nsigning:\n  issuer: gw\n  keys:\n  {entry}routes:\n- name: a\n  \
             match: {{}}\n  authentication: {{open: {{because: test}}}}\n  upstream: {{assertion: {{audience: a}}}}\n",
            entry = text(&made.stdout)
        );
        assert_eq!(portcullis(&["check", "-"], &policy).status.code(), Some(0), "{policy}");
    }
    let eddsa = folder.join("EdDSA");
    for arguments in [
        &["keys", "export", "--kid", "a", "--algorithm", "ES256", "--file", eddsa.to_str().unwrap()][..],
        &["keys", "export", "--kid", "a", "--env", "PORTCULLIS_TEST_NOT_THERE"],
        &["keys", "export", "--kid", "a b", "--file", eddsa.to_str().unwrap()],
        &["keys", "export", "--kid", "a"],
        &["keys", "new", "--kid", "a\"", "--out", folder.join("odd").to_str().unwrap()],
    ] {
        let out = portcullis(arguments, "");
        assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0), "{arguments:?}");
    }
    assert!(!folder.join("odd").exists());
}
