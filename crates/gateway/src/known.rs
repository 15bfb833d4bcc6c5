//! A copy whose answer is known in part: the shadow is asked for the rest.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

use crate::copy::{Answer, CopyAgain, CopyBody, Failure, ask, request};
use crate::hooks::{AnswerSession, Ask, Step};
use crate::shadow::Copy;
use crate::upstream::Pool;

/// Questions that one copy may come to: each follows a wait for others whose question failed.
const MAX_STEPS: usize = 16;

/// A shadow as one copy sees it.
pub(crate) struct Shadow<'a> {
    pub(crate) copy: &'a Copy,
    /// The copy's headers.
    pub(crate) headers: HeaderMap,
    pub(crate) pool: &'a Rc<Pool<CopyBody>>,
    /// Bytes read of an answer.
    pub(crate) limit: usize,
    /// Set when something is sent.
    pub(crate) asked: &'a Cell<bool>,
}

impl Shadow<'_> {
    async fn ask(&self, headers: HeaderMap, body: Vec<Bytes>) -> Result<Answer, Failure> {
        self.asked.set(true);
        let again = CopyAgain { copy: self.copy, body: &body };
        ask(self.pool, request(self.copy, headers, body.clone()), &again, self.limit).await
    }
}

/// What is asked about a copy.
pub(crate) fn question<'a>(copy: &'a Copy, body: &'a record::Body) -> Ask<'a> {
    Ask {
        model: &copy.model().route.name,
        version: &copy.shadow().version,
        tenant: copy.tenant.as_deref(),
        method: &copy.method,
        path: &copy.seen_path,
        body,
    }
}

/// Follows a session to the copy's answer.
pub(crate) async fn converse(
    session: &mut dyn AnswerSession,
    shadow: &Shadow<'_>,
    sent: &record::Body,
) -> Result<Answer, Failure> {
    for _ in 0..MAX_STEPS {
        match session.next().await {
            Step::Known(body) => return Ok(Answer::known(body)),
            Step::AsIs => break,
            Step::Send(body) => {
                let mut headers = shadow.headers.clone();
                // What is to be kept must be readable.
                headers.remove(ACCEPT_ENCODING);
                headers.remove(CONTENT_ENCODING);
                let answer = shadow.ask(headers, vec![body]).await?;
                let is_part = answer.body.is_whole() && session.answered(answer.status, answer.body.body());
                if !is_part {
                    return Ok(answer);
                }
            }
        }
    }
    shadow.ask(shadow.headers.clone(), sent.chunks.clone()).await
}
