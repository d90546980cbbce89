# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema's verdict on the samples that the parser is tested with (test-samples.c)."""

import json
import pathlib

import pytest

jsonschema = pytest.importorskip("jsonschema", minversion="4.0")
yaml = pytest.importorskip("yaml")

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "data/stead.schema.json").read_text())
TEXT = (ROOT / "tests/unit/model/samples.txt").read_text()
SAMPLES = [part.split("\n", 1) for part in TEXT.split("\n### ")[1:]]
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("title, text", SAMPLES, ids=[title for title, _ in SAMPLES])
def test_a_sample(title, text):
    problems = [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))]
    verdict = title.split(":")[0]
    assert verdict in ("accept", "refuse", "beyond")
    if verdict == "refuse":
        assert problems
    else:
        assert not problems


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_an_example(path):
    assert not list(VALIDATOR.iter_errors(yaml.safe_load(path.read_text())))
