//! How does a proxy lead requests through a filter, and what was there to see? Told once, for every form that the filter has.

use crate::script::{Event, Fields, Journey};
use crate::world::{Exchange, Reply, World, printed};

/// Milliseconds after which nobody waits any longer, whatever for: the longest patience of the policies is far below.
const PATIENCE: u64 = 600_000;
/// What the proxy tells of a client unless the journey says otherwise.
const CLIENT: &[u8] = b"10.0.0.1:5000";

/// What the filter says of what is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Continue,
    /// It is held back.
    Pause,
}

/// A filter, in whatever form. The context of a call has been told to the world. An error is the end of the filter.
pub trait Filter {
    /// A request's head of so many fields is here.
    fn head(&mut self, world: &World, context: u32, count: usize, end: bool) -> Result<Action, String>;
    /// So many bytes of its body are here: all that are held back, or those that have just come.
    fn body(&mut self, world: &World, context: u32, size: u32, end: bool) -> Result<Action, String>;
    /// Its trailers are here.
    fn trailers(&mut self, world: &World, context: u32, count: usize) -> Result<Action, String>;
    /// The head of the response is here.
    fn response(&mut self, world: &World, context: u32, count: usize) -> Result<Action, String>;
    /// The request is over, and is forgotten.
    fn end(&mut self, world: &World, context: u32) -> Result<(), String>;
    /// Time has passed.
    fn tick(&mut self, world: &World) -> Result<(), String>;
    /// A call is answered with what the world hands over. `sender` is in whose callback it was sent.
    fn answer(&mut self, world: &World, call: u32, sender: u32, reply: &Reply) -> Result<(), String>;
}

/// What there was to see.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Everything, as lines that can be compared by a person.
    pub lines: Vec<String>,
    /// What became of each request.
    pub exchanges: Vec<Exchange>,
}

impl Exchange {
    fn lines(&self) -> Vec<String> {
        let map = |name: &str, fields: &Fields| format!("{name} {}", printed(fields));
        let mut lines = vec![map("request", &self.head)];
        lines.extend(self.trailers.as_ref().map(|fields| map("trailers", fields)));
        lines.extend(self.response.as_ref().map(|fields| map("response", fields)));
        let state = self.state.iter();
        lines.extend(state.map(|(name, value)| format!("state {name}: {}", value.escape_ascii())));
        if let Some(answer) = &self.answer {
            lines.push(format!(
                "answer {} {} grpc {}: {}",
                answer.status,
                answer.details.escape_ascii(),
                answer.grpc_status,
                printed(&answer.fields)
            ));
            lines.push(format!("answer's body {}", answer.body.escape_ascii()));
        }
        lines.push(format!("sent {}", self.sent));
        lines
    }

    /// Whether the upstream may see it.
    pub fn is_marked(&self) -> bool {
        self.state.get("portcullis_admitted").map(Vec::as_slice) == Some(b"1")
    }
}

/// One request on its way.
struct Open {
    context: u32,
    /// Whether its head was all of it.
    whole: bool,
    /// Bytes of its body that are held back.
    held: u32,
    trailed: bool,
    over: bool,
}

/// A journey on its way.
struct Drive<'a, F> {
    filter: &'a mut F,
    world: &'a World,
    requests: Vec<Open>,
    seen: Seen,
}

/// Leads a journey through a filter, as Envoy does with `allow_on_headers_stop_iteration`.
pub fn run(journey: &Journey, filter: &mut impl Filter, world: &World) -> Result<Seen, String> {
    let mut drive = Drive { filter, world, requests: Vec::new(), seen: Seen::default() };
    for event in &journey.events {
        drive.happen(event)?;
    }
    drive.come_to_an_end()?;
    let Drive { requests, mut seen, .. } = drive;
    for request in requests {
        let exchange = world.exchange(request.context).unwrap_or_default();
        seen.lines.extend(exchange.lines().iter().map(|line| format!("{} {line}", request.context)));
        seen.exchanges.push(exchange);
    }
    seen.lines.extend(world.lines());
    Ok(seen)
}

