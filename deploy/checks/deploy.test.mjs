// The files of deploy/ against published schemas: npm install && node --test
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { parser as logql } from '@grafana/lezer-logql';
import yaml from 'js-yaml';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DEPLOY = path.dirname(HERE);
const text = (name) => readFile(path.join(DEPLOY, name), 'utf8');
const documents = async (name) => yaml.loadAll(await text(name)).filter(Boolean);

/** Grafana's own types refuse unknown keys and wrong kinds of values, though not inside queries and panel options. */
test('Grafana\'s types take the dashboard', async () => {
    const folder = await mkdtemp(path.join(HERE, 'node_modules/.dashboard-'));
    const file = path.join(folder, 'dashboard.ts');
    const dashboard = JSON.parse(await text('grafana/driftline.json'));
    // Keys of Prometheus' annotations, which the types leave to the data source.
    for (const annotation of dashboard.annotations.list) {
        for (const key of ['expr', 'titleFormat', 'textFormat', 'tagKeys']) delete annotation[key];
    }
    // In JSON the members of an enumeration are their texts.
    await writeFile(file, `import type { Dashboard } from '@grafana/schema';
        type Plain<T> = T extends string ? \`\${T}\` : T extends (infer U)[] ? Plain<U>[]
            : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
        export const dashboard: Plain<Dashboard> = ${JSON.stringify(dashboard, null, 1)};`);
    const tsc = path.join(HERE, 'node_modules/typescript/bin/tsc');
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'esnext', '--moduleResolution', 'bundler', file];
    try {
        await promisify(execFile)(process.execPath, [tsc, ...options]);
    } catch (error) {
        assert.fail(error.stdout);
    }
});

test('the dashboard\'s LogQL can be read', async () => {
    const dashboard = JSON.parse(await text('grafana/driftline.json'));
    const queries = dashboard.panels.flatMap((panel) => panel.targets ?? [])
        .filter((target) => target.datasource.type === 'loki').map((target) => target.expr);
    assert.ok(queries.length > 0);
    for (const query of queries) {
        logql.parse(query).iterate({ enter: (node) => assert.ok(!node.type.isError, `${query}: at ${node.from}`) });
    }
});

test('the stack is closed to the network and bounded', async () => {
    const stack = yaml.load(await text('compose/compose.yaml'));
    for (const [name, service] of Object.entries(stack.services)) {
        for (const port of service.ports ?? []) {
            assert.ok(port.startsWith('127.0.0.1:'), `${name}: port ${port} is open to the network`);
        }
        assert.match(service.image, /:v?\d+\.\d+(\.\d+)?$/, `${name}: \`${service.image}\` is not pinned`);
        assert.ok(service.mem_limit && service.cpus, `${name}: no limits`);
        assert.deepEqual(service.cap_drop, ['ALL'], name);
        assert.ok(service.healthcheck || ['loki', 'fluent-bit'].includes(name), `${name}: no health check`);
        for (const variable of Object.keys(service.environment ?? {})) {
            assert.ok(!/(PASSWORD|TOKEN|SECRET|KEY)$/.test(variable), `${name}: ${variable} belongs into a file`);
        }
    }
    for (const [name, secret] of Object.entries(stack.secrets)) {
        assert.equal(secret.file, `./secrets/${name}`);
    }
    for (const service of Object.values(stack.services)) {
        for (const volume of service.volumes ?? []) {
            const source = volume.split(':')[0];
            if (source.startsWith('.')) {
                await readdir(path.join(DEPLOY, 'compose', source)).catch(() => text(path.join('compose', source)));
            } else {
                assert.ok(source in stack.volumes, `volume ${source}`);
            }
        }
    }
});


async function validated(name) {
    const kinds = [];
    for (const document of await documents(name)) {
        const [group] = document.apiVersion.split('/');
        if (!/(monitoring\.coreos\.com|istio\.io|gateway\.networking\.k8s\.io)$/.test(group)) continue;
        const Model = await model(document);
        assert.ok(Model, `${document.apiVersion} ${document.kind} is not known`);
        new Model(document).validate();
        kinds.push(document.kind);
    }
    return kinds;
}

async function model({ apiVersion, kind }) {
    const roots = {
        'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
        'networking.istio.io': '@kubernetes-models/istio',
        'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
    };
    const module = await import(`${roots[apiVersion.split('/')[0]]}/${apiVersion}/${kind}`);
    return module[kind];
}

test('the operators\' schemas take what is for them', async () => {
    assert.deepEqual((await validated('kubernetes/manifests/gateway-operator.yaml')).sort(), ['PrometheusRule', 'ServiceMonitor']);
    assert.deepEqual(await validated('kubernetes/examples/gateway-api.yaml'), ['HTTPRoute', 'HTTPRoute']);
    assert.deepEqual(await validated('kubernetes/examples/istio.yaml'), ['VirtualService', 'DestinationRule']);
    const ServiceMonitor = await model({ apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor' });
    const bad = { apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor', spec: { endpoints: 'none', selector: {} } };
    assert.throws(() => new ServiceMonitor(bad).validate(), 'the schema refuses nothing');
});
