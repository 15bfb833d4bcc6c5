//! One request: admitted, given a model and a version, forwarded, its answer streamed back.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;

use crate::body::{AnswerBody, ForwardBody, ModelBody};
use crate::clock;
use crate::flight::{CopyHead, EndGuard, Flight, Seen};
use crate::grpc::{self, Call};
use crate::guard::{Activity, Busy};
use crate::headers::{self, Found};
use crate::notices::{self, Peer};
use crate::refusal::Refusal;
use crate::route::CompiledModel;
use crate::sample;
use crate::spec::{Retry, SampleBy};
use crate::timer::Timer;
use crate::tunnel::Counted;
use crate::upgrade::{self, Asked, Upgraded};
use crate::upstream::{SendError, Wire};
use crate::worker::{Ctx, View};

/// What all exchanges of a connection share.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) ctx: Rc<Ctx>,
    pub(crate) activity: Rc<Activity>,
    /// The client's address, without port.
    pub(crate) peer: HeaderValue,
    pub(crate) tls: bool,
    /// Deadline of the answer that is awaited; for HTTP/1, where there is one at a time.
    pub(crate) timer: RefCell<Timer>,
}

/// Serves one request.
///
/// # Errors
/// The connection has left HTTP; what goes on is in its activity.
pub(crate) async fn serve(
    client: Rc<Client>,
    request: Request<Incoming>,
    busy: Busy,
) -> Result<Response<AnswerBody>, Upgraded> {
    let http2 = request.version() == Version::HTTP_2;
    let is_grpc = http2 && grpc::is_grpc(request.headers());
    let started = Instant::now();
    let (request, end) = match admit(&client, request, busy, started, is_grpc) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            client.activity.last.set(started.into());
            return Ok(refuse(refusal, http2, is_grpc));
        }
    };
    let timer = (!http2).then_some(&client.timer);
    let answered = if end.flight().is_upgrade {
        // Boxed, because rare and large.
        match Box::pin(switch(request, &end)).await {
            Ok(Asked::Switched(switched)) => {
                end.switched();
                client.activity.switched.replace(Some(switched));
                return Err(Upgraded);
            }
            Ok(Asked::Answer(response, lease)) => Ok(Answer { response, lease }),
            Err(lost) => Err(lost),
        }
    } else {
        forward(request, &end, timer).await
    };
    match answered {
        Ok(answer) => Ok(answer.give(end)),
        Err(Lost { refusal, error }) => {
            let counters = &client.ctx.shared.counters;
            notices::failed(counters, refusal, Peer::Text(&client.peer), end.flight(), error.as_ref());
            end.refused(refusal);
            Ok(refuse(refusal, http2, is_grpc))
        }
    }
}

fn refuse(refusal: Refusal, http2: bool, is_grpc: bool) -> Response<AnswerBody> {
    if is_grpc {
        return grpc::refusal(refusal).map(|_| AnswerBody::Own(None));
    }
    refusal.response(http2).map(|text| AnswerBody::Own(Some(text)))
}

/// A request that is in order, and who answers it.
struct Placed {
    found: Found,
    host: Option<HeaderValue>,
    path: PathAndQuery,
    view: Rc<View>,
    model: usize,
    version: usize,
    is_upgrade: bool,
}

/// Checks a request and chooses who answers it.
fn place(client: &Client, parts: &Parts) -> Result<Placed, Refusal> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    let found = headers::inspect(&parts.headers, parts.version)?;
    if parts.version == Version::HTTP_2 {
        headers::check_size(parts, &client.ctx.shared.limits)?;
    } else if found.is_grpc {
        return Err(Refusal::GrpcOverHttp1);
    }
    let is_upgrade = found.has_upgrade() && upgrade::is_websocket(parts)?;
    let host = effective_host(&parts.uri, &parts.headers)?;
    let path = origin_path(&parts.uri)?;
    let view = client.ctx.view();
    let text = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("");
    let model = view.compiled.find(text, path.path(), &parts.headers).ok_or(Refusal::NoRoute)?;
    let chosen = &view.compiled.models[model];
    if let Some(tenant) = &chosen.route.tenant_header {
        headers::check_tenant(&parts.headers, tenant)?;
    }
    let most = client.ctx.shared.limits.body_bytes;
    if most.is_some_and(|most| content_length(&parts.headers).is_some_and(|n| n > most)) {
        return Err(Refusal::BodyTooLarge);
    }
    let version = chosen.choose(&parts.headers);
    Ok(Placed { found, host, path, view, model, version, is_upgrade })
}

