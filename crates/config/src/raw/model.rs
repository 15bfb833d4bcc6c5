//! A model: its versions, who gets which, and how it is measured.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::raw::{
    AnyText, Budget, DriftDetector, Follow, Headers, ModelRollback, Named, Names, Pairs, ShadowMode,
    ShadowRole,
};
use crate::text::{FileName, HeaderText, HostText, MethodText, Name, PathText, PrefixText, Span, Url};

/// One model.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    /// Its versions, by name: a URL, or more. Without any the model is only measured, from `sources` and the receivers of
    /// the admin address: nothing is forwarded to it.
    #[serde(default)]
    pub(crate) versions: Named<Names, Version>,
    /// The version that answers clients; needed with `versions`. Of a model that is only measured: the version of records
    /// that name none, `unknown` by default.
    pub(crate) active: Option<Name>,
    /// The version that a rollback goes to. Without it, `active`: a rollback then has nowhere to go.
    pub(crate) stable: Option<Name>,
    /// Names of the versions of a model whose traffic goes elsewhere, in place of `versions`: it is only measured here, and
    /// moved by its actuators.
    #[schemars(length(min = 1, max = 32))]
    pub(crate) elsewhere: Option<Vec<Name>>,
    /// The version that gets copies, or several. Its answers are measured and discarded.
    pub(crate) shadow: Option<OneOrMore<Shadow>>,
    /// Shares of the real traffic by version, for a canary: weights that need not add up to 100. Without it, `active`
    /// gets everything.
    pub(crate) split: Option<Named<Names, Weight>>,
    /// How production's and the shadow's answers to one request are compared; `false` for not at all. On by default when
    /// there is a `shadow` that is copied to.
    pub(crate) pairs: Option<Pairs>,
    /// Header whose value keeps a client on one version of the `split`. Without it each request is drawn anew.
    pub(crate) sticky: Option<HeaderText>,
    /// How the connections to its versions are kept, and which requests are sent again when one was closed.
    #[serde(default)]
    pub(crate) upstream: UpstreamRules,
    /// Requests that belong to this model. A single model takes all.
    pub(crate) route: Option<Route>,
    /// How bodies are read.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// Header that names the tenant; `false` for none.
    #[serde(default)]
    pub(crate) tenant: Tenant,
    /// The features to measure. All that a body has, by default.
    pub(crate) features: Option<Features>,
    /// Where an answer holds the prediction. All that an answer has, by default.
    pub(crate) prediction: Option<Prediction>,
    /// What live traffic is compared with: a profile made by `driftline baseline`, the first requests, or
    /// `previous-window`. Learned from the first 1000 requests by default.
    pub(crate) baseline: Option<Baseline>,
    /// How bins are cut when the reference is learned.
    #[serde(default)]
    pub(crate) binning: Binning,
    /// Requests per window, or more about it.
    #[serde(default)]
    pub(crate) window: Window,
    /// The sequential detector, which finds drift long before a window is full; `false` for none.
    pub(crate) detector: Option<DriftDetector>,
    /// Whether critical alerts roll this model back. The start value: it can be switched while running.
    #[serde(default = "default_true")]
    pub(crate) auto_rollback: bool,
    /// Follow what names the version that clients get: a parameter, a file or an HTTP endpoint.
    pub(crate) follow: Option<Follow>,
    /// What is different from `rollback` for this model.
    #[serde(default)]
    pub(crate) rollback: ModelRollback,
}

/// One, or a list.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMore<T> {
    One(T),
    More(#[schemars(length(min = 1, max = 16))] Vec<T>),
}

impl<T> OneOrMore<T> {
    /// All of them.
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

/// Share of the traffic, 0 for none.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct Weight(#[schemars(range(min = 0, max = 1_000_000))] pub(crate) u32);

/// A version: its URL, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Version {
    /// Its URL.
    Url(Url),
    Detail(VersionDetail),
}

