//! An S3 server: moto's.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::http::Client;
use super::{DEADLINE, await_until, require};

/// Secrets of the clients of these tests; nothing may show them.
pub(crate) const KEY_ID: &str = "AKIAPLANTEDKEYID0000";
pub(crate) const SECRET: &str = "planted/secret/key/that/nobody/may/see00";

/// A running server, ended when dropped.
#[derive(Debug)]
pub(crate) struct S3 {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl S3 {
    /// The program, when it is installed.
    pub(crate) fn installed() -> Option<PathBuf> {
        require("moto_server")
    }

    pub(crate) fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// Starts one with nothing in it.
    pub(crate) fn start(program: &PathBuf, address: SocketAddr, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]).envs(env.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, address };
        await_until("the S3 server answers", DEADLINE, || TcpStream::connect(address).is_ok());
        server
    }

    /// Makes a bucket, or an object of it.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &str) {
        let answer = Client::new(self.address).send("PUT", path, &[], body.as_bytes());
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
    }

    /// What a client needs in its environment.
    pub(crate) fn credentials(command: &mut Command) -> &mut Command {
        for name in ["AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"] {
            command.env_remove(name);
        }
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
