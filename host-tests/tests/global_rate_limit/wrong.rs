//! What if the service does not speak gRPC as it should? HTTP/2 by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::{Gateway, by_tenant};

/// What is answered to a question.
#[derive(Clone)]
struct Answer {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    trailers: Option<&'static str>,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Whole,
    /// The stream is reset after the body.
    Reset,
    /// Nothing is ever said.
    Silence,
}

struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    _runtime: Runtime,
}

/// A yes in its frame.
const YES: [u8; 7] = [0, 0, 0, 0, 2, 8, 1];

fn answer(body: &[u8]) -> Answer {
    Answer {
        status: 200,
        content_type: "application/grpc",
        body: body.to_vec(),
        trailers: Some("0"),
        ending: Ending::Whole,
    }
}

impl Server {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(answer(&YES)));
        let answer = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer)));
            }
        });
        Self { address, answer: shared, _runtime: runtime }
    }
}

async fn serve(stream: TcpStream, answer: Arc<Mutex<Answer>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let answer = answer.lock().unwrap().clone();
        tokio::spawn(async move {
            if answer.ending == Ending::Silence {
                tokio::time::sleep(Duration::from_secs(30)).await;
                return;
            }
            let head = Response::builder()
                .status(answer.status)
                .header("content-type", answer.content_type)
                .body(())
                .unwrap();
            let only_head = answer.body.is_empty() && answer.trailers.is_none();
            let Ok(mut stream) = respond.send_response(head, only_head) else { return };
            if only_head {
                return;
            }
            let last = answer.trailers.is_none() && answer.ending == Ending::Whole;
            let _ = stream.send_data(Bytes::from(answer.body), last);
            if answer.ending == Ending::Reset {
                stream.send_reset(h2::Reason::INTERNAL_ERROR);
            } else if let Some(status) = answer.trailers {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse().unwrap());
                let _ = stream.send_trailers(trailers);
            }
        });
    }
}

#[test]
fn answers_that_are_none() {
    let server = Server::start();
    let limit = by_tenant(&json!({"timeout": "300ms"}));
    let open = by_tenant(&json!({"timeout": "300ms", "failureMode": "Allow"}));
    let gateway = Gateway::start(server.address.port(), &[("deny", limit), ("allow", open)]);
    let huge = [&[0, 0, 8, 0, 0][..], &vec![0x1a; 1 << 19]].concat();
    let rows = [
        ("a status of 500", Answer { status: 500, ..answer(&YES) }),
        ("another content type", Answer { content_type: "text/html", ..answer(b"<html>") }),
        ("a yes without an end", Answer { trailers: None, ..answer(&YES) }),
        ("a head and nothing else", Answer { trailers: None, ..answer(b"") }),
        ("a yes that was taken back", Answer { trailers: Some("13"), ..answer(&YES) }),
        ("a yes and a reset", Answer { ending: Ending::Reset, ..answer(&YES) }),
        ("silence", Answer { ending: Ending::Silence, ..answer(&YES) }),
        ("no message", answer(b"")),
        ("half a frame", answer(&YES[..4])),
        ("half a message", answer(&YES[..6])),
        ("a compressed message", answer(&[1, 0, 0, 0, 2, 8, 1])),
        ("two messages", answer(&[YES, YES].concat())),
        ("no code at all", answer(&[0, 0, 0, 0, 0])),
        ("a code that nobody knows", answer(&[0, 0, 0, 0, 2, 8, 9])),
        ("garbage", answer(&[0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("half a megabyte", answer(&huge)),
    ];
    gateway.until_well("/deny");
    for (what, wrong) in rows {
        *server.answer.lock().unwrap() = wrong;
        assert_eq!(gateway.told("/deny", "a"), (503, "limiter_unavailable".to_owned()), "{what}");
        assert_eq!(gateway.told("/allow", "a").0, 200, "{what}");
        *server.answer.lock().unwrap() = answer(&YES);
        gateway.until_well("/deny");
    }
    let log = gateway.envoy.log();
    assert!(!log.contains("panic") && !log.contains("[critical]"), "{log}");
}
