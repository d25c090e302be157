//! How is an input changed? By bits and bytes, by lines, by words of its language, and by pieces of another input.

use crate::canaries::Dice;

/// Bytes of an input, at most: as for libFuzzer, longer ones only slow the search down.
pub const LONGEST: usize = 2048;

/// Lines and pieces of lines that mean something to a policy of a journey.
const WORDS: [&str; 106] = [
    "@0",
    "@1",
    "@2",
    "@3",
    "\n",
    "\n\n",
    "\n&\n",
    "\n-\n",
    "\n+10",
    "\n+65",
    "\n+2000",
    "\n#1000",
    "\n#61000",
    "\n#3600000",
    "\n~x-user: root",
    "\n~authorization: a",
    "\n<200 ",
    "\n<401",
    "\n<503 ",
    "\n<200 {\"active\":true,\"sub\":\"s\",\"aud\":\"a\",\"exp\":1800000300,\"iat\":1800000000}",
    "\n<200 {\"active\":false}",
    "\n<200 {yes}",
    "\n<200 {no}",
    "\n<200 {jwks}",
    "\n<cache-control: max-age=10",
    "\n<retry-after: 3",
    "\n>:status: 503",
    "\n>x-cost: 3",
    "\n>server: a",
    "\n>vary: Origin",
    "\n>set-cookie: a=b",
    "\n>access-control-allow-origin: *",
    "\n>content-security-policy: default-src 'self'",
    "\n>ratelimit: a",
    "\n>x-portcullis-assertion: a",
    "\n?source.address: 192.0.2.1:1",
    "\n?source.address: [2001:db8::1]:1",
    "\n?source.address: no",
    "\n?connection.tls_version: TLSv1.3",
    "\n:method: POST",
    "\n:method: OPTIONS",
    "\n:method: HEAD",
    "\n:path: /open",
    "\n:path: /keys",
    "\n:path: /ruled",
    "\n:path: /stepped",
    "\n:path: /limited",
    "\n:path: /maybe",
    "\n:path: /page",
    "\n:path: /anywhere",
    "\n:path: /inner",
    "\n:path: /strict/1/x",
    "\n:path: /n/7",
    "\n:path: /trial",
    "\n:path: /told",
    "\n:path: /signed",
    "\n:path: /unsigned",
    "\n:path: /tried",
    "\n:path: /asked",
    "\n:path: /fetched",
    "\n:path: /either",
    "\n:path: /leased",
    "\n:path: /.well-known/jwks.json",
    "\n:authority: a.shop.example:443",
    "\n:scheme: http",
    "/../",
    "//",
    "%2e",
    "%2F",
    "%00",
    "%c0",
    ";x",
    "?t={token}",
    "&k={key}",
    "\nauthorization: Bearer {token}",
    "\nauthorization: Bearer {opaque}",
    "\nauthorization: bearer ",
    "\ncookie: s={token}; key={key}",
    "\nx-api-key: {key}",
    "\nx-api-key: {pepperedkey}",
    "\nx-user: root",
    "\nx_user: root",
    "\nx-roles: a",
    "\nx-client: a",
    "\norigin: https://app.example",
    "\norigin: null",
    "\naccess-control-request-method: PUT",
    "\naccess-control-request-headers: x-a",
    "\nx-need: ab-1",
    "\nx-debug: 1",
    "\nx-version: 2",
    "\nx-tenant: t",
    "\ncontent-type: application/json",
    "\ncontent-type: application/grpc",
    "\ncontent-length: 70",
    "\nx-request-id: 0f8fad5b-d9cb-469f-a165-70867728950e",
    "\nx-forwarded-for: 1.2.3.4",
    "\nx-real-ip: 1.2.3.4",
    "[[{\"iss\":\"i\",\"aud\":\"a\",\"sub\":\"s\",\"iat\":1800000000,\"exp\":1800000300}]]",
    "\"scope\":\"read\",",
    "\"realm\":{\"roles\":[\"admin\"]},",
    "\"level\":3,",
    "null",
    "18446744073709551616",
    "-1",
    "1e3",
];

/// Names of credentials, which stand in braces.
pub const CREDENTIALS: [&str; 20] = [
    "token",
    "scoped",
    "bob",
    "revoked",
    "stepped",
    "expired",
    "early",
    "long",
    "other",
    "stranger",
    "forged",
    "unknown",
    "nokid",
    "none",
    "rs256",
    "hs256",
    "opaque",
    "key",
    "oldkey",
    "pepperedkey",
];

