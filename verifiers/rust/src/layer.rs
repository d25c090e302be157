//! The check as a layer of `tower`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use http::{Request, Response, StatusCode};

use crate::Verifier;

/// A service behind the check.
#[derive(Clone, Debug)]
pub struct Service<S> {
    inner: S,
    verifier: Verifier,
}

impl<S> tower_layer::Layer<S> for Verifier {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Service { inner, verifier: self.clone() }
    }
}

impl<S, B, R> tower_service::Service<Request<B>> for Service<S>
where
    S: tower_service::Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match self.verifier.check(&parts, SystemTime::now()) {
            Ok(claims) => {
                parts.extensions.insert(claims);
                Answer::Passed(Box::pin(self.inner.call(Request::from_parts(parts, body))))
            }
            Err(_) => Answer::Refused,
        }
    }
}

/// What the service answers, or 401 without a word.
#[derive(Debug)]
pub enum Answer<F> {
    /// The service was asked.
    Passed(Pin<Box<F>>),
    /// It was not.
    Refused,
}

impl<F, R, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answer::Passed(future) => future.as_mut().poll(context),
            Answer::Refused => {
                let mut response = Response::new(R::default());
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                Poll::Ready(Ok(response))
            }
        }
    }
}
