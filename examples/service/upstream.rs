//! The other API: a small one that this program starts itself, and its client.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Path, State},
    routing::get,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const LONGEST_ANSWER: usize = 64 * 1024;

/// An error that the callers of one load can share: it is `Clone`.
#[derive(Debug, Clone)]
pub struct UpstreamError(Arc<str>);

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the upstream API: {}", self.0)
    }
}

impl UpstreamError {
    fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string().into())
    }
}

pub struct Upstream {
    client: Client<HttpConnector, Body>,
    address: SocketAddr,
}

impl Upstream {
    /// Starts the API on a free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let served = Arc::new(AtomicU64::new(0));
        let api = Router::new().route("/weather/{city}", get(weather)).with_state(served);
        tokio::spawn(async move { axum::serve(listener, api).await });
        Ok(Self { client: Client::builder(TokioExecutor::new()).build_http(), address })
    }

    pub async fn get(&self, path: &str) -> Result<Value, UpstreamError> {
        let uri = format!("http://{}{path}", self.address).parse().map_err(UpstreamError::new)?;
        let answer = self.client.get(uri).await.map_err(UpstreamError::new)?;
        if !answer.status().is_success() {
            return Err(UpstreamError::new(answer.status()));
        }
        let body = to_bytes(Body::new(answer.into_body()), LONGEST_ANSWER).await.map_err(UpstreamError::new)?;
        serde_json::from_slice(&body).map_err(UpstreamError::new)
    }
}

/// The weather is invented; the number of the request is not, and tells a new answer from an old one.
async fn weather(State(served): State<Arc<AtomicU64>>, Path(city): Path<String>) -> Json<Value> {
    let request = served.fetch_add(1, Relaxed) + 1;
    let celsius = city.bytes().map(i64::from).sum::<i64>() % 35 - 5;
    Json(json!({ "city": city, "celsius": celsius, "request": request }))
}
