"""Observation without a gateway: how many inference records a core counts from standard input, a file and Kafka."""
import glob, pathlib, re, subprocess, tempfile, time, urllib.request

from . import peers
from .common import Running, build, cpu_seconds, free_port, run_measured, say, wait_for

FEATURES, TENANTS, PARTITIONS = 30, 20, 4
# The broker that stands for Kafka answers with all that it has, whatever was asked for, and over 100 MB no client takes it.
KAFKA_RECORDS = 100_000
# Sends the lines of a file: broker, topic, file.
PRODUCE = """
import sys
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
broker, topic, file, partitions = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": broker})
admin.create_topics([NewTopic(topic, int(partitions), 1)])[topic].result(30)
failed = []
producer = Producer({"bootstrap.servers": broker, "linger.ms": 50, "queue.buffering.max.messages": 100000})
said = lambda error, message: failed.append(error) if error else None
for number, line in enumerate(open(file, "rb")):
    while True:
        try:
            producer.produce(topic, line.rstrip(b"\\n"), partition=number % int(partitions), on_delivery=said)
            break
        except BufferError:
            producer.poll(0.1)
    producer.poll(0)
producer.flush(60)
sys.exit(f"{len(failed)} were not taken: {failed[0]}" if failed else 0)
"""


def write_records(file, n):
    with open(file, "w") as out:
        for row in range(n):
            features = ",".join(f'"f{i:02}":{(row * 31 + i) * 7919 % 100000 / 100000}' for i in range(FEATURES))
            out.write(f'{{"model":"fraud","version":"v2","tenant":"t{row % TENANTS}","features":{{{features}}},"prediction":0.5}}\n')


def write_config(folder, source):
    config, admin = folder / "observe.yaml", free_port()
    config.write_text(f"admin: 127.0.0.1:{admin}\nstore: {folder}/state\nmodels:\n  fraud: {{ tenant: x-tenant-id }}\n"
                      f"sources:\n  scored:\n{source}")
    return config, admin


def until_its_end(driftline, folder, records, source):
    """A source that ends when all is read."""
    config, _ = write_config(folder, source)
    with open(records, "rb") as lines:
        found = run_measured([driftline, "observe", "-c", config], stdin=lines)
    return found["cpu_s"], found["seconds"]


def counted(admin):
    text = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=30).read().decode()
    return sum(float(value) for value in re.findall(r'^driftline_source_records_total{.*result="counted".*} (\S+)$', text, re.M))


def from_kafka(driftline, folder, n):
    """CPU seconds and seconds for `n` records."""
    records = folder / "kafka.jsonl"
    write_records(records, n)
    programs = peers.env("noida-db", "noida-db==0.2.3")
    # The command on PATH is a wrapper that would leave the broker behind.
    broker = glob.glob(str(programs.parent / "lib/python3*/site-packages/noida_db/noida-db"))[0]
    python, port = peers.env("kafka", "confluent-kafka") / "python", free_port()
    command = [broker, "start", "--only", "kafka", "--kafka-port", port, "--data-dir", folder / "broker"]
    with Running(command, folder / "broker.log") as process:
        wait_for(port, process)
        subprocess.run([python, "-c", PRODUCE, f"127.0.0.1:{port}", "scored", records, str(PARTITIONS)], check=True)
        source = f"    kafka: {{ brokers: ['127.0.0.1:{port}'], topics: [scored], group: bench, start: earliest }}\n"
        config, admin = write_config(folder, source)
        with Running([driftline, "observe", "-c", config], folder / "driftline.log") as process:
            wait_for(admin, process)
            # From the first record on: joining a group takes seconds in which nothing is done.
            first = await_count(admin, 1, 0.01)
            before, start = cpu_seconds([process.pid]), time.monotonic()
            await_count(admin, n, 0.1)
            share = n / (n - first)
            return (cpu_seconds([process.pid]) - before) * share, (time.monotonic() - start) * share


def await_count(admin, wanted, pause):
    """Waits until so many are counted: how many are."""
    end = time.monotonic() + 120
    while (now := counted(admin)) < wanted:
        if time.monotonic() > end:
            raise RuntimeError(f"{now} of {wanted} records were counted within two minutes")
        time.sleep(pause)
    return now


def run(quick):
    driftline, n = build("-p", "driftline") / "driftline", 50_000 if quick else 500_000
    figures = {}
    with tempfile.TemporaryDirectory(prefix="driftline-bench-") as name:
        folder = pathlib.Path(name)
        records = folder / "records.jsonl"
        write_records(records, n)
        tail = f"    tail: {{ paths: ['{records}'], follow: false }}\n"
        few = min(n, KAFKA_RECORDS)
        sources = {
            "standard input": (n, lambda: until_its_end(driftline, folder, records, "    stdin: {}\n")),
            "a file (`tail`)": (n, lambda: until_its_end(driftline, folder, records, tail)),
            f"Kafka, {PARTITIONS} partitions": (few, lambda: from_kafka(driftline, folder, few)),
        }
        for source, (count, measure) in sources.items():
            say(f"observe from {source}")
            cpu, seconds = measure()
            figures[source] = {"records": count, "cpu_us": cpu / count * 1e6, "per_second_per_core": count / cpu, "seconds": seconds}
        size = records.stat().st_size / n
    return {"bytes_a_record": size, "sources": figures, "marks": []}