/// Takes a request in and makes it ready for the way.
fn admit(
    client: &Client,
    request: Request<Incoming>,
    busy: Busy,
    started: Instant,
    is_grpc: bool,
) -> Result<(Request<ForwardBody>, EndGuard), Refusal> {
    let (mut parts, body) = request.into_parts();
    let placed = place(client, &parts).inspect_err(|&refusal| {
        let (counters, peer) = (&client.ctx.shared.counters, Peer::Text(&client.peer));
        notices::refused(counters, refusal, peer, parts.uri.path().as_bytes());
    })?;
    let Placed { found, host, path, view, model, version, is_upgrade } = placed;
    let chosen = &view.compiled.models[model];

    found.strip(&mut parts.headers);
    if parts.version == Version::HTTP_2 {
        headers::join_cookies(&mut parts.headers);
    }
    let id = headers::request_id(&mut parts.headers);
    found.add_hop(&mut parts.headers, &client.peer, client.tls, host.as_ref());
    if is_upgrade {
        upgrade::renew(&mut parts.headers);
    }
    let (shadows, logged): (Vec<usize>, Vec<usize>) =
        draw(chosen, &found, &parts.method, &parts.headers, &id)
            .into_iter()
            .filter(|_| !is_upgrade)
            .partition(|&shadow| chosen.shadows[shadow].is_some());
    let seen = (chosen.route.tap || !shadows.is_empty()).then(|| see(chosen, &parts.headers, &id, &path));

    let mut flight =
        Flight::new(Rc::clone(&client.ctx), Rc::clone(&view), busy, (model, version), started, seen);
    flight.logged.set(!logged.is_empty());
    flight.is_upgrade = is_upgrade;
    flight.call = is_grpc.then(|| Call::new(started));
    if flight.seen.is_some() {
        flight.request.borrow_mut().begin(&parts.headers);
    } else {
        // For a second sending.
        flight.request.borrow_mut().wanted = chosen.route.retry != Retry::Never;
    }
    if !shadows.is_empty() {
        let mut headers = parts.headers.clone();
        headers.insert(headers::X_HOP, found.next_hop());
        let (method, path) = (parts.method.clone(), path.clone());
        *flight.copy.borrow_mut() = Some(Box::new(CopyHead { shadows, method, path, headers }));
    }
    address(&mut parts, host, path, chosen, version);
    let flight = Rc::new(flight);
    let body = ForwardBody::new(body, Rc::clone(&flight));
    Ok((Request::from_parts(parts, body), EndGuard::new(flight)))
}

/// Turns a request towards its upstream: origin-form target, the upstream's path and `host`.
fn address(
    parts: &mut Parts,
    host: Option<HeaderValue>,
    path: PathAndQuery,
    model: &CompiledModel,
    version: usize,
) {
    let target = &model.versions[version].target;
    let upstream_host = match host {
        Some(host) if target.upstream.preserve_host => host,
        _ => target.authority.clone(),
    };
    parts.headers.insert(HOST, upstream_host);
    if let Some(path) = target.rewrite(&path, model.stripped()) {
        parts.uri = Uri::from(path);
    } else if parts.uri.authority().is_some() {
        parts.uri = Uri::from(path);
    }
    parts.extensions.clear();
}

/// The host asked for: the target's authority, which a `host` beside it must equal, or the `host`.
fn effective_host(uri: &Uri, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let given = headers.get(HOST);
    let Some(authority) = uri.authority() else {
        return Ok(given.cloned());
    };
    headers::authority(authority.as_str().as_bytes())?;
    if given.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) {
        return Err(Refusal::Header("the target's host is not the one in `host`"));
    }
    match given {
        Some(host) => Ok(Some(host.clone())),
        None => HeaderValue::from_str(authority.as_str())
            .map(Some)
            .map_err(|_| Refusal::Header("the host is malformed")),
    }
}

