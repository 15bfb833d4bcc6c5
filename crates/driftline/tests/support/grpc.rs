//! KServe v2 over gRPC with a real library on both sides: a model server and a client, with messages and services
//! written by hand.

#[path = "../../../record/src/decode/tests/messages.rs"]
pub(crate) mod messages;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codec::{CompressionEncoding, Streaming};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::tokio_stream::{Stream, StreamExt};
use tonic::codegen::{BoxFuture, Service};
use tonic::metadata::MetadataMap;
use tonic::server::{ClientStreamingService, StreamingService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server, server::TcpIncoming};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use messages::{InferTensor, InferTensorContents, ModelInferRequest, ModelInferResponse};

use super::DEADLINE;

pub(crate) const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
pub(crate) const READY: &str = "/inference.GRPCInferenceService/ModelReady";
pub(crate) const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";
/// A stream in, one message out.
pub(crate) const COUNT: &str = "/test.Streams/Count";

/// A runtime for a test's servers and clients.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// One FP64 column: a value a row.
pub(crate) fn column(name: &str, values: &[f64], raw: bool) -> (InferTensor, Option<Vec<u8>>) {
    let (name, datatype) = (name.to_owned(), "FP64".to_owned());
    let shape = vec![i64::try_from(values.len()).unwrap()];
    let tensor = InferTensor { name, datatype, shape, ..InferTensor::default() };
    if raw {
        return (tensor, Some(values.iter().flat_map(|n| n.to_le_bytes()).collect()));
    }
    let contents = InferTensorContents { fp64_contents: values.to_vec(), ..InferTensorContents::default() };
    (InferTensor { contents: Some(contents), ..tensor }, None)
}

/// A request with columns of numbers.
pub(crate) fn asks(id: &str, columns: &[(&str, &[f64])], raw: bool) -> ModelInferRequest {
    let (inputs, bytes): (Vec<_>, Vec<_>) =
        columns.iter().map(|(name, values)| column(name, values, raw)).unzip();
    let raw_input_contents = bytes.into_iter().flatten().collect();
    let (model_name, id) = ("fraud".to_owned(), id.to_owned());
    ModelInferRequest { model_name, id, inputs, raw_input_contents, ..ModelInferRequest::default() }
}

/// The numbers of a message's first tensor.
pub(crate) fn numbers(tensors: &[InferTensor], raw: &[Vec<u8>]) -> Vec<f64> {
    match raw.first() {
        Some(bytes) => bytes.chunks_exact(8).map(|n| f64::from_le_bytes(n.try_into().unwrap())).collect(),
        None => tensors[0].contents.clone().unwrap_or_default().fp64_contents,
    }
}

/// The score of a row, as the REST model of the tests has it.
fn answer(request: &ModelInferRequest) -> ModelInferResponse {
    let raw = !request.raw_input_contents.is_empty();
    let scores: Vec<f64> = numbers(&request.inputs, &request.raw_input_contents)
        .iter()
        .map(|amount| amount.rem_euclid(10.0) / 10.0)
        .collect();
    let (output, bytes) = column("score", &scores, raw);
    ModelInferResponse {
        model_name: "fraud".to_owned(),
        id: request.id.clone(),
        outputs: vec![output],
        raw_output_contents: bytes.into_iter().collect(),
        ..ModelInferResponse::default()
    }
}

/// What a server remembers.
#[derive(Debug, Default)]
struct State {
    seen: Mutex<Vec<(String, MetadataMap)>>,
    /// Calls that were given up before their end.
    cancelled: AtomicUsize,
    /// Answers of streams that left.
    streamed: AtomicUsize,
}

/// A model server; it ends with the runtime.
#[derive(Clone, Debug)]
pub(crate) struct GrpcModel {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl GrpcModel {
    pub(crate) fn start(runtime: &tokio::runtime::Runtime) -> Self {
        let _inside = runtime.enter();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
        let model = Self { address: incoming.local_addr().unwrap(), state: Arc::default() };
        runtime.spawn(Server::builder().serve_with_incoming(model.clone(), incoming));
        model
    }

    /// `{ url: …, http2: true }`.
    pub(crate) fn version(&self) -> String {
        format!("{{ url: \"http://{}\", http2: true }}", self.address)
    }

    /// Paths and metadata of the calls so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Vec<(String, MetadataMap)>> {
        self.state.seen.lock().unwrap()
    }

    /// Answers of streams so far.
    pub(crate) fn streamed(&self) -> usize {
        self.state.streamed.load(Ordering::SeqCst)
    }

    pub(crate) fn cancelled(&self) -> usize {
        self.state.cancelled.load(Ordering::SeqCst)
    }
}

/// Counts a call that is dropped before it is done.
#[derive(Debug)]
struct Watch {
    state: Arc<State>,
    done: bool,
}

impl Watch {
    fn finish(mut self) {
        self.done = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.done {
            self.state.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Service<http::Request<Body>> for GrpcModel {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let model = self.clone();
        let path = request.uri().path().to_owned();
        let metadata = MetadataMap::from_headers(request.headers().clone());
        model.seen().push((path.clone(), metadata));
        Box::pin(async move {
            let codec = ProstCodec::<ModelInferResponse, ModelInferRequest>::default();
            let mut grpc = tonic::server::Grpc::new(codec)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip);
            Ok(match path.as_str() {
                INFER | READY => grpc.unary(Methods(model), request).await,
                STREAM => grpc.streaming(Methods(model), request).await,
                COUNT => grpc.client_streaming(Methods(model), request).await,
                _ => Status::new(Code::Unimplemented, "no such method").into_http(),
            })
        })
    }
}

struct Methods(GrpcModel);

type Answer<T> = BoxFuture<Response<T>, Status>;

impl UnaryService<ModelInferRequest> for Methods {
    type Response = ModelInferResponse;
    type Future = Answer<ModelInferResponse>;

