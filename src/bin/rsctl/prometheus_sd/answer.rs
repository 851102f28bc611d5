//! What is answered to which request. Without sockets.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use parking_lot::Mutex;
use serde::Serialize;

use super::targets;
use crate::data::{Live, Standing};

/// Prometheus takes nothing else.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The pages that are served.
#[derive(Debug)]
pub(super) struct Pages {
    live: Arc<Live>,
    allow_empty: bool,
    /// The list as it was made last, with the version of the data that it was made of.
    list: Mutex<Option<List>>,
}

#[derive(Clone, Debug)]
struct List {
    version: u64,
    body: Bytes,
    etag: HeaderValue,
    targets: usize,
}

impl Pages {
    pub(super) fn new(live: Arc<Live>, allow_empty: bool) -> Self {
        Self {
            live,
            allow_empty,
            list: Mutex::default(),
        }
    }

    pub(super) fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<Bytes> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let text = format!("{method} is not served; use GET\n");
            let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/" | "/targets" => self.targets(headers),
            "/health" => self.health(),
            _ => page(
                StatusCode::NOT_FOUND,
                TEXT,
                "there are /targets (also as /) and /health\n",
            ),
        }
    }

    fn targets(&self, headers: &HeaderMap) -> Response<Bytes> {
        if let Some(reason) = self.missing() {
            return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n"));
        }
        let list = match self.list() {
            Ok(list) => list,
            Err(error) => {
                let text = format!("the list cannot be written: {error}\n");
                return page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, text);
            }
        };
        if list.targets == 0 && !self.allow_empty {
            let text = "there are no targets in etcd, and they may have been lost; \
                        --allow-empty serves an empty list\n";
            return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, text);
        }
        let known = headers
            .get(IF_NONE_MATCH)
            .and_then(|etags| etags.to_str().ok());
        let is_same = |etag: &str| etag == "*" || list.etag == *etag.trim_start_matches("W/");
        let is_known = known.is_some_and(|known| known.split(',').map(str::trim).any(is_same));
        let mut response = if is_known {
            page(StatusCode::NOT_MODIFIED, JSON, Bytes::new())
        } else {
            page(StatusCode::OK, JSON, list.body)
        };
        response.headers_mut().insert(ETAG, list.etag);
        response
    }

    /// Why there is nothing to be served, if there is nothing.
    fn missing(&self) -> Option<String> {
        let unread = self
            .live
            .standing()
            .into_iter()
            .find(|standing| !standing.read)?;
        let source = unread.source;
        Some(match unread.error {
            Some(error) => format!("{source}: nothing was read yet: {error}"),
            None => format!("{source}: nothing was read yet"),
        })
    }

    /// The list, made again only if something changed.
    fn list(&self) -> Result<List, serde_json::Error> {
        let mut known = self.list.lock();
        // Before the data: what changes in between makes the list again next time.
        let version = self.live.version();
        if let Some(list) = known.as_ref().filter(|list| list.version == version) {
            return Ok(list.clone());
        }
        let targets = targets::of_snapshot(&self.live.snapshot());
        let body = Bytes::from(serde_json::to_vec(&targets)?);
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        let list = List {
            version,
            body,
            etag: HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\"")),
            targets: targets.len(),
        };
        *known = Some(list.clone());
        Ok(list)
    }

    fn health(&self) -> Response<Bytes> {
        let sources: Vec<Source> = self.live.standing().into_iter().map(Source::from).collect();
        let status = if sources.iter().any(|source| !source.read) {
            "starting"
        } else if sources.iter().any(|source| source.stale_seconds.is_some()) {
            "stale"
        } else if sources.iter().any(|source| source.held > 0) {
            "holding"
        } else {
            "live"
        };
        // Who is stale still serves what it knows, and a restart would lose that.
        let code = if status == "starting" {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        let health = Health { status, sources };
        match serde_json::to_vec_pretty(&health) {
            Ok(mut body) => {
                body.push(b'\n');
                page(code, JSON, body)
            }
            Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
        }
    }
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    sources: Vec<Source>,
}

#[derive(Debug, Serialize)]
struct Source {
    source: String,
    entries: usize,
    held: usize,
    rejected: usize,
    read: bool,
    stale_seconds: Option<u64>,
    error: Option<String>,
}

impl From<Standing> for Source {
    fn from(standing: Standing) -> Self {
        Self {
            source: standing.source,
            entries: standing.entries,
            held: standing.held,
            rejected: standing.rejected,
            read: standing.read,
            stale_seconds: standing.stale_since.map(|since| since.elapsed().as_secs()),
            error: standing.error,
        }
    }
}

fn page(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
