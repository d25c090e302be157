//! A rate limit service that can be told what to say, killed, slowed and started again: gRPC by `tonic`, messages by `envoy-types`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Whoever counts.
pub(crate) trait Engine: Send + Sync {
    /// Counts, and says whether it was too much.
    fn decide(&self, request: &RateLimitRequest) -> Result<RateLimitResponse, String>;
}

/// What the service says.
#[derive(Clone)]
pub(crate) enum Say {
    /// What its engine says.
    Truth,
    /// This code.
    Code(Code),
    /// This status of gRPC.
    Status(tonic::Code),
}

/// How it behaves.
#[derive(Clone)]
struct Conduct {
    say: Say,
    delay: Duration,
}

/// What is shared with the service's threads.
struct Inner {
    engine: Box<dyn Engine>,
    conduct: Mutex<Conduct>,
    asked: Mutex<Vec<RateLimitRequest>>,
}

#[derive(Clone)]
struct Handler(Arc<Inner>);

/// A service on a free port of the loopback interface.
pub(crate) struct Service {
    inner: Arc<Inner>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

#[tonic::async_trait]
impl RateLimitService for Handler {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let request = request.into_inner();
        self.0.asked.lock().unwrap().push(request.clone());
        let Conduct { say, delay } = self.0.conduct.lock().unwrap().clone();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match say {
            Say::Truth => self.0.engine.decide(&request).map(Response::new).map_err(Status::unavailable),
            Say::Code(code) => Ok(Response::new(RateLimitResponse {
                overall_code: code.into(),
                ..RateLimitResponse::default()
            })),
            Say::Status(code) => Err(Status::new(code, "as I was told")),
        }
    }
}

impl Service {
    pub(crate) fn start(engine: impl Engine + 'static) -> Self {
        let conduct = Mutex::new(Conduct { say: Say::Truth, delay: Duration::ZERO });
        let inner = Arc::new(Inner { engine: Box::new(engine), conduct, asked: Mutex::default() });
        let mut service = Self { inner, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), runtime: None };
        service.restart();
        service
    }

    /// Starts it again, on its port; what its engine remembers is what it remembered.
    pub(crate) fn restart(&mut self) {
        let began = Instant::now();
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(5), "{error}"),
            }
        };
        self.address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let handler = RateLimitServiceServer::new(Handler(Arc::clone(&self.inner)));
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            Server::builder()
                .add_service(handler)
                .serve_with_incoming(incoming.with_nodelay(Some(true)))
                .await
        });
        self.runtime = Some(runtime);
    }

    /// Ends it in the middle of everything.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn say(&self, say: Say) {
        self.inner.conduct.lock().unwrap().say = say;
    }

    pub(crate) fn slow_down(&self, delay: Duration) {
        self.inner.conduct.lock().unwrap().delay = delay;
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.inner.asked.lock().unwrap().len()
    }

    /// What it was asked last.
    pub(crate) fn last(&self) -> RateLimitRequest {
        self.inner.asked.lock().unwrap().last().cloned().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