/// Numbers at which something may turn.
const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "2",
    "3",
    "9",
    "10",
    "11",
    "63",
    "64",
    "65",
    "1000",
    "1024",
    "1025",
    "60000",
    "1799999999",
    "4294967296",
];

/// Another input, made of this one and perhaps of `other`.
pub fn mutated(input: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(4) {
        change(&mut bytes, other, dice);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(11) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u8::try_from(dice.below(256)).unwrap_or(0);
            }
        }
        2 => insert(bytes, at, &[u8::try_from(dice.below(256)).unwrap_or(0)]),
        3 => {
            let end = (at + 1 + dice.below(8)).min(bytes.len());
            bytes.drain(at.min(end)..end);
        }
        4 | 5 => insert(bytes, at, dice.one(&WORDS).as_bytes()),
        6 => {
            // At the end of a line a word that begins one means most.
            let ends: Vec<usize> =
                (0..=bytes.len()).filter(|at| bytes.get(*at).is_none_or(|b| *b == b'\n')).collect();
            let end = *dice.one(&ends);
            insert(bytes, end, dice.one(&WORDS).as_bytes());
        }
        7 => rename(bytes, dice),
        8 => renumber(bytes, dice),
        9 => lines(bytes, dice),
        _ => splice(bytes, other, dice),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// Another credential in the place of one, or the same with a bit turned over.
fn rename(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let named = |open: &usize| bytes[*open..].iter().take(20).any(|b| *b == b'}');
    let places: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at] == b'{' && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase))
        .filter(named)
        .collect();
    let Some(open) = (!places.is_empty()).then(|| *dice.one(&places)) else { return };
    let length = bytes[open..].iter().position(|b| *b == b'}').unwrap_or(0);
    let known = String::from_utf8_lossy(&bytes[open + 1..open + length]).into_owned();
    let name = known.split('^').next().unwrap_or_default();
    let other = if dice.below(2) == 0 { name } else { *dice.one(&CREDENTIALS) };
    let text = if dice.below(3) == 0 { format!("{other}^{}", dice.below(4000)) } else { other.to_owned() };
    bytes.splice(open + 1..open + length, text.into_bytes());
}

/// Another number in the place of one.
fn renumber(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let begins = |at: &usize| bytes[*at].is_ascii_digit() && (*at == 0 || !bytes[at - 1].is_ascii_digit());
    let places: Vec<usize> = (0..bytes.len()).filter(begins).collect();
    let Some(at) = (!places.is_empty()).then(|| *dice.one(&places)) else { return };
    let length = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    let number = std::str::from_utf8(&bytes[at..at + length]).ok().and_then(|text| text.parse::<u64>().ok());
    let text = match (dice.below(4), number) {
        (0, Some(number)) => number.wrapping_add(1).to_string(),
        (1, Some(number)) => number.wrapping_sub(1).to_string(),
        _ => (*dice.one(&NUMBERS)).to_owned(),
    };
    bytes.splice(at..at + length, text.into_bytes());
}

/// A line twice, in another place, or not at all.
fn lines(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let (from, to) = (dice.below(lines.len()), dice.below(lines.len()));
    match dice.below(4) {
        0 => {
            lines.remove(from);
        }
        1 => lines.swap(from, to),
        2 => lines.insert(to, lines[from].clone()),
        _ => {
            // The whole request again.
            let begin = lines[..from].iter().rposition(Vec::is_empty).map_or(0, |at| at + 1);
            let end = lines[from..].iter().position(Vec::is_empty).map_or(lines.len(), |at| from + at);
            let again = lines[begin..end.max(begin)].to_vec();
            lines.push(Vec::new());
            lines.extend(again);
        }
    }
    *bytes = lines.join(&b'\n');
}

/// The lines of the other, from one on, behind some of these.
fn splice(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let ours: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    let theirs: Vec<&[u8]> = other.split(|b| *b == b'\n').collect();
    let (keep, from) = (dice.below(ours.len() + 1), dice.below(theirs.len()));
    let count = 1 + dice.below(theirs.len() - from);
    let mut lines = ours[..keep].to_vec();
    lines.extend(&theirs[from..from + count]);
    if dice.below(2) == 0 {
        lines.extend(&ours[keep..]);
    }
    *bytes = lines.join(&b'\n');
}
