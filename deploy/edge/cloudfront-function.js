// CloudFront function (viewer request, runtime cloudfront-js-2.0): marks a share of the requests `x-shadow: true`. Driftline
// copies what is marked, whatever its own percentage (`honour_mark`); set `shadow: { percent: 0 }` to sample here only.
//
// The function has no random numbers that cannot be guessed, so the share is drawn by a keyed hash of the request's id: even,
// and the same again for whoever knows the key.
import crypto from 'crypto';

// 1 to 5 is usual; fractions count.
const PERCENT = 5;
// A random text of your own: with it nobody can choose whether a request is copied.
const KEY = 'change-me';
// What is worth a copy. Driftline copies every method but CONNECT and TRACE unless told otherwise.
const METHODS = ['POST'];

function handler(event) {
    const request = event.request;
    // A client's own mark counts for nothing.
    delete request.headers['x-shadow'];
    if (METHODS.includes(request.method)) {
        const digest = crypto.createHmac('sha256', KEY).update(event.context.requestId).digest('hex');
        // 32 bits of it as a number in [0, 1).
        if (parseInt(digest.slice(0, 8), 16) / 4294967296 < PERCENT / 100) {
            request.headers['x-shadow'] = { value: 'true' };
        }
    }
    return request;
}
