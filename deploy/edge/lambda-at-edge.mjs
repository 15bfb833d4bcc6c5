// Lambda@Edge (origin request, or viewer request when nothing is cached): marks a share of the requests `x-shadow: true`.
// Environment variables do not exist there, so the share is part of the code. Deploy from us-east-1, a numbered version.
import { randomInt } from 'node:crypto';

// 1 to 5 is usual; hundredths count.
const PERCENT = 5;
const METHODS = ['POST'];

export const handler = async (event) => {
    const request = event.Records[0].cf.request;
    // A client's own mark counts for nothing.
    delete request.headers['x-shadow'];
    if (METHODS.includes(request.method) && randomInt(1_000_000) < PERCENT * 10_000) {
        request.headers['x-shadow'] = [{ key: 'X-Shadow', value: 'true' }];
    }
    return request;
};