impl<F: Filter> Drive<'_, F> {
    fn happen(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Arrive { head, properties, end } => self.arrive(head, properties, *end),
            Event::Body(size) => self.body(*size, false),
            Event::Trailers(fields) => self.trailers(fields),
            Event::Finish(response) => match self.requests.len().checked_sub(1) {
                Some(last) => self.finish(last, response),
                None => Ok(()),
            },
            Event::Leave => match self.requests.len().checked_sub(1) {
                Some(last) => self.forget(last),
                None => Ok(()),
            },
            Event::Answer { head, body } => self.answer(head, body),
            Event::Pass(milliseconds) => {
                self.world.pass(*milliseconds);
                self.tick()
            }
        }
    }

    fn arrive(&mut self, head: &Fields, properties: &[(String, Vec<u8>)], end: bool) -> Result<(), String> {
        let context = crate::world::ROOT + 1 + u32::try_from(self.requests.len()).unwrap_or(u32::MAX / 2);
        let mut exchange = Exchange { head: head.clone(), ..Exchange::default() };
        exchange.properties.insert("source.address".to_owned(), CLIENT.to_vec());
        exchange.properties.extend(properties.iter().cloned());
        self.world.arrive(context, exchange);
        self.requests.push(Open { context, whole: end, held: 0, trailed: false, over: false });
        self.world.begin(context);
        let action = self.filter.head(self.world, context, head.len(), end)?;
        self.acted("head", context, action);
        Ok(())
    }

    /// What the filter said of a piece of a request. What it let go is gone, and the head with it.
    fn acted(&mut self, what: &str, context: u32, action: Action) {
        self.seen.lines.push(format!("{context} {what}: {action:?}"));
        if action == Action::Continue {
            self.world.change(context, |exchange| exchange.sent = true);
        }
    }

    /// The last request, if the proxy still takes in more of it.
    fn open(&mut self) -> Option<(usize, Exchange)> {
        let last = self.requests.len().checked_sub(1)?;
        let request = self.requests.get(last)?;
        let exchange = self.world.exchange(request.context)?;
        (!request.over && !request.whole && exchange.answer.is_none()).then_some((last, exchange))
    }

    fn body(&mut self, size: u32, end: bool) -> Result<(), String> {
        let Some((place, exchange)) = self.open() else { return Ok(()) };
        let request = &mut self.requests[place];
        if request.trailed {
            return Ok(());
        }
        request.held = if exchange.sent { size } else { request.held.saturating_add(size) };
        request.whole = end;
        let (context, size) = (request.context, request.held);
        self.world.begin(context);
        let action = self.filter.body(self.world, context, size, end)?;
        self.acted("body", context, action);
        Ok(())
    }

    fn trailers(&mut self, fields: &Fields) -> Result<(), String> {
        let Some((place, _)) = self.open() else { return Ok(()) };
        let request = &mut self.requests[place];
        if std::mem::replace(&mut request.trailed, true) {
            return Ok(());
        }
        request.whole = true;
        let context = request.context;
        self.world.change(context, |exchange| exchange.trailers = Some(fields.clone()));
        self.world.begin(context);
        let action = self.filter.trailers(self.world, context, fields.len())?;
        self.acted("trailers", context, action);
        Ok(())
    }

    fn answer(&mut self, head: &Fields, body: &[u8]) -> Result<(), String> {
        let mut reply = Reply { head: head.clone(), body: body.to_vec(), trailers: Fields::new() };
        // A frame of gRPC comes with what belongs to it.
        if body.starts_with(b"\0") {
            let field = |name: &[u8], value: &[u8]| (name.to_vec(), value.to_vec());
            reply.head.push(field(b"content-type", b"application/grpc"));
            reply.trailers.push(field(b"grpc-status", b"0"));
        }
        let Some((call, sender)) = self.world.hand_over(reply.clone()) else { return Ok(()) };
        self.world.begin(sender);
        let answered = self.filter.answer(self.world, call, sender, &reply);
        self.world.put_away();
        answered
    }

    fn tick(&mut self) -> Result<(), String> {
        if !self.world.ticks() {
            return Ok(());
        }
        self.world.begin(crate::world::ROOT);
        self.filter.tick(self.world)
    }

    /// A request of which there is no more to come, and whose upstream responds. One that is held back goes on being held back.
    fn finish(&mut self, place: usize, response: &Fields) -> Result<(), String> {
        let context = self.requests[place].context;
        if place + 1 == self.requests.len() && self.open().is_some() {
            self.body(0, true)?;
        }
        let Some(exchange) = self.world.exchange(context) else { return Ok(()) };
        if self.requests[place].over || exchange.answer.is_none() && !exchange.sent {
            return Ok(());
        }
        let head = exchange.answer.as_ref().map_or_else(
            || with_status(response, "200"),
            |answer| with_status(&answer.fields, &answer.status.to_string()),
        );
        let count = head.len();
        let status = head.iter().find(|(name, _)| name == b":status").map(|(_, value)| value.clone());
        self.world.change(context, |exchange| exchange.response = Some(head));
        self.world.begin(context);
        let action = self.filter.response(self.world, context, count)?;
        self.seen.lines.push(format!("{context} response: {action:?}"));
        let code = status.and_then(|status| String::from_utf8(status).ok()?.parse::<i64>().ok()).unwrap_or(0);
        self.world.change(context, |exchange| {
            let code = exchange.answer.as_ref().map_or(code, |answer| i64::from(answer.status));
            exchange.properties.insert("response.code".to_owned(), code.to_le_bytes().to_vec());
        });
        self.forget(place)
    }

    fn forget(&mut self, place: usize) -> Result<(), String> {
        let request = &mut self.requests[place];
        if std::mem::replace(&mut request.over, true) {
            return Ok(());
        }
        let context = request.context;
        self.world.change(context, |exchange| exchange.over = true);
        self.world.begin(context);
        self.filter.end(self.world, context)
    }

    /// Whoever waits is told something in the end: every wait has a deadline.
    fn come_to_an_end(&mut self) -> Result<(), String> {
        if self.waits() {
            self.world.pass(PATIENCE);
            // The first look may find that something else must be asked for, and the second that this is late, too.
            for _ in 0..2 {
                self.tick()?;
                self.world.pass(PATIENCE);
            }
        }
        self.tick()?;
        for place in 0..self.requests.len() {
            self.finish(place, &Fields::new())?;
        }
        if self.waits() {
            self.seen.lines.push("somebody waits for ever".to_owned());
            return Err("somebody waits for ever".to_owned());
        }
        Ok(())
    }

    fn waits(&self) -> bool {
        let waiting = |exchange: Exchange| exchange.answer.is_none() && !exchange.sent;
        self.requests
            .iter()
            .any(|request| !request.over && self.world.exchange(request.context).is_some_and(waiting))
    }
}

/// A response's head; its own `:status` stands if it has one.
fn with_status(fields: &Fields, usual: &str) -> Fields {
    let mut head = fields.clone();
    if !head.iter().any(|(name, _)| name == b":status") {
        head.insert(0, (b":status".to_vec(), usual.as_bytes().to_vec()));
    }
    head
}
