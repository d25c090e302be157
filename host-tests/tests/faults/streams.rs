//! What of streams that last: messages in both directions, trailers, and clients that reset them at any stage? Over HTTP/2 on both sides.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use host_tests::artifacts;
use host_tests::envoy::Launch;
use host_tests::envoy_config::Listener;
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::{Gateway, NAME, SOON, bearer, get, http2_upstream, policy};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What of one stream reached the upstream.
#[derive(Clone, Debug, Default)]
struct Seen {
    path: String,
    fields: HeaderMap,
    bytes: usize,
    trailers: Option<HeaderMap>,
    reset: bool,
}

/// An upstream that sends back each piece as it comes, and trailers when there are no more.
struct Upstream {
    seen: Arc<Mutex<Vec<Seen>>>,
    port: u16,
    _runtime: Runtime,
}

impl Upstream {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&all)));
            }
        });
        Self { seen, port, _runtime: runtime }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn until(&self, told: &str, is_so: impl Fn(&[Seen]) -> bool) {
        let start = std::time::Instant::now();
        while !is_so(&self.seen()) {
            assert!(start.elapsed() < SOON, "{told}: {:#?}", self.seen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

async fn serve(stream: TcpStream, all: Arc<Mutex<Vec<Seen>>>) -> Result<(), h2::Error> {
    // By itself `h2` gives a connection up after 20 streams that were reset before it looked at them; what the gateway sends next
    // on it would fail, and this upstream is to judge the gateway, not the flood.
    let mut server = h2::server::Builder::new();
    server.max_pending_accept_reset_streams(1_000).max_concurrent_reset_streams(1_000);
    let mut connection = server.handshake::<_, Bytes>(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let (head, body) = request.into_parts();
        let index = {
            let mut all = all.lock().unwrap();
            let path = head.uri.path().to_owned();
            all.push(Seen { path, fields: head.headers, ..Seen::default() });
            all.len() - 1
        };
        let all = Arc::clone(&all);
        let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let Ok(answer) = respond.send_response(response, false) else {
            all.lock().unwrap()[index].reset = true;
            continue;
        };
        tokio::spawn(async move {
            if give_back(body, answer, &all, index).await.is_err() {
                all.lock().unwrap()[index].reset = true;
            }
        });
    }
    Ok(())
}

async fn give_back(
    mut body: RecvStream,
    mut answer: SendStream<Bytes>,
    all: &Mutex<Vec<Seen>>,
    index: usize,
) -> Result<(), h2::Error> {
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.lock().unwrap()[index].bytes += piece.len();
        answer.send_data(piece, false)?;
    }
    all.lock().unwrap()[index].trailers = body.trailers().await?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    answer.send_trailers(trailers)
}

/// A stream that a client has begun.
struct Call {
    answer: h2::client::ResponseFuture,
    out: SendStream<Bytes>,
}

/// One connection to the gateway, and a call on it.
async fn call(server: SocketAddr, authorization: Option<&str>) -> Result<Call, Failure> {
    let (mut sender, connection) = h2::client::handshake(TcpStream::connect(server).await?).await?;
    tokio::spawn(connection);
    begin(&mut sender, authorization)
}

fn begin(sender: &mut h2::client::SendRequest<Bytes>, authorization: Option<&str>) -> Result<Call, Failure> {
    let mut head = Request::builder().method("POST").uri("http://api.example.com/shop.Orders/Watch");
    head = head.header("content-type", "application/grpc").header("te", "trailers");
    if let Some(authorization) = authorization {
        head = head.header("authorization", authorization);
    }
    let (answer, out) = sender.send_request(head.body(())?, false)?;
    Ok(Call { answer, out })
}

/// The next piece, with as much room again for what comes after it.
async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, Failure> {
    let piece = body.data().await.transpose()?;
    if let Some(piece) = &piece {
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok(piece)
}

fn run<T>(conversation: impl Future<Output = Result<T, Failure>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(SOON, conversation).await };
    runtime.block_on(limited).expect("it ends in time").expect("it ends well")
}

fn start(plugin: std::path::PathBuf) -> (Gateway, Upstream) {
    let upstream = Upstream::start();
    let port = upstream.port;
    let launch = Launch {
        clusters: vec![http2_upstream(port)],
        arguments: super::words("--concurrency 1"),
        ..Launch::default()
    };
    let gateway =
        Gateway::launch(plugin, policy(), |listener| Listener { upstream: port, ..listener }, launch);
    (gateway, upstream)
}

/// One in the place of `until_served`, over HTTP/2 to the upstream.
fn assert_served(gateway: &Gateway) {
    assert_eq!(gateway.status(&get("/orders")), 401);
    assert_eq!(gateway.status(&get("/open")), 200);
}

#[test]
fn messages_go_both_ways_for_as_long_as_both_want() {
    let (gateway, upstream) = start(artifacts::plugin().unwrap());
    run(async {
        let token = bearer();
        let Call { answer, mut out } = call(gateway.server, Some(&token)).await?;
        let (head, mut body) = {
            out.send_data(Bytes::from_static(b"\0\0\0\0\x05first"), false)?;
            answer.await?.into_parts()
        };
        assert_eq!(head.status, 200);
        assert_eq!(next(&mut body).await?.unwrap(), b"\0\0\0\0\x05first"[..]);
        for round in 0..20_u8 {
            let message = Bytes::from(vec![round; 2000]);
            out.send_data(message.clone(), false)?;
            let mut back = Vec::new();
            while back.len() < message.len() {
                back.extend_from_slice(&next(&mut body).await?.ok_or("it ended early")?);
            }
            assert_eq!(back, message);
        }
        out.send_data(Bytes::new(), true)?;
        assert_eq!(next(&mut body).await?, None);
        let trailers = body.trailers().await?.ok_or("no trailers")?;
        assert_eq!(trailers["grpc-status"], "0");
        Ok(())
    });
    let [seen] = upstream.seen().try_into().unwrap();
    assert_eq!((seen.bytes, seen.fields["x-user"].as_bytes()), (10 + 40_000, &b"alice"[..]));
    assert!(!seen.fields.contains_key("authorization"));
    assert_served(&gateway);
}

/// RFC 9110 §6.5.1: a careless upstream takes trailers for headers. What only the gateway says is in neither.
#[test]
fn a_trailer_is_a_header_that_arrives_late() {
    let (gateway, upstream) = start(artifacts::plugin().unwrap());
    run(async {
        let token = bearer();
        let Call { answer, mut out } = call(gateway.server, Some(&token)).await?;
        out.send_data(Bytes::from_static(b"x"), false)?;
        let mut trailers = HeaderMap::new();
        for (name, value) in
            [("x-user", "root"), ("x_user", "root"), ("authorization", "Bearer x"), ("x-note", "kept")]
        {
            trailers.insert(name, value.parse()?);
        }
        out.send_trailers(trailers)?;
        let mut body = answer.await?.into_body();
        while next(&mut body).await?.is_some() {}
        assert_eq!(body.trailers().await?.ok_or("no trailers")?["grpc-status"], "0");
        Ok(())
    });
    let [seen] = upstream.seen().try_into().unwrap();
    let trailers = seen.trailers.unwrap();
    let names: Vec<&str> = trailers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!((names, trailers["x-note"].as_bytes()), (vec!["x-note"], &b"kept"[..]));
    assert_eq!(seen.fields.get_all("x-user").iter().count(), 1);
}

#[test]
fn a_stream_that_its_client_resets_is_reset_behind_the_gateway_too() {
    let (gateway, upstream) = start(artifacts::plugin().unwrap());
    let token = bearer();
    for stage in ["after the head", "after a message", "after the answer began"] {
        let before = upstream.seen().len();
        run(async {
            let Call { answer, mut out } = call(gateway.server, Some(&token)).await?;
            if stage != "after the head" {
                out.send_data(Bytes::from_static(b"message"), false)?;
            }
            if stage == "after the answer began" {
                let mut body = answer.await?.into_body();
                assert!(next(&mut body).await?.is_some());
                out.send_reset(Reason::CANCEL);
                tokio::time::sleep(Duration::from_millis(100)).await;
            } else {
                // It has arrived, so that there is something to reset.
                tokio::time::sleep(Duration::from_millis(200)).await;
                out.send_reset(Reason::CANCEL);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        });
        upstream.until(stage, |seen| seen.len() == before + 1 && seen[before].reset);
        assert_served_on(&gateway, &upstream);
    }
    // A flood of them: opened and reset without an answer (CVE-2023-44487).
    run(async {
        let (mut sender, connection) =
            h2::client::handshake(TcpStream::connect(gateway.server).await?).await?;
        tokio::spawn(connection);
        for _ in 0..200 {
            sender = sender.ready().await?;
            let Ok(Call { mut out, .. }) = begin(&mut sender, Some(&token)) else { break };
            out.send_reset(Reason::CANCEL);
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    let active = format!("http.{NAME}.downstream_rq_active");
    upstream.until("requests are left", |_| gateway.envoy.stat(&active) == 0);
    assert_served_on(&gateway, &upstream);
    assert!(!gateway.envoy.log().contains("panic at"), "{}", gateway.envoy.log());
}

fn assert_served_on(gateway: &Gateway, upstream: &Upstream) {
    let before = upstream.seen().iter().filter(|seen| seen.path == "/open").count();
    assert_served(gateway);
    assert_eq!(upstream.seen().iter().filter(|seen| seen.path == "/open").count(), before + 1);
}

/// A call in flight when its VM dies comes to an end, and does not hang.
#[test]
fn a_call_ends_when_the_vm_under_it_dies() {
    let (gateway, _upstream) = start(artifacts::faulty().unwrap());
    let token = bearer();
    run(async {
        let Call { answer, mut out } = call(gateway.server, Some(&token)).await?;
        out.send_data(Bytes::from_static(b"first"), false)?;
        let mut body = answer.await?.into_body();
        assert!(next(&mut body).await?.is_some());
        let server = gateway.server;
        let broken = tokio::task::spawn_blocking(move || {
            host_tests::client::send(server, &get("/open").with("x-fault", "head")).unwrap().status
        });
        assert_eq!(broken.await?, 503);
        // What is sent now meets a filter that is gone.
        drop(out.send_data(Bytes::from_static(b"second"), false));
        while let Ok(Some(_)) = next(&mut body).await {}
        Ok(())
    });
    let start = std::time::Instant::now();
    while gateway.status(&get("/open")) != 200 {
        assert!(start.elapsed() < SOON, "{}", gateway.envoy.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_served(&gateway);
}
