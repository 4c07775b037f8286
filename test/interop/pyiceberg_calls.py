"""One call of PyIceberg: a JSON object on the command line, a JSON object on standard output."""

import datetime
import json
import sys

import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitFailedException


def connect(call):
    s3 = {
        "s3.endpoint": call["s3Origin"],
        "s3.access-key-id": "test",
        "s3.secret-access-key": "testtest",
        "s3.region": "us-east-1",
        "s3.path-style-access": "true",
    }
    token = {"token": call["token"]} if "token" in call else {}
    return load_catalog("rest", type="rest", uri=call["uri"], warehouse="lake", **s3, **token)


def read(call):
    found = connect(call).load_table(call["table"]).scan(row_filter=call["filter"]).to_arrow()
    keys = set(zip(found["source"].to_pylist(), found["id"].to_pylist()))
    numbers = [json.loads(data or "{}").get("n", 0) for data in found["data"].to_pylist()]
    extensions = [json.loads(text) if text is not None else None for text in found["extensions"].to_pylist()]
    return {
        "rows": found.num_rows,
        "keys": len(keys),
        "sum": sum(numbers),
        "marked": sum(1 for members in extensions if members is not None),
        "marks": sum(n for n, members in zip(numbers, extensions) if (members or {}).get("mark") == n),
    }


def append(call):
    """Appends rows, so many times, going on after every conflict."""
    catalog = connect(call)
    now = datetime.datetime(2026, 11, 19, 1, 2, 3, 4, tzinfo=datetime.timezone.utc)
    for number in range(call["times"]):
        rows = [
            {
                "id": f"py-{number}-{index}",
                "source": call["source"],
                "type": "com.example.appended",
                "time": now,
                "tenant": "acme",
                "data": json.dumps({"n": index}),
                "ingest_time": now,
                "shard": "py",
                "seq": index,
            }
            for index in range(call["rows"])
        ]
        while True:
            table = catalog.load_table(call["table"])
            try:
                table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
                break
            except CommitFailedException:
                continue
    return {"appended": call["times"] * call["rows"]}


call = json.loads(sys.argv[1])
print(json.dumps({"read": read, "append": append}[call["do"]](call)))