/// Where a version answers, and how to speak to it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionDetail {
    /// Where it answers: `http` or `https`, host, and a base path that is put before the request's path.
    pub(crate) url: Url,
    /// Speak HTTP/2: over TLS when the server offers it, over plain TCP with prior knowledge.
    #[serde(default)]
    pub(crate) http2: bool,
    /// Further trusted certificates, PEM; the system's count as well.
    pub(crate) ca_file: Option<FileName>,
    /// Time to connect.
    #[serde(default = "default_connect_timeout")]
    #[schemars(extend("x-min" = "1ms", "x-max" = "10m"))]
    pub(crate) connect_timeout: Span,
    /// Time from sending the request's head to the answer's head; over it the client gets 504.
    #[serde(default = "default_timeout")]
    #[schemars(extend("x-min" = "1ms", "x-max" = "1d"))]
    pub(crate) timeout: Span,
    /// Send the client's `host` on instead of the URL's.
    #[serde(default)]
    pub(crate) preserve_host: bool,
}

impl Version {
    /// With every default filled in.
    pub(crate) fn detail(&self) -> VersionDetail {
        match self {
            Self::Detail(detail) => detail.clone(),
            Self::Url(url) => VersionDetail {
                url: url.clone(),
                http2: false,
                ca_file: None,
                connect_timeout: default_connect_timeout(),
                timeout: default_timeout(),
                preserve_host: false,
            },
        }
    }
}

/// Connections to a model's versions that wait for the next request, and what happens when the version closes one at the
/// moment a request is sent on it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UpstreamRules {
    /// Requests that are sent again, once and on a new connection, when a kept connection was closed before a byte of the
    /// answer. Only as long as the body so far is within `limits.capture_bytes`.
    pub(crate) retry: Retry,
    /// How long a connection is kept without a request; `0s` keeps none. By default it is learned: from `keep-alive:
    /// timeout=` in answers, and from when the version closes idle connections; 45 s at most.
    #[schemars(extend("x-min" = "0s", "x-max" = "1h"))]
    pub(crate) idle: Option<Span>,
}

/// Requests that may be sent twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Retry {
    /// None.
    Never,
    /// `GET`, `HEAD`, `OPTIONS`, `PUT`, `DELETE`, and requests with an `idempotency-key`.
    Idempotent,
    /// Those, and inferences, which have no effects: `POST`s of data (any content type but forms and uploads) to a path
    /// that manages nothing (`/v2/repository/…`, `/v1/files`, `/v1/batches` and the like do).
    #[default]
    Inference,
}

/// A shadow and who is copied to it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shadow {
    /// The version that gets the copies. Not needed with `mode: log-only` and `role: noise`.
    pub(crate) version: Option<Name>,
    /// Share of the requests that is copied, in percent; fractions count. With `mode: log-only` the share that is logged,
    /// 100 by default.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) percent: Option<f64>,
    /// Whether copies are sent, or requests only logged.
    #[serde(default)]
    pub(crate) mode: ShadowMode,
    /// Whether another version is compared with the one that answers clients, or that one with itself.
    #[serde(default)]
    pub(crate) role: ShadowRole,
    /// What the copies may cost, for models that are paid by the token. No bound by default.
    pub(crate) budget: Option<Budget>,
    /// What is drawn by: each request by itself, or always alike for one request id, tenant or header value.
    #[serde(default)]
    pub(crate) sample_by: SampleBy,
    /// Copy a request that was marked `x-shadow: true` before it came here, whatever the percentage.
    #[serde(default = "default_true")]
    pub(crate) honour_mark: bool,
    /// Take `authorization`, `cookie`, `proxy-authorization` and `x-api-key` off the copy.
    #[serde(default)]
    pub(crate) strip_credentials: bool,
    /// More headers to take off the copy.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) strip_headers: Vec<HeaderText>,
    /// Time for a whole copy.
    #[serde(default = "default_shadow_timeout")]
    #[schemars(extend("x-min" = "1ms", "x-max" = "10m"))]
    pub(crate) timeout: Span,
    /// Only requests of these methods are copied. All but `CONNECT` and `TRACE` by default.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub(crate) methods: Vec<MethodText>,
    /// Read and measure the shadow's answers. When `false` copies are sent and their answers discarded unread.
    #[serde(default = "default_true")]
    pub(crate) observe: bool,
}

/// What the draw of a copy goes by.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum SampleBy {
    /// Each request is drawn by itself.
    #[default]
    Random,
    /// By hash of `x-request-id`.
    RequestId,
    /// By hash of the tenant.
    Tenant,
    /// By hash of a header's value; a request without it is drawn by itself.
    Header(
        /// Name of the header.
        HeaderText,
    ),
}

