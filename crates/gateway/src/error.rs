//! Why a gateway does not start, or does not take a new route table.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A gateway that cannot start, or a route table that is refused (the old one then stays in force).
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Another program listens there.
    #[error(
        "cannot listen on `{address}`: the address is in use; stop the other program or choose another `listen`"
    )]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The system does not allow it.
    #[error(
        "cannot listen on `{address}`: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE, \
         choose a higher port"
    )]
    Permission {
        /// The address.
        address: SocketAddr,
    },
    /// Any other failure of the listener.
    #[error("cannot listen on `{address}`: {source}; check that this machine has the address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate, key or trust file that is not usable.
    #[error("cannot use `{}`: {reason}", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting outside its range.
    #[error("`{field}` {reason}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A route that cannot be compiled.
    #[error("model `{model}`: {reason}")]
    Route {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// The system gives no thread or event loop.
    #[error("cannot start a worker: {0}; check the limits on threads and open files")]
    Worker(#[source] io::Error),
}
