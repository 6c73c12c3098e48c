//! An HTTP service, cached: user sessions, research, answers of another API and results of jobs.
//!
//! ```text
//! cargo run --example service                           # http://127.0.0.1:3000; PORT=0 takes a free port
//! CACHE_BACKEND=redis cargo run --example service       # on REDIS_HOST, REDIS_PORT, REDIS_PASSWORD
//!
//! # A user's session, an hour in the cache; its update drops it.
//! curl localhost:3000/sessions/7
//! curl -X PUT localhost:3000/sessions/7 -H 'content-type: application/json' -d '{"name": "Grace Hopper"}'
//! curl localhost:3000/subscriptions/7
//!
//! # Research, keyed by the hash of the request's sorted JSON: the order of the filters is the same to it.
//! curl localhost:3000/users/7/research -H 'content-type: application/json' \
//!      -d '{"topic": "Hopper", "filters": {"plan": "pro", "first_name": "Ada"}}'
//!
//! # Another API (a small one that this program starts), kept as long as this call says, in seconds.
//! curl 'localhost:3000/upstream/weather/oslo?ttl=5'
//!
//! # A background job: start it, fetch its result for 24 hours.
//! curl -X POST localhost:3000/jobs/top-spenders/3
//! curl localhost:3000/jobs/top-spenders/3
//!
//! # Everything about one user: user:7, user_subscription:7, user_research:7:*
//! curl -X DELETE localhost:3000/users/7/cache
//! # Everything.
//! curl -X DELETE localhost:3000/cache
//!
//! # What the cache counted, and how often the work behind it was really done.
//! curl localhost:3000/cache/stats
//! curl localhost:3000/work
//! ```
//!
//! `app` holds what is cached, `routes` the HTTP in front of it, `upstream` the other API.
//! It listens on this machine only: its routes for the cache ask nobody who they are.

mod app;
#[path = "../shared/database.rs"]
mod database;
mod routes;
mod upstream;

use std::{env, error::Error, net::Ipv4Addr, process::ExitCode, sync::Arc};

use cache_runtime::Builder;
use tokio::net::TcpListener;

use app::App;
use database::Database;
use upstream::Upstream;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    // A `.env` that is not there is no error.
    let _ = dotenvy::dotenv();
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    Builder::from_env()?.default_namespace("service").build().await?.install()?;

    let (database, about) = Database::open().await?;
    let app = Arc::new(App::new(database, Upstream::start().await?));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port()?)).await?;
    println!("{about}");
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes::router(app)).with_graceful_shutdown(ctrl_c()).await?;
    println!("bye");
    Ok(())
}

/// `PORT`, 3000 without it; 0 is any free one.
fn port() -> Result<u16, String> {
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    port.trim().parse().map_err(|_| format!("PORT is `{port}`; it must be a number from 0 to 65535"))
}

async fn ctrl_c() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "ctrl-c cannot be heard; stopping");
    }
}