impl serde::Serialize for SampleBy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Random => "random",
            Self::RequestId => "request-id",
            Self::Tenant => "tenant",
            Self::Header(_) => "header",
        })
    }
}

/// Requests of a model: a path prefix, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Route {
    /// Path prefix at a segment's boundary: `/fraud` takes `/fraud` and `/fraud/x`, not `/fraudulent`.
    Path(PrefixText),
    Detail(RouteDetail),
}

/// Requests of a model; all that is given must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(crate) struct RouteDetail {
    /// Path prefix at a segment's boundary: `/fraud` takes `/fraud` and `/fraud/x`, not `/fraudulent`.
    pub(crate) path: Option<PrefixText>,
    /// Host without port; case does not matter.
    pub(crate) host: Option<HostText>,
    /// A header and the value it must have.
    #[schemars(extend("maxProperties" = 1))]
    pub(crate) header: Option<Named<Headers, String>>,
    /// Take `path` off before forwarding.
    #[serde(default)]
    pub(crate) strip_prefix: bool,
}

/// How bodies are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    /// Recognised from path, content type and body, request by request.
    #[default]
    Auto,
    /// `instances` and `predictions`.
    KserveV1,
    /// `inputs` and `outputs` (Open Inference Protocol), JSON and binary tensors.
    KserveV2,
    /// The same over gRPC: `ModelInfer`.
    KserveV2Grpc,
    /// Containers on SageMaker: CSV, JSON or JSON lines.
    Sagemaker,
    /// Endpoints on Vertex AI: `instances` and `predictions`.
    Vertex,
    /// Chat, completions and embeddings: counts and settings, never text.
    Openai,
    /// Any JSON, by path or flattened.
    Json,
}

impl From<Protocol> for record::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Auto => Self::Auto,
            Protocol::KserveV1 => Self::KserveV1,
            Protocol::KserveV2 => Self::KserveV2,
            Protocol::KserveV2Grpc => Self::KserveV2Grpc,
            Protocol::Sagemaker => Self::Sagemaker,
            Protocol::Vertex => Self::Vertex,
            Protocol::Openai => Self::Openai,
            Protocol::Json => Self::Json,
        }
    }
}

/// Who sent a request: a header, `false`, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Tenant {
    /// `false`: requests name no tenant.
    #[expect(dead_code, reason = "`false` is all it can be")]
    None(#[schemars(extend("const" = false))] bool),
    /// Header that names the tenant.
    Header(HeaderText),
    Detail(TenantDetail),
}

/// The header, and how many tenants get windows of their own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantDetail {
    /// Header that names the tenant.
    #[serde(default = "default_tenant_header")]
    pub(crate) header: HeaderText,
    /// Tenants with windows of their own; later ones share those of the tenant `other`. `limits.tenants` by default.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) limit: Option<usize>,
    /// These always have windows of their own, whoever comes first. Counted in `limit`.
    #[serde(default)]
    pub(crate) pinned: Vec<String>,
}

impl Default for Tenant {
    fn default() -> Self {
        Self::Header(default_tenant_header())
    }
}

impl serde::Serialize for Tenant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None(_) => serializer.serialize_bool(false),
            Self::Header(header) => header.serialize(serializer),
            Self::Detail(detail) => detail.header.serialize(serializer),
        }
    }
}

/// Features to measure: a list of names, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Features {
    /// Only these.
    Include(#[schemars(length(min = 1))] Vec<String>),
    Detail(FeaturesDetail),
}

/// Which features, and where they stand.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeaturesDetail {
    /// Only these are measured; all when empty.
    #[serde(default)]
    pub(crate) include: Vec<String>,
    /// These are not measured.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// These are judged although their values look like identifiers, times or free text.
    #[serde(default)]
    pub(crate) judge: Vec<String>,
    /// Where a body holds each feature, by the feature's name; nothing else is read then. `[*]` makes a row of every
    /// element.
    pub(crate) paths: Option<Named<AnyText, PathText>>,
}

impl Features {
    /// In full.
    pub(crate) fn detail(&self) -> FeaturesDetail {
        match self {
            Self::Detail(detail) => detail.clone(),
            Self::Include(include) => {
                FeaturesDetail { include: include.clone(), ..FeaturesDetail::default() }
            }
        }
    }
}

