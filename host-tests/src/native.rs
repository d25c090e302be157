//! What does the filter's own code do with a scenario, without wasm and without a proxy?

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use portcullis_filter::gateway::{Flow, Gateway, Stream};
use portcullis_filter::host::StreamId;

use crate::corpus::{Case, Plan, Runner};
use crate::exchange::Request;
use crate::fake_host::{FakeHost, World};
use crate::observed::Observed;

/// The seed of the limits' table. Any will do: a test wants the same buckets every time.
const SEED: [u8; 16] = *b"portcullis-tests";

/// The filter's code over a [`FakeHost`]: two gateways, as two workers have, in one world.
#[derive(Default)]
pub struct Native {
    begun: Option<Begun>,
}

impl Native {
    /// Everything logged so far.
    pub fn log(&self) -> Vec<String> {
        self.begun.as_ref().map(|begun| begun.world.log().clone()).unwrap_or_default()
    }
}

struct Begun {
    world: Rc<World>,
    workers: Vec<Rc<Gateway>>,
    start: Duration,
    next: usize,
}

impl Runner for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn begin(&mut self, case: &Case, plan: &Plan) -> Result<(), String> {
        let world = World::new(nanos(plan.start), case.env.clone(), true);
        // A gateway is loaded outside of any request; the world is the same.
        let host = FakeHost::new(Rc::clone(&world), &Request::get("", "/"));
        let document = case.policy.to_string().into_bytes();
        let worker = || Gateway::start(&document, SEED, &host).map(Rc::new);
        let workers = (0..2).map(|_| worker()).collect::<Result<Vec<_>, _>>();
        let workers = workers.map_err(|problems| format!("the policy is refused: {problems:#?}"))?;
        self.begun = Some(Begun { world, workers, start: plan.start, next: 0 });
        Ok(())
    }

    fn send(&mut self, offset: Duration, request: &Request) -> Result<Observed, String> {
        let begun = self.begun.as_mut().ok_or("not begun")?;
        begun.world.set_now(nanos(begun.start + offset));
        let gateway = &begun.workers[begun.next % begun.workers.len()];
        begun.next += 1;
        let logged = begun.world.log().len();
        let host = FakeHost::new(Rc::clone(&begun.world), request);
        let stream = Rc::new(RefCell::new(Stream::new(Rc::clone(gateway))));
        let mut flow = stream.borrow_mut().on_request_headers(&host, !request.has_body());
        if flow == Flow::Wait {
            gateway.on_wait(&host, StreamId(1), &stream);
            // What is waited for is known to be out of reach at the first look.
            gateway.on_tick(&host);
            flow = if host.is_resumed() { Flow::Continue } else { Flow::Stop };
        }
        if flow == Flow::Continue {
            host.head_is_sent();
            for piece in request.body.pieces() {
                if stream.borrow_mut().on_request_body(&host, piece.len()) == Flow::Stop {
                    break;
                }
            }
        }
        if host.has_answered() {
            host.filter_answers();
        } else {
            host.upstream_answers();
        }
        stream.borrow_mut().on_response_headers(&host);
        host.finish();
        stream.borrow_mut().on_log(&host);
        Ok(host.observe(logged))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
