// node --test deploy/edge/
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { handler as lambda } from './lambda-at-edge.mjs';

const REQUESTS = 40_000;

/** CloudFront calls a function by its name; here it is exported for us. */
async function cloudfrontFunction() {
    const text = await readFile(new URL('./cloudfront-function.js', import.meta.url), 'utf8');
    const module = `${text}\nexport { handler };`;
    return (await import(`data:text/javascript,${encodeURIComponent(module)}`)).handler;
}

const functionEvent = (requestId, method = 'POST', headers = {}) => ({
    version: '1.0',
    context: { distributionDomainName: 'd.cloudfront.net', distributionId: 'E1', eventType: 'viewer-request', requestId },
    viewer: { ip: '203.0.113.7' },
    request: { method, uri: '/v2/models/fraud/infer', querystring: {}, headers, cookies: {} },
});

const lambdaEvent = (method = 'POST', headers = {}) => ({
    Records: [{ cf: {
        config: { distributionDomainName: 'd.cloudfront.net', distributionId: 'E1', eventType: 'origin-request', requestId: 'r' },
        request: { clientIp: '203.0.113.7', method, uri: '/v2/models/fraud/infer', querystring: '', headers },
    } }],
});

/** 5 % of the requests, give or take five standard deviations. */
function isFivePercent(marked) {
    const [expected, spread] = [REQUESTS * 0.05, Math.sqrt(REQUESTS * 0.05 * 0.95)];
    assert.ok(Math.abs(marked - expected) < 5 * spread, `${marked} of ${REQUESTS} marked`);
}

test('the CloudFront function marks its share', async () => {
    const handler = await cloudfrontFunction();
    let marked = 0;
    for (let i = 0; i < REQUESTS; i++) {
        const { headers } = handler(functionEvent(`${randomUUID()}==`));
        if (headers['x-shadow']) {
            assert.deepEqual(headers['x-shadow'], { value: 'true' });
            marked++;
        }
    }
    isFivePercent(marked);
});

test('the CloudFront function draws the same again for the same request', async () => {
    const handler = await cloudfrontFunction();
    for (let i = 0; i < 200; i++) {
        const mark = () => handler(functionEvent(`request-${i}`)).headers['x-shadow'];
        assert.deepEqual(mark(), mark());
    }
});

test('the CloudFront function takes a client\'s own mark off and keeps everything else', async () => {
    const handler = await cloudfrontFunction();
    const headers = { 'x-shadow': { value: 'true' }, host: { value: 'api.example.com' } };
    const request = handler(functionEvent('any', 'GET', headers));
    assert.deepEqual(request.headers, { host: { value: 'api.example.com' } });
    assert.equal(request.uri, '/v2/models/fraud/infer');
});

test('the Lambda marks its share', async () => {
    let marked = 0;
    for (let i = 0; i < REQUESTS; i++) {
        const { headers } = await lambda(lambdaEvent());
        if (headers['x-shadow']) {
            assert.deepEqual(headers['x-shadow'], [{ key: 'X-Shadow', value: 'true' }]);
            marked++;
        }
    }
    isFivePercent(marked);
});

test('the Lambda takes a client\'s own mark off and keeps everything else', async () => {
    const headers = { 'x-shadow': [{ key: 'X-Shadow', value: 'true' }], host: [{ key: 'Host', value: 'api.example.com' }] };
    const request = await lambda(lambdaEvent('GET', headers));
    assert.deepEqual(request.headers, { host: [{ key: 'Host', value: 'api.example.com' }] });
    assert.equal(request.method, 'GET');
});
