//! The gateway's own code as a filter, without wasm.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_filter::gateway::{Flow, Gateway, Stream};
use portcullis_filter::host::{Answer, CallId, StreamId};
use portcullis_filter::http::head::serialize;
use portcullis_filter::limits;

use crate::drive::{Action, Filter};
use crate::script::Fields;
use crate::world::{ROOT, Reply, World};

/// A gateway and the requests that it knows, as the plugin's edge keeps them.
pub struct Native {
    gateway: Rc<Gateway>,
    streams: BTreeMap<u32, Rc<RefCell<Stream>>>,
}

impl Native {
    /// Loads a policy. `seed` is what the gateway takes for random.
    pub fn start(policy: &str, seed: [u8; 16], world: &World) -> Result<Self, String> {
        world.begin(ROOT);
        let gateway = Gateway::start(policy.as_bytes(), seed, world);
        let gateway = gateway.map_err(|problems| format!("the policy is refused: {problems:#?}"))?;
        Ok(Self { gateway: Rc::new(gateway), streams: BTreeMap::new() })
    }

    /// An empty world with the tables that this policy takes, to begin journeys in.
    pub fn world(policy: &str, seed: [u8; 16], env: BTreeMap<String, String>) -> Result<World, String> {
        let mut world = World::new(env);
        Self::start(policy, seed, &world)?;
        world.settle();
        Ok(world.furnished())
    }

    fn stream(&self, context: u32) -> Result<Rc<RefCell<Stream>>, String> {
        self.streams.get(&context).cloned().ok_or_else(|| format!("there is no request {context}"))
    }
}

fn action(flow: Flow) -> Action {
    if flow == Flow::Continue { Action::Continue } else { Action::Pause }
}

fn block(fields: &Fields) -> Vec<u8> {
    serialize(fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())))
}

impl Filter for Native {
    fn head(&mut self, world: &World, context: u32, _: usize, end: bool) -> Result<Action, String> {
        let stream = Rc::new(RefCell::new(Stream::new(Rc::clone(&self.gateway))));
        self.streams.insert(context, Rc::clone(&stream));
        let flow = stream.borrow_mut().on_request_headers(world, end);
        if flow == Flow::Wait {
            self.gateway.on_wait(world, StreamId(context), &stream);
        }
        Ok(action(flow))
    }

    fn body(&mut self, world: &World, context: u32, size: u32, _: bool) -> Result<Action, String> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Ok(action(self.stream(context)?.borrow_mut().on_request_body(world, size)))
    }

    fn trailers(&mut self, world: &World, context: u32, _: usize) -> Result<Action, String> {
        Ok(action(self.stream(context)?.borrow_mut().on_request_trailers(world)))
    }

    fn response(&mut self, world: &World, context: u32, _: usize) -> Result<Action, String> {
        Ok(action(self.stream(context)?.borrow_mut().on_response_headers(world)))
    }

    fn end(&mut self, world: &World, context: u32) -> Result<(), String> {
        let stream = self.stream(context)?;
        stream.borrow_mut().on_log(world);
        stream.borrow_mut().leave(world);
        self.streams.remove(&context);
        Ok(())
    }

    fn tick(&mut self, world: &World) -> Result<(), String> {
        self.gateway.on_tick(world);
        Ok(())
    }

    /// As the SDK does it: an answer to what was asked in the callback of a request that is gone is lost.
    fn answer(&mut self, world: &World, call: u32, sender: u32, reply: &Reply) -> Result<(), String> {
        if sender != ROOT && !self.streams.contains_key(&sender) {
            return Ok(());
        }
        let status = reply.head.iter().find(|(name, _)| name == b":status");
        let status = status.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
        let answer = Answer {
            status: status.unwrap_or(0),
            headers: block(&reply.head),
            body: (reply.body.len() <= limits::ANSWER_BYTES).then(|| reply.body.clone()),
            trailers: if reply.trailers.is_empty() { Vec::new() } else { block(&reply.trailers) },
        };
        self.gateway.on_answer(world, CallId(call), answer);
        Ok(())
    }
}