    fn call(&mut self, request: Request<ModelInferRequest>) -> Self::Future {
        let watch = Watch { state: Arc::clone(&self.0.state), done: false };
        Box::pin(async move {
            let metadata = request.metadata().clone();
            let request = request.into_inner();
            match request.id.as_str() {
                "hang" => std::future::pending::<()>().await,
                "invalid" => {
                    watch.finish();
                    let mut trailers = MetadataMap::new();
                    trailers.insert("x-trailer", "kept".parse().unwrap());
                    return Err(Status::with_details_and_metadata(
                        Code::InvalidArgument,
                        "50 % näh",
                        vec![1, 2, 3].into(),
                        trailers,
                    ));
                }
                "stranger" => {
                    watch.finish();
                    return Err(Status::unauthenticated("who are you"));
                }
                _ => {}
            }
            watch.finish();
            let mut response = Response::new(answer(&request));
            for name in ["x-custom", "grpc-timeout"] {
                if let Some(value) = metadata.get(name) {
                    response
                        .metadata_mut()
                        .insert(format!("seen-{name}").parse::<Key>().unwrap(), value.clone());
                }
            }
            if let Some(value) = metadata.get_bin("x-custom-bin") {
                response.metadata_mut().insert_bin("seen-bin", value.clone());
            }
            Ok(response)
        })
    }
}

type Key = tonic::metadata::AsciiMetadataKey;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl StreamingService<ModelInferRequest> for Methods {
    type Response = ModelInferResponse;
    type ResponseStream = BoxStream<ModelInferResponse>;
    type Future = Answer<Self::ResponseStream>;

    /// Each request is answered as it comes; one with the id `endless` by answers without end, `flood` by as many as
    /// are taken.
    fn call(&mut self, request: Request<Streaming<ModelInferRequest>>) -> Self::Future {
        let watch = Watch { state: Arc::clone(&self.0.state), done: false };
        Box::pin(async move {
            let (out, answers) = mpsc::channel(1);
            tokio::spawn(converse(request.into_inner(), out, watch));
            Ok(Response::new(Box::pin(ReceiverStream::new(answers)) as Self::ResponseStream))
        })
    }
}

async fn converse(
    mut requests: Streaming<ModelInferRequest>,
    out: mpsc::Sender<Result<ModelInferResponse, Status>>,
    watch: Watch,
) {
    loop {
        let request = tokio::select! {
            request = requests.message() => request,
            () = out.closed() => return,
        };
        match request {
            Ok(Some(request)) => loop {
                if out.send(Ok(answer(&request))).await.is_err() {
                    return;
                }
                watch.state.streamed.fetch_add(1, Ordering::SeqCst);
                match request.id.as_str() {
                    "endless" => tokio::time::sleep(Duration::from_millis(10)).await,
                    "flood" => {}
                    _ => break,
                }
            },
            Ok(None) => {
                watch.finish();
                return;
            }
            Err(_) => return,
        }
    }
}

impl ClientStreamingService<ModelInferRequest> for Methods {
    type Response = ModelInferResponse;
    type Future = Answer<ModelInferResponse>;

    /// How many there were, as the id.
    fn call(&mut self, request: Request<Streaming<ModelInferRequest>>) -> Self::Future {
        Box::pin(async move {
            let mut requests = request.into_inner();
            let mut count = 0;
            while requests.next().await.transpose()?.is_some() {
                count += 1;
            }
            Ok(Response::new(ModelInferResponse { id: count.to_string(), ..ModelInferResponse::default() }))
        })
    }
}

/// A client of the gateway.
pub(crate) struct GrpcClient(tonic::client::Grpc<Channel>);

impl GrpcClient {
    pub(crate) fn new(runtime: &tokio::runtime::Runtime, address: SocketAddr) -> Self {
        let _inside = runtime.enter();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().timeout(DEADLINE);
        Self(tonic::client::Grpc::new(endpoint.connect_lazy()))
    }

    /// Sends gzip and takes it.
    pub(crate) fn compressed(self) -> Self {
        let gzip = CompressionEncoding::Gzip;
        Self(self.0.send_compressed(gzip).accept_compressed(gzip))
    }

    pub(crate) async fn unary(
        &mut self,
        path: &'static str,
        request: impl tonic::IntoRequest<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        self.0.ready().await.unwrap();
        let codec = ProstCodec::<ModelInferRequest, ModelInferResponse>::default();
        self.0.unary(request.into_request(), PathAndQuery::from_static(path), codec).await
    }

    /// A stream both ways: what is sent into the channel goes out.
    pub(crate) async fn stream(
        &mut self,
    ) -> Result<(mpsc::Sender<ModelInferRequest>, Streaming<ModelInferResponse>), Status> {
        self.0.ready().await.unwrap();
        let (send, requests) = mpsc::channel(1);
        let codec = ProstCodec::<ModelInferRequest, ModelInferResponse>::default();
        let request = Request::new(ReceiverStream::new(requests));
        let answers = self.0.streaming(request, PathAndQuery::from_static(STREAM), codec).await?;
        Ok((send, answers.into_inner()))
    }

    pub(crate) async fn count(&mut self, requests: Vec<ModelInferRequest>) -> Result<String, Status> {
        self.0.ready().await.unwrap();
        let codec = ProstCodec::<ModelInferRequest, ModelInferResponse>::default();
        let request = Request::new(tonic::codegen::tokio_stream::iter(requests));
        let answer = self.0.client_streaming(request, PathAndQuery::from_static(COUNT), codec).await?;
        Ok(answer.into_inner().id)
    }
}
