//! Links that approve: signed, expiring, for one proposal.
//!
//! The signature is over model, proposal and expiry, with a key of this installation's own that is made at its first start
//! and stays in its state folder. Following a link shows what is proposed and asks; only the button acts, so that a chat's
//! preview approves nothing. A link works once, because a proposal does.

use std::path::Path;

use actions::Link;
use control::Proposal;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::plane::Plane;

/// Name of the key's file in the state folder.
const FILE: &str = "approval.key";

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// What links are signed with.
#[derive(Clone)]
pub(crate) struct ApprovalKey(Vec<u8>);

impl std::fmt::Debug for ApprovalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApprovalKey(***)")
    }
}

impl ApprovalKey {
    /// The folder's key, made when there is none.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        let path = folder.join(FILE);
        match std::fs::read(&path) {
            Ok(key) if key.len() >= KEY_BYTES => return Ok(Self(key)),
            Ok(_) => tracing::warn!(file = %path.display(), "the key is too short; another is made"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let key = random()?;
        write_private(&path, &key)?;
        Ok(Self(key))
    }

    fn mac(&self, model: &str, proposal: i64, expires_ms: i64) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{model}\n{proposal}\n{expires_ms}").as_bytes());
        Some(mac)
    }

    fn sign(&self, model: &str, proposal: i64, expires_ms: i64) -> String {
        let mac = self.mac(model, proposal, expires_ms);
        let bytes = mac.map(|mac| mac.finalize().into_bytes());
        bytes.into_iter().flatten().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a signature is right, in constant time, and the link has not expired.
    pub(crate) fn accepts(
        &self,
        model: &str,
        proposal: i64,
        expires_ms: i64,
        signature: &str,
        now_ms: i64,
    ) -> bool {
        if now_ms >= expires_ms || signature.len() != 64 {
            return false;
        }
        let pairs = signature.as_bytes().chunks_exact(2);
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let bytes: Option<Vec<u8>> = pairs
            .map(|pair| Some(u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).unwrap_or_default()))
            .collect();
        match (bytes, self.mac(model, proposal, expires_ms)) {
            (Some(bytes), Some(mac)) => mac.verify_slice(&bytes).is_ok(),
            _ => false,
        }
    }

    /// The path of a link.
    fn path(&self, proposal: &Proposal) -> String {
        let (model, id, expires) = (&proposal.model, proposal.id, proposal.expires_at_ms);
        format!("/approve/{model}/{id}?e={expires}&s={}", self.sign(model, id, expires))
    }
}

fn random() -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut key = vec![0; KEY_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

fn write_private(path: &Path, key: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(key)?;
    file.sync_all()
}

/// The links of a proposal: to decide, when people can reach us, and to look.
pub(crate) fn links(plane: &Plane, proposal: &Proposal) -> Vec<Link> {
    let settings = plane.settings();
    let decide = settings.public_url.as_ref().map(|base| {
        told_link(
            "Approve or turn down",
            &format!("{}{}", base.trim_end_matches('/'), plane.approval_key.path(proposal)),
        )
    });
    let look = plane.dashboard("control", &proposal.model).map(|url| told_link("Dashboard", &url));
    decide.into_iter().chain(look).collect()
}

fn told_link(text: &str, url: &str) -> Link {
    crate::told::link(text, url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_proposal_and_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let key = ApprovalKey::open(folder.path()).unwrap();
        let signature = key.sign("fraud", 7, 1_000);
        assert!(key.accepts("fraud", 7, 1_000, &signature, 999));
        assert!(!key.accepts("fraud", 7, 1_000, &signature, 1_000), "it has expired");
        assert!(!key.accepts("fraud", 8, 1_000, &signature, 0));
        assert!(!key.accepts("other", 7, 1_000, &signature, 0));
        assert!(!key.accepts("fraud", 7, 2_000, &signature, 0), "nobody gives himself more time");
        assert!(!key.accepts("fraud", 7, 1_000, &signature[..62], 0));
        assert!(!key.accepts("fraud", 7, 1_000, &"zz".repeat(32), 0));
        let again = ApprovalKey::open(folder.path()).unwrap();
        assert!(again.accepts("fraud", 7, 1_000, &signature, 0), "the same key after a restart");
        let other = ApprovalKey::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert!(!other.accepts("fraud", 7, 1_000, &signature, 0), "another installation's");
        assert_eq!(format!("{key:?}"), "ApprovalKey(***)");
    }

    #[test]
    fn nobody_else_reads_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        ApprovalKey::open(folder.path()).unwrap();
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