fn origin_path(uri: &Uri) -> Result<PathAndQuery, Refusal> {
    if !matches!(uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Refusal::Framing("the target's scheme is neither http nor https"));
    }
    match uri.path_and_query() {
        Some(path) if path.as_str().starts_with('/') => Ok(path.clone()),
        // `http://host?query`: an empty path is `/`.
        Some(path) if path.as_str().starts_with('?') => PathAndQuery::try_from(format!("/{path}"))
            .map_err(|_| Refusal::Framing("the request target is malformed")),
        _ => Err(Refusal::Framing("the request target is not a path")),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The shadows that are to get a copy, or to be logged, if all goes well. A copy that came back through us is never copied again.
fn draw(
    model: &CompiledModel,
    found: &Found,
    method: &Method,
    headers: &HeaderMap,
    id: &HeaderValue,
) -> Vec<usize> {
    let specs = &model.route.shadows;
    if specs.is_empty() || found.is_copy {
        return Vec::new();
    }
    let tenant = || model.route.tenant_header.as_ref().and_then(|name| headers.get(name));
    let wants = |&index: &usize| {
        let spec = &specs[index];
        let key = match &spec.sample_by {
            SampleBy::Random => None,
            SampleBy::RequestId => Some(id),
            SampleBy::Tenant => tenant(),
            SampleBy::Header(name) => headers.get(name),
        };
        spec.takes_method(method)
            && ((found.marked && spec.honour_mark)
                || sample::takes(spec.percent, key.map(HeaderValue::as_bytes)))
    };
    (0..specs.len()).filter(wants).collect()
}

fn see(model: &CompiledModel, headers: &HeaderMap, id: &HeaderValue, path: &PathAndQuery) -> Seen {
    let tenant = model.route.tenant_header.as_ref().and_then(|name| headers.get(name));
    Seen {
        at_ms: clock::unix_ms(),
        tenant: tenant.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        request_id: Bytes::copy_from_slice(id.as_bytes()),
        path: Bytes::copy_from_slice(path.path().as_bytes()),
        headers: headers::for_log(&model.route.log_headers, headers),
    }
}

/// A request that production did not answer.
struct Lost {
    refusal: Refusal,
    error: Option<SendError>,
}

impl Lost {
    fn late() -> Self {
        Self { refusal: Refusal::AnswerTimeout, error: None }
    }

    fn bad_answer() -> Self {
        Self { refusal: Refusal::BadAnswer, error: None }
    }

    fn new(error: SendError, flight: &Flight) -> Self {
        let refusal = match error {
            SendError::Connect(_) => Refusal::Unreachable,
            SendError::Broken(_) => flight.blamed(),
            SendError::NotHttp2 => Refusal::NotHttp2,
        };
        Self { refusal, error: Some(error) }
    }
}

/// Asks for an upgrade.
async fn switch(request: Request<ForwardBody>, end: &EndGuard) -> Result<Asked, Lost> {
    let flight = end.flight();
    let pool = View::pool(&flight.view, flight.model, flight.version);
    let due = flight.started + pool.target.upstream.answer_timeout;
    let counted = Counted::new(&flight.ctx.shared.counters);
    let asked = tokio::time::timeout_at(due.into(), upgrade::ask(pool, request, counted)).await;
    match asked {
        Err(_late) => Err(Lost::late()),
        Ok(Err(None)) => Err(Lost::bad_answer()),
        Ok(Err(Some(error))) => Err(Lost::new(error, flight)),
        Ok(Ok(asked)) => Ok(asked),
    }
}

/// An answer whose head has come.
struct Answer {
    response: Response<Incoming>,
    lease: crate::upstream::Lease<ForwardBody>,
}

async fn forward(
    request: Request<ForwardBody>,
    end: &EndGuard,
    timer: Option<&RefCell<Timer>>,
) -> Result<Answer, Lost> {
    let flight = end.flight();
    let pool = View::pool(&flight.view, flight.model, flight.version);
    let patience = pool.target.upstream.answer_timeout;
    let due = (flight.started + patience).into();
    let wire = if flight.call.is_some() { Wire::Http2 } else { Wire::Configured };
    let sending = pin!(pool.send(request, wire, flight.started, flight));
    let sent = match (timer, &flight.call) {
        (Some(timer), _) => until(due, timer, sending).await,
        (None, Some(call)) => call.until(patience, sending).await,
        (None, None) => tokio::time::timeout_at(due, sending).await.ok(),
    };
    match sent {
        None => Err(Lost::late()),
        Some(Ok((response, _))) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            Err(Lost::bad_answer())
        }
        Some(Ok((response, lease))) => Ok(Answer { response, lease }),
        Some(Err(error)) => Err(Lost::new(error, flight)),
    }
}

/// `None` when `due` comes before the future is ready.
async fn until<F: Future>(
    due: tokio::time::Instant,
    timer: &RefCell<Timer>,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.borrow_mut().poll(cx, due).map(|()| None),
    })
    .await
}

impl Answer {
    /// The answer as the client gets it: unchanged but for what ends at this hop.
    fn give(self, end: EndGuard) -> Response<AnswerBody> {
        let (mut parts, body) = self.response.into_parts();
        if let Some(keep_alive) = headers::strip_answer(&mut parts.headers) {
            self.lease.keep_alive(&keep_alive);
        }
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let flight = end.flight();
        let status = parts.status.as_u16();
        flight.status.set(match flight.call {
            Some(_) => grpc::status_of_grpc(status, &parts.headers),
            None => status,
        });
        if flight.seen.is_some() {
            flight.response.borrow_mut().begin(&parts.headers);
        }
        let body = ModelBody::new(body, end, self.lease);
        Response::from_parts(parts, AnswerBody::Model(body))
    }
}