/// Where an answer holds what the model predicted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Prediction {
    /// The path of the one prediction.
    Path(PathText),
    /// Paths of several, by name.
    Paths(Named<AnyText, PathText>),
}

/// What live traffic is compared with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Baseline {
    /// The window before the current one.
    PreviousWindow(PreviousWindow),
    /// A profile's file, relative to the configuration's folder.
    File(FileName),
    Detail(BaselineDetail),
}

/// The word for the window before the current one.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum PreviousWindow {
    /// Each full window becomes the reference of the next.
    #[serde(rename = "previous-window")]
    PreviousWindow,
}

/// A profile, and how much is learned.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaselineDetail {
    /// A profile's file, relative to the configuration's folder.
    pub(crate) file: Option<FileName>,
    /// Requests to learn from: everything without `file`; with it, the features that the profile does not know.
    #[serde(default = "default_learn")]
    #[schemars(range(min = 100, max = 1_000_000))]
    pub(crate) learn: usize,
    /// What is learned grows, as long as nothing is found, until it covers so much time; `0s` leaves it as it was learned. A profile
    /// never grows.
    #[serde(default = "default_grow")]
    #[schemars(extend("x-min" = "0s", "x-max" = "90d"))]
    pub(crate) grow: Span,
}

/// How bins are cut.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Binning {
    /// Bins of one width, or bins of one share.
    #[serde(rename = "type")]
    pub(crate) kind: BinningType,
    /// Number of bins.
    #[schemars(range(min = 2, max = 200))]
    pub(crate) bins: usize,
    /// The range that equal-width bins divide; what lies outside is counted in the edge bins. `minmax` by default.
    pub(crate) range: Option<BinningRange>,
}

impl Default for Binning {
    fn default() -> Self {
        Self { kind: BinningType::EqualWidth, bins: 10, range: None }
    }
}

/// How bins are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BinningType {
    /// Bins of one width.
    EqualWidth,
    /// Edges at the reference's quantiles: bins of one share.
    Quantile,
}

/// The range that equal-width bins divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BinningRange {
    /// Smallest to largest value. One outlier can put all mass into one bin.
    Minmax,
    /// Quantile 0.001 to quantile 0.999.
    Quantile,
    /// Median plus and minus five robust standard deviations.
    Iqr,
}

/// Requests per window, or more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Window {
    /// Requests per window.
    Size(#[schemars(range(min = 10, max = 1_000_000))] usize),
    Detail(WindowDetail),
}

/// A window and when it judges.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowDetail {
    /// Requests per window.
    #[serde(default = "default_window")]
    #[schemars(range(min = 10, max = 1_000_000))]
    pub(crate) size: usize,
    /// A window judges only when it holds more requests than this. `alerts.min_requests` by default, which alerts wait
    /// for in any case.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) min_requests: Option<u64>,
    /// Probability that chance alone makes a PSI count, shared by everything that is judged at once: it is divided by the number of
    /// features times windows.
    #[serde(default = "default_significance")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 0.5))]
    pub(crate) significance: f64,
}

impl Default for Window {
    fn default() -> Self {
        Self::Size(default_window())
    }
}

impl Window {
    /// With every default filled in.
    pub(crate) fn detail(&self) -> WindowDetail {
        match self {
            Self::Detail(detail) => detail.clone(),
            Self::Size(size) => {
                WindowDetail { size: *size, min_requests: None, significance: default_significance() }
            }
        }
    }
}

impl serde::Serialize for Window {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.detail().size as u64)
    }
}

fn default_true() -> bool {
    true
}

fn default_window() -> usize {
    1_000
}

fn default_significance() -> f64 {
    0.001
}

/// Requests that a reference is learned from.
pub(crate) fn default_learn() -> usize {
    1_000
}

/// Time that a learned reference grows to cover.
pub(crate) fn default_grow() -> Span {
    Span(std::time::Duration::from_secs(7 * 86_400))
}

fn default_tenant_header() -> HeaderText {
    HeaderText(http::HeaderName::from_static("x-tenant-id"))
}

fn default_connect_timeout() -> Span {
    Span(std::time::Duration::from_secs(5))
}

fn default_timeout() -> Span {
    Span(std::time::Duration::from_secs(60))
}

fn default_shadow_timeout() -> Span {
    Span(std::time::Duration::from_secs(5))
}
