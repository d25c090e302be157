//! May this request pass? An authorisation service for Envoy's `ext_authz` over HTTP/1.1, as somebody writes it who wants it fast: one
//! thread, no lock, `hyper` and `ring`. It does what the benchmark's policy does: a token of RS256 and its claims, a scope, a bucket for each
//! subject, two claims as headers, and it remembers the tokens that it has checked.
//!
//! It is measured, and not for use. Its one argument is its [`Rules`] as JSON; its standard input is the socket that it listens on, so
//! nobody has to wait for it.

mod rules;

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::{LocalSet, spawn_local};

use rules::{Caller, Rules, Service};

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let served = serde_json::from_str::<Rules>(&argument)
        .map_err(|error| format!("the rules: {error}"))
        .and_then(Service::new)
        .and_then(|service| serve(&Rc::new(service)).map_err(|error| error.to_string()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ext-authz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(service: &Rc<Service>) -> io::Result<()> {
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let service = Rc::clone(service);
            let answer = service_fn(move |request: Request<Incoming>| {
                let answer = answer(&service, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            // A connection that breaks is Envoy's to make anew.
            spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    })
}

fn answer(service: &Service, request: &Request<Incoming>) -> Response<String> {
    let mut credentials = request.headers().get_all(AUTHORIZATION).iter();
    let token = match (credentials.next(), credentials.next()) {
        (Some(one), None) => one.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")),
        _ => None,
    };
    let caller = token.ok_or(401).and_then(|token| service.admit(token));
    let response = match &caller {
        Ok(caller) => admitted(caller),
        Err(status) => Response::builder().status(*status).body(String::new()),
    };
    // A claim that no header may hold.
    response.unwrap_or_else(|_| {
        let mut refused = Response::new(String::new());
        *refused.status_mut() = hyper::StatusCode::UNAUTHORIZED;
        refused
    })
}

fn admitted(caller: &Caller) -> Result<Response<String>, hyper::http::Error> {
    let response = Response::builder()
        .header("x-user", &caller.subject)
        // Envoy takes the credential off for us.
        .header("x-envoy-auth-headers-to-remove", "authorization");
    match &caller.department {
        Some(department) => response.header("x-dept", department),
        None => response,
    }
    .body(String::new())
}
