"""Runs SQL statements, one an argument, in one session of DuckDB; prints the last one's rows as JSON."""

import importlib
import json
import pathlib
import sys

import duckdb

connection = duckdb.connect()
# In their order: the last one would fetch the others by itself.
for name in ("httpfs", "avro", "iceberg"):
    package = pathlib.Path(importlib.import_module(f"duckdb_extension_{name}").__file__).parent
    connection.execute(f"LOAD '{next(package.glob('extensions/*/*.duckdb_extension'))}'")
for statement in sys.argv[1:]:
    result = connection.execute(statement)
names = [column[0] for column in result.description]
print(json.dumps([dict(zip(names, row)) for row in result.fetchall()], default=str))
