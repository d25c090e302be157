//! A service that takes Envoy's access log by gRPC, and keeps of each entry its tags and all that it says.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use envoy_types::pb::envoy::service::accesslog::v3::access_log_service_server::{
    AccessLogService, AccessLogServiceServer,
};
use envoy_types::pb::envoy::service::accesslog::v3::stream_access_logs_message::LogEntries;
use envoy_types::pb::envoy::service::accesslog::v3::{StreamAccessLogsMessage, StreamAccessLogsResponse};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// The tags of one entry.
pub(crate) type Tags = BTreeMap<String, String>;

#[derive(Clone, Default)]
struct Handler(Arc<Mutex<Vec<(Tags, String)>>>);

/// A service on a free port of the loopback interface.
pub(crate) struct Service {
    entries: Handler,
    port: u16,
    runtime: Option<Runtime>,
}

#[tonic::async_trait]
impl AccessLogService for Handler {
    async fn stream_access_logs(
        &self,
        stream: Request<Streaming<StreamAccessLogsMessage>>,
    ) -> Result<Response<StreamAccessLogsResponse>, Status> {
        let mut stream = stream.into_inner();
        while let Some(message) = stream.message().await? {
            let Some(LogEntries::HttpLogs(logs)) = message.log_entries else { continue };
            self.0.lock().unwrap().extend(logs.log_entry.into_iter().map(|entry| {
                let whole = format!("{entry:?}");
                (entry.common_properties.unwrap_or_default().custom_tags.into_iter().collect(), whole)
            }));
        }
        Ok(Response::new(StreamAccessLogsResponse {}))
    }
}

impl Service {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let entries = Handler::default();
        let handler = AccessLogServiceServer::new(entries.clone());
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            Server::builder().add_service(handler).serve_with_incoming(incoming).await
        });
        Self { entries, port, runtime: Some(runtime) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Of each entry its tags, and all that it says.
    pub(crate) fn entries(&self) -> Vec<(Tags, String)> {
        self.entries.0.lock().unwrap().clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
