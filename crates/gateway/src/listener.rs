//! Listening: one socket a worker on the same port, so that the kernel spreads connections and workers share nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use crate::connection;
use crate::error::GatewayError;
use crate::notices::{self, Unserved};
use crate::worker::Ctx;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// First and longest pause after a failed `accept` (no file descriptors left, say): without one it would spin.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Binds one socket a worker.
///
/// # Errors
/// The address is in use, not allowed or not ours.
pub(crate) fn bind(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, GatewayError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => GatewayError::AddressInUse { address },
        io::ErrorKind::PermissionDenied => GatewayError::Permission { address },
        _ => GatewayError::Listen { address, source },
    };
    // Shared ports would let two gateways steal each other's connections in silence: the first socket is bound without
    // sharing, which fails when anybody listens there.
    let first = socket(address, false).map_err(failed)?;
    if workers <= 1 {
        return Ok(vec![first]);
    }
    let address = first.local_addr().map_err(failed)?;
    drop(first);
    (0..workers).map(|_| socket(address, true).map_err(failed)).collect()
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the gateway closes.
pub(crate) async fn accept(ctx: &Rc<Ctx>, socket: TcpListener, mut closing: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a worker cannot listen");
            return;
        }
    };
    let counters = &ctx.shared.counters;
    let mut pause = PAUSE;
    let closed = closing.wait_for(|closing| *closing);
    tokio::pin!(closed);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut closed => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = PAUSE;
                // The place is taken first, so that no two workers take the last one.
                if counters.connections.fetch_add(1, Relaxed) >= ctx.shared.limits.connections {
                    counters.connections.fetch_sub(1, Relaxed);
                    counters.over_connections.fetch_add(1, Relaxed);
                    let open = ctx.shared.limits.connections;
                    let detail = format_args!("{open} client connections are open already");
                    notices::turned_away(counters, Unserved::Connections, peer, &detail);
                    continue;
                }
                connection::spawn(ctx, stream, peer);
            }
            // Gone before it was accepted: its own fault alone.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                counters.accept_errors.fetch_add(1, Relaxed);
                tracing::warn!(%error, "cannot accept connections for a moment");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
