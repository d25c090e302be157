//! Which journey do these bytes stand for? One line is one thing that happens, so that what changes a byte or a line changes a thing.
//!
//! ```text
//! @2                            the policy
//! ?source.address: 10.1.1.1:5   what the proxy knows of the next request
//! :path: /x                     a field of its head; what is not said of :method, :scheme, :authority and :path is usual
//! authorization: Bearer {token} …with a credential
//! +100                          so many bytes of its body
//! ~x-checksum: 1                a field of its trailers
//! >:status: 503                 a field of the response that the upstream will give
//! <200 {"active":true}          the last call of the gateway's own that has no answer gets this one
//! <cache-control: no-store      …with this field, which stands before that line
//! #5000                         so many milliseconds pass
//! -                             the client leaves
//! &                             the next request comes while this one is under way
//!                               (an empty line) the upstream responds, and this request is over
//! ```
//!
//! Every input is a journey. A line that says nothing is nothing.

use std::mem::take;

use crate::credentials::{Minted, SIGNED, Wallet};

/// Lines of an input that are read; each costs a callback at most.
const LINES: usize = 160;
/// Bytes of one piece of a body.
const PIECE: u32 = 1 << 20;
/// Milliseconds that pass at once: two days.
const PAUSE: u64 = 2 * 86_400_000;

/// Names and values; names are in lower case.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// One journey.
#[derive(Debug, Default)]
pub struct Journey {
    /// Which policy: any number.
    pub policy: usize,
    /// What happens.
    pub events: Vec<Event>,
    /// Tokens that the issuer signed for it.
    pub minted: Vec<Minted>,
}

/// One thing that happens. What belongs to a request belongs to the last that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request comes.
    Arrive {
        /// Its head.
        head: Fields,
        /// What the proxy knows of it beside.
        properties: Vec<(String, Vec<u8>)>,
        /// Whether that is all.
        end: bool,
    },
    /// So many bytes of body are here.
    Body(u32),
    /// Its trailers are here.
    Trailers(Fields),
    /// The upstream responds, if it was asked, and the request is over.
    Finish(Fields),
    /// The client leaves before.
    Leave,
    /// The last call of the gateway's own that has no answer gets this one.
    Answer {
        /// Its head.
        head: Fields,
        /// Its body.
        body: Vec<u8>,
    },
    /// Time passes, in milliseconds.
    Pass(u64),
}

/// What was said so far of what has not happened yet.
#[derive(Default)]
struct Reader {
    journey: Journey,
    head: Fields,
    properties: Vec<(String, Vec<u8>)>,
    trailers: Fields,
    response: Fields,
    answer: Fields,
}

impl Journey {
    /// Reads an input.
    pub fn read(bytes: &[u8], wallet: &Wallet) -> Self {
        let mut reader = Reader::default();
        for line in bytes.split(|&b| b == b'\n').take(LINES) {
            let filled = wallet.fill(line, SIGNED.saturating_sub(reader.journey.minted.len()));
            reader.journey.minted.extend(filled.minted);
            reader.line(&filled.line);
        }
        reader.finish();
        reader.journey
    }
}

impl Reader {
    fn line(&mut self, line: &[u8]) {
        let Some((&sign, rest)) = line.split_first() else { return self.finish() };
        match sign {
            b'@' => self.journey.policy = number(rest).and_then(|number| number.try_into().ok()).unwrap_or(0),
            b'?' => {
                if let Some((name, value)) = field(rest)
                    && let Ok(name) = String::from_utf8(name)
                {
                    self.properties.push((name, value));
                }
            }
            b'+' => {
                self.arrive(false);
                let size = number(rest).map_or(0, |size| u32::try_from(size).unwrap_or(PIECE).min(PIECE));
                self.happen(Event::Body(size));
            }
            b'~' => {
                self.arrive(false);
                self.trailers.extend(field(rest));
            }
            b'>' => {
                self.arrive(true);
                self.response.extend(field(rest));
            }
            b'<' => self.answer(rest),
            b'#' => {
                self.arrive(true);
                self.happen(Event::Pass(number(rest).unwrap_or(0).min(PAUSE)));
            }
            b'-' => {
                self.arrive(true);
                self.happen(Event::Leave);
            }
            b'&' => self.arrive(true),
            _ => self.head.extend(field(line)),
        }
    }

    fn answer(&mut self, rest: &[u8]) {
        self.arrive(true);
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            self.answer.extend(field(rest));
            return;
        }
        let (status, body) = rest.split_at(digits);
        let mut head = vec![(b":status".to_vec(), status.to_vec())];
        head.extend(take(&mut self.answer));
        self.happen(Event::Answer { head, body: body.strip_prefix(b" ").unwrap_or(body).to_vec() });
    }

    /// What was said of a head is all that there is of it.
    fn arrive(&mut self, end: bool) {
        if !self.head.is_empty() {
            let (head, properties) = (take(&mut self.head), take(&mut self.properties));
            self.journey.events.push(Event::Arrive { head: with_usual(head), properties, end });
        }
    }

    fn happen(&mut self, event: Event) {
        self.trail();
        self.journey.events.push(event);
    }

    fn trail(&mut self) {
        if !self.trailers.is_empty() {
            self.journey.events.push(Event::Trailers(take(&mut self.trailers)));
        }
    }

    fn finish(&mut self) {
        self.arrive(true);
        let response = take(&mut self.response);
        self.happen(Event::Finish(response));
    }
}

/// The pseudo headers that are not there, before the others.
fn with_usual(head: Fields) -> Fields {
    let usual: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"h"), (b":path", b"/")];
    let missing = usual.iter().filter(|(name, _)| head.iter().all(|(known, _)| known != name));
    let mut all: Fields = missing.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    all.extend(head);
    all
}

/// `name: value`. A host hands over names in lower case, and no value with a control byte.
fn field(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let skip = usize::from(line.first() == Some(&b':'));
    let colon = line.iter().skip(skip).position(|&b| b == b':')? + skip;
    let (name, value) = line.split_at(colon);
    let value = value[1..].trim_ascii();
    let holds = !name.is_empty() && name.is_ascii() && !line.iter().any(|b| *b < 0x20 || *b == 0x7f);
    holds.then(|| (name.to_ascii_lowercase(), value.to_vec()))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits.trim_ascii()).ok()?.parse().ok()
}
